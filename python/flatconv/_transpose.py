"""Transposed convolutions: arguments are checked and described, then the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flatconv import _core
from flatconv._arguments import (
    ALGORITHMS,
    AXIS_NAMES,
    activation_of,
    amounts,
    byte_limit,
    choice,
    flag,
    integer,
    per_axis,
    thread_cap,
)
from flatconv._arrays import check_out, promoted
from flatconv._ranks import documented_like
from flatconv._shapes import check_ranks, check_transposed_bias, check_transposed_channels, spatial_sizes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Activation, Padding, PerAxis

    Pairs = tuple[tuple[int, int], ...]


def conv_transpose2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    channels_last: bool = False,
    activation: Activation = None,
    residual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional transposed convolution: every pixel of x stamps the kernel on the output, and overlaps add up.

    It is the transpose of the convolution with the same weight, stride, padding, dilation and groups: a linear map
    from the size of that one's output back to the size of its input, also known as fractionally strided convolution
    or, wrongly, as deconvolution. It is not the inverse.

    Parameters
    ----------
    x : array_like, shape (N, C, *spatial), (C, *spatial) or (*spatial)
        Images: a batch, one image, or one channel of one image ("plain", with a plain `weight`).
    weight : array_like, shape (C, C_out / groups, *kernel), or (*kernel) for a plain `x`
        Kernels. Input channels come first, so that the weight of a convolution is that of its transpose.
    bias : array_like, shape (C_out,), or a scalar for a plain `x`, optional
        Added to every element of its output channel.
    stride : int or tuple of int, default 1
        Distance between the stamps of neighbouring pixels.
    padding : int, tuple of int, tuple of (int, int) or str, default 0
        Elements cut off the output: on all sides, by axis, by axis and side (before, after), or by rule: ``"valid"``
        (none), ``"same"`` (the output has the size of x times the stride; an odd element goes after),
        ``"same_lower"`` (an odd element goes before), ``"full"`` (the extent of the kernel less 1, on both sides).
    output_padding : int or tuple of int, default 0
        Elements added to the output after its last, to choose among the sizes that a convolution with a stride takes
        to the size of x. Less than the stride or the dilation, whichever is larger. They are computed, not zeros.
    groups : int, default 1
        Channels are cut into this many groups, and each is convolved with its own share of the kernels.
    dilation : int or tuple of int, default 1
        Distance between neighbouring elements of the kernel.
    output_size : int or tuple of int, optional
        The spatial size of the output, instead of `output_padding`.
    channels_last : bool, default False
        Whether the channels of x, residual and the result are their last axis, as in `conv2d`.
    activation : None, str or tuple, default None
        Applied to the result last of all, as in `conv2d`.
    residual : array_like, optional
        Added to the result before the activation: an array of the result's shape.
    out : ndarray, optional
        Where to write the result, as in `conv2d`.
    threads : int, optional
        At most so many threads; by default `get_num_threads()`. The result does not depend on it.
    algorithm : {"auto", "reference", "im2col", "implicit", "channels", "direct"}, default "auto"
        How to compute, as in `conv2d`; every algorithm gives the same bits.
    workspace_limit : int, optional
        The most memory to use beside inputs and output, in bytes.

    Returns
    -------
    ndarray, shape (N, C_out, *spatial_out), (C_out, *spatial_out) or (*spatial_out)
        `out` if given. Along each axis, with p the sum of the padding before and after, the size is
        (size - 1) * stride - p + dilation * (kernel - 1) + output_padding + 1. The dtype is that of NumPy's promotion
        of x, weight, bias and residual: float32, float64, float16, bfloat16, complex64 or complex128; complex weights
        are not conjugated, as in torch.

    Raises
    ------
    ValueError
        For a bad value or shape. `out` is untouched.
    TypeError
        For a bad type, e.g. arrays that promote to integers or long doubles.
    OverflowError
        For sizes beyond 64 bits.
    MemoryError
        When memory is out, or `workspace_limit` too low.

    Notes
    -----
    Outputs at equal distance from the stamps are a phase: they gather the same elements of the kernel, and are an
    ordinary convolution with those alone. Every output is a sum in the order (channel, kernel element), over its
    phase's elements, in blocks of fixed length, each a chain of fused multiply-adds; the bias comes after it. What the
    phase's elements would read beyond x counts as zeros. So the bits depend on the values alone, not on threads,
    batch, memory layout or instruction set.

    The cost is 2 * N * C * C_out / groups * pixels of x * kernel elements operations. The workspace is a copy of the
    weights, and about a mebibyte for each thread. Phases are those of the sub-pixel convolution of W. Shi et al.,
    "Is the deconvolution layer the same as a convolutional layer?" (2016).

    Examples
    --------
    Two pixels stamp a kernel of ones, two columns apart; in the middle the stamps overlap:

    >>> import numpy as np
    >>> from flatconv import conv_transpose2d
    >>> conv_transpose2d(np.array([[1, 10]], np.float32), np.ones((2, 3), np.float32), stride=2)
    array([[ 1.,  1., 11., 10., 10.],
           [ 1.,  1., 11., 10., 10.]], dtype=float32)

    A batch of images with 8 channels, to 3 channels at twice the size:

    >>> x = np.ones((2, 8, 16, 16), np.float32)
    >>> weight = np.ones((8, 3, 5, 5), np.float32)
    >>> conv_transpose2d(x, weight, stride=2, padding="same").shape
    (2, 3, 32, 32)

    The same for channels last, with an activation:

    >>> conv_transpose2d(x.transpose(0, 2, 3, 1), weight, stride=2, padding="same", channels_last=True,
    ...                  activation="silu").shape
    (2, 32, 32, 3)
    """
    return _conv_transpose(
        2,
        *(x, weight, bias, stride, padding, output_padding, groups, dilation),
        *(output_size, channels_last, activation, residual, out, threads, algorithm, workspace_limit),
    )


@documented_like(conv_transpose2d, 1)
def conv_transpose1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    channels_last: bool = False,
    activation: Activation = None,
    residual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import conv_transpose1d
    >>> conv_transpose1d(np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.5]), stride=2)
    array([1. , 0.5, 2. , 1. , 4. , 2. ])
    """  # noqa: D205, D400 (the rest is the model's)
    return _conv_transpose(
        1,
        *(x, weight, bias, stride, padding, output_padding, groups, dilation),
        *(output_size, channels_last, activation, residual, out, threads, algorithm, workspace_limit),
    )


@documented_like(conv_transpose2d, 3)
def conv_transpose3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    output_size: PerAxis | None = None,
    channels_last: bool = False,
    activation: Activation = None,
    residual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import conv_transpose3d
    >>> x = np.ones((4, 5, 5, 5), np.float32)
    >>> conv_transpose3d(x, np.ones((4, 2, 3, 3, 3), np.float32), stride=2, padding=1, output_size=(9, 10, 10)).shape
    (2, 9, 10, 10)
    """  # noqa: D205, D400 (the rest is the model's)
    return _conv_transpose(
        3,
        *(x, weight, bias, stride, padding, output_padding, groups, dilation),
        *(output_size, channels_last, activation, residual, out, threads, algorithm, workspace_limit),
    )


def _conv_transpose(
    rank: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
    output_size: Any,
    channels_last: Any,
    activation: Any,
    residual: Any,
    out: Any,
    threads: Any,
    algorithm: Any,
    workspace_limit: Any,
) -> NDArray[Any]:
    """The body of every rank."""
    dtype, (x, weight, bias, residual) = promoted(2, x=x, weight=weight, bias=bias, residual=residual)
    stride = per_axis("stride", stride, rank)
    padding = amounts(padding, rank)
    output_padding = per_axis("output_padding", output_padding, rank)
    dilation = per_axis("dilation", dilation, rank)
    groups = integer("groups", groups)
    check_ranks(rank, x.shape, weight.shape, weight_axes="(in, out, ")
    channels_last = flag("channels_last", channels_last)
    check_transposed_channels(rank, x.shape, weight.shape, groups, channels_last=channels_last)
    if bias is not None:
        check_transposed_bias(rank, bias.shape, weight.shape, groups)
    if output_size is not None:
        if any(output_padding):
            raise ValueError(f"output_size and output_padding = {output_padding} exclude each other: pass one of them")
        sizes = per_axis("output_size", output_size, rank)
        output_padding = _reach(
            sizes, spatial_sizes(rank, x.shape, channels_last), weight.shape[-rank:], stride, padding, dilation
        )
    if out is not None:
        check_out(out, dtype)
    return _core.conv_transpose(
        x,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        channels_last,
        activation_of(activation),
        residual,
        out,
        thread_cap(threads),
        choice("algorithm", algorithm, ALGORITHMS),
        byte_limit(workspace_limit),
    )


def _reach(
    sizes: tuple[int, ...],
    x: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | Pairs,
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    """The output padding that makes the output so large; none where the core will refuse the other arguments."""
    if min(x + kernel + stride + dilation) < 1:
        return (0,) * len(sizes)
    extras = []
    for axis, size in enumerate(sizes):
        extent = (kernel[axis] - 1) * dilation[axis] + 1
        least = (x[axis] - 1) * stride[axis] + extent
        most = max(stride[axis], dilation[axis]) - 1
        if padding in ("same", "same_lower"):
            least, most = x[axis] * stride[axis], 0
        elif padding == "full":
            least -= 2 * (extent - 1)
        elif not isinstance(padding, str):
            least -= sum(padding[axis])
        if not 0 <= size - least <= most:
            name = AXIS_NAMES[axis - len(sizes)]
            reach = f"must be {least}" if most <= 0 else f"must be from {least} to {least + most}"
            raise ValueError(f"output_size[{axis}], the {name}, {reach} for these arguments, got {size}")
        extras.append(size - least)
    return tuple(extras)
