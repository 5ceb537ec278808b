"""Measures problems: every implementation in turn, round by round, beside the limits of the machine."""

from __future__ import annotations

import contextlib
import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._bench.operations import ELEMENTS, OPERATIONS
from flatconv._bench.worker import LIMITS, PatienceError, Worker, WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem


@dataclass
class Measurement:
    """What was measured of one problem.

    Parameters
    ----------
    peak : float
        Operations per second of all threads together, on registers alone.
    copy_seconds : float
        The time to copy as much memory as the problem's arrays have.
    seconds : dict
        Of each implementation, the time of a call in each round.
    absent : dict
        Of the others, why there is none.
    cpu_share : float
        How much of the time the processes had the CPUs that they asked for: less than 1 if others were busy, or,
        with several threads, if they waited for each other.
    failed : dict
        Of those that failed or whose results are wrong, how.
    """

    problem: Problem
    threads: int
    peak: float
    copy_seconds: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    cpu_share: float = 1.0
    failed: dict[str, str] = field(default_factory=dict)

    def median(self, implementation: str) -> float:
        """Seconds of a call."""
        return statistics.median(self.seconds[implementation])

    @property
    def arithmetic_seconds(self) -> float:
        """How long the operations take at the peak."""
        return self.problem.operations / self.peak

    @property
    def limit_seconds(self) -> float:
        """What no implementation can beat: the larger of arithmetic time and memory time."""
        return max(self.arithmetic_seconds, self.copy_seconds)

    def best(self, implementations: Iterable[str]) -> str | None:
        """The fastest of those that were measured."""
        return min((name for name in implementations if name in self.seconds), key=self.median, default=None)

    def speedup(self, implementation: str, peers: Iterable[str]) -> float | None:
        """How many times as fast as the best of its peers it is."""
        best = self.best(peers)
        if best is None or implementation not in self.seconds:
            return None
        return self.median(best) / self.median(implementation)


class Bench:
    """The workers. Use it in a `with` statement."""

    def __init__(self, implementations: Iterable[str], most_threads: int) -> None:
        self._workers = {name: Worker(name) for name in implementations}
        self._limits = [Worker(LIMITS) for _ in range(most_threads)]

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in (*self._workers.values(), *self._limits):
            worker.close()

    def measure(self, problem: Problem, threads: int, rounds: int) -> Measurement:
        """Time the problem."""
        found = Measurement(problem, threads, 0.0, 0.0)
        self._prepare(found)
        slow = {name for name, times in found.seconds.items() if times}
        peaks, copies, shares = [], [], [1.0]
        arithmetic = ELEMENTS[problem.dtype].arithmetic
        for i in range(rounds):
            peaks.append(sum(self._on_each_thread(threads, "peak", arithmetic)))
            copies.append(max(self._on_each_thread(threads, "copy", problem.bytes // threads)))
            names = [name for name in found.seconds if name not in slow]
            first = i % max(1, len(names))
            for name in names[first:] + names[:first]:
                try:
                    seconds, share = self._workers[name].ask("burst")
                except WorkerError as error:
                    found.failed[name] = str(error)
                    del found.seconds[name]
                else:
                    found.seconds[name].append(seconds)
                    shares.append(share)
        found.peak, found.copy_seconds = statistics.median(peaks), statistics.median(copies)
        found.cpu_share = statistics.median(shares) / threads
        return found

    def first_calls(self, problems: Sequence[Problem], threads: int) -> dict[str, tuple[float, float]]:
        """Of each implementation, seconds of the first call with a new shape, and of the call after it."""
        found = {}
        for name, worker in self._workers.items():
            with contextlib.suppress(WorkerError):
                found[name] = worker.ask("first_calls", problems, threads)
        return found

    def _prepare(self, found: Measurement) -> None:
        """Make all workers ready, and compare their results. Those that are slow are timed on the way, once for all."""
        reference: tuple[str, NDArray[Any]] | None = None
        for name, worker in self._workers.items():
            try:
                ready = worker.ask("prepare", found.problem, found.threads)
            except PatienceError as error:
                found.absent[name] = str(error)
                continue
            except WorkerError as error:
                found.failed[name] = str(error)
                continue
            if isinstance(ready, str):
                found.absent[name] = ready
                continue
            reference = reference or (name, ready.samples)
            if difference := _difference(ready.samples, reference[1], found.problem):
                found.failed[name] = f"differs from {reference[0]} by {difference}"
            else:
                found.seconds[name] = [] if ready.seconds is None else [ready.seconds]

    def _on_each_thread(self, threads: int, method: str, *arguments: Any) -> list[float]:
        """The answers of as many processes as there are threads, working at the same time."""
        for worker in self._limits[:threads]:
            worker.send(method, *arguments)
        return [worker.receive() for worker in self._limits[:threads]]


def _difference(samples: NDArray[Any], reference: NDArray[Any], problem: Problem) -> str:
    """By how much two results differ, if it is more than rounding makes.

    Values are of unit variance, so a sum of K products is about √K, and rounding errors grow about as K, before it is
    rounded itself. Bytes are exact, but for what lies in the middle between two when it is rounded.
    """
    terms, element = OPERATIONS[problem.operation].terms(problem), ELEMENTS[problem.dtype]
    bound = 8 * (element.unit * (terms + 8) + element.rounded * math.sqrt(terms + 8))
    bound += problem.operation == "qlinear_conv"
    largest = float(np.max(np.abs(samples - reference)))
    return "" if largest <= bound else f"{largest:.2g}, which is more than {bound:.2g}"
