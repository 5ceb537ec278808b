"""The kernels of the demo: edges and lines of all directions, blur, spots, sharpening, and colour contrasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIZE = 5
_Y, _X = np.mgrid[:_SIZE, :_SIZE] - _SIZE // 2


def gaussian(sigma: float) -> NDArray[Any]:
    """A blur that keeps the mean."""
    weights = np.exp(-(_X**2 + _Y**2) / (2 * sigma**2))
    return np.asarray(weights / weights.sum())


def gabor(angle: float, phase: float) -> NDArray[Any]:
    """A wave under a Gaussian, across the direction `angle`; phase 0 answers to lines, π/2 to edges.

    D. Gabor, "Theory of communication" (1946); in two dimensions J. Daugman, "Uncertainty relation for resolution in
    space, spatial frequency, and orientation" (1985).
    """
    across = _X * np.cos(angle) + _Y * np.sin(angle)
    wave = np.cos(2 * np.pi * across / 5 + phase) * gaussian(1.4)
    wave -= wave.mean()
    return np.asarray(wave / np.abs(wave).sum())


def spots() -> NDArray[Any]:
    """The difference of two Gaussians."""
    return np.asarray(gaussian(0.8) - gaussian(1.6))


def sharpen() -> NDArray[Any]:
    """The image, and what its blur lacks of it, one and a half times."""
    impulse = np.zeros((_SIZE, _SIZE))
    impulse[_SIZE // 2, _SIZE // 2] = 1
    return np.asarray(2.5 * impulse - 1.5 * gaussian(1.2))


def grey_bank() -> tuple[list[str], NDArray[np.float32]]:
    """Names, and weights (16, 1, 5, 5)."""
    kernels = {"blur": gaussian(1.6), "sharpen": sharpen(), "spots": spots(), "emboss": gabor(np.pi / 4, 1.2)}
    for turn in range(6):
        kernels[f"edges {30 * turn}°"] = gabor(np.pi * turn / 6, np.pi / 2)
    for turn in range(6):
        kernels[f"lines {30 * turn}°"] = gabor(np.pi * turn / 6, 0)
    weight = np.stack(list(kernels.values()))[:, None]
    return list(kernels), weight.astype(np.float32)


def colour_bank() -> tuple[list[str], NDArray[np.float32]]:
    """Names, and weights (16, 3, 5, 5): four contrasts of colour, each as a blur and as edges of three directions."""
    contrasts = {
        "light": (1 / 3, 1 / 3, 1 / 3),
        "red/green": (1.0, -1.0, 0.0),
        "yellow/blue": (0.5, 0.5, -1.0),
        "orange/teal": (1.0, -0.3, -0.7),
    }
    shapes = {"": gaussian(1.2)}
    for degrees in (0, 60, 120):
        shapes[f" {degrees}°"] = 1.5 * gabor(np.deg2rad(degrees), np.pi / 2)
    names = [contrast + shape for contrast in contrasts for shape in shapes]
    weight = np.einsum("tc,sij->tscij", np.array(list(contrasts.values())), np.stack(list(shapes.values())))
    return names, weight.reshape(-1, 3, _SIZE, _SIZE).astype(np.float32)
