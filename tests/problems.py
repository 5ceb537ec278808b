"""Convolutions drawn by Hypothesis: shapes, strides, paddings, groups, layouts, and data to go with them."""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from layouts import READABLE

PADDING_MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")


@dataclass
class Problem:
    """The arguments of one call; the arrays may lie in memory in any way."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    geometry: dict = field(default_factory=dict)

    @property
    def dense(self):
        """The arrays' values in plain native memory."""
        native = self.x.dtype.newbyteorder("=")
        return [
            None if each is None else np.array(each, native, order="C") for each in (self.x, self.weight, self.bias)
        ]


@st.composite
def problems(draw, dtypes=(np.float32, np.float64), layouts=tuple(READABLE), modes=PADDING_MODES, integers=False):
    """Any valid call with a batch."""
    dtype = draw(st.sampled_from(dtypes))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    batch = draw(st.integers(1, 3))
    in_channels = draw(st.integers(1, 5))
    out_channels = draw(st.integers(1, 19 if groups == 1 else 5))
    mode = draw(st.sampled_from(modes))
    kernel, sizes, stride, dilation, pads = zip(*(draw(_axes(mode)) for _ in range(2)), strict=True)
    padding = draw(st.sampled_from(["pairs", "pairs", "valid", "same", "same_lower", "full"]))
    fits = all(k <= size for k, size in zip(_extents(kernel, dilation), sizes, strict=True))
    if padding == "pairs" or (padding == "valid" and not fits):
        padding = pads
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)

    def data(*shape):
        values = rng.integers(-8, 9, shape) if integers else rng.standard_normal(shape)
        return np.asarray(values, dtype)

    bias = data(groups * out_channels) if draw(st.booleans()) else None
    x = READABLE[draw(st.sampled_from(layouts))](data(batch, groups * in_channels, *sizes))
    weight = READABLE[draw(st.sampled_from(layouts))](data(groups * out_channels, in_channels, *kernel))
    if bias is not None:
        bias = READABLE[draw(st.sampled_from(layouts))](bias)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
    return Problem(x, weight, bias, geometry)


@st.composite
def _axes(draw, mode):
    """Kernel, size, stride, dilation and padding of one axis, such that there is at least one output."""
    kernel, stride, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    (extent,) = _extents([kernel], [dilation])
    before, after = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    size = draw(st.integers(max(1, extent - before - after), 24))
    return kernel, size, stride, dilation, (before, after)


def _extents(kernel, dilation):
    return [(taps - 1) * spread + 1 for taps, spread in zip(kernel, dilation, strict=True)]
