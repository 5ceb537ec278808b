"""Convolution against NumPy: numpy.pad, sliding windows and einsum in float64."""

import numpy as np
import oracles
import pytest
from flatconv import conv2d
from flatconv._arguments import ALGORITHMS
from hypothesis import given
from problems import CONV, problems

pytestmark = pytest.mark.usefixtures("split_work")

IMAGE = np.array([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]], np.float32)
KERNEL = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]], np.float32)
RESULT = np.array([[12, 12, 17], [10, 17, 19], [9, 6, 14]], np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_worked_example(isa, dtype):
    y = conv2d(IMAGE.astype(dtype), KERNEL.astype(dtype))
    assert y.dtype == dtype
    assert np.array_equal(y, RESULT)


@given(problem=problems())
def test_error_is_within_the_bound(isa, problem):
    for algorithm in ALGORITHMS:
        y = problem.conv(problem.x, problem.weight, problem.bias, **problem.geometry, algorithm=algorithm)
        x, weight, bias = problem.dense
        oracles.assert_within_bound(y, x, weight, bias, **problem.geometry)


@given(problem=problems(integers=True))
def test_small_integers_are_exact(isa, problem):
    y = problem.conv(problem.x, problem.weight, problem.bias, **problem.geometry)
    assert np.array_equal(y, oracles.conv(*problem.dense, **problem.geometry))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deep_sums_are_within_the_bound(rng, dtype, algorithm):
    x = rng.standard_normal((1, 96, 9, 11)).astype(dtype)
    weight = rng.standard_normal((5, 96, 5, 5)).astype(dtype)
    oracles.assert_within_bound(conv2d(x, weight, algorithm=algorithm), x, weight)


@pytest.mark.parametrize("rank", CONV)
def test_plain_and_unbatched_are_slices_of_the_batch(rng, rank):
    conv = CONV[rank]
    x, weight = rng.standard_normal((2, 1, *(9, 8, 7)[:rank])), rng.standard_normal((1, 1, *(3, 2, 4)[:rank]))
    bias = np.array([0.25])
    y = conv(x, weight, bias, stride=2, padding=1)
    oracles.assert_within_bound(y, x, weight, bias, stride=2, padding=1)
    oracles.assert_same_bits(conv(x[1], weight, bias, stride=2, padding=1), y[1])
    for scalar in (0.25, np.float64(0.25), np.array(0.25)):
        plain = conv(x[1, 0], weight[0, 0], scalar, stride=2, padding=1)
        oracles.assert_same_bits(plain, y[1, 0])


@pytest.mark.parametrize("rank", CONV)
def test_positional_arguments_are_those_of_torch(rng, rank):
    x, weight = rng.standard_normal((1, 4, *[12] * rank)), rng.standard_normal((6, 2, *[3] * rank))
    bias = rng.standard_normal(6)
    named = CONV[rank](x, weight, bias=bias, stride=2, padding=3, dilation=4, groups=2)
    oracles.assert_same_bits(CONV[rank](x, weight, bias, 2, 3, 4, 2), named)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [
        (np.int8(2), np.int64(1), np.uint8(1)),
        ((2, 2), (1, 1), (1, 1)),
        ([2, np.int32(2)], [(1, 1), [1, 1]], (1, 1)),
        (np.array([2, 2]), np.array([[1, 1], [1, 1]]), np.array(1)),
        ((2, 2), (1, (1, 1)), 1),
    ],
)
def test_forms_of_the_same_geometry(rng, stride, padding, dilation):
    x, weight = rng.standard_normal((1, 2, 9, 8)), rng.standard_normal((3, 2, 3, 3))
    expected = conv2d(x, weight, stride=2, padding=1)
    oracles.assert_same_bits(conv2d(x, weight, stride=stride, padding=padding, dilation=dilation), expected)


@pytest.mark.parametrize(("alias", "mode"), [("edge", "replicate"), ("wrap", "circular")])
def test_numpys_names_of_padding_modes(rng, alias, mode):
    x, weight = rng.standard_normal((1, 2, 9, 8)), rng.standard_normal((3, 2, 3, 3))
    y = conv2d(x, weight, padding=2, padding_mode=alias)
    oracles.assert_same_bits(y, conv2d(x, weight, padding=2, padding_mode=mode))
    oracles.assert_within_bound(y, x, weight, padding=2, padding_mode=mode)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
@pytest.mark.parametrize("rule", ["same", "same_lower"])
def test_same_divides_by_the_stride_and_rounds_up(rng, size, stride, rule):
    x, weight = rng.standard_normal((1, 1, size, size)), rng.standard_normal((1, 1, 4, 3))
    y = conv2d(x, weight, stride=stride, padding=rule, dilation=(1, 2))
    assert y.shape == (1, 1, -(-size // stride), -(-size // stride))
    oracles.assert_within_bound(y, x, weight, stride=stride, padding=rule, dilation=(1, 2))


@pytest.mark.parametrize("rank", CONV)
def test_full_is_every_overlap(rng, rank):
    from scipy.signal import convolve

    x, weight = rng.standard_normal((4, 5, 6)[:rank]), rng.standard_normal((3, 2, 4)[:rank])
    y = CONV[rank](x, np.flip(weight), padding="full")
    np.testing.assert_allclose(y, convolve(x, weight, method="direct"), rtol=1e-12)


@pytest.mark.parametrize(
    ("x_type", "weight_type", "bias_type", "result"),
    [
        ("uint8", "float32", None, "float32"),
        ("int16", "float32", None, "float32"),
        ("bool", "float32", None, "float32"),
        ("float16", "float32", None, "float32"),
        ("int32", "float32", None, "float64"),
        ("float32", "float64", None, "float64"),
        ("float32", "float32", "float64", "float64"),
        ("float32", "uint8", "uint8", "float32"),
        ("uint8", "int8", "float32", "float32"),
        (">f4", "float32", None, "float32"),
        (">f8", ">f8", ">f8", "float64"),
    ],
)
def test_promotion_is_numpys(rng, x_type, weight_type, bias_type, result):
    x = rng.integers(0, 2, (1, 2, 5, 5)).astype(x_type)
    weight = rng.integers(0, 9, (3, 2, 3, 3)).astype(weight_type)
    bias = None if bias_type is None else rng.integers(0, 9, 3).astype(bias_type)
    y = conv2d(x, weight, bias)
    assert y.dtype == np.dtype(result)
    assert y.dtype.isnative
    assert np.array_equal(y, oracles.conv(x, weight, bias))


def test_python_scalars_are_weak():
    assert conv2d(IMAGE, KERNEL, 0.5).dtype == np.float32
    assert conv2d(IMAGE, KERNEL, 1).dtype == np.float32
    assert conv2d(IMAGE, KERNEL, np.float64(0.5)).dtype == np.float64
    assert np.array_equal(conv2d(IMAGE, KERNEL, 0.5), RESULT + 0.5)


def test_whatever_asarray_takes_is_taken():
    class Wrapped:
        def __array__(self, dtype=None, copy=None):
            return IMAGE

    assert np.array_equal(conv2d(Wrapped(), KERNEL), RESULT)
    lists = conv2d(IMAGE.tolist(), KERNEL.tolist())
    assert lists.dtype == np.float64
    assert np.array_equal(lists, RESULT)

    class Subclass(np.ndarray):
        pass

    y = conv2d(IMAGE.view(Subclass), KERNEL)
    assert type(y) is np.ndarray
    assert np.array_equal(y, RESULT)


def test_inputs_are_left_alone(rng):
    x, weight, bias = rng.standard_normal((2, 2, 6, 6)), rng.standard_normal((3, 2, 3, 3)), rng.standard_normal(3)
    before = [array.copy() for array in (x, weight, bias)]
    for array in (x, weight, bias):
        array.flags.writeable = False
    conv2d(x, weight, bias, padding=1)
    for array, copy in zip((x, weight, bias), before, strict=True):
        oracles.assert_same_bits(array, copy)
