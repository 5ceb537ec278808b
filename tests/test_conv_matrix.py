"""The convolution matrix, and that both matrices are the convolution."""

import math
import sys

import numpy as np
import oracles
import pytest
import scipy.sparse
import torch
from flatconv import conv2d, conv_matrix, im2col
from hypothesis import given
from problems import EVERY_RANK, PADDING_MODES, problems

pytestmark = pytest.mark.usefixtures("split_work")


@given(problem=problems(integers=True))
def test_both_views_equal_the_convolution(problem):
    x, weight, _ = problem.dense
    y = problem.conv(x, weight, **problem.geometry)
    # A shape of three sizes with a weight of three dimensions is that of a plain volume, and not of a batch of signals.
    shape = x.shape[x.ndim == 3 :]
    matrix = conv_matrix(weight, shape, **problem.geometry)
    columns = x.reshape(-1, math.prod(shape)).T
    assert matrix.shape == (y.size // columns.shape[1], len(columns))
    assert np.array_equal((matrix @ columns).T.reshape(y.shape), y)
    groups = problem.geometry["groups"]
    regions = im2col(x, weight.shape[2:], **problem.regions)
    depth = weight[0].size
    for g in range(groups):
        kernels = weight.reshape(groups, -1, depth)[g]
        products = regions[:, :, g * depth : (g + 1) * depth] @ kernels.T
        of_group = y.reshape(len(x), groups, len(kernels), -1)[:, g]
        assert np.array_equal(products.transpose(0, 2, 1), of_group)


def test_the_worked_example():
    image = np.array([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]])
    kernel = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]])
    result = [[12, 12, 17], [10, 17, 19], [9, 6, 14]]
    assert im2col(image, 3)[0].tolist() == [3, 3, 2, 0, 0, 1, 3, 1, 2]
    assert (im2col(image, 3) @ kernel.ravel()).reshape(3, 3).tolist() == result
    matrix = conv_matrix(kernel, image.shape)
    assert matrix.shape == (9, 25)
    assert matrix.dtype == kernel.dtype
    assert (matrix @ image.ravel()).reshape(3, 3).tolist() == result


@pytest.mark.parametrize("rank", EVERY_RANK)
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_conv_matrix_of_every_rank(rng, rank, mode):
    shape, kernel, geometry = EVERY_RANK[rank]
    x = rng.integers(-9, 10, shape)
    weight = rng.integers(-9, 10, (5, 3, *kernel))
    expected = oracles.conv(x, weight, **geometry, padding_mode=mode)
    matrix = conv_matrix(weight, shape[1:], **geometry, padding_mode=mode)
    for image, result in zip(x, expected, strict=True):
        assert np.array_equal(matrix @ image.ravel(), result.ravel())
    plain = conv_matrix(weight[0, 0], shape[2:], **geometry, padding_mode=mode)
    single = oracles.conv(x[:1, :1], weight[:1, :1], **geometry, padding_mode=mode)
    assert np.array_equal(plain @ x[0, 0].ravel(), single.ravel())


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "dense"])
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_conv_matrix_in_every_format(rng, format, mode):
    weight = rng.integers(-9, 10, (4, 2, 3, 3)).astype(np.float32)
    keywords = {"padding": 2, "groups": 2, "padding_mode": mode}
    expected = conv_matrix(weight, (4, 6, 5), **keywords).toarray()
    matrix = conv_matrix(weight, (4, 6, 5), **keywords, format=format)
    assert matrix.dtype == np.float32
    if format == "dense":
        assert type(matrix) is np.ndarray
    else:
        assert isinstance(matrix, getattr(scipy.sparse, f"{format}_array"))
        matrix = matrix.toarray()
    assert np.array_equal(matrix, expected)


def test_transpose_is_the_transposed_convolution(rng):
    weight = rng.integers(-9, 10, (4, 2, 3, 3)).astype(np.float32)
    y = rng.integers(-9, 10, (4, 4, 3)).astype(np.float32)
    matrix = conv_matrix(weight, (2, 9, 7), stride=2)
    transposed = torch.nn.functional.conv_transpose2d(torch.from_numpy(y), torch.from_numpy(weight), stride=2)
    assert np.array_equal((matrix.T @ y.ravel()).reshape(2, 9, 7), transposed.numpy())


def test_conv_matrix_is_canonical_and_keeps_kernel_zeros(rng):
    weight = np.array([[0, 1, 0], [2, 0, 3], [0, 4, 0]], np.float32)
    for mode in PADDING_MODES:
        matrix = conv_matrix(weight, (9, 8), padding=2, padding_mode=mode)
        assert matrix.has_canonical_format
    matrix = conv_matrix(weight, (9, 8))
    assert matrix.nnz == 9 * 7 * 6
    assert np.array_equal(np.unique(matrix.toarray()), np.arange(5))


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_conv_matrix_of_whole_images(rng, mode):
    image = rng.integers(0, 256, (3, 256, 256)).astype(np.float32)
    weight = np.arange(8 * 27, dtype=np.float32).reshape(8, 3, 3, 3)
    matrix = conv_matrix(weight, image.shape, padding="same", padding_mode=mode)
    assert matrix.shape == (8 * 2**16, 3 * 2**16)
    assert matrix.indices.dtype == np.int32
    y = conv2d(image, weight, padding="same", padding_mode=mode)
    assert np.array_equal(matrix @ image.ravel(), y.ravel())


def test_conv_matrix_of_groups_in_a_batch(rng):
    x, weight = rng.integers(-9, 10, (3, 6, 7, 8)), rng.integers(-9, 10, (4, 3, 3, 2))
    for geometry in ({"padding": 1}, {"stride": 2}, {"padding": 3, "padding_mode": "circular"}):
        matrix = conv_matrix(weight, x.shape, groups=2, **geometry)
        assert np.array_equal(matrix @ x.ravel(), oracles.conv(x, weight, groups=2, **geometry).ravel())


def test_conv_matrix_is_a_copy():
    weight = np.arange(4.0).reshape(2, 2)
    matrix = conv_matrix(weight, (2, 2))
    matrix.data[:] = 7
    assert weight.tolist() == [[0, 1], [2, 3]]


def test_conv_matrix_of_nothing():
    assert conv_matrix(np.ones((0, 3, 3, 3)), (3, 8, 8)).shape == (0, 192)
    assert conv_matrix(np.ones((4, 0, 3, 3)), (0, 8, 8)).shape == (144, 0)
    assert conv_matrix(np.ones((4, 3, 3, 3)), (0, 3, 8, 8), format="dense").shape == (0, 0)
    huge = conv_matrix(np.ones((0, 3, 3, 3), np.float32), (3, 2**20, 2**20))
    assert huge.shape == (0, 3 * 2**40)
    assert huge.dtype == np.float32


def test_without_scipy_the_dense_matrix_is_left(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r'pip install scipy, or pass format="dense"'):
        conv_matrix(np.ones((3, 3)), (5, 5))
    assert conv_matrix(np.ones((3, 3)), (5, 5), format="dense").sum() == 81
