"""Convolutions of bytes, against the definition in NumPy's 64-bit integers, exactly."""

import itertools

import numpy as np
import pytest
from flatconv import conv_integer, qlinear_conv
from hypothesis import given
from hypothesis import strategies as st
from layouts import READABLE, WRITABLE

TYPES = (np.int8, np.uint8)


def sums(x, weight, x_zero, weight_zero, stride, padding, dilation, groups):
    """The definition: (N, C_out, *output) in int64, from arrays with a batch."""
    x = np.pad(
        x.astype(np.int64) - int(x_zero), [(0, 0), (0, 0), *padding]
    )  # what is padded with the zero point is 0 now
    weight_zero = np.broadcast_to(np.asarray(weight_zero, np.int64), weight.shape[:1])
    weight = weight.astype(np.int64) - weight_zero.reshape(-1, *[1] * (weight.ndim - 1))
    kernel = weight.shape[2:]
    output = [
        (size - d * (k - 1) - 1) // s + 1 for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    out_channels, in_channels = weight.shape[0] // groups, weight.shape[1]
    y = np.zeros((x.shape[0], weight.shape[0], *output), np.int64)
    for taps in itertools.product(*map(range, kernel)):
        window = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(taps, dilation, output, stride, strict=True)
        )
        seen = x[(slice(None), slice(None), *window)]
        for g in range(groups):
            rows = slice(g * out_channels, (g + 1) * out_channels)
            channels = slice(g * in_channels, (g + 1) * in_channels)
            y[:, rows] += np.einsum("nc...,oc->no...", seen[:, channels], weight[(rows, slice(None), *taps)])
    return y


def wrapped(y):
    return (y & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def requantized(y, x_scale, weight_scale, y_scale, y_zero, dtype, bias=None):
    """Float32 arithmetic, as the documentation spells it out."""
    ones = [1] * (y.ndim - 2)
    if bias is not None:
        y = y + np.asarray(bias, np.int64).reshape(-1, *ones)
    weight_scale = np.broadcast_to(np.asarray(weight_scale, np.float32), y.shape[1:2])
    scale = np.float32(x_scale) * weight_scale / np.float32(y_scale)
    scaled = wrapped(y).astype(np.float32) * scale.reshape(-1, *ones)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(scaled).astype(np.float64) + y_zero, limits.min, limits.max).astype(dtype)


def numbers(rng, dtype, shape):
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@st.composite
def calls(draw):
    """Sizes and types of a call; the numbers come from a seed."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    most = {1: 40, 2: 12, 3: 5}[rank]
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilation = [draw(st.integers(1, 3)) for _ in range(rank)]
    padding = [(draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(rank)]
    size = [
        draw(st.integers(max(0, d * (k - 1) + 1 - sum(p)), most))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
        if d * (k - 1) + 1 - sum(p) <= most
    ]
    if len(size) < rank:
        size, kernel = [most] * rank, [1] * rank
    return {
        "groups": groups,
        "x": (draw(st.integers(1, 3)), groups * draw(st.integers(1, 11)), *size),
        "out_channels": groups * draw(st.integers(1, 33 if groups == 1 else 7)),
        "kernel": kernel,
        "stride": [draw(st.integers(1, 3)) for _ in range(rank)],
        "padding": padding,
        "dilation": dilation,
        "x_type": draw(st.sampled_from(TYPES)),
        "weight_type": draw(st.sampled_from(TYPES)),
        "zero_points": draw(st.sampled_from(["none", "x", "scalar", "channels", "symmetric"])),
        "x_layout": draw(st.sampled_from(sorted(READABLE))),
        "weight_layout": draw(st.sampled_from(sorted(READABLE))),
        "out_layout": draw(st.sampled_from([None, *sorted(WRITABLE)])),
        "channels_last": draw(st.booleans()),
        "threads": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def operands(call):
    """Arrays, zero points, geometry, and the exact sums."""
    rng = np.random.default_rng(call["seed"])
    x = READABLE[call["x_layout"]](numbers(rng, call["x_type"], call["x"]))
    weight_shape = (call["out_channels"], call["x"][1] // call["groups"], *call["kernel"])
    weight = READABLE[call["weight_layout"]](numbers(rng, call["weight_type"], weight_shape))
    zero_points = {
        "none": (None, None),
        "x": (numbers(rng, call["x_type"], ()), None),
        "scalar": (int(numbers(rng, call["x_type"], ())), int(numbers(rng, call["weight_type"], ()))),
        "channels": (None, numbers(rng, call["weight_type"], call["out_channels"])),
        "symmetric": (128 if call["x_type"] is np.uint8 else 0, 128 if call["weight_type"] is np.uint8 else 0),
    }[call["zero_points"]]
    geometry = {name: call[name] for name in ("stride", "padding", "dilation", "groups")}
    x_zero, weight_zero = (0 if zero is None else zero for zero in zero_points)
    return x, weight, zero_points, geometry, sums(np.asarray(x), np.asarray(weight), x_zero, weight_zero, **geometry)


def placed(call, function, x, expected, **options):
    """The call in the layouts that were drawn, with the result in channels first."""
    last = call["channels_last"]
    options |= {"threads": call["threads"], "channels_last": last}
    shape = np.moveaxis(expected, 1, -1).shape if last else expected.shape
    if call["out_layout"]:
        options["out"] = WRITABLE[call["out_layout"]](np.zeros(shape, expected.dtype))
    y = function(np.moveaxis(x, 1, -1) if last else x, **options)
    assert options.get("out", y) is y
    assert y.dtype == expected.dtype
    return np.moveaxis(y, -1, 1) if last else y


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)])
def test_channels_each_for_itself(isa, split_work, rng, size, stride):
    """Every edge of the image, and bytes of every kind."""
    types = itertools.cycle(itertools.product(TYPES, TYPES, TYPES))
    for rows, cols in ((1, 1), (2, 3), (9, 15), (40, 16), (10, 17), (35, 67), (6, 200)):
        for before, after in ((0, 0), (1, 1), (3, 3), (0, 5), (2, 9)):
            if min(rows, cols) + before + after < size:
                continue
            x_type, weight_type, y_type = next(types)
            x, weight = numbers(rng, x_type, (2, 3, rows, cols)), numbers(rng, weight_type, (3, 1, size, size))
            x_zero, y_zero = numbers(rng, x_type, ()), numbers(rng, y_type, ())
            weight_zero = np.array(0 if weight_type is np.int8 else 128, weight_type)
            pads = ((before, after), (after, before))
            exact = sums(x, weight, x_zero, weight_zero, (stride, stride), pads, (1, 1), 3)
            geometry = {"stride": stride, "padding": pads, "groups": 3}
            for threads in (1, 3):
                y = conv_integer(
                    x, weight, x_zero_point=x_zero, weight_zero_point=weight_zero, threads=threads, **geometry
                )
                np.testing.assert_array_equal(y, wrapped(exact))
                bias = rng.integers(-(2**31), 2**31, 3, np.int32)
                scales = rng.uniform(1e-3, 1e-2, 3).astype(np.float32)
                y = qlinear_conv(
                    x, 0.1, x_zero, weight, scales, weight_zero, 0.5, y_zero, bias, threads=threads, **geometry
                )
                np.testing.assert_array_equal(y, requantized(exact, 0.1, scales, 0.5, y_zero, y_type, bias))


@given(call=calls())
def test_sums_are_exact(every_isa, split_work, call):
    x, weight, (x_zero, weight_zero), geometry, exact = operands(call)
    expected = wrapped(exact)
    y = placed(
        call,
        lambda x, **options: conv_integer(
            x, weight, x_zero_point=x_zero, weight_zero_point=weight_zero, **geometry, **options
        ),
        x,
        expected,
    )
    np.testing.assert_array_equal(y, expected)


@given(call=calls(), scales=st.integers(0, 2**32 - 1), y_type=st.sampled_from(TYPES))
def test_bytes_are_those_of_the_definition(every_isa, split_work, call, scales, y_type):
    x, weight, (x_zero, weight_zero), geometry, exact = operands(call)
    rng = np.random.default_rng(scales)
    channels = weight.shape[0]
    weight_scale = rng.choice([0.25, np.float32(rng.uniform(0.001, 2))], channels) if scales % 2 else np.float32(0.5)
    bias = rng.integers(-5000, 5000, channels, np.int32) if scales % 3 else None
    # Results of every size, and with powers of two many that lie between two integers.
    x_scale, y_scale = rng.choice([0.5, rng.uniform(0.01, 1)]), 2.0 ** rng.integers(0, 12)
    y_zero = numbers(rng, y_type, ())
    expected = requantized(exact, x_scale, weight_scale, y_scale, int(y_zero), y_type, bias)
    y = placed(
        call,
        lambda x, **options: qlinear_conv(
            x, x_scale, x_zero, weight, weight_scale, weight_zero, y_scale, y_zero, bias, **geometry, **options
        ),
        x,
        expected,
    )
    np.testing.assert_array_equal(y, expected)


# ----------------------------------------------------------------------------------------------------------------------
# Cases that single out one thing


def test_the_largest_products_do_not_saturate(every_isa):
    x = np.full((1, 64, 20), 255, np.uint8)
    weight = np.full((33, 64, 3), 127, np.int8)
    assert set(np.unique(conv_integer(x, weight))) == {255 * 127 * 64 * 3}
    assert conv_integer(x[:, :2, :1], weight[:1, :2, :1]).item() == 64770
    lowest = np.full_like(weight, -128)
    assert set(np.unique(conv_integer(x, lowest))) == {-255 * 128 * 64 * 3}
    assert set(np.unique(conv_integer(x, lowest, weight_zero_point=127))) == {-255 * 255 * 64 * 3}


def test_sums_wrap(every_isa):
    x = np.full((1, 40_000, 1), 255, np.uint8)
    weight = np.full((1, 40_000, 1), 255, np.uint8)
    assert conv_integer(x, weight).item() == 255 * 255 * 40_000 - 2**32


def test_depth_of_many_blocks(every_isa, rng):
    x, weight = numbers(rng, np.int8, (2, 700, 9, 9)), numbers(rng, np.uint8, (20, 700, 3, 3))
    geometry = {"stride": [1, 1], "padding": [(1, 1), (1, 1)], "dilation": [1, 1], "groups": 1}
    expected = wrapped(sums(x, weight, -3, 77, **geometry))
    np.testing.assert_array_equal(conv_integer(x, weight, x_zero_point=-3, weight_zero_point=77, padding=1), expected)


@pytest.mark.parametrize(("number", "rounded"), [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2)])
def test_halves_round_to_even(every_isa, number, rounded):
    x, weight = np.full((1, 1, 40), number, np.int8), np.ones((1, 1, 1), np.int8)
    assert set(np.unique(qlinear_conv(x, 1, 0, weight, 1, 0, 2, 0))) == {rounded}


@pytest.mark.parametrize("dtype", TYPES)
def test_bytes_saturate(every_isa, dtype):
    x, weight = np.full((1, 1, 40), 255, np.uint8), np.array([[[127]], [[-128]]], np.int8)
    y = qlinear_conv(x, 1, 0, weight, 3e30, 0, 1, dtype(5))
    assert set(np.unique(y[:, 0])) == {np.iinfo(dtype).max}
    assert set(np.unique(y[:, 1])) == {np.iinfo(dtype).min}


def test_empty_and_trivial():
    assert conv_integer(np.ones((0, 3, 5), np.int8), np.ones((2, 3, 3), np.int8)).shape == (0, 2, 3)
    assert conv_integer(np.ones((1, 3, 5), np.int8), np.ones((0, 3, 3), np.int8)).shape == (1, 0, 3)
    nothing = conv_integer(np.ones((1, 0, 5), np.int8), np.ones((2, 0, 3), np.int8), x_zero_point=3)
    assert nothing.tolist() == [[[0, 0, 0]] * 2]
    assert conv_integer(np.ones((2, 5), np.int8), np.ones((3, 2, 3), np.int8)).tolist() == [[6] * 3] * 3
    y = qlinear_conv(np.ones((1, 0, 5), np.int8), 1, 0, np.ones((2, 0, 3), np.int8), 1, 0, 1, 7, np.array([1, -2]))
    assert y.tolist() == [[[8] * 3, [5] * 3]]


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("zero_points", ["one", "each"])
@pytest.mark.parametrize("name", ["x", "weight", "weight_scale", "weight_zero_point", "bias"])
@pytest.mark.parametrize("function", [conv_integer, qlinear_conv])
def test_out_may_overlap_any_array(rng, function, name, zero_points, groups):
    call = {
        "x": numbers(rng, np.uint8, (1, 8, 60, 60)),
        "weight": numbers(rng, np.int8, (8, 8 // groups, 3, 3)),
        "weight_zero_point": rng.integers(-128, 128, 8, np.int32) if zero_points == "each" else 0,
    }
    if function is qlinear_conv:
        call |= {"x_scale": 0.1, "x_zero_point": 3, "y_scale": 1.0, "y_zero_point": 0}
        call |= {"weight_scale": np.linspace(0.001, 0.01, 8, dtype=np.float32)}
        call |= {"bias": rng.integers(-5000, 5000, 8, np.int32)}
    if not isinstance(call.get(name), np.ndarray):
        pytest.skip("no array of this call")
    expected = function(**call, groups=groups, padding=1)
    for end in ("first", "last"):
        memory = np.zeros(expected.nbytes, np.uint8)
        given = call[name]
        part = memory[: given.nbytes] if end == "first" else memory[memory.size - given.nbytes :]
        part[:] = given.reshape(-1).view(np.uint8)
        overlapping = call | {name: part.view(given.dtype).reshape(given.shape)}
        out = memory.view(expected.dtype).reshape(expected.shape)
        assert function(**overlapping, groups=groups, padding=1, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_a_workspace_limit_is_kept_and_changes_nothing(rng):
    x, weight = numbers(rng, np.int8, (1, 16, 40, 40)), numbers(rng, np.int8, (8, 16, 3, 3))
    expected = conv_integer(x, weight)
    np.testing.assert_array_equal(conv_integer(x, weight, workspace_limit=64_000, threads=2), expected)
    with pytest.raises(MemoryError, match="workspace_limit of 100 bytes is too small: this convolution needs"):
        conv_integer(x, weight, workspace_limit=100)


# ----------------------------------------------------------------------------------------------------------------------
# Errors


def ones(*shape, dtype=np.uint8):
    return np.ones(shape, dtype)


VALID = {
    "x": ones(1, 4, 8),
    "x_scale": 1.0,
    "x_zero_point": 0,
    "weight": ones(6, 4, 3),
    "weight_scale": 1.0,
    "weight_zero_point": 0,
    "y_scale": 1.0,
    "y_zero_point": 0,
    "bias": ones(6, dtype=np.int32),
}


@pytest.mark.parametrize(
    ("exception", "message", "changes"),
    [
        (TypeError, "x must be int8 or uint8, got float32", {"x": ones(1, 4, 8, dtype=np.float32)}),
        (TypeError, "x must be an array, got None", {"x": None}),
        (TypeError, "weight must be int8 or uint8, got int32", {"weight": ones(6, 4, 3, dtype=np.int32)}),
        (ValueError, "weight has 3 input channels per group but x has 4", {"weight": ones(6, 3, 3)}),
        (ValueError, "do not go together", {"weight": ones(6, 4)}),
        (ValueError, r"\(C, W\) with weight \(out, in, kw\)\. For one channel, pass x\[None\]", {"x": ones(8)}),
        (ValueError, r"pass x\[None\] and weight\[None, None\]", {"x": ones(8), "weight": ones(3)}),
        (ValueError, r"\(out, in, kh, kw\)\. For one channel", {"x": ones(8, 8), "weight": ones(3, 3)}),
        (ValueError, "x_zero_point must be a number of uint8, from 0 to 255, got -1", {"x_zero_point": -1}),
        (ValueError, "weight_zero_point must be a number of uint8, from 0 to 255, got 256", {"weight_zero_point": 256}),
        (ValueError, r"weight_zero_point\[2\] must be .* got 256", {"weight_zero_point": [0, 1, 256, 0, 0, 0]}),
        (ValueError, r"weight_zero_point must be one number or have shape \(6,\)", {"weight_zero_point": [1, 2]}),
        (TypeError, "x_zero_point must be integers, got float64", {"x_zero_point": 0.5}),
        (ValueError, "x_zero_point must be one number", {"x_zero_point": [1, 2]}),
        (OverflowError, "x_zero_point = 4294967296 does not fit in 32 bits", {"x_zero_point": 2**32}),
        (OverflowError, f"weight_zero_point = {10**30} does not fit in 64 bits", {"weight_zero_point": [1, 10**30]}),
        (ValueError, "x_scale must be a positive number, got 0", {"x_scale": 0}),
        (ValueError, "y_scale must be a positive number, got nan", {"y_scale": np.nan}),
        (ValueError, r"x_scale must be a positive number, got 1e\+300, which .* inf", {"x_scale": 1e300}),
        (ValueError, "y_scale must be a positive number, got 1e-50, which float32 rounds to 0", {"y_scale": 1e-50}),
        (ValueError, r"weight_scale\[0\] must be a positive number, got -1e-30$", {"weight_scale": [-1e-30] * 6}),
        (ValueError, r"weight_scale\[2\] must be a positive number, got -1", {"weight_scale": [1, 1, -1, 1, 1, 1]}),
        (ValueError, "overflows in output channel 0", {"weight_scale": 3e38, "y_scale": 1e-30}),
        (ValueError, "y_zero_point must be a number of uint8, from 0 to 255, got 300", {"y_zero_point": 300}),
        (TypeError, "y_zero_point has dtype int32", {"y_zero_point": np.int32(0)}),
        (ValueError, r"bias must have shape \(6,\)", {"bias": 1}),
        (TypeError, "bias must be integers", {"bias": np.ones(6)}),
        (ValueError, "stride", {"stride": 0}),
        (ValueError, "groups=3 does not divide", {"groups": 3}),
        (ValueError, "does not fit", {"x": ones(1, 4, 2)}),
        (ValueError, "out must have the dtype of the result, uint8, got int32", {"out": np.zeros((1, 6, 6), np.int32)}),
        (ValueError, "out has shape", {"out": np.zeros((1, 6, 5), np.uint8)}),
        (ValueError, "threads must be at least 1", {"threads": 0}),
    ],
)  # fmt: skip
def test_bad_calls(exception, message, changes):
    changes = {"out": np.full((1, 6, 6), 77, np.uint8)} | changes
    with pytest.raises(exception, match=message):
        qlinear_conv(**VALID | changes)
    if isinstance(out := changes.get("out"), np.ndarray):
        assert set(np.unique(out)) in ({77}, {0})


# ----------------------------------------------------------------------------------------------------------------------
# Other implementations


@pytest.mark.parametrize("x_type", TYPES)
@pytest.mark.parametrize("weight_type", TYPES)
def test_equal_to_onnx_runtime(rng, x_type, weight_type):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    if x_type is np.int8 and weight_type is np.uint8:
        pytest.skip("ONNX Runtime has no such kernel")
    x, weight = numbers(rng, x_type, (2, 6, 17, 15)), numbers(rng, weight_type, (8, 3, 3, 3))
    x_zero, y_zero, bias = x_type(5), x_type(20), rng.integers(-9999, 9999, 8, np.int32)
    weight_zero = np.full(8, 0 if weight_type is np.int8 else 131, weight_type)
    x_scale, y_scale = np.float32(0.02), np.float32(0.9)
    weight_scale = rng.uniform(0.005, 0.03, 8).astype(np.float32)
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
    values = [x, x_scale, x_zero, weight, weight_scale, weight_zero, y_scale, y_zero, bias]
    values = [np.asarray(value) for value in values]
    to_tensor = onnx.numpy_helper.from_array
    geometry = {"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("QLinearConv", names, ["y"], **geometry)],
        "one",
        [onnx.helper.make_tensor_value_info("x", onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.helper.np_dtype_to_tensor_dtype(x.dtype), None)],
        [to_tensor(value, name) for name, value in zip(names[1:], values[1:], strict=True)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": x})
    y = qlinear_conv(*values, groups=2, stride=(2, 1), padding=((1, 2), (0, 1)), dilation=(1, 2))
    np.testing.assert_array_equal(y, expected)


def test_equal_to_torch(rng):
    torch = pytest.importorskip("torch")
    x, weight = numbers(rng, np.int8, (2, 6, 17, 15)), numbers(rng, np.int8, (8, 3, 3, 3))
    expected = torch.nn.functional.conv2d(
        *(torch.from_numpy(each).double() for each in (x, weight)), stride=2, padding=1, groups=2
    )
    np.testing.assert_array_equal(conv_integer(x, weight, stride=2, padding=1, groups=2), expected.numpy())
