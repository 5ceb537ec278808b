"""The numerical contract: every algorithm, instruction set, thread count, batch and layout gives the same bits."""

import numpy as np
import oracles
import pytest
from flatconv import _core, conv2d, pack
from flatconv._arguments import ALGORITHMS
from hypothesis import given, settings
from layouts import READABLE, WRITABLE, channels_last
from problems import CONV, problems

pytestmark = pytest.mark.usefixtures("split_work")

THREADS = (1, 2, 3, 7)


def reference(x, weight, bias=None, **geometry):
    return CONV[np.ndim(weight) - 2](x, weight, bias, **geometry, algorithm="reference", threads=1)


def poisoned(shape, dtype):
    return np.full(shape, np.nan, dtype)


def assert_same_bits_everywhere(x, weight, bias=None, **geometry):
    """Compare all algorithms and thread counts with the reference, writing over NaN."""
    expected = reference(x, weight, bias, **geometry)
    assert not np.isnan(expected).any()
    for algorithm in ALGORITHMS:
        for threads in THREADS:
            out = poisoned(expected.shape, expected.dtype)
            y = CONV[weight.ndim - 2](x, weight, bias, **geometry, out=out, algorithm=algorithm, threads=threads)
            assert y is out
            oracles.assert_same_bits(out, expected)


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reference_is_the_contract_spelled_out_in_fractions(rng, dtype):
    block = _core.depth_block
    channels = block // 4 + 3  # a little more than two blocks of depth, the last one ragged
    x, weight = normal(rng, dtype, channels, 3, 4), normal(rng, dtype, 2, channels, 3, 3)
    bias = normal(rng, dtype, 2)
    assert 2 * block < weight[0].size
    y = reference(x, weight, bias)
    oracles.assert_same_bits(y, oracles.contract_conv(x, weight, bias, block))
    # The data tell this contract from its neighbours: other blocks, one chain, another order, rounded products.
    assert not np.array_equal(y, oracles.contract_conv(x, weight, bias, block - 1))
    assert not np.array_equal(y, oracles.contract_conv(x, weight, bias, weight[0].size))
    assert not np.array_equal(y, oracles.contract_conv(x[::-1], weight[:, ::-1], bias, block))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bias_comes_last(dtype):
    tiny = np.finfo(dtype).eps / 2
    x, weight = np.array([[tiny, tiny]], dtype), np.ones((1, 2), dtype)
    assert conv2d(x, weight, 1.0).item() == 1 + 2 * tiny
    assert conv2d(np.array([[1, tiny]], dtype), weight, np.asarray(tiny, dtype)).item() == 1


@given(problem=problems())
def test_drawn_problems(isa, problem):
    expected = reference(*problem.dense, **problem.geometry)
    for algorithm in ALGORITHMS:
        for threads in THREADS:
            out = poisoned(expected.shape, expected.dtype)
            problem.conv(
                problem.x,
                problem.weight,
                problem.bias,
                **problem.geometry,
                out=out,
                algorithm=algorithm,
                threads=threads,
            )
            oracles.assert_same_bits(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(max_examples=5000)
@given(problem=problems())
def test_drawn_problems_at_length(isa, algorithm, problem):
    expected = reference(*problem.dense, **problem.geometry)
    y = problem.conv(problem.x, problem.weight, problem.bias, **problem.geometry, algorithm=algorithm)
    oracles.assert_same_bits(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_of_channels(isa, rng, dtype):
    for out_channels in range(1, 66):
        in_channels = 66 - out_channels
        x, weight = normal(rng, dtype, 1, in_channels, 5, 9), normal(rng, dtype, out_channels, in_channels, 3, 3)
        oracles.assert_same_bits(conv2d(x, weight, padding=1), reference(x, weight, padding=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_every_width(isa, rng, dtype, stride):
    weight, bias = normal(rng, dtype, 17, 3, 2, 3), normal(rng, dtype, 17)
    geometry = {"stride": (1, stride), "padding": (0, 1)}
    for width in range(1, 131):
        x = normal(rng, dtype, 1, 3, 3, width)
        expected = reference(x, weight, bias, **geometry)
        oracles.assert_same_bits(conv2d(x, weight, bias, **geometry, algorithm="implicit"), expected)
        oracles.assert_same_bits(conv2d(x, weight, bias, **geometry), expected)


@pytest.mark.parametrize("algorithm", ["channels", "direct", "im2col", "implicit"])
def test_bands_of_unlike_edges(isa, rng, algorithm):
    """What is zero in one band, and what is left there from the one before, may be pixels in the next."""
    weight = normal(rng, np.float32, 5, 3, 4, 3)
    for height in (5, 13, 40):
        x = normal(rng, np.float32, 2, 3, height, 33)
        for padding in (((3, 3), (1, 1)), ((5, 0), (0, 2)), ((0, 6), (2, 0))):
            for stride in (1, 2):
                geometry = {"padding": padding, "stride": stride}
                expected = reference(x, weight, **geometry)
                for limit in (1 << 13, 1 << 14, 1 << 15, None):
                    run = {"algorithm": algorithm, "threads": 1, "workspace_limit": limit}
                    try:
                        y = conv2d(x, weight, **geometry, **run)
                    except MemoryError:
                        continue
                    oracles.assert_same_bits(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_depths_around_the_block(isa, rng, dtype):
    block = _core.depth_block
    for depth in sorted({1, 2, 588, *(n * block + d for n in (1, 2, 3) for d in (-1, 0, 1))}):
        x, weight = normal(rng, dtype, 1, depth, 3, 5), normal(rng, dtype, 9, depth, 1, 1)
        bias = normal(rng, dtype, 9)
        assert_same_bits_everywhere(x, weight, bias)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "geometry"),
    [
        ((1, 1, 301, 257), (2, 1, 5, 5), {"padding": "same"}),
        ((1, 2, 37, 1501), (19, 2, 3, 3), {"padding": 1}),
        ((1, 2, 1501, 7), (3, 2, 3, 3), {"padding": 1, "stride": 2}),
        ((5, 20, 14, 15), (70, 20, 3, 3), {"padding": ((2, 0), (0, 1))}),
        ((1, 130, 7, 7), (131, 130, 3, 3), {"padding": 1}),
        ((2, 48, 20, 21), (96, 12, 3, 3), {"padding": 2, "dilation": 2, "groups": 4}),
        ((2, 70, 25, 26), (70, 1, 7, 7), {"padding": 3, "groups": 70}),
        ((40, 3, 6, 6), (5, 3, 3, 3), {}),
        ((1, 3, 64, 64), (24, 3, 7, 7), {"padding": 3, "stride": 2}),
        ((1, 65, 29, 31), (33, 65, 1, 1), {"stride": (2, 3)}),
        # A panel of weights meets all blocks of depth at once, and pixels are brought together for many panels.
        ((2, 900, 6, 5), (140, 450, 1, 1), {"groups": 2}),
        ((2, 400, 5, 8), (1030, 400, 1, 1), {"stride": 2}),
        ((1, 20, 9, 70), (1030, 20, 1, 1), {"stride": (1, 2)}),
        ((1, 1, 20_011), (1, 1, 129), {"padding": "same"}),
        ((2, 3, 4001), (17, 3, 25), {"stride": 10, "padding": 12}),
        ((3, 40, 301), (65, 40, 3), {"padding": ((2, 0),), "dilation": 2}),
        ((2, 70, 999), (70, 1, 15), {"padding": 7, "groups": 70}),
        ((1, 2, 19, 23, 31), (3, 2, 3, 3, 3), {"padding": 1}),
        ((2, 12, 7, 9, 10), (30, 4, 3, 1, 2), {"padding": ((1, 0), 0, (2, 1)), "stride": (1, 2, 1), "groups": 3}),
        ((1, 33, 4, 5, 6), (20, 33, 1, 1, 1), {"stride": (2, 1, 3)}),
    ],
)
def test_layers(isa, rng, dtype, x_shape, weight_shape, geometry):
    x, weight = normal(rng, dtype, *x_shape), normal(rng, dtype, *weight_shape)
    assert_same_bits_everywhere(x, weight, normal(rng, dtype, len(weight)), **geometry)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("inner", "outer"), [(2, 2), (4, 4), (3, 8), (8, 8), (4, 3), (2, 1)])
@pytest.mark.parametrize("layout", [np.ascontiguousarray, channels_last])
def test_groups_of_a_few_channels(isa, rng, dtype, inner, outer, layout):
    """As many as a vector holds, and then some; taps and pixels in every way that lanes across groups do and do not."""
    groups = 16 // min(inner, outer) + 3
    x = layout(normal(rng, dtype, 2, groups * inner, 13, 18))
    for kernel, stride, dilation in [
        ((3, 3), 1, 1),
        ((2, 3), 2, 1),
        ((3, 3), (1, 3), 1),
        ((1, 3), 1, 2),
        ((3, 2), 1, 1),
    ]:
        weight, bias = normal(rng, dtype, groups * outer, inner, *kernel), normal(rng, dtype, groups * outer)
        geometry = {"stride": stride, "padding": ((1, 0), (1, 1)), "dilation": dilation, "groups": groups}
        residual = layout(conv2d(x, weight, None, **geometry))
        options = {**geometry, "residual": residual, "activation": "relu", "out": layout(np.empty_like(residual))}
        expected = conv2d(x, weight, bias, **options, algorithm="reference").copy()
        layer = pack(weight, bias, **geometry, activation="relu", algorithm="channels")
        oracles.assert_same_bits(layer(x, residual=residual, threads=1), expected)
        for threads in (1, 2):
            oracles.assert_same_bits(
                conv2d(x, weight, bias, **options, algorithm="channels", threads=threads), expected
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_that_begin_within_a_line_of_the_caches(isa, rng, dtype):
    """Of few output channels, whose vectors begin with the next one."""
    for pixels in (320, 464, 1088):
        for first in range(0, 64 // np.dtype(dtype).itemsize, 3):
            memory = normal(rng, dtype, 3 * pixels + 64)
            first_line = -memory.ctypes.data % 64 // memory.itemsize
            x = memory[first_line + first :][: 3 * pixels].reshape(1, 3, 16, -1)
            for rows in (1, 4, 5):
                weight, bias, residual = (
                    normal(rng, dtype, *shape) for shape in ((rows, 3, 1, 1), (rows,), (1, rows, 16, pixels // 16))
                )
                for geometry in ({}, {"residual": residual, "activation": "relu6"}):
                    expected = reference(x, weight, bias, **geometry)
                    for threads in (1, 3):
                        out = poisoned(expected.shape, dtype)
                        conv2d(x, weight, bias, **geometry, out=out, algorithm="implicit", threads=threads)
                        oracles.assert_same_bits(out, expected)


def test_instruction_sets_agree(rng):
    x, weight = normal(rng, np.float32, 2, 40, 17, 19), normal(rng, np.float32, 33, 40, 3, 3)
    before = _core.get_isa()
    results = []
    try:
        for each in _core.instruction_sets():
            if each["usable"]:
                _core.set_isa(each["name"])
                results.append(conv2d(x, weight, padding=1))
    finally:
        _core.set_isa(before)
    for result in results[1:]:
        oracles.assert_same_bits(result, results[0])


@pytest.mark.parametrize("threads", THREADS)
def test_an_image_does_not_see_its_batch(isa, rng, threads):
    x, weight = normal(rng, np.float32, 9, 5, 13, 11), normal(rng, np.float32, 21, 5, 3, 3)
    together = conv2d(x, weight, padding=1, threads=threads)
    for i in range(len(x)):
        oracles.assert_same_bits(conv2d(x[i], weight, padding=1, threads=threads), together[i])
    oracles.assert_same_bits(conv2d(x[2:5], weight, padding=1, threads=threads), together[2:5])


def test_an_output_channel_does_not_see_the_others(isa, rng):
    x, weight = normal(rng, np.float32, 1, 7, 12, 13), normal(rng, np.float32, 37, 7, 3, 3)
    together = conv2d(x, weight, padding=1)
    for oc in range(len(weight)):
        oracles.assert_same_bits(conv2d(x, weight[oc : oc + 1], padding=1), together[:, oc : oc + 1])


def test_an_output_does_not_see_its_place(isa, rng):
    x, weight = normal(rng, np.float32, 1, 3, 40, 75), normal(rng, np.float32, 6, 3, 3, 3)
    whole = conv2d(x, weight)
    for top, left in ((0, 1), (1, 0), (5, 17), (30, 60)):
        part = conv2d(x[:, :, top : top + 8, left : left + 9], weight)
        oracles.assert_same_bits(part, whole[:, :, top : top + 6, left : left + 7])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x_layout", READABLE)
@pytest.mark.parametrize("weight_layout", READABLE)
def test_layouts_of_the_inputs(isa, rng, dtype, x_layout, weight_layout):
    x = READABLE[x_layout](normal(rng, dtype, 2, 6, 11, 37))
    weight = READABLE[weight_layout](normal(rng, dtype, 18, 3, 3, 2))
    bias = READABLE[x_layout](normal(rng, dtype, 18))
    dense = [np.array(each, dtype, order="C") for each in (x, weight, bias)]
    geometry = {"padding": ((1, 0), (2, 1)), "stride": (2, 1), "groups": 2}
    oracles.assert_same_bits(conv2d(x, weight, bias, **geometry), reference(*dense, **geometry))


@pytest.mark.parametrize("layout", READABLE)
def test_layouts_of_plain_and_unbatched(isa, rng, layout):
    for rank, conv in CONV.items():
        x, weight = normal(rng, np.float32, *(23, 31, 7)[:rank]), normal(rng, np.float32, *(4, 5, 3)[:rank])
        lay = READABLE[layout]
        x, weight = lay(x), lay(weight)
        dense = [np.array(each, np.float32, order="C") for each in (x, weight)]
        expected = reference(dense[0][None], dense[1][None, None], padding=2)
        oracles.assert_same_bits(conv(x, weight, padding=2), expected[0])
        oracles.assert_same_bits(conv(x[None], weight[None, None], padding=2), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", WRITABLE)
def test_layouts_of_the_output(isa, rng, dtype, layout):
    x, weight = normal(rng, dtype, 2, 3, 9, 41), normal(rng, dtype, 20, 3, 3, 3)
    bias = normal(rng, dtype, 20)
    expected = reference(x, weight, bias)
    for algorithm in ALGORITHMS:
        out = WRITABLE[layout](poisoned(expected.shape, dtype))
        assert conv2d(x, weight, bias, out=out, algorithm=algorithm) is out
        oracles.assert_same_bits(np.array(out), expected)


def test_nothing_is_written_beside_the_output(isa, rng):
    x, weight = normal(rng, np.float32, 2, 3, 9, 41), normal(rng, np.float32, 20, 3, 3, 3)
    larger = poisoned((4, 22, 16, 82), np.float32)
    out = larger[1:3, 1:21, 2:16:2, 3:81:2]
    conv2d(x, weight, out=out)
    assert not np.isnan(out).any()
    out[...] = np.nan
    assert np.isnan(larger).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lower_rank_is_a_higher_one_with_axes_of_one_element(isa, rng, dtype):
    x, weight = normal(rng, dtype, 2, 6, 50), normal(rng, dtype, 10, 3, 5)
    bias = normal(rng, dtype, 10)
    y = CONV[1](x, weight, bias, 2, 3, 2, 2, padding_mode="reflect")
    flat = CONV[2](x[:, :, None], weight[:, :, None], bias, (1, 2), (0, 3), (1, 2), 2, padding_mode="reflect")
    oracles.assert_same_bits(y, flat[:, :, 0])
    column = CONV[3](
        x[..., None, None], weight[..., None, None], bias, (2, 1, 1), (3, 0, 0), (2, 1, 1), 2, padding_mode="reflect"
    )
    oracles.assert_same_bits(y, column[..., 0, 0])


def test_broadcast_batch_is_a_repeated_batch(isa, rng):
    x, weight = normal(rng, np.float32, 1, 4, 9, 9), normal(rng, np.float32, 8, 4, 3, 3)
    repeated = np.broadcast_to(x, (6, 4, 9, 9))
    oracles.assert_same_bits(conv2d(repeated, weight), np.repeat(conv2d(x, weight), 6, axis=0))
