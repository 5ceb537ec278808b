"""Convolution against torch, which errs as well: within twice the bound."""

import numpy as np
import oracles
import pytest
import torch
from flatconv import conv2d
from hypothesis import given
from problems import CONV, problems

pytestmark = pytest.mark.usefixtures("split_work")

TORCH_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}

LAYERS = {
    # name: (x, weight, keywords)
    "first layer": ((1, 3, 56, 56), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    "3x3": ((2, 24, 28, 28), (40, 24, 3, 3), {"padding": 1}),
    "1x1": ((1, 64, 14, 14), (96, 64, 1, 1), {}),
    "1x1 with stride": ((1, 64, 15, 15), (32, 64, 1, 1), {"stride": 2}),
    "small and deep": ((1, 256, 7, 7), (48, 256, 3, 3), {"padding": 1}),
    "depthwise": ((2, 33, 19, 23), (33, 1, 3, 3), {"padding": 1, "groups": 33}),
    "depthwise with multiplier": ((1, 12, 20, 20), (24, 1, 5, 5), {"padding": 2, "stride": 2, "groups": 12}),
    "groups": ((2, 32, 13, 17), (48, 8, 3, 3), {"padding": 1, "groups": 4}),
    "dilated": ((1, 8, 40, 40), (16, 8, 3, 3), {"padding": 6, "dilation": 6}),
    "uneven": ((3, 5, 31, 18), (7, 5, 2, 5), {"stride": (3, 2), "padding": (1, 4), "dilation": (4, 1)}),
    "grey image": ((1, 1, 120, 90), (1, 1, 15, 15), {"padding": 7}),
    "unbatched": ((6, 21, 22), (9, 6, 3, 3), {"padding": 1}),
    "signal": ((2, 1, 8000), (32, 1, 80), {"stride": 40, "padding": 20}),
    "dilated signal": ((1, 24, 700), (24, 24, 3), {"padding": 16, "dilation": 16}),
    "depthwise signal": ((2, 40, 333), (40, 1, 31), {"padding": 15, "groups": 40}),
    "unbatched signal": ((5, 100), (7, 5, 9), {}),
    "video": ((1, 3, 8, 30, 32), (16, 3, 3, 5, 5), {"padding": (1, 2, 2), "stride": (1, 2, 2)}),
    "volume": ((2, 16, 9, 10, 11), (24, 8, 3, 3, 3), {"padding": 1, "groups": 2}),
    "unbatched volume": ((4, 9, 8, 7), (6, 4, 3, 3, 3), {"dilation": 2, "padding": 2}),
}


def torch_conv(x, weight, *arguments, **keywords):
    """The same call to torch's function of this rank."""
    return getattr(torch.nn.functional, f"conv{weight.ndim - 2}d")(x, weight, *arguments, **keywords)


def torch_padded_conv(x, weight, bias, stride, padding, dilation, groups, padding_mode="zeros"):
    """The same call to torch, padding first where its convolutions cannot."""
    x, weight = torch.from_numpy(x), torch.from_numpy(weight)
    pairs = oracles.pad_pairs(padding, x.shape[2:], weight.shape[2:], stride, dilation)
    last_axis_first = [amount for pair in reversed(pairs) for amount in pair]
    x = torch.nn.functional.pad(x, last_axis_first, mode=TORCH_PAD_MODES[padding_mode])
    bias = None if bias is None else torch.from_numpy(bias)
    return torch_conv(x, weight, bias, stride, 0, dilation, groups).numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(isa, rng, layer, dtype):
    x_shape, weight_shape, keywords = LAYERS[layer]
    x, weight = rng.standard_normal(x_shape).astype(dtype), rng.standard_normal(weight_shape).astype(dtype)
    bias = rng.standard_normal(weight_shape[0]).astype(dtype)
    tensors = [torch.from_numpy(array) for array in (x, weight, bias)]
    expected = torch_conv(*tensors, **keywords).numpy()
    y = CONV[weight.ndim - 2](x, weight, bias, **keywords)
    batched = (slice(None),) if x.ndim == weight.ndim else (None,)
    oracles.assert_within_bound(y[batched], x[batched], weight, bias, factor=2, expected=expected[batched], **keywords)


def _within_torchs_padding(problem):
    """Torch's reflection and wrapping go around once at most."""
    sizes, kernel = problem.x.shape[2:], problem.weight.shape[2:]
    padding, stride, dilation = (problem.geometry[name] for name in ("padding", "stride", "dilation"))
    pairs = oracles.pad_pairs(padding, sizes, kernel, stride, dilation)
    once = {"reflect": 1, "circular": 0}.get(problem.geometry["padding_mode"])
    return once is None or all(max(pair) <= size - once for pair, size in zip(pairs, sizes, strict=True))


@given(problem=problems(modes=tuple(TORCH_PAD_MODES), layouts=("contiguous",)).filter(_within_torchs_padding))
def test_drawn_problems(problem):
    y = problem.conv(problem.x, problem.weight, problem.bias, **problem.geometry)
    expected = torch_padded_conv(problem.x, problem.weight, problem.bias, **problem.geometry)
    oracles.assert_within_bound(
        y, problem.x, problem.weight, problem.bias, factor=2, expected=expected, **problem.geometry
    )


def test_tensors_are_taken():
    x, weight = torch.ones(1, 2, 5, 5), torch.ones(3, 2, 3, 3)
    y = conv2d(x, weight)
    assert type(y) is np.ndarray
    assert np.array_equal(y, np.full((1, 3, 3, 3), 18, np.float32))
