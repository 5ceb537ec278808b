"""Channels convolved each for itself, with the image read where it lies: bits of the reference at all edges."""

import ml_dtypes
import numpy as np
import oracles
import pytest
from flatconv import conv2d, conv_transpose2d, grad, pack, pack_transpose

pytestmark = pytest.mark.usefixtures("split_work")

# Size and stride: convolves_images in csrc/kernels/channelwise_arguments.hpp.
KERNELS = ((3, 1), (3, 2), (5, 1), (5, 2), (7, 1))
# Transposes: of float32 and 3×3 kernels transposes_images, there; and convolutions of turned images.
TRANSPOSED = ((3, 1), (3, 2), (5, 1), (7, 1))
PADDINGS = (0, 1, 3, ((0, 4), (5, 0)), ((2, 0), (0, 9)))
DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)


def assert_same_bits(x, weight, bias, **arguments):
    groups = len(weight)
    expected = conv2d(x, weight, bias, groups=groups, algorithm="reference", threads=1, **arguments)
    for threads in (1, 3):
        out = np.full(expected.shape, np.nan, expected.dtype)
        conv2d(x, weight, bias, groups=groups, algorithm="direct", threads=threads, out=out, **arguments)
        oracles.assert_same_bits(out, expected)


def fits(x, size, padding):
    before_and_after = np.broadcast_to(np.asarray(padding).reshape(-1, 2) if np.ndim(padding) else padding, (2, 2))
    return all(sum(pads) + pixels >= size for pads, pixels in zip(before_and_after, x.shape[2:], strict=True))


def layer(rng, dtype, size, rows, cols):
    shapes = (2, 3, rows, cols), (3, 1, size, size), (3,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride"), KERNELS)
def test_every_width(isa, rng, dtype, size, stride):
    for cols in range(size, 72):
        x, weight, bias = layer(rng, dtype, size, 5, cols)
        assert_same_bits(x, weight, bias, stride=stride, padding=size // 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "stride"), KERNELS)
def test_edges_and_epilogues(isa, rng, dtype, size, stride):
    for rows, cols in ((1, 1), (2, 3), (9, 15), (40, 16), (10, 17), (3, 133), (35, 65), (7, 230), (19, 257)):
        for padding in PADDINGS:
            x, weight, bias = layer(rng, dtype, size, rows, cols)
            if not fits(x, size, padding):
                continue
            x[0, 0, 0, -1] = np.inf
            geometry = {"stride": stride, "padding": padding}
            assert_same_bits(x, weight, bias, **geometry)
            added = rng.standard_normal(conv2d(x, weight, bias, groups=3, **geometry).shape).astype(dtype)
            for activation in ("relu6", "silu", None):
                assert_same_bits(x, weight, bias, activation=activation, **geometry)
                assert_same_bits(x, weight, bias, activation=activation, residual=added, **geometry)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_wide_images(isa, rng, dtype, size):
    """Rows at a time, from the first that meet the image alone to the last."""
    for rows in range(1, 14):
        for padding in (0, 1, ((3, 2), (2, 9))):
            x, weight, bias = layer(rng, dtype, size, rows, 224 + 5 * rows)
            if fits(x, size, padding):
                assert_same_bits(x, weight, bias, padding=padding)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_small_images(isa, rng, size, stride):
    """Those that are kept in registers, two channels at a time, and their neighbours."""
    sides = (4, 5, 7, 8, 9) if stride == 1 else (8, 9, 13, 14, 16, 17)
    for rows in sides:
        for cols in sides:
            x, weight, bias = layer(rng, np.float32, size, rows, cols)
            x[1, 2, rows - 1, 0] = np.inf
            weight[1, 0, 0, size - 1] = -np.inf
            geometry = {"stride": stride, "padding": size // 2}
            added = rng.standard_normal(conv2d(x, weight, groups=3, **geometry).shape).astype(np.float32)
            for channels in (slice(3), slice(2), slice(1, 2)):
                part, residual = (x[:, channels], weight[channels], bias[channels]), added[:, channels]
                assert_same_bits(*part, **geometry)
                assert_same_bits(*part, activation="relu6", **geometry)
                assert_same_bits(*part, activation="silu", residual=residual, **geometry)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "stride"), KERNELS)
def test_rows_of_padding(isa, rng, dtype, size, stride):
    """They are left out only where the weights are finite, which packing finds out."""
    for rows, cols in ((3, 20), (14, 14), (5, 70)):
        for infinite in (None, (0, 1), (size - 1, 0), (size // 2, 2)):
            x, weight, bias = layer(rng, dtype, size, rows, cols)
            if infinite:
                weight[1, 0, infinite[0], infinite[1]] = np.inf
            for padding in (size // 2, ((0, 4), (1, 1)), ((5, 0), (0, 0))):
                if not fits(x, size, padding):
                    continue
                assert_same_bits(x, weight, bias, stride=stride, padding=padding)
                expected = conv2d(x, weight, bias, stride, padding, 1, 3, algorithm="reference")
                packed = pack(weight, bias, stride, padding, 1, 3, algorithm="direct")
                oracles.assert_same_bits(packed(x), expected)


def test_infinite_weights_meet_padded_zeros(isa):
    x, weight = np.ones((1, 1, 8, 20), np.float32), np.ones((1, 1, 3, 3), np.float32)
    weight[0, 0, 0, 1] = np.inf
    y = conv2d(x, weight, padding=1, algorithm="direct")[0, 0]
    assert np.isnan(y[0]).all()  # the row above is padding
    assert (y[1:] == np.inf).all()


def test_halves_that_lie_anywhere(isa, rng):
    x, weight, bias = layer(rng, np.float16, 3, 40, 90)
    for view in (x[..., ::2], x[..., ::-1, :], x.transpose(0, 1, 3, 2)):
        assert_same_bits(view, weight, bias, padding=1)


@pytest.mark.parametrize("stride", [1, 2])
def test_transpose_of_every_width(isa, rng, stride):
    for cols in range(3, 140):
        for padding in (1, ((0, 1), (0, 1))):
            x, weight, _ = layer(rng, np.float32, 3, 7, cols)
            geometry = {"stride": stride, "padding": padding, "groups": 3}
            dy = rng.standard_normal(conv2d(x, weight, **geometry).shape).astype(np.float32)
            assert_same_input_gradient(x.shape, weight, dy, geometry)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride"), TRANSPOSED)
def test_edges_of_transposes(isa, rng, dtype, size, stride):
    for rows, cols in ((1, 1), (2, 3), (9, 15), (40, 16), (10, 17), (3, 133), (67, 65)):
        for padding in PADDINGS:
            x, weight, _ = layer(rng, dtype, size, rows, cols)
            if not fits(x, size, padding):
                continue
            weight[1, 0, 2, 0] = np.inf  # meets real zeros around the image
            geometry = {"stride": stride, "padding": padding, "groups": 3}
            dy = rng.standard_normal(conv2d(x, weight, **geometry).shape).astype(dtype)
            assert_same_input_gradient(x.shape, weight, dy, geometry)


def assert_same_input_gradient(x_shape, weight, dy, geometry):
    expected = grad.conv2d_input(x_shape, weight, dy, algorithm="reference", threads=1, **geometry)
    for threads in (1, 3):
        out = np.full(expected.shape, np.nan, expected.dtype)
        grad.conv2d_input(x_shape, weight, dy, algorithm="direct", threads=threads, out=out, **geometry)
        oracles.assert_same_bits(out, expected)


@pytest.mark.parametrize(("size", "stride"), TRANSPOSED)
@pytest.mark.parametrize("activation", [None, "relu6", "silu"])
def test_epilogues_of_transposes(isa, rng, size, stride, activation):
    """Also with packed weights, which lie phase by phase."""
    for output_padding in range(stride):
        x, weight, bias = layer(rng, np.float32, size, 11, 37)
        arguments = (stride, size // 2, output_padding, 3)
        packed = pack_transpose(weight, bias, *arguments, activation=activation)
        for added in (None, rng.standard_normal(packed(x).shape).astype(np.float32)):
            expected = conv_transpose2d(
                x, weight, bias, *arguments, activation=activation, residual=added, algorithm="reference"
            )
            plain = conv_transpose2d(
                x, weight, bias, *arguments, activation=activation, residual=added, algorithm="direct"
            )
            oracles.assert_same_bits(plain, expected)
            oracles.assert_same_bits(packed(x, residual=added), expected)


def test_the_image_is_read_where_it_lies():
    """These layers need no memory of their own; another padding mode does."""
    x, weight = np.ones((1, 40, 56, 56), np.float32), np.ones((40, 1, 3, 3), np.float32)
    image = pack(weight, padding=1, groups=40)
    if "from the image" not in image.explain(x.shape):
        pytest.skip("not with this instruction set")
    assert image.workspace_bytes(x.shape) == 0
    bands = pack(weight, padding=1, groups=40, padding_mode="reflect")
    assert bands.workspace_bytes(x.shape) > 0
    for stride in (1, 2):
        transpose = pack_transpose(weight, None, stride, 1, 0, 40)
        assert "from the image" in transpose.explain(x.shape)
        assert transpose.workspace_bytes(x.shape) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular", "symmetric"])
def test_padding_that_repeats_pixels(isa, rng, dtype, mode):
    """Outputs that meet it come from copies of what they meet, piece by piece."""
    for size, stride in KERNELS:
        for rows, cols in ((4, 5), (7, 31), (40, 16), (35, 270), (50, 600)):
            for padding in (size // 2, ((0, 2), (1, 0)), ((3, 0), (size - 1, 3))):
                x, weight, bias = layer(rng, dtype, size, rows, cols)
                if fits(x, size, padding):
                    geometry = {"stride": stride, "padding": padding, "padding_mode": mode}
                    assert_same_bits(x, weight, bias, **geometry)
        residual = rng.standard_normal(conv2d(x, weight, bias, groups=3, **geometry).shape).astype(dtype)
        assert_same_bits(x, weight, bias, residual=residual, activation="relu6", **geometry)
