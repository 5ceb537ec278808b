"""Threads and processes: forks, many callers at once, Ctrl-C, and a free interpreter while the core computes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracles
import pytest
from child_process import run_child
from flatconv import conv2d
from flatconv._arguments import ALGORITHMS

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


# Minutes of work in little memory, if nobody stops it.
INTERRUPTED = """
    import sys
    import numpy as np
    from flatconv import conv2d

    algorithm, threads = sys.argv[1], int(sys.argv[2])
    x = np.broadcast_to(np.float32(1), (1, 8192, 1032, 1032))
    weight = np.broadcast_to(np.float32(1), (16, 8192, 9, 9))
    print("ready", flush=True)
    try:
        conv2d(x, weight, algorithm=algorithm, threads=threads)
    except KeyboardInterrupt:
        assert (conv2d(x[:, :2, :9, :9], weight[:, :2], threads=2) == 162).all()
        print("interrupted, and still working", flush=True)
        raise
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_a_long_call(algorithm, threads):
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), algorithm, str(threads)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, encoding="utf-8") as child:
        try:
            assert child.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.5)
            child.send_signal(signal.SIGINT)
            output, errors = child.communicate(timeout=10)
        finally:
            child.kill()
    assert output == "interrupted, and still working\n"
    assert "KeyboardInterrupt" in errors
    assert child.returncode in (-signal.SIGINT, 128 + signal.SIGINT)


def test_more_threads_than_work(rng):
    x, weight = rng.standard_normal((1, 1, 3, 3)), rng.standard_normal((1, 1, 3, 3))
    expected = conv2d(x, weight, threads=1)
    for threads in (2, 7, 64, 500):
        oracles.assert_same_bits(conv2d(x, weight, threads=threads), expected)
