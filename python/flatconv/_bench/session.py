"""A session of measurements: problems × threads in order, with progress; what is shown, written and read again."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

import flatconv
from flatconv._bench import tables
from flatconv._bench.catalogue import networks_of
from flatconv._bench.implementations import IMPLEMENTATIONS
from flatconv._bench.measure import Bench, Measurement
from flatconv._bench.problems import Problem, problem
from flatconv._bench.summary import PACKED, PLAIN, peers

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Session:
    """What was measured, where, and with what."""

    machine: dict[str, Any]
    versions: dict[str, str]
    rounds: int
    measurements: list[Measurement] = field(default_factory=list)
    first_calls: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, with the figures that follow from the times."""
        plain = asdict(self)
        for one, entry in zip(self.measurements, plain["measurements"], strict=True):
            entry[_DERIVED] = _derived(one)
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Session:
        """The session that `as_json` described."""
        measurements = []
        for entry in plain["measurements"]:
            sizes = {key: _tuples(value) for key, value in entry["problem"].items()}
            kept = {key: value for key, value in entry.items() if key != _DERIVED}
            measurements.append(Measurement(**{**kept, "problem": Problem(**sizes)}))
        first_calls = {name: (first, again) for name, (first, again) in plain["first_calls"].items()}
        return cls(**{**plain, "measurements": measurements, "first_calls": first_calls})


_DERIVED = "derived"


def _derived(one: Measurement) -> dict[str, Any]:
    """The figures that readers of the file want, and that follow from the others."""
    ours = [name for name in (PLAIN, PACKED) if name in one.seconds]
    return {
        "label": one.problem.label,
        "networks": networks_of(one.problem),
        "classes": one.problem.classes,
        "limit_seconds": one.limit_seconds,
        "median_seconds": {name: one.median(name) for name in one.seconds},
        "gflops": {name: one.problem.operations / one.median(name) * 1e-9 for name in one.seconds},
        "of_limit": {name: one.limit_seconds / one.median(name) for name in one.seconds},
        "best_peer": {name: one.best(peers(one, name)) for name in ours},
        "speedup": {name: one.speedup(name, peers(one, name)) for name in ours},
    }


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def run(problems: Sequence[Problem], names: Sequence[str], threads: Sequence[int], rounds: int) -> Session:
    """Measure every problem with every number of threads, showing how it goes; Ctrl-C ends it early."""
    session = Session(_machine(), _versions(names), rounds)
    start = time.monotonic()
    total = len(problems) * len(threads)
    header = tables.header(names)
    widths = [max((len(each.label) for each in problems), default=0), *(max(6, len(cell)) for cell in header[1:])]

    def show(cells: Sequence[str], progress: str = "") -> None:
        line = "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])])
        print(f"{line}  {progress}".rstrip(), flush=True)

    with Bench(names, max(threads)) as bench, contextlib.suppress(KeyboardInterrupt):
        for count in threads:
            show([f"{count} thread{'s' * (count > 1)}", *header[1:]])
            for each in problems:
                session.measurements.append(bench.measure(each, count, rounds))
                done = len(session.measurements)
                left = (time.monotonic() - start) / done * (total - done)
                show(tables.row(session.measurements[-1], names), f"{left / 60:.1f} min left")
        session.first_calls = bench.first_calls(_NEW_SHAPES, 1)
    session.seconds = time.monotonic() - start
    return session


_NEW_SHAPES = [problem(16, 16, (height, width), 3) for height in range(5, 11) for width in range(5, 11)]


def _machine() -> dict[str, Any]:
    config = flatconv.show_config()
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "isa": config["isa"],
        "compiler": config["compiler"],
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _versions(names: Sequence[str]) -> dict[str, str]:
    distribution = {"cv2": ("opencv-python-headless", "opencv-python")}
    found = {"python": platform.python_version(), "numpy": metadata.version("numpy")}
    for module in {module: None for name in names for module in IMPLEMENTATIONS[name].modules}:
        for candidate in distribution.get(module, (module,)):
            try:
                found[module] = metadata.version(candidate)
                break
            except metadata.PackageNotFoundError:
                continue
    return found
