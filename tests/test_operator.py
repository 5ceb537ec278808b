"""ConvOperator: the matrix that it stands for, the adjoint, and what SciPy does with it."""

import math

import numpy as np
import oracles
import pytest
import scipy.sparse.linalg
import skimage.data
from child_process import run_child
from flatconv import ConvOperator, conv2d, conv_matrix, filter2d
from hypothesis import given
from problems import CONV, EVERY_RANK, PADDING_MODES, problems

pytestmark = pytest.mark.usefixtures("split_work")


@given(problem=problems(integers=True))
def test_it_is_the_matrix(problem):
    """Small integers: both products are exact, with the matrix and with its transpose."""
    x, weight, _ = problem.dense
    shape = x.shape[x.ndim == 3 :]
    operator = ConvOperator(weight, shape, **problem.geometry)
    matrix = conv_matrix(weight, shape, **problem.geometry)
    assert operator.shape == matrix.shape
    assert operator.dtype == weight.dtype
    images = x.reshape(-1, operator.shape[1]).T
    assert np.array_equal(operator @ images, matrix @ images)
    results = np.random.default_rng(x.size).integers(-8, 9, (operator.shape[0], 2)).astype(x.dtype)
    back = operator.T @ results
    assert back.dtype == x.dtype
    assert np.array_equal(back, matrix.T @ results)
    assert np.array_equal(operator.T @ results[:, 1], back[:, 1])


@given(problem=problems(dtypes=(np.float64,)))
def test_the_products_are_adjoint(problem):
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for noise, up to rounding."""
    x, weight, _ = problem.dense
    shape = x.shape[x.ndim == 3 :]
    operator = ConvOperator(weight, shape, **problem.geometry)
    x = x.reshape(-1, operator.shape[1])[0]
    y = np.random.default_rng(x.size).standard_normal(operator.shape[0])
    magnitude = abs(conv_matrix(weight, shape, **problem.geometry))
    bound = 4 * oracles.rounding_bound(operator.shape[1] + weight.size, np.float64) * (abs(y) @ (magnitude @ abs(x)))
    assert abs((operator @ x) @ y - x @ (operator.T @ y)) <= bound
    assert abs((operator @ x) @ y - x @ operator.rmatvec(y)) <= bound


@pytest.mark.parametrize("rank", EVERY_RANK)
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_every_rank_and_form(rng, rank, mode):
    shape, kernel, geometry = EVERY_RANK[rank]
    x = rng.integers(-9, 10, shape).astype(np.float64)
    weight = rng.integers(-9, 10, (5, 3, *kernel)).astype(np.float32)
    y = CONV[rank](x, weight, **geometry, padding_mode=mode)
    operator = ConvOperator(weight, shape[1:], **geometry, padding_mode=mode)
    assert operator.input_shape == shape[1:]
    assert operator.output_shape == y.shape[1:]
    assert np.array_equal((operator @ x[1].ravel()).reshape(operator.output_shape), y[1])
    plain = ConvOperator(weight[0, 0], shape[2:], **geometry, padding_mode=mode)
    assert plain.output_shape == y.shape[2:]
    single = CONV[rank](x[0, 0], weight[0, 0], **geometry, padding_mode=mode)
    assert np.array_equal((plain @ x[0, 0].ravel()).reshape(plain.output_shape), single)


def test_the_bits_are_those_of_conv2d(rng):
    x, weight = rng.standard_normal((2, 6, 12, 13)), rng.standard_normal((4, 3, 3, 3))
    operator = ConvOperator(weight, x.shape, 2, "same", groups=2, padding_mode="reflect")
    y = conv2d(x, weight, stride=2, padding="same", groups=2, padding_mode="reflect")
    assert operator.output_shape == y.shape
    oracles.assert_same_bits(operator.matvec(x.ravel()), y.ravel())
    oracles.assert_same_bits(operator.matvec(x.reshape(-1, 1)), y.reshape(-1, 1))
    # Columns that are no rows in memory.
    columns = rng.standard_normal((x.size, 3))
    for column, product in zip(columns.T, (operator @ columns).T, strict=True):
        oracles.assert_same_bits(product, operator @ column)


def test_the_weight_is_copied(rng):
    weight = rng.standard_normal((3, 3))
    operator = ConvOperator(weight, (8, 8))
    x, y = rng.standard_normal(64), rng.standard_normal(36)
    forward, back = operator @ x, operator.T @ y
    weight[...] = np.nan
    oracles.assert_same_bits(operator @ x, forward)
    oracles.assert_same_bits(operator.T @ y, back)


def test_nothing_to_multiply():
    assert (ConvOperator(np.ones((4, 3, 3, 3)), (0, 3, 8, 8)) @ np.ones(0)).shape == (0,)
    assert (ConvOperator(np.ones((0, 3, 3, 3)), (3, 8, 8)).T @ np.ones(0)).tolist() == [0] * 192
    assert (ConvOperator(np.ones((3, 3)), (8, 8)) @ np.ones((64, 0))).shape == (36, 0)
    assert (ConvOperator(np.ones((3, 3)), (8, 8)).T @ np.ones((36, 0))).shape == (64, 0)


def test_strides_of_a_huge_step(rng):
    operator = ConvOperator(rng.standard_normal((3, 2)), (9, 8), stride=(2**40, 3), padding=1)
    matrix = conv_matrix(operator._weight, (1, 1, 9, 8), stride=(2**40, 3), padding=1)
    y = rng.standard_normal(operator.shape[0])
    np.testing.assert_allclose(operator.T @ y, matrix.T @ y, rtol=1e-14)


def psnr(image, truth):
    return 10 * math.log10(np.ptp(truth) ** 2 / np.mean((image - truth) ** 2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lsqr_sharpens_a_blurred_photograph(rng, dtype):
    truth = skimage.data.camera()[100:228, 150:278].astype(dtype) / 255
    across = np.arange(-4, 5)
    kernel = np.exp(-(across**2 + across[:, None] ** 2) / (2 * 1.5**2))
    kernel = (kernel / kernel.sum()).astype(dtype)
    operator = ConvOperator(kernel, truth.shape, padding="same", padding_mode="reflect")
    blurred = (operator @ truth.ravel()).reshape(truth.shape)
    oracles.assert_same_bits(blurred, filter2d(truth, kernel))
    noisy = blurred + 0.002 * rng.standard_normal(truth.shape)
    restored = scipy.sparse.linalg.lsqr(operator, noisy.ravel(), damp=0.01, iter_lim=40)[0].reshape(truth.shape)
    assert psnr(restored, truth) > psnr(noisy, truth) + 2


@pytest.mark.parametrize(
    ("exception", "changes", "message"),
    [
        (ValueError, {"input_shape": (8,)}, "input_shape"),
        (ValueError, {"input_shape": (5, 8, 8)}, "5 channels"),
        (ValueError, {"input_shape": (4, 8, -8)}, r"input_shape\[2\].*-8"),
        (ValueError, {"groups": 0}, "groups"),
        (ValueError, {"stride": 0}, "stride"),
        (ValueError, {"padding": "sane"}, "'sane'"),
        (ValueError, {"padding_mode": "sane"}, "'sane'"),
        (ValueError, {"weight": np.ones((6, 4, 9, 9))}, "does not fit"),
        (ValueError, {"threads": 0}, "threads"),
        (TypeError, {"input_shape": 8}, "input_shape"),
        (TypeError, {"weight": None}, "weight"),
        (TypeError, {"weight": np.ones((6, 4, 3, 3), int)}, r"weight.astype\(np.float64\)"),
        (OverflowError, {"input_shape": (4, 2**70, 8)}, "input_shape"),
    ],
)
def test_errors(exception, changes, message):
    with pytest.raises(exception, match=message):
        ConvOperator(**({"weight": np.ones((6, 4, 3, 3)), "input_shape": (4, 8, 8)} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": (2**62, 4, 8, 8)}, r"input_shape = \(4611686018427387904, 4, 8, 8\) has more elements"),
        ({"input_shape": (4, 2**30, 2**30)}, r"input_shape = \(4, 1073741824, 1073741824\) has more elements"),
        ({"input_shape": (2**50, 4, 8, 8), "padding": 2**10}, r"the output for input_shape = \(1125899906842624, 4, 8"),
    ],
)
def test_sizes_beyond_64_bits(changes, message):
    with pytest.raises(OverflowError, match=message):
        ConvOperator(**({"weight": np.ones((6, 4, 3, 3)), "input_shape": (4, 8, 8)} | changes))


def test_a_shape_may_be_any_iterable():
    operator = ConvOperator(np.ones((6, 4, 3, 3)), (size for size in (4, 8, 8)))
    assert (operator.input_shape, operator.output_shape, operator.shape) == ((4, 8, 8), (6, 6, 6), (216, 256))


def test_it_is_listed_before_it_is_imported():
    run_child(
        """
        import flatconv
        assert "ConvOperator" not in vars(flatconv)
        assert "ConvOperator" in dir(flatconv) and set(flatconv.__all__) <= set(dir(flatconv))
        """
    )


def test_without_scipy_it_says_so_and_the_rest_works():
    run_child(
        """
        import sys

        sys.modules["scipy.sparse.linalg"] = None
        import flatconv
        from flatconv import *

        try:
            flatconv.ConvOperator
        except ImportError as error:
            assert "ConvOperator needs SciPy: pip install scipy" in str(error)
        else:
            raise AssertionError("imported")
        try:
            flatconv.convOperator
        except AttributeError as error:
            assert "convOperator" in str(error)
        """
    )
