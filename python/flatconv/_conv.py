"""The convolutions. Start reading here: arguments are checked and described, then the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv import _core
from flatconv._arguments import (
    ALGORITHMS,
    INT64_MAX,
    INT64_MIN,
    amounts,
    byte_limit,
    choice,
    integer,
    padding_mode_name,
    per_axis,
    thread_cap,
)
from flatconv._arrays import FLOAT32, FLOAT64, check_out, promoted
from flatconv._shapes import check_bias, check_channels, check_ranks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis

_ndarray = np.ndarray
_core_conv = _core.conv


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional convolution (cross-correlation, as in all of deep learning).

    Parameters
    ----------
    x : array_like, shape (N, C, H, W), (C, H, W) or (H, W)
        Images: a batch, one image, or one channel of one image ("plain", with a plain `weight`).
    weight : array_like, shape (C_out, C / groups, kh, kw), or (kh, kw) for a plain `x`
        Kernels. Any strided view will do: `weight[..., ::-1, ::-1]` gives a convolution in the strict sense,
        `weight.transpose(3, 2, 0, 1)` takes weights in the order (kh, kw, in, out).
    bias : array_like, shape (C_out,), or a scalar for a plain `x`, optional
        Added to every element of its output channel.
    stride : int or (int, int), default 1
        Distance between neighbouring positions of the kernel.
    padding : int, (int, int), ((int, int), (int, int)) or str, default 0
        Elements added around the image: on all sides, by axis, by axis and side (before, after), or by rule:
        ``"valid"`` (none), ``"same"`` (the output has the size of the image divided by the stride, rounded up; an odd
        element goes after), ``"same_lower"`` (an odd element goes before), ``"full"`` (every overlap of kernel and
        image).
    dilation : int or (int, int), default 1
        Distance between neighbouring elements of the kernel.
    groups : int, default 1
        Channels are cut into this many groups, and each is convolved with its own share of the kernels.
    padding_mode : str, default "zeros"
        What the padding holds: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"edge"``, ``"circular"`` or ``"wrap"``,
        ``"symmetric"``, as in `numpy.pad`.
    out : ndarray, optional
        Where to write the result: any writable array of the right shape and dtype, contiguous or not, whose elements
        share no memory with each other. It may overlap the inputs: if the stretch of memory from its first to its last
        byte meets that of an input, the result is computed in a temporary array and copied.
    threads : int, optional
        At most so many threads; by default `get_num_threads()`. The result does not depend on it.
    algorithm : {"auto", "reference", "im2col", "implicit"}, default "auto"
        How to compute; every algorithm gives the same bits. ``"reference"`` is a plain loop, slow, for comparison.
        ``"im2col"`` multiplies the region matrix, laid out band by band; ``"implicit"`` lays out only what cannot be
        read from the padded image.
    workspace_limit : int, optional
        The most memory to use beside inputs and output, in bytes.

    Returns
    -------
    ndarray, shape (N, C_out, H_out, W_out), (C_out, H_out, W_out) or (H_out, W_out)
        `out` if given. With p the sum of the padding before and after,
        H_out = floor((H + p - dilation * (kh - 1) - 1) / stride) + 1, and likewise W_out.
        The dtype is that of NumPy's promotion of x, weight and bias: float32 or float64.

    Raises
    ------
    ValueError
        For a bad value or shape. `out` is untouched.
    TypeError
        For a bad type, e.g. arrays that promote to integers, half precision or complex numbers.
    OverflowError
        For sizes beyond 64 bits.
    MemoryError
        When memory is out, or `workspace_limit` too low.

    Notes
    -----
    Every output is a sum over depth in the order (channel, kernel row, kernel column), in blocks of fixed length,
    each a chain of fused multiply-adds; the bias comes last. So the bits depend on the values alone, not on threads,
    batch, memory layout or instruction set. Padding counts as real zeros, also next to Inf and NaN.

    The cost is 2 * N * C_out * H_out * W_out * C / groups * kh * kw operations. The workspace is about a mebibyte for
    each thread, whatever the size of the image; for very large kernels it is more, in proportion to their extent,
    because it holds the padded rows that a kernel covers. Weights whose output channels are contiguous, as in a plain
    array, are read where they lie; any others are packed, into a copy of all of them. The product with the region
    matrix goes back to K. Chellapilla, S. Puri and P. Simard, "High performance convolutional neural networks for
    document processing" (2006), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import conv2d
    >>> image = np.array([[3, 3, 2, 1, 0],
    ...                   [0, 0, 1, 3, 1],
    ...                   [3, 1, 2, 2, 3],
    ...                   [2, 0, 0, 2, 2],
    ...                   [2, 0, 0, 0, 1]], np.float32)
    >>> kernel = np.array([[0, 1, 2],
    ...                    [2, 2, 0],
    ...                    [0, 1, 2]], np.float32)
    >>> conv2d(image, kernel)
    array([[12., 12., 17.],
           [10., 17., 19.],
           [ 9.,  6., 14.]], dtype=float32)

    A batch of colour images, 3 channels to 8, at half the size:

    >>> x = np.ones((2, 3, 32, 32), np.float32)
    >>> weight = np.ones((8, 3, 5, 5), np.float32)
    >>> conv2d(x, weight, stride=2, padding="same").shape
    (2, 8, 16, 16)
    """
    return _conv(
        2, x, weight, bias, stride, padding, dilation, groups, padding_mode, out, threads, algorithm, workspace_limit
    )


def _conv(
    rank: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: Any,
    out: Any,
    threads: Any,
    algorithm: Any,
    workspace_limit: Any,
) -> NDArray[Any]:
    """The body of every rank. Written for the common case, float arrays and ints, to cost under a microsecond."""
    if not (
        type(x) is _ndarray
        and type(weight) is _ndarray
        and ((dtype := x.dtype) is FLOAT32 or dtype is FLOAT64)
        and weight.dtype is dtype
        and (bias is None or (type(bias) is _ndarray and bias.dtype is dtype))
    ):
        if bias is None:
            x, weight = promoted(x=x, weight=weight)
        else:
            x, weight, bias = promoted(x=x, weight=weight, bias=bias)
        dtype = x.dtype

    if type(stride) is int and INT64_MIN <= stride <= INT64_MAX:
        stride = (stride,) * rank
    else:
        stride = per_axis("stride", stride, rank)
    if type(padding) is int and INT64_MIN <= padding <= INT64_MAX:
        padding = ((padding, padding),) * rank
    else:
        padding = amounts(padding, rank)
    if type(dilation) is int and INT64_MIN <= dilation <= INT64_MAX:
        dilation = (dilation,) * rank
    else:
        dilation = per_axis("dilation", dilation, rank)
    if type(groups) is not int or not INT64_MIN <= groups <= INT64_MAX:
        groups = integer("groups", groups)

    x_shape, weight_shape = x.shape, weight.shape
    plain = len(x_shape) == rank
    if not (plain or rank < len(x_shape) <= rank + 2) or len(weight_shape) != (rank if plain else rank + 2):
        check_ranks(rank, x_shape, weight_shape)
    if not plain and x_shape[-rank - 1] != weight_shape[1] * groups:
        check_channels(rank, x_shape, weight_shape, groups)
    if bias is not None and bias.shape != (() if plain else (weight_shape[0],)):
        check_bias(bias.shape, weight_shape, plain)
    if out is not None:
        check_out(out, dtype)

    if padding_mode != "zeros":
        padding_mode = padding_mode_name(padding_mode)
    if algorithm != "auto":
        choice("algorithm", algorithm, ALGORITHMS)
    return _core_conv(
        x,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        out,
        0 if threads is None else thread_cap(threads),
        algorithm,
        -1 if workspace_limit is None else byte_limit(workspace_limit),
    )
