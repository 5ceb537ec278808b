"""filter2d on photographs, beside OpenCV and SciPy, and on drawn images, to the bit against conv2d."""

import cv2
import numpy as np
import oracles
import pytest
import scipy.ndimage
import skimage.data
from flatconv import conv2d, filter2d
from hypothesis import given
from hypothesis import strategies as st
from layouts import READABLE
from problems import PADDING_MODES

SCIPY_MODES = {
    "zeros": "constant",
    "reflect": "mirror",
    "symmetric": "reflect",
    "replicate": "nearest",
    "circular": "grid-wrap",
}
# OpenCV's filter2D wraps around in no version.
CV2_BORDERS = {
    "zeros": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
    "replicate": cv2.BORDER_REPLICATE,
}
PHOTOGRAPHS = {
    "camera": skimage.data.camera,
    "coins": skimage.data.coins,
    "astronaut": skimage.data.astronaut,
    "coffee": skimage.data.coffee,
}
KERNELS = [(3, 3), (5, 5), (1, 7), (4, 6), (15, 2)]


def channel_axis(image):
    return None if image.ndim == 2 else -1


def assert_close(actual, expected, image, kernel):
    """Compare, allowing both to err by the bound for sums in any order."""
    terms = kernel.size + 1
    magnitude = float(np.abs(image).max()) * float(np.abs(kernel).sum())
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert np.abs(actual - expected).max() <= 3 * oracles.rounding_bound(terms, actual.dtype) * magnitude


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_photographs_as_opencv_filters_them(rng, photograph, dtype):
    image = PHOTOGRAPHS[photograph]().astype(dtype)
    if dtype == np.uint16:
        image *= 257  # from black to white, as cameras of 16 bits have it
    depth = cv2.CV_64F if dtype == np.float64 else cv2.CV_32F
    for shape in KERNELS:
        kernel = rng.standard_normal(shape)
        for mode, border in CV2_BORDERS.items():
            y = filter2d(image, kernel, padding_mode=mode, channel_axis=channel_axis(image))
            assert_close(y, cv2.filter2D(image, depth, kernel, borderType=border), image, kernel)
    y = filter2d(image, kernel, channel_axis=channel_axis(image))
    assert_close(y, cv2.filter2D(image, depth, kernel), image, kernel)


@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_photographs_as_scipy_filters_them(rng, photograph):
    image = PHOTOGRAPHS[photograph]()[:90, :110]
    for shape in KERNELS:
        kernel = rng.standard_normal(shape)
        weights = kernel if image.ndim == 2 else kernel[..., None]
        for mode, scipys in SCIPY_MODES.items():
            y = filter2d(image.astype(np.float64), kernel, padding_mode=mode, channel_axis=channel_axis(image))
            expected = scipy.ndimage.correlate(image, weights, np.float64, mode=scipys)
            assert_close(y, expected, image, kernel)


@st.composite
def colour_images(draw):
    height, width, channels = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.standard_normal((height, width, channels)).astype(draw(st.sampled_from([np.float32, np.float64])))
    return READABLE[draw(st.sampled_from(list(READABLE)))](image)


@given(
    image=colour_images(),
    kernel_shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    mode=st.sampled_from(PADDING_MODES),
    axis=st.sampled_from([0, 1, 2, -1, -2, -3]),
)
def test_every_channel_is_filtered_by_itself(image, kernel_shape, mode, axis):
    dtype = image.dtype.newbyteorder("=")
    kernel = np.random.default_rng(image.size).standard_normal(kernel_shape).astype(dtype)
    pads = [(size // 2, size - 1 - size // 2) for size in kernel_shape]
    channels = np.array(np.moveaxis(image, axis, 0), dtype, order="C")
    expected = [conv2d(channel, kernel, padding=pads, padding_mode=mode, algorithm="reference") for channel in channels]
    y = filter2d(image, kernel, padding_mode=mode, channel_axis=axis)
    oracles.assert_same_bits(y, np.moveaxis(np.stack(expected), 0, axis))
    for channel, result in zip(channels, expected, strict=True):
        oracles.assert_same_bits(filter2d(channel, kernel, padding_mode=mode), result)


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("bool", "float32"),
        ("uint8", "float32"),
        ("int8", "float32"),
        ("uint16", "float32"),
        ("int16", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        (">f4", "float32"),
        ("int32", "float64"),
        ("int64", "float64"),
        ("float64", "float64"),
    ],
)
@pytest.mark.parametrize("kernel_dtype", [np.float32, np.float64, np.int8])
def test_the_image_decides_about_the_type(dtype, result, kernel_dtype):
    image = np.eye(5, dtype=dtype)
    y = filter2d(image, np.ones((3, 3), kernel_dtype))
    assert y.dtype == np.dtype(result)
    assert np.array_equal(y, filter2d(image.astype(np.float64), np.ones((3, 3))))


def test_the_kernel_is_rounded_to_the_type_of_the_result():
    image = np.full((4, 4), 3, np.uint8)
    assert np.array_equal(filter2d(image, [[0.1]]), image * np.float32(0.1))


def test_a_new_array_in_the_order_of_the_image(rng):
    image = rng.standard_normal((9, 8, 3)).astype(np.float32)
    before = image.copy()
    planes = filter2d(np.asfortranarray(image), np.ones((3, 3)), channel_axis=-1)
    assert planes.flags.f_contiguous
    y = filter2d(image, np.ones((3, 3)), channel_axis=-1)
    assert y.flags.c_contiguous
    oracles.assert_same_bits(np.ascontiguousarray(planes), y)
    oracles.assert_same_bits(image, before)
    same = filter2d(image, np.ones((1, 1)), channel_axis=-1)
    assert not np.shares_memory(same, image)
    oracles.assert_same_bits(same, image)


def test_padding_of_one_channel_does_not_reach_another():
    image = np.zeros((6, 7, 3), np.float32)
    image[..., 1] = np.nan
    for mode in PADDING_MODES:
        y = filter2d(image, np.ones((3, 5)), padding_mode=mode, channel_axis=-1)
        assert np.isnan(y[..., 1]).all()
        assert not y[..., [0, 2]].any()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_matter(rng, threads, split_work):
    image, kernel = rng.standard_normal((64, 65, 3)), rng.standard_normal((5, 4))
    expected = filter2d(image, kernel, channel_axis=2)
    oracles.assert_same_bits(filter2d(image, kernel, channel_axis=2, threads=threads), expected)


@pytest.mark.parametrize(("shape", "axis"), [((0, 8), None), ((8, 0, 3), -1), ((8, 9, 0), -1), ((0, 8, 9), 0)])
def test_empty_images(shape, axis):
    y = filter2d(np.ones(shape, np.uint8), np.ones((3, 3)), channel_axis=axis)
    assert y.shape == shape
    assert y.dtype == np.float32


@pytest.mark.parametrize(
    ("exception", "changes", "message"),
    [
        (ValueError, {"image": np.ones((8, 8, 3))}, r"image.shape = \(8, 8, 3\).*channel_axis"),
        (ValueError, {"image": np.ones(8)}, r"image.shape = \(8,\)"),
        (ValueError, {"channel_axis": -1}, r"image.shape = \(8, 8\)"),
        (ValueError, {"image": np.ones((8, 8, 3)), "channel_axis": 3}, "channel_axis .* got 3"),
        (ValueError, {"kernel": np.ones(3)}, r"kernel.shape = \(3,\)"),
        (ValueError, {"kernel": np.ones((1, 3, 3))}, r"kernel.shape = \(1, 3, 3\)"),
        (ValueError, {"kernel": np.ones((0, 3))}, r"kernel.shape = \(0, 3\)"),
        (ValueError, {"padding_mode": "mirror"}, "'mirror'"),
        (ValueError, {"threads": 0}, "threads"),
        (TypeError, {"channel_axis": 1.0}, "channel_axis"),
        (TypeError, {"image": None}, "image"),
        (TypeError, {"kernel": None}, "kernel"),
        (TypeError, {"image": np.ones((8, 8), np.clongdouble)}, r"image.astype\(np.complex128\)"),
        (TypeError, {"kernel": np.ones((3, 3), np.clongdouble)}, r"kernel.astype\(np.complex128\)"),
        (TypeError, {"image": np.ones((8, 8), np.longdouble)}, r"image.astype\(np.float64\)"),
        (TypeError, {"image": np.full((8, 8), "a")}, "image"),
        (TypeError, {"image": np.ma.masked_less(np.ones((8, 8)), 0)}, "mask"),
    ],
)
def test_errors(exception, changes, message):
    with pytest.raises(exception, match=message):
        filter2d(**({"image": np.ones((8, 8)), "kernel": np.ones((3, 3))} | changes))
