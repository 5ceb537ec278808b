"""ONNX's convolutions in terms of flatconv: what their attributes come to, by the specification.

Every function takes an operator's inputs in their order, and its attributes under their names.
"""

import flatconv
import numpy as np

CONV = {1: flatconv.conv1d, 2: flatconv.conv2d, 3: flatconv.conv3d}
CONV_TRANSPOSE = {1: flatconv.conv_transpose1d, 2: flatconv.conv_transpose2d, 3: flatconv.conv_transpose3d}
PADDING_RULES = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def conv(x, w, b=None, **attributes):
    """Conv."""
    geometry = conv_geometry(w, **attributes)
    return CONV[w.ndim - 2](x, w, b, **geometry)


def conv_integer(x, w, x_zero_point=None, w_zero_point=None, **attributes):
    """ConvInteger."""
    zero_points = {"x_zero_point": x_zero_point, "weight_zero_point": w_zero_point}
    return flatconv.conv_integer(x, w, **zero_points, **conv_geometry(w, **attributes))


def qlinear_conv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b=None, **attributes):
    """QLinearConv."""
    numbers = x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b
    return flatconv.qlinear_conv(*numbers, **conv_geometry(w, **attributes))


def conv_geometry(w, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None, strides=None):
    """The keywords of a convolution from the attributes that Conv, ConvInteger and QLinearConv share."""
    check_kernel_shape(w, kernel_shape)
    rank = w.ndim - 2
    padding = pairs(pads or [0] * (2 * rank)) if auto_pad == "NOTSET" else PADDING_RULES[auto_pad]
    ones = (1,) * rank
    return {
        "stride": tuple(strides or ones),
        "padding": padding,
        "dilation": tuple(dilations or ones),
        "groups": group,
    }


def conv_transpose(
    x,
    w,
    b=None,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    output_shape=None,
    pads=None,
    strides=None,
):
    """ConvTranspose.

    The output's size is given, or is the input's times the stride, or follows from `pads`. In the first two cases what
    the whole output has too much is cut off on both sides; an odd element at the end for SAME_UPPER, else at the start.
    """
    check_kernel_shape(w, kernel_shape)
    rank = w.ndim - 2
    stride, dilation = strides or [1] * rank, dilations or [1] * rank
    extra = list(output_padding or [0] * rank)
    if output_shape is None and auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output_shape = [size * step for size, step in zip(x.shape[2:], stride, strict=True)]
    if output_shape is None:
        padding = pairs(pads or [0] * (2 * rank))
    else:
        # Output of a size that nothing reaches is added at the end.
        totals = [
            step * (size - 1) + added + (taps - 1) * spread + 1 - wanted
            for step, size, added, taps, spread, wanted in zip(
                stride, x.shape[2:], extra, w.shape[2:], dilation, output_shape[-rank:], strict=True
            )
        ]
        extra = [added - min(total, 0) for added, total in zip(extra, totals, strict=True)]
        padding = tuple(halves(max(total, 0), odd_at_end=auto_pad == "SAME_UPPER") for total in totals)
    reached = [min(added, max(step, spread) - 1) for added, step, spread in zip(extra, stride, dilation, strict=True)]
    function = CONV_TRANSPOSE[rank]
    y = function(x, w, b, tuple(stride), padding, tuple(reached), group, tuple(dilation))
    beyond = [added - reach for added, reach in zip(extra, reached, strict=True)]
    if not any(beyond):
        return y
    larger = np.empty((*y.shape[:2], *(size + more for size, more in zip(y.shape[2:], beyond, strict=True))), y.dtype)
    larger[...] = 0 if b is None else np.reshape(b, (-1, *[1] * rank))
    larger[tuple(slice(size) for size in y.shape)] = y
    return larger


def pairs(pads):
    """ONNX has all begins, then all ends."""
    return tuple(zip(pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True))


def halves(total, odd_at_end):
    less, more = total // 2, total - total // 2
    return (less, more) if odd_at_end else (more, less)


def check_kernel_shape(w, kernel_shape):
    """It repeats what the weight says."""
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(f"kernel_shape {kernel_shape} is not that of the weight, {w.shape[2:]}")
