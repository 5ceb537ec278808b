"""float16 and bfloat16: the bits are those of float32, rounded once; every algorithm, instruction set and layout."""

import flatconv
import numpy as np
import oracles
import pytest
from adjoint_problems import CONV_TRANSPOSE, INPUT, WEIGHT
from child_process import run_child
from flatconv import conv2d, grad, pack, pack_transpose
from flatconv._arguments import ALGORITHMS
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import READABLE, WRITABLE
from ml_dtypes import bfloat16
from problems import PADDING_MODES, activations, problems

pytestmark = pytest.mark.usefixtures("split_work")

HALVES = (np.float16, bfloat16)
# What NumPy can do with a type that is not its own.
LAYOUTS = ("reversed_axes", "sliced", "fortran", "channels_last", "windowed", "broadcast", "contiguous")


def single(array):
    return None if array is None else np.asarray(array, np.float32)


def rounded(array, dtype):
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype)


@given(st.data())
@settings(max_examples=20)
def test_convolutions(every_isa, data):
    dtype = data.draw(st.sampled_from(HALVES))
    problem = data.draw(problems(dtypes=(dtype,), layouts=LAYOUTS))
    activation = data.draw(activations())
    x, weight, bias = (single(each) for each in problem.dense)
    y = problem.conv(x, weight, bias, **problem.geometry, algorithm="reference")
    residual = data.draw(st.sampled_from([None, *LAYOUTS]))
    if residual:
        values = np.random.default_rng(y.size).standard_normal(y.shape).astype(dtype)
        residual = READABLE[residual](values)
    fused = {"activation": activation, "residual": single(residual)}
    expected = rounded(problem.conv(x, weight, bias, **problem.geometry, **fused, algorithm="reference"), dtype)
    fused["residual"] = residual
    make_out = WRITABLE[data.draw(st.sampled_from([name for name in WRITABLE if name != "misaligned"]))]
    for algorithm in ALGORITHMS:
        out = make_out(np.full(expected.shape, np.nan, dtype))
        problem.conv(problem.x, problem.weight, problem.bias, **problem.geometry, **fused, out=out, algorithm=algorithm)
        oracles.assert_same_bits(out, expected)
        layer = pack(problem.weight, problem.bias, **problem.geometry, activation=activation, algorithm=algorithm)
        oracles.assert_same_bits(layer(problem.x, residual), expected)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    ("channels", "rows", "kernel", "size", "options"),
    [
        (96, 40, 1, 9, {}),
        (130, 37, 3, 7, {"padding": 1}),
        (24, 24, 3, 21, {"padding": 1, "groups": 24}),
        (24, 24, 3, 40, {"padding": 1, "groups": 24, "stride": 2}),
        (3, 20, 5, 40, {"padding": 2, "stride": 2}),
        (400, 70, 1, 5, {"stride": 2}),
        (40, 8, 3, 12, {"padding": 1, "padding_mode": "reflect"}),
    ],
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_layers(every_isa, rng, dtype, channels, rows, kernel, size, options, channels_last):
    """Larger than what is drawn at random: several blocks of depth, whole panels, many vectors."""
    groups = options.get("groups", 1)
    x = rng.standard_normal((2, size, size, channels) if channels_last else (2, channels, size, size)).astype(dtype)
    weight = rng.standard_normal((rows, channels // groups, kernel, kernel)).astype(dtype)
    bias = rng.standard_normal(rows).astype(dtype)
    options = {**options, "channels_last": channels_last, "activation": ("clip", -3, 4)}
    shape = conv2d(single(x), single(weight), **options).shape
    residual = rng.standard_normal(shape).astype(dtype)
    expected = conv2d(
        single(x), single(weight), single(bias), **options, residual=single(residual), algorithm="reference"
    ).astype(dtype)
    out_last = weight.transpose(2, 3, 1, 0).copy().transpose(3, 2, 0, 1)
    for algorithm in ("im2col", "implicit", "channels", "direct"):
        for kernels in (weight, out_last, weight[:, ::-1].copy()[:, ::-1]):
            y = conv2d(x, kernels, bias, **options, residual=residual, algorithm=algorithm)
            oracles.assert_same_bits(y, expected)
        oracles.assert_same_bits(pack(weight, bias, **options, algorithm=algorithm)(x, residual), expected)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("layout", ["contiguous", "sliced", "channels_last"])
def test_transposes_and_gradients(every_isa, rng, dtype, rank, stride, dilation, layout):
    def data(*shape):
        return READABLE[layout](rng.standard_normal(shape).astype(dtype))

    def each(function, *arguments, **options):
        expected = rounded(function(*map(single_of, arguments), **options, algorithm="reference"), dtype)
        oracles.assert_same_bits(function(*arguments, **options, algorithm="reference"), expected)
        oracles.assert_same_bits(function(*arguments, **options), expected)
        return expected

    def single_of(argument):
        return single(argument) if isinstance(argument, np.ndarray) else argument

    geometry = {"stride": stride, "padding": 1, "groups": 2, "dilation": dilation}
    sizes = (7, 6, 19)[-rank:]
    x, weight, bias = data(2, 6, *sizes), data(6, 5, *(3, 2, 3)[-rank:]), data(10)
    y = each(CONV_TRANSPOSE[rank], x, weight, bias, **geometry)
    layer = pack_transpose(weight, bias, **geometry)
    oracles.assert_same_bits(layer(x), y)

    kernels = data(10, 3, *(3, 2, 3)[-rank:])
    dy = data(*flatconv.conv1d(x, kernels, **geometry).shape) if rank == 1 else None
    if dy is None:
        function = flatconv.conv2d if rank == 2 else flatconv.conv3d
        dy = data(*function(x, kernels, **geometry).shape)
    each(INPUT[False][rank], x.shape, kernels, dy, **geometry)
    each(WEIGHT[False][rank], x, kernels.shape, dy, **geometry)
    each(WEIGHT[False][rank], x, kernels.shape, dy, **geometry, padding_mode="circular")
    out = WRITABLE["channels_last"](np.zeros(kernels.shape, dtype))
    WEIGHT[False][rank](x, kernels.shape, dy, **geometry, out=out)
    oracles.assert_same_bits(out, WEIGHT[False][rank](x, kernels.shape, dy, **geometry))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("mode", PADDING_MODES[1:])
def test_gradients_of_repeated_padding_round_each_number_that_is_added(rng, dtype, mode):
    weight, dy = rng.standard_normal((4, 3, 3, 3)).astype(dtype), rng.standard_normal((2, 4, 9, 8)).astype(dtype)
    run = {"padding": 1, "padding_mode": mode}
    expected = grad.conv2d_input((2, 3, 9, 8), weight, dy, **run, algorithm="reference")
    oracles.assert_same_bits(grad.conv2d_input((2, 3, 9, 8), weight, dy, **run), expected)
    exact = grad.conv2d_input((2, 3, 9, 8), weight.astype(float), dy.astype(float), **run)
    # At a corner three numbers are added.
    assert np.all(np.abs(expected.astype(float) - exact) <= 4 * float(np.spacing(dtype(64))))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("threads", [1, 7])
def test_regions(rng, dtype, mode, threads):
    geometry = {"stride": (2, 1), "padding": (2, 1), "dilation": (1, 2), "padding_mode": mode}
    x = rng.standard_normal((2, 3, 9, 40)).astype(dtype)
    for matrix, adjoint in ((flatconv.im2col, "col2im"), (flatconv.unfold, "fold")):
        regions = matrix(x, (3, 4), **geometry)
        oracles.assert_same_bits(regions, matrix(single(x), (3, 4), **geometry).astype(dtype))
        values = rng.standard_normal(regions.shape).astype(dtype)
        size = x.shape if adjoint == "col2im" else x.shape[2:]
        sums = getattr(flatconv, adjoint)
        expected = sums(single(values), size, (3, 4), **geometry).astype(dtype)
        oracles.assert_same_bits(sums(values, size, (3, 4), **geometry, threads=threads), expected)


def test_sums_of_regions_are_kept_for_a_part_of_a_large_image_at_a_time():
    # 70 000 ones for each pixel: in halves, sums would stop at 2048.
    regions = np.ones((3, 100_000), np.float16)
    np.testing.assert_array_equal(flatconv.fold(regions, (100_002,), (3,))[2:-2], np.float16(3))
    many = np.ones((5000, 1), np.float16)
    assert flatconv.col2im(many, (1,), (1,), padding=((0, 4999),), padding_mode="replicate") == np.float16(5000)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_number_passes_as_it_is(every_isa, dtype, algorithm):
    x = np.arange(2**16, dtype=np.uint16).view(dtype).reshape(1, 2**8, 2**8)
    y = conv2d(x, np.ones((1, 1, 1, 1), dtype), algorithm=algorithm)
    with np.errstate(invalid="ignore"):
        oracles.assert_same_bits(y, np.where(x == 0, dtype(0), x))  # no sum is -0


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rounding(every_isa, rng, dtype, algorithm):
    """Products of two halves are floats, of every magnitude, ties and subnormals among them."""
    x = rng.integers(0, 2**16, (1, 64, 64), np.uint16).view(dtype)
    scales = np.array([1, 1.5, 257 / 256, 2.0**-13, 3 * 2.0**-14, 2.0**12, 2.0**-24, 5 * 2.0**9], dtype)
    weight = scales.reshape(-1, 1, 1, 1)
    with np.errstate(all="ignore"):
        expected = (single(x) * single(scales).reshape(-1, 1, 1) + np.float32(0)).astype(dtype)
    oracles.assert_same_bits(conv2d(x, weight, algorithm=algorithm), expected)
    finite = expected[np.isfinite(expected)]
    assert (np.abs(finite.astype(float)) < float(np.finfo(np.float16).tiny)).any()
    assert np.isinf(expected).any()


def test_the_sum_is_not_kept_in_halves():
    ones = np.ones((1, 5000, 1), np.float16)
    assert flatconv.conv1d(ones, ones) == 5000
    assert flatconv.conv1d(ones * 100, ones) == np.inf
    low = conv2d(np.full((1, 1), -1, np.float16), np.ones((1, 1), np.float16), activation=("clip", -0.0, 1))
    assert np.signbit(low).all()


def test_promotion(rng):
    x, weight = rng.standard_normal((3, 8, 8)), rng.standard_normal((2, 3, 3, 3))
    for first, second, result in (
        (np.float16, np.float32, np.float32),
        (np.float16, np.float64, np.float64),
        (np.uint8, np.float16, np.float16),
        (bfloat16, np.float32, np.float32),
        (bfloat16, np.float64, np.float64),
        (np.int8, bfloat16, bfloat16),
        (">f2", ">f2", np.float16),
    ):
        y = conv2d(x.astype(first), weight.astype(second))
        oracles.assert_same_bits(y, conv2d(x.astype(first).astype(result), weight.astype(second).astype(result)))
        assert y.dtype == result
    assert conv2d(x.astype(np.float16), weight.astype(np.float16), activation="relu").dtype == np.float16
    with pytest.raises(TypeError, match=r"x \(float16\) and weight \(bfloat16\) .* pass x.astype\(np.float32\)"):
        conv2d(x.astype(np.float16), weight.astype(bfloat16))
    layer = pack(weight.astype(bfloat16))
    with pytest.raises(TypeError, match=r"x.astype\(ml_dtypes.bfloat16\), or pack weight.astype\(np.float32\)"):
        layer(x.astype(np.float16))
    oracles.assert_same_bits(layer(np.ones((3, 8, 8), np.uint8)), layer(np.ones((3, 8, 8), bfloat16)))


@pytest.mark.parametrize("dtype", HALVES)
def test_torch(rng, dtype):
    torch = pytest.importorskip("torch")
    x, weight = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 16, 14, 14), (8, 16, 3, 3)))
    of = torch.float16 if dtype is np.float16 else torch.bfloat16
    theirs = torch.nn.functional.conv2d(*(torch.from_numpy(single(each)).to(of) for each in (x, weight)), padding=1)
    ours = conv2d(x, weight, padding=1).astype(float)
    # Each rounds a sum of float32 once, or nearly so: an ulp of the result, and of its largest term.
    eps = float(np.finfo(np.float16).eps if dtype is np.float16 else 2.0**-7)
    assert np.all(np.abs(theirs.double().numpy() - ours) <= eps * (np.abs(ours) + 1))


def test_bfloat16_is_known_without_its_package():
    run_child(
        """
        import sys
        import numpy as np, flatconv
        y = flatconv.conv2d(np.ones((5, 5), np.float16), np.ones((3, 3), np.float16))
        assert y.dtype == np.float16 and "ml_dtypes" not in sys.modules
        import ml_dtypes
        ones = np.ones((5, 5), ml_dtypes.bfloat16)
        assert flatconv.conv2d(ones, ones).dtype == ml_dtypes.bfloat16
        """
    )
