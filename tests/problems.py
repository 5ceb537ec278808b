"""Convolutions drawn by Hypothesis: ranks, shapes, strides, paddings, groups, layouts, and data to go with them."""

from dataclasses import dataclass, field

import numpy as np
from flatconv import conv1d, conv2d, conv3d
from hypothesis import strategies as st
from layouts import READABLE

CONV = {1: conv1d, 2: conv2d, 3: conv3d}

# x, kernel, and the rest of the geometry.
EVERY_RANK = {
    1: ((2, 3, 29), (4,), {"stride": 2, "padding": ((1, 3),), "dilation": 3}),
    2: ((2, 3, 9, 8), (3, 2), {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2)}),
    3: ((2, 3, 6, 5, 7), (2, 3, 2), {"stride": (1, 2, 3), "padding": (1, 0, 2), "dilation": (2, 1, 1)}),
}

PADDING_MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")


def normal(rng, dtype, *shape):
    """Normally distributed numbers, also of the imaginary part if there is one."""
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


@dataclass
class Problem:
    """The arguments of one call; the arrays may lie in memory in any way."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    geometry: dict = field(default_factory=dict)

    @property
    def conv(self):
        """The function of this rank."""
        return CONV[self.x.ndim - 2]

    @property
    def regions(self):
        """The keywords of im2col: those of the convolution without its groups."""
        return {name: value for name, value in self.geometry.items() if name != "groups"}

    @property
    def dense(self):
        """The arrays' values in plain native memory."""
        native = self.x.dtype.newbyteorder("=")
        return [
            None if each is None else np.array(each, native, order="C") for each in (self.x, self.weight, self.bias)
        ]


@st.composite
def problems(
    draw,
    dtypes=(np.float32, np.float64),
    layouts=tuple(READABLE),
    modes=PADDING_MODES,
    integers=False,
    ranks=(1, 2, 2, 3),
):
    """Any valid call with a batch."""
    rank = draw(st.sampled_from(ranks))
    dtype = draw(st.sampled_from(dtypes))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    batch = draw(st.integers(1, 3))
    in_channels = draw(st.integers(1, 5))
    out_channels = draw(st.integers(1, 19 if groups == 1 else 5))
    mode = draw(st.sampled_from(modes))
    kernel, sizes, stride, dilation, pads = zip(*(draw(_axes(rank)) for _ in range(rank)), strict=True)
    padding = draw(st.sampled_from(["pairs", "pairs", "valid", "same", "same_lower", "full"]))
    fits = all(k <= size for k, size in zip(_extents(kernel, dilation), sizes, strict=True))
    if padding == "pairs" or (padding == "valid" and not fits):
        padding = pads
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)

    def data(*shape):
        values = rng.integers(-8, 9, shape) if integers else normal(rng, dtype, *shape)
        return np.asarray(values, dtype)

    bias = data(groups * out_channels) if draw(st.booleans()) else None
    x = READABLE[draw(st.sampled_from(layouts))](data(batch, groups * in_channels, *sizes))
    weight = READABLE[draw(st.sampled_from(layouts))](data(groups * out_channels, in_channels, *kernel))
    if bias is not None:
        bias = READABLE[draw(st.sampled_from(layouts))](bias)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "padding_mode": mode}
    return Problem(x, weight, bias, geometry)


@st.composite
def activations(draw):
    """Any valid argument `activation`."""
    bounds = sorted(draw(st.tuples(*[st.sampled_from([-np.inf, -1, -0.25, 0, 0.5, 6, np.inf])] * 2)))
    slope = ("leaky_relu", draw(st.sampled_from([0.01, 0, 1, -0.5, 3])))
    curves = ["sigmoid", "tanh", "silu", "gelu", "hardswish", ("gelu",)]
    return draw(st.sampled_from([None, "relu", "relu6", ("relu",), ("clip", *bounds), slope, *curves]))


@st.composite
def residuals(draw, shape, dtype):
    """An array of this shape in any layout; of some axes there may be one element, for all of their length."""
    sizes = [draw(st.sampled_from([size, size, size, 1])) for size in shape]
    values = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(sizes).astype(dtype)
    if draw(st.integers(0, 3)) == 0:
        values.flat[0] = np.nan
    return READABLE[draw(st.sampled_from(tuple(READABLE)))](np.broadcast_to(values, shape))


@st.composite
def _axes(draw, rank):
    """Kernel, size, stride, dilation and padding of one axis, such that there is at least one output."""
    largest, most_taps, most_padding = {1: (90, 9, 12), 2: (24, 5, 6), 3: (8, 3, 3)}[rank]
    kernel, stride, dilation = draw(st.integers(1, most_taps)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    (extent,) = _extents([kernel], [dilation])
    before, after = draw(st.integers(0, most_padding)), draw(st.integers(0, most_padding))
    least = max(1, extent - before - after)
    size = draw(st.integers(least, max(least, largest)))
    return kernel, size, stride, dilation, (before, after)


def _extents(kernel, dilation):
    return [(taps - 1) * spread + 1 for taps, spread in zip(kernel, dilation, strict=True)]
