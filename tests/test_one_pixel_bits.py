"""Layers with a single output pixel, alone or as a batch: a vector times the weights, with the reference's bits."""

import ml_dtypes
import numpy as np
import oracles
import pytest
from flatconv import conv2d, pack
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import READABLE, WRITABLE
from problems import activations, normal

pytestmark = pytest.mark.usefixtures("split_work")

DTYPES = (np.float32, np.float64, np.complex64, np.float16, ml_dtypes.bfloat16)
# Around vectors of every length, panels, and blocks of depth.
DEPTHS = (1, 3, 4, 8, 15, 16, 17, 31, 33, 100, 383, 384, 385, 391, 768, 1155)
CHANNELS = (1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 50, 97)


def compare(
    x, weight, bias, residual=None, activation=None, groups=1, stride=1, threads=(1, 3), layout=None, last=False
):
    """Plain and packed calls with the reference."""
    expected = conv2d(
        x, weight, bias, stride, groups=groups, residual=residual, activation=activation, algorithm="reference"
    )
    layer = pack(weight, bias, stride, groups=groups, activation=activation, channels_last=last)
    if last:
        x, expected = np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1)
        residual = None if residual is None else np.moveaxis(residual, 1, -1)
    for count in threads:
        out = None if layout is None else layout(np.zeros(expected.shape, expected.dtype))
        plain = conv2d(
            x,
            weight,
            bias,
            stride,
            groups=groups,
            residual=residual,
            activation=activation,
            channels_last=last,
            out=out,
            threads=count,
        )
        oracles.assert_same_bits(np.array(plain), np.array(expected))
        oracles.assert_same_bits(np.array(layer(x, residual, out=out, threads=count)), np.array(expected))


@settings(max_examples=150)
@given(data=st.data())
def test_drawn_layers(isa, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    groups = data.draw(st.sampled_from((1, 1, 1, 2)))
    depth, channels = data.draw(st.sampled_from(DEPTHS)), groups * data.draw(st.sampled_from(CHANNELS))
    batch = data.draw(st.sampled_from((1, 1, 2, 8, 17)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = data.draw(st.sampled_from((1, 1, 2)))
    x = normal(rng, dtype, batch, groups * depth, size, size)
    weight = normal(rng, dtype, channels, depth, 1, 1)
    bias = normal(rng, dtype, channels) if data.draw(st.booleans()) else None
    residual = normal(rng, dtype, batch, channels, 1, 1) if data.draw(st.booleans()) else None
    activation = data.draw(activations()) if dtype is not np.complex64 else None
    readable = st.sampled_from([READABLE[name] for name in READABLE if name != "big_endian" or dtype in DTYPES[:2]])
    x, weight = (data.draw(readable)(each) if data.draw(st.booleans()) else each for each in (x, weight))
    writable = WRITABLE[data.draw(st.sampled_from(tuple(WRITABLE)))] if data.draw(st.booleans()) else None
    compare(
        x,
        weight,
        bias,
        residual,
        activation,
        groups,
        stride=size,
        layout=writable,
        last=data.draw(st.booleans()),
    )


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("depth", [5, 40, 403])
def test_infinities_nans_and_zeros(isa, batch, depth, rng):
    special = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1e-45, 3e38, 1], np.float32)
    for channels in (3, 21, 40):
        x = np.where(rng.random((batch, depth, 1, 1)) < 0.02, rng.choice(special, (batch, depth, 1, 1)), 1)
        weight = rng.standard_normal((channels, depth, 1, 1)).astype(np.float32)
        weight[rng.random(weight.shape) < 0.02] = rng.choice(special)
        weight[0], weight[1] = -0.0, 0.0
        compare(x.astype(np.float32), weight, np.full(channels, -0.0, np.float32))


def test_without_depth():
    x, weight = np.zeros((1, 0, 1, 1), np.float32), np.zeros((40, 0, 1, 1), np.float32)
    compare(x, weight, np.arange(40, dtype=np.float32))


@pytest.mark.parametrize(
    ("channels", "depth", "batch", "words"),
    [(40, 50, 1, "of a single pixel, weights read from panels"), (40, 50, 8, "1 band of 8 pixels")],
)
def test_the_explanation_says_so(channels, depth, batch, words):
    layer = pack(np.ones((channels, depth, 1, 1), np.float32))
    taken = layer.explain((batch, depth, 1, 1), threads=1).splitlines()[1]
    assert taken.startswith("channels: ")
    assert words in taken


def test_the_workspace_does_not_grow_with_the_batch():
    layer = pack(np.ones((64, 1000, 1, 1), np.float32))
    few, many = (layer.workspace_bytes((batch, 1000, 1, 1), threads=1) for batch in (1, 1_000_000))
    assert few < 20_000
    assert many < 2**20


def test_many_channels_need_no_more_memory_than_a_band() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((1, 100_000, 1, 1), dtype=np.float32)
    weight = rng.standard_normal((8, 100_000, 1, 1), dtype=np.float32)
    y = conv2d(x, weight, workspace_limit=65536, threads=1)
    oracles.assert_same_bits(y, conv2d(x, weight, algorithm="reference"))
