"""One process per implementation: is asked to make a problem ready, or to time it for a moment.

Whoever is not asked uses no CPU: its process is stopped, for a library's threads may spin long after the last call.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import math
import multiprocessing
import os
import signal
import statistics
import time
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flatconv import _core
from flatconv._bench.implementations import IMPLEMENTATIONS
from flatconv._bench.operations import OPERATIONS
from flatconv._bench.prepared import Prepared, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem

_BURST = 0.015  # seconds
_LONG = 0.05  # a call as long as this needs no company
_SLOW = 1.0  # a call that takes longer is made once
_PATIENCE = 8.0  # a worker that takes longer to answer is ended
_SAMPLES = 1000
_NOTHING = Prepared(lambda: None)


LIMITS = "limits"  # the name of a worker that measures the machine


class WorkerError(RuntimeError):
    """A worker could not do what it was asked; if it died, there is a new one in its place."""


class PatienceError(WorkerError):
    """A worker took too long, and was replaced."""


class Worker:
    """The parent's end of a process that holds an `Implementer` or a `Limits`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._start()
        atexit.register(self.close)  # before multiprocessing waits for its processes, stopped or not

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.name), daemon=True)
        self._process.start()
        self._greeted = False
        theirs.close()

    def send(self, method: str, *arguments: Any) -> None:
        """Ask without waiting, but for a new process to have its imports behind it."""
        if not self._greeted:
            self._greeted = True
            self.receive(None)
        self._signal(signal.SIGCONT)
        with contextlib.suppress(ConnectionError):  # `receive` says it
            self._connection.send((method, arguments))

    def receive(self, patience: float | None = _PATIENCE) -> Any:
        """Wait for the answer, for some seconds, and stop the process."""
        try:
            if not self._connection.poll(patience):
                self._process.kill()
                self._replace()
                raise PatienceError(f"no answer in {patience:g} seconds")
            answer, complaint = self._connection.recv()
        except (EOFError, ConnectionError):
            raise WorkerError(f"its process died with exit status {self._replace()}") from None
        self._signal(signal.SIGSTOP)
        if complaint:
            raise WorkerError(complaint)
        return answer

    def _signal(self, number: int) -> None:
        if (pid := self._process.pid) is not None:  # of a dead one, too, until it is joined
            os.kill(pid, number)

    def _replace(self) -> int | None:
        """Start anew, in place of a process that is ending; gives its exit status."""
        self._process.join()
        self._connection.close()
        status = self._process.exitcode
        self._start()
        return status

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask, and wait for the answer."""
        self.send(method, *arguments)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        self._connection.close()
        if self._process.is_alive():
            self._signal(signal.SIGCONT)
        self._process.join(5)
        self._process.kill()


def _serve(connection: Connection, name: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it closes the pipe, and the process ends
    try:
        subject: Any = Limits() if name == LIMITS else Implementer(name)
    except Exception as error:
        subject = error  # the answer to every question
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has closed the pipe
        connection.send((None, None))
        while True:
            connection.send(_answer(subject, *connection.recv()))


def _answer(subject: Any, method: str, arguments: tuple[Any, ...]) -> tuple[Any, str | None]:
    """The answer, and a complaint if there is none."""
    try:
        if isinstance(subject, Exception):
            raise subject
        return getattr(subject, method)(*arguments), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


# ----------------------------------------------------------------------------------------------------------------------
# In the child


class Ready(NamedTuple):
    """Samples of a result, and the time of the call that computed it if there should be no other."""

    samples: NDArray[Any]
    seconds: float | None


class Implementer:
    """Times one implementation."""

    def __init__(self, name: str) -> None:
        self._prepare, modules = IMPLEMENTATIONS[name]
        for module in modules:  # now, because all workers start at the same time
            importlib.import_module(module)
        self._prepared = _NOTHING
        self._calls = 1

    def prepare(self, problem: Problem, threads: int) -> Ready | str:
        """Make a problem ready, or say why there is no such thing."""
        self._prepared = _NOTHING  # frees the last problem's arrays
        try:
            self._prepared = self._prepare(problem, threads)
        except UnsupportedError as missing:
            return str(missing)
        start = time.perf_counter()
        result = self._prepared.call()
        seconds = time.perf_counter() - start
        samples = _sampled(self._prepared.values(result), problem)
        if seconds < _SLOW:
            seconds, _ = _time(self._prepared.call, 1)
        if seconds < _LONG:
            seconds, _ = _time(self._prepared.call, max(2, math.ceil(_BURST / 3 / seconds)))
        self._calls = 1 if seconds > _LONG else max(3, math.ceil(_BURST / seconds))
        return Ready(samples, None if seconds < _SLOW else seconds)

    def burst(self) -> tuple[float, float]:
        """Seconds of one call, among many, and how much of the time the process had a CPU."""
        if self._calls > 1:
            self._prepared.call()  # wakes the threads, warms the caches
        return _time(self._prepared.call, self._calls)

    def first_calls(self, problems: Sequence[Problem], threads: int) -> tuple[float, float]:
        """Seconds of the first call with a problem of a new shape, and of the call after it."""
        times = []
        for problem in problems:
            prepared = self._prepare(problem, threads)
            times.append((_time(prepared.call, 1)[0], _time(prepared.call, 1)[0]))
        first, again = (statistics.median(each) for each in zip(*times, strict=True))
        return first, again


class Limits:
    """Measures what the machine can do at most, on one thread; several processes at the same time stand for several."""

    def peak(self, dtype: str) -> float:
        """Operations per second on registers alone."""
        return _core.measure_peak(np.dtype(dtype))

    def copy(self, size: int) -> float:
        """Seconds that NumPy takes to read and write so many bytes together."""
        source = np.ones(max(1, size // 2), np.uint8)
        destination = np.empty_like(source)

        def call() -> None:
            np.copyto(destination, source)

        seconds, _ = _time(call, 2)
        return _time(call, max(3, math.ceil(_BURST / 2 / seconds)))[0]


def _time(call: Callable[[], Any], calls: int) -> tuple[float, float]:
    """Seconds of one of so many calls, and the share of them that this process spent on a CPU."""
    gc.disable()
    cpu, start = time.process_time(), time.perf_counter()
    for _ in repeat(None, calls):
        call()
    elapsed = time.perf_counter() - start
    cpu = time.process_time() - cpu
    gc.enable()
    return elapsed / calls, cpu / elapsed


def _sampled(results: Any, problem: Problem) -> NDArray[Any]:
    """Elements of every array of the result, or of the only one, as double precision.

    The first and the last are among them; the places are the same in every process.
    """
    several = results if isinstance(results, tuple) else (results,)
    samples = []
    for name, result in zip(OPERATIONS[problem.operation].writes, several, strict=True):
        if result.shape != problem.shapes[name]:
            raise ValueError(f"the result has shape {result.shape}, not {problem.shapes[name]}")
        flat = result.reshape(-1)
        places = np.random.default_rng(1).integers(0, flat.size, _SAMPLES)
        places[:2] = 0, flat.size - 1
        samples.append(flat[places].astype(np.complex128 if flat.dtype.kind == "c" else np.float64))
    return np.concatenate(samples)
