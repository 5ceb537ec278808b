"""Undo the blur of a photograph: SciPy's least-squares solver, and flatconv's convolution in place of a matrix.

A camera that moved while the shutter was open records each point as a short line, so the photograph is a convolution of
the sharp one. Its matrix has as many rows and columns as there are pixels; the solver asks only for products with the
matrix and its transpose, and `flatconv.ConvOperator` computes them without it.

    pip install flatconv scipy scikit-image matplotlib
    python examples/deblur.py
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import skimage.data
from flatconv import ConvOperator
from matplotlib.image import imsave
from scipy.sparse.linalg import lsqr


def motion(length: int, degrees: float) -> np.ndarray:
    """The kernel of a straight movement: the points of a line, each shared among the four pixels around it."""
    size = length // 2 * 2 + 3  # odd, with room for the neighbours of both ends
    kernel = np.zeros((size, size))
    for distance in np.linspace(-(length - 1) / 2, (length - 1) / 2, 16 * length):
        y, x = (
            size // 2 - distance * math.sin(math.radians(degrees)),
            size // 2 + distance * math.cos(math.radians(degrees)),
        )
        row, column = math.floor(y), math.floor(x)
        kernel[row : row + 2, column : column + 2] += np.outer([1 + row - y, y - row], [1 + column - x, x - column])
    return kernel / kernel.sum()


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """How near an image is to the true one whose values reach from 0 to 1, in decibels; 6 dB are half the error."""
    return -10 * math.log10(np.mean((image - truth) ** 2))


def main() -> None:
    """Blur a photograph, add noise, restore it, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=Path(), help="the directory for the pictures (default: here)")
    parser.add_argument("--noise", type=float, default=0.002, help="its deviation, of white = 1 (default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=60, help="of the solver, at most (default: %(default)s)")
    chosen = parser.parse_args()

    sharp = skimage.data.camera() / 255
    kernel = motion(length=15, degrees=30)
    # What the camera saw beyond the picture is not known: a mirror image is a better guess than black.
    blur = ConvOperator(kernel, sharp.shape, padding="same", padding_mode="symmetric")
    noise = chosen.noise * np.random.default_rng(0).standard_normal(sharp.size)
    blurred = blur @ sharp.ravel() + noise

    # The damping keeps noise from being sharpened along with the picture.
    solution = lsqr(blur, blurred, damp=20 * chosen.noise, iter_lim=chosen.iterations)
    restored, iterations = solution[0], solution[2]

    print(f"{sharp.shape[0]} × {sharp.shape[1]} pixels, kernel {kernel.shape[0]} × {kernel.shape[1]}; the matrix,")
    print(f"{blur.shape[0]} × {blur.shape[1]}, was multiplied {2 * iterations} times and never built")
    chosen.output.mkdir(parents=True, exist_ok=True)
    for name, image in {"before": blurred, "after": restored}.items():
        path = chosen.output / f"deblur-{name}.png"
        imsave(path, image.reshape(sharp.shape).clip(0, 1), cmap="gray", vmin=0, vmax=1)
        print(f"{name:7} {psnr(image, sharp.ravel()):5.1f} dB   {path}")


if __name__ == "__main__":
    main()
