"""The region matrix and its adjoint, in both orders: im2col and col2im, unfold and fold."""

import math

import numpy as np
import oracles
import pytest
import torch
from flatconv import col2im, conv2d, fold, im2col, unfold
from hypothesis import given
from layouts import READABLE
from problems import EVERY_RANK, PADDING_MODES, problems

pytestmark = pytest.mark.usefixtures("split_work")

DTYPES = ("bool", "int8", "uint8", "int16", "float16", "int32", "float32", "float64", "complex64", "complex128")


# ----------------------------------------------------------------------------------------------------------------------
# im2col


@given(problem=problems())
def test_im2col_is_sliding_windows(problem):
    kernel, keywords = problem.weight.shape[2:], problem.regions
    regions = im2col(problem.x, kernel, **keywords)
    expected, _ = oracles.regions(problem.dense[0], kernel, **keywords)
    oracles.assert_same_bits(regions, expected)
    assert regions.flags.c_contiguous


@pytest.mark.parametrize("rank", EVERY_RANK)
@pytest.mark.parametrize("mode", PADDING_MODES)
def test_im2col_of_every_rank(rng, rank, mode):
    shape, kernel, geometry = EVERY_RANK[rank]
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
    kernel, keywords = problem.weight.shape[2:], problem.regions
    regions = im2col(problem.x, kernel, **keywords)
    other = np.random.default_rng(regions.size).integers(-8, 9, regions.shape).astype(regions.dtype)
    image = col2im(other, problem.x.shape, kernel, **keywords)
    assert image.shape == problem.x.shape
    assert image.dtype == regions.dtype
    # Small integers: both sides are exact.
    assert np.vdot(regions, other) == np.vdot(problem.x.astype(regions.dtype), image)


@pytest.mark.parametrize("rank", EVERY_RANK)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_col2im_adds_in_the_order_of_the_rows(rng, rank, dtype):
    shape, kernel, geometry = EVERY_RANK[rank]
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


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_col2im_of_complex_numbers(rng, dtype):
    regions = (rng.standard_normal((2, 36, 27)) + 1j * rng.standard_normal((2, 36, 27))).astype(dtype)
    regions[0, 0, 0] = complex(np.inf, 1)
    image = col2im(regions, (2, 3, 8, 8), 3)
    assert image.dtype == dtype
    oracles.assert_same_bits(image.real, col2im(regions.real, (2, 3, 8, 8), 3))
    oracles.assert_same_bits(image.imag, col2im(regions.imag, (2, 3, 8, 8), 3))
    assert np.isfinite(image.imag).all()


# ----------------------------------------------------------------------------------------------------------------------
# unfold and fold: the same in torch's layout


def unfold_order(problem):
    """Arguments after x of unfold, and after x and the output's size of fold."""
    return problem.weight.shape[2:], *(problem.geometry[name] for name in ("dilation", "padding", "stride"))


@given(problem=problems())
def test_unfold_is_im2col_transposed(problem):
    mode = problem.geometry["padding_mode"]
    regions = unfold(problem.x, *unfold_order(problem), padding_mode=mode)
    oracles.assert_same_bits(regions, im2col(problem.x, problem.weight.shape[2:], **problem.regions).swapaxes(-2, -1))
    assert regions.flags.c_contiguous


@given(problem=problems())
def test_fold_adds_in_the_order_of_the_rows(problem):
    arguments, mode = unfold_order(problem), problem.geometry["padding_mode"]
    shape = problem.x.shape
    sources = unfold(np.arange(1, 1 + math.prod(shape)).reshape(shape), *arguments, padding_mode=mode)
    x = np.random.default_rng(sources.size).standard_normal(sources.shape).astype(problem.dense[0].dtype)
    sums = np.zeros(1 + math.prod(shape), x.dtype)
    np.add.at(sums, sources.ravel(), x.ravel())
    expected = sums[1:].reshape(shape)
    for threads in (None, 1, 3):
        image = fold(x, shape[2:], *arguments, padding_mode=mode, threads=threads)
        oracles.assert_same_bits(image, expected)
    oracles.assert_same_bits(fold(x[0], shape[2:], *arguments, padding_mode=mode), expected[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((2, 3, 9, 8), (3,)),
        ((3, 9, 8), (3, 1, 1)),
        ((2, 5, 13, 12), ((3, 2), (1, 2), (1, 0), (2, 1))),
        ((1, 4, 30, 31), (7, 2, 3, 3)),
        ((3, 20, 7, 7), (3, 1, 1)),
        ((2, 2, 1, 5), ((1, 5),)),
        ((1, 2, 40, 41), ((40, 1), 1, (3, 0), (5, 7))),
    ],
)
def test_unfold_and_fold_are_torchs_to_the_bit(rng, dtype, shape, arguments):
    x = rng.standard_normal(shape).astype(dtype)
    regions = unfold(x, *arguments)
    oracles.assert_same_bits(regions, torch.nn.functional.unfold(torch.from_numpy(x), *arguments).numpy())
    x = rng.standard_normal(regions.shape).astype(dtype)
    folded = torch.nn.functional.fold(torch.from_numpy(x), shape[-2:], *arguments)
    oracles.assert_same_bits(fold(x, shape[-2:], *arguments), folded.numpy())


@pytest.mark.parametrize("width", range(1, 20))
def test_rows_of_every_length(rng, width):
    """Short ones are moved and added in pieces that overlap."""
    shape = (1, 2, 3, width)
    arguments = ((3, 3), 1, 1)
    numbered = np.arange(1, 1 + math.prod(shape)).reshape(shape)
    sources = oracles.regions(numbered, (3, 3), padding=1)[0].swapaxes(1, 2)
    for dtype in DTYPES:
        values = rng.integers(0, 100, numbered.size + 1).astype(dtype)
        values[0] = 0
        assert np.array_equal(unfold(values[numbered], *arguments), values[sources])
        if values.dtype.kind in "fc":
            regions = rng.standard_normal(sources.shape).astype(dtype)
            sums = np.zeros(numbered.size + 1, np.float32 if dtype == "float16" else dtype)
            np.add.at(sums, sources.ravel(), regions.ravel())
            expected = sums[1:].reshape(shape).astype(dtype)
            oracles.assert_same_bits(fold(regions, shape[2:], *arguments), expected)


def test_a_product_with_unfold_is_the_convolution(rng):
    x = rng.integers(-9, 10, (3, 6, 5, 7)).astype(np.float32)
    weight = rng.integers(-9, 10, (4, 6, 3, 2)).astype(np.float32)
    y = conv2d(x, weight, stride=2, padding=1)
    assert np.array_equal((weight.reshape(4, -1) @ unfold(x, (3, 2), stride=2, padding=1)).reshape(y.shape), y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unfold_moves_elements_of_any_type(rng, dtype):
    x = rng.integers(0, 100, (2, 3, 7, 8)).astype(dtype)
    regions = unfold(x, 3, padding=1)
    assert regions.dtype == np.dtype(dtype)
    assert np.array_equal(regions, oracles.regions(x, (3, 3), padding=1)[0].swapaxes(1, 2))


@pytest.mark.parametrize("layout", READABLE)
def test_unfold_and_fold_of_every_layout(rng, layout):
    x = READABLE[layout](rng.standard_normal((3, 4, 9, 8)))
    dense = np.array(x, np.float64, order="C")
    oracles.assert_same_bits(unfold(x, (3, 2), padding=1), unfold(dense, (3, 2), padding=1))
    regions = READABLE[layout](rng.standard_normal((2, 27, 36)))
    dense = np.array(regions, np.float64, order="C")
    oracles.assert_same_bits(fold(regions, (8, 8), 3), fold(dense, (8, 8), 3))


def test_unfold_and_fold_of_nothing():
    assert unfold(np.ones((0, 3, 8, 8)), 3).shape == (0, 27, 36)
    assert unfold(np.ones((2, 0, 8, 8)), 3).shape == (2, 0, 36)
    padding_alone = unfold(np.ones((2, 3, 0), np.float32), (3,), padding=2)
    oracles.assert_same_bits(padding_alone, np.zeros((2, 9, 2), np.float32))
    assert fold(np.ones((0, 27, 36)), (8, 8), 3).shape == (0, 3, 8, 8)
    assert fold(np.ones((2, 0, 36)), (8, 8), 3).shape == (2, 0, 8, 8)
    assert fold(np.ones((2, 9, 2), np.float32), (0,), 3, padding=2).shape == (2, 3, 0)


def test_how_many_axes_fold_has():
    x = np.ones((1, 27, 6), np.float32)
    assert fold(x, 8, (3,)).shape == (1, 9, 8)
    assert fold(x, (8,), 3).shape == (1, 9, 8)
    assert fold(np.ones((1, 27, 8)), (4, 4, 4), 3).shape == (1, 1, 4, 4, 4)
    assert fold(np.ones((1, 27, 36)), 8, 3).shape == (1, 3, 8, 8)
