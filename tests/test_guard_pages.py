"""Arrays between pages that must not be touched: no byte outside the buffers is read or written."""

import signal
import sys

import pytest
from child_process import run_child

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")

GUARDED = """
    import ctypes, mmap, sys
    import numpy as np
    from flatconv import _core, col2im, conv1d, conv2d, conv3d, fold, im2col, unfold
    from flatconv._arguments import ALGORITHMS

    libc = ctypes.CDLL(None, use_errno=True)
    PAGE = mmap.PAGESIZE
    kept = []

    def guarded(array, at_end):
        '''A copy that begins right after, or ends right before, a page that must not be touched.'''
        room = max(1, -(-array.nbytes // PAGE)) * PAGE
        memory = mmap.mmap(-1, room + 2 * PAGE)
        kept.append(memory)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for guard in (start, start + PAGE + room):
            if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = PAGE + (room - array.nbytes if at_end else 0)
        view = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
        view[...] = array
        return view
"""

SURVIVES = """
    _core.set_work_per_thread(0)
    rng = np.random.default_rng(7)

    def check(dtype, x_shape, weight_shape, geometry):
        conv = {3: conv1d, 4: conv2d, 5: conv3d}[len(x_shape)]
        arrays = [rng.standard_normal((*shape, 2)) for shape in (x_shape, weight_shape, weight_shape[:1])]
        complex_numbers = np.dtype(dtype).kind == "c"
        arrays = [(a.view(complex) if complex_numbers else a)[..., 0].astype(dtype) for a in arrays]
        expected = conv(*arrays, **geometry, algorithm="reference")
        out = np.full(expected.shape, np.nan, dtype)
        for at_end in (False, True):
            x, weight, bias, y = (guarded(array, at_end) for array in (*arrays, out))
            for algorithm in ALGORITHMS:
                for threads in (1, 2, 3):
                    y[...] = np.nan
                    conv(x, weight, bias, **geometry, algorithm=algorithm, threads=threads, out=y)
                    assert y.tobytes() == expected.tobytes(), (x_shape, weight_shape, geometry, algorithm)
            # From the last element backwards: buffers begin where the guarded page ends.
            backwards = [guarded(array[..., ::-1].copy(), at_end)[..., ::-1] for array in arrays]
            conv(*backwards, **geometry, out=y)
            assert y.tobytes() == expected.tobytes()
        kept.clear()

    isas = [each["name"] for each in _core.instruction_sets() if each["usable"]]
    for isa in isas:
        _core.set_isa(isa)
        for dtype in (np.float16, np.float32, np.float64, np.complex64):
            for width in (*range(1, 20), 31, 33, 47, 49, 64, 65, 97)[:: 4 if dtype is np.complex64 else 1]:
                check(dtype, (1, 2, 3, width + 2), (3, 2, 3, 3), {})
                check(dtype, (2, 3, 2, width), (1 + width, 3, 1, 1), {})
            check(dtype, (2, 3, 9, 10), (5, 3, 3, 3), {"padding": 1})
            check(dtype, (1, 3, 19, 23), (15, 3, 7, 7), {"padding": 3, "stride": 2})
            check(dtype, (1, 6, 14, 13), (30, 2, 3, 3), {"padding": 2, "dilation": 2, "groups": 3})
            check(dtype, (1, 33, 8, 9), (33, 1, 5, 5), {"padding": 2, "groups": 33})
            for size, stride in ((3, 1), (3, 2), (5, 2), (7, 1)):
                for width in (7, 16, 33, 70):
                    check(dtype, (1, 2, 9, width), (2, 1, size, size), {"padding": 2, "stride": stride, "groups": 2})
            check(dtype, (1, 70, 5, 5), (70, 70, 3, 3), {"padding": "same"})
            check(dtype, (1, 40, 17, 15), (9, 40, 1, 1), {"stride": 3})
            check(dtype, (1, 1, 50, 61), (1, 1, 15, 15), {"padding": 7, "padding_mode": "reflect"})
            check(dtype, (2, 4, 4, 4), (6, 4, 5, 5), {"padding": "full", "padding_mode": "circular"})
            check(dtype, (2, 3, 201), (5, 3, 9), {"padding": 4, "stride": 2})
            check(dtype, (2, 2, 5, 6, 19), (5, 2, 3, 2, 3), {"padding": 1, "dilation": (1, 2, 1)})

    for dtype in (np.uint8, np.int16, np.float16, np.float32, np.float64, np.complex128):
        for at_end in (False, True):
            for padding in (0, 2):
                x = guarded(rng.integers(0, 9, (2, 3, 9, 10)).astype(dtype), at_end)
                regions = im2col(x, (3, 2), 2, padding, threads=3)
                assert np.array_equal(regions, im2col(x.copy(), (3, 2), 2, padding, threads=1))
                assert np.array_equal(unfold(x, (3, 2), 1, padding, 2, threads=3), regions.swapaxes(1, 2))
                if regions.dtype.kind in "fc":
                    held = guarded(regions, at_end)
                    image = col2im(held, x.shape, (3, 2), 2, padding, threads=3)
                    assert np.array_equal(image, col2im(regions, x.shape, (3, 2), 2, padding, threads=1))
                    held = guarded(np.ascontiguousarray(regions.swapaxes(1, 2)), at_end)
                    assert np.array_equal(image, fold(held, (9, 10), (3, 2), 1, padding, 2, threads=3))
            for width in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17):
                x = guarded(rng.integers(0, 9, (2, 3, 3, width)).astype(dtype), at_end)
                regions = unfold(x, 3, 1, 1)
                assert np.array_equal(regions, im2col(x.copy(), 3, 1, 1).swapaxes(1, 2))
                if regions.dtype.kind in "fc":
                    image = fold(guarded(regions, at_end), (3, width), 3, 1, 1)
                    assert np.array_equal(image, fold(regions, (3, width), 3, 1, 1))
    print("survived")
"""


def test_nothing_outside_the_buffers_is_touched():
    assert run_child(GUARDED + SURVIVES, timeout=300).stdout == "survived\n"


@pytest.mark.parametrize("index", ["-1", "PAGE // 4"])
def test_the_guards_work(index):
    touch = f"""
    array = guarded(np.zeros(PAGE // 4, np.float32), True)
    address = array.__array_interface__["data"][0] + ({index}) * 4
    print("touching", flush=True)
    ctypes.c_float.from_address(address).value
"""
    child = run_child(GUARDED + touch, check=False)
    assert child.stdout == "touching\n"
    assert child.returncode in (-signal.SIGSEGV, -signal.SIGBUS)
