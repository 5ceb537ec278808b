"""Ctrl-C, the GIL, and the end of the process while calls compute: nobody has to wait for them."""

import math
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from child_process import run_child
from flatconv._arguments import ALGORITHMS

# ----------------------------------------------------------------------------------------------------------------------
# Ctrl-C

# Many seconds of work in little memory, if nobody stops it. Broadcast arrays stand for large ones.
LONG_CALLS = """
    import mmap, sys
    import numpy as np
    from flatconv import col2im, conv2d, im2col, pack, set_num_threads

    def ones(*shape):
        return np.broadcast_to(np.float32(1), shape)

    def many_short_tasks(**keywords):
        conv2d(ones(20_000, 1024, 14, 14), np.ones((64, 1024, 3, 3), np.float32), **keywords)

    def few_long_tasks(**keywords):
        # Three images of sixteen pixels; the kernels of all output channels are the same memory.
        kernels = np.ones((1, 2**16, 3, 3), np.float32)
        conv2d(ones(3, 2**16, 6, 6), np.broadcast_to(kernels, (2**16, *kernels.shape[1:])), **keywords)

    def large_images(**keywords):
        conv2d(ones(3, 8192, 1032, 1032), ones(1, 8192, 9, 9), **keywords)

    def weights_to_pack(**keywords):
        conv2d(ones(1, 4096, 64, 64), ones(2048, 4096, 9, 9), **keywords)

    def layer_to_pack(threads):
        set_num_threads(threads)
        pack(ones(2048, 4096, 9, 9))

    def one_row_of_regions(**keywords):
        im2col(np.broadcast_to(np.uint8(1), (1, 1_000_000_000)), 1, **keywords)

    def one_image_of_regions(**keywords):
        # All pages of memory that nobody has written are one page of zeros.
        rows, columns = 301**2, 200**2
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
        regions = np.frombuffer(mmap.mmap(-1, 4 * rows * columns, flags=flags), np.float32)
        col2im(regions.reshape(rows, columns), (500, 500), 200, **keywords)
"""
INTERRUPTED = (
    LONG_CALLS
    + """
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background has it ignored
    call, keywords = globals()[sys.argv[1]], eval(sys.argv[2])
    print("ready", flush=True)
    try:
        call(**keywords)
    except KeyboardInterrupt:
        assert (conv2d(ones(1, 2, 9, 9), ones(16, 2, 9, 9), threads=2) == 162).all()
        print("interrupted, and still working", flush=True)
        raise
"""
)


def seconds_to_interrupt(call, keywords):
    """How long a process takes to end after Ctrl-C in the middle of a call."""
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), call, repr(keywords)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, encoding="utf-8") as child:
        try:
            assert child.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.3)
            start = time.monotonic()
            child.send_signal(signal.SIGINT)
            output, errors = child.communicate(timeout=5)
            seconds = time.monotonic() - start
        except subprocess.TimeoutExpired:
            return math.inf
        finally:
            child.kill()
    assert output == "interrupted, and still working\n", errors
    assert "KeyboardInterrupt" in errors
    assert child.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    return seconds


WAYS = [algorithm for algorithm in ALGORITHMS if algorithm != "auto"]
CTRL_C = [
    *(("many_short_tasks", {"algorithm": algorithm}) for algorithm in WAYS),
    *(("few_long_tasks", {"algorithm": algorithm}) for algorithm in WAYS if algorithm != "reference"),
    *(("large_images", {"algorithm": algorithm}) for algorithm in WAYS),
    ("weights_to_pack", {}),
    ("layer_to_pack", {}),
    ("one_row_of_regions", {}),
    ("one_image_of_regions", {}),
]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("call", "keywords"), CTRL_C, ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else value
)
def test_ctrl_c_ends_a_long_call_within_a_second(call, keywords, threads):
    """A second, and half of one for the end of the process. A loaded machine gets three attempts."""
    attempts = (seconds_to_interrupt(call, {**keywords, "threads": threads}) for _ in range(3))
    assert any(seconds < 1.5 for seconds in attempts)


# ----------------------------------------------------------------------------------------------------------------------
# Other threads


NO_GIL = """
    import ctypes, sys, threading, time
    import numpy as np
    from flatconv import conv2d

    keywords = eval(sys.argv[1])
    weight = np.ones((8, 64, 3, 3), np.float32)
    batch, seconds = 1, 0
    while seconds < 0.1:
        batch *= 2
        x = np.broadcast_to(np.float32(1), (batch, 64, 34, 34))
        start = time.perf_counter()
        conv2d(x, weight, **keywords)
        seconds = time.perf_counter() - start

    out = np.zeros((batch, 8, 32, 32), np.float32)
    ends = out[-1, -1, -1, -2:]
    about_to_call = threading.Event()

    def compute():
        about_to_call.set()
        conv2d(x, weight, out=out, **keywords)

    thread = threading.Thread(target=compute)
    thread.start()
    about_to_call.wait()
    time.sleep(seconds / 10)
    began = not ends.any()
    ctypes.PyDLL(None).usleep(int(1e6 * (0.2 + 4 * seconds)))  # and does not let go of the GIL
    ended = (out == 576).all()
    thread.join()
    assert (out == 576).all()
    print(bool(began), bool(ended))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs usleep")
@pytest.mark.parametrize("algorithm", ["auto", "reference"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_call_on_another_thread_does_not_wait_for_the_gil(algorithm, threads):
    attempts = (run_child(NO_GIL, {"algorithm": algorithm, "threads": threads}).stdout for _ in range(3))
    assert "True True\n" in attempts


COUNTED = """
    import sys, threading
    import numpy as np
    from flatconv import pack

    sys.setswitchinterval(1e-6)
    counter, counted = [0], []

    def make_layer():
        weight = np.broadcast_to(np.float32(1), (1024, 1024, 7, 7))
        before = counter[0]
        pack(weight)
        counted.append(counter[0] - before)

    thread = threading.Thread(target=make_layer)
    thread.start()
    while not counted:
        counter[0] += 1
    thread.join()
    print(counted[0] > 10_000)
"""


def test_others_run_while_a_layer_is_packed():
    """Between two steps of a thread that keeps the GIL, another one counts to some hundreds at most."""
    attempts = (run_child(COUNTED).stdout for _ in range(3))
    assert "True\n" in attempts


LEFT_BEHIND = (
    LONG_CALLS
    + """
    import threading, time

    def call_forever():
        while True:
            conv2d(ones(2, 16, 32, 32), ones(16, 16, 3, 3), threads=2)

    called = [call_forever, call_forever, *(globals()[name] for name in sys.argv[2:])]
    for target in called:
        threading.Thread(target=target, daemon=True).start()
    time.sleep(float(sys.argv[1]))
    print("leaving")
"""
)


@pytest.mark.parametrize("call", ["many_short_tasks", "few_long_tasks", "one_row_of_regions", "one_image_of_regions"])
def test_daemon_threads_may_be_computing_when_the_interpreter_exits(call):
    for repetition in range(3):
        child = run_child(LEFT_BEHIND, 0.05 * (1 + repetition), call, timeout=20)
        assert child.stdout == "leaving\n"
        assert child.stderr == ""
