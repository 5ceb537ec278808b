"""Convolutions of int8 and uint8: ONNX's ConvInteger and QLinearConv."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv import _core
from flatconv._arguments import amounts, byte_limit, flag, integer, per_axis, thread_cap
from flatconv._arrays import FLOAT32, check_out, numeric
from flatconv._shapes import check_channels, check_ranks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis

_ndarray, _float32 = np.ndarray, np.float32
_BYTES = (np.dtype(np.int8), np.dtype(np.uint8))
_BYTE_SCALARS = (np.int8, np.uint8)
_INT32 = np.dtype(np.int32)
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1
_WITHIN_INT32 = frozenset(np.dtype(each) for each in (np.int8, np.uint8, np.int16, np.uint16, np.int32))
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)


def conv_integer(
    x: ArrayLike,
    weight: ArrayLike,
    *,
    x_zero_point: ArrayLike | None = None,
    weight_zero_point: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    workspace_limit: int | None = None,
) -> NDArray[np.int32]:
    """Convolution of 8-bit integers with exact 32-bit sums: ONNX's ConvInteger, for 1, 2 and 3 spatial axes.

    Parameters
    ----------
    x : ndarray of int8 or uint8, shape (N, C, W), (N, C, H, W) or (N, C, D, H, W), or without N
        Signals, images or volumes: a batch, or one.
    weight : ndarray of int8 or uint8, shape (C_out, C / groups, *kernel)
        Kernels; their number of axes decides the rank. Any strided view will do, as for `x`.
    x_zero_point : int, optional
        The number that stands for zero in `x`, by default 0. Padding holds it.
    weight_zero_point : int or array_like of shape (C_out,), optional
        The same for `weight`, for all output channels or for each.
    stride, padding, dilation, groups, channels_last, out, threads, workspace_limit
        As in `conv2d`. `out` is int32.

    Returns
    -------
    ndarray of int32, shape (N, C_out, *output), or without N
        `out` if given: the convolution of x - x_zero_point with weight - weight_zero_point.

    Raises
    ------
    ValueError
        For a bad value or shape, e.g. a zero point that is no number of its array's dtype. `out` is untouched.
    TypeError
        For a bad type: arrays of anything but int8 and uint8, zero points that are not integers.
    OverflowError, MemoryError
        As in `conv2d`.

    See Also
    --------
    qlinear_conv : The same with a result of bytes.

    Notes
    -----
    Sums are exact modulo 2**32, in whatever order; none can overflow below a depth (C / groups * kernel elements) of
    33 025. CPUs with a dot product of bytes (AVX512-VNNI) do four multiply-adds in the time of one of float32.
    The definition: https://onnx.ai/onnx/operators/onnx__ConvInteger.html

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import conv_integer
    >>> x = np.array([[[255, 255, 0, 1]]], np.uint8)
    >>> weight = np.array([[[127, 127]]], np.int8)
    >>> conv_integer(x, weight)
    array([[[64770, 32385,   127]]], dtype=int32)
    >>> conv_integer(x, weight, x_zero_point=1, padding=1)
    array([[[32258, 64516, 32131,  -127,     0]]], dtype=int32)
    """
    return _convolve(
        x,
        weight,
        x_zero_point,
        weight_zero_point,
        stride,
        padding,
        dilation,
        groups,
        channels_last,
        None,
        out,
        threads,
        workspace_limit,
    )


def qlinear_conv(
    x: ArrayLike,
    x_scale: ArrayLike,
    x_zero_point: ArrayLike | None,
    weight: ArrayLike,
    weight_scale: ArrayLike,
    weight_zero_point: ArrayLike | None,
    y_scale: ArrayLike,
    y_zero_point: ArrayLike | None,
    bias: ArrayLike | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Convolution of 8-bit integers that stand for real numbers, scale * (number - zero point): ONNX's QLinearConv.

    Parameters
    ----------
    x : ndarray of int8 or uint8
        As in `conv_integer`.
    x_scale : float
        The scale of `x`, positive.
    x_zero_point : int or None
        As in `conv_integer`.
    weight : ndarray of int8 or uint8
        As in `conv_integer`.
    weight_scale : float or array_like of shape (C_out,)
        The scale of `weight`, for all output channels or for each.
    weight_zero_point : int, array_like of shape (C_out,) or None
        As in `conv_integer`.
    y_scale : float
        The scale of the result.
    y_zero_point : int or None
        The number that stands for zero in the result. If it is a NumPy integer (or an array of one), its dtype, int8 or
        uint8, is that of the result; for Python's own integers and None (0) that is the dtype of `x`.
    bias : array_like of integers, shape (C_out,), optional
        Added to the sums: its scale is x_scale * weight_scale, its zero point 0.
    stride, padding, dilation, groups, channels_last, out, threads, workspace_limit
        As in `conv2d`. `out` has the dtype of the result.

    Returns
    -------
    ndarray of int8 or uint8, shape (N, C_out, *output), or without N
        `out` if given.

    Raises
    ------
    ValueError
        For a bad value or shape, e.g. a scale that is not positive. `out` is untouched.
    TypeError, OverflowError, MemoryError
        As in `conv_integer`.

    See Also
    --------
    conv_integer : The sums themselves.

    Notes
    -----
    With the sum of `conv_integer` and everything else in float32, each operation rounded,

        scale = x_scale * weight_scale / y_scale
        y = saturate(round_half_even(float32(sum + bias) * scale) + y_zero_point)

    so the bits are the same on every CPU. The definition: https://onnx.ai/onnx/operators/onnx__QLinearConv.html

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import qlinear_conv
    >>> x = np.array([[[0, 100, 200, 255]]], np.uint8)
    >>> weight = np.array([[[64, -64]], [[1, 1]]], np.int8)
    >>> qlinear_conv(x, 0.5, 128, weight, [0.25, 1.0], 0, 64.0, np.int8(0))
    array([[[-12, -12,  -7],
            [ -1,   0,   2]]], dtype=int8)
    """
    # The order of the arguments is ONNX's; that of the checks is that of `conv_integer`.
    y_type = _type_of_y(x, y_zero_point)
    requantization = (
        _scalar_scale("x_scale", x_scale),
        weight_scale,
        _scalar_scale("y_scale", y_scale),
        _scalar_zero_point("y_zero_point", y_zero_point),
        y_type,
        bias,
    )
    return _convolve(
        x,
        weight,
        x_zero_point,
        weight_zero_point,
        stride,
        padding,
        dilation,
        groups,
        channels_last,
        requantization,
        out,
        threads,
        workspace_limit,
    )


def _convolve(
    x: Any,
    weight: Any,
    x_zero_point: Any,
    weight_zero_point: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    channels_last: Any,
    requantization: tuple[Any, ...] | None,
    out: Any,
    threads: Any,
    workspace_limit: Any,
) -> NDArray[Any]:
    """The body of both. Plain arrays and numbers, the common case, are recognized without an array made of them."""
    x, weight = _bytes("x", x), _bytes("weight", weight)
    rank = min(max(weight.ndim - 2, 1), 3)
    stride = per_axis("stride", stride, rank)
    padding = amounts(padding, rank)
    dilation = per_axis("dilation", dilation, rank)
    groups = integer("groups", groups)
    if channels_last is not False:
        channels_last = flag("channels_last", channels_last)
    if weight.ndim != rank + 2 or not rank < x.ndim <= rank + 2:
        seeming_plain = x.ndim == weight.ndim <= 2
        check_ranks(weight.ndim if seeming_plain else rank, x.shape, weight.shape, plain_too=False)
    check_channels(rank, x.shape, weight.shape, groups, channels_last=channels_last)
    channels = weight.shape[0]
    x_zero_point = _scalar_zero_point("x_zero_point", x_zero_point)
    zero_points = 0 if weight_zero_point is None else _zero_points("weight_zero_point", weight_zero_point, channels)
    dtype = _INT32
    if requantization is not None:
        x_scale, weight_scale, y_scale, y_zero_point, dtype, bias = requantization
        scales = _scales("weight_scale", weight_scale, channels)
        bias = None if bias is None else _for_channels("bias", _integers("bias", bias), channels, scalar=False)
        requantization = (x_scale, scales, y_scale, y_zero_point, dtype, bias)
    if out is not None:
        check_out(out, dtype)
    return _core.conv_bytes(
        x,
        weight,
        x_zero_point,
        zero_points,
        stride,
        padding,
        dilation,
        groups,
        channels_last,
        requantization,
        out,
        0 if threads is None else thread_cap(threads),
        -1 if workspace_limit is None else byte_limit(workspace_limit),
    )


def _bytes(name: str, value: Any) -> NDArray[Any]:
    if type(value) is _ndarray and value.dtype in _BYTES:
        return value
    array = numeric(name, value)
    if array.dtype not in _BYTES:
        raise TypeError(f"{name} must be int8 or uint8, got {array.dtype}; convert it, e.g. {name}.astype(np.uint8)")
    return array


def _plain_integer(value: Any) -> int | None:
    """The integer of 32 bits that a number of Python's, or of bytes, is. None: to be looked at as an array."""
    if type(value) is int:
        return value if _INT32_MIN <= value <= _INT32_MAX else None
    return int(value) if type(value) in _BYTE_SCALARS else None


def _plain_float(value: Any) -> float | None:
    """The same of real numbers that float32 holds; Python's own are rounded in the core."""
    if type(value) is float:
        return value if -_FLOAT32_MAX <= value <= _FLOAT32_MAX else None
    return float(value) if type(value) is _float32 else None


def _integers(name: str, value: Any) -> NDArray[Any]:
    if type(value) is _ndarray and value.dtype is _INT32:
        return value
    array = numeric(name, value)
    if array.dtype in _WITHIN_INT32:
        return array.astype(np.int32, copy=False)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    for number in (array.min(initial=0), array.max(initial=0)):
        if not _INT32_MIN <= int(number) <= _INT32_MAX:
            raise OverflowError(f"{name} = {number} does not fit in 32 bits")
    return array.astype(np.int32, copy=False)


def _zero_points(name: str, value: Any, channels: int) -> int | NDArray[np.int32]:
    number = _plain_integer(value)
    return _for_channels(name, _integers(name, value), channels, scalar=True) if number is None else number


def _scales(name: str, value: Any, channels: int) -> float | NDArray[np.float32]:
    number = _plain_float(value)
    return (
        _for_channels(name, _floats(name, value), channels, scalar=True) if number is None else _positive(name, number)
    )


def _floats(name: str, value: Any) -> NDArray[np.float32]:
    if type(value) is _ndarray and value.dtype is FLOAT32:
        return value
    array = _reals(name, value)
    with np.errstate(over="ignore"):  # the core refuses an infinite scale
        return array.astype(np.float32, copy=False)


def _reals(name: str, value: Any) -> NDArray[Any]:
    array = numeric(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    return array


def _for_channels(name: str, array: NDArray[Any], channels: int, scalar: bool) -> Any:
    """One number for each output channel, or where that may be, a single one."""
    if array.shape == (channels,):
        return array
    if scalar and array.size == 1 and array.ndim <= 1:
        return array.item()
    raise ValueError(
        f"{name} must {'be one number or ' if scalar else ''}have shape ({channels},), one for each output channel, "
        f"got {name}.shape = {array.shape}"
    )


def _single(name: str, array: NDArray[Any]) -> Any:
    if array.size != 1 or array.ndim > 1:
        raise ValueError(f"{name} must be one number, got an array of shape {array.shape}")
    return array.item()


def _scalar_zero_point(name: str, value: Any) -> int:
    if value is None:
        return 0
    number = _plain_integer(value)
    return int(_single(name, _integers(name, value))) if number is None else number


def _scalar_scale(name: str, value: Any) -> float:
    number = _plain_float(value)
    return _positive(name, float(_single(name, _reals(name, value))) if number is None else number)


def _positive(name: str, number: float) -> float:
    """`number` if float32 holds it, rounded, as a scale: the core sees but zero or infinity where it does not."""
    if _FLOAT32_TINY <= number <= _FLOAT32_MAX:
        return number
    with np.errstate(all="ignore"):
        rounded = float(np.float32(number))
    if 0 < rounded < math.inf:
        return rounded
    reason = f", which float32 rounds to {rounded:g}" if 0 < number < math.inf else ""
    raise ValueError(f"{name} must be a positive number, got {number:g}{reason}")


def _type_of_y(x: Any, y_zero_point: Any) -> np.dtype[Any]:
    if not isinstance(y_zero_point, (np.ndarray, np.generic)):
        return _bytes("x", x).dtype
    if y_zero_point.dtype not in _BYTES:
        raise TypeError(
            f"y_zero_point has dtype {y_zero_point.dtype}, but it decides that of the result: it must be int8 or uint8"
        )
    return y_zero_point.dtype
