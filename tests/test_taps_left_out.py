"""Products with padding that are left out: nothing of it shows, whatever the weights are."""

import numpy as np
import oracles
import pytest
from flatconv import conv1d, conv2d, conv3d, pack
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("split_work")
CONV = {1: conv1d, 2: conv2d, 3: conv3d}


@st.composite
def wide_paddings(draw):
    """Layers whose outputs mostly read padding: small images, large steps between the kernel's elements."""
    rank = draw(st.integers(1, 3))
    size, kernel, stride, dilation, before, after = (
        tuple(draw(st.integers(low, high)) for _ in range(rank))
        for low, high in [(1, 14), (1, 4), (1, 2), (1, 9), (0, 13), (0, 13)]
    )
    whole = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    after = tuple(max(a, w - s - b) for a, w, s, b in zip(after, whole, size, before, strict=True))
    channels = draw(st.integers(1, 50)), draw(st.integers(1, 70))
    return (
        size,
        kernel,
        {"stride": stride, "padding": tuple(zip(before, after, strict=True)), "dilation": dilation},
        channels,
    )


@settings(max_examples=100)
@given(layer=wide_paddings(), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_left_out_taps_change_no_bit(isa, layer, seed, data):
    size, kernel, geometry, (in_channels, out_channels) = layer
    rng = np.random.default_rng(seed)
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    x = rng.standard_normal((data.draw(st.integers(1, 2)), in_channels, *size)).astype(dtype)
    weight = rng.standard_normal((out_channels, in_channels, *kernel)).astype(dtype)
    kind = data.draw(st.sampled_from(["ordinary", "underflow", "infinite", "nan"]))
    if kind == "underflow":
        weight *= np.finfo(dtype).tiny
    elif kind != "ordinary":
        weight[tuple(int(rng.integers(n)) for n in weight.shape)] = float(kind[:3])
    rank = len(size)
    expected = CONV[rank](x, weight, algorithm="reference", **geometry)
    threads = data.draw(st.integers(1, 3))
    oracles.assert_same_bits(CONV[rank](x, weight, algorithm="channels", threads=threads, **geometry), expected)
    layer = pack(weight, algorithm="channels", **geometry)
    oracles.assert_same_bits(layer(x, threads=threads), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("channels", "size", "kernel", "padding", "dilation"),
    [
        ((96, 80), (11, 11), (1, 7), (0, 3), 1),
        ((128, 112), (8, 8), (3, 3), (1, 1), 1),
        ((48, 80), (4, 6, 6), (3, 3, 3), (1, 1, 1), 1),
        ((96, 64), (13, 20), (3, 3), (6, 6), 6),
        ((12, 40), (6, 7), (9, 9), (4, 4), 1),
    ],
)
def test_rows_that_are_cut_at_their_sides(isa, channels, size, kernel, padding, dilation, dtype):
    """Large enough for rows to be cut, into columns that tiles go along."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, channels[0], *size)).astype(dtype)
    weight = rng.standard_normal((channels[1], channels[0], *kernel)).astype(dtype)
    geometry = {"padding": padding, "dilation": dilation}
    expected = CONV[len(size)](x, weight, algorithm="reference", **geometry)
    layer = pack(weight, algorithm="channels", **geometry)
    oracles.assert_same_bits(layer(x, threads=1), expected)
    oracles.assert_same_bits(CONV[len(size)](x, weight, algorithm="channels", threads=2, **geometry), expected)


@pytest.mark.parametrize("row", [0, 40, 69])
@pytest.mark.parametrize("batch", [1, 7])
def test_one_weight_that_is_not_finite_is_enough(isa, batch, row):
    """Weights are packed by each task where images are few, else all of them at first; or by `pack`."""
    x, weight = np.ones((batch, 3, 5, 5), np.float32), np.ones((70, 3, 3, 3), np.float32)
    weight[row, 1, 0, 2] = np.inf
    expected = conv2d(x, weight, padding=4, dilation=4, algorithm="reference")
    assert np.isnan(expected[:, row, 0]).all()
    assert np.isfinite(np.delete(expected, row, axis=1)).all()
    for layer in (pack(weight, padding=4, dilation=4, algorithm="channels"), None):
        y = layer(x) if layer else conv2d(x, weight, padding=4, dilation=4, algorithm="channels")
        oracles.assert_same_bits(y, expected)


def test_an_image_without_pixels_under_the_kernel_is_the_bias(isa):
    x, weight = np.ones((1, 2, 1, 1), np.float32), np.ones((40, 2, 2, 2), np.float32)
    bias = np.arange(40, dtype=np.float32)
    y = conv2d(x, weight, bias, padding=3, dilation=2, stride=3, algorithm="channels")
    oracles.assert_same_bits(y, conv2d(x, weight, bias, padding=3, dilation=2, stride=3, algorithm="reference"))
    assert np.array_equal(y[0, :, 0, 0], bias)
