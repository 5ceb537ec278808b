"""The region matrix and its adjoint, in both orders: im2col and col2im, unfold and fold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from flatconv import _core
from flatconv._arguments import (
    AXIS_NAMES,
    amounts,
    flag,
    integer,
    items_of,
    padding_mode_name,
    per_axis,
    sizes,
    thread_cap,
)
from flatconv._arrays import computed, native, numeric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis

    _Geometry = tuple[
        tuple[int, ...], tuple[int, ...], str | tuple[tuple[int, int], ...], tuple[int, ...], str, bool, int
    ]


def im2col(
    x: ArrayLike,
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    threads: int | None = None,
) -> NDArray[Any]:
    """The region matrix: one row for each output position, holding the part of the image that the kernel covers there.

    `im2col(x, (kh, kw)) @ weight.reshape(C_out, -1).T` is the convolution of x with weight, one column for each output
    channel.

    Parameters
    ----------
    x : array_like, shape (N, C, *spatial), (C, *spatial) or (*spatial)
        Images with 1, 2 or 3 spatial axes, as many as `kernel_size` has items. Numbers of any type of 1, 2, 4, 8 or 16
        bytes: elements are moved, not computed with.
    kernel_size : int or tuple of int
        The kernel's size by axis. An int stands for a square of two axes.
    stride, padding, dilation, padding_mode
        As in `conv2d`.
    channels_last : bool, default False
        Whether the channels of x are its last axis. The matrix is the same.
    threads : int, optional
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, L, C * K), or (L, C * K) without a batch
        L is the number of output positions, in row-major order, and K the number of kernel elements; columns are
        in the order (channel, kernel row, kernel column). Always a new, contiguous array with the dtype of x.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type, or elements that are not numbers.
    OverflowError, MemoryError
        When the matrix is larger than can be addressed or allocated.

    See Also
    --------
    col2im : The adjoint.
    unfold : The transpose, in torch's layout.
    conv_matrix : The other way round, the kernel laid out and the image a column.

    Notes
    -----
    The matrix has K times the elements of the image at stride 1; `conv2d` never builds it whole.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import im2col
    >>> image = np.arange(9).reshape(3, 3)
    >>> image
    array([[0, 1, 2],
           [3, 4, 5],
           [6, 7, 8]])
    >>> im2col(image, 2)
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    >>> im2col(image, 2) @ np.array([1, 0, 0, -1])
    array([-4, -4, -4, -4])
    """
    x, kernel = _movable(x), _kernel_shape(kernel_size)
    _check_rank("x.shape", x.shape, len(kernel))
    return _core.im2col(x, *_geometry(kernel, stride, padding, dilation, padding_mode, channels_last, threads), False)


def col2im(
    regions: ArrayLike,
    x_shape: tuple[int, ...],
    kernel_size: PerAxis,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    threads: int | None = None,
) -> NDArray[Any]:
    """The adjoint of `im2col`: every element of the region matrix is added to the pixel that it came from.

    For all x and r, `(im2col(x, k) * r).sum() == (x * col2im(r, x.shape, k)).sum()`, up to rounding. It is not the
    inverse: a pixel that lies in several regions gets the sum of all of them.

    Parameters
    ----------
    regions : array_like, shape (N, L, C * K), or (L, C * K) without a batch
        A matrix in the layout of `im2col`: float32, float64, float16, bfloat16, complex64 or complex128.
    x_shape : tuple of int
        The shape of the image, (N, C, *spatial), (C, *spatial) or (*spatial).
    kernel_size, stride, padding, dilation, padding_mode, channels_last, threads
        As in `im2col`.

    Returns
    -------
    ndarray of shape `x_shape`
        Each pixel is the sum of its contributions, added in the order of the rows of `regions`.

    Raises
    ------
    ValueError
        For a bad value or shape, or `regions` of another shape than `im2col` would give.
    TypeError
        For a bad type.
    OverflowError, MemoryError
        When the image is larger than can be addressed or allocated.

    See Also
    --------
    im2col : The region matrix.
    fold : The same for the transpose, torch's layout.

    Notes
    -----
    The cost is one addition for each element of `regions`.

    Examples
    --------
    How many regions of 2×2 does each pixel of a 3×3 image belong to?

    >>> import numpy as np
    >>> from flatconv import col2im
    >>> col2im(np.ones((4, 4), np.float32), (3, 3), 2)
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]], dtype=float32)
    """
    kernel = _kernel_shape(kernel_size)
    shape = sizes("x_shape", x_shape)
    _check_rank("x_shape", shape, len(kernel))
    geometry = _geometry(kernel, stride, padding, dilation, padding_mode, channels_last, threads)
    return _sums("regions", numeric("regions", regions), shape, geometry, transposed=False)


def unfold(
    x: ArrayLike,
    kernel_size: PerAxis,
    dilation: PerAxis = 1,
    padding: Padding = 0,
    stride: PerAxis = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    threads: int | None = None,
) -> NDArray[Any]:
    """The region matrix in the layout, and with the order of arguments, of `torch.nn.functional.unfold`.

    For 1, 2 or 3 spatial axes: `weight.reshape(C_out, -1) @ unfold(x, (kh, kw))` is the convolution of x with weight,
    one row for each output channel.

    Parameters
    ----------
    x : array_like, shape (N, C, *spatial), (C, *spatial) or (*spatial)
        Images with 1, 2 or 3 spatial axes, as many as `kernel_size` has items. Numbers of any type of 1, 2, 4, 8 or 16
        bytes: elements are moved, not computed with.
    kernel_size : int or tuple of int
        The kernel's size by axis. An int stands for a square of two axes.
    dilation, padding, stride, padding_mode
        As in `conv2d`.
    channels_last : bool, default False
        Whether the channels of x are its last axis. The matrix is the same.
    threads : int, optional
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, C * K, L), or (C * K, L) without a batch
        Each image's matrix of `im2col`, transposed: rows are in the order (channel, kernel row, kernel column), columns
        are output positions in row-major order. Always a new, contiguous array with the dtype of x.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type, or elements that are not numbers.
    OverflowError, MemoryError
        When the matrix is larger than can be addressed or allocated.

    See Also
    --------
    fold : The adjoint.
    im2col : The transpose, one row for each output position.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import unfold
    >>> unfold(np.arange(9).reshape(3, 3), 2)
    array([[0, 1, 3, 4],
           [1, 2, 4, 5],
           [3, 4, 6, 7],
           [4, 5, 7, 8]])
    >>> unfold(np.arange(6), (3,))
    array([[0, 1, 2, 3],
           [1, 2, 3, 4],
           [2, 3, 4, 5]])
    """
    x, kernel = _movable(x), _kernel_shape(kernel_size)
    _check_rank("x.shape", x.shape, len(kernel))
    return _core.im2col(x, *_geometry(kernel, stride, padding, dilation, padding_mode, channels_last, threads), True)


def fold(
    x: ArrayLike,
    output_size: PerAxis,
    kernel_size: PerAxis,
    dilation: PerAxis = 1,
    padding: Padding = 0,
    stride: PerAxis = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    threads: int | None = None,
) -> NDArray[Any]:
    """The adjoint of `unfold`, with the order of arguments of `torch.nn.functional.fold`.

    Every element is added to the pixel that it came from, for 1, 2 or 3 spatial axes. It is not the inverse: a pixel
    that lies in several regions gets the sum of all of them.

    Parameters
    ----------
    x : array_like, shape (N, C * K, L), or (C * K, L) without a batch
        A matrix in the layout of `unfold`: float32, float64, float16, bfloat16, complex64 or complex128.
    output_size : int or tuple of int
        The spatial sizes of the image. An int stands for a square of two axes.
    kernel_size : int or tuple of int
        The kernel's size by axis. An int stands for equal ones, along as many axes as `output_size` has, or two.
    dilation, padding, stride, padding_mode
        As in `conv2d`.
    channels_last : bool, default False
        Whether the channels of the image are to be its last axis.
    threads : int, optional
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, C, *output_size), or (C, *output_size) without a batch
        With `channels_last`, (N, *output_size, C) or (*output_size, C). Each pixel is the sum of its contributions,
        added in the order of the rows of `x`, that is by kernel element.

    Raises
    ------
    ValueError
        For a bad value or shape, or `x` of another shape than `unfold` would give.
    TypeError
        For a bad type.
    OverflowError, MemoryError
        When the image is larger than can be addressed or allocated.

    See Also
    --------
    unfold : The region matrix in this layout.
    col2im : The same for the transpose.

    Notes
    -----
    The cost is one addition for each element of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import fold, unfold
    >>> signal = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> fold(unfold(signal, (3,)), 5, (3,))
    array([[1., 4., 9., 8., 5.]])
    """
    elements = numeric("x", x)
    if elements.ndim not in (2, 3):
        raise ValueError(
            f"x must have shape (N, C * K, L), or (C * K, L) without a batch, got x.shape = {elements.shape}"
        )
    rank = next((len(items) for items in map(items_of, (output_size, kernel_size)) if items is not None), 2)
    if not 1 <= rank <= len(AXIS_NAMES):
        raise ValueError(f"output_size must be an integer or have 1, 2 or 3 items, got {output_size!r}")
    kernel = per_axis("kernel_size", kernel_size, rank)
    spatial = sizes("output_size", per_axis("output_size", output_size, rank))
    rows, taps = elements.shape[-2], math.prod(kernel)
    if taps > 0 and rows % taps:
        raise ValueError(f"x has {rows} rows, which the {taps} elements of the kernel do not divide")
    channels = (rows // max(taps, 1),)
    last = flag("channels_last", channels_last)
    shape = (*elements.shape[:-2], *((*spatial, *channels) if last else (*channels, *spatial)))
    geometry = _geometry(kernel, stride, padding, dilation, padding_mode, channels_last, threads)
    return _sums("x", elements, shape, geometry, transposed=True)


def _movable(x: Any) -> NDArray[Any]:
    """`x` as an array whose elements the core can move."""
    array = native("x", x)
    if array.dtype.itemsize > 16:
        wanted = "np.complex128" if array.dtype.kind == "c" else "np.float64"
        size = array.dtype.itemsize
        raise TypeError(f"x has dtype {array.dtype} of {size} bytes; at most 16 are supported: pass x.astype({wanted})")
    return array


def _geometry(
    kernel: tuple[int, ...],
    stride: Any,
    padding: Any,
    dilation: Any,
    padding_mode: Any,
    channels_last: Any,
    threads: Any,
) -> _Geometry:
    rank = len(kernel)
    for axis, size in zip(AXIS_NAMES[-rank:], kernel, strict=True):
        if size < 1:
            raise ValueError(f"kernel_size must be at least 1 along the {axis}, got {size}")
    return (
        kernel,
        per_axis("stride", stride, rank),
        amounts(padding, rank),
        per_axis("dilation", dilation, rank),
        padding_mode_name(padding_mode),
        flag("channels_last", channels_last),
        thread_cap(threads),
    )


def _sums(
    name: str, regions: NDArray[Any], shape: tuple[int, ...], geometry: _Geometry, *, transposed: bool
) -> NDArray[Any]:
    """The image of a region matrix."""
    regions = computed(name, regions)
    return _core.col2im(regions, shape, *geometry, transposed)


def _kernel_shape(kernel_size: PerAxis) -> tuple[int, ...]:
    """The kernel's sizes, which say how many spatial axes there are; an int stands for two equal ones."""
    kernel = items_of(kernel_size)
    if kernel is None:
        return (integer("kernel_size", kernel_size),) * 2
    if not 1 <= len(kernel) <= len(AXIS_NAMES):
        raise ValueError(f"kernel_size must be an integer or have 1, 2 or 3 items, got {kernel_size!r}")
    return per_axis("kernel_size", kernel, len(kernel))


def _check_rank(name: str, shape: tuple[int, ...], rank: int) -> None:
    if not rank <= len(shape) <= rank + 2:
        raise ValueError(
            f"{name} = {shape} does not match a kernel_size of {rank} {'axis' if rank == 1 else 'axes'}: "
            f"it must have {rank} dimension{'s' * (rank > 1)}, {rank + 1} with channels, or {rank + 2} with a batch"
        )
