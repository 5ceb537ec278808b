"""Channels last, activations and residuals: the bits of the plain convolution, finished in NumPy."""

import numpy as np
import oracles
import pytest
import torch
from flatconv import conv2d
from flatconv._arguments import ALGORITHMS
from hypothesis import given
from hypothesis import strategies as st
from layouts import WRITABLE
from problems import activations, problems, residuals

pytestmark = pytest.mark.usefixtures("split_work")


def reference(x, weight, bias=None, **geometry):
    return conv2d(x, weight, bias, **geometry, algorithm="reference", threads=1)


def last(array):
    """The same elements with their channels as the last axis."""
    return np.moveaxis(array, -3, -1)


def first(array):
    return np.moveaxis(array, -1, -3)


def poisoned(shape, dtype):
    return np.full(shape, np.nan, dtype)


@given(problem=problems(ranks=(2,)), data=st.data())
def test_drawn_problems(isa, problem, data):
    plain = reference(*problem.dense, **problem.geometry)
    activation = data.draw(activations())
    residual = data.draw(st.none() | residuals(plain.shape, plain.dtype))
    channels_last = data.draw(st.booleans())
    expected = oracles.finished(plain, residual, activation).astype(plain.dtype)
    x, added, turn = problem.x, residual, np.asarray
    if channels_last:
        turn = np.ascontiguousarray if data.draw(st.booleans()) else np.asarray
        x, expected = turn(last(x)), last(expected)
        added = None if residual is None else turn(last(residual))
    layout = WRITABLE[data.draw(st.sampled_from(tuple(WRITABLE)))] if data.draw(st.booleans()) else np.ascontiguousarray
    for algorithm in ALGORITHMS:
        out = layout(poisoned(expected.shape, plain.dtype))
        y = conv2d(
            x,
            problem.weight,
            problem.bias,
            **problem.geometry,
            channels_last=channels_last,
            activation=activation,
            residual=added,
            out=out,
            threads=data.draw(st.sampled_from([1, 2, 3, 7])),
            algorithm=algorithm,
        )
        assert y is out
        oracles.assert_same_bits(np.array(out), np.array(expected))


# ----------------------------------------------------------------------------------------------------------------------
# Channels last


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels", [1, 2, 3, 15, 16, 17, 33, 70])
def test_channels_last_is_channels_first(isa, rng, dtype, algorithm, channels):
    x = rng.standard_normal((2, 9, 14, channels)).astype(dtype)
    weight = rng.standard_normal((channels + 1, channels, 3, 2)).astype(dtype)
    y = conv2d(x, weight, padding=1, stride=(1, 2), channels_last=True, algorithm=algorithm)
    assert y.flags.c_contiguous
    oracles.assert_same_bits(first(y), conv2d(first(x), weight, padding=1, stride=(1, 2)))


def test_one_image_and_plain_ones_may_be_channels_last(isa, rng):
    x, weight = rng.standard_normal((9, 14, 5)), rng.standard_normal((4, 5, 3, 2))
    oracles.assert_same_bits(first(conv2d(x, weight, channels_last=True)), conv2d(first(x), weight))
    oracles.assert_same_bits(conv2d(x[..., 0], weight[0, 0], channels_last=True), conv2d(x[..., 0], weight[0, 0]))


def test_channels_last_of_numpys_own_booleans(rng):
    x, weight = rng.standard_normal((2, 9, 14, 5)), rng.standard_normal((4, 5, 3, 2))
    expected = conv2d(x, weight, channels_last=True)
    oracles.assert_same_bits(conv2d(x, weight, channels_last=np.True_), expected)
    oracles.assert_same_bits(last(conv2d(first(x), weight, channels_last=np.False_)), expected)


def test_empty_results_have_their_channels_last():
    x, weight = np.ones((0, 8, 9, 3), np.float32), np.ones((4, 3, 3, 3), np.float32)
    assert conv2d(x, weight, channels_last=True).shape == (0, 6, 7, 4)


# ----------------------------------------------------------------------------------------------------------------------
# Activations

TORCH_ACTIVATIONS = {
    "relu": torch.relu,
    "relu6": torch.nn.functional.relu6,
    ("clip", -0.5, 1.25): lambda y: torch.clamp(y, -0.5, 1.25),
    ("clip", np.int64(-1), np.float32(2)): lambda y: torch.clamp(y, -1, 2),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("activation", TORCH_ACTIVATIONS)
def test_activations_are_torchs(isa, rng, dtype, algorithm, activation):
    x = rng.standard_normal((2, 3, 9, 20)).astype(dtype)
    x[0, 1, 4, 7], x[1, 2, 3, 11], x[1, 0, 8, 0] = np.nan, np.inf, -np.inf
    weight, bias = rng.standard_normal((18, 3, 3, 3)).astype(dtype), rng.standard_normal(18).astype(dtype)
    plain = conv2d(x, weight, bias, padding=1)
    assert {bool(np.isnan(plain).any()), bool(np.isposinf(plain).any()), bool(np.isneginf(plain).any())} == {True}
    y = conv2d(x, weight, bias, padding=1, activation=activation, algorithm=algorithm)
    oracles.assert_same_bits(y, TORCH_ACTIVATIONS[activation](torch.from_numpy(plain)).numpy())


@given(problem=problems(ranks=(2,), modes=("zeros",), layouts=("contiguous",)), data=st.data())
def test_torch_computes_the_same(problem, data):
    x, weight, bias = problem.dense
    geometry = problem.geometry
    padding = oracles.pad_pairs(
        geometry["padding"], x.shape[2:], weight.shape[2:], geometry["stride"], geometry["dilation"]
    )
    padded = torch.nn.functional.pad(torch.from_numpy(x), [*padding[1], *padding[0]])
    expected = torch.nn.functional.conv2d(
        padded,
        torch.from_numpy(weight),
        None if bias is None else torch.from_numpy(bias),
        geometry["stride"],
        0,
        geometry["dilation"],
        geometry["groups"],
    )
    residual = np.random.default_rng(data.draw(st.integers(0, 9))).standard_normal(expected.shape).astype(x.dtype)
    activation = data.draw(st.sampled_from(tuple(TORCH_ACTIVATIONS)))
    expected = TORCH_ACTIVATIONS[activation](expected + torch.from_numpy(residual)).numpy()
    y = conv2d(x, weight, bias, **geometry, residual=residual, activation=activation)
    # Clamping brings numbers no farther apart; the residual's addition rounds once more, each.
    error = np.abs(np.asarray(y, np.float64) - expected)
    bound = 2 * oracles.error_bound(x, weight, bias, **geometry)
    magnitude = oracles.conv(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), **geometry)
    assert np.all(error <= bound + np.finfo(x.dtype).eps * (magnitude + np.abs(residual)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bounds_are_converted_to_the_dtype(isa, algorithm):
    x, weight = np.full((1, 1, 2, 20), 5, np.float32), np.ones((1, 1, 1, 1), np.float32)
    y = conv2d(x, weight, activation=("clip", 0, 0.1), algorithm=algorithm)
    assert np.array_equal(y, np.full(x.shape, np.float32(0.1)))
    y = conv2d(x, weight, activation=("clip", -1e300, 1e300), algorithm=algorithm)
    assert np.array_equal(y, x)


# ----------------------------------------------------------------------------------------------------------------------
# Residuals


def arguments(rng):
    x, weight = rng.standard_normal((2, 6, 9, 20)), rng.standard_normal((6, 6, 3, 3))
    return x.astype(np.float32), weight.astype(np.float32)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_residual_may_be_broadcast(isa, rng, algorithm):
    x, weight = arguments(rng)
    whole = rng.standard_normal(x.shape).astype(np.float32)
    for part in (np.s_[:1], np.s_[:, :1], np.s_[:, :, :1], np.s_[..., :1], np.s_[:1, :, :1, :1], np.s_[:1, :1, :1, :1]):
        residual = np.broadcast_to(whole[part], x.shape)
        y = conv2d(x, weight, padding=1, residual=residual, algorithm=algorithm)
        oracles.assert_same_bits(y, conv2d(x, weight, padding=1) + residual)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_out_may_overlap_the_residual(isa, rng, algorithm, channels_last):
    x, weight = arguments(rng)
    if channels_last:
        x = np.ascontiguousarray(last(x))
    plain = conv2d(x, weight, padding=1, channels_last=channels_last)
    memory = rng.standard_normal((3, *plain.shape[1:])).astype(np.float32)
    everything, flipped = np.s_[:2], np.s_[1::-1, ::-1, ::-1, ::-1]
    for residual_part, out_part in (
        (everything, everything),
        (np.s_[1:], everything),
        (everything, np.s_[1:]),
        (flipped, everything),
        (everything, flipped),
    ):
        own = memory.copy()
        out, residual = own[out_part], own[residual_part]
        expected = oracles.finished(plain, residual.copy(), "relu")
        y = conv2d(
            x,
            weight,
            padding=1,
            channels_last=channels_last,
            residual=residual,
            activation="relu",
            out=out,
            algorithm=algorithm,
        )
        assert y is out
        oracles.assert_same_bits(np.array(out), expected)


def test_the_residual_may_be_out_and_x_at_once(isa, rng):
    x, weight = arguments(rng)
    expected = conv2d(x, weight, padding=1) + x
    assert conv2d(x, weight, padding=1, residual=x, out=x) is x
    oracles.assert_same_bits(x, expected)


def test_a_residual_takes_part_in_promotion(rng):
    x, weight = arguments(rng)
    y = conv2d(x, weight, padding=1, residual=np.ones(x.shape))
    assert y.dtype == np.float64
    oracles.assert_same_bits(y, conv2d(x.astype(np.float64), weight.astype(np.float64), padding=1) + 1)
    y = conv2d(x, weight, padding=1, residual=np.ones(x.shape, np.int8))
    oracles.assert_same_bits(y, conv2d(x, weight, padding=1) + np.float32(1))


def test_plain_and_single_images_have_residuals(isa, rng):
    x, weight = arguments(rng)
    for image, kernel in ((x[0], weight), (x[0, 0], weight[0, 0])):
        y = conv2d(image, kernel, padding=1, residual=image, activation="relu")
        oracles.assert_same_bits(y, oracles.finished(conv2d(image, kernel, padding=1), image, "relu"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_larger_than_the_caches(isa, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 256, 128)).astype(dtype)
    weight = rng.standard_normal((65, 3, 1, 1)).astype(dtype)
    residual = rng.standard_normal((65, 256, 128)).astype(dtype)
    finish = {"residual": residual, "activation": ("clip", -1, 1)}
    # On a line of the caches, where such results go straight to memory.
    memory = np.empty(residual.nbytes + 64, np.uint8)
    out = memory[-memory.ctypes.data % 64 :][: residual.nbytes].view(dtype).reshape(residual.shape)
    assert out.nbytes > 8 << 20
    assert out.ctypes.data % 64 == out.strides[0] % 64 == 0
    y = conv2d(x, weight, **finish, algorithm="channels", threads=2, out=out)
    oracles.assert_same_bits(y, reference(x, weight, **finish))
