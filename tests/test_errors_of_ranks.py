"""Wrong arguments at other ranks than two: what depends on the rank, and what does not."""

import numpy as np
import pytest
from problems import CONV
from test_errors import BAD_TYPES, BAD_VALUES
from wrong_calls import POISON, arrays, check, ones

BAD_VALUES_OF_RANK = {
    1: {
        "stride 0": ({"stride": (0,)}, ["stride", "width", "0"]),
        "stride of 2 items": ({"stride": (1, 1)}, ["stride", "(1, 1)", "1 items (width)"]),
        "padding -1 after": ({"padding": ((0, -1),)}, ["padding", "width", "-1"]),
        "a pair for padding": ({"padding": (1, 2)}, ["padding", "(1, 2)", "a tuple of one pair"]),
        "kernel of width 0": ({"weight": ones(6, 4, 0)}, ["kernel", "width", "0"]),
        "width 0 unpadded": ({"x": ones(2, 4, 0)}, ["does not fit", "output width", "0"]),
        "2 < 3 with stride 2": (
            {"x": ones(2, 4, 2), "stride": 2},
            ["output width = floor((2 + 0 + 0 − 3) / 2) + 1 = 0"],
        ),
        "x of rank 4": ({"x": ones(2, 4, 8, 8)}, ["x.shape = (2, 4, 8, 8)", "(N, C, W)"]),
        "x of rank 1": ({"x": ones(8)}, ["x.shape = (8,)", "x[None]"]),
        "weight of rank 1": ({"weight": ones(3)}, ["weight.shape = (3,)", "groups=channels"]),
        "weight of rank 4": ({"weight": ones(6, 4, 3, 3)}, ["weight.shape = (6, 4, 3, 3)"]),
        "channels last": ({"x": ones(2, 9, 4)}, ["(N, W, C)", "x.transpose(0, 2, 1)"]),
        "weight with its inputs first": ({"weight": ones(4, 6, 3)}, ["(in, out, kw)", "weight.transpose(1, 0, 2)"]),
        "out of wrong shape": ({"out": np.full((2, 6, 7), POISON)}, ["out", "(2, 6, 7)", "(2, 6, 6)"]),
    },
    3: {
        "stride 0 along the depth": ({"stride": (0, 1, 1)}, ["stride", "depth", "0"]),
        "stride of 2 items": ({"stride": (1, 1)}, ["stride", "(1, 1)", "3 items (depth, height, width)"]),
        "padding -1 before": ({"padding": ((-1, 0), (0, 0), (0, 0))}, ["padding", "depth", "-1"]),
        "kernel of depth 0": ({"weight": ones(6, 4, 0, 3, 3)}, ["kernel", "depth", "0"]),
        "kernel deeper than the input": (
            {"weight": ones(6, 4, 9, 3, 3)},
            ["kernel (9 × 3 × 3) does not fit the padded input (8 × 8 × 8)", "output depth = floor((8 + 0 + 0 − 9)"],
        ),
        "x of rank 3": ({"x": ones(8, 8, 8)}, ["x.shape = (8, 8, 8)", "x[None]"]),
        "x of rank 6": ({"x": ones(1, 2, 4, 8, 8, 8)}, ["x.shape = (1, 2, 4, 8, 8, 8)", "(N, C, D, H, W)"]),
        "weight of rank 4": ({"weight": ones(4, 3, 3, 3)}, ["weight.shape = (4, 3, 3, 3)", "weight[None]"]),
        "channels last": ({"x": ones(2, 8, 8, 8, 4)}, ["(N, D, H, W, C)", "x.transpose(0, 4, 1, 2, 3)"]),
        "weight with its outputs last": (
            {"weight": ones(3, 3, 3, 4, 6)},
            ["(kd, kh, kw, in, out)", "weight.transpose(4, 3, 0, 1, 2)"],
        ),
        "out of wrong shape": (
            {"out": np.full((2, 6, 6, 6, 7), POISON)},
            ["out", "(2, 6, 6, 6, 7)", "(2, 6, 6, 6, 6)"],
        ),
    },
}


@pytest.mark.parametrize("rank", CONV)
def test_the_base_call_is_valid(rank):
    call = arrays(rank)
    assert CONV[rank](**call) is call["out"]
    assert np.array_equal(call["out"], np.full((2, 6, *[6] * rank), 1 + 4 * 3**rank))


@pytest.mark.parametrize(
    ("rank", "case"), [(rank, case) for rank, cases in BAD_VALUES_OF_RANK.items() for case in cases]
)
def test_bad_values_of_other_ranks(rank, case):
    changes, fragments = BAD_VALUES_OF_RANK[rank][case]
    check(ValueError, fragments, arrays(rank, **changes), rank)


@pytest.mark.parametrize("rank", [1, 3])
def test_bad_scalars_of_other_ranks(rank):
    """Arguments that are the same at every rank, and all that is wrong with them."""
    for exception, cases in ((ValueError, BAD_VALUES), (TypeError, BAD_TYPES)):
        scalars = {
            case: (changes, fragments)
            for case, (changes, fragments) in cases.items()
            if all(type(value) in (int, float, str, bool, type(None)) for value in changes.values())
        }
        assert len(scalars) > 10
        for changes, fragments in scalars.values():
            check(exception, fragments, arrays(rank, **changes), rank)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {"dilation": 2**31, "padding": "same"},
        {"dilation": 2**62},
        {"padding": 2**62},
        {"padding": 2**63 - 1},
        {"stride": 2**70},
        {"padding": 2**40, "out": None},
        {"workspace_limit": 0},
    ],
)
def test_too_large_at_other_ranks(rank, changes):
    check((ValueError, OverflowError, MemoryError), [], arrays(rank, **changes), rank)
