"""Problems made ready for image libraries: one kernel on each channel of an image."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._bench.prepared import Prepared, UnsupportedError, arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem


def opencv(problem: Problem, threads: int) -> Prepared:
    """Filter an image with channels last, which is OpenCV's layout."""
    cv2 = importlib.import_module("cv2")
    x, weight = _image(problem)
    cv2.setNumThreads(threads)
    image = np.ascontiguousarray(x[0].transpose(1, 2, 0))
    kernel, out = weight[0, 0], np.empty_like(image)

    def call() -> Any:
        return cv2.filter2D(image, -1, kernel, dst=out, borderType=cv2.BORDER_CONSTANT)

    return Prepared(call, lambda y: np.asarray(y).reshape(image.shape).transpose(2, 0, 1)[None])


def scipy(problem: Problem, threads: int) -> Prepared:
    """Correlate channel by channel."""
    correlate = importlib.import_module("scipy.ndimage").correlate
    if threads > 1:
        raise UnsupportedError("SciPy uses one thread")
    x, weight = _image(problem)
    out = np.empty_like(x)

    def call() -> Any:
        for channel, kernel, result in zip(x[0], weight[:, 0], out[0], strict=True):
            correlate(channel, kernel, result, mode="constant")

    return Prepared(call, lambda _: out)


def _image(problem: Problem) -> tuple[NDArray[Any], NDArray[Any]]:
    if "image" not in problem.classes:
        raise UnsupportedError("one kernel on grey and colour images alone")
    given = arrays(problem)
    return given["x"], given["weight"]
