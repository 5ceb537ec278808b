"""Wrong arguments: the right exception, a message that names the argument and the value, and `out` untouched."""

import numpy as np
import oracles
import pytest
from flatconv import conv2d, set_num_threads
from flatconv._arguments import ALGORITHMS
from ml_dtypes import float8_e4m3fn
from wrong_calls import POISON, arrays, check, ones, zero_strides


def test_the_base_call_is_valid():
    call = arrays(2)
    assert conv2d(**call) is call["out"]
    assert np.array_equal(call["out"], np.full((2, 6, 6, 6), 37))


BAD_VALUES = {
    "stride 0": ({"stride": 0}, ["stride", "0"]),
    "stride -1": ({"stride": -1}, ["stride", "-1"]),
    "stride 0 along the width": ({"stride": (1, 0)}, ["stride", "width", "0"]),
    "dilation 0": ({"dilation": 0}, ["dilation", "0"]),
    "dilation -1": ({"dilation": (-1, 1)}, ["dilation", "height", "-1"]),
    "padding -1": ({"padding": -1}, ["padding", "-1"]),
    "padding -1 after": ({"padding": ((0, 0), (0, -1))}, ["padding", "width", "-1"]),
    "groups 0": ({"groups": 0}, ["groups", "0"]),
    "groups -1": ({"groups": -1}, ["groups", "-1"]),
    "input channels and groups": ({"groups": 3, "weight": ones(6, 2, 3, 3)}, ["x has 4 channels", "groups=3"]),
    "output channels and groups": (
        {"groups": 4, "weight": ones(6, 1, 3, 3)},
        ["weight has 6 output channels", "groups=4"],
    ),
    "fewer output channels than groups": (
        {"groups": 4, "weight": ones(2, 1, 3, 3), "bias": ones(2)},
        ["weight has 2 output channels", "groups=4"],
    ),
    "no output channels for two groups": (
        {"groups": 2, "weight": ones(0, 2, 3, 3), "bias": None, "out": None},
        ["weight has 0 output channels", "groups=2"],
    ),
    "channels": ({"weight": ones(6, 3, 3, 3)}, ["weight has 3 input channels", "x has 4 channels", "groups=1"]),
    "no input channels in weight": ({"weight": ones(6, 0, 3, 3)}, ["weight has 0 input channels", "x has 4 channels"]),
    "bias length": ({"bias": ones(5)}, ["bias", "(5,)", "(6,)"]),
    "bias rank": ({"bias": ones(6, 1)}, ["bias", "(6, 1)", "(6,)"]),
    "scalar bias": ({"bias": np.float32(1)}, ["bias", "()", "(6,)"]),
    "x of rank 1": ({"x": ones(8)}, ["x.shape = (8,)"]),
    "x of rank 2": ({"x": ones(8, 8)}, ["x.shape = (8, 8)", "x[None]"]),
    "x of rank 5": ({"x": ones(1, 2, 4, 8, 8)}, ["x.shape = (1, 2, 4, 8, 8)"]),
    "weight of rank 2": ({"weight": ones(3, 3)}, ["weight.shape = (3, 3)", "groups=channels"]),
    "weight of rank 3": ({"weight": ones(4, 3, 3)}, ["weight.shape = (4, 3, 3)", "weight[None]"]),
    "weight of rank 5": ({"weight": ones(6, 4, 1, 3, 3)}, ["weight.shape = (6, 4, 1, 3, 3)"]),
    "stride of 3 items": ({"stride": (1, 1, 1)}, ["stride", "(1, 1, 1)", "2 items (height, width)"]),
    "stride of 1 item": ({"stride": (1,)}, ["stride", "(1,)", "2 items (height, width)"]),
    "no dilation": ({"dilation": ()}, ["dilation", "()"]),
    "empty padding": ({"padding": ()}, ["padding", "()"]),
    "padding of 4 items": ({"padding": (1, 1, 1, 1)}, ["padding", "(1, 1, 1, 1)"]),
    "padding of triples": ({"padding": ((1, 1, 1), (1, 1, 1))}, ["padding[0]", "(1, 1, 1)", "before, after"]),
    "kernel of height 0": ({"weight": ones(6, 4, 0, 3)}, ["kernel", "height", "0"]),
    "kernel of width 0": ({"weight": ones(6, 4, 3, 0)}, ["kernel", "width", "0"]),
    "kernel larger than the input": (
        {"weight": ones(6, 4, 9, 3)},
        ["kernel (9 × 3) does not fit the padded input (8 × 8)", "output height = floor((8 + 0 + 0 − 9) / 1) + 1 = 0"],
    ),
    "dilated kernel larger than the padded input": (
        {"x": ones(2, 4, 6, 6), "weight": ones(6, 4, 5, 5), "dilation": 2, "padding": 1},
        [
            "kernel (5 × 5, dilation 2 → extent 9 × 9) does not fit the padded input (8 × 8)",
            "output height = floor((6 + 1 + 1 − 9) / 1) + 1 = 0",
            "padding ≥ 2",
            "smaller dilation",
        ],
    ),
    # 2 - 3 is -1, and division that truncates makes -1 / 2 + 1 = 1 position of it.
    "2 < 3 with stride 2": (
        {"x": ones(2, 4, 2, 8), "stride": 2},
        ["output height = floor((2 + 0 + 0 − 3) / 2) + 1 = 0"],
    ),
    "height 0 unpadded": ({"x": ones(2, 4, 0, 8)}, ["does not fit", "output height", "0"]),
    "width 0 to reflect": (
        {"x": ones(2, 4, 8, 0), "padding": 2, "padding_mode": "reflect"},
        ["width", "0", "padding_mode"],
    ),
    "unknown padding": ({"padding": "sane"}, ["padding", "'sane'", '"valid"', '"same"', '"same_lower"', '"full"']),
    "unknown padding mode": ({"padding_mode": "zero"}, ["padding_mode", "'zero'", '"zeros"', '"reflect"']),
    "unknown algorithm": ({"algorithm": "fft"}, ["algorithm", "'fft'", '"auto"', '"reference"', '"im2col"']),
    "out of wrong shape": ({"out": np.full((2, 6, 6, 7), POISON)}, ["out", "(2, 6, 6, 7)", "(2, 6, 6, 6)"]),
    "out of wrong rank": ({"out": np.full((6, 6, 6), POISON)}, ["out", "(6, 6, 6)", "(2, 6, 6, 6)"]),
    "out of another dtype": ({"out": np.full((2, 6, 6, 6), np.nan)}, ["out", "float64", "float32"]),
    "out in the other byte order": ({"out": np.full((2, 6, 6, 6), POISON, ">f4")}, ["out", ">f4", "float32"]),
    "read-only out": ({"out": np.broadcast_to(POISON, (2, 6, 6, 6))}, ["out", "read-only"]),
    "out in one place": (
        {"out": np.lib.stride_tricks.as_strided(np.full((6, 6), POISON), (2, 6, 6, 6), (0, 0, 24, 4))},
        ["out", "share memory", "(2, 6, 6, 6)", "(0, 0, 24, 4)"],
    ),
    "threads 0": ({"threads": 0}, ["threads", "0"]),
    "threads -1": ({"threads": -1}, ["threads", "-1"]),
    "workspace_limit -1": ({"workspace_limit": -1}, ["workspace_limit", "-1"]),
    "ragged list": ({"x": [[1.0, 2.0], [3.0]]}, ["x"]),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_values(case):
    changes, fragments = BAD_VALUES[case]
    check(ValueError, fragments, arrays(2, **changes))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bad_values_for_every_algorithm(algorithm):
    for case in ("stride 0", "groups 0", "kernel larger than the input", "out of wrong shape"):
        changes, fragments = BAD_VALUES[case]
        check(ValueError, fragments, arrays(2, **changes, algorithm=algorithm))


BAD_TYPES = {
    "stride 1.5": ({"stride": 1.5}, ["stride", "1.5"]),
    "stride nan": ({"stride": float("nan")}, ["stride", "nan"]),
    "stride 2.0 along the width": ({"stride": (1, 2.0)}, ["stride[1]", "2.0"]),
    "stride None": ({"stride": None}, ["stride", "None"]),
    "stride True": ({"stride": True}, ["stride", "True"]),
    "stride as text": ({"stride": "1"}, ["stride", "'1'"]),
    "a set of strides": ({"stride": {1, 2}}, ["stride", "{1, 2}"]),
    "a dictionary of dilations": ({"dilation": {1: 1, 2: 2}}, ["dilation", "{1: 1, 2: 2}"]),
    "a set of padding": ({"padding": frozenset((1, 2))}, ["padding", "frozenset"]),
    "padding with a set before and after": ({"padding": ((1, 1), {1, 2})}, ["padding[1]", "{1, 2}"]),
    "padding with text before and after": ({"padding": ("11", 1)}, ["padding[0]", "'11'"]),
    "dilation 1.5": ({"dilation": 1.5}, ["dilation", "1.5"]),
    "padding 0.5": ({"padding": 0.5}, ["padding", "0.5"]),
    "padding nan": ({"padding": (0, float("nan"))}, ["padding[1]", "nan"]),
    "padding of half an element": ({"padding": ((0, 0), (0, 0.5))}, ["padding[1][1]", "0.5"]),
    "groups 1.0": ({"groups": 1.0}, ["groups", "1.0"]),
    "groups of two": ({"groups": (1, 1)}, ["groups", "(1, 1)"]),
    "threads 1.5": ({"threads": 1.5}, ["threads", "1.5"]),
    "workspace_limit as text": ({"workspace_limit": "1 MiB"}, ["workspace_limit", "'1 MiB'"]),
    "padding_mode None": ({"padding_mode": None}, ["padding_mode", "None"]),
    "padding_mode that is an array": ({"padding_mode": np.arange(2)}, ["padding_mode", "array([0, 1])"]),
    "algorithm None": ({"algorithm": None}, ["algorithm", "None"]),
    "algorithm that is an array": ({"algorithm": np.arange(2)}, ["algorithm", "array([0, 1])"]),
    "x None": ({"x": None}, ["x", "None"]),
    "weight None": ({"weight": None}, ["weight", "None"]),
    "x of objects": ({"x": np.full((2, 4, 8, 8), None)}, ["x", "object"]),
    "weight of objects": ({"weight": np.full((6, 4, 3, 3), 1, object)}, ["weight", "object"]),
    "x of strings": ({"x": np.full((2, 4, 8, 8), "1")}, ["x", "<U1"]),
    "bias of dates": ({"bias": np.zeros(6, "datetime64[s]")}, ["bias", "datetime64"]),
    "x of durations": ({"x": np.zeros((2, 4, 8, 8), "timedelta64[s]")}, ["x", "timedelta64"]),
    "x of records": ({"x": np.zeros((2, 4, 8, 8), "f4,f4")}, ["x"]),
    "eight bits": ({"x": ones(2, 4, 8, 8, dtype=float8_e4m3fn)}, ["x has dtype float8_e4m3fn", "x.astype(np.float32)"]),
    "integers": (
        {"x": ones(2, 4, 8, 8, dtype=np.uint8), "weight": ones(6, 4, 3, 3, dtype=np.int8), "bias": None},
        ["x (uint8)", "weight (int8)", "weight.astype(np.float32)"],
    ),
    "long integers": (
        {"x": ones(2, 4, 8, 8, dtype=int), "weight": ones(6, 4, 3, 3, dtype=int), "bias": None},
        ["x (int64)", "weight.astype(np.float64)"],
    ),
    "long complex x": ({"x": ones(2, 4, 8, 8, dtype=np.clongdouble)}, [": pass x.astype(np.complex128)"]),
    "long double and complex": (
        {"x": ones(2, 4, 8, 8, dtype=np.longdouble), "weight": ones(6, 4, 3, 3, dtype=np.complex64)},
        ["weight (complex64)", ": pass x.astype(np.float64)"],
    ),
    "long double and long complex": (
        {"x": ones(2, 4, 8, 8, dtype=np.longdouble), "weight": ones(6, 4, 3, 3, dtype=np.clongdouble)},
        [": pass x.astype(np.float64) and weight.astype(np.complex128)"],
    ),
    "long double": ({"x": ones(2, 4, 8, 8, dtype=np.longdouble)}, ["x", ": pass x.astype(np.float64)"]),
    "long double in the other byte order": (
        {"weight": ones(6, 4, 3, 3, dtype=np.dtype(np.longdouble).newbyteorder())},
        [": pass weight.astype(np.float64)"],
    ),
    "masked x": ({"x": np.ma.masked_less(ones(2, 4, 8, 8), 0)}, ["x", "mask", "x.filled"]),
    "masked weight": ({"weight": np.ma.masked_less(ones(6, 4, 3, 3), 0)}, ["weight", "mask"]),
    "masked out": ({"out": np.ma.masked_less(ones(2, 6, 6, 6), 0)}, ["out is a masked array", "lost; pass out.data"]),
    "out that is a list": ({"out": [0.0]}, ["out", "list"]),
    "unknown keyword": ({"activate": "relu"}, ["activate"]),
}


@pytest.mark.parametrize("case", BAD_TYPES)
def test_bad_types(case):
    changes, fragments = BAD_TYPES[case]
    check(TypeError, fragments, arrays(2, **changes))


TOO_LARGE = {
    "dilation 2**31 with same": {"dilation": 2**31, "padding": "same"},
    "dilation 2**62": {"dilation": 2**62},
    "padding 2**62": {"padding": 2**62},
    "padding 2**63 - 1": {"padding": 2**63 - 1},
    "kernel of 2**32 elements": {"weight": zero_strides(6, 4, 2**16, 2**16)},
    "kernel of height 2**32": {"weight": zero_strides(6, 4, 2**32, 1)},
    "output of more than 2**63 elements": {"padding": 2**33, "x": zero_strides(2, 4, 8, 8)},
    "output of 2**54 bytes": {
        "x": zero_strides(1, 4, 2**25, 2**25),
        "weight": ones(1, 4, 1, 1),
        "bias": None,
        "out": None,
    },
    "stride 2**70": {"stride": 2**70},
    "stride -2**70": {"stride": (1, -(2**70))},
    "dilation 2**70": {"dilation": 2**70},
    "padding 2**70": {"padding": ((0, 2**70), (0, 0))},
    "groups 2**70": {"groups": 2**70},
    "threads 2**31": {"threads": 2**31},
    "threads 2**70": {"threads": 2**70},
    "workspace_limit 0": {"workspace_limit": 0},
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", TOO_LARGE)
def test_too_large(case):
    check((ValueError, OverflowError, MemoryError), [], arrays(2, **TOO_LARGE[case]))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["stride", "dilation", "padding", "groups"])
def test_more_than_64_bits_names_argument_and_value(name):
    check(OverflowError, [name, str(2**70)], arrays(2, **{name: 2**70}))


LIKELY_FIXES = {
    "HWIO": ((1, 64, 56, 56), (3, 3, 64, 128), 1, ["(kh, kw, in, out)", "weight.transpose(3, 2, 0, 1)"]),
    "HWIO unbatched": ((3, 56, 56), (7, 7, 3, 64), 1, ["(kh, kw, in, out)", "weight.transpose(3, 2, 0, 1)"]),
    "OHWI": ((1, 3, 56, 56), (64, 7, 7, 3), 1, ["(out, kh, kw, in)", "weight.transpose(0, 3, 1, 2)"]),
    "IOHW": ((1, 3, 56, 56), (3, 64, 7, 7), 1, ["(in, out, kh, kw)", "weight.transpose(1, 0, 2, 3)"]),
    "NHWC": ((1, 56, 56, 3), (64, 3, 7, 7), 1, ["(N, H, W, C)", "x.transpose(0, 3, 1, 2)"]),
    "HWC": ((56, 56, 3), (64, 3, 7, 7), 1, ["(H, W, C)", "x.transpose(2, 0, 1)"]),
    "NHWC and HWIO": (
        (1, 56, 57, 16),
        (3, 3, 16, 32),
        1,
        ["x.transpose(0, 3, 1, 2)", "weight.transpose(3, 2, 0, 1)"],
    ),
    "depthwise": ((1, 32, 20, 20), (32, 1, 3, 3), 1, ["groups=32"]),
    "no groups": ((1, 4, 20, 8), (6, 4, 3, 3), 2, ["Leave out groups", "all 4 channels"]),
    # (out, kh, kw, in) would fit, with a kernel of 4×3.
    "as many channels as kernel columns": ((1, 3, 20, 20), (6, 4, 3, 3), 1, ["(6, 4, 3, 3) means (out, in / groups"]),
    # (kh, kw, in, out) and others would fit, but for a kernel without width or a layer without channels.
    "no channels": ((1, 3, 20, 20), (4, 0, 3, 3), 1, ["weight.shape = (4, 0, 3, 3) means (out, in / groups, kh, kw)"]),
    "no width": ((1, 3, 20, 20), (3, 0, 3, 4), 1, ["(3, 0, 3, 4) means (out, in / groups, kh, kw)"]),
    "no outputs": ((1, 3, 20, 20), (5, 5, 3, 0), 1, ["(5, 5, 3, 0) means (out, in / groups, kh, kw)"]),
    "nothing known": ((1, 5, 20, 20), (7, 3, 3, 3), 1, ["weight has 3 input channels", "x has 5 channels"]),
}


@pytest.mark.parametrize("case", LIKELY_FIXES)
def test_likely_fixes_of_channels(case):
    x_shape, weight_shape, groups, fragments = LIKELY_FIXES[case]
    check(ValueError, fragments, {"x": ones(*x_shape), "weight": ones(*weight_shape), "groups": groups})


@pytest.mark.parametrize("case", ["HWIO", "HWIO unbatched", "OHWI", "IOHW", "NHWC", "HWC", "NHWC and HWIO"])
def test_likely_fixes_work(case):
    x_shape, weight_shape, _, fragments = LIKELY_FIXES[case]
    x, weight = ones(*x_shape), ones(*weight_shape)
    for fragment in fragments:
        if fragment.startswith("x."):
            x = eval(fragment, {"x": x})
        elif fragment.startswith("weight."):
            weight = eval(fragment, {"weight": weight})
    y = conv2d(x, weight)
    assert np.array_equal(y, np.full(y.shape, weight[0].size))


def test_plain_bias_is_a_scalar():
    with pytest.raises(ValueError, match=r"bias must be a scalar.*\(1,\)"):
        conv2d(ones(5, 5), ones(3, 3), ones(1))


def test_a_colour_image_with_one_kernel_says_how():
    with pytest.raises(ValueError, match=r"x\[:, None\] and weight\[None, None\]"):
        conv2d(ones(3, 8, 8), ones(3, 3))
    assert conv2d(ones(3, 8, 8)[:, None], ones(3, 3)[None, None]).shape == (3, 1, 6, 6)


@pytest.mark.parametrize(
    ("exception", "threads"), [(ValueError, 0), (ValueError, -1), (TypeError, 1.5), (TypeError, "2")]
)
def test_set_num_threads(exception, threads):
    with pytest.raises(exception, match="threads"):
        set_num_threads(threads)


def test_errors_leave_the_library_working():
    for changes, _ in BAD_VALUES.values():
        with pytest.raises(ValueError):  # noqa: PT011 (the messages are tested above)
            conv2d(**arrays(2, **changes))
    oracles.assert_same_bits(conv2d(**arrays(2)), np.full((2, 6, 6, 6), 37, np.float32))
