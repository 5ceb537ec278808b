"""Wrong arguments of pack and of packed layers: the right exception, the argument and the value named."""

import copy
import pickle

import numpy as np
import pytest
from flatconv import pack


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


BAD_VALUES = {
    "weight of rank 2": ({"weight": ones(3, 3)}, ["weight", "3, 4 or 5 dimensions", "weight.shape = (3, 3)"]),
    "weight of rank 0": ({"weight": np.float32(1)}, ["weight.shape = ()"]),
    "weight of rank 6": ({"weight": ones(2, 2, 1, 1, 1, 1)}, ["weight.shape = (2, 2, 1, 1, 1, 1)"]),
    "groups 0": ({"groups": 0}, ["groups", "0"]),
    "groups -1": ({"groups": -1}, ["groups", "-1"]),
    "groups that do not divide": ({"groups": 4}, ["weight has 6 output channels", "groups=4"]),
    "bias length": ({"bias": ones(5)}, ["bias", "(5,)", "(6,)"]),
    "bias rank": ({"bias": ones(6, 1)}, ["bias", "(6, 1)", "(6,)"]),
    "scalar bias": ({"bias": 0.5}, ["bias", "()", "(6,)"]),
    "stride 0": ({"stride": 0}, ["stride", "0"]),
    "stride of 3 items": ({"stride": (1, 1, 1)}, ["stride", "(1, 1, 1)", "2 items (height, width)"]),
    "padding -1": ({"padding": -1}, ["padding", "-1"]),
    "unknown padding": ({"padding": "sane"}, ["padding", "'sane'"]),
    "dilation 0": ({"dilation": 0}, ["dilation", "0"]),
    "unknown padding mode": ({"padding_mode": "zero"}, ["padding_mode", "'zero'"]),
    "unknown algorithm": ({"algorithm": "fft"}, ["algorithm", "'fft'", '"channels"']),
    "unknown activation": ({"activation": "swish"}, ["activation", "'swish'"]),
    "clip with one bound": ({"activation": ("clip", 1)}, ["activation", "('clip', 1)"]),
    "clip upside down": ({"activation": ("clip", 2, 1)}, ["activation", "('clip', 2, 1)"]),
    "workspace_limit -1": ({"workspace_limit": -1}, ["workspace_limit", "-1"]),
    "kernel of height 0": ({"weight": ones(6, 4, 0, 3)}, ["kernel", "height", "0"]),
}
BAD_TYPES = {
    "weight None": ({"weight": None}, ["weight", "None"]),
    "weight of objects": ({"weight": np.full((6, 4, 3, 3), None)}, ["weight", "object"]),
    "masked weight": ({"weight": np.ma.masked_less(ones(6, 4, 3, 3), 0)}, ["weight", "mask"]),
    "long complex bias": ({"bias": np.ones(6, np.clongdouble)}, ["bias.astype(np.complex128)"]),
    "channels_last 1": ({"channels_last": 1}, ["channels_last", "1"]),
    "stride 1.5": ({"stride": 1.5}, ["stride", "1.5"]),
    "groups 1.0": ({"groups": 1.0}, ["groups", "1.0"]),
    "activation True": ({"activation": True}, ["activation", "True"]),
    "algorithm None": ({"algorithm": None}, ["algorithm", "None"]),
    "padding_mode None": ({"padding_mode": None}, ["padding_mode", "None"]),
}


@pytest.mark.parametrize("case", [*BAD_VALUES, *BAD_TYPES])
def test_pack(case):
    exception, (changes, fragments) = (
        (ValueError, BAD_VALUES[case]) if case in BAD_VALUES else (TypeError, BAD_TYPES[case])
    )
    with pytest.raises(exception) as caught:
        pack(**{"weight": ones(6, 4, 3, 3)} | changes)
    assert type(caught.value) is exception
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_weights_that_are_no_floats_are_named_alone():
    with pytest.raises(TypeError, match=r"^weight \(int64\) stays int64, .*: pass weight.astype\(np.float64\)$"):
        pack(ones(6, 4, 3, 3, dtype=np.int64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [2, 3, 5, 9, 17])
def test_weights_of_which_whole_vectors_are_too_many(isa, dtype, factor):
    channels = 2**64 // factor // np.dtype(dtype).itemsize + 1
    if channels * np.dtype(dtype).itemsize >= 2**63:
        channels = 2**62 // np.dtype(dtype).itemsize
    with pytest.raises((OverflowError, MemoryError)):
        pack(np.broadcast_to(dtype(1), (1, channels, 1, 1)))


LAYERS = {
    "first": lambda: pack(ones(6, 2, 3, 3), groups=2),
    "last": lambda: pack(ones(6, 2, 3, 3), groups=2, channels_last=True),
}
BAD_CALLS = {
    "channels": (ValueError, "first", {"x": ones(2, 5, 8, 8)}, ["x has 5 channels", "groups=2"]),
    "channels of another layer": (
        ValueError,
        "first",
        {"x": ones(2, 8, 8, 8)},
        ["2 input channels", "x has 8 channels"],
    ),
    "channels last": (ValueError, "last", {"x": ones(2, 4, 8, 8)}, ["x.shape = (2, 4, 8, 8)", "8 channels", "takes 4"]),
    "rank 1": (ValueError, "first", {"x": ones(4)}, ["x.shape = (4,)"]),
    "rank 1, channels last": (ValueError, "last", {"x": ones(4)}, ["x.shape = (4,)"]),
    "rank 0, channels last": (ValueError, "last", {"x": np.float32(1)}, ["x.shape = ()"]),
    "rank 2": (ValueError, "first", {"x": ones(8, 8)}, ["x.shape = (8, 8)"]),
    "rank 5": (ValueError, "first", {"x": ones(1, 1, 4, 8, 8)}, ["x.shape = (1, 1, 4, 8, 8)"]),
    "float64": (
        TypeError,
        "first",
        {"x": ones(2, 4, 8, 8, dtype=np.float64)},
        ["x has dtype float64", "packed as float32", "x.astype(np.float32)", "weight.astype(np.float64)"],
    ),
    "long integers": (TypeError, "first", {"x": ones(2, 4, 8, 8, dtype=np.int64)}, ["x has dtype int64"]),
    "complex": (TypeError, "first", {"x": ones(2, 4, 8, 8, dtype=complex)}, ["x has dtype complex128"]),
    "None": (TypeError, "first", {"x": None}, ["x", "None"]),
    "masked": (TypeError, "first", {"x": np.ma.ones((2, 4, 8, 8), np.float32)}, ["x", "mask"]),
    "kernel larger than the input": (ValueError, "first", {"x": ones(2, 4, 2, 8)}, ["kernel (3 × 3) does not fit"]),
    "residual of another shape": (
        ValueError,
        "first",
        {"residual": ones(2, 6, 6, 7)},
        ["residual", "(2, 6, 6, 7)", "(2, 6, 6, 6)"],
    ),
    "residual of float64": (
        TypeError,
        "first",
        {"residual": ones(2, 6, 6, 6, dtype=np.float64)},
        ["residual has dtype float64", "float32"],
    ),
    "residual of objects": (TypeError, "first", {"residual": np.full((2, 6, 6, 6), None)}, ["residual", "object"]),
    "out of another shape": (ValueError, "first", {"out": ones(2, 6, 6, 7)}, ["out", "(2, 6, 6, 7)", "(2, 6, 6, 6)"]),
    "out of float64": (ValueError, "first", {"out": ones(2, 6, 6, 6, dtype=np.float64)}, ["out", "float64", "float32"]),
    "out that is a list": (TypeError, "first", {"out": [0.0]}, ["out", "list"]),
    "read-only out": (ValueError, "first", {"out": np.broadcast_to(np.float32(0), (2, 6, 6, 6))}, ["out", "read-only"]),
    "threads 0": (ValueError, "first", {"threads": 0}, ["threads", "0"]),
    "threads 1.5": (TypeError, "first", {"threads": 1.5}, ["threads", "1.5"]),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_calls(case):
    exception, layer, changes, fragments = BAD_CALLS[case]
    call = {"x": ones(2, 4, 8, 8), "out": np.full((2, 6, 6, 6), np.float32(np.nan))} | changes
    out = call["out"]
    before = out.tobytes() if isinstance(out, np.ndarray) else None
    with pytest.raises(exception) as caught:
        LAYERS[layer]()(**call)
    assert type(caught.value) is exception
    for fragment in fragments:
        assert fragment in str(caught.value)
    assert before is None or out.tobytes() == before


@pytest.mark.parametrize("method", ["explain", "workspace_bytes"])
@pytest.mark.parametrize(
    ("exception", "layer", "x_shape", "fragments"),
    [
        (ValueError, "first", (2, 5, 8, 8), ["x has 5 channels"]),
        (ValueError, "last", (2, 4, 8, 8), ["x_shape = (2, 4, 8, 8)", "takes 4"]),
        (ValueError, "first", (8, 8), ["x_shape = (8, 8)"]),
        (ValueError, "first", (), ["x_shape = ()"]),
        (ValueError, "last", (), ["x_shape = ()"]),
        (ValueError, "first", (2, 4, -8, 8), ["x_shape[2]", "-8"]),
        (ValueError, "first", (2, 4, 2, 8), ["kernel (3 × 3) does not fit"]),
        (TypeError, "first", 5, ["x_shape", "5"]),
        (TypeError, "first", (2, 4, 8.0, 8), ["x_shape[2]", "8.0"]),
        (OverflowError, "first", (2, 4, 8, 2**70), ["x_shape[3]", str(2**70)]),
        (OverflowError, "first", (2, 4, 2**31, 2**31), ["x of 2 ×"]),
    ],
)
def test_shapes(method, exception, layer, x_shape, fragments):
    with pytest.raises(exception) as caught:
        getattr(LAYERS[layer](), method)(x_shape)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_tight_limit_is_an_error_of_the_call():
    layer = pack(ones(6, 4, 3, 3), workspace_limit=0)
    with pytest.raises(MemoryError, match="workspace_limit of 0 bytes"):
        layer(ones(2, 4, 8, 8))


def test_errors_leave_the_layer_working():
    layer = LAYERS["first"]()
    for exception, name, changes, _ in BAD_CALLS.values():
        if name == "first":
            with pytest.raises(exception):
                layer(**{"x": ones(2, 4, 8, 8)} | changes)
    assert np.array_equal(layer(ones(2, 4, 8, 8)), np.full((2, 6, 6, 6), 18))


def test_a_layer_takes_no_plain_image():
    for name in ("first", "last"):
        with pytest.raises(ValueError, match=r"\(C, H, W\) with weight \(out, in, kh, kw\)\. For one channel"):
            LAYERS[name]()(ones(8, 8))


def test_a_layer_does_not_change():
    layer = LAYERS["first"]()
    for name in ("weight_shape", "dtype"):
        with pytest.raises(AttributeError):
            setattr(layer, name, None)
    assert copy.copy(layer) is layer
    assert copy.deepcopy([layer]) == [layer]
    with pytest.raises(TypeError, match=r"a PackedConv cannot be pickled.*pack them again"):
        pickle.dumps(layer)


def test_what_a_layer_says_of_itself():
    layer = pack(ones(6, 2, 3, 3), groups=2)
    assert layer.weight_shape == (6, 2, 3, 3)
    assert layer.dtype == np.float32
    assert repr(layer) == "PackedConv(weight_shape=(6, 2, 3, 3), dtype=float32, groups=2)"
    text = layer.explain((1, 4, 30, 40), threads=1)
    assert text.startswith("isa ")
    for name in ("reference", "im2col", "implicit", "channels"):
        assert f"{name}: " in text
