"""The argument `out`: any layout whose elements lie apart is written, and no other is taken."""

import itertools

import numpy as np
import oracles
import pytest
from flatconv import conv2d
from flatconv._arrays import overlaps_itself
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided, sliding_window_view

pytestmark = pytest.mark.usefixtures("split_work")

SHAPE = (2, 3, 4, 5)


def zeros(*shape):
    return np.zeros(shape, np.float32)


# Views of SHAPE; strides are in bytes.
LIE_APART = {
    "every second column": lambda: zeros(2, 3, 4, 10)[..., ::2],
    "transposed": lambda: zeros(5, 3, 2, 4).transpose(2, 1, 3, 0),
    "sliced and reversed": lambda: zeros(7, 3, 4, 9)[-1:-5:-3, ::-1, :, :5],
    "a part of every record": lambda: np.zeros(SHAPE, "u1,f4,u2")["f1"],
    "the real part": lambda: np.zeros(SHAPE, np.complex64).real,
    "a diagonal": lambda: np.einsum("iickl->ickl", zeros(2, 2, 3, 4, 5)),
    "a diagonal that runs backwards": lambda: np.einsum("ijckj->ickj", zeros(2, 5, 3, 4, 5)[..., ::-1]),
    # Rows of five at a distance of six, columns at a distance of five: none is on another, and neither axis is outside.
    "axes that interleave": lambda: as_strided(zeros(4096), SHAPE, (1200, 400, 24, 20)),
}
SHARE_MEMORY = {
    "all in one place": lambda: as_strided(zeros(4096), SHAPE, (0, 0, 0, 0)),
    "images in one place": lambda: as_strided(zeros(4096), SHAPE, (0, 80, 20, 4)),
    "rows that overlap": lambda: as_strided(zeros(4096), SHAPE, (240, 80, 4, 4)),
    "rows that overlap by one element": lambda: as_strided(zeros(4096), SHAPE, (240, 80, 16, 4)),
    "rows that run into each other backwards": lambda: as_strided(zeros(4096)[99:], SHAPE, (240, 80, -4, 4)),
    "channels and rows at one distance": lambda: as_strided(zeros(4096), SHAPE, (240, 20, 20, 4)),
    "images that overlap": lambda: as_strided(zeros(4096), SHAPE, (236, 80, 20, 4)),
    "elements that overlap by half": lambda: as_strided(zeros(4096), SHAPE, (240, 80, 20, 2)),
    "sliding windows": lambda: sliding_window_view(zeros(2, 3, 8), 5, axis=2, writeable=True),
    "axes that meet far away": lambda: as_strided(zeros(4096), SHAPE, (1200, 400, 16, 12)),
}


def arguments(rng):
    return rng.standard_normal((2, 4, 6, 7)).astype(np.float32), rng.standard_normal((3, 4, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("view", LIE_APART)
def test_elements_that_lie_apart(rng, view):
    x, weight = arguments(rng)
    out = LIE_APART[view]()
    assert out.shape == SHAPE
    assert conv2d(x, weight, out=out) is out
    oracles.assert_same_bits(np.array(out), conv2d(x, weight))


@pytest.mark.parametrize("view", SHARE_MEMORY)
def test_elements_that_share_memory(rng, view):
    x, weight = arguments(rng)
    out = SHARE_MEMORY[view]()
    assert out.shape == SHAPE
    with pytest.raises(ValueError, match=r"out has elements that share memory: out.shape = \(2, .*, out.strides = \("):
        conv2d(x, weight, out=out)
    assert not out.any()


def test_strides_of_axes_with_one_element_or_none_do_not_matter():
    image, kernel = np.ones((3, 6), np.float32), np.ones((3, 3), np.float32)
    out = as_strided(zeros(4096), (1, 4), (0, 4))
    assert np.array_equal(conv2d(image, kernel, out=out), np.full((1, 4), 9))
    empty = as_strided(zeros(4096), (0, 3, 4, 4), (0, 0, 0, 0))
    assert conv2d(np.ones((0, 2, 6, 6), np.float32), np.ones((3, 2, 3, 3), np.float32), out=empty) is empty


@given(
    axes=st.lists(st.tuples(st.integers(0, 4), st.integers(-20, 20)), max_size=4),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_which_elements_share_memory(axes, dtype):
    shape, strides = [size for size, _ in axes], [step for _, step in axes]
    view = as_strided(np.zeros(1000, np.uint8)[400:].view(dtype), shape, strides)
    first_bytes = sorted(sum(map(np.multiply, index, strides)) for index in np.ndindex(*shape))
    share = any(after - before < view.itemsize for before, after in itertools.pairwise(first_bytes))
    assert overlaps_itself(view) == share


def test_large_results_start_on_a_cache_line():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, 4, 64, 64)), rng.standard_normal((3, 4, 1, 1))
    for dtype in (np.float32, np.float64):
        results = [conv2d(x.astype(dtype), weight.astype(dtype)) for _ in range(4)]
        assert all(y.ctypes.data % 64 == 0 and y.flags.c_contiguous and y.flags.writeable for y in results)
