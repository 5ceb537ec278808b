"""What results are compared with: convolution in NumPy's float64, error bounds, the numerical contract, bits."""

from fractions import Fraction

import numpy as np
from flatconv import conv1d

NUMPY_PAD_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
    "symmetric": "symmetric",
}


def per_axis(value, rank):
    return (value,) * rank if np.ndim(value) == 0 else tuple(value)


def pad_pairs(padding, sizes, kernel, stride, dilation):
    """(before, after) for each spatial axis, from any form of the argument `padding`."""
    rank = len(sizes)
    stride, dilation = per_axis(stride, rank), per_axis(dilation, rank)
    if not isinstance(padding, str):
        return [(pad, pad) if np.ndim(pad) == 0 else tuple(pad) for pad in per_axis(padding, rank)]
    pairs = []
    for size, taps, step, spread in zip(sizes, kernel, stride, dilation, strict=True):
        extent = (taps - 1) * spread + 1
        if padding == "valid":
            pairs.append((0, 0))
        elif padding == "full":
            pairs.append((extent - 1, extent - 1))
        else:
            total = max(0, (-(-size // step) - 1) * step + extent - size)
            less, more = total // 2, total - total // 2
            pairs.append((less, more) if padding == "same" else (more, less))
    return pairs


def regions(x, kernel, stride=1, padding=0, dilation=1, padding_mode="zeros"):
    """The region matrix (N, L, C * K) of x (N, C, *spatial), from numpy.pad and sliding windows; and output sizes."""
    rank = len(kernel)
    stride, dilation = per_axis(stride, rank), per_axis(dilation, rank)
    pairs = pad_pairs(padding, x.shape[2:], kernel, stride, dilation)
    padded = np.pad(x, [(0, 0), (0, 0), *pairs], mode=NUMPY_PAD_MODES[padding_mode])
    extents = [(taps - 1) * spread + 1 for taps, spread in zip(kernel, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=tuple(range(2, 2 + rank)))
    windows = windows[(..., *(slice(None, None, spread) for spread in dilation))]
    windows = windows[(slice(None), slice(None), *(slice(None, None, step) for step in stride))]
    sizes = windows.shape[2 : 2 + rank]
    windows = windows.transpose(0, *range(2, 2 + rank), 1, *range(2 + rank, 2 + 2 * rank))
    return windows.reshape(len(x), int(np.prod(sizes)), x.shape[1] * int(np.prod(kernel))), sizes


def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"):
    """The convolution in float64, for x (N, C, *spatial) and weight (C_out, C / groups, *kernel)."""
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    matrix, sizes = regions(x, weight.shape[2:], stride, padding, dilation, padding_mode)
    batch, positions, _ = matrix.shape
    matrix = matrix.reshape(batch, positions, groups, -1 if matrix.size else int(np.prod(weight.shape[1:])))
    kernels = weight.reshape(groups, len(weight) // groups, int(np.prod(weight.shape[1:])))
    y = np.einsum("nlgk,gok->ngol", matrix, kernels, optimize=True).reshape(batch, len(weight), *sizes)
    return y if bias is None else y + np.asarray(bias, np.float64).reshape(-1, *[1] * len(sizes))


def finished(y, residual=None, activation=None):
    """What becomes of sums y: a residual is added in their dtype, then the activation is applied; NaN stays NaN."""
    y = y if residual is None else y + residual
    name, *bounds = activation if isinstance(activation, tuple) else (activation,)
    if name not in (None, "relu", "relu6", "clip"):
        return curve(y, activation)
    low, high = {None: (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6), "clip": bounds}[name]
    return np.where(y < low, low, np.where(y > high, high, y)).astype(y.dtype)


def curve(sums, activation):
    """The definition of an activation, which test_activations.py compares with the truth, on any numbers but −0."""
    y = conv1d(np.reshape(sums, -1), np.ones(1, sums.dtype), activation=activation, algorithm="reference", threads=1)
    return y.reshape(sums.shape)


def rounding_bound(terms, dtype):
    """γ_K of N. Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1."""
    accumulated = terms * np.finfo(dtype).eps / 2
    return accumulated / (1 - accumulated)


def error_bound(x, weight, bias=None, groups=1, **geometry):
    """How far a sum of products in any order, in the arrays' dtype, may be from `conv`, which errs as well."""
    magnitude = conv(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), groups=groups, **geometry)
    terms = int(np.prod(weight.shape[1:])) + 1
    gamma = rounding_bound(terms, x.dtype) + rounding_bound(terms, np.float64)
    return gamma * magnitude + terms * float(np.finfo(x.dtype).smallest_subnormal)


def assert_within_bound(y, x, weight, bias=None, factor=1, expected=None, **geometry):
    """Compare y with `expected`, by default `conv`, allowing `factor` times the bound."""
    expected = conv(x, weight, bias, **geometry) if expected is None else expected
    assert y.shape == expected.shape
    error = np.abs(np.asarray(y, np.float64) - expected)
    bound = factor * error_bound(x, weight, bias, **geometry)
    assert np.all(error <= bound), f"error {error.max():.3g}, {np.nanmax(error / bound):.3g} times the bound"


def assert_same_bits(actual, expected):
    """Same shape, dtype and bits; every NaN is as good as any other, +0 and -0 differ."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    actual, expected = np.ascontiguousarray(actual), np.ascontiguousarray(expected)
    if actual.dtype.kind == "c":
        actual, expected = (each[..., None].view(each.real.dtype) for each in (actual, expected))
    integers = np.dtype(f"u{actual.dtype.itemsize}")
    differ = (actual.view(integers) != expected.view(integers)) & ~(np.isnan(actual) & np.isnan(expected))
    if differ.any():
        first = tuple(int(i) for i in np.argwhere(differ)[0])
        raise AssertionError(
            f"{np.count_nonzero(differ)} of {differ.size} elements differ, first {first}: "
            f"{actual[first]!r} instead of {expected[first]!r}"
        )


def contract_conv(x, weight, bias, depth_block):
    """The numerical contract, spelled out in exact fractions, for one unpadded image (C, H, W) at stride 1.

    Depth in the order (c, kh, kw), in blocks; each block a chain of fused multiply-adds from zero; the block sums
    added in order; then the bias.
    """
    out_channels, channels, kernel_height, kernel_width = weight.shape
    height, width = x.shape[1] - kernel_height + 1, x.shape[2] - kernel_width + 1
    y = np.empty((out_channels, height, width), x.dtype)
    for oc, oh, ow in np.ndindex(y.shape):
        products = [
            Fraction(float(x[c, oh + kh, ow + kw])) * Fraction(float(weight[oc, c, kh, kw]))
            for c in range(channels)
            for kh in range(kernel_height)
            for kw in range(kernel_width)
        ]
        total = contract_sum(products, x.dtype, depth_block)
        y[oc, oh, ow] = float(rounded(total + Fraction(float(bias[oc])), x.dtype))
    return y


def contract_sum(products, dtype, depth_block):
    """The sum of exact products in blocks; each a chain of fused multiply-adds from zero; the block sums in order."""
    total = Fraction(0)
    for start in range(0, len(products), depth_block):
        block = Fraction(0)
        for product in products[start : start + depth_block]:
            block = rounded(block + product, dtype)
        total = rounded(total + block, dtype)
    return total


def contract_conv_transpose(x, weight, bias, depth_block, stride, pad_before, dilation, output_size):
    """The contract of the transposed convolution of one image (C, L): sums over the phase's taps alone, in order."""
    channels, out_channels, taps = weight.shape
    y = np.empty((out_channels, output_size), x.dtype)
    for oc, o in np.ndindex(y.shape):
        products = []
        for c in range(channels):
            for k in range(taps):
                pixel, rest = divmod(o + pad_before - k * dilation, stride)
                if rest == 0:
                    value = x[c, pixel] if 0 <= pixel < x.shape[1] else 0
                    products.append(Fraction(float(value)) * Fraction(float(weight[c, oc, k])))
        total = contract_sum(products, x.dtype, depth_block)
        y[oc, o] = float(rounded(total + Fraction(float(bias[oc])), x.dtype))
    return y


def contract_weight_gradient(x, grad_output, taps, depth_block, stride, pad_before, dilation):
    """The contract of a weight's gradient for images (N, C, L): sums over (image, position), in order."""
    batch, channels, length = x.shape
    positions = grad_output.shape[2]
    gradient = np.empty((grad_output.shape[1], channels, taps), x.dtype)
    for oc, c, k in np.ndindex(gradient.shape):
        products = []
        for n in range(batch):
            for o in range(positions):
                pixel = o * stride + k * dilation - pad_before
                value = x[n, c, pixel] if 0 <= pixel < length else 0
                products.append(Fraction(float(value)) * Fraction(float(grad_output[n, oc, o])))
        gradient[oc, c, k] = float(contract_sum(products, x.dtype, depth_block))
    return gradient


def rounded(value, dtype):
    """The number of this type nearest to a fraction, ties to even; for numbers that do not overflow."""
    if value == 0:
        return value
    limits = np.finfo(dtype)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    if abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** (max(exponent, int(limits.minexp)) - int(limits.nmant))
    return round(value / quantum) * quantum
