"""Transposed convolutions and gradients drawn by Hypothesis, of every rank, and the public functions that do them."""

from dataclasses import dataclass

import flatconv
import numpy as np
from flatconv import grad
from hypothesis import strategies as st
from layouts import READABLE
from problems import PADDING_MODES, normal

CONV_TRANSPOSE = {1: flatconv.conv_transpose1d, 2: flatconv.conv_transpose2d, 3: flatconv.conv_transpose3d}
INPUT = {
    False: {1: grad.conv1d_input, 2: grad.conv2d_input, 3: grad.conv3d_input},
    True: {1: grad.conv_transpose1d_input, 2: grad.conv_transpose2d_input, 3: grad.conv_transpose3d_input},
}
WEIGHT = {
    False: {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight},
    True: {1: grad.conv_transpose1d_weight, 2: grad.conv_transpose2d_weight, 3: grad.conv_transpose3d_weight},
}


@dataclass
class Problem:
    """A convolution or a transposed one; the arrays may lie in memory in any way. grad_output is like its output."""

    transposed: bool
    rank: int
    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    grad_output: np.ndarray
    geometry: dict

    @property
    def dense(self):
        """The same with plain native memory."""
        arrays = (self.x, self.weight, self.bias, self.grad_output)
        arrays = [np.array(each, each.dtype.newbyteorder("="), order="C") for each in arrays]
        return Problem(self.transposed, self.rank, *arrays, self.geometry)

    def conv_transpose(self, **run):
        return CONV_TRANSPOSE[self.rank](self.x, self.weight, self.bias, **self.geometry, **run)

    def input_gradient(self, **run):
        gradient = INPUT[self.transposed][self.rank]
        return gradient(self.x.shape, self.weight, self.grad_output, **self.geometry, **run)

    def weight_gradient(self, **run):
        gradient = WEIGHT[self.transposed][self.rank]
        return gradient(self.x, self.weight.shape, self.grad_output, **self.geometry, **run)

    @property
    def operations(self):
        """The functions of this module that the problem has."""
        return [self.input_gradient, self.weight_gradient, *([self.conv_transpose] if self.transposed else [])]


@st.composite
def adjoint_problems(draw, layouts=tuple(READABLE), modes=PADDING_MODES, dtypes=None):
    rank, transposed = draw(st.sampled_from((1, 2, 2, 3))), draw(st.booleans())
    dtype = np.dtype(draw(st.sampled_from(dtypes or (np.float32, np.float64))))
    groups, batch = draw(st.sampled_from((1, 1, 2, 3))), draw(st.integers(1, 3))
    inner, outer = draw(st.integers(1, 5)), draw(st.integers(1, 19 if groups == 1 else 4))
    mode = "zeros" if transposed else draw(st.sampled_from(modes))
    most = 5 if rank == 3 else 9
    axes = [draw(_axis(transposed, most)) for _ in range(rank)]
    kernel, size, stride, dilation, padding, output_padding, output = zip(*axes, strict=True)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    geometry |= {"output_padding": output_padding} if transposed else {"padding_mode": mode}
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def data(*shape):
        return READABLE[draw(st.sampled_from(layouts))](normal(rng, dtype, *shape))

    channels, out_channels = groups * inner, groups * outer
    weight_shape = (channels, outer) if transposed else (out_channels, inner)
    return Problem(
        transposed,
        rank,
        data(batch, channels, *size),
        data(*weight_shape, *kernel),
        data(out_channels),
        data(batch, out_channels, *output),
        geometry,
    )


@st.composite
def _axis(draw, transposed, most):
    """Kernel, size, stride, dilation, padding, output padding and output size of one axis."""
    kernel, stride, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    extent = (kernel - 1) * dilation + 1
    before, after = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    if not transposed:
        size = draw(st.integers(max(1, extent - before - after), max(1, extent - before - after) + 2 * most))
        return kernel, size, stride, dilation, (before, after), 0, (size + before + after - extent) // stride + 1
    size, extra = draw(st.integers(1, most)), draw(st.integers(0, max(stride, dilation) - 1))
    whole = (size - 1) * stride + extent + extra
    before = min(before, whole - 1)
    after = min(after, whole - 1 - before)
    return kernel, size, stride, dilation, (before, after), extra, whole - before - after
