"""The curves of the activations: how far from the truth, what becomes of numbers without neighbours, and torch."""

import mpmath
import numpy as np
import oracles
import pytest
import torch
from flatconv import conv1d, conv2d
from scipy import special
from torch.nn import functional

# How far from the truth, in units in the last place, as docs/numerics.md says.
BOUNDS = {"sigmoid": 0.8, "tanh": 0.8, "silu": 0.8, "gelu": 1.7, "hardswish": 1.9}

FLOAT64 = {
    "sigmoid": lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
    "tanh": np.tanh,
    "silu": lambda x: x * np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
    "gelu": lambda x: x * special.erfc(-x / np.sqrt(2)) / 2,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}
EXACT = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
}
TORCH = {
    ("leaky_relu", 0.3): lambda x: functional.leaky_relu(x, 0.3),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "hardswish": functional.hardswish,
}


def spacing(values, dtype):
    """The unit in the last place of numbers of a wider type."""
    limits = np.finfo(dtype)
    exponents = np.frexp(values)[1] - limits.nmant - 1
    return np.ldexp(1.0, np.maximum(exponents, limits.minexp - limits.nmant))


@pytest.mark.parametrize("name", BOUNDS)
def test_float32_is_near_the_truth(name):
    # Numbers of every exponent and sign, and more of them where the curves bend.
    bits = np.arange(0, 2**32, 5003, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([bits[np.isfinite(bits)], np.linspace(-120, 20, 400_001), np.linspace(-4, 4, 200_001)])
    x = x.astype(np.float32) + np.float32(0)
    y = oracles.curve(x, name).astype(np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        truth = FLOAT64[name](np.clip(x.astype(np.float64), -700, None))
    error = np.abs(y - truth) / spacing(truth, np.float32)
    assert error.max() <= BOUNDS[name], f"{error.max():.3f} at {x[error.argmax()]!r}"


@pytest.mark.parametrize("name", BOUNDS)
def test_float64_is_near_the_truth(rng, name):
    x = np.concatenate(
        [
            rng.uniform(-760, 40, 600),
            rng.uniform(-39, 9, 600),
            rng.uniform(-3, 3, 1200),
            rng.choice([-1, 1], 400) * np.ldexp(rng.uniform(0.5, 1, 400), rng.integers(-1074, 10, 400)),
        ]
    )
    x = x[x != 0]
    y = oracles.curve(x, name)
    with mpmath.workdps(50):
        truth = [EXACT[name](mpmath.mpf(float(value))) for value in x]
        near = np.array([float(value) for value in truth])
        off = np.array([float(mpmath.mpf(float(got)) - value) for got, value in zip(y, truth, strict=True)])
    error = np.abs(off) / spacing(near, np.float64)
    assert error.max() <= BOUNDS[name], f"{error.max():.3f} at {x[error.argmax()]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("activation", "values"),  # at -Inf, -1e30, 0, 1e30, Inf
    [
        (("leaky_relu", 0.5), [-np.inf, -5e29, 0.0, 1e30, np.inf]),
        ("sigmoid", [0.0, 0.0, 0.5, 1.0, 1.0]),
        ("tanh", [-1.0, -1.0, 0.0, 1.0, 1.0]),
        ("silu", [-0.0, -0.0, 0.0, 1e30, np.inf]),
        ("gelu", [-0.0, -0.0, 0.0, 1e30, np.inf]),
        ("hardswish", [-0.0, -0.0, 0.0, 1e30, np.inf]),
    ],
)
def test_numbers_without_neighbours(isa, dtype, activation, values):
    x = np.tile(np.array([-np.inf, -1e30, 0, 1e30, np.inf, np.nan], dtype), 7)
    y = conv1d(x, np.ones(1, dtype), activation=activation)
    oracles.assert_same_bits(y, np.tile(np.array([*values, np.nan], dtype), 7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_x_is_small_tanh_is_x_and_the_others_half_of_it(isa, dtype):
    x = np.ldexp(np.array([1, -1.5, 1.25], dtype), np.finfo(dtype).minexp + np.array([-2, 0, 60]))
    one = np.ones(1, dtype)
    oracles.assert_same_bits(conv1d(x, one, activation="tanh"), x)
    for name in ("silu", "gelu", "hardswish"):
        oracles.assert_same_bits(conv1d(x, one, activation=name), x / 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", TORCH)
@pytest.mark.parametrize("algorithm", ["im2col", "implicit", "channels", "direct"])
def test_torch_agrees(isa, rng, dtype, activation, algorithm):
    x = rng.standard_normal((2, 5, 9, 17)).astype(dtype)
    weight, bias = rng.standard_normal((21, 5, 3, 3)).astype(dtype), rng.standard_normal(21).astype(dtype)
    residual = rng.standard_normal((2, 21, 9, 17)).astype(dtype)
    sums = functional.conv2d(*map(torch.from_numpy, (x, weight, bias)), padding=1) + torch.from_numpy(residual)
    y = conv2d(x, weight, bias, padding=1, activation=activation, residual=residual, algorithm=algorithm)
    tolerance = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, TORCH[activation](sums).numpy(), rtol=tolerance, atol=tolerance)
