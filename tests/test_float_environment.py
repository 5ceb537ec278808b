"""The floating-point environment, rounding, flushing and flags: results do not depend on it, and nothing changes it."""

import ctypes
import ctypes.util
import platform
import sys

import numpy as np
import pytest
from child_process import run_child
from flatconv import conv2d
from flatconv._arguments import ALGORITHMS

# The control register of the thread, as <fenv.h> keeps it: where it lies in fenv_t, the bits that flush subnormals, and
# FE_UPWARD. The flags are in the order FE_INVALID, FE_DIVBYZERO, FE_OVERFLOW, FE_UNDERFLOW; that of inexact results is
# raised by all arithmetic, Python's too.
ENVIRONMENTS = {
    "x86_64": {"word": 7, "flush": 0x8040, "upward": 0x800, "flags": (1, 4, 8, 16)},
    "aarch64": {"word": 0, "flush": 1 << 24, "upward": 0x400000, "flags": (1, 2, 4, 8)},
}
pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() not in ENVIRONMENTS, reason="knows fenv.h of Linux on two CPUs"
    ),
    pytest.mark.usefixtures("split_work"),
]

SET_UP = f"""
    import ctypes, ctypes.util, sys
    import numpy as np

    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    word, flush, upward, flags = {ENVIRONMENTS.get(platform.machine(), ENVIRONMENTS["x86_64"])}.values()

    def environment():
        memory = (ctypes.c_uint32 * 256)()
        assert libm.fegetenv(memory) == 0
        return memory

    def control():
        return environment()[word] & ~sum(flags) & ~0x3F, libm.fegetround()

    def set_environment(rounding, flushing):
        memory = environment()
        memory[word] = memory[word] & ~flush | flush * flushing
        assert libm.fesetenv(memory) == 0
        assert libm.fesetround(rounding) == 0
"""


def test_importing_leaves_the_environment_as_it_was():
    run_child(
        SET_UP
        + """
    before = control()
    import flatconv
    assert control() == before
    set_environment(upward, True)
    before = control()
    del sys.modules["flatconv"], sys.modules["flatconv._core"]
    import flatconv
    assert control() == before
"""
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_results_do_not_depend_on_the_environment_nor_change_it(algorithm):
    """Threads that are hired in a strange environment have it from their parent."""
    run_child(
        SET_UP
        + """
    from flatconv import _core, conv2d

    _core.set_work_per_thread(0)
    rng = np.random.default_rng(1)
    cases = []
    for dtype in (np.float32, np.float64):
        x, weight = rng.standard_normal((2, 3, 11, 12)).astype(dtype), rng.standard_normal((9, 3, 3, 3)).astype(dtype)
        for scale in (dtype(1), np.finfo(dtype).smallest_normal):
            cases.append((x * scale, weight, conv2d(x * scale, weight, algorithm="reference", threads=1)))

    for rounding in (0, upward):
        for flushing in (False, True):
            for threads in (1, 2, 3):
                set_environment(rounding, flushing)
                before = control()
                results = [conv2d(x, weight, algorithm=sys.argv[1], threads=threads) for x, weight, _ in cases]
                after = control()
                set_environment(0, False)
                assert after == before
                for result, (_, _, expected) in zip(results, cases):
                    assert result.tobytes() == expected.tobytes(), (rounding, flushing, threads)
                assert before[1] == rounding

    # These environments do make a difference to whoever computes in them.
    one, least, normal = np.float32(1), np.float32(1e-10), np.finfo(np.float32).smallest_normal
    set_environment(upward, True)
    risen, flushed = one + least, normal * np.float32(0.5)
    set_environment(0, False)
    assert risen > one == one + least
    assert flushed == 0 < normal * np.float32(0.5)
""",
        algorithm,
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("threads", [1, 2])
def test_flags_are_left_as_they_were(algorithm, threads):
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    flags = ENVIRONMENTS[platform.machine()]["flags"]
    infinite, largest = (np.full((1, 1, 5, 5), value, np.float32) for value in (np.inf, np.finfo(np.float32).max))
    tiny = np.full((1, 1, 5, 5), np.finfo(np.float32).smallest_normal, np.float32)
    calls = [(infinite, -infinite), (largest, largest), (tiny, tiny)]  # invalid, overflow, underflow
    out = np.empty((1, 1, 5, 5), np.float32)
    for x, weight in calls:
        for raised in (0, *flags, sum(flags)):
            libm.feclearexcept(sum(flags))
            libm.feraiseexcept(raised)
            conv2d(x, weight, padding=2, out=out, algorithm=algorithm, threads=threads)
            assert libm.fetestexcept(sum(flags)) == raised
    libm.feclearexcept(sum(flags))
