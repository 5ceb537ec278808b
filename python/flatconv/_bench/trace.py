"""Follows a feature map through a network and counts the convolutions on the way. The networks are written with it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from flatconv._bench.problems import Problem, problem

if TYPE_CHECKING:
    from flatconv._bench.problems import Padding, PerAxis


class Trace:
    """A feature map on its way: its channels and sizes now, and the layers so far, with how often each occurs."""

    def __init__(self, channels: int, *size: int, layers: Counter[Problem] | None = None) -> None:
        self.channels = channels
        self.size = size
        self.layers: Counter[Problem] = Counter() if layers is None else layers

    def conv(
        self,
        out_channels: int,
        kernel: PerAxis = 1,
        stride: PerAxis = 1,
        *,
        padding: Padding | None = None,
        dilation: PerAxis = 1,
        groups: int = 1,
    ) -> Trace:
        """Apply a convolution; see `problem` for the defaults."""
        return self._apply(problem(self.channels, out_channels, self.size, kernel, stride, padding, dilation, groups))

    def transposed(self, out_channels: int, kernel: PerAxis, stride: PerAxis, padding: Padding = 0) -> Trace:
        """Apply a transposed convolution."""
        return self._apply(problem(self.channels, out_channels, self.size, kernel, stride, padding, transposed=True))

    def _apply(self, layer: Problem) -> Trace:
        self.layers[layer] += 1
        self.channels, self.size = layer.out_channels, layer.output
        return self

    def pool(self, kernel: PerAxis, stride: PerAxis, padding: Padding = 0) -> Trace:
        """Change the sizes as pooling does."""
        self.size = problem(1, 1, self.size, kernel, stride, padding).output
        return self

    def resize(self, size: int) -> Trace:
        """Set the sizes, e.g. to 1 for a global average."""
        self.size = (size,) * len(self.size)
        return self

    def become(self, channels: int) -> Trace:
        """Set the channels, as joining feature maps does."""
        self.channels = channels
        return self

    def branch(self) -> Trace:
        """Another way from here, whose layers count too."""
        return Trace(self.channels, *self.size, layers=self.layers)
