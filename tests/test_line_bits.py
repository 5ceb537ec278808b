"""Channels with kernels of a single row, column or beam, read where they lie: bits of the reference at all edges."""

import flatconv
import numpy as np
import oracles
import pytest
from flatconv import conv1d, conv2d, conv3d, conv_transpose1d, grad, pack, pack_transpose

pytestmark = pytest.mark.usefixtures("split_work")

DTYPES = (np.float32, np.float64)
CHANNELS = 3


def assert_same_bits(x, weight, bias, **arguments):
    function = getattr(flatconv, f"conv{x.ndim - 2}d")
    expected = function(x, weight, bias, groups=len(weight), algorithm="reference", threads=1, **arguments)
    for threads in (1, 3):
        # At any distance from a line of the caches.
        memory = np.full(expected.size + threads, np.nan, expected.dtype)
        out = memory[threads:].reshape(expected.shape)
        function(x, weight, bias, groups=len(weight), algorithm="direct", threads=threads, out=out, **arguments)
        oracles.assert_same_bits(out, expected)
        assert np.isnan(memory[:threads]).all()


def layer(rng, dtype, kernel, sizes):
    shapes = (2, CHANNELS, *sizes), (CHANNELS, 1, *kernel), (CHANNELS,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (2, 3), (3, 1), (3, 16), (3, 50), (6, 2), (25, 1)])
def test_every_length(isa, rng, dtype, taps, dilation):
    reach = (taps - 1) * dilation
    for length in (*range(1, 20), *range(reach + 120, reach + 250)):
        x, weight, bias = layer(rng, dtype, (taps,), (length,))
        for padding in (reach // 2, ((reach, 0),), ((0, reach + 2),)):
            if sum(np.broadcast_to(padding, 2) if np.ndim(padding) == 0 else padding[0]) + length > reach:
                assert_same_bits(x, weight, bias, padding=padding, dilation=dilation)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [None, "relu6", "silu"])
def test_epilogues_of_lines_in_parts(isa, rng, dtype, activation):
    """Longer ones are cut, and the residual is added part by part."""
    x, weight, bias = layer(rng, dtype, (5,), (20011,))
    x[0, 1, 7] = np.inf
    geometry = {"padding": 12, "dilation": 6, "activation": activation}
    assert_same_bits(x, weight, bias, **geometry)
    assert_same_bits(x, weight, bias, residual=rng.standard_normal(x.shape).astype(dtype), **geometry)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis(isa, rng, dtype, axis):
    """The pixels of the axes behind the kernel's lie between its elements; those before it are lines by themselves."""
    for rank in (axis + 1, 3) if axis < 2 else (3,):
        for sizes in ((5, 7, 230), (1, 1, 1), (80, 1, 3), (2, 60, 33), (3, 9, 41)):
            kernel, padding, dilation = ([one] * rank for one in (1, 0, 1))
            kernel[axis], padding[axis], dilation[axis] = 4, (6, 3), 2
            x, weight, bias = layer(rng, dtype, kernel, sizes[:rank])
            pairs = tuple(pair if np.ndim(pair) else (pair, pair) for pair in padding)
            geometry = {"padding": pairs, "dilation": tuple(dilation)}
            assert_same_bits(x, weight, bias, **geometry)
            assert_same_bits(x, weight, bias, residual=conv(rank)(x, weight, groups=CHANNELS, **geometry), **geometry)


def conv(rank):
    return (conv1d, conv2d, conv3d)[rank - 1]


def test_many_rows(isa, rng):
    """Boxes of a few of them, whose strides the caller may give as they like where there is one."""
    x, weight, bias = layer(rng, np.float32, (1, 7), (300, 210))
    assert_same_bits(x, weight, bias, padding=(0, 3))
    x, weight, bias = layer(rng, np.float32, (7, 1), (9000, 1))
    strange = np.lib.stride_tricks.as_strided(x, x.shape, (*x.strides[:3], 12))
    assert_same_bits(strange, weight, bias, padding=(3, 0))
    out = np.full(x.shape, np.nan, np.float32)
    view = np.lib.stride_tricks.as_strided(out, out.shape, (*out.strides[:3], 12))
    conv2d(strange, weight, bias, padding=(3, 0), groups=CHANNELS, algorithm="direct", out=view)
    oracles.assert_same_bits(out, conv2d(x, weight, bias, padding=(3, 0), groups=CHANNELS, algorithm="reference"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (3, 1), (4, 5), (11, 2)])
def test_transposes(isa, rng, dtype, taps, dilation):
    """Also with packed weights; and the gradient of the input, in which an infinite weight meets real zeros."""
    for length in (1, 31, 160, 197, 5000):
        x, weight, bias = layer(rng, dtype, (taps,), (length,))
        weight[1, 0, 0] = np.inf
        for padding in (0, (taps - 1) * dilation // 2):
            arguments = (1, padding, 0, CHANNELS, dilation)
            if length + (taps - 1) * dilation <= 2 * padding:
                continue
            expected = conv_transpose1d(x, weight, bias, *arguments, algorithm="reference")
            oracles.assert_same_bits(conv_transpose1d(x, weight, bias, *arguments, algorithm="direct"), expected)
            oracles.assert_same_bits(pack_transpose(weight, bias, *arguments)(x), expected)
            geometry = {"padding": padding, "dilation": dilation, "groups": CHANNELS}
            if length + 2 * padding <= (taps - 1) * dilation:
                continue
            dy = rng.standard_normal(conv1d(x, weight, **geometry).shape).astype(dtype)
            expected = grad.conv1d_input(x.shape, weight, dy, algorithm="reference", **geometry)
            oracles.assert_same_bits(grad.conv1d_input(x.shape, weight, dy, algorithm="direct", **geometry), expected)


def test_infinite_weights_meet_padded_zeros(isa):
    x, weight = np.ones((1, 1, 200), np.float32), np.ones((1, 1, 3), np.float32)
    weight[0, 0, 0] = np.inf
    y = conv1d(x, weight, padding=20, dilation=20, algorithm="direct")[0, 0]
    assert np.isnan(y[:20]).all()
    assert (y[20:] == np.inf).all()


def test_lines_are_read_where_they_lie():
    x, weight = np.ones((1, 40, 500), np.float32), np.ones((40, 1, 3), np.float32)
    lines = pack(weight, padding=4, dilation=4, groups=40)
    if "strips" not in pack(np.ones((40, 1, 3, 3), np.float32), padding=1, groups=40).explain((1, 40, 56, 56)):
        pytest.skip("not with this instruction set")
    assert "lines read from the image" in lines.explain(x.shape).splitlines()[1]
    assert lines.workspace_bytes(x.shape) == 0
    transpose = pack_transpose(weight, None, 1, 4, 0, 40, 4)
    assert "lines read from the image" in transpose.explain(x.shape).splitlines()[1]
    assert transpose.workspace_bytes(x.shape) == 0
