"""Packed transposed layers: the bits of the transposed convolutions, and what they refuse."""

import re

import numpy as np
import oracles
import pytest
from adjoint_problems import adjoint_problems
from flatconv import conv_transpose1d, conv_transpose2d, pack, pack_transpose
from flatconv._arguments import ALGORITHMS
from hypothesis import given
from hypothesis import strategies as st
from problems import activations, residuals

pytestmark = pytest.mark.usefixtures("split_work")


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@given(problem=adjoint_problems().filter(lambda problem: problem.transposed), data=st.data())
def test_drawn_layers(isa, problem, data):
    plain = problem.dense.conv_transpose(algorithm="reference", threads=1)
    activation = data.draw(activations())
    residual = data.draw(st.none() | residuals(plain.shape, plain.dtype))
    expected = np.array(oracles.finished(plain, residual, activation))
    channels_last = data.draw(st.booleans())
    x = problem.x
    if channels_last:
        x, expected = np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1)
        residual = None if residual is None else np.moveaxis(residual, 1, -1)
    layer = pack_transpose(
        problem.weight,
        problem.bias,
        **problem.geometry,
        channels_last=channels_last,
        activation=activation,
        algorithm=data.draw(st.sampled_from(ALGORITHMS)),
    )
    for threads in (1, 3):
        # The second call finds its plan.
        out = np.full(expected.shape, np.nan, expected.dtype)
        assert layer(x, residual, out=out, threads=threads) is out
        oracles.assert_same_bits(out, np.ascontiguousarray(expected))
    image = layer(x[0], None if residual is None else residual[0])
    oracles.assert_same_bits(image, np.ascontiguousarray(expected[0]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "geometry"),
    [
        ((1, 16, 28, 28), (16, 16, 2, 2), {"stride": 2}),
        ((2, 24, 14, 15), (24, 40, 4, 4), {"stride": 2, "padding": "same"}),
        ((1, 130, 7, 7), (130, 33, 3, 3), {"padding": "full"}),
        ((2, 48, 9, 10), (48, 6, 3, 3), {"stride": 2, "padding": 2, "output_padding": 1, "groups": 4}),
        ((1, 33, 25, 26), (33, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 33}),
        ((3, 9, 8, 8), (9, 7, 1, 1), {"stride": 3}),
        ((1, 4, 6, 6), (4, 4, 2, 2), {"stride": 5, "dilation": 5}),
        ((1, 3, 1, 1), (3, 5, 2, 7), {"stride": (4, 9), "padding": (0, 3)}),
    ],
)
def test_layers(isa, rng, algorithm, x_shape, weight_shape, geometry):
    x, weight = (rng.standard_normal(shape).astype(np.float32) for shape in (x_shape, weight_shape))
    bias = rng.standard_normal(weight_shape[1] * geometry.get("groups", 1)).astype(np.float32)
    layer = pack_transpose(weight, bias, **geometry, algorithm=algorithm)
    expected = conv_transpose2d(x, weight, bias, **geometry, algorithm="reference")
    # The layer has copied them.
    weight[...], bias[...] = np.nan, np.nan
    oracles.assert_same_bits(layer(x), expected)


def test_the_workspace_is_without_the_weights():
    layer = pack_transpose(ones(512, 512, 3, 3), stride=2)
    assert layer.workspace_bytes((1, 512, 7, 7), threads=1) < 2**20


@pytest.mark.parametrize(
    ("changes", "exception", "fragments"),
    [
        ({"weight": ones(3, 3)}, ValueError, ["3, 4 or 5 dimensions, (in, out / groups, *kernel)", "(3, 3)"]),
        ({"weight": ones(1, 1, 1, 1, 1, 1)}, ValueError, ["weight.shape = (1, 1, 1, 1, 1, 1)"]),
        ({"weight": None}, TypeError, ["weight", "None"]),
        ({"weight": ones(4, 3, 0, 3)}, ValueError, ["kernel", "height", "0"]),
        ({"groups": 0}, ValueError, ["groups", "0"]),
        ({"groups": 3}, ValueError, ["weight has 4 input channels", "groups=3"]),
        ({"groups": 1.0}, TypeError, ["groups", "1.0"]),
        ({"groups": 2**40, "weight": np.broadcast_to(np.float32(1), (0, 2**30, 1, 1))}, ValueError, ["channels"]),
        ({"bias": ones(4)}, ValueError, ["bias must have shape (3,)", "(4,)"]),
        ({"stride": 0}, ValueError, ["stride", "0"]),
        ({"padding": -1}, ValueError, ["padding", "-1"]),
        ({"padding": 2**60}, OverflowError, ["x of 1 × 4 ×"]),
        ({"padding": 2**62}, ValueError, ["the output would have height", "less of it"]),
        ({"padding": "sane"}, ValueError, ["padding", "'sane'"]),
        ({"dilation": 0}, ValueError, ["dilation", "0"]),
        ({"output_padding": 1}, ValueError, ["output_padding", "at most 0"]),
        ({"output_padding": (1, 1, 1)}, ValueError, ["output_padding", "2 items"]),
        ({"output_padding": 1, "stride": 2, "padding": "same"}, ValueError, ["output_padding must be 0"]),
        ({"channels_last": 1}, TypeError, ["channels_last", "1"]),
        ({"activation": "swish"}, ValueError, ["activation", "'swish'"]),
        ({"algorithm": "fft"}, ValueError, ["algorithm", "'fft'"]),
        ({"workspace_limit": -1}, ValueError, ["workspace_limit", "-1"]),
        ({"padding_mode": "reflect"}, TypeError, ["padding_mode"]),
    ],
)
def test_what_cannot_be_packed(changes, exception, fragments):
    with pytest.raises(exception) as caught:
        pack_transpose(**{"weight": ones(4, 3, 3, 3)} | changes)
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("layer", "x", "fragments"),
    [
        ({}, ones(2, 5, 5, 5), ["weight has 4 input channels but x has 5", "(in, out / groups"]),
        ({"groups": 2}, ones(2, 3, 5, 5), ["x has 3 channels, which groups=2 does not divide"]),
        ({"channels_last": True}, ones(2, 4, 5, 5), ["shape = (2, 4, 5, 5) has 5 channels", "takes 4"]),
        ({}, ones(5, 5), ["shape = (5, 5)", "(in, out, kh, kw)"]),
        ({}, ones(2, 4, 0, 5), ["x has height 0"]),
        ({"padding": 4}, ones(2, 4, 3, 5), ["height (3 − 1) · 1 + 3 − 4 − 4 + 0 = −3", "less of it"]),
    ],
)
def test_calls_that_are_refused(layer, x, fragments):
    packed = pack_transpose(ones(4, 3, 3, 3), **layer)
    for call in (lambda: packed(x), lambda: packed.explain(x.shape), lambda: packed.workspace_bytes(x.shape)):
        with pytest.raises(ValueError, match=re.escape(fragments[0])) as caught:
            call()
        for fragment in fragments:
            assert fragment in str(caught.value)


def test_explain_tells_of_the_phases_and_of_each_algorithm():
    weight = ones(64, 32, 4, 5)
    x_shape = (1, 64, 28, 28)
    texts = {name: pack_transpose(weight, stride=2, algorithm=name).explain(x_shape, threads=1) for name in ALGORITHMS}
    for name, text in texts.items():
        first, taken, *others = text.splitlines()
        assert first.startswith("isa ")
        assert first.endswith("1 thread")
        algorithm = taken.split(": ")[0]
        assert algorithm == name or (name == "auto" and algorithm in ALGORITHMS)
        for part in ("expected cost ", " vector multiply-adds, workspace ", " bytes"):
            assert part in taken
        named = {line.split()[1] for line in others if line.startswith("  not ")}
        assert named == {*ALGORITHMS} - {"auto", algorithm}
        reasons = ("; slower", "; no faster", "; only when named", "; another is named", "; does not apply")
        assert all(any(reason in line for reason in reasons) for line in others)
    assert "4 phases" in texts["im2col"]
    assert "packed" in texts["im2col"]
    assert texts["auto"] != pack(weight.transpose(1, 0, 2, 3)).explain(x_shape, threads=1)


def test_as_many_phases_as_taps(rng):
    """Half a million: time that grows with their square would exceed that of any test."""
    weight = rng.standard_normal((1, 2, 500_000)).astype(np.float32)
    layer = pack_transpose(weight, stride=weight.shape[2], padding=200_000)
    expected = np.tile(weight[0], 3)[:, 200_000:-200_000]
    oracles.assert_same_bits(layer(np.ones((1, 3), np.float32)), expected)


def test_out_may_overlap_x(rng):
    memory = rng.standard_normal((2, 6, 9, 9)).astype(np.float32)
    weight = rng.standard_normal((6, 6, 3, 3)).astype(np.float32)
    layer = pack_transpose(weight, padding=1)
    expected = conv_transpose2d(memory, weight, padding=1)
    assert layer(memory, out=memory) is memory
    oracles.assert_same_bits(memory, expected)


def test_empty_layers_and_empty_calls():
    bias = np.arange(3, dtype=np.float32)
    y = pack_transpose(ones(0, 3, 2, 2), bias, stride=3)(ones(2, 0, 4, 4))
    oracles.assert_same_bits(y, np.array(np.broadcast_to(bias[:, None, None], (2, 3, 11, 11))))
    layer = pack_transpose(ones(4, 3, 2, 2), stride=3)
    assert layer(ones(0, 4, 4, 4)).shape == (0, 3, 11, 11)
    assert layer.workspace_bytes((0, 4, 4, 4)) == 0
    assert layer.explain((0, 4, 4, 4)).startswith("nothing to compute")
    assert pack_transpose(ones(4, 0, 2, 2))(ones(1, 4, 4, 4)).shape == (1, 0, 5, 5)


def test_more_shapes_than_plans_are_kept(rng):
    weight = rng.standard_normal((3, 8, 4)).astype(np.float32)
    layer = pack_transpose(weight, stride=2)
    images = [rng.standard_normal((1 + i % 2, 3, 1 + i)).astype(np.float32) for i in range(40)]
    for image in images * 2:
        oracles.assert_same_bits(layer(image), conv_transpose1d(image, weight, stride=2))


def test_what_a_layer_says_of_itself():
    layer = pack_transpose(ones(6, 2, 3, 3), groups=3, stride=2)
    assert layer.weight_shape == (6, 2, 3, 3)
    assert layer.dtype == np.float32
    assert repr(layer) == "PackedConv(weight_shape=(6, 2, 3, 3), dtype=float32, groups=3, transposed)"
    assert repr(layer) != repr(pack(ones(6, 2, 3, 3), groups=3))
