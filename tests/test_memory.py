"""Working memory: what a call takes beside its inputs and its output, as the operating system counts it."""

import sys

import pytest
from child_process import run_child
from flatconv._arguments import ALGORITHMS

pytestmark = pytest.mark.skipif(sys.platform not in ("darwin", "linux"), reason="knows two systems' ways to count")

MIB = 2**20

# The figure is the growth of the process's peak during the call. Were there an earlier peak, higher than what the
# process held before the call, it would hide part of the growth: so a block of known size has to show at the end.
MEASURED = """
    import resource, sys
    import numpy as np
    from flatconv import conv2d

    BLOCK = 64 * 2**20

    def peak():
        if sys.platform == "darwin":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Linux counts to ru_maxrss what the parent held when it started this process.
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

    def zeros_in_memory(*shape):
        array = np.empty(shape, np.float32)
        array[...] = 0
        return array

    size, kernel, step, threads, algorithm = (eval(argument) for argument in sys.argv[1:])
    x = zeros_in_memory(1, 1, size, size)
    x += 1
    out = zeros_in_memory(1, 1, size - kernel + 1, step * (size - kernel + 1))[..., ::step]
    weight = np.ones((1, 1, kernel, kernel), np.float32)
    conv2d(x[..., :32, :32], weight[..., :3, :3])

    before = peak()
    conv2d(x, weight, out=out, threads=threads, algorithm=algorithm)
    grown = peak() - before

    held = np.ones(BLOCK, np.uint8)
    assert peak() - before >= 0.9 * BLOCK, "an earlier peak hides what calls take"
    assert out.min() == out.max() == kernel * kernel
    print(grown)
"""


def growth(size, kernel, step=1, threads=2, algorithm="auto", timeout=120):
    arguments = (size, kernel, step, threads, repr(algorithm))
    return int(run_child(MEASURED, *arguments, timeout=timeout).stdout)


@pytest.mark.parametrize("algorithm", [each for each in ALGORITHMS if each != "reference"])
def test_memory_does_not_grow_with_the_image(algorithm):
    assert growth(500, 15, algorithm=algorithm) < 4 * MIB
    assert growth(2000, 15, algorithm=algorithm) < 4 * MIB


def test_memory_for_a_strided_output():
    assert growth(2000, 15, step=3) < 4 * MIB


def test_memory_for_a_large_kernel():
    assert growth(600, 151) < 4 * MIB


def test_memory_grows_with_the_threads_alone():
    assert growth(2000, 15, threads=7) < 9 * MIB


PHASES = """
    import sys
    import numpy as np
    from flatconv import conv_transpose1d, grad

    def held(name):
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith(name))

    kernel, padding = (eval(argument) for argument in sys.argv[1:])
    x, weight = np.float32([[[3, 4]]]), np.arange(1, kernel + 1, dtype=np.float32)[None, None]
    y = np.zeros((1, 1, 2 * kernel - 2 * padding), np.float32)
    y += 1
    expected = np.concatenate([3 * weight, 4 * weight], -1)[..., padding : 2 * kernel - padding]
    grad.conv1d_input(y[..., :4].shape, weight[..., :2], x, stride=2)
    for call in (
        lambda: conv_transpose1d(x, weight, stride=kernel, padding=padding, out=y),
        lambda: grad.conv1d_input(y.shape, weight, x, stride=kernel, padding=padding, out=y),
    ):
        before = held("VmRSS:")
        call()
        print(held("VmHWM:") - before)
        assert np.array_equal(y, expected)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux counts")
@pytest.mark.parametrize("padding", [0, 50_001])
def test_memory_does_not_grow_with_the_phases(padding):
    transposed, gradient = map(int, run_child(PHASES, 200_000, padding, timeout=120).stdout.split())
    assert transposed < 8 * MIB
    assert gradient < 8 * MIB


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "step"), [(15, 1), (15, 2), (101, 1)])
def test_memory_for_a_large_image(kernel, step):
    assert growth(8192, kernel, step, threads=None, timeout=900) < 64 * MIB
