"""Wrong channels_last, activation and residual: the right exception, argument and value named, `out` untouched."""

import numpy as np
import pytest
from flatconv import conv2d


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def check(exception, fragments, changes):
    call = {
        "x": ones(2, 4, 8, 8),
        "weight": ones(6, 4, 3, 3),
        "out": np.full((2, 6, 6, 6), np.float32(np.nan)),
    } | changes
    out = call["out"]
    before = None if out is None else out.tobytes()
    with pytest.raises(exception) as caught:
        conv2d(**call)
    assert type(caught.value) is exception
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert out is None or out.tobytes() == before


BAD_VALUES = {
    "unknown activation": ({"activation": "swish"}, ["activation", "'swish'", '"relu"', '"relu6"', '"clip"', "None"]),
    "unknown activation in a tuple": ({"activation": ("selu",)}, ["activation", "'selu'", '"gelu"']),
    "leaky_relu alone": ({"activation": "leaky_relu"}, ["activation", '("leaky_relu", slope)', "'leaky_relu'"]),
    "leaky_relu with two slopes": ({"activation": ("leaky_relu", 1, 2)}, ["activation", "('leaky_relu', 1, 2)"]),
    "leaky_relu of nan": ({"activation": ("leaky_relu", float("nan"))}, ["activation", "slope", "finite", "nan"]),
    "leaky_relu of infinity": ({"activation": ("leaky_relu", float("inf"))}, ["activation", "slope", "finite", "inf"]),
    "gelu by a formula": ({"activation": ("gelu", "tanh")}, ['activation must be "gelu", got', "('gelu', 'tanh')"]),
    "clip alone": ({"activation": "clip"}, ["activation", '("clip", low, high)', "'clip'"]),
    "clip with one bound": ({"activation": ("clip", 1)}, ["activation", '("clip", low, high)', "('clip', 1)"]),
    "clip with three bounds": ({"activation": ("clip", 1, 2, 3)}, ["activation", "('clip', 1, 2, 3)"]),
    "relu with a bound": ({"activation": ("relu", 1)}, ['activation must be "relu", got', "('relu', 1)"]),
    "clip upside down": ({"activation": ("clip", 2, 1)}, ["activation", "low must be at most high", "('clip', 2, 1)"]),
    "clip to nan": ({"activation": ("clip", float("nan"), 1)}, ["activation", "nan"]),
    "clip up to nan": ({"activation": ("clip", 0, float("nan"))}, ["activation", "nan"]),
    "residual of another shape": ({"residual": ones(2, 6, 6, 7)}, ["residual", "(2, 6, 6, 7)", "(2, 6, 6, 6)"]),
    "residual of another rank": ({"residual": ones(6, 6, 6)}, ["residual", "(6, 6, 6)", "(2, 6, 6, 6)"]),
    "residual that is a number": ({"residual": 1.0, "out": None}, ["residual", "()", "(2, 6, 6, 6)"]),
    "ragged residual": ({"residual": [[1.0], [1.0, 2.0]]}, ["residual"]),
    "residual with channels first": (
        {
            "channels_last": True,
            "x": ones(2, 8, 8, 4),
            "weight": ones(5, 4, 3, 3),
            "residual": ones(2, 5, 6, 6),
            "out": None,
        },
        ["residual", "(2, 5, 6, 6)", "(2, 6, 6, 5)"],
    ),
    "out with channels first": (
        {"channels_last": True, "x": ones(2, 8, 8, 4), "weight": ones(5, 4, 3, 3), "out": ones(2, 5, 6, 6)},
        ["out", "(2, 5, 6, 6)", "(2, 6, 6, 5)"],
    ),
    "channels": (
        {"channels_last": True, "x": ones(2, 8, 8, 5)},
        ["weight has 4 input channels", "x has 5 channels", "groups=1"],
    ),
    "channels first all the same": (
        {"channels_last": True},
        ["x has 8 channels", "x.shape = (2, 4, 8, 8) looks like (N, C, H, W): leave out channels_last"],
    ),
    "one image with channels first": (
        {"channels_last": True, "x": ones(4, 8, 9)},
        ["x has 9 channels", "x.shape = (4, 8, 9) looks like (C, H, W): leave out channels_last"],
    ),
    "groups of the last axis": (
        {"channels_last": True, "x": ones(2, 8, 8, 4), "weight": ones(6, 2, 3, 3), "groups": 3},
        ["x has 4 channels", "groups=3"],
    ),
    "x of no axes": ({"channels_last": True, "x": np.float32(1)}, ["x.shape = ()"]),
    "x of one axis": ({"channels_last": True, "x": ones(4)}, ["x.shape = (4,)"]),
    "x of five axes": ({"channels_last": True, "x": ones(1, 2, 8, 9, 4)}, ["x.shape = (1, 2, 8, 9, 4)"]),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values(case):
    changes, fragments = BAD_VALUES[case]
    check(ValueError, fragments, changes)


def test_a_slope_beyond_float64():
    check(OverflowError, ["activation leaky_relu: slope = 1000"], {"activation": ("leaky_relu", 10**400)})


BAD_TYPES = {
    "channels_last 1": ({"channels_last": 1}, ["channels_last", "True or False", "1"]),
    "channels_last 0": ({"channels_last": 0}, ["channels_last", "0"]),
    "channels_last None": ({"channels_last": None}, ["channels_last", "None"]),
    "channels_last as text": ({"channels_last": "NHWC"}, ["channels_last", "'NHWC'"]),
    "activation True": ({"activation": True}, ["activation", "True"]),
    "activation that is a function": ({"activation": np.tanh}, ["activation", "tanh"]),
    "a set of activations": ({"activation": {"relu"}}, ["activation", "{'relu'}"]),
    "no activation in a tuple": ({"activation": ()}, ["activation", "()"]),
    "clip to text": ({"activation": ("clip", "0", 1)}, ["activation", "low", "'0'"]),
    "clip to None": ({"activation": ("clip", 0, None)}, ["activation", "high", "None"]),
    "clip to True": ({"activation": ("clip", 0, True)}, ["activation", "high", "True"]),
    "leaky_relu of text": ({"activation": ("leaky_relu", "0.1")}, ["activation", "slope", "'0.1'"]),
    "leaky_relu of True": ({"activation": ("leaky_relu", True)}, ["activation", "slope", "True"]),
    "clip to an array": ({"activation": ("clip", np.zeros(6), 1)}, ["activation", "low"]),
    "long double residual": (
        {"residual": ones(2, 6, 6, 6, dtype=np.longdouble)},
        ["residual", "residual.astype(np.float64)"],
    ),
    "residual of objects": ({"residual": np.full((2, 6, 6, 6), None)}, ["residual", "object"]),
    "masked residual": ({"residual": np.ma.masked_less(ones(2, 6, 6, 6), 0)}, ["residual", "mask"]),
}


@pytest.mark.parametrize("case", BAD_TYPES)
def test_bad_types(case):
    changes, fragments = BAD_TYPES[case]
    check(TypeError, fragments, changes)


def test_a_residual_that_turns_the_result_into_float64_does_not_fit_out():
    check(ValueError, ["out", "float32", "float64"], {"residual": ones(2, 6, 6, 6, dtype=np.float64)})


def test_a_residual_of_none_is_none():
    call = {"x": ones(2, 4, 8, 8), "weight": ones(6, 4, 3, 3)}
    assert np.array_equal(conv2d(**call, residual=None, activation=None), conv2d(**call))
