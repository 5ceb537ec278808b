"""What the gradients of every kind and rank have in common: arguments are checked, then the core computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flatconv import _core
from flatconv._arguments import (
    ALGORITHMS,
    amounts,
    byte_limit,
    choice,
    flag,
    integer,
    padding_mode_name,
    per_axis,
    sizes,
    thread_cap,
)
from flatconv._arrays import check_out, computed, promoted
from flatconv._shapes import check_channels, check_ranks, check_transposed_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Geometry(NamedTuple):
    """The geometry of a convolution as its caller gave it."""

    stride: Any
    padding: Any
    dilation: Any
    groups: Any
    padding_mode: Any
    channels_last: Any = False
    transposed: bool = False
    output_padding: Any = 0

    def described(self, rank: int) -> tuple[Any, ...]:
        """Checked for type, in the order of the core's arguments."""
        return (
            per_axis("stride", self.stride, rank),
            amounts(self.padding, rank),
            per_axis("dilation", self.dilation, rank),
            integer("groups", self.groups),
            padding_mode_name(self.padding_mode),
            self.transposed,
            per_axis("output_padding", self.output_padding, rank),
            flag("channels_last", self.channels_last),
        )

    def check_shapes(self, rank: int, x: tuple[int, ...], weight: tuple[int, ...], name: str) -> None:
        """Check that x, which the caller calls `name`, and weight belong together."""
        axes = "(in, out, " if self.transposed else "(out, in, "
        check_ranks(rank, x, weight, name, axes)
        groups = integer("groups", self.groups)
        channels_last = flag("channels_last", self.channels_last)
        if self.transposed:
            check_transposed_channels(rank, x, weight, groups, name, channels_last=channels_last)
        elif len(x) == rank and groups != 1:
            check_channels(rank, (1, *x), (1, 1, *weight), groups, name)
        elif len(x) > rank and x[-1 if channels_last else -rank - 1] != weight[1] * groups:
            check_channels(rank, x, weight, groups, name, channels_last=channels_last)


class Run(NamedTuple):
    """How to compute, as the caller said."""

    out: Any
    threads: Any
    algorithm: Any
    workspace_limit: Any

    def described(self, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """Checked, in the order of the core's arguments."""
        if self.out is not None:
            check_out(self.out, dtype)
        algorithm = choice("algorithm", self.algorithm, ALGORITHMS)
        return self.out, thread_cap(self.threads), algorithm, byte_limit(self.workspace_limit)


def input_gradient(rank: int, size: Any, weight: Any, grad_output: Any, geometry: Geometry, run: Run) -> NDArray[Any]:
    """The gradient with respect to an input of shape `size`."""
    dtype, (weight, grad_output) = promoted(2, weight=weight, grad_output=grad_output)
    size = sizes("input_size", size)
    geometry.check_shapes(rank, size, weight.shape, "input_size")
    described = geometry.described(rank)
    return _core.conv_input_gradient(size, weight, grad_output, *described, *run.described(dtype))


def weight_gradient(rank: int, x: Any, size: Any, grad_output: Any, geometry: Geometry, run: Run) -> NDArray[Any]:
    """The gradient with respect to a weight of shape `size`."""
    dtype, (x, grad_output) = promoted(2, input=x, grad_output=grad_output)
    size = sizes("weight_size", size)
    geometry.check_shapes(rank, x.shape, size, "input.shape")
    return _core.conv_weight_gradient(x, size, grad_output, *geometry.described(rank), *run.described(dtype))


def bias_gradient(rank: int, grad_output: Any, channels_last: Any, threads: Any) -> NDArray[Any]:
    """The gradient with respect to the bias: that of a weight of one element which meets nothing but ones."""
    grad_output = computed("grad_output", grad_output)
    shape = grad_output.shape
    if grad_output.dtype.kind == "c":
        # Ones have no imaginary part, but it would be multiplied with, and 0 times infinity added.
        parts = [bias_gradient(rank, part, channels_last, threads) for part in (grad_output.real, grad_output.imag)]
        gradient = np.empty(parts[0].shape, grad_output.dtype)
        gradient.real, gradient.imag = parts
        return gradient
    if not rank <= len(shape) <= rank + 2:
        raise ValueError(f"grad_output must have {rank} to {rank + 2} dimensions, got grad_output.shape = {shape}")
    if flag("channels_last", channels_last) and len(shape) > rank:
        grad_output = np.moveaxis(grad_output, -1, -rank - 1)
    channels = grad_output.shape[-rank - 1 : -rank]
    spatial = grad_output.shape[-rank:]
    if 0 in spatial:
        raise ValueError(f"grad_output.shape = {shape} has no positions")
    like = (*grad_output.shape[: -rank - 1], *(1 for _ in channels), *spatial)
    # The same one everywhere; np.broadcast_to would take longer than the core.
    ones = np.ndarray(like, grad_output.dtype, np.ones((), grad_output.dtype), strides=(0,) * len(like))
    size = (*channels, *(1 for _ in channels), *(1 for _ in spatial))
    geometry = Geometry(1, 0, 1, 1, "zeros").described(rank)
    run = Run(None, threads, "auto", None).described(grad_output.dtype)
    return _core.conv_weight_gradient(ones, size, grad_output, *geometry, *run).reshape(channels)
