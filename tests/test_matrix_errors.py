"""Wrong arguments of both matrices: the right exception, and a message that names the argument."""

import numpy as np
import pytest
from flatconv import _matrix, col2im, conv_matrix, fold, im2col, unfold


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def zero_strides(*shape):
    return np.broadcast_to(np.float32(1), shape)


IM2COL_ERRORS = [
    (ValueError, {"x": ones(8)}, "x.shape"),
    (ValueError, {"x": ones(1, 2, 3, 8, 8)}, "x.shape"),
    (ValueError, {"kernel_size": ()}, "kernel_size"),
    (ValueError, {"kernel_size": (1, 1, 1, 1)}, "kernel_size"),
    (ValueError, {"kernel_size": 0}, "kernel_size must be at least 1 along the height, got 0"),
    (ValueError, {"kernel_size": (2, -1)}, "kernel_size must be at least 1 along the width, got -1"),
    (ValueError, {"kernel_size": 9}, "does not fit"),
    (ValueError, {"stride": 0}, "stride"),
    (ValueError, {"dilation": -1}, "dilation"),
    (ValueError, {"padding": -1}, "padding"),
    (ValueError, {"padding": "sane"}, "'sane'"),
    (ValueError, {"padding_mode": "sane"}, "'sane'"),
    (ValueError, {"threads": 0}, "threads"),
    (TypeError, {"kernel_size": 1.5}, "kernel_size"),
    (TypeError, {"kernel_size": (1, None)}, r"kernel_size\[1\]"),
    (TypeError, {"kernel_size": "33"}, "kernel_size"),
    (TypeError, {"kernel_size": {2, 3}}, "kernel_size"),
    (TypeError, {"stride": 1.5}, "stride"),
    (TypeError, {"x": None}, "x"),
    (TypeError, {"x": np.full((8, 8), None)}, "object"),
    (TypeError, {"x": ones(8, 8, dtype=np.clongdouble)}, r"x.astype\(np.complex128\)"),
    (TypeError, {"x": np.ma.masked_less(ones(8, 8), 0)}, "mask"),
    (OverflowError, {"stride": 2**70}, "stride"),
    (OverflowError, {"x": zero_strides(2**30, 2**30), "kernel_size": 3}, "region"),
    ((MemoryError, OverflowError, ValueError), {"x": zero_strides(2**20, 2**20), "kernel_size": (2**9, 1)}, None),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("exception", "changes", "message"), IM2COL_ERRORS)
@pytest.mark.parametrize("function", [im2col, unfold])
def test_im2col_and_unfold(function, exception, changes, message):
    with pytest.raises(exception, match=message):
        function(**({"x": ones(8, 8), "kernel_size": 3} | changes))


@pytest.mark.parametrize(
    ("exception", "changes", "message"),
    [
        (ValueError, {"x": ones(9, 35)}, r"x has shape \(9, 35\), but output_size needs \(9, 36\)"),
        (ValueError, {"x": ones(10, 36)}, "x has 10 rows, which the 9 elements of the kernel do not divide"),
        (ValueError, {"x": ones(36)}, r"x.shape = \(36,\)"),
        (ValueError, {"x": ones(1, 1, 9, 36)}, r"x.shape = \(1, 1, 9, 36\)"),
        (ValueError, {"output_size": ()}, "output_size"),
        (ValueError, {"output_size": (2, 2, 2, 2)}, "output_size"),
        (ValueError, {"output_size": (8, -8)}, r"output_size\[1\].*-8"),
        (ValueError, {"output_size": (8, 8), "kernel_size": (3,)}, r"kernel_size .* 2 items"),
        (ValueError, {"kernel_size": 0}, "kernel_size must be at least 1 along the height, got 0"),
        (ValueError, {"kernel_size": 9, "x": ones(81, 1)}, "does not fit"),
        (ValueError, {"stride": 0}, "stride"),
        (ValueError, {"padding_mode": "sane"}, "'sane'"),
        (TypeError, {"output_size": 8.0}, "output_size"),
        (TypeError, {"output_size": None}, "output_size"),
        (TypeError, {"kernel_size": "33"}, "kernel_size"),
        (TypeError, {"x": ones(9, 36, dtype=int)}, r"x.astype\(np.float64\)"),
        (TypeError, {"x": ones(9, 36, dtype=np.clongdouble)}, r"x.astype\(np.complex128\)"),
        (TypeError, {"x": None}, "x"),
        (TypeError, {"channels_last": np.arange(2)}, r"channels_last must be True or False, got array\(\[0, 1\]\)"),
        (OverflowError, {"output_size": (8, 2**70)}, "output_size"),
    ],
)
def test_fold(exception, changes, message):
    with pytest.raises(exception, match=message):
        fold(**({"x": ones(9, 36), "output_size": 8, "kernel_size": 3} | changes))


@pytest.mark.parametrize(
    ("exception", "changes", "message"),
    [
        (ValueError, {"regions": ones(35, 9)}, r"\(35, 9\)"),
        (ValueError, {"regions": ones(36, 8)}, r"\(36, 8\)"),
        (ValueError, {"regions": ones(1, 36, 9)}, r"\(1, 36, 9\)"),
        (ValueError, {"regions": ones(36, 9, 1)}, r"\(36, 9, 1\)"),
        (ValueError, {"x_shape": (8,)}, "x_shape"),
        (ValueError, {"x_shape": (8, -8)}, r"x_shape\[1\].*-8"),
        (ValueError, {"x_shape": (2, 8, 8)}, r"\(36, 9\)"),
        (ValueError, {"stride": 0}, "stride"),
        (TypeError, {"x_shape": 8}, "x_shape"),
        (TypeError, {"x_shape": {8, 9}}, "x_shape"),
        (TypeError, {"x_shape": (8, 8.0)}, r"x_shape\[1\]"),
        (TypeError, {"regions": ones(36, 9, dtype=int)}, r"regions.astype\(np.float64\)"),
        (TypeError, {"regions": ones(36, 9, dtype=np.clongdouble)}, r"regions.astype\(np.complex128\)"),
        (TypeError, {"regions": None}, "regions"),
        (OverflowError, {"x_shape": (8, 2**70)}, "x_shape"),
    ],
)
def test_col2im(exception, changes, message):
    with pytest.raises(exception, match=message):
        col2im(**({"regions": ones(36, 9), "x_shape": (8, 8), "kernel_size": 3} | changes))


@pytest.mark.parametrize(
    ("exception", "changes", "message"),
    [
        (ValueError, {"input_shape": (8,)}, "input_shape"),
        (ValueError, {"input_shape": (5, 8, 8)}, "5 channels"),
        (ValueError, {"input_shape": (8, 8, 4)}, r"input_shape = \(8, 8, 4\) looks like \(H, W, C\)"),
        (ValueError, {"groups": 0}, "groups"),
        (ValueError, {"groups": 4}, "groups"),
        (ValueError, {"groups": 2, "weight": ones(5, 2, 3, 3)}, "5 output channels"),
        (ValueError, {"stride": 0}, "stride"),
        (ValueError, {"format": "dok"}, "format"),
        (ValueError, {"weight": ones(6, 4, 9, 9)}, "does not fit"),
        (ValueError, {"weight": np.float32(1), "input_shape": ()}, r"spatial axes.*weight.shape = \(\)"),
        (ValueError, {"weight": ones(3, 3)}, r"spatial axes.*weight.shape = \(3, 3\)"),
        (ValueError, {"weight": ones(1, 1, 3, 3, 3, 3)}, r"spatial axes.*weight.shape = \(1, 1, 3, 3, 3, 3\)"),
        (TypeError, {"weight": None}, "weight"),
        (TypeError, {"groups": 1.5}, "groups"),
        (TypeError, {"format": None}, "format"),
    ],
)
def test_conv_matrix(exception, changes, message):
    with pytest.raises(exception, match=message):
        conv_matrix(**({"weight": ones(6, 4, 3, 3), "input_shape": (4, 8, 8)} | changes))


def test_the_shape_that_was_passed_is_named():
    with pytest.raises(OverflowError, match=r"input_shape = \(4, 1073741824, 1073741824\) has more elements"):
        conv_matrix(ones(6, 4, 3, 3), (4, 2**30, 2**30))


HUGE_MATRICES = {
    "more pixels than 64 bits": (OverflowError, ones(3, 3), (2**40, 2**40)),
    "more bytes of pixels than 64 bits": (OverflowError, ones(3, 3), (2**31, 2**30)),
    "more pixels than memory": (MemoryError, ones(3, 3), (2**22, 2**22)),
    "a batch of nothing, of huge images": (OverflowError, ones(1, 1, 3, 3), (0, 1, 2**40, 2**40)),
    "more rows than 64 bits": (OverflowError, zero_strides(2**50, 1, 3, 3), (1, 1000, 1000)),
    "more elements than memory": (MemoryError, zero_strides(2**24, 64, 3, 3), (64, 100, 100)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("format", ["csr", "coo", "dense"])
@pytest.mark.parametrize("case", HUGE_MATRICES)
def test_huge_conv_matrix(case, format):
    exception, weight, shape = HUGE_MATRICES[case]
    with pytest.raises(exception):
        conv_matrix(weight, shape, format=format)


def test_a_dense_conv_matrix_too_large_for_memory_takes_no_time(monkeypatch):
    """It is the memory that is asked for first: nothing is computed, nor any other array made."""
    monkeypatch.setattr(_matrix, "_elements", lambda *_: pytest.fail("computed before there was memory"))
    with pytest.raises(MemoryError):
        conv_matrix(ones(3, 3), (3000, 3000), format="dense")
