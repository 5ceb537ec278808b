"""Channels last, wherever an image goes in or out: the results of channels first, to the bit. And what is refused.

Convolutions and packed layers have theirs in test_epilogue_bits.py, test_packed_bits.py and test_pack_transpose.py.
"""

import itertools

import numpy as np
import oracles
import pytest
from adjoint_problems import CONV_TRANSPOSE, INPUT, WEIGHT, adjoint_problems
from flatconv import (
    ConvOperator,
    col2im,
    conv2d,
    conv_matrix,
    conv_transpose2d,
    fold,
    grad,
    im2col,
    pack,
    pack_transpose,
    unfold,
)
from flatconv._arguments import ALGORITHMS
from hypothesis import given
from hypothesis import strategies as st
from problems import activations, problems, residuals

pytestmark = pytest.mark.usefixtures("split_work")

BIAS = {1: grad.conv1d_bias, 2: grad.conv2d_bias, 3: grad.conv3d_bias}


def last(array):
    """A batch of images with the channels as the last axis."""
    return np.moveaxis(array, 1, -1)


def same(actual, expected):
    oracles.assert_same_bits(np.ascontiguousarray(actual), np.ascontiguousarray(expected))


@given(problem=adjoint_problems().filter(lambda problem: problem.transposed), data=st.data())
def test_drawn_transposed_convolutions(isa, problem, data):
    plain = problem.dense.conv_transpose(algorithm="reference", threads=1)
    activation = data.draw(activations())
    residual = data.draw(st.none() | residuals(plain.shape, plain.dtype))
    expected = oracles.finished(plain, residual, activation)
    channels_last = data.draw(st.booleans())
    x, added = problem.x, residual
    if channels_last:
        x, expected = last(x), last(expected)
        added = None if residual is None else last(residual)
    for algorithm in ALGORITHMS:
        y = CONV_TRANSPOSE[problem.rank](
            x,
            problem.weight,
            problem.bias,
            **problem.geometry,
            channels_last=channels_last,
            activation=activation,
            residual=added,
            algorithm=algorithm,
            threads=data.draw(st.sampled_from([1, 3])),
        )
        assert y.flags.c_contiguous
        same(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2])
def test_channels_that_are_padded_together(isa, rng, dtype, stride):
    """Whole vectors of them and the rest, in rings that wrap; also of an image with gaps between pixels and rows."""
    for channels, groups, kernel in [(5, 1, 3), (33, 1, 3), (70, 1, 3), (130, 1, 2), (40, 4, 3), (9, 1, 7)]:
        whole = rng.standard_normal((2, 19, 40, channels + 3)).astype(dtype)
        weight = rng.standard_normal((2 * groups, channels // groups, kernel, kernel)).astype(dtype)
        for x in (np.ascontiguousarray(whole[..., :channels]), whole[:, 1:-1, ::2, 1 : channels + 1]):
            arguments = (weight, None, stride, kernel // 2, 1, groups)
            expected = conv2d(x, *arguments, channels_last=True, algorithm="reference", threads=1)
            for algorithm in ("channels", "implicit"):
                same(conv2d(x, *arguments, channels_last=True, algorithm=algorithm, threads=3), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)])
def test_channels_each_for_itself(isa, rng, dtype, size, stride):
    """Whole vectors of them and the rest; edges of every kind, of images with gaps between pixels; and gradients."""
    finishes = itertools.cycle([{}, {"activation": "relu"}, {"activation": "silu"}, {"activation": ("clip", -0.5, 1)}])
    modes = itertools.cycle(["zeros", "reflect", "circular"])
    for rows, cols in ((1, 9), (7, 7), (33, 8), (12, 30)):
        for channels, padding in ((5, size // 2), (32, (0, size - 1)), (49, ((2, 0), (1, 3)))):
            mode = next(modes) if rows > size else "zeros"
            geometry = {"stride": stride, "padding": padding, "groups": channels, "padding_mode": mode}
            if rows + 2 * (padding if isinstance(padding, int) else 0) < size:
                continue
            whole = rng.standard_normal((2, rows, cols, 2, channels + 1)).astype(dtype)
            weight = rng.standard_normal((channels, 1, size, size)).astype(dtype)
            bias = rng.standard_normal(channels).astype(dtype)
            x = whole[..., 1, :channels]
            arguments = {"channels_last": True, **next(finishes), **geometry}
            plain = conv2d(x, weight, bias, **arguments, algorithm="reference")
            residual = rng.standard_normal(plain.shape).astype(dtype) if channels != 32 else None
            expected = conv2d(x, weight, bias, **arguments, residual=residual, algorithm="reference")
            for threads in (1, 3):
                y = conv2d(x, weight, bias, **arguments, residual=residual, algorithm="channels", threads=threads)
                same(y, expected)
            gradient = grad.conv2d_input(x.shape, weight, plain, **geometry, channels_last=True)
            first = grad.conv2d_input((2, channels, rows, cols), weight, np.moveaxis(plain, -1, 1), **geometry)
            same(gradient, last(first))


def test_channels_are_read_where_they_lie():
    """Without memory for the image; a kernel of another size needs some."""
    x = np.ones((1, 56, 56, 48), np.float32)
    layer = pack(np.ones((48, 1, 3, 3), np.float32), padding=1, groups=48, channels_last=True)
    if "pixels read from the image" not in layer.explain(x.shape):
        pytest.skip("not with this instruction set")
    bands = pack(np.ones((48, 1, 3, 4), np.float32), padding=1, groups=48, channels_last=True)
    assert "pixels read from the image" not in bands.explain(x.shape)
    assert layer.workspace_bytes(x.shape, threads=1) < x.nbytes // 100 < bands.workspace_bytes(x.shape, threads=1)


@given(problem=adjoint_problems(), data=st.data())
def test_drawn_gradients(isa, problem, data):
    turn = np.ascontiguousarray if data.draw(st.booleans()) else np.asarray
    x, grad_output = turn(last(problem.x)), turn(last(problem.grad_output))
    arguments = {**problem.geometry, "channels_last": True, "algorithm": data.draw(st.sampled_from(ALGORITHMS))}
    gradient = INPUT[problem.transposed][problem.rank](x.shape, problem.weight, grad_output, **arguments)
    same(gradient, last(problem.dense.input_gradient(algorithm="reference")))
    gradient = WEIGHT[problem.transposed][problem.rank](x, problem.weight.shape, grad_output, **arguments)
    same(gradient, problem.dense.weight_gradient(algorithm="reference"))
    one_image = BIAS[problem.rank](grad_output[0], channels_last=True)
    same(one_image, BIAS[problem.rank](problem.grad_output[0]))


@given(problem=problems())
def test_drawn_region_matrices(problem):
    kernel, x = problem.weight.shape[2:], problem.x
    for there, back in ((im2col, col2im), (unfold, None)):
        regions = there(x, kernel, **problem.regions)
        same(there(last(x), kernel, **problem.regions, channels_last=True), regions)
        same(there(last(x)[0], kernel, **problem.regions, channels_last=True), regions[0])
        sums = regions.astype(x.dtype.newbyteorder("="))
        if back:
            image = back(sums, x.shape, kernel, **problem.regions)
            turned = back(sums, last(x).shape, kernel, **problem.regions, channels_last=True)
        else:
            image = fold(sums, x.shape[2:], kernel, **problem.regions)
            turned = fold(sums, x.shape[2:], kernel, **problem.regions, channels_last=True)
        assert turned.flags.c_contiguous
        same(turned, last(image))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
@pytest.mark.parametrize("make", [pack, pack_transpose])
@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_a_layer_is_explained_as_it_is_called(isa, make, algorithm, dtype):
    """Without memory, which some channels first do not need: all say alike what channels last do."""
    weight, x = np.ones((48, 1, 3, 3), dtype), np.ones((2, 20, 21, 48), dtype)
    arguments = {"padding": 1, "groups": 48, "channels_last": True, "algorithm": algorithm}
    layer = make(weight, **arguments, workspace_limit=0)
    refusals = set()
    for ask in (
        lambda: layer(x, threads=1),
        lambda: layer.explain(x.shape, threads=1),
        lambda: layer.workspace_bytes(x.shape, threads=1),
    ):
        with pytest.raises(MemoryError, match="is too small") as refusal:
            ask()
        refusals.add(str(refusal.value))
    assert len(refusals) == 1


def test_depthwise_layers_have_lanes_across_groups(isa):
    layer = pack(ones(144, 1, 3, 3), padding=1, groups=144, channels_last=True)
    taken = layer.explain((1, 56, 56, 144), threads=1).splitlines()[1]
    assert taken.startswith("channels: lanes across the channels of ")
    assert 0 < layer.workspace_bytes((1, 56, 56, 144), threads=1) < 2**18


@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("format", ["csr", "coo", "dense"])
def test_matrix_and_operator(rng, batch, format):
    x, weight = rng.integers(-8, 9, (*batch, 9, 8, 4)) * 1.0, rng.integers(-8, 9, (6, 2, 3, 2)) * 1.0
    arguments = {"stride": (2, 1), "padding": 1, "groups": 2, "padding_mode": "reflect", "channels_last": True}
    matrix = conv_matrix(weight, x.shape, **arguments, format=format)
    operator = ConvOperator(weight, x.shape, **arguments)
    assert operator.output_shape == (*batch, 5, 9, 6)
    turned = {name: value for name, value in arguments.items() if name != "channels_last"}
    y = np.moveaxis(oracles.conv(np.moveaxis(x.reshape(-1, 9, 8, 4), -1, 1), weight, **turned), 1, -1)
    np.testing.assert_array_equal(matrix @ x.ravel(), y.ravel())
    np.testing.assert_array_equal(operator @ x.ravel(), y.ravel())
    np.testing.assert_array_equal(operator.T @ y.ravel(), matrix.T @ y.ravel())


def test_what_is_plain_has_no_channels(rng):
    x, weight = rng.standard_normal((5, 6)), rng.standard_normal((2, 3))
    same(conv_transpose2d(x, weight, channels_last=True), conv_transpose2d(x, weight))
    same(im2col(x, 2, channels_last=True), im2col(x, 2))
    same(conv_matrix(weight, (5, 6), format="dense", channels_last=True), conv_matrix(weight, (5, 6), format="dense"))
    same(grad.conv2d_input((5, 6), weight, x[1:, 2:], channels_last=True), grad.conv2d_input((5, 6), weight, x[1:, 2:]))
    same(grad.conv2d_bias(x, channels_last=True), grad.conv2d_bias(x))


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (conv_transpose2d, (ones(5, 6, 2), ones(2, 3, 2, 2))),
        (grad.conv2d_input, ((5, 6, 2), ones(3, 2, 2, 2), ones(4, 5, 3))),
        (grad.conv2d_weight, (ones(5, 6, 2), (3, 2, 2, 2), ones(4, 5, 3))),
        (grad.conv2d_bias, (ones(4, 5, 3),)),
        (im2col, (ones(5, 6, 2), 2)),
        (col2im, (ones(20, 8), (5, 6, 2), 2)),
        (unfold, (ones(5, 6, 2), 2)),
        (fold, (ones(8, 20), (5, 6), 2)),
        (conv_matrix, (ones(3, 2, 2, 2), (5, 6, 2))),
        (ConvOperator, (ones(3, 2, 2, 2), (5, 6, 2))),
    ],
)
def test_channels_last_is_a_boolean(function, arguments):
    function(*arguments, channels_last=True)
    for wrong in (1, "yes", None):
        with pytest.raises(TypeError, match="channels_last must be True or False"):
            function(*arguments, channels_last=wrong)


BAD_TRANSPOSED = {
    "channels first": ({"x": ones(1, 4, 5, 6)}, ValueError, ["4 input channels", "6"]),
    "residual of channels first": (
        {"residual": ones(1, 2, 7, 8)},
        ValueError,
        ["residual", "(1, 2, 7, 8)", "(1, 7, 8, 2)"],
    ),
    "out of channels first": ({"out": ones(1, 2, 7, 8)}, ValueError, ["out", "(1, 2, 7, 8)", "(1, 7, 8, 2)"]),
    "unknown activation": ({"activation": "swish"}, ValueError, ["activation", "'swish'", '"gelu"']),
    "slope of nan": ({"activation": ("leaky_relu", float("nan"))}, ValueError, ["activation", "slope", "nan"]),
    "residual of text": ({"residual": np.full((1, 7, 8, 2), "a")}, TypeError, ["residual"]),
}


@pytest.mark.parametrize("wrong", BAD_TRANSPOSED)
def test_wrong_transposed_convolutions(wrong):
    changes, exception, fragments = BAD_TRANSPOSED[wrong]
    out = ones(1, 7, 8, 2)
    call = {"x": ones(1, 5, 6, 4), "weight": ones(4, 2, 3, 3), "channels_last": True, "out": out} | changes
    with pytest.raises(exception) as caught:
        conv_transpose2d(**call)
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert (out == 1).all()


def test_gradients_name_the_shape_that_is_not_channels_last():
    with pytest.raises(ValueError, match=r"grad_output has shape \(3, 4, 5\), but the output has \(4, 5, 3\)"):
        grad.conv2d_input((5, 6, 2), ones(3, 2, 2, 2), ones(3, 4, 5), channels_last=True)
