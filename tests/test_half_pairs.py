"""bfloat16 by the CPU's own dot product, where it has one: the bits are those of float32 arithmetic all the same."""

import numpy as np
import oracles
import pytest
from flatconv import conv2d, pack
from ml_dtypes import bfloat16

pytestmark = pytest.mark.usefixtures("split_work")

# That of its sums which no chain of float32 may be below, to be the dot product's.
LEAST_SUM = -126


def compute(x, weight, bias=None, **options):
    """By every way that may take pairs; checks that all agree, with one another and with the definition."""
    expected = conv2d(x, weight, bias, **options, algorithm="im2col")
    out_last = weight.transpose(2, 3, 1, 0).copy().transpose(3, 2, 0, 1)
    for kernels in (weight, out_last, weight[:, ::-1, :, ::-1].copy()[:, ::-1, :, ::-1]):
        oracles.assert_same_bits(conv2d(x, kernels, bias, **options, algorithm="implicit"), expected)
    residual = options.pop("residual", None)
    layer = pack(weight, bias, **options, algorithm="implicit")
    oracles.assert_same_bits(layer(x, residual), expected)
    return expected


def numbers(rng, *shape, exponent=0):
    return np.ldexp(rng.standard_normal(shape), exponent).astype(bfloat16)


def test_the_instruction_set_that_has_it_takes_it(every_isa, rng):
    text = "pairs of bfloat16"
    for kernel in (1, 3):
        weight = numbers(rng, 64, 64, kernel, kernel)
        assert (text in pack(weight).explain((64, 28, 28))) == (every_isa == "avx512_bf16")
        assert text not in pack(weight.astype(np.float16)).explain((64, 28, 28))


@pytest.mark.parametrize(
    ("channels", "rows", "kernel", "size", "options"),
    [
        (1, 17, (3, 3), (20, 20), {"padding": 1}),
        (64, 30, (3, 3), (13, 18), {"padding": 1}),
        (65, 15, (1, 1), (9, 11), {}),
        (40, 33, (1, 1), (20, 21), {"stride": 2}),
        (401, 16, (1, 1), (5, 7), {"padding": 1}),
        (20, 16, (1, 1), (9, 9), {"padding": (1, 2), "padding_mode": "reflect"}),
        (70, 28, (1, 1), (12, 12), {"groups": 2}),
        (6, 28, (1, 1), (12, 12), {"groups": 2}),
        (3, 16, (7, 7), (40, 40), {"stride": 2, "padding": 3}),
        (43, 16, (3, 3), (19, 17), {"stride": 2, "dilation": 2, "padding": 2, "padding_mode": "circular"}),
        (5, 16, (2, 5), (16, 40), {"stride": (1, 3)}),
    ],
)
@pytest.mark.parametrize("layout", ["dense", "channels_last", "broadcast", "reversed"])
def test_layers(every_isa, rng, channels, rows, kernel, size, options, layout):
    groups = options.get("groups", 1)
    x = numbers(rng, 2, channels, *size)
    if layout == "channels_last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif layout == "broadcast":
        x = np.broadcast_to(x[:, :1], x.shape)
    elif layout == "reversed":
        x = x[:, ::-1, :, ::-1]
    weight, bias = numbers(rng, rows, channels // groups, *kernel), numbers(rng, rows)
    expected = conv2d(*(each.astype(np.float32) for each in (x, weight, bias)), **options, algorithm="reference")
    oracles.assert_same_bits(compute(x, weight, bias, **options), expected.astype(bfloat16))


@pytest.mark.parametrize("activation", [None, "relu6", ("leaky_relu", 0.25), "sigmoid", "tanh", "silu", "gelu"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_what_becomes_of_sums(every_isa, rng, activation, kernel):
    """Sums are words no more: a curve's multiply-adds are those of numbers. Some results are subnormal."""
    x, weight = numbers(rng, 2, 24, 19, 17), numbers(rng, 30, 24, kernel, kernel)
    x[1], bias = 0, np.ldexp(rng.standard_normal(30), -129).astype(bfloat16)
    residual = numbers(rng, *compute(x, weight, bias, activation=activation).shape)
    compute(x, weight, bias, activation=activation, residual=residual)


@pytest.mark.parametrize("kernel", [(1, 1), (1, 2)])
@pytest.mark.parametrize("x_exponent", [0, -56, -62, -126, 14, -112])
def test_sums_that_are_subnormal(every_isa, kernel, x_exponent):
    """1 + 2^-6 + 2^-14, less 1 + 2^-6, in units of the sums that are least when they are in danger."""
    for distance in (-7, -1, 0, 1):
        weight_exponent = LEAST_SUM + 14 - x_exponent + distance
        if not -126 <= weight_exponent < 127:
            continue
        x = np.ldexp(np.array([1 + 2**-7, 1]), x_exponent).astype(bfloat16)
        weight = np.ldexp(np.array([1 + 2**-7, -(1 + 2**-6)]), weight_exponent).astype(bfloat16)
        # Either of the two is a channel, or a kernel element.
        shape = (2, 1, 1) if kernel == (1, 1) else (1, 1, 2)
        x = np.broadcast_to(x.reshape(shape), (shape[0], 64, 64) if kernel == (1, 1) else shape)
        if kernel != (1, 1):
            x = np.tile(x, (1, 64, 32))
        weight = np.broadcast_to(weight.reshape(1, shape[0], *kernel), (32, shape[0], *kernel))
        y = compute(x, weight, stride=(1, kernel[1]))
        # The same number, whether it is normal or not.
        assert np.all(y.astype(float) == np.ldexp(1.0, LEAST_SUM + distance))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("place", ["x", "weight"])
@pytest.mark.parametrize("value", [1e-40, -1e-39, 2.0**-126, np.inf, -np.inf, np.nan, 3e38])
def test_one_number_out_of_bounds(every_isa, rng, kernel, place, value):
    arrays = {"x": numbers(rng, 48, 24, 24, exponent=100), "weight": numbers(rng, 32, 48, kernel, kernel)}
    if place == "weight":
        arrays = {"x": numbers(rng, 48, 24, 24), "weight": numbers(rng, 32, 48, kernel, kernel, exponent=100)}
    array = arrays[place]
    array.reshape(-1)[array.size * 5 // 6] = value
    expected = conv2d(*(each.astype(np.float32) for each in arrays.values()), algorithm="im2col")
    with np.errstate(all="ignore"):
        oracles.assert_same_bits(compute(**arrays), expected.astype(bfloat16))
    if place == "x" and abs(value) < 1e-38:
        # Alone, it is the result: nothing of it is lost, wherever it lies in a band.
        for pixel in ((11, 11), (-1, -1)):
            alone = np.zeros_like(arrays["x"])
            alone[7][pixel] = value
            y = compute(alone, np.ones((32, 48, kernel, kernel), bfloat16))
            assert (y == bfloat16(value)).any()


def test_magnitudes_of_every_kind(every_isa, rng):
    """Random exponents, so that some bands are in danger and others are not."""
    for _ in range(30):
        spread = int(rng.integers(1, 60))
        x_shape, weight_shape = (24, 20, 40), (30, 24, *rng.choice([1, 3], 2))
        middle = int(rng.integers(-70, 70))
        x = np.ldexp(rng.standard_normal(x_shape), rng.integers(-spread, spread, x_shape) + middle)
        weight = np.ldexp(rng.standard_normal(weight_shape), rng.integers(-spread, spread, weight_shape) - 56)
        with np.errstate(all="ignore"):
            compute(x.astype(bfloat16), weight.astype(bfloat16))
