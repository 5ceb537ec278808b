"""Halves beside float32: each array is read as it is stored, none is copied whole, and the bits are float32's."""

import sys

import flatconv
import numpy as np
import oracles
import pytest
from adjoint_problems import CONV_TRANSPOSE, INPUT, WEIGHT
from child_process import run_child
from flatconv import conv2d, pack, pack_transpose
from flatconv._arguments import ALGORITHMS
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import READABLE
from ml_dtypes import bfloat16
from problems import activations, problems

pytestmark = pytest.mark.usefixtures("split_work")

SINGLE = np.float32
HALVES = (np.float16, bfloat16)
LAYOUTS = ("reversed_axes", "sliced", "fortran", "channels_last", "windowed", "broadcast", "contiguous")


def single(array):
    return array.astype(SINGLE) if isinstance(array, np.ndarray) else array


def mixtures(count, half):
    """Types for so many arrays, of which one is not like the others."""
    alone = [
        [common] * i + [other] + [common] * (count - 1 - i)
        for common, other in ((SINGLE, half), (half, SINGLE))
        for i in range(count)
    ]
    return [tuple(types) for types in dict.fromkeys(map(tuple, alone))]


def packed_alone(layer, x, residual, expected):
    """A layer keeps float32 for what its own arrays are."""
    if layer.dtype == SINGLE:
        oracles.assert_same_bits(layer(x, residual), expected)
        assert layer.workspace_bytes(x.shape, x_dtype=x.dtype) >= 0


@given(st.data())
@settings(max_examples=25)
def test_convolutions(every_isa, data):
    half = data.draw(st.sampled_from(HALVES))
    problem = data.draw(problems(dtypes=(half,), layouts=LAYOUTS))
    types = data.draw(st.sampled_from(mixtures(4, half)))
    arrays = [problem.x, problem.weight, problem.bias]
    x, weight, bias = (None if each is None else each.astype(of) for each, of in zip(arrays, types, strict=False))
    # As they were drawn, where the type is: astype makes arrays dense.
    x, weight = (a if t is half else b for a, b, t in zip(arrays, (x, weight), types, strict=False))
    options = {**problem.geometry, "activation": data.draw(activations())}
    y = problem.conv(single(x), single(weight), single(bias), **options, algorithm="reference")
    values = np.random.default_rng(y.size).standard_normal(y.shape).astype(types[3])
    residual = READABLE[data.draw(st.sampled_from(LAYOUTS))](values)
    expected = problem.conv(
        single(x), single(weight), single(bias), **options, residual=single(residual), algorithm="reference"
    )
    given_types = {each.dtype for each in (x, weight, bias, residual) if each is not None}
    if len(given_types) == 1:
        expected = expected.astype(*given_types)
    for algorithm in ALGORITHMS:
        computed = problem.conv(x, weight, bias, **options, residual=residual, algorithm=algorithm)
        oracles.assert_same_bits(computed, expected)
    packed_alone(pack(weight, bias, **options), x, residual, expected)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("channels", "rows", "kernel", "size", "options"),
    [
        (96, 40, 1, 9, {}),
        (130, 37, 3, 7, {"padding": 1}),
        (64, 32, 3, 12, {"padding": 1}),
        (24, 24, 3, 40, {"padding": 1, "groups": 24}),
        (24, 24, 3, 40, {"padding": 1, "groups": 24, "stride": 2}),
        (32, 32, 3, 12, {"padding": 1, "groups": 8}),
        (3, 20, 5, 22, {"padding": 2, "stride": 2}),
        (400, 70, 1, 1, {}),
        (40, 8, 3, 12, {"padding": 1, "padding_mode": "reflect"}),
    ],
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_layers(every_isa, rng, half, channels, rows, kernel, size, options, channels_last):
    """Larger than what is drawn at random: several blocks of depth, whole panels, many vectors, pairs of bfloat16."""
    x = rng.standard_normal((2, size, size, channels) if channels_last else (2, channels, size, size))
    weight = rng.standard_normal((rows, channels // options.get("groups", 1), kernel, kernel))
    options = {**options, "channels_last": channels_last, "activation": ("clip", -3, 4)}
    arrays = [each.astype(half) for each in (x, weight, rng.standard_normal(rows))]
    arrays.append(rng.standard_normal(conv2d(*arrays[:2], **options).shape).astype(half))
    x, weight, bias, residual = map(single, arrays)
    expected = conv2d(x, weight, bias, **options, residual=residual, algorithm="reference")
    for types in mixtures(4, half):
        x, weight, bias, residual = (each.astype(of) for each, of in zip(arrays, types, strict=True))
        for algorithm in ("im2col", "implicit", "channels", "direct"):
            y = conv2d(x, weight, bias, **options, residual=residual, algorithm=algorithm)
            oracles.assert_same_bits(y, expected)
        packed_alone(pack(weight, bias, **options), x, residual, expected)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("rank", "stride", "dilation", "groups"),
    [(1, 2, 1, 2), (2, 1, 1, 2), (2, 2, 1, 6), (2, 3, 2, 2), (3, 2, 1, 2), (3, 1, 1, 6)],
)
def test_transposes_and_gradients(every_isa, rng, half, rank, stride, dilation, groups):
    def data(*shape):
        return rng.standard_normal(shape).astype(half)

    def each(function, *arguments, **options):
        expected = function(*map(single, arguments), **options, algorithm="reference")
        places = [i for i, argument in enumerate(arguments) if isinstance(argument, np.ndarray)]
        for types in mixtures(len(places), half):
            mixed = list(arguments)
            for i, of in zip(places, types, strict=True):
                mixed[i] = mixed[i].astype(of)
            oracles.assert_same_bits(function(*mixed, **options, algorithm="reference"), expected)
            oracles.assert_same_bits(function(*mixed, **options), expected)

    geometry = {"stride": stride, "padding": 1, "groups": groups, "dilation": dilation}
    sizes, kernel = (7, 6, 19)[-rank:], (3, 2, 3)[-rank:]
    x, weight, bias = data(2, 6, *sizes), data(6, 12 // groups, *kernel), data(12)
    each(CONV_TRANSPOSE[rank], x, weight, bias, **geometry)
    layer = pack_transpose(weight, single(bias), **geometry)
    oracles.assert_same_bits(layer(x), CONV_TRANSPOSE[rank](single(x), single(weight), single(bias), **geometry))

    kernels = data(12, 6 // groups, *kernel)
    function = (flatconv.conv1d, flatconv.conv2d, flatconv.conv3d)[rank - 1]
    dy = data(*function(x, kernels, **geometry).shape)
    each(INPUT[False][rank], x.shape, kernels, dy, **geometry)
    each(INPUT[False][rank], x.shape, kernels, dy, **geometry, padding_mode="reflect")
    each(WEIGHT[False][rank], x, kernels.shape, dy, **geometry)
    each(WEIGHT[False][rank], x, kernels.shape, dy, **geometry, padding_mode="circular")


def test_types_that_do_not_go_together(rng):
    x, weight = rng.standard_normal((3, 8, 8)), rng.standard_normal((2, 3, 3, 3)).astype(SINGLE)
    out = np.empty((2, 6, 6), np.float16)
    with pytest.raises(ValueError, match="out must have the dtype of the result, float32, got float16"):
        conv2d(x.astype(np.float16), weight, out=out)
    layer = pack(weight.astype(np.float16))
    with pytest.raises(TypeError, match="x has dtype float32, but the weight is packed as float16"):
        layer(x.astype(SINGLE))
    with pytest.raises(TypeError, match="x has dtype float32, but the weight is packed as float16"):
        layer.workspace_bytes(x.shape, x_dtype=SINGLE)
    # A type that NumPy promotes to float32 all the same.
    oracles.assert_same_bits(conv2d(x.astype(">f2"), weight), conv2d(x.astype(">f2").astype(SINGLE), weight))


def test_pairs_are_multiplied_whatever_the_bias_is(every_isa):
    weight = np.ones((64, 64, 3, 3), bfloat16)
    layer = pack(weight, np.ones(64, SINGLE))
    assert layer.dtype == SINGLE
    for x_dtype, pairs in ((bfloat16, every_isa == "avx512_bf16"), (None, False), (np.float16, False)):
        assert ("pairs of bfloat16" in layer.explain((64, 28, 28), x_dtype=x_dtype)) == pairs


MEMORY = """
    import sys
    import numpy as np
    import flatconv
    from ml_dtypes import bfloat16

    def peak():
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

    function, types, channels_last = (eval(argument) for argument in sys.argv[1:])
    half = {"f": np.float32, "h": np.float16, "b": bfloat16}
    shape = (4000, 1000, 4) if channels_last else (4, 4000, 1000)
    x, residual = (np.zeros(shape, half[types[i]]) + half[types[i]](1) for i in (0, 2))
    weight, out = np.ones((4, 4, 3, 3), half[types[1]]), np.zeros(shape, np.float32) + np.float32(1)
    options = {"padding": 1, "channels_last": channels_last}
    if function == "conv2d":
        def call(x, residual, out):
            return flatconv.conv2d(x, weight, residual=residual, out=out, threads=2, **options)
    elif function == "pack":
        layer = flatconv.pack(weight.astype(np.float32), **options)
        def call(x, residual, out):
            return layer(x, residual, out=out, threads=2)
    elif function == "conv_transpose2d":
        def call(x, residual, out):
            return flatconv.conv_transpose2d(x, weight, residual=residual, out=out, threads=2, **options)
    elif function == "conv2d_weight":
        def call(x, residual, out):
            gradient = flatconv.grad.conv2d_weight(x, weight.shape, residual, threads=2, **options)
            assert gradient[0, 0, 1, 1] == x.size / 4
    small = (slice(16), slice(16)) if channels_last else (slice(None), slice(16), slice(16))
    if function != "conv2d_weight":
        call(x[small], residual[small], out[small])
    before = peak()
    call(x, residual, out)
    grown = peak() - before
    held = np.ones(64 * 2**20, np.uint8)
    assert peak() - before >= 0.9 * held.size, "an earlier peak hides what the call takes"
    if function != "conv2d_weight":
        assert out[(100, 100, 0) if channels_last else (0, 100, 100)] == 37
    print(grown)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux counts")
@pytest.mark.parametrize(
    ("function", "types", "channels_last"),
    [
        ("conv2d", "hff", False),
        ("conv2d", "fhf", False),
        ("conv2d", "ffb", False),
        ("conv2d", "bfb", True),
        ("pack", "hfh", False),
        ("conv_transpose2d", "bff", False),
        ("conv2d_weight", "hff", False),
        ("conv2d_weight", "ffb", False),
    ],
)
def test_no_array_is_copied_whole(function, types, channels_last):
    """As float32, x and the residual would have 61 MiB."""
    grown = int(run_child(MEMORY, repr(function), repr(types), channels_last, timeout=120).stdout)
    assert grown < 6 * 2**20
