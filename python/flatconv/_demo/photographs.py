"""The demo's real work: a grey and a colour photograph, filtered, checked against NumPy, and timed beside it."""

from __future__ import annotations

import importlib
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv import conv2d
from flatconv._demo.filters import colour_bank, grey_bank

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_ROUNDS = 7
_samples: Any = importlib.import_module("skimage.data")


@dataclass
class FilteredPhotograph:
    """One photograph, its filter bank, and what came of it."""

    title: str
    image: NDArray[np.float32]
    names: list[str]
    weight: NDArray[np.float32]
    responses: NDArray[Any]
    milliseconds: float
    numpy_milliseconds: float
    correct: bool


def filtered() -> list[FilteredPhotograph]:
    """Filter both photographs, telling how it went."""
    camera = _samples.camera()[None].astype(np.float32) / 255
    astronaut = _samples.astronaut().transpose(2, 0, 1).astype(np.float32) / 255
    return [
        _filter("camera", camera, *grey_bank()),
        _filter("astronaut", astronaut, *colour_bank()),
    ]


def _filter(
    title: str, image: NDArray[np.float32], names: list[str], weight: NDArray[np.float32]
) -> FilteredPhotograph:
    responses = conv2d(image, weight, padding="same", padding_mode="reflect")
    error, bound = _error_and_bound(responses, image, weight)
    correct = bool(np.all(error <= bound))
    ours, numpys = _medians(
        lambda: conv2d(image, weight, padding="same", padding_mode="reflect"),
        lambda: numpy_im2col_blas(image, weight),
    )
    channels, height, width = image.shape
    print(f"{title}: {height}×{width} pixels, {channels} to {len(weight)} channels")
    print(f"    largest error against float64   {error.max():.1e}, {'within' if correct else 'BEYOND'} the bound")
    print(f"    NumPy im2col + BLAS             {numpys:6.1f} ms")
    print(f"    flatconv                        {ours:6.1f} ms, {numpys / ours:.1f} times as fast\n")
    return FilteredPhotograph(title, image, names, weight, responses, ours, numpys, correct)


def numpy_im2col_blas(image: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """The same convolution as people write it in NumPy: the whole region matrix, then one product."""
    regions = _windows(image, weight).transpose(0, 3, 4, 1, 2)
    product = weight.reshape(len(weight), -1) @ regions.reshape(weight[0].size, -1)
    return np.asarray(product.reshape(-1, *image.shape[1:]))


def _windows(image: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    kernel = weight.shape[2:]
    padded = np.pad(image, [(0, 0), *((size // 2, size // 2) for size in kernel)], mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))


def _error_and_bound(
    responses: NDArray[Any], image: NDArray[Any], weight: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The error against the same sum in float64, and the bound for sums of products in any order.

    N. Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 3.1.
    """
    image, weight = image.astype(np.float64), weight.astype(np.float64)

    def exact(image: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.einsum("chwij,ocij->ohw", _windows(image, weight), weight, optimize=True))

    unit = np.finfo(np.float32).eps / 2 * weight[0].size
    return np.abs(responses - exact(image, weight)), unit / (1 - unit) * exact(np.abs(image), np.abs(weight))


def _medians(*runs: Callable[[], object]) -> list[float]:
    """Milliseconds of each, in interleaved rounds, so that a busy moment of the machine meets all of them."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(_ROUNDS):
        for run, taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            taken.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(taken) for taken in times]
