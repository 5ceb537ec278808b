"""Transposed convolutions and gradients against torch, its autograd, finite differences and the adjoint identity."""

import numpy as np
import oracles
import pytest
import torch
from adjoint_problems import CONV_TRANSPOSE, adjoint_problems
from flatconv import conv2d, conv_transpose2d, grad
from hypothesis import given, settings

pytestmark = pytest.mark.usefixtures("split_work")

TORCH = {
    (True, 1): torch.nn.functional.conv_transpose1d,
    (True, 2): torch.nn.functional.conv_transpose2d,
    (True, 3): torch.nn.functional.conv_transpose3d,
    (False, 1): torch.nn.functional.conv1d,
    (False, 2): torch.nn.functional.conv2d,
    (False, 3): torch.nn.functional.conv3d,
}


def torch_outcomes(problem, absolute=False):
    """Output, gradients of input and of weight from torch in float64; with `absolute`, of the arrays' magnitudes.

    torch pads both sides alike: padding is done, or cut off, beside its convolution.
    """
    arrays = (problem.x, problem.weight, problem.bias, problem.grad_output)
    x, weight, bias, grad_y = (
        torch.from_numpy(np.abs(each) if absolute else np.array(each)).double() for each in arrays_native(arrays)
    )
    x.requires_grad_()
    weight.requires_grad_()
    geometry = dict(problem.geometry)
    pads = [amount for pair in reversed(geometry.pop("padding")) for amount in pair]
    function = TORCH[problem.transposed, problem.rank]
    if problem.transposed:
        y = function(x, weight, bias, **geometry)
        y = torch.nn.functional.pad(y, [-amount for amount in pads])
    else:
        geometry.pop("padding_mode")
        y = function(torch.nn.functional.pad(x, pads), weight, bias, **geometry)
    y.backward(grad_y)
    return y.detach().numpy(), x.grad.numpy(), weight.grad.numpy()


def arrays_native(arrays):
    return [np.array(each, each.dtype.newbyteorder("="), order="C") for each in arrays]


def terms_of(problem):
    return max(problem.weight.size, problem.grad_output.size, problem.x.size)


@settings(max_examples=200)
@given(problem=adjoint_problems(modes=("zeros",)))
def test_drawn_problems_against_torch(problem):
    y, grad_x, grad_weight = torch_outcomes(problem)
    most = torch_outcomes(problem, absolute=True)
    gamma = oracles.rounding_bound(terms_of(problem) + 2, problem.x.dtype)
    gamma += oracles.rounding_bound(terms_of(problem) + 2, np.float64)
    outcomes = [(problem.input_gradient(), grad_x, most[1]), (problem.weight_gradient(), grad_weight, most[2])]
    if problem.transposed:
        outcomes.append((problem.conv_transpose(), y, most[0]))
    for actual, expected, magnitude in outcomes:
        assert actual.shape == expected.shape
        assert np.all(np.abs(actual - expected) <= gamma * magnitude)


@settings(max_examples=200)
@given(problem=adjoint_problems(dtypes=(np.float64,)))
def test_adjoint_identities(problem):
    """<conv(x, w), g> = <x, input gradient> = <w, weight gradient>, in every padding mode."""
    forward = CONV_TRANSPOSE[problem.rank] if problem.transposed else CONVOLUTIONS[problem.rank]
    dense = problem.dense
    product = np.sum(forward(dense.x, dense.weight, **problem.geometry) * dense.grad_output)
    scale = np.sum(forward(np.abs(dense.x), np.abs(dense.weight), **problem.geometry) * np.abs(dense.grad_output))
    tolerance = 4 * oracles.rounding_bound(terms_of(problem) + 2, np.float64) * scale
    assert abs(product - np.sum(dense.x * problem.input_gradient())) <= tolerance
    assert abs(product - np.sum(dense.weight * problem.weight_gradient())) <= tolerance


def conv1d(x, weight, stride, padding, dilation, groups, padding_mode):
    """A convolution along one axis, as one of images of height 1."""
    pads = ((0, 0), *padding)
    return conv2d(
        x[..., None, :],
        weight[..., None, :],
        None,
        (1, *stride),
        pads,
        (1, *dilation),
        groups,
        padding_mode=padding_mode,
    )[..., 0, :]


CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: oracles.conv}


@settings(max_examples=40)
@given(problem=adjoint_problems(dtypes=(np.float64,), layouts=("contiguous",)))
def test_finite_differences(problem):
    """The loss sum(g * y) is linear in each array, so that its difference quotient is exact but for rounding."""
    forward = CONV_TRANSPOSE[problem.rank] if problem.transposed else CONVOLUTIONS[problem.rank]
    rng = np.random.default_rng(0)

    def loss(x, weight):
        return np.sum(forward(x, weight, **problem.geometry) * problem.grad_output)

    for name, gradient in (("x", problem.input_gradient()), ("weight", problem.weight_gradient())):
        array = getattr(problem, name)
        for _ in range(3):
            at = tuple(rng.integers(0, size) for size in array.shape)
            sides = []
            for step in (0.5, -0.5):
                moved = array.copy()
                moved[at] += step
                sides.append(loss(**{"x": problem.x, "weight": problem.weight, name: moved}))
            assert abs(sides[0] - sides[1] - gradient[at]) <= 1e-9 * (1 + abs(sides[0]) + abs(sides[1]))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_arguments_are_those_of_torch(rng, rank):
    """Positionally, in the order of torch.nn.grad and torch.nn.functional."""
    spatial, kernel = (9, 8, 7)[:rank], (3, 2, 3)[:rank]
    x, weight = rng.standard_normal((2, 4, *spatial)), rng.standard_normal((6, 2, *kernel))
    geometry = (2, 1, 2, 2)
    y = TORCH[False, rank](torch.from_numpy(x), torch.from_numpy(weight), None, *geometry)
    grad_y = rng.standard_normal(y.shape)
    for what, arrays, torch_arrays in (
        ("input", (x.shape, weight, grad_y), (x.shape, torch.from_numpy(weight), torch.from_numpy(grad_y))),
        ("weight", (x, weight.shape, grad_y), (torch.from_numpy(x), weight.shape, torch.from_numpy(grad_y))),
    ):
        expected = getattr(torch.nn.grad, f"conv{rank}d_{what}")(*torch_arrays, *geometry).numpy()
        actual = getattr(grad, f"conv{rank}d_{what}")(*arrays, *geometry)
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
    x, weight, bias = (
        rng.standard_normal((2, 4, *spatial)),
        rng.standard_normal((4, 3, *kernel)),
        rng.standard_normal(6),
    )
    geometry = (3, 1, 2, 2, 2)
    expected = TORCH[True, rank](*map(torch.from_numpy, (x, weight, bias)), *geometry).numpy()
    np.testing.assert_allclose(CONV_TRANSPOSE[rank](x, weight, bias, *geometry), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bias_gradients(rng, rank, dtype):
    function = getattr(grad, f"conv{rank}d_bias")
    for batch, channels in ((3, 7), (1, 1), (0, 2), (2, 0)):
        grad_y = rng.standard_normal((batch, channels, *(11, 13, 3)[:rank])).astype(dtype)
        axes = (0, *range(2, 2 + rank))
        actual = function(grad_y)
        assert actual.shape == (channels,)
        assert actual.dtype == dtype
        exact, most = (np.sum(each.astype(np.float64), axes) for each in (grad_y, np.abs(grad_y)))
        assert np.all(np.abs(actual - exact) <= oracles.rounding_bound(grad_y.size + 1, dtype) * most)
    plain = rng.standard_normal((11, 13, 3)[:rank])
    oracles.assert_same_bits(np.asarray(function(plain)), function(plain[None])[0])
    oracles.assert_same_bits(function(plain[None, None]), function(plain[None]))


@pytest.mark.parametrize("padding", ["valid", "same", "same_lower", "full"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(1, 2), (3, 5), (4, 4)])
def test_padding_rules_are_those_of_the_transposed_convolution(rng, padding, stride, kernel):
    x, weight = rng.standard_normal((2, 3, 9, 10)), rng.standard_normal((3, 4, *kernel))
    y = conv_transpose2d(x, weight, stride=stride, padding=padding)
    if padding.startswith("same"):
        assert y.shape[2:] == (9 * stride, 10 * stride)
    # The rule takes y's size back to x's, and the two are each other's transposes.
    back = conv2d(y, weight, stride=stride, padding=padding)
    assert back.shape == x.shape
    oracles.assert_same_bits(grad.conv2d_input(y.shape, weight, x, stride=stride, padding=padding), y)
    oracles.assert_same_bits(grad.conv_transpose2d_input(x.shape, weight, y, stride=stride, padding=padding), back)


def test_output_size_chooses_among_the_sizes_that_belong_to_x(rng):
    x, weight = rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 2, 4, 3))
    for extra in np.ndindex(3, 3):
        y = conv_transpose2d(x, weight, None, 3, 1, extra)
        sized = conv_transpose2d(x, weight, None, 3, 1, output_size=y.shape[1:])
        oracles.assert_same_bits(sized, y)
        assert conv2d(y, weight, stride=3, padding=1).shape == x.shape
    assert conv_transpose2d(x, weight, stride=3, padding="same", output_size=(15, 18)).shape == (2, 15, 18)
    assert conv_transpose2d(x, weight, stride=3, padding="full", output_size=(11, 15)).shape == (2, 11, 15)


def test_integers_are_exact(rng):
    x, weight = rng.integers(-32, 33, (2, 40, 9, 9)), rng.integers(-32, 33, (40, 8, 3, 3))
    arrays = (x.astype(np.float32), weight.astype(np.float32))
    expected = torch.nn.functional.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(weight), None, 2, 1).numpy()
    y = conv_transpose2d(*arrays, stride=2, padding=1)
    assert np.array_equal(y, expected)
    assert np.array_equal(
        grad.conv_transpose2d_input(x.shape, arrays[1], np.float32(1) * (expected % 7), stride=2, padding=1),
        torch.nn.functional.conv2d(torch.from_numpy(expected % 7), torch.from_numpy(weight), None, 2, 1).numpy(),
    )


def test_mixed_inputs_promote(rng):
    x, weight = rng.integers(0, 255, (3, 8, 8), np.uint8), rng.standard_normal((3, 2, 3, 3)).astype(np.float32)
    y = conv_transpose2d(x, weight)
    assert y.dtype == np.float32
    assert grad.conv_transpose2d_weight(x, weight.shape, y).dtype == np.float32
    assert grad.conv_transpose2d_input(x.shape, weight, y.astype(np.float64)).dtype == np.float64
    dx = grad.conv2d_input((3, 8, 8), np.ones((2, 3, 3, 3), np.float16), np.ones((2, 6, 6), np.float16))
    assert dx.dtype == np.float16
