"""A problem as data: a convolution's sizes, what to compute with it, what that costs, and the classes it belongs to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flatconv._bench.operations import ELEMENTS, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    PerAxis = int | tuple[int, ...]
    Padding = int | tuple[int | tuple[int, int], ...]
    Classes = dict[str, tuple[str, Callable[["Problem"], bool]]]


@dataclass(frozen=True)
class Problem:
    """A convolution, or transposed convolution, and what to compute with it; tuples have one item for each axis.

    Parameters
    ----------
    padding : tuple of (before, after)
        Of zeros; for a transposed convolution, what is cut off.
    output_padding : tuple of int
        Of transposed convolutions: rows added after.
    operation, dtype : str
        Names of operations.py.
    channels_last : bool
        Whether the channels of x and y are their last axis.
    """

    in_channels: int
    out_channels: int
    input: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    batch: int = 1
    dtype: str = "float32"
    operation: str = "conv"
    channels_last: bool = False

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.input)

    @property
    def function(self) -> str:
        """What it is called in flatconv and in torch.nn.functional."""
        return f"conv_transpose{self.rank}d" if self.transposed else f"conv{self.rank}d"

    @property
    def output(self) -> tuple[int, ...]:
        """The output's spatial sizes."""
        extents = [dilation * (kernel - 1) + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True)]
        axes = list(zip(self.input, extents, self.stride, map(sum, self.padding), strict=True))
        if self.transposed:
            added = self.output_padding or (0,) * self.rank
            return tuple(
                (size - 1) * stride + extent - cut + more
                for (size, extent, stride, cut), more in zip(axes, added, strict=True)
            )
        return tuple((size + padding - extent) // stride + 1 for size, extent, stride, padding in axes)

    @property
    def x_shape(self) -> tuple[int, ...]:
        """(batch, in, *input), or (batch, *input, in)."""
        return self._placed(self.in_channels, self.input)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(out, in / groups, *kernel); of a transposed convolution (in, out / groups, *kernel)."""
        first, second = self.out_channels, self.in_channels
        if self.transposed:
            first, second = second, first
        return (first, second // self.groups, *self.kernel)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """(batch, out, *output), or (batch, *output, out)."""
        return self._placed(self.out_channels, self.output)

    def _placed(self, channels: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return (self.batch, *sizes, channels) if self.channels_last else (self.batch, channels, *sizes)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every array that an operation may read or write."""
        taps = math.prod(self.kernel)
        return {
            "x": self.x_shape,
            "weight": self.weight_shape,
            "bias": (self.out_channels,),
            "y": self.y_shape,
            "columns": (self.batch, self.in_channels * taps, math.prod(self.output)),
        }

    @property
    def depth(self) -> int:
        """The most products in one output."""
        return self.in_channels // self.groups * math.prod(self.kernel)

    @property
    def multiply_adds(self) -> int:
        """As published totals count them: taps that read padding included."""
        positions = math.prod(self.input if self.transposed else self.output)
        return OPERATIONS[self.operation].work * self.batch * positions * math.prod(self.weight_shape)

    @property
    def operations(self) -> int:
        """Two for each real multiply-add."""
        return 2 * ELEMENTS[self.dtype].products * self.multiply_adds

    @property
    def bytes(self) -> int:
        """The least that moves: each array once."""
        operation = OPERATIONS[self.operation]
        elements = sum(math.prod(self.shapes[name]) for name in operation.reads + operation.writes)
        return elements * ELEMENTS[self.dtype].bytes

    @property
    def plain(self) -> bool:
        """Whether it is what most is measured of: a convolution of real numbers, channels first."""
        return self.operation == "conv" and not self.channels_last and self.dtype in ("float32", "float64")

    @property
    def label(self) -> str:
        """A short name that tells problems apart: channels, kernel/stride @input, and what is unusual."""
        channels = f"{self.in_channels}→{self.out_channels}"
        stride = "" if set(self.stride) == {1} else f"/{_by_axis(self.stride)}"
        parts = [channels, f"{_times(self.kernel)}{stride}", f"@{_by_axis(self.input)}"]
        if self.transposed:
            parts.insert(0, "transposed")
        if self.groups == self.in_channels > 1:
            parts.insert(0, "depthwise")
        elif self.groups > 1:
            parts.append(f"groups {self.groups}")
        if set(self.dilation) != {1}:
            parts.append(f"dilation {_by_axis(self.dilation)}")
        if self.padding != centred(self.kernel, self.dilation):
            sides = {f"{before},{after}" if before != after else f"{before}" for before, after in self.padding}
            parts.append(f"padding {'×'.join(sorted(sides))}")
        if self.output_padding and any(self.output_padding):
            parts.append(f"output padding {_by_axis(self.output_padding)}")
        if self.batch > 1:
            parts.append(f"batch {self.batch}")
        if self.operation != "conv":
            parts.append(self.operation)
        if self.channels_last:
            parts.append("channels last")
        if self.dtype != "float32":
            parts.append(self.dtype)
        return " ".join(parts)

    @property
    def classes(self) -> list[str]:
        """The names of the classes that it belongs to."""
        return [name for name, (_, belongs) in (LAYERS if self.plain else OTHERS).items() if belongs(self)]


def problem(
    in_channels: int,
    out_channels: int,
    size: tuple[int, ...],
    kernel: PerAxis = 1,
    stride: PerAxis = 1,
    padding: Padding | None = None,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    transposed: bool = False,
    output_padding: PerAxis = 0,
) -> Problem:
    """Make a float32 problem of batch 1: one number stands for all axes, and padding centres odd kernels by default."""

    def per_axis(value: PerAxis) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else (value,) * len(size)

    kernel, dilation = per_axis(kernel), per_axis(dilation)
    if padding is None:
        pairs = centred(kernel, dilation)
    else:
        sides = padding if isinstance(padding, tuple) else (padding,) * len(size)
        pairs = tuple(side if isinstance(side, tuple) else (side, side) for side in sides)
    return Problem(
        in_channels,
        out_channels,
        size,
        kernel,
        per_axis(stride),
        pairs,
        dilation,
        groups,
        transposed,
        per_axis(output_padding) if transposed else (),
    )


def centred(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The padding of frameworks, (kernel - 1) / 2 on both sides."""
    sides = (spread * (taps - 1) // 2 for taps, spread in zip(kernel, dilation, strict=True))
    return tuple((side, side) for side in sides)


def _times(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))


def _by_axis(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else _times(sizes)


# ----------------------------------------------------------------------------------------------------------------------
# Classes: what decides how a convolution is best computed


def _dense(p: Problem) -> bool:
    return p.groups == 1 and not p.transposed and p.rank == 2 and not _overhead(p)


def _image(p: Problem) -> bool:
    return p.in_channels == p.out_channels == p.groups in (1, 3) and p.rank == 2 and math.prod(p.input) >= 64 * 64


def _compute_bound(p: Problem) -> bool:
    wide = min(p.in_channels, p.out_channels) >= 32
    return _dense(p) and wide and min(p.kernel) > 1 and math.prod(p.output) >= 14 * 14


def _few_channels(p: Problem) -> bool:
    few = min(p.in_channels, p.out_channels) <= 4
    return few and p.groups == 1 and math.prod(p.output) > 1 and not _image(p) and not _overhead(p)


def _overhead(p: Problem) -> bool:
    return p.multiply_adds < 1000 and math.prod(p.output) > 1


def _pointwise(p: Problem) -> bool:
    return _dense(p) and math.prod(p.kernel) == 1 and set(p.stride) == {1} and math.prod(p.output) > 64


def _depthwise(p: Problem) -> bool:
    return p.groups == p.in_channels > 1 and not _image(p)


LAYERS: Classes = {
    "compute-bound": ("k×k, 32 channels or more in and out, 14² pixels or more", _compute_bound),
    "row-kernel": ("1×k and k×1", lambda p: _dense(p) and min(p.kernel) == 1 < max(p.kernel)),
    "pointwise": ("1×1, stride 1, more than 8² pixels", _pointwise),
    "strided-1x1": ("1×1 with stride", lambda p: _dense(p) and max(p.kernel) == 1 < max(p.stride)),
    "few-channels": ("4 channels or fewer, in or out", _few_channels),
    "small-spatial": ("at most 8² output pixels", lambda p: _dense(p) and 1 < math.prod(p.output) <= 64),
    "one-pixel": ("one output pixel", lambda p: _dense(p) and math.prod(p.output) == 1),
    "depthwise": ("every channel for itself", _depthwise),
    "grouped": ("several channels in each of several groups", lambda p: 1 < p.groups < p.in_channels),
    "dilated": ("kernel elements apart", lambda p: max(p.dilation) > 1),
    "transposed": ("transposed", lambda p: p.transposed),
    "1d": ("one spatial axis", lambda p: p.rank == 1),
    "3d": ("three spatial axes", lambda p: p.rank == 3),
    "image": ("one kernel on each channel of a grey or colour image", _image),
    "overhead": ("fewer than 1000 multiply-adds", _overhead),
}

# What is not plain belongs to these, whatever the layer.
OTHERS: Classes = {
    "gradients": ("those of input, weight and bias together", lambda p: p.operation == "gradients"),
    "unfold": ("the region matrix", lambda p: p.operation == "unfold"),
    "fold": ("its adjoint", lambda p: p.operation == "fold"),
    "channels-last": ("convolutions with channels last", lambda p: p.operation == "conv" and p.channels_last),
    "float16": ("convolutions of float16", lambda p: p.operation == "conv" and p.dtype == "float16"),
    "bfloat16": ("convolutions of bfloat16", lambda p: p.operation == "conv" and p.dtype == "bfloat16"),
    "conv_integer": ("bytes to int32", lambda p: p.operation == "conv_integer"),
    "qlinear_conv": ("bytes to bytes", lambda p: p.operation == "qlinear_conv"),
    "complex": ("convolutions of complex numbers", lambda p: p.operation == "conv" and p.dtype.startswith("complex")),
}

CLASSES = {**LAYERS, **OTHERS}
