"""Sizes at the edge: nothing to do, one output, more padding than image, overlap, more than 2**31 elements."""

import mmap

import numpy as np
import oracles
import pytest
from flatconv import conv2d, im2col
from flatconv._arguments import ALGORITHMS
from problems import CONV

pytestmark = pytest.mark.usefixtures("split_work")


def assert_equal_to_the_oracle(rng, x_shape, weight_shape, dtype=np.float32, **geometry):
    """To the bit: integers are exact in any order. With noise, the reference gives the bits."""
    conv = CONV[len(weight_shape) - 2]
    x = rng.integers(-8, 9, x_shape).astype(dtype)
    weight = rng.integers(-8, 9, weight_shape).astype(dtype)
    bias = rng.integers(-8, 9, weight_shape[0]).astype(dtype)
    expected = oracles.conv(x, weight, bias, **geometry)
    for algorithm in ALGORITHMS:
        y = conv(x, weight, bias, **geometry, algorithm=algorithm)
        assert y.dtype == dtype
        assert y.shape == expected.shape
        assert np.array_equal(y, expected)
    x = x + rng.standard_normal(x_shape).astype(dtype)
    reference = conv(x, weight, bias, **geometry, algorithm="reference")
    for algorithm in ALGORITHMS:
        oracles.assert_same_bits(conv(x, weight, bias, **geometry, algorithm=algorithm), reference)


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "geometry", "shape"),
    [
        ((0, 3, 8, 8), (4, 3, 3, 3), {}, (0, 4, 6, 6)),
        ((2, 3, 8, 8), (0, 3, 3, 3), {}, (2, 0, 6, 6)),
        ((0, 4, 8, 8), (4, 2, 3, 3), {"groups": 2}, (0, 4, 6, 6)),
        ((0, 0, 8, 8), (0, 0, 3, 3), {}, (0, 0, 6, 6)),
        ((3, 8, 8), (0, 3, 3, 3), {}, (0, 6, 6)),
        ((0, 3, 8), (4, 3, 3), {}, (0, 4, 6)),
        ((2, 3, 8), (0, 3, 3), {"padding": "same"}, (2, 0, 8)),
        ((0, 3, 4, 8, 8), (4, 3, 3, 3, 3), {}, (0, 4, 2, 6, 6)),
        ((2, 3, 4, 8, 8), (0, 3, 3, 3, 3), {}, (2, 0, 2, 6, 6)),
    ],
)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_results(isa, x_shape, weight_shape, geometry, shape, algorithm):
    x, weight = np.ones(x_shape, np.float32), np.ones(weight_shape, np.float32)
    bias = np.ones(weight_shape[0], np.float32)
    conv = CONV[len(weight_shape) - 2]
    y = conv(x, weight, bias, **geometry, algorithm=algorithm)
    assert y.shape == shape
    assert y.dtype == np.float32
    out = np.empty(shape, np.float32)
    assert conv(x, weight, bias, **geometry, algorithm=algorithm, out=out) is out


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", CONV)
def test_no_input_channels_leave_the_bias(isa, algorithm, groups, rank):
    x, weight = np.ones((2, 0, *[8] * rank), np.float32), np.ones((4, 0, *[3] * rank), np.float32)
    shape = (2, 4, *[6] * rank)
    for bias in (np.arange(4, dtype=np.float32), None):
        out = np.full(shape, np.nan, np.float32)
        CONV[rank](x, weight, bias, groups=groups, algorithm=algorithm, out=out)
        expected = np.zeros(4, np.float32) if bias is None else bias
        oracles.assert_same_bits(out, np.broadcast_to(expected.reshape(-1, *[1] * rank), shape))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("sizes", [(0,), (8, 0), (0, 8), (0, 0), (0, 3, 4), (3, 4, 0)])
def test_an_image_of_padding_alone_leaves_the_bias(isa, algorithm, sizes):
    x, weight = np.ones((2, 3, *sizes), np.float32), np.ones((4, 3, *[3] * len(sizes)), np.float32)
    bias = np.arange(4, dtype=np.float32)
    y = CONV[len(sizes)](x, weight, bias, padding=2, algorithm=algorithm)
    assert y.shape == (2, 4, *(size + 2 for size in sizes))
    oracles.assert_same_bits(y, np.broadcast_to(bias.reshape(-1, *[1] * len(sizes)), y.shape))


CASES = {
    "one by one": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "one by one with channels": ((3, 5, 1, 1), (7, 5, 1, 1), {}),
    "kernel as large as the input": ((2, 3, 5, 4), (4, 3, 5, 4), {}),
    "kernel as large as the padded input": ((2, 3, 5, 4), (4, 3, 7, 8), {"padding": (1, 2)}),
    "stride 2**32": ((2, 3, 5, 6), (4, 3, 3, 3), {"stride": 2**32}),
    "stride 2**63 - 1": ((2, 3, 5, 6), (4, 3, 3, 3), {"stride": (2**63 - 1, 1)}),
    "padding as large as the kernel": ((1, 2, 4, 4), (3, 2, 3, 3), {"padding": 3}),
    "padding larger than the kernel": ((1, 2, 4, 4), (3, 2, 3, 3), {"padding": 11}),
    "padding larger than kernel and image, stride": ((1, 2, 3, 3), (3, 2, 2, 2), {"padding": 7, "stride": 5}),
    "a column of one pixel": ((1, 64, 1, 1), (1, 64, 125, 1), {"stride": (2, 1), "padding": (63, 0)}),
    "kernel smaller than the stride": ((2, 3, 20, 21), (4, 3, 2, 2), {"stride": (3, 5)}),
    "depth 588": ((1, 12, 12, 12), (5, 12, 7, 7), {}),
    "depth 588 of one tap": ((1, 588, 4, 5), (3, 588, 1, 1), {}),
    "asymmetric padding": ((1, 2, 7, 6), (3, 2, 3, 4), {"padding": ((0, 3), (2, 1))}),
    "padding on one side": ((1, 2, 7, 6), (3, 2, 3, 4), {"padding": ((4, 0), (0, 5)), "stride": 2}),
    "dilation larger than the input": ((1, 2, 5, 6), (3, 2, 3, 3), {"dilation": 9, "padding": 9}),
    "dilation, taps that never meet the image": ((1, 2, 3, 3), (3, 2, 2, 2), {"dilation": 40, "padding": 20}),
    "one row": ((1, 3, 1, 200), (4, 3, 1, 9), {}),
    "one column": ((1, 3, 200, 1), (4, 3, 9, 1), {}),
    "wide kernel": ((1, 1, 1, 700), (1, 1, 1, 400), {"padding": (0, 100)}),
    "large kernel": ((1, 1, 70, 70), (1, 1, 63, 63), {"padding": "same"}),
    "many images of one pixel": ((300, 2, 1, 1), (3, 2, 1, 1), {}),
    "signal of one sample": ((3, 5, 1), (7, 5, 1), {}),
    "kernel as long as the padded signal": ((2, 3, 5), (4, 3, 9), {"padding": 2}),
    "signal, stride 2**63 - 1": ((2, 3, 5), (4, 3, 3), {"stride": 2**63 - 1}),
    "signal, dilation 2**63 - 1 of one tap": ((2, 3, 5), (4, 3, 1), {"dilation": 2**63 - 1, "stride": 2}),
    "signal, padding larger than the kernel": ((1, 2, 4), (3, 2, 3), {"padding": ((11, 5),), "stride": 3}),
    "signal, dilation larger than the input": ((1, 2, 5), (3, 2, 3), {"dilation": 9, "padding": 9}),
    "signal, long kernel": ((1, 1, 2000), (1, 1, 1500), {"padding": "full", "stride": 7}),
    "signal, kernel smaller than the stride": ((2, 3, 200), (4, 3, 2), {"stride": 50}),
    "volume of one voxel": ((3, 5, 1, 1, 1), (7, 5, 1, 1, 1), {}),
    "kernel as large as the volume": ((2, 3, 2, 3, 4), (4, 3, 2, 3, 4), {}),
    "volume, strides beyond the image": ((2, 3, 3, 4, 5), (4, 3, 2, 2, 2), {"stride": (2**32, 2**63 - 1, 1)}),
    "volume, padding larger than kernel and image": ((1, 2, 2, 3, 2), (3, 2, 2, 2, 2), {"padding": 5, "stride": 3}),
    "volume, dilation larger than the input": ((1, 2, 3, 4, 3), (3, 2, 2, 3, 2), {"dilation": 4, "padding": 4}),
    "volume, asymmetric padding": ((1, 2, 4, 3, 5), (3, 2, 2, 3, 4), {"padding": ((0, 3), (2, 1), (4, 0))}),
    "a stack of lines": ((1, 3, 40, 1, 1), (4, 3, 9, 1, 1), {"padding": (4, 0, 0)}),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_oracle(isa, rng, case):
    x_shape, weight_shape, geometry = CASES[case]
    for dtype in (np.float32, np.float64):
        assert_equal_to_the_oracle(rng, x_shape, weight_shape, dtype, **geometry)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "symmetric"])
@pytest.mark.parametrize("sizes", [(1,), (3,), (1, 1), (1, 5), (2, 3), (9, 8), (1, 2, 3)])
def test_padding_goes_around_more_than_once(isa, rng, mode, sizes):
    kernel, padding = (2, 3, 2)[-len(sizes) :], ((3, 4), (7, 12), (0, 9))[-len(sizes) :]
    assert_equal_to_the_oracle(rng, (2, 3, *sizes), (4, 3, *kernel), padding=padding, padding_mode=mode)


# ----------------------------------------------------------------------------------------------------------------------
# Overlap


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out_may_overlap_x(isa, rng, algorithm):
    weight = rng.standard_normal((4, 4, 3, 3)).astype(np.float32)
    memory = rng.standard_normal((3, 4, 20, 21)).astype(np.float32)
    cases = [
        (np.s_[:2], np.s_[:2]),
        (np.s_[:2], np.s_[1:]),
        (np.s_[1:], np.s_[:2]),
        (np.s_[:2, :, ::-1], np.s_[:2]),
        (np.s_[:2, ::-1], np.s_[1:, :, :, ::-1]),
    ]
    for x_part, out_part in cases:
        own = memory.copy()
        expected = conv2d(memory[x_part], weight, padding=1)
        out = own[out_part]
        assert conv2d(own[x_part], weight, padding=1, algorithm=algorithm, out=out) is out
        oracles.assert_same_bits(np.array(out), expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out_may_overlap_weight_and_bias(isa, rng, algorithm):
    x = rng.standard_normal((1, 3, 7, 7)).astype(np.float32)
    weight = rng.standard_normal((3, 3, 5, 5)).astype(np.float32)
    bias = rng.standard_normal(3).astype(np.float32)
    expected = conv2d(x, weight, bias, padding=1)
    memory = weight.copy()
    out = memory.reshape(-1)[: expected.size].reshape(expected.shape)
    conv2d(x, memory, bias, padding=1, algorithm=algorithm, out=out)
    oracles.assert_same_bits(out, expected)
    out = np.zeros_like(expected)
    shared_bias = out[0, 1, 2, 1:4]
    shared_bias[...] = bias
    conv2d(x, weight, shared_bias, padding=1, algorithm=algorithm, out=out)
    oracles.assert_same_bits(out, expected)


def test_interleaved_out_is_no_overlap(isa, rng):
    memory = rng.standard_normal((1, 2, 9, 40)).astype(np.float32)
    weight = rng.standard_normal((2, 2, 3, 3)).astype(np.float32)
    x, out = memory[..., ::2], memory[..., 1::2]
    expected = conv2d(x.copy(), weight, padding=1)
    before = x.copy()
    conv2d(x, weight, padding=1, out=out)
    oracles.assert_same_bits(np.array(out), expected)
    oracles.assert_same_bits(np.array(x), before)


# ----------------------------------------------------------------------------------------------------------------------
# More than 2**31 elements


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_more_than_2_31_elements(isa, rng, algorithm, axis):
    size = 70_000
    line = rng.standard_normal(size).astype(np.float32)
    image = np.broadcast_to(line if axis else line[:, None], (size, size))
    assert image.size > 2**31
    weight = rng.standard_normal((1, 1, 2, 3)).astype(np.float32)
    y = conv2d(image[None], weight, stride=9999, algorithm=algorithm)
    corners = np.arange(0, size - 2, 9999)
    rows, columns = np.ix_(corners, corners)
    small = np.stack([image[rows + i, columns + j] for i in range(2) for j in range(3)]).transpose(1, 2, 0)
    expected = conv2d(small.reshape(1, len(corners), -1), weight.reshape(1, 1, 1, 6), stride=(1, 6))
    oracles.assert_same_bits(y, expected)
    assert im2col(image, (2, 3), 9999).shape == (len(corners) ** 2, 6)
    oracles.assert_same_bits(im2col(image, (2, 3), 9999), small.reshape(-1, 6))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(mmap, "MAP_ANONYMOUS"), reason="needs memory that is not there until it is touched")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_than_2_31_elements_apart(isa, rng, algorithm):
    size = 50_000
    no_reserve = 0x4000 if hasattr(mmap, "MAP_POPULATE") else 0
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    image = np.frombuffer(mmap.mmap(-1, 4 * size * size, flags=flags), np.float32).reshape(1, size, size)
    for row in (0, size - 3):
        image[:, row : row + 3] = rng.standard_normal((3, size))
    weight = rng.standard_normal((2, 1, 3, 3)).astype(np.float32)
    y = conv2d(image, weight, stride=(size - 3, 7), algorithm=algorithm)
    assert y.shape[1] == 2
    for i, row in enumerate((0, size - 3)):
        oracles.assert_same_bits(y[:, i], conv2d(image[:, row : row + 3].copy(), weight, stride=(1, 7))[:, 0])
