"""Both views of the idea: the region matrix and its adjoint, and the convolution matrix."""

import sys

import numpy as np
import oracles
import pytest
import scipy.sparse
import torch
from flatconv import col2im, conv2d, conv_matrix, im2col
from hypothesis import given
from layouts import READABLE
from problems import PADDING_MODES, problems

pytestmark = pytest.mark.usefixtures("split_work")

RANKS = {
    1: ((2, 3, 29), (4,), {"stride": 2, "padding": ((1, 3),), "dilation": 3}),
    2: ((2, 3, 9, 8), (3, 2), {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2)}),
    3: ((2, 3, 6, 5, 7), (2, 3, 2), {"stride": (1, 2, 3), "padding": (1, 0, 2), "dilation": (2, 1, 1)}),
}
DTYPES = ("bool", "int8", "uint8", "int16", "float16", "int32", "float32", "float64", "complex64", "complex128")


def region_keywords(problem):
    return {name: value for name, value in problem.geometry.items() if name != "groups"}


# ----------------------------------------------------------------------------------------------------------------------
# im2col


@given(problem=problems())
def test_im2col_is_sliding_windows(problem):
    kernel, keywords = problem.weight.shape[2:], region_keywords(problem)
    regions = im2col(problem.x, kernel, **keywords)
    expected, _ = oracles.regions(problem.dense[0], kernel, **keywords)
    oracles.assert_same_bits(regions, expected)
    assert regions.flags.c_contiguous


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_im2col_of_every_rank(rng, rank, mode):
    shape, kernel, geometry = RANKS[rank]
    x = rng.integers(0, 1000, shape)
    expected, _ = oracles.regions(x, kernel, **geometry, padding_mode=mode)
    for threads in (None, 1, 3):
        assert np.array_equal(im2col(x, kernel, **geometry, padding_mode=mode, threads=threads), expected)
    assert np.array_equal(im2col(x[1], kernel, **geometry, padding_mode=mode), expected[1])
    first_channel = expected[1, :, : int(np.prod(kernel))]
    assert np.array_equal(im2col(x[1, 0], kernel, **geometry, padding_mode=mode), first_channel)


@pytest.mark.parametrize("dtype", DTYPES)
def test_im2col_moves_elements_of_any_type(rng, dtype):
    x = rng.integers(0, 100, (2, 3, 7, 8)).astype(dtype)
    regions = im2col(x, 3, padding=1)
    assert regions.dtype == np.dtype(dtype)
    assert np.array_equal(regions, oracles.regions(x, (3, 3), padding=1)[0])


def test_im2col_moves_bits():
    x = np.array([[0x7F800001, 0x80000000], [0x00000001, 0xFFFFFFFF]], np.uint32).view(np.float32)
    regions = im2col(x, 1)
    assert regions.view(np.uint32).ravel().tolist() == x.view(np.uint32).ravel().tolist()


def test_im2col_of_the_other_byte_order(rng):
    x = rng.standard_normal((2, 5, 6)).astype(">f8")
    regions = im2col(x, 2)
    assert regions.dtype == np.float64
    assert regions.dtype.isnative
    oracles.assert_same_bits(regions, im2col(x.astype(np.float64), 2))


@pytest.mark.parametrize("layout", READABLE)
def test_im2col_of_every_layout(rng, layout):
    x = READABLE[layout](rng.standard_normal((3, 4, 9, 8)))
    dense = np.array(x, np.float64, order="C")
    expected, _ = oracles.regions(dense, (3, 2), stride=2, padding=((1, 0), (0, 2)))
    oracles.assert_same_bits(im2col(x, (3, 2), 2, ((1, 0), (0, 2))), expected)


def test_im2col_of_nothing():
    assert im2col(np.ones((0, 3, 8, 8)), 3).shape == (0, 36, 27)
    assert im2col(np.ones((2, 0, 8, 8)), 3).shape == (2, 36, 0)
    padding_alone = im2col(np.ones((2, 3, 8, 0), np.float32), 3, padding=2)
    oracles.assert_same_bits(padding_alone, np.zeros((2, 10 * 2, 27), np.float32))


# ----------------------------------------------------------------------------------------------------------------------
# col2im


@given(problem=problems(integers=True))
def test_col2im_is_the_adjoint_of_im2col(problem):
    kernel, keywords = problem.weight.shape[2:], region_keywords(problem)
    regions = im2col(problem.x, kernel, **keywords)
    other = np.random.default_rng(regions.size).integers(-8, 9, regions.shape).astype(regions.dtype)
    image = col2im(other, problem.x.shape, kernel, **keywords)
    assert image.shape == problem.x.shape
    assert image.dtype == regions.dtype
    # Small integers: both sides are exact.
    assert np.vdot(regions, other) == np.vdot(problem.x.astype(regions.dtype), image)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_col2im_adds_in_the_order_of_the_rows(rng, rank, dtype):
    shape, kernel, geometry = RANKS[rank]
    numbered = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    sources = im2col(numbered, kernel, **geometry)
    regions = rng.standard_normal(sources.shape).astype(dtype)
    sums = np.zeros(numbered.size + 1, dtype)
    np.add.at(sums, sources.ravel(), regions.ravel())
    expected = sums[1:].reshape(shape)
    for threads in (None, 1, 3):
        oracles.assert_same_bits(col2im(regions, shape, kernel, **geometry, threads=threads), expected)
    oracles.assert_same_bits(col2im(regions[1], shape[1:], kernel, **geometry), expected[1])
    columns = int(np.prod(kernel))
    oracles.assert_same_bits(col2im(regions[1][:, :columns], shape[2:], kernel, **geometry), expected[1, 0])


def test_col2im_is_torchs_fold(rng):
    regions = rng.integers(-9, 10, (2, 42, 3 * 6)).astype(np.float32)
    image = col2im(regions, (2, 3, 8, 8), (3, 2), padding=(0, 0))
    folded = torch.nn.functional.fold(torch.from_numpy(regions).transpose(1, 2), (8, 8), (3, 2))
    assert np.array_equal(image, folded.numpy())


@pytest.mark.parametrize("layout", READABLE)
def test_col2im_of_every_layout(rng, layout):
    regions = READABLE[layout](rng.standard_normal((2, 36, 27)))
    dense = np.array(regions, np.float64, order="C")
    oracles.assert_same_bits(col2im(regions, (2, 3, 8, 8), 3), col2im(dense, (2, 3, 8, 8), 3))


def test_pixels_of_no_region_are_zero():
    image = col2im(np.ones((4, 1), np.float32), (4, 4), 1, stride=2)
    assert np.array_equal(image, np.tile(np.array([[1, 0], [0, 0]], np.float32), (2, 2)))


# ----------------------------------------------------------------------------------------------------------------------
# Both views are the convolution


@given(problem=problems(integers=True))
def test_both_views_equal_conv2d(problem):
    x, weight, _ = problem.dense
    y = conv2d(x, weight, **problem.geometry)
    matrix = conv_matrix(weight, x.shape, **problem.geometry)
    assert matrix.shape == (y.size, x.size)
    assert np.array_equal((matrix @ x.ravel()).reshape(y.shape), y)
    groups = problem.geometry["groups"]
    regions = im2col(x, weight.shape[2:], **region_keywords(problem))
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


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_conv_matrix_of_every_rank(rng, rank, mode):
    shape, kernel, geometry = RANKS[rank]
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


def test_conv_matrix_of_a_whole_image(rng):
    image, kernel = rng.integers(0, 256, (256, 256)).astype(np.float32), np.arange(9, dtype=np.float32).reshape(3, 3)
    matrix = conv_matrix(kernel, image.shape, padding="same")
    assert matrix.shape == (2**16, 2**16)
    assert np.array_equal(matrix @ image.ravel(), conv2d(image, kernel, padding="same").ravel())


def test_conv_matrix_of_nothing():
    assert conv_matrix(np.ones((0, 3, 3, 3)), (3, 8, 8)).shape == (0, 192)
    assert conv_matrix(np.ones((4, 0, 3, 3)), (0, 8, 8)).shape == (144, 0)
    assert conv_matrix(np.ones((4, 3, 3, 3)), (0, 3, 8, 8), format="dense").shape == (0, 0)


def test_without_scipy_the_dense_matrix_is_left(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r'pip install scipy, or pass format="dense"'):
        conv_matrix(np.ones((3, 3)), (5, 5))
    assert conv_matrix(np.ones((3, 3)), (5, 5), format="dense").sum() == 81
