"""Packed layers give the bits of the convolutions, for every rank, layout, dtype and caller."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracles
import pytest
from flatconv import _core, conv1d, conv2d, conv3d, pack
from flatconv._arguments import ALGORITHMS
from flatconv._convolve import convolve as _conv
from hypothesis import given
from hypothesis import strategies as st
from layouts import READABLE, WRITABLE
from problems import activations, problems, residuals

pytestmark = pytest.mark.usefixtures("split_work")


def reference(x, weight, bias, *, stride, padding, dilation, groups, padding_mode):
    """The convolution of any rank, by the reference algorithm."""
    geometry = (stride, padding, dilation, groups, padding_mode)
    return _conv(x.ndim - 2, x, weight, bias, *geometry, False, None, None, None, 1, "reference", None)


def last(array, rank=2):
    return np.moveaxis(array, -rank - 1, -1)


@given(problem=problems(ranks=(1, 2, 3)), data=st.data())
def test_drawn_layers(isa, problem, data):
    plain = reference(*problem.dense, **problem.geometry)
    rank = plain.ndim - 2
    activation = data.draw(activations())
    residual = data.draw(st.none() | residuals(plain.shape, plain.dtype))
    expected = oracles.finished(plain, residual, activation)
    channels_last = data.draw(st.booleans())
    algorithm = data.draw(st.sampled_from(ALGORITHMS))
    layer = pack(
        problem.weight,
        problem.bias,
        **problem.geometry,
        channels_last=channels_last,
        activation=activation,
        algorithm=algorithm,
    )
    assert layer.weight_shape == problem.weight.shape
    assert layer.dtype == plain.dtype
    x = problem.x
    if channels_last:
        x, expected = last(x, rank), last(expected, rank)
        residual = None if residual is None else last(residual, rank)
    layout = WRITABLE[data.draw(st.sampled_from(tuple(WRITABLE)))] if data.draw(st.booleans()) else np.ascontiguousarray
    for threads in (1, 3):
        # The second call finds its plan.
        out = layout(np.full(expected.shape, np.nan, plain.dtype))
        assert layer(x, residual, out=out, threads=threads) is out
        oracles.assert_same_bits(np.array(out), np.array(expected))
    image = layer(x[0], None if residual is None else residual[0])
    oracles.assert_same_bits(image, np.array(expected[0]))


@given(problem=problems(ranks=(1, 2, 3), integers=True))
def test_drawn_layers_of_integers_are_exact(problem):
    layer = pack(problem.weight, problem.bias, **problem.geometry)
    assert np.array_equal(layer(problem.x), oracles.conv(*problem.dense, **problem.geometry))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", READABLE)
def test_layouts_of_the_weights(isa, rng, algorithm, dtype, layout):
    x = rng.standard_normal((2, 6, 11, 17)).astype(dtype)
    weight = READABLE[layout](rng.standard_normal((38, 3, 3, 2)).astype(dtype))
    bias = READABLE[layout](rng.standard_normal(38).astype(dtype))
    dense = [np.array(each, dtype, order="C") for each in (weight, bias)]
    y = pack(weight, bias, 2, groups=2, algorithm=algorithm)(x)
    oracles.assert_same_bits(y, conv2d(x, *dense, 2, groups=2, algorithm="reference"))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("channels", [1, 3, 8, 40])
def test_weights_in_the_order_hwio(isa, rng, algorithm, channels):
    x = rng.standard_normal((2, 11, 17, channels)).astype(np.float32)
    hwio = rng.standard_normal((3, 3, channels, 35)).astype(np.float32)
    weight = hwio.transpose(3, 2, 0, 1)
    y = pack(weight, channels_last=True, algorithm=algorithm)(x)
    expected = conv2d(x, np.ascontiguousarray(weight), channels_last=True, algorithm="reference")
    oracles.assert_same_bits(y, expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_may_change_after_packing(isa, rng, algorithm):
    x, weight = rng.standard_normal((1, 4, 9, 9)), rng.standard_normal((20, 4, 3, 3))
    bias = rng.standard_normal(20)
    expected = conv2d(x, weight, bias)
    layer = pack(weight, bias, algorithm=algorithm)
    weight[...], bias[...] = np.nan, np.nan
    oracles.assert_same_bits(layer(x), expected)


def test_a_layer_outlives_a_change_of_the_instruction_set(rng):
    x, weight = rng.standard_normal((1, 4, 9, 30)), rng.standard_normal((20, 4, 3, 3))
    expected = conv2d(x, weight)
    before = _core.get_isa()
    usable = [each["name"] for each in _core.instruction_sets() if each["usable"]]
    try:
        for packed_for in usable:
            _core.set_isa(packed_for)
            layer = pack(weight)
            for called_under in usable:
                _core.set_isa(called_under)
                oracles.assert_same_bits(layer(x), expected)
                assert f"isa {packed_for}" in layer.explain(x.shape)
    finally:
        _core.set_isa(before)


def test_more_shapes_than_plans_are_kept(rng):
    weight = rng.standard_normal((18, 3, 3, 3)).astype(np.float32)
    layer = pack(weight, padding=1)
    images = [rng.standard_normal((1 + i % 2, 3, 1 + i, 41 - i)).astype(np.float32) for i in range(40)]
    for image in images * 2:
        oracles.assert_same_bits(layer(image), conv2d(image, weight, padding=1))


@pytest.mark.timeout(120)
def test_one_layer_for_many_callers(rng):
    weight = rng.standard_normal((33, 5, 3, 3)).astype(np.float32)
    layer = pack(weight, padding=1, activation="relu")
    images = [rng.standard_normal((1, 5, 3 + i, 40 - i)).astype(np.float32) for i in range(24)]
    expected = [conv2d(image, weight, padding=1, activation="relu") for image in images]
    start = threading.Barrier(8)

    def call(caller):
        start.wait()
        for i in range(48):
            which = (i * (2 * caller + 1) + caller) % len(images)
            oracles.assert_same_bits(layer(images[which], threads=1 + (i + caller) % 3), expected[which])
        return caller

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(call, range(8), timeout=100)) == list(range(8))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out_may_overlap_the_operands(isa, rng, algorithm):
    weight = rng.standard_normal((6, 6, 3, 3)).astype(np.float32)
    layer = pack(weight, padding=1, algorithm=algorithm)
    memory = rng.standard_normal((3, 6, 9, 20)).astype(np.float32)
    for x_part, residual_part, out_part in (
        (np.s_[:2], np.s_[1:], np.s_[1:]),
        (np.s_[:2], np.s_[1:], np.s_[:2]),
        (np.s_[:2], np.s_[1::-1, ::-1], np.s_[1:, :, ::-1]),
    ):
        own = memory.copy()
        x, residual, out = (own[part] for part in (x_part, residual_part, out_part))
        expected = conv2d(x, weight, padding=1) + residual
        assert layer(x, residual, out=out) is out
        oracles.assert_same_bits(np.array(out), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_layers_and_empty_calls(isa, algorithm):
    bias = np.arange(4, dtype=np.float32)
    x = np.ones((2, 0, 8, 8), np.float32)
    y = pack(np.ones((4, 0, 3, 3), np.float32), bias, algorithm=algorithm)(x)
    oracles.assert_same_bits(y, np.array(np.broadcast_to(bias[:, None, None], (2, 4, 6, 6))))
    layer = pack(np.ones((0, 3, 3, 3), np.float32), algorithm=algorithm)
    assert layer(np.ones((2, 3, 8, 8), np.float32)).shape == (2, 0, 6, 6)
    layer = pack(np.ones((4, 3, 3, 3), np.float32), algorithm=algorithm)
    assert layer(np.ones((0, 3, 8, 8), np.float32)).shape == (0, 4, 6, 6)
    assert layer.workspace_bytes((0, 3, 8, 8)) == 0


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((2, 2, 2), {"dilation": 2**21, "padding": 2**21}),
        ((2, 3), {"dilation": 2**29, "padding": "same"}),
        ((2, 3), {"dilation": 2**29, "padding": "same_lower", "padding_mode": "wrap"}),
        ((2,), {"dilation": 2**30 - 1, "padding": "full", "stride": 2**30}),
    ],
)
def test_layers_whose_kernels_reach_far_into_padding(shape, geometry):
    x, weight = np.ones((1, 4, *shape), np.float32), np.ones((1, 4, *(3 for _ in shape)), np.float32)
    expected = (conv1d, conv2d, conv3d)[len(shape) - 1](x, weight, **geometry)
    oracles.assert_same_bits(pack(weight, **geometry)(x), expected)


def test_inputs_that_cast_without_loss(rng):
    weight = rng.standard_normal((4, 3, 3, 3))
    x = rng.integers(-9, 9, (1, 3, 7, 7))
    oracles.assert_same_bits(pack(weight)(x), conv2d(x.astype(np.float64), weight))
    x = x.astype(np.float32)
    oracles.assert_same_bits(pack(weight)(x), conv2d(x.astype(np.float64), weight))
    single = weight.astype(np.float32)
    oracles.assert_same_bits(pack(single)(x.astype(np.float16)), conv2d(x, single))
    oracles.assert_same_bits(pack(single)(x, np.ones((1, 4, 5, 5), np.int8)), conv2d(x, single) + np.float32(1))
    oracles.assert_same_bits(pack(single)(x.astype(">f4")), conv2d(x, single))
