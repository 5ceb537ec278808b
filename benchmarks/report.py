"""Writes benchmarks/RESULTS.md from a session of measurements; called by run.py."""

from __future__ import annotations

from collections.abc import Iterator

from flatconv._bench import tables
from flatconv._bench.measure import Measurement
from flatconv._bench.operations import ELEMENTS
from flatconv._bench.session import Session

INTRODUCTION = """\
# Results

Written by `python benchmarks/run.py`. Each implementation ran in a process of its own; in every round all of them timed
the same problem in turn while the others were stopped. Times are medians over {rounds} rounds, in microseconds.

- **flatconv** and **torch** (NHWC: with channels last) are plain functions that get their weights in every call.
  **packed** (`flatconv.pack`), **ORT** (ONNX Runtime) and **OpenVINO** had them before, and write into memory that is
  in place. **in float32** is flatconv, plain, with float32 in the place of narrower numbers.
- **× peer**: plain against the better of torch's two formats, packed against the best of all; on images OpenCV and
  SciPy too, but OpenCV only up to 11×11, beyond which it computes another way, by Fourier transform.
- **Limit**: the larger of the arithmetic time, operations ÷ the peak of multiply-adds on registers alone, and the
  memory time, what NumPy takes to copy as many bytes as all the arrays have; both measured in the same rounds. Who
  skips products with padding, as OpenVINO does, can exceed the peak, and so can who has instructions for halves or
  bytes: the peak is that of float32, or float64.
- **least** and **mean**, the geometric one, are over layers. **At limit**: how many layers would meet the goal if ours
  took no longer than the limit; where a peer is near it, none can be far ahead.

{machine}
"""


def groups(measurements: list[Measurement]) -> Iterator[tuple[str, list[Measurement]]]:
    """The measurements by threads, data type and batch, as tables want them; all that are not plain together."""
    found: dict[tuple[int, str], list[Measurement]] = {}
    for one in measurements:
        kind = f"{one.problem.dtype}, batch {one.problem.batch}" if one.problem.plain else "other operations and types"
        found.setdefault((one.threads, kind), []).append(one)
    for (threads, kind), members in found.items():
        yield f"{threads} thread{'s' * (threads > 1)}, {kind}", members


def summaries(session: Session) -> str:
    """Goals, classes, networks, overhead: the report without its long tables."""
    parts = []
    for threads in sorted({one.threads for one in session.measurements}):
        if reached := tables.goals(session.measurements, threads):
            parts += [f"## Goals, {threads} thread{'s' * (threads > 1)}", reached]
    for title, members in groups(session.measurements):
        parts += [f"## Classes: {title}", tables.classes(members)]
        if totals := tables.networks(members):
            parts += [f"## Networks, all convolutions, ms: {title}", totals]
    if session.first_calls:
        parts += ["## Overhead, and new shapes", tables.overhead(session.measurements, session.first_calls)]
    for title, lines in (
        ("Disturbed", tables.disturbances(session.measurements)),
        ("Failures", tables.failures(session.measurements)),
        ("Absent", tables.absences(session.measurements)),
    ):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts)


def markdown(session: Session) -> str:
    """The whole report."""
    parts = [INTRODUCTION.format(rounds=session.rounds, machine=machine(session)), summaries(session)]
    for title, members in groups(session.measurements):
        parts += [f"## Every problem: {title}", tables.problems(members)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def machine(session: Session) -> str:
    """What the figures depend on."""
    peaks = {}
    for one in session.measurements:
        peaks.setdefault((one.threads, ELEMENTS[one.problem.dtype].arithmetic), []).append(one.peak * 1e-9)
    lines = [
        f"- {session.machine['cpu']}, {session.machine['cpus']} CPUs, {session.machine['system']}; "
        f"flatconv used {session.machine['isa']}, compiled by {session.machine['compiler']}",
        "- " + ", ".join(f"{module} {version}" for module, version in session.versions.items()),
        *(
            f"- peak of {threads} thread{'s' * (threads > 1)} in {dtype}: "
            f"{sorted(values)[len(values) // 2]:.1f} GFLOP/s ({min(values):.1f} to {max(values):.1f} during the run)"
            for (threads, dtype), values in peaks.items()
        ),
        f"- {len(session.measurements)} measurements took {session.seconds / 60:.0f} minutes",
    ]
    return "\n".join(lines)
