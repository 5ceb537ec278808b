"""What the convolutions of every rank do: arguments are checked and described, then the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv import _core
from flatconv._arguments import (
    ALGORITHMS,
    activation_of,
    amounts,
    byte_limit,
    choice,
    flag,
    integer,
    padding_mode_name,
    per_axis,
    thread_cap,
)
from flatconv._arrays import COMPUTED, FLOAT32, FLOAT64, check_out, promoted
from flatconv._shapes import check_bias, check_channels, check_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ndarray = np.ndarray
_core_conv = _core.conv
# Defaults, known by being the same objects: names are interned.
_AUTO, _ZEROS_MODE = "auto", "zeros"
# The others, by rank.
_ONES = ((), (1,), (1, 1), (1, 1, 1))
_ZEROS = ((), ((0, 0),), ((0, 0), (0, 0)), ((0, 0), (0, 0), (0, 0)))


def convolve(
    rank: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: Any,
    channels_last: Any,
    activation: Any,
    residual: Any,
    out: Any,
    threads: Any,
    algorithm: Any,
    workspace_limit: Any,
) -> NDArray[Any]:
    """The body of every rank. Written for the common case, plain arrays and ints, to cost under a microsecond."""
    if not (
        type(x) is _ndarray
        and type(weight) is _ndarray
        and ((dtype := x.dtype) is FLOAT32 or dtype is FLOAT64 or dtype in COMPUTED)
        and weight.dtype is dtype
        and (bias is None or (type(bias) is _ndarray and bias.dtype is dtype))
        and (residual is None or (type(residual) is _ndarray and residual.dtype is dtype))
    ):
        dtype, (x, weight, bias, residual) = promoted(2, x=x, weight=weight, bias=bias, residual=residual)

    stride = _ONES[rank] if type(stride) is int and stride == 1 else per_axis("stride", stride, rank)
    padding = _ZEROS[rank] if type(padding) is int and padding == 0 else amounts(padding, rank)
    dilation = _ONES[rank] if type(dilation) is int and dilation == 1 else per_axis("dilation", dilation, rank)
    if type(groups) is not int or groups != 1:
        groups = integer("groups", groups)

    x_shape, weight_shape = x.shape, weight.shape
    plain = len(x_shape) == rank
    channel_axis = -1 if channels_last is not False and flag("channels_last", channels_last) else -rank - 1
    if not (plain or rank < len(x_shape) <= rank + 2) or len(weight_shape) != (rank if plain else rank + 2):
        check_ranks(rank, x_shape, weight_shape)
    if not plain and x_shape[channel_axis] != weight_shape[1] * groups:
        check_channels(rank, x_shape, weight_shape, groups, channels_last=channel_axis == -1)
    if bias is not None and bias.shape != (() if plain else (weight_shape[0],)):
        check_bias(bias.shape, weight_shape, plain)
    if out is not None:
        check_out(out, dtype)

    if padding_mode is not _ZEROS_MODE:
        padding_mode = padding_mode_name(padding_mode)
    if activation is not None:
        activation = activation_of(activation)
    if algorithm is not _AUTO:
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
        channels_last,
        activation,
        residual,
        out,
        0 if threads is None else thread_cap(threads),
        algorithm,
        -1 if workspace_limit is None else byte_limit(workspace_limit),
    )
