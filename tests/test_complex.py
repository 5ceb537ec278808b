"""Complex numbers: to the bit the real convolutions of twice as many channels that they stand for, and torch's values.

The parts of a complex channel are two real channels; between them a weight is the matrix ((re, −im), (im, re)).
"""

import flatconv
import numpy as np
import oracles
import pytest
import torch
from adjoint_problems import Problem as AdjointProblem
from adjoint_problems import adjoint_problems
from flatconv import ConvOperator, conv1d, conv2d, conv_matrix, conv_transpose2d, filter2d, grad, pack, pack_transpose
from flatconv._arguments import ALGORITHMS
from hypothesis import given, settings
from layouts import READABLE, WRITABLE
from problems import CONV, normal, problems

pytestmark = pytest.mark.usefixtures("split_work")

COMPLEX = (np.complex64, np.complex128)


def parts(array, axis=1):
    """Each channel as two: the real part, then the imaginary part."""
    pairs = np.stack([array.real, array.imag], axis + 1)
    return pairs.reshape(*array.shape[:axis], 2 * array.shape[axis], *array.shape[axis + 1 :])


def whole(array, axis=1):
    """The reverse of `parts`."""
    pairs = array.reshape(*array.shape[:axis], array.shape[axis] // 2, 2, *array.shape[axis + 1 :])
    real, imaginary = np.moveaxis(pairs, axis + 1, 0)
    numbers = np.empty(real.shape, np.result_type(array, np.complex64))
    numbers.real, numbers.imag = real, imaginary
    return numbers


def real_weight(weight):
    """The real weights (2 · out, 2 · in, ...) of complex ones (out, in, ...)."""
    matrix = np.stack(
        [np.stack([weight.real, -weight.imag], 2), np.stack([weight.imag, weight.real], 2)],
        1,
    )
    out, _, channels, _, *kernel = matrix.shape
    return matrix.reshape(2 * out, 2 * channels, *kernel)


def real_reference(x, weight, bias=None, **keywords):
    """The convolution by the reference for real numbers."""
    bias = None if bias is None else parts(bias, 0)
    y = CONV[weight.ndim - 2](parts(x), real_weight(weight), bias, **keywords, algorithm="reference", threads=1)
    return whole(y)


# ----------------------------------------------------------------------------------------------------------------------
# Bits


@settings(max_examples=60)
@given(problem=problems(dtypes=COMPLEX))
def test_convolutions_are_real_ones_of_twice_the_channels(isa, problem):
    expected = real_reference(*problem.dense, **problem.geometry)
    arguments = problem.x, problem.weight, problem.bias
    for algorithm in ALGORITHMS:
        for threads in (1, 3):
            out = np.full(expected.shape, np.nan, expected.dtype)
            assert problem.conv(*arguments, **problem.geometry, out=out, algorithm=algorithm, threads=threads) is out
            oracles.assert_same_bits(out, expected)


@settings(max_examples=40)
@given(problem=problems(dtypes=COMPLEX))
def test_packed_layers_have_the_same_bits(isa, problem):
    expected = real_reference(*problem.dense, **problem.geometry)
    for algorithm in ALGORITHMS:
        layer = pack(problem.weight, problem.bias, **problem.geometry, algorithm=algorithm)
        oracles.assert_same_bits(layer(problem.x), expected)


@settings(max_examples=60)
@given(problem=adjoint_problems(dtypes=COMPLEX))
def test_transposes_and_gradients_are_those_of_the_real_one(isa, problem):
    dense = problem.dense
    # What a transposed convolution transposes is the convolution with the conjugate weights.
    weight = real_weight(dense.weight.conj() if problem.transposed else dense.weight)
    real = AdjointProblem(
        problem.transposed, problem.rank, parts(dense.x), weight, parts(dense.bias, 0), parts(dense.grad_output),
        problem.geometry,
    )  # fmt: skip
    gradient = real.weight_gradient(algorithm="reference")
    out, channels = gradient.shape[:2]
    (rr, ri), (ir, ii) = np.moveaxis(
        gradient.reshape(out // 2, 2, channels // 2, 2, *gradient.shape[2:]), (1, 3), (0, 1)
    )
    of_weight = np.empty(dense.weight.shape, dense.weight.dtype)
    of_weight.real, of_weight.imag = rr + ii, ri - ir if problem.transposed else ir - ri
    expected = [whole(real.input_gradient(algorithm="reference")), of_weight]
    if problem.transposed:
        expected.append(whole(real.conv_transpose(algorithm="reference")))
        for algorithm in ("auto", "reference"):
            layer = pack_transpose(problem.weight, problem.bias, **problem.geometry, algorithm=algorithm)
            oracles.assert_same_bits(layer(problem.x), expected[-1])
    for operation, result in zip(problem.operations, expected, strict=True):
        for algorithm in ("auto", "im2col", "reference"):
            for threads in (1, 3):
                out = np.full(result.shape, np.nan, result.dtype)
                assert operation(out=out, algorithm=algorithm, threads=threads) is out
                oracles.assert_same_bits(out, result)


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "keywords"),
    [
        ((1, 40, 14, 15), (35, 40, 3, 3), {"padding": 1}),
        ((6, 20, 24, 22), (24, 20, 3, 3), {"padding": 1}),
        ((2, 24, 30, 31), (48, 6, 3, 3), {"padding": 2, "dilation": 2, "groups": 4}),
        ((1, 33, 25, 26), (33, 1, 5, 5), {"padding": 2, "groups": 33}),
        ((1, 50, 9, 9), (30, 50, 1, 1), {}),
        ((1, 50, 9, 9), (30, 50, 1, 1), {"stride": 2}),
        ((1, 2, 200, 201), (3, 2, 7, 7), {"padding": 3, "stride": 2}),
        ((3, 200, 1, 1), (17, 200, 1, 1), {}),
    ],
)
def test_layers_of_many_blocks_and_bands(isa, rng, dtype, x_shape, weight_shape, keywords):
    x, weight, bias = (
        normal(rng, dtype, *x_shape),
        normal(rng, dtype, *weight_shape),
        normal(rng, dtype, weight_shape[0]),
    )
    expected = real_reference(x, weight, bias, **keywords)
    residual = normal(rng, dtype, *expected.shape)
    added = whole(
        conv2d(
            parts(x), real_weight(weight), parts(bias, 0), residual=parts(residual), algorithm="reference", **keywords
        )
    )
    for algorithm in ALGORITHMS[2:]:
        oracles.assert_same_bits(conv2d(x, weight, bias, **keywords, algorithm=algorithm), expected)
        y = conv2d(x, weight, bias, residual=residual, **keywords, algorithm=algorithm)
        oracles.assert_same_bits(y, added)
        y = conv2d(
            np.moveaxis(x, 1, -1),
            weight,
            bias,
            residual=np.moveaxis(residual, 1, -1),
            channels_last=True,
            **keywords,
            algorithm=algorithm,
        )
        oracles.assert_same_bits(np.moveaxis(y, -1, 1), added)


@pytest.mark.parametrize("layout", WRITABLE)
def test_layouts_of_the_output(isa, rng, layout):
    x, weight = normal(rng, np.complex64, 2, 3, 9, 21), normal(rng, np.complex64, 20, 3, 3, 3)
    residual = READABLE[layout](normal(rng, np.complex64, 2, 20, 7, 19))
    expected = conv2d(x, weight, residual=residual, algorithm="reference")
    for algorithm in ALGORITHMS:
        out = WRITABLE[layout](np.full(expected.shape, np.nan, np.complex64))
        assert conv2d(x, weight, residual=residual, out=out, algorithm=algorithm) is out
        oracles.assert_same_bits(np.array(out), expected)


def test_nothing_is_written_beside_the_output(isa, rng):
    x, weight = normal(rng, np.complex64, 2, 3, 9, 41), normal(rng, np.complex64, 20, 3, 3, 3)
    larger = np.full((4, 22, 16, 82), np.nan * (1 + 1j), np.complex64)
    out = larger[1:3, 1:21, 2:16:2, 3:81:2]
    for algorithm in ALGORITHMS:
        conv2d(x, weight, out=out, algorithm=algorithm)
        assert not np.isnan(out).any()
        out[...] = np.nan
        assert np.isnan(larger).all()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_plain_and_unbatched(rng, rank):
    x, weight = normal(rng, np.complex64, *(23, 31, 7)[:rank]), normal(rng, np.complex64, *(4, 5, 3)[:rank])
    expected = real_reference(x[None, None], weight[None, None], np.complex64([1j]), padding=2)
    conv = CONV[rank]
    oracles.assert_same_bits(conv(x, weight, 1j, padding=2), expected[0, 0])
    oracles.assert_same_bits(conv(x[None], weight[None, None], np.complex64([1j]), padding=2), expected[0])


# ----------------------------------------------------------------------------------------------------------------------
# Values


def test_products_are_those_of_complex_numbers(rng):
    assert conv1d(np.array([1 + 2j]), np.array([3 - 4j])).item() == (1 + 2j) * (3 - 4j)
    real, imaginary = rng.integers(-9, 10, (2, 60))
    x, weight = np.split(real + 1j * imaginary, [50])
    # NumPy's correlate conjugates the second operand; the convolution flips it.
    assert np.array_equal(conv1d(x, weight), np.correlate(x, weight.conj(), "valid"))
    assert np.array_equal(conv1d(x, weight[::-1], padding="full"), np.convolve(x, weight))


def torch_of(array):
    return torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C"))


@settings(max_examples=60)
@given(problem=adjoint_problems(modes=("zeros",), dtypes=COMPLEX))
def test_values_and_gradients_are_torch_s(problem):
    x, weight, bias, grad_y = map(torch_of, (problem.x, problem.weight, problem.bias, problem.grad_output))
    x, weight = x.to(torch.complex128).requires_grad_(), weight.to(torch.complex128).requires_grad_()
    geometry = dict(problem.geometry)
    geometry.pop("padding_mode", None)
    pads = [amount for pair in reversed(geometry.pop("padding")) for amount in pair]
    pad = torch.nn.functional.pad
    if problem.transposed:
        conv = getattr(torch.nn.functional, f"conv_transpose{problem.rank}d")
        y = pad(conv(x, weight, bias.to(torch.complex128), **geometry), [-amount for amount in pads])
    else:
        conv = getattr(torch.nn.functional, f"conv{problem.rank}d")
        y = conv(pad(x, pads), weight, bias.to(torch.complex128), **geometry)
    y.backward(grad_y.to(torch.complex128))
    expected = [x.grad, weight.grad, *([y.detach()] if problem.transposed else [])]
    tolerance = 2e-4 if problem.x.dtype.itemsize == 8 else 1e-11
    for operation, result in zip(problem.operations, expected, strict=True):
        np.testing.assert_allclose(operation(), result.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", COMPLEX)
def test_bias_gradients(rng, dtype):
    grad_y = normal(rng, dtype, 2, 3, 7, 5)
    gradient = grad.conv2d_bias(grad_y)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, grad_y.sum((0, 2, 3), np.complex128), rtol=1e-5)
    grad_y[0, 0, 0, 0] = complex(np.inf, 1)
    gradient = grad.conv2d_bias(grad_y)
    assert gradient[0].real == np.inf
    assert np.isfinite(gradient.imag).all()


def test_mixed_types_promote_as_numpy_has_it(rng):
    x, weight = rng.standard_normal((2, 3, 8, 8)), normal(rng, np.complex64, 4, 3, 3, 3)
    for x_type, weight_type in [(np.float32, "c8"), (np.float64, "c8"), (np.uint8, "c8"), ("c8", "f8"), (">c8", "c16")]:
        a, b = (10 * x).astype(x_type), weight.astype(weight_type) if weight_type != "f8" else weight.real.astype("f8")
        common = np.result_type(a, b)
        y = conv2d(a, b)
        assert y.dtype == common
        oracles.assert_same_bits(y, conv2d(a.astype(common), b.astype(common)))
    assert conv2d(x.astype(np.float32), weight.real, bias=np.full(4, 1j, np.complex64)).dtype == np.complex64
    assert conv1d(np.ones(3, np.float32), np.ones(2, np.float32), 1j).dtype == np.complex64


def test_a_packed_layer_takes_real_images(rng):
    weight, x = normal(rng, np.complex64, 4, 3, 3, 3), rng.standard_normal((1, 3, 8, 8)).astype(np.float32)
    oracles.assert_same_bits(pack(weight)(x), conv2d(x, weight))


@pytest.mark.parametrize("channel_axis", [None, 0, -1])
def test_filter2d(rng, channel_axis):
    shape = (20, 30) if channel_axis is None else np.moveaxis(np.empty((20, 30, 3)), -1, channel_axis).shape
    image, kernel = normal(rng, np.complex64, *shape), normal(rng, np.complex128, 3, 4)
    y = filter2d(image, kernel, channel_axis=channel_axis)
    assert y.dtype == np.complex64
    first = image if channel_axis is None else np.moveaxis(image, channel_axis, 0)
    planes = np.pad(first.reshape(-1, 20, 30), ((0, 0), (1, 1), (2, 1)), mode="reflect")[:, None]
    expected = conv2d(planes, kernel.astype(np.complex64)[None, None])[:, 0]
    expected = expected[0] if channel_axis is None else np.moveaxis(expected, 0, channel_axis)
    oracles.assert_same_bits(y, expected)
    # A real image and a complex kernel make a complex result, and the other way round.
    assert filter2d(image.real, kernel, channel_axis=channel_axis).dtype == np.complex64
    assert filter2d(image, kernel.real, channel_axis=channel_axis).dtype == np.complex64
    assert filter2d(image.real.astype(np.float64), kernel, channel_axis=channel_axis).dtype == np.complex128


@settings(max_examples=60)
@given(problem=problems(dtypes=COMPLEX))
def test_matrices_and_operators(problem):
    x, weight, _ = problem.dense
    shape = x.shape[x.ndim == 3 :]
    operator, matrix = (make(weight, shape, **problem.geometry) for make in (ConvOperator, conv_matrix))
    assert operator.dtype == matrix.dtype == weight.dtype
    images = x.reshape(-1, operator.shape[1]).T
    results = normal(np.random.default_rng(x.size), x.dtype, operator.shape[0], 2)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if x.dtype == np.complex64 else {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(operator @ images, matrix @ images, **tolerance)
    for adjoint in (operator.H @ results, operator.rmatmat(results)):
        assert adjoint.dtype == x.dtype
        np.testing.assert_allclose(adjoint, matrix.conj().T @ results, **tolerance)
    np.testing.assert_allclose(operator.T @ results, matrix.T @ results, **tolerance)


# ----------------------------------------------------------------------------------------------------------------------
# Memory and errors


@pytest.mark.parametrize("activation", ["relu", ("clip", 0, 1)])
def test_activations_are_refused(activation):
    x, weight = np.ones((1, 8, 8), np.complex64), np.ones((2, 1, 3, 3), np.complex64)
    for call in (conv2d, lambda _, weight, **keywords: pack(weight, **keywords)):
        with pytest.raises(ValueError, match=r"activation must be none .* complex"):
            call(x, weight, activation=activation)


def test_the_workspace_does_not_grow_with_the_image(rng):
    layer = pack(normal(rng, np.complex64, 8, 8, 3, 3), padding=1)
    assert layer.workspace_bytes((1, 8, 4000, 4000), threads=1) < 2**20
    x, weight = normal(rng, np.complex64, 1, 8, 60, 60), normal(rng, np.complex64, 8, 8, 3, 3)
    for call in (
        lambda **run: conv2d(x, weight, padding=1, **run),
        lambda **run: conv_transpose2d(x, weight, padding=1, **run),
        lambda **run: grad.conv2d_weight(x, weight.shape, x, padding=1, **run),
    ):
        expected = call()
        with pytest.raises(MemoryError, match="workspace_limit of 100 bytes is too small"):
            call(workspace_limit=100)
        oracles.assert_same_bits(call(workspace_limit=2**17, threads=1), expected)


def test_out_may_overlap_the_inputs(rng):
    buffer, weight = normal(rng, np.complex64, 4, 8, 8), normal(rng, np.complex64, 4, 4, 3, 3)
    expected = conv2d(buffer.copy(), weight, padding=1)
    oracles.assert_same_bits(conv2d(buffer, weight, padding=1, out=buffer), expected)
    real = flatconv.conv2d(expected.real, weight.real, padding=1)
    oracles.assert_same_bits(flatconv.conv2d(expected.real, weight.real, padding=1, out=expected.imag), real)
