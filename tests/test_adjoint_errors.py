"""Wrong arguments of transposed convolutions and gradients: exception, message, `out` untouched; limits of memory."""

import re

import numpy as np
import oracles
import pytest
from flatconv import conv_transpose1d, conv_transpose2d, conv_transpose3d, grad


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def zero_strides(*shape):
    return np.broadcast_to(np.float32(1), shape)


def check(function, call, exception, fragments):
    out = call.get("out")
    before = out.tobytes() if isinstance(out, np.ndarray) else None
    with pytest.raises(exception) as caught:
        function(**call)
    for fragment in fragments:
        assert fragment in str(caught.value)
    if before is not None:
        assert out.tobytes() == before


BAD_TRANSPOSED = {
    "stride 0": ({"stride": 0}, ValueError, ["stride", "at least 1", "0"]),
    "stride along one axis": ({"stride": (1, -1)}, ValueError, ["stride", "width", "-1"]),
    "dilation 0": ({"dilation": 0}, ValueError, ["dilation", "0"]),
    "padding -1": ({"padding": -1}, ValueError, ["padding", "-1"]),
    "groups 0": ({"groups": 0}, ValueError, ["groups", "0"]),
    "groups that do not divide": ({"groups": 3}, ValueError, ["4 channels", "groups=3"]),
    "output_padding -1": ({"output_padding": -1}, ValueError, ["output_padding", "height", "-1"]),
    "output_padding of the stride": (
        {"stride": 2, "output_padding": (1, 2)},
        ValueError,
        ["output_padding", "at most 1", "width", "got 2"],
    ),
    "output_padding of the dilation": (
        {"dilation": 3, "output_padding": 3},
        ValueError,
        ["output_padding", "at most 2", "got 3"],
    ),
    "output_padding beside a rule": (
        {"padding": "same", "stride": 2, "output_padding": 1},
        ValueError,
        ["output_padding must be 0", "padding rule", "1"],
    ),
    "output of size -1": ({"padding": 4}, ValueError, ["height (5 − 1) · 1 + 3 − 4 − 4 + 0 = −1", "less of it"]),
    "output of size 0": ({"padding": ((0, 0), (5, 3))}, ValueError, ["width (6 − 1) · 1 + 3 − 5 − 3 + 0 = 0"]),
    "output_size out of reach": ({"stride": 2, "output_size": (11, 15)}, ValueError, ["width", "13 to 14", "got 15"]),
    "output_size too small": ({"stride": 2, "output_size": (10, 13)}, ValueError, ["height", "11 to 12", "got 10"]),
    "output_size without choice": ({"output_size": 9}, ValueError, ["output_size[0]", "must be 7", "got 9"]),
    "output_size and output_padding": (
        {"stride": 2, "output_size": (11, 13), "output_padding": 1},
        ValueError,
        ["output_size and output_padding"],
    ),
    "output_size of three axes": ({"output_size": (1, 2, 3)}, ValueError, ["output_size", "2 items"]),
    "bias of the input channels": ({"bias": ones(4)}, ValueError, ["bias must have shape (3,)", "(4,)"]),
    "bias of rank 2": ({"bias": ones(3, 1)}, ValueError, ["bias", "(3, 1)"]),
    "plain weight": ({"weight": ones(3, 3)}, ValueError, ["x.shape = (2, 4, 5, 6)", "weight.shape = (3, 3)"]),
    "x of five axes": ({"x": ones(1, 2, 4, 5, 6)}, ValueError, ["x.shape", "do not go together"]),
    "weight of a convolution": (
        {"weight": ones(3, 4, 3, 3)},
        ValueError,
        ["3 input channels", "x has 4", "weight.transpose(1, 0, 2, 3)"],
    ),
    "weight of other channels": ({"weight": ones(5, 3, 3, 3)}, ValueError, ["5 input channels", "(in, out / groups"]),
    "stride -2, output_size": ({"stride": -2, "output_size": 5}, ValueError, ["stride must be at least 1", "-2"]),
    "stride 0, output_size": ({"stride": 0, "output_size": 5}, ValueError, ["stride must be at least 1", "0"]),
    "dilation 0, output_size": ({"dilation": 0, "output_size": 5}, ValueError, ["dilation must be at least 1", "0"]),
    "empty x, output_size": ({"x": ones(2, 4, 0, 6), "output_size": 5}, ValueError, ["x has height 0"]),
    "empty kernel, output_size": ({"weight": ones(4, 3, 3, 0), "output_size": 5}, ValueError, ["kernel", "width"]),
    "kernel of height 0": ({"weight": ones(4, 3, 0, 3)}, ValueError, ["kernel", "height", "0"]),
    "x of height 0": ({"x": ones(2, 4, 0, 6)}, ValueError, ["x has height 0"]),
    "unknown rule": ({"padding": "sam"}, ValueError, ["padding", "same_lower", "'sam'"]),
    "unknown algorithm": ({"algorithm": "fft"}, ValueError, ["algorithm", "'fft'"]),
    "threads 0": ({"threads": 0}, ValueError, ["threads", "0"]),
    "out of another shape": ({"out": ones(2, 3, 7, 7)}, ValueError, ["out", "(2, 3, 7, 7)", "(2, 3, 7, 8)"]),
    "out of another dtype": ({"out": ones(2, 3, 7, 8, dtype=np.float64)}, ValueError, ["out", "float32", "float64"]),
    "stride 1.5": ({"stride": 1.5}, TypeError, ["stride", "1.5"]),
    "output_padding None": ({"output_padding": None}, TypeError, ["output_padding", "None"]),
    "x None": ({"x": None}, TypeError, ["x must be an array"]),
    "long double": ({"weight": ones(4, 3, 3, 3, dtype=np.longdouble)}, TypeError, ["weight.astype(np.float64)"]),
    "stride 2^70": ({"stride": 2**70}, OverflowError, ["stride", "64 bits"]),
    "stride 2^62": ({"stride": 2**62}, OverflowError, ["height", str(2**62)]),
    "output of 2^70 bytes": ({"stride": 2**34}, OverflowError, ["the output", "2⁶³"]),
    "padding 2^62": ({"padding": 2**62}, ValueError, ["Padding", str(2**62)]),
    "dilation 2^31": ({"dilation": 2**31}, ValueError, ["dilation 2147483648", "2³¹"]),
    "kernel of 2^31": ({"weight": zero_strides(4, 3, 2**31, 3)}, ValueError, ["kernel of 2147483648"]),
}


@pytest.mark.parametrize("case", BAD_TRANSPOSED)
def test_transposed(case):
    changes, exception, fragments = BAD_TRANSPOSED[case]
    call = {"x": ones(2, 4, 5, 6), "weight": ones(4, 3, 3, 3), "out": np.full((2, 3, 7, 8), np.float32(np.nan))}
    check(conv_transpose2d, call | changes, exception, fragments)


def gradient_call(**changes):
    return {"grad_output": ones(2, 6, 5, 6), "out": np.full((2, 4, 7, 8), np.float32(np.nan))} | changes


BAD_INPUT_GRADIENTS = {
    "grad_output of another shape": ({"grad_output": ones(2, 6, 5, 5)}, ValueError, ["grad_output", "(2, 6, 5, 6)"]),
    "grad_output of another batch": ({"grad_output": ones(1, 6, 5, 6)}, ValueError, ["(1, 6, 5, 6)", "(2, 6, 5, 6)"]),
    "input of other channels": ({"input_size": (2, 5, 7, 8)}, ValueError, ["weight has 4 input channels", "5"]),
    "input of negative size": ({"input_size": (2, 4, -7, 8)}, ValueError, ["input_size[2]", "-7"]),
    "input_size an integer": ({"input_size": 5}, TypeError, ["input_size", "tuple"]),
    "input too small": ({"input_size": (2, 4, 2, 8)}, ValueError, ["does not fit", "height"]),
    "unknown padding mode": ({"padding_mode": "mirror"}, ValueError, ["padding_mode", "'mirror'"]),
}


@pytest.mark.parametrize("case", BAD_INPUT_GRADIENTS)
def test_input_gradients(case):
    changes, exception, fragments = BAD_INPUT_GRADIENTS[case]
    call = gradient_call(input_size=(2, 4, 7, 8), weight=ones(6, 4, 3, 3))
    check(grad.conv2d_input, call | changes, exception, fragments)


def test_a_plain_image_has_one_group():
    for function, *shapes in ((grad.conv2d_input, (8, 8), ones(3, 3)), (grad.conv2d_weight, ones(8, 8), (3, 3))):
        for groups, message in ((2, "x has 1 channels, which groups=2"), (0, "groups must be at least 1")):
            with pytest.raises(ValueError, match=message):
                function(*shapes, ones(6, 6), groups=groups)


BAD_WEIGHT_GRADIENTS = {
    "weight of other channels": ({"weight_size": (6, 3, 3, 3)}, ValueError, ["3 input channels", "4 channels"]),
    "another kernel": ({"weight_size": (6, 4, 3, 4)}, ValueError, ["grad_output", "(2, 6, 5, 6)", "(2, 6, 5, 5)"]),
    "kernel too large": ({"weight_size": (6, 4, 3, 9)}, ValueError, ["does not fit", "width"]),
    "kernel of width 0": ({"weight_size": (6, 4, 3, 0)}, ValueError, ["kernel", "width", "0"]),
    "weight of rank 3": ({"weight_size": (6, 3, 3)}, ValueError, ["input.shape", "(6, 3, 3)"]),
    "groups 0": ({"groups": 0}, ValueError, ["groups", "0"]),
}


@pytest.mark.parametrize("case", BAD_WEIGHT_GRADIENTS)
def test_weight_gradients(case):
    changes, exception, fragments = BAD_WEIGHT_GRADIENTS[case]
    call = gradient_call(input=ones(2, 4, 7, 8), weight_size=(6, 4, 3, 3), out=None)
    check(grad.conv2d_weight, call | changes, exception, fragments)


def test_gradients_of_transposed_convolutions():
    x, weight, grad_y = ones(2, 4, 5, 6), ones(4, 3, 3, 3), ones(2, 3, 7, 8)
    with pytest.raises(ValueError, match=r"grad_output has shape \(2, 3, 7, 8\).*\(2, 3, 7, 9\)"):
        grad.conv_transpose2d_input((2, 4, 5, 7), weight, grad_y)
    with pytest.raises(ValueError, match="output_padding must be less than the stride"):
        grad.conv_transpose2d_weight(x, weight.shape, grad_y, output_padding=1)
    with pytest.raises(ValueError, match="input channels"):
        grad.conv_transpose2d_weight(x, (3, 4, 3, 3), grad_y)


def test_a_padded_image_that_cannot_be_addressed():
    with pytest.raises(OverflowError, match="padded image"):
        grad.conv2d_input((4, 4), ones(1, 1), ones(3, 3), 2**40, 2**40, padding_mode="wrap")


@pytest.mark.parametrize("grad_output", [ones(3), ones(1, 1, 1, 1, 1), ones(3, 4, 0, 1)])
def test_bias_gradients(grad_output):
    with pytest.raises(ValueError, match="grad_output"):
        grad.conv2d_bias(grad_output)


CALLS = {
    "transposed": lambda **run: conv_transpose2d(ones(2, 40, 9, 9), ones(40, 20, 4, 4), None, 2, 1, **run),
    "input": lambda **run: grad.conv2d_input((2, 20, 19, 19), ones(40, 20, 3, 3), ones(2, 40, 9, 9), 2, **run),
    "padded input": lambda **run: grad.conv2d_input(
        (2, 20, 17, 17), ones(40, 20, 3, 3), ones(2, 40, 9, 9), 2, 1, padding_mode="reflect", **run
    ),
    "weight": lambda **run: grad.conv2d_weight(ones(2, 20, 19, 19), (300, 20, 3, 3), ones(2, 300, 9, 9), 2, **run),
}


@pytest.mark.usefixtures("split_work")
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", CALLS)
def test_the_workspace_limit_is_kept_or_refused_with_the_least_that_would_do(name, threads):
    call = CALLS[name]
    expected = call(algorithm="reference", workspace_limit=0)
    with pytest.raises(MemoryError, match="workspace_limit of 0 bytes is too small") as caught:
        call(workspace_limit=0, threads=threads)
    least = int(re.search(r"needs (\d+)", str(caught.value))[1])
    assert least < 250_000
    oracles.assert_same_bits(call(workspace_limit=least, threads=threads), expected)
    with pytest.raises(MemoryError):
        call(workspace_limit=least - 1, threads=threads)


SPREAD = {
    "transposed": lambda **run: conv_transpose3d(ones(2, 8, 15, 5, 9), ones(8, 5, 1, 3, 3), stride=2, **run),
    "transposed, some without taps": lambda **run: conv_transpose2d(
        ones(1, 30, 9, 9), ones(30, 7, 2, 3), stride=3, **run
    ),
    "weight of groups": lambda **run: grad.conv2d_weight(
        ones(2, 32, 9, 16), (8, 16, 3, 3), ones(2, 8, 9, 16), padding=1, groups=2, **run
    ),
    "weight of doubles": lambda **run: grad.conv2d_weight(
        ones(2, 12, 20, 20, dtype=np.float64), (40, 12, 5, 5), ones(2, 40, 16, 16, dtype=np.float64), **run
    ),
    "input, wrap": lambda **run: grad.conv2d_input(
        (1, 32, 30, 31), ones(32, 32, 7, 7), ones(1, 32, 30, 31), padding=3, padding_mode="wrap", **run
    ),
    "input, edge, strided": lambda **run: grad.conv2d_input(
        (2, 6, 11, 13), ones(9, 6, 5, 4), ones(2, 9, 5, 7), 3, (4, 5), padding_mode="edge", **run
    ),
    "input, reflect, 1-D": lambda **run: grad.conv1d_input(
        (2, 40, 300), ones(20, 40, 30), ones(2, 20, 331), padding=30, padding_mode="reflect", **run
    ),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", SPREAD)
def test_the_least_that_would_do_is_named_whatever_was_refused(name, threads):
    call = SPREAD[name]
    named = set()
    for limit in (0, 1000, 5000, 20_000):
        try:
            call(workspace_limit=limit, threads=threads)
        except MemoryError as error:
            named.add(int(re.search(r"needs (\d+)", str(error))[1]))
    (least,) = named
    call(workspace_limit=least, threads=threads)
    with pytest.raises(MemoryError):
        call(workspace_limit=least - 1, threads=threads)


@pytest.mark.parametrize(
    ("x", "weight", "shape"),
    [((0, 4, 5, 6), (4, 3, 3, 3), (0, 3, 7, 8)), ((2, 4, 5, 6), (4, 0, 3, 3), (2, 0, 7, 8))],
)
def test_empty_outputs(x, weight, shape):
    assert conv_transpose2d(ones(*x), ones(*weight)).shape == shape
    assert not grad.conv_transpose2d_weight(ones(*x), weight, ones(*shape)).any()
    assert not grad.conv_transpose2d_input(x, ones(*weight), ones(*shape)).any()


def test_without_channels_the_output_is_the_bias():
    y = conv_transpose2d(ones(1, 0, 5, 6), ones(0, 3, 3, 3), np.float32([1, 2, 3]))
    assert np.array_equal(y, np.broadcast_to(np.float32([1, 2, 3])[:, None, None], (1, 3, 7, 8)))


def test_outputs_that_no_tap_reaches_are_the_bias():
    y = conv_transpose1d(ones(1, 3), ones(1, 1, 2), np.float32([5]), stride=4, output_padding=3)
    assert y.tolist() == [[6, 6, 5, 5, 6, 6, 5, 5, 6, 6, 5, 5, 5]]
    assert grad.conv1d_input((1, 9), ones(1, 1, 1), ones(1, 2), stride=8).tolist() == [[1, *[0] * 7, 1]]


def test_output_padding_between_stride_and_dilation():
    y = conv_transpose1d(ones(1, 2), ones(1, 1, 2), stride=2, dilation=5, output_padding=4)
    assert y.tolist() == [[1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0]]
    x_gradient = grad.conv_transpose1d_input((1, 2), ones(1, 1, 2), y, stride=2, dilation=5, output_padding=4)
    assert x_gradient.tolist() == [[2, 2]]


def test_huge_strides_of_single_pixels():
    assert conv_transpose1d(ones(1, 1), ones(1, 1, 3), stride=2**62).tolist() == [[1, 1, 1]]
    assert grad.conv1d_input((1, 5), ones(1, 1, 3), ones(1, 1), stride=2**62).tolist() == [[1, 1, 1, 0, 0]]
    assert grad.conv1d_weight(ones(1, 5), (1, 1, 3), ones(1, 1), stride=2**62).tolist() == [[[1, 1, 1]]]


def test_gradients_of_groups_of_channels_need_no_more_memory_than_others() -> None:
    rng = np.random.default_rng(6)
    x, grad_output = (rng.standard_normal((1, channels, 32, 32), dtype=np.float32) for channels in (16, 2))

    def call(**options):
        return grad.conv2d_weight(x, (2, 8, 32, 32), grad_output[:, :, :1, :1], groups=2, **options)

    oracles.assert_same_bits(call(workspace_limit=1 << 18, threads=1), call(algorithm="reference"))
