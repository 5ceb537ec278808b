"""One kernel over an image, grey or colour: filter2d."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._arguments import integer, padding_mode_name, thread_cap
from flatconv._arrays import COMPLEX64, FLOAT32, computed, numeric
from flatconv._conv import conv2d
from flatconv._regions import im2col

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def filter2d(
    image: ArrayLike,
    kernel: ArrayLike,
    *,
    padding_mode: str = "reflect",
    channel_axis: int | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """One two-dimensional kernel over an image, every channel by itself (correlation, as in the image libraries).

    Parameters
    ----------
    image : array_like, shape (H, W), or with an axis of channels
        A grey or a colour image, any strided view.
    kernel : array_like, shape (kh, kw)
        The weights. Pass `kernel[::-1, ::-1]` for a convolution in the strict sense.
    padding_mode : str, default "reflect"
        What lies beyond the image, named as in `numpy.pad`: ``"reflect"``, ``"symmetric"``, ``"replicate"`` or
        ``"edge"``, ``"circular"`` or ``"wrap"``, ``"zeros"``.
    channel_axis : int, optional
        The axis of channels, for a colour image: -1 for (H, W, C), 0 for (C, H, W).
    threads : int, optional
        At most so many threads; by default `get_num_threads()`. The result does not depend on it.

    Returns
    -------
    ndarray of the shape of `image`
        float32 for images of 8 or 16 bits and of float32, all of whose values it holds; float64 for float64 and wider
        integers; complex64 or complex128 if the image or the kernel is complex. The kernel is rounded to this type.
        Nothing is clipped. A new array, its axes in the same order in memory as those of `image`.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type, e.g. an image of long doubles.
    OverflowError, MemoryError
        When the result is larger than can be addressed or allocated.

    See Also
    --------
    conv2d : Many kernels, which mix channels.

    Notes
    -----
    The kernel's centre is its element (kh // 2, kw // 2), also for even sizes. This is `cv2.filter2D` with its default
    anchor and border, and `scipy.ndimage.correlate` with ``mode="mirror"``. The libraries' names differ:

    ============  ====================  ==================  ============
    padding_mode  beyond ``a b c d``    cv2 border type     scipy mode
    ============  ====================  ==================  ============
    reflect       ``c b a b c d c b``   REFLECT_101         mirror
    symmetric     ``b a a b c d d c``   REFLECT             reflect
    replicate     ``a a a b c d d d``   REPLICATE           nearest
    circular      ``c d a b c d a b``   WRAP                grid-wrap
    zeros         ``0 0 a b c d 0 0``   CONSTANT            constant
    ============  ====================  ==================  ============

    Channels that lie side by side in memory, as in (H, W, C), are filtered as one line of numbers, in which neighbours
    are C elements apart. The bits are those of `conv2d` on each channel.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import filter2d
    >>> image = np.array([[0, 0, 0, 9], [0, 0, 9, 9], [0, 9, 9, 9]], np.uint8)
    >>> filter2d(image, [[-1, 0, 1]])
    array([[0., 0., 9., 0.],
           [0., 9., 9., 0.],
           [0., 9., 0., 0.]], dtype=float32)
    >>> filter2d(np.ones((480, 640, 3), np.uint8), np.ones((5, 5)), channel_axis=-1).shape
    (480, 640, 3)
    """
    pixels, weights = _inexact("image", image), _inexact("kernel", kernel)
    if weights.dtype.kind == "c":
        pixels = pixels.astype(np.result_type(pixels.dtype, COMPLEX64), copy=False)
    weights = weights.astype(pixels.dtype, copy=False)
    if weights.ndim != 2 or weights.size == 0:
        raise ValueError(f"kernel must have shape (kh, kw), neither of them 0, got kernel.shape = {weights.shape}")
    axis = _channel_axis(channel_axis, pixels.shape)
    mode = padding_mode_name(padding_mode)
    thread_cap(threads)

    filtered = np.empty_like(pixels)
    if pixels.size == 0:
        return filtered
    pads = [(size // 2, size - 1 - size // 2) for size in weights.shape]
    if axis is None:
        return conv2d(pixels, weights, padding=pads, padding_mode=mode, out=filtered, threads=threads)
    x, y = np.moveaxis(pixels, axis, -1), np.moveaxis(filtered, axis, -1)
    if x.shape[2] > 1 and x.shape[1] >= weights.shape[1] and _side_by_side(x) and _side_by_side(y):
        _filter_lines(x, weights, pads, mode, y, threads)
    else:
        images, out = (np.moveaxis(each, -1, 0)[:, None] for each in (x, y))
        conv2d(images, weights[None, None], padding=pads, padding_mode=mode, out=out, threads=threads)
    return filtered


def _side_by_side(pixels: NDArray[Any]) -> bool:
    """Whether the channels of all pixels of a row (H, W, C) follow each other in memory, at equal distances."""
    return bool(pixels.strides[1] == pixels.shape[2] * pixels.strides[2])


def _filter_lines(
    x: NDArray[Any],
    weights: NDArray[Any],
    pads: list[tuple[int, int]],
    mode: str,
    y: NDArray[Any],
    threads: int | None,
) -> None:
    """Filter x (H, W, C) into y, each row as one line of W * C numbers, which is read as it lies in memory.

    Reflected or repeated, such a line mixes channels. So the outputs that read beyond its ends are computed again, from
    two strips, copies of the padded columns that they read. (Whole lines of y follow each other, parts of them do not.)
    """
    height, width, channels = x.shape
    vertical, (before, after) = pads
    parts = [(x, (before * channels, after * channels), y)]
    if mode != "zeros":
        columns = im2col(np.arange(width), (1,), padding=((before, after),), padding_mode=mode)[:, 0]
        parts += [
            (x[:, columns[: before + before + after]], (0, 0), y[:, :before]),
            (x[:, columns[width - after :]], (0, 0), y[:, width - after :]),
        ]
    for source, horizontal, target in parts:
        if target.size:
            conv2d(
                source.reshape(height, -1),
                weights,
                padding=(vertical, horizontal),
                dilation=(1, channels),
                padding_mode=mode,
                out=target.reshape(height, -1),
                threads=threads,
            )


def _inexact(name: str, value: Any) -> NDArray[Any]:
    """`value` as float32 or complex64 if that holds all numbers of its type, else as float64 or complex128."""
    array = numeric(name, value)
    return computed(name, array.astype(np.result_type(array.dtype, FLOAT32), copy=False))


def _channel_axis(channel_axis: int | None, shape: tuple[int, ...]) -> int | None:
    """The axis, counted from 0, if the image has channels."""
    if channel_axis is None:
        if len(shape) == 3:
            raise ValueError(f"image.shape = {shape} has 3 dimensions: pass channel_axis, e.g. -1 for (H, W, C)")
        if len(shape) != 2:
            raise ValueError(f"image must have 2 dimensions, or 3 with channel_axis, got image.shape = {shape}")
        return None
    axis = integer("channel_axis", channel_axis)
    if len(shape) != 3:
        raise ValueError(f"image must have 3 dimensions for channel_axis = {axis}, got image.shape = {shape}")
    if not -3 <= axis < 3:
        raise ValueError(f"channel_axis must be at least -3 and at most 2, got {axis}")
    return axis % 3
