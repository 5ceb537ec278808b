"""The numerical contract of transposed convolutions and gradients: the same bits everywhere, those of the reference."""

import numpy as np
import oracles
import pytest
from adjoint_problems import CONV_TRANSPOSE, INPUT, WEIGHT, adjoint_problems
from flatconv import _core, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, grad
from flatconv._arguments import ALGORITHMS
from hypothesis import given, settings
from layouts import READABLE, WRITABLE

pytestmark = pytest.mark.usefixtures("split_work")

THREADS = (1, 2, 5)


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def assert_same_bits_everywhere(operation, expected, algorithms=ALGORITHMS, threads=THREADS):
    assert not np.isnan(expected).any()
    for algorithm in algorithms:
        for count in threads:
            out = np.full(expected.shape, np.nan, expected.dtype)
            assert operation(out=out, algorithm=algorithm, threads=count) is out
            oracles.assert_same_bits(out, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("stride", "pad", "dilation"), [(1, 0, 1), (2, 1, 1), (3, 4, 2), (4, 2, 6)])
def test_transposed_reference_is_the_contract_spelled_out_in_fractions(rng, dtype, stride, pad, dilation):
    block = _core.depth_block
    channels = 2 * block // (5 // stride + 1) + 3  # phases of more than two blocks, and others of fewer
    x, weight, bias = normal(rng, dtype, channels, 3), normal(rng, dtype, channels, 2, 5), normal(rng, dtype, 2)
    y = conv_transpose1d(x, weight, bias, stride, pad, 0, 1, dilation, algorithm="reference")
    geometry = (stride, pad, dilation, y.shape[1])
    oracles.assert_same_bits(y, oracles.contract_conv_transpose(x, weight, bias, block, *geometry))
    assert not np.array_equal(y, oracles.contract_conv_transpose(x, weight, bias, block - 1, *geometry))
    reordered = oracles.contract_conv_transpose(x[::-1], weight[::-1], bias, block, *geometry)
    assert not np.array_equal(y, reordered)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("stride", "pad", "dilation"), [(1, 1, 1), (2, 0, 3)])
def test_weight_gradient_reference_is_the_contract_spelled_out_in_fractions(rng, dtype, stride, pad, dilation):
    block = _core.depth_block
    x, weight_size = normal(rng, dtype, 3, 2, 300 * stride), (2, 2, 3)
    positions = (300 * stride + 2 * pad - 2 * dilation - 1) // stride + 1
    grad_y = normal(rng, dtype, 3, 2, positions)
    assert positions % block  # so that a block spans two images
    gradient = grad.conv1d_weight(x, weight_size, grad_y, stride, pad, dilation, algorithm="reference")
    geometry = (stride, pad, dilation)
    oracles.assert_same_bits(gradient, oracles.contract_weight_gradient(x, grad_y, 3, block, *geometry))
    assert not np.array_equal(gradient, oracles.contract_weight_gradient(x, grad_y, 3, block - 1, *geometry))


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge", "wrap"])
def test_padding_hands_back_what_it_receives_in_order(rng, mode):
    """The gradient of the padded image, folded: first the image itself, then padding axis by axis, before and after."""
    x_shape, pads = (5, 6), ((3, 4), (2, 7))
    weight = normal(rng, np.float32, 3, 2)
    padded_shape = (5 + 7, 6 + 9)
    grad_y = normal(rng, np.float32, padded_shape[0] - 2, padded_shape[1] - 1)
    padded = grad.conv2d_input(padded_shape, weight, grad_y, algorithm="reference")
    numpy_mode = oracles.NUMPY_PAD_MODES.get(mode, mode)
    sources = np.pad(np.arange(30).reshape(x_shape), pads, mode=numpy_mode)
    image = (slice(3, 8), slice(2, 8))
    expected = padded[image].copy()
    slabs = [np.s_[:3, :], np.s_[8:, :], np.s_[3:8, :2], np.s_[3:8, 8:]]
    for slab in slabs:
        for source, value in zip(sources[slab].ravel(), padded[slab].ravel(), strict=True):
            expected.ravel()[source] += value
    for algorithm in ALGORITHMS:
        gradient = grad.conv2d_input(x_shape, weight, grad_y, padding=pads, padding_mode=mode, algorithm=algorithm)
        oracles.assert_same_bits(gradient, expected)


@given(problem=adjoint_problems())
def test_drawn_problems(isa, problem):
    for operation, reference in zip(problem.operations, problem.dense.operations, strict=True):
        expected = reference(algorithm="reference", threads=1)
        assert_same_bits_everywhere(operation, expected, ("auto", "im2col"))


@pytest.mark.slow
@settings(max_examples=5000)
@given(problem=adjoint_problems())
def test_drawn_problems_at_length(isa, problem):
    for operation, reference in zip(problem.operations, problem.dense.operations, strict=True):
        assert_same_bits_everywhere(operation, reference(algorithm="reference", threads=1))


@pytest.mark.parametrize("activation", [None, ("clip", -0.5, 0.75), "silu"])
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "geometry"),
    [
        ((2, 20, 6, 16), (20, 37, 2, 2), {"stride": 2}),  # lines that are no whole tiles
        ((1, 400, 5, 9), (400, 9, 2, 2), {"stride": 2}),  # two blocks of depth
        ((1, 24, 7, 16), (24, 20, 3, 3), {"stride": 3, "output_padding": (1, 0)}),
        ((1, 24, 3, 4, 8), (24, 34, 2, 2, 2), {"stride": 2}),
        ((1, 8, 3, 5, 4), (8, 5, 1, 3, 2), {"stride": (2, 3, 4), "groups": 2, "output_padding": 1}),
        ((1, 24, 17, 9), (24, 5, 4, 5), {"stride": 2, "padding": (2, 1)}),
        ((1, 8, 6, 40), (8, 33, 2, 2), {"stride": 2, "padding": 1}),
    ],
)
def test_kernels_as_large_as_the_stride_and_their_epilogues(isa, rng, x_shape, weight_shape, geometry, activation):
    convolve = conv_transpose3d if len(x_shape) == 5 else conv_transpose2d
    x, weight = normal(rng, np.float32, *x_shape), normal(rng, np.float32, *weight_shape)
    bias = normal(rng, np.float32, weight_shape[1] * geometry.get("groups", 1))
    shape = convolve(x, weight, **geometry).shape
    dense = normal(rng, np.float32, *shape)
    for residual in (None, dense, np.moveaxis(normal(rng, np.float32, *shape[1:], shape[0]), -1, 0)):
        epilogue = {"activation": activation, "residual": residual}
        y = convolve(x, weight, bias, **geometry, **epilogue, algorithm="reference", threads=1)
        for algorithm in ("auto", "channels", "implicit"):
            for threads in THREADS:
                result = convolve(x, weight, bias, **geometry, **epilogue, algorithm=algorithm, threads=threads)
                oracles.assert_same_bits(result, y)


def test_results_that_pass_the_caches(isa, rng):
    x, weight = normal(rng, np.float32, 1, 3, 64, 256), normal(rng, np.float32, 3, 33, 2, 2)
    y = conv_transpose2d(x, weight, stride=2, algorithm="reference")
    assert y.nbytes > 8 << 20
    for algorithm in ("channels", "implicit"):
        oracles.assert_same_bits(conv_transpose2d(x, weight, stride=2, algorithm=algorithm), y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "geometry"),
    [
        ((1, 16, 28, 28), (16, 16, 2, 2), {"stride": 2}),
        ((2, 24, 14, 15), (24, 40, 4, 4), {"stride": 2, "padding": 1}),
        ((1, 130, 7, 7), (130, 33, 3, 3), {"padding": 1}),
        ((2, 48, 9, 10), (48, 6, 3, 3), {"stride": 2, "padding": 2, "output_padding": 1, "groups": 4}),
        ((1, 33, 25, 26), (33, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 33}),
        ((1, 1, 61, 57), (1, 2, 5, 5), {"stride": 3, "dilation": 2}),
        ((3, 9, 8, 8), (9, 7, 1, 1), {"stride": 3}),
        ((1, 65, 5, 6), (65, 3, 7, 7), {"stride": 4, "padding": 3}),
        ((1, 4, 6, 6), (4, 4, 2, 2), {"stride": 5, "dilation": 5}),
        ((1, 130, 4, 4), (130, 48, 4, 4), {"stride": 2, "padding": 1}),
        ((1, 24, 7, 4), (24, 20, 2, 2), {"stride": 2}),
        ((1, 40, 9, 21), (40, 3, 5, 16), {"stride": (2, 8), "padding": (1, 3)}),
    ],
)
def test_layers(isa, rng, dtype, x_shape, weight_shape, geometry):
    x, weight = normal(rng, dtype, *x_shape), normal(rng, dtype, *weight_shape)
    bias = normal(rng, dtype, weight_shape[1] * geometry.get("groups", 1))
    y = conv_transpose2d(x, weight, bias, **geometry, algorithm="reference", threads=1)
    assert_same_bits_everywhere(lambda **run: conv_transpose2d(x, weight, bias, **geometry, **run), y)
    gradient = grad.conv_transpose2d_weight(x, weight_shape, y, **geometry, algorithm="reference")
    assert_same_bits_everywhere(
        lambda **run: grad.conv_transpose2d_weight(x, weight_shape, y, **geometry, **run), gradient, ("auto",)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.complex64])
@pytest.mark.parametrize("apart", [1, 3])
@pytest.mark.parametrize(("size", "channels"), [((4, 4), 40), ((5,), 33), ((3, 7), 130)])
def test_small_images_that_share_a_box(isa, rng, dtype, apart, size, channels):
    """Of x, y and the residual, images may lie anywhere; what is between them stays as it is."""
    function = conv_transpose1d if len(size) == 1 else conv_transpose2d
    x = normal(rng, dtype, 5 * apart, channels, *size)[::apart]
    weight, bias = normal(rng, dtype, channels, 19, *[4] * len(size)), normal(rng, dtype, 19)
    shape = function(x, weight, bias, 2, 1).shape
    residual = normal(rng, dtype, shape[0] * apart, *shape[1:])[::apart]
    options = {"residual": residual, "activation": None if dtype == np.complex64 else "relu"}
    expected = function(x, weight, bias, 2, 1, algorithm="reference", **options)
    for algorithm in ("auto", "channels"):
        for threads in THREADS:
            whole = np.full((shape[0] * apart, *shape[1:]), 7, dtype)
            function(x, weight, bias, 2, 1, algorithm=algorithm, threads=threads, out=whole[::apart], **options)
            oracles.assert_same_bits(whole[::apart], expected)
            assert (whole.reshape(-1, apart, *shape[1:])[:, 1:] == 7).all()


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (8, 4), (16, 8), (5, 2), (7, 3), (10, 2), (13, 1)])
def test_blocks_of_phases_that_end_at_different_channels(isa, rng, kernel, stride):
    """Deep enough that no phase has all channels in one block; widths of packed weights from one vector to many."""
    for channels, out_channels, size in [(900, 40, 5), (410, 7, 40)]:
        x, weight = normal(rng, np.float32, 1, channels, size), normal(rng, np.float32, channels, out_channels, kernel)
        y = conv_transpose1d(x, weight, None, stride, 1, algorithm="reference", threads=1)
        assert_same_bits_everywhere(
            lambda x=x, weight=weight, **run: conv_transpose1d(x, weight, None, stride, 1, **run),
            y,
            ("auto", "channels", "implicit"),
            (1, 2),
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("inner", "outer"), [(1, 1), (1, 2), (4, 4), (3, 2), (8, 1), (9, 2)])
def test_weight_gradients_of_small_groups(isa, rng, dtype, inner, outer):
    """Boxes at every border of the image and between, of several images; groups that end within a vector."""
    groups = 11
    for size, stride, padding, mode in [
        (40, 1, 1, "zeros"),
        (45, 1, (1, 0), "zeros"),
        (75, 2, 1, "zeros"),
        (20, 1, 2, "reflect"),
    ]:
        x, shape = normal(rng, dtype, 2, groups * inner, size, size + 3), (groups * outer, inner, 3, 3)
        geometry = {"stride": stride, "padding": padding, "padding_mode": mode, "groups": groups}
        grad_y = conv2d(x, normal(rng, dtype, *shape), **geometry)
        expected = grad.conv2d_weight(x, shape, grad_y, **geometry, algorithm="reference")
        for given_x in (x, READABLE["channels_last"](x)):
            assert_same_bits_everywhere(
                lambda x=given_x, shape=shape, grad_y=grad_y, geometry=geometry, **run: grad.conv2d_weight(
                    x, shape, grad_y, **geometry, **run
                ),
                expected,
                ("auto",),
                (1, 3),
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weight_gradients_of_many_rows_and_columns(isa, rng, dtype):
    """Parts, panels and blocks are cut within channels, within kernels, and across images."""
    for channels, out_channels, size, batch in [(70, 300, 5, 17), (200, 9, 9, 5), (3, 65, 40, 1), (1, 1, 20, 3)]:
        x, grad_y = normal(rng, dtype, batch, channels, size, size), normal(rng, dtype, batch, out_channels, size, size)
        shape, geometry = (out_channels, channels, 3, 3), {"padding": 1}
        expected = grad.conv2d_weight(x, shape, grad_y, **geometry, algorithm="reference")
        assert_same_bits_everywhere(
            lambda x=x, shape=shape, grad_y=grad_y, **run: grad.conv2d_weight(x, shape, grad_y, padding=1, **run),
            expected,
            ("auto",),
        )


def assert_weight_gradients_are_the_references(rng, dtype, x_shape, size, geometry):
    weight_gradient = {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight}[len(size) - 2]
    convolve = {1: conv1d, 2: conv2d, 3: conv3d}[len(size) - 2]
    x = normal(rng, dtype, *x_shape)
    grad_y = normal(rng, dtype, *convolve(x, np.zeros(size, dtype), **geometry).shape)
    expected = weight_gradient(x, size, grad_y, **geometry, algorithm="reference")
    for layout in (np.ascontiguousarray, WRITABLE["channels_last"]):
        arrays = layout(x), size, layout(grad_y)
        assert_same_bits_everywhere(
            lambda arrays=arrays, **run: weight_gradient(*arrays, **geometry, **run), expected, ("auto",)
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(
    ("x_shape", "out_channels", "kernel", "geometry"),
    [
        ((2, 37, 11, 13), 37, (3, 3), {"stride": 2, "padding": 1}),
        ((3, 5, 20, 21), 5, (5, 4), {"padding": 2, "dilation": (1, 3)}),  # blocks span images, and boxes end anywhere
        ((1, 9, 90, 130), 18, (3, 3), {"padding": 1, "padding_mode": "reflect"}),  # several boxes of rows
        ((2, 3, 8), 3, (1,), {"stride": 3}),
        ((1, 17, 5000), 17, (7,), {"padding": ((6, 0),)}),  # boxes within a row
        ((2, 4, 3, 9, 8), 4, (2, 3, 3), {"padding": 1, "stride": (1, 2, 1)}),
        ((1, 17, 70, 56), 17, (3, 3), {}),  # rows of bands that are those of the image, one after the other
        ((2, 16, 90, 70), 32, (4, 1), {"padding": (3, 0), "stride": (2, 1)}),
        ((1, 17, 70, 56), 17, (3, 3), {"padding": 9}),  # boxes that keep rows of those above, or meet padding alone
        ((2, 16, 90, 70), 16, (5, 3), {"padding": (2, 1), "stride": (2, 1)}),
        ((1, 18, 60, 40), 18, (3, 2), {"padding": (0, 1), "stride": (2, 1), "dilation": (3, 1)}),
    ],
)
def test_depthwise_weight_gradients(isa, rng, dtype, x_shape, out_channels, kernel, geometry):
    geometry = {"groups": x_shape[1], **geometry}
    assert_weight_gradients_are_the_references(rng, dtype, x_shape, (out_channels, 1, *kernel), geometry)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.complex64])
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "geometry"),
    [
        ((2, 19, 30, 31), (40, 19, 3, 3), {"padding": 1}),  # boxes of rows, blocks that span two images
        ((3, 16, 7, 7), (34, 8, 3, 3), {"padding": 1, "groups": 2, "padding_mode": "reflect"}),  # many images in each
        ((1, 17, 21, 50), (5, 17, 3, 3), {"stride": 2, "padding": 2, "dilation": (3, 1)}),
        ((2, 30, 1000), (18, 30, 5), {"padding": ((4, 0),)}),  # boxes within a row
        ((1, 14, 6, 9, 8), (20, 14, 2, 3, 3), {"padding": 1}),
    ],
)
def test_weight_gradients_of_padded_channels(isa, rng, dtype, x_shape, weight_shape, geometry):
    assert_weight_gradients_are_the_references(rng, dtype, x_shape, weight_shape, geometry)


def test_pointwise_weight_gradients_read_where_they_can(isa, rng):
    """Channels are rows already, but for blocks that span two images, and for images that are not dense."""
    shape = (20, 30, 1, 1)
    for layout in READABLE:
        x, grad_y = normal(rng, np.float32, 5, 30, 15, 17), normal(rng, np.float32, 5, 20, 15, 17)
        x = READABLE[layout](x)
        dense = np.array(x, np.float32, order="C")
        expected = grad.conv2d_weight(dense, shape, grad_y, algorithm="reference")
        oracles.assert_same_bits(grad.conv2d_weight(x, shape, grad_y), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("channels", [5, 16, 33, 300])
def test_gradients_of_a_single_row(isa, rng, dtype, channels):
    """Channels of dy are multiplied where they lie, but for blocks that span images, or are too short."""
    for batch, size in ((1, (56, 56)), (3, (19, 21)), (2, (3, 5)), (1, (1, 390))):
        x, grad_y = normal(rng, dtype, batch, 1, *size), normal(rng, dtype, batch, channels, *size)
        shape, ones = (channels, 1, 1, 1), np.ones_like(x)
        expected = grad.conv2d_weight(x, shape, grad_y, algorithm="reference")
        bias = grad.conv2d_weight(ones, shape, grad_y, algorithm="reference").ravel()
        for layout in (np.ascontiguousarray, *WRITABLE.values()):
            read = layout(grad_y)
            oracles.assert_same_bits(grad.conv2d_weight(x, shape, read), expected)
            oracles.assert_same_bits(grad.conv2d_bias(read), bias)


@pytest.mark.parametrize("layout", WRITABLE)
def test_layouts_of_the_output(isa, rng, layout):
    x, weight = normal(rng, np.float32, 2, 3, 9, 10), normal(rng, np.float32, 3, 20, 3, 3)
    geometry = {"stride": 2, "padding": 1, "output_padding": 1}
    y = conv_transpose2d(x, weight, **geometry, algorithm="reference")
    calls = [
        (y, lambda **run: conv_transpose2d(x, weight, **geometry, **run)),
        (x, lambda **run: grad.conv_transpose2d_input(x.shape, weight, y, **geometry, **run)),
        (weight, lambda **run: grad.conv_transpose2d_weight(x, weight.shape, y, **geometry, **run)),
    ]
    for like, call in calls:
        out = WRITABLE[layout](np.full(like.shape, np.nan, np.float32))
        assert call(out=out) is out
        oracles.assert_same_bits(np.array(out), call(algorithm="reference"))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_plain_and_unbatched_arrays(rng, rank):
    x, weight = normal(rng, np.float32, *(4, 5, 6)[:rank]), normal(rng, np.float32, *(3, 2, 3)[:rank])
    y = CONV_TRANSPOSE[rank](x, weight, 0.5, stride=2)
    batched = CONV_TRANSPOSE[rank](x[None, None], weight[None, None], np.float32([0.5]), stride=2)
    oracles.assert_same_bits(y, batched[0, 0])
    oracles.assert_same_bits(y[None], CONV_TRANSPOSE[rank](x[None], weight[None, None], np.float32([0.5]), stride=2))
    for transposed, x_like, y_like in ((True, x, y), (False, y, x)):
        gradient = INPUT[transposed][rank](x_like.shape, weight, y_like, stride=2)
        assert gradient.shape == x_like.shape
        batched = INPUT[transposed][rank](x_like[None, None].shape, weight[None, None], y_like[None, None], stride=2)
        oracles.assert_same_bits(gradient, batched[0, 0])
        gradient = WEIGHT[transposed][rank](x_like, weight.shape, y_like, stride=2)
        assert gradient.shape == weight.shape
        batched = WEIGHT[transposed][rank](x_like[None], weight[None, None].shape, y_like[None], stride=2)
        oracles.assert_same_bits(gradient, batched[0, 0])


def test_out_may_overlap_the_inputs(rng):
    buffer = normal(rng, np.float32, 4, 8, 8)
    weight = normal(rng, np.float32, 4, 4, 3, 3)
    expected = conv_transpose2d(buffer.copy(), weight, padding=1)
    oracles.assert_same_bits(conv_transpose2d(buffer, weight, padding=1, out=buffer), expected)
    gradient = grad.conv2d_weight(buffer, weight.shape, expected, padding=1)
    oracles.assert_same_bits(grad.conv2d_weight(buffer, weight.shape, expected, padding=1, out=weight), gradient)
