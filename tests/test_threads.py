"""Threads and processes: forks, many callers at once, and a free interpreter while the core computes."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracles
import pytest
from child_process import run_child
from flatconv import conv2d

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORK = """
    import os, sys, threading, warnings
    import numpy as np
    from flatconv import conv2d

    warnings.simplefilter("ignore", DeprecationWarning)  # about fork among threads, which is what is tested
    x, weight = np.ones((2, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32)

    def works():
        return (conv2d(x, weight, threads=3) == 144).all()

    def busy():
        while not done.is_set():
            works()

    done = threading.Event()
    assert works()
    threads = [threading.Thread(target=busy) for _ in range(int(sys.argv[1]))]
    for thread in threads:
        thread.start()
    for _ in range(10):
        child = os.fork()
        if child == 0:
            os._exit(0 if works() and works() else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert works()
    done.set()
    for thread in threads:
        thread.join()
    print("survived")
"""


@needs_fork
@pytest.mark.parametrize("busy_threads", [0, 2])
def test_fork_after_use(busy_threads):
    assert run_child(FORK, busy_threads).stdout == "survived\n"


@needs_fork
def test_grandchildren():
    run_child(
        """
        import os
        import numpy as np
        from flatconv import conv2d

        x, weight = np.ones((2, 16, 64, 64), np.float32), np.ones((16, 16, 3, 3), np.float32)
        for generation in range(4):
            assert (conv2d(x, weight, threads=2) == 144).all()
            child = os.fork()
            if child:
                _, status = os.waitpid(child, 0)
                os._exit(status and 1)
        """
    )


@pytest.mark.timeout(120)
def test_32_concurrent_callers(rng):
    problems = []
    for i in range(32):
        x = rng.standard_normal((1 + i % 3, 3 + i, 10 + 3 * i, 40 - i)).astype(np.float32)
        weight = rng.standard_normal((1 + 2 * i, 3 + i, 3, 3)).astype(np.float32)
        problems.append((x, weight, conv2d(x, weight, padding=1, threads=1)))
    start = threading.Barrier(32)

    def call(i):
        start.wait()
        for repetition in range(6):
            x, weight, expected = problems[(i + repetition) % 32]
            oracles.assert_same_bits(conv2d(x, weight, padding=1, threads=1 + (i + repetition) % 5), expected)
        return i

    with ThreadPoolExecutor(32) as callers:
        assert list(callers.map(call, range(32), timeout=100)) == list(range(32))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_interpreter_is_free_while_the_core_computes(threads):
    x = np.broadcast_to(np.float32(1), (1, 512, 200, 200))
    weight = np.broadcast_to(np.float32(1), (16, 512, 5, 5))
    done = threading.Event()

    def compute():
        conv2d(x, weight, threads=threads)
        done.set()

    worker = threading.Thread(target=compute)
    worker.start()
    turns = 0
    while not done.wait(0.001):
        turns += 1
    worker.join()
    assert turns >= 5


HIRED = """
    import os, sys

    os.environ.pop("FLATCONV_NUM_THREADS", None), os.environ.pop("OMP_NUM_THREADS", None)
    import numpy as np
    from flatconv import _core, col2im, conv2d, get_num_threads, im2col

    size, work_per_thread = int(sys.argv[1]), sys.argv[2]
    if work_per_thread != "default":
        _core.set_work_per_thread(float(work_per_thread))
    x, weight = np.ones((4, size, size)), np.ones((4, 4, 3, 3))
    regions = im2col(x, 3, threads=1)
    before = len(os.listdir("/proc/self/task"))
    conv2d(x, weight, threads=2)
    im2col(x, 3, threads=2)
    col2im(regions, x.shape, 3, threads=2)
    print(get_num_threads() > 1, len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
@pytest.mark.parametrize(
    ("size", "work_per_thread", "hired"), [(8, "default", 0), (200, "default", 1), (8, 0, 1), (200, 1e15, 0)]
)
def test_small_problems_stay_on_the_calling_thread(size, work_per_thread, hired):
    """Most tests of bits rely on it that with a work_per_thread of 0 they do not."""
    several, found = run_child(HIRED, size, work_per_thread).stdout.split()
    assert int(found) == (hired if several == "True" else 0)


@pytest.mark.usefixtures("split_work")
def test_more_threads_than_work(rng):
    x, weight = rng.standard_normal((1, 1, 3, 3)), rng.standard_normal((1, 1, 3, 3))
    expected = conv2d(x, weight, threads=1)
    for threads in (2, 7, 64, 500):
        oracles.assert_same_bits(conv2d(x, weight, threads=threads), expected)
