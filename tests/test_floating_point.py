"""What IEEE 754 says: NaN, infinities, signed zeros, overflow, subnormals."""

import numpy as np
import oracles
import pytest
import torch
from flatconv import conv2d, pack
from flatconv._arguments import ALGORITHMS

pytestmark = [pytest.mark.parametrize("algorithm", ALGORITHMS), pytest.mark.usefixtures("split_work")]


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_reaches_only_the_outputs_that_cover_it(isa, algorithm, dtype):
    x, weight = ones(2, 3, 40, 41, dtype=dtype), ones(17, 3, 3, 3, dtype=dtype)
    x[1, 2, 20, 30] = np.nan
    y = conv2d(x, weight, padding=1, algorithm=algorithm)
    covered = np.zeros(y.shape, bool)
    covered[1, :, 19:22, 29:32] = True
    assert np.array_equal(np.isnan(y), covered)
    assert np.array_equal(y[~covered], conv2d(ones(2, 3, 40, 41), weight, padding=1)[~covered])


def test_nan_weight_reaches_only_its_channel(isa, algorithm):
    x, weight = ones(1, 3, 9, 9), ones(20, 3, 3, 3)
    weight[7, 1, 2, 0] = np.nan
    y = conv2d(x, weight, algorithm=algorithm)
    assert np.isnan(y[:, 7]).all()
    assert np.array_equal(np.delete(y, 7, axis=1), np.full((1, 19, 7, 7), 27))


def test_nan_does_not_cross_images_and_groups(isa, algorithm):
    x, weight = ones(3, 4, 6, 6), ones(6, 2, 3, 3)
    x[1, 2:] = np.nan
    y = conv2d(x, weight, groups=2, algorithm=algorithm)
    expected = np.zeros(y.shape, bool)
    expected[1, 3:] = True
    assert np.array_equal(np.isnan(y), expected)


def test_padding_counts_as_zeros_beside_infinite_weights(isa, algorithm):
    x, weight = ones(1, 1, 5, 6), ones(2, 1, 3, 3)
    weight[1, 0, 0, 1] = np.inf
    y = conv2d(x, weight, padding=1, algorithm=algorithm)
    assert np.isfinite(y[0, 0]).all()
    assert np.isnan(y[0, 1, 0]).all()
    assert np.isposinf(y[0, 1, 1:]).all()


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular", "symmetric"])
def test_padding_is_numpys_beside_everything(isa, rng, algorithm, mode):
    x = rng.choice([1, -2, np.inf, -np.inf, np.nan, -0.0], (2, 2, 7, 8), p=[0.5, 0.3, 0.05, 0.05, 0.05, 0.05])
    weight = rng.choice([1, -3, np.inf, 0.0], (5, 2, 3, 3), p=[0.5, 0.3, 0.1, 0.1])
    x, weight = x.astype(np.float32), weight.astype(np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), (2, 1), (0, 3)], mode=oracles.NUMPY_PAD_MODES[mode])
    y = conv2d(x, weight, padding=((2, 1), (0, 3)), padding_mode=mode, algorithm=algorithm)
    oracles.assert_same_bits(y, conv2d(padded, weight, algorithm="reference"))
    assert 0 < np.isnan(y).mean() < 1


def test_infinities_of_both_signs_are_nan(isa, algorithm):
    x = ones(1, 1, 4, 4)
    x[0, 0, 1, 1], x[0, 0, 2, 2] = np.inf, -np.inf
    y = conv2d(x, ones(1, 1, 2, 2), algorithm=algorithm)
    expected = np.array([[np.inf, np.inf, 4], [np.inf, np.nan, -np.inf], [4, -np.inf, -np.inf]], np.float32)
    oracles.assert_same_bits(y[0, 0], expected)


def test_sums_start_from_plus_zero(isa, algorithm):
    x, weight = np.full((1, 1, 4, 4), -0.0, np.float32), ones(1, 1, 2, 2)
    zeros = np.zeros((1, 1, 3, 3), np.float32)
    oracles.assert_same_bits(conv2d(x, weight, algorithm=algorithm), zeros)
    oracles.assert_same_bits(conv2d(x, weight, np.array([-0.0], np.float32), algorithm=algorithm), zeros)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [None, -0.0])
@pytest.mark.parametrize("channels_last", [False, True])
def test_products_that_underflow_are_no_negative_zeros(isa, algorithm, dtype, bias, channels_last):
    tiny = np.finfo(dtype).smallest_normal
    x, weight = np.full((2, 5, 23, 3), tiny, dtype), np.full((19, 3, 2, 2), -tiny, dtype)
    assert np.signbit(x.flat[0] * weight.flat[0])
    if not channels_last:
        x = np.moveaxis(x, -1, 1)
    offsets = None if bias is None else np.full(19, bias, dtype)
    for residual in (None, -0.0):
        geometry = {"channels_last": channels_last, "algorithm": algorithm}
        y = conv2d(x, weight, offsets, **geometry)
        added = None if residual is None else np.full(y.shape, residual, dtype)
        y = conv2d(x, weight, offsets, **geometry, residual=added)
        oracles.assert_same_bits(y, np.zeros(y.shape, dtype))
        y = pack(weight, offsets, **geometry)(x, added)
        oracles.assert_same_bits(y, np.zeros(y.shape, dtype))
        for activation in ("relu", "relu6", ("clip", -0.0, 1), ("clip", -1, -0.0)):
            y = conv2d(x, weight, offsets, **geometry, residual=added, activation=activation)
            oracles.assert_same_bits(y, np.zeros(y.shape, dtype))


def test_torch_counts_underflow_within_the_bound(isa, algorithm):
    tiny = np.float32(np.finfo(np.float32).smallest_normal)
    x = np.array([tiny, -tiny, 1, -1, 0, -0.0] * 30, np.float32).reshape(1, 3, 6, 10)
    weight = np.array([tiny, -tiny, 0.5, -0.0] * 9, np.float32).reshape(3, 3, 2, 2)
    bias = np.array([-0.0, 0.0, tiny], np.float32)
    expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (x, weight, bias))).numpy()
    y = conv2d(x, weight, bias, algorithm=algorithm)
    oracles.assert_within_bound(y, x, weight, bias, factor=2, expected=expected)
    assert not np.signbit(y[y == 0]).any()


def test_only_a_bound_makes_a_negative_zero(isa, algorithm):
    x, weight = np.full((1, 1, 2, 40), -1, np.float32), ones(18, 1, 1, 1)
    y = conv2d(x, weight, activation=("clip", -0.0, 1), algorithm=algorithm)
    oracles.assert_same_bits(y, np.full(y.shape, -0.0, np.float32))
    y = conv2d(-x, weight, activation=("clip", -1, -0.0), algorithm=algorithm)
    oracles.assert_same_bits(y, np.full(y.shape, -0.0, np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_overflow_is_infinite(isa, algorithm, dtype):
    largest = np.finfo(dtype).max
    x = np.full((1, 1, 3, 3), largest, dtype)
    y = conv2d(x, np.array([[[[1, 1]]], [[[1, -1]]], [[[-1, -1]]]], dtype), algorithm=algorithm)
    for channel, value in enumerate((np.inf, 0, -np.inf)):
        assert np.array_equal(y[0, channel], np.full((3, 2), value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormals_are_kept(isa, algorithm, dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    x = np.full((2, 3, 9, 40), smallest, dtype)
    y = conv2d(x, np.ones((20, 3, 3, 3), dtype), algorithm=algorithm, threads=2)
    assert np.array_equal(y, np.full(y.shape, 27 * smallest))
    x = np.full((2, 3, 9, 40), np.finfo(dtype).smallest_normal, dtype)
    y = conv2d(x, np.full((20, 3, 1, 1), 0.25, dtype), np.full(20, smallest, dtype), algorithm=algorithm, threads=2)
    assert np.array_equal(y, np.full(y.shape, x[0, 0, 0, 0] * dtype(0.75) + smallest))


def test_products_are_not_rounded(isa, algorithm):
    x = np.array([[1 + 2.0**-12, 1]], np.float32)
    weight = np.array([[1 + 2.0**-12, -1 - 2.0**-11]], np.float32)
    # (1 + 2**-12)**2 - (1 + 2**-11) is 2**-24, which a product rounded to 24 bits has lost.
    first = np.array([[x[0, 1], x[0, 0]]])
    y = conv2d(first, weight[:, ::-1].copy(), algorithm=algorithm)
    assert y.item() == 2.0**-24
