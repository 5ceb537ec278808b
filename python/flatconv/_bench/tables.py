"""Measurements as text: a line for each problem while it is measured, and tables, in Markdown, at the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from flatconv._bench import summary
from flatconv._bench.catalogue import networks_of
from flatconv._bench.problems import CLASSES
from flatconv._bench.summary import IN_FLOAT32, PACKED, PLAIN, Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flatconv._bench.measure import Measurement

TITLES = {
    PLAIN: "flatconv",
    PACKED: "packed",
    IN_FLOAT32: "in float32",
    "torch-contiguous": "torch",
    "torch-channels-last": "torch NHWC",
    "onnxruntime": "ORT",
    "openvino": "OpenVINO",
    "opencv": "OpenCV",
    "scipy": "SciPy",
}
_MISSING = "–"
_UNDISTURBED = 0.97


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, readable as it is, with the first column to the left; without rows, nothing at all."""
    lines = [list(header), *map(list, rows)]
    if len(lines) == 1:
        return ""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        "| " + " | ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) + " |"
        for line in [lines[0], rule, *lines[1:]]
    )


def microseconds(seconds: float) -> str:
    """Three digits or so."""
    value = seconds * 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _ratio(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.0%}"


# ----------------------------------------------------------------------------------------------------------------------
# Problem by problem


def present(measurements: Iterable[Measurement]) -> list[str]:
    """The implementations that were measured at least once."""
    return [name for name in TITLES if any(name in one.seconds for one in measurements)]


def header(names: Iterable[str]) -> list[str]:
    """The columns of `row`."""
    ours = [TITLES[name] for name in (PLAIN, PACKED) if name in names]
    limits = [f"{title} {figure}" for title in ours for figure in ("% of limit", "× peer")]
    return ["layer", *(f"{TITLES[name]} µs" for name in names), "GFLOP/s", *limits, "fastest peer"]


def row(one: Measurement, names: Iterable[str]) -> list[str]:
    """One problem: times, operations per second of our fastest, shares of the limit, ratios to the best peer."""
    times = [microseconds(one.median(name)) if name in one.seconds else _MISSING for name in names]
    ours = [name for name in (PLAIN, PACKED) if name in names]
    fastest = one.best(ours)
    speed = _MISSING
    if fastest is not None and one.problem.operations:
        speed = f"{one.problem.operations / one.median(fastest) * 1e-9:.1f}"
    limits = []
    for name in ours:
        limits += [_percent(summary.of_limit(name)(one)), _ratio(summary.speedup(name)(one))]
    best = one.best(summary.peers(one, PACKED))
    return [one.problem.label, *times, speed, *limits, _MISSING if best is None else TITLES[best]]


def problems(measurements: Sequence[Measurement]) -> str:
    """A table of every problem, and the networks that have it."""
    names = present(measurements)
    rows = ([*row(one, names), ", ".join(networks_of(one.problem))] for one in measurements)
    return table([*header(names), "networks"], rows)


# ----------------------------------------------------------------------------------------------------------------------
# Summaries


def classes(measurements: list[Measurement]) -> str:
    """A table with a line for each class: against the best peer, and against the limits."""
    ours = [name for name in (PLAIN, PACKED) if name in present(measurements)]
    header, rows = ["class", "layers"], []
    for name in ours:
        title = TITLES[name]
        header += [f"{title}: × peer least", "mean", "% of peak least", "mean", "% of limit least", "mean"]
    for name, members in summary.by_class(measurements).items():
        cells = [f"{name}: {CLASSES[name][0]}", str(len(members))]
        for each in ours:
            for metric, shown in (
                (summary.speedup(each), _ratio),
                (summary.of_peak(each), _percent),
                (summary.of_limit(each), _percent),
            ):
                spread = Spread.of(members, metric)
                cells += [_MISSING, _MISSING] if spread is None else [shown(spread.least), shown(spread.mean)]
        furthest_behind = [Spread.of(members, summary.speedup(each)) for each in ours]
        rows.append([*cells, *(spread.worst.problem.label if spread else _MISSING for spread in furthest_behind)])
    return table([*header, *(f"{TITLES[name]}: the least × peer is" for name in ours)], rows)


def goals(measurements: list[Measurement], threads: int) -> str:
    """A table with a line for each goal that has figures."""
    rows = []
    for goal, spread, at_limit in summary.goals(measurements, threads):
        rows.append(
            [
                goal.title,
                f"{spread.reaching(goal.of_each)} of {len(spread.values)}",
                _MISSING if at_limit is None else str(at_limit.reaching(goal.of_each)),
                f"{spread.least:.2f}",
                _ratio(goal.least),
                f"{spread.mean:.2f}",
                _ratio(goal.mean),
                "yes" if goal.met(spread) else "no",
                spread.worst.problem.label,
            ]
        )
    return table(["goal", "met by", "at limit", "least", "goal", "mean", "goal", "met", "the least is"], rows)


def networks(measurements: list[Measurement]) -> str:
    """A table of the milliseconds that all convolutions of a network take together, if all were measured."""
    totals = summary.of_networks(measurements, TITLES)
    names = [name for name in TITLES if any(name in seconds for seconds in totals.values())]
    return table(
        ["network", *(TITLES[name] for name in names)],
        (
            [network, *(f"{seconds[name] * 1e3:.1f}" if name in seconds else _MISSING for name in names)]
            for network, seconds in totals.items()
        ),
    )


def overhead(measurements: Iterable[Measurement], first_calls: dict[str, tuple[float, float]]) -> str:
    """A table of microseconds: a tiny call, and what a new shape costs."""
    tiny = [one for one in measurements if "overhead" in one.problem.classes and one.threads == 1]
    rows = []
    for name, (first, again) in first_calls.items():
        times = [microseconds(one.median(name)) if name in one.seconds else _MISSING for one in tiny]
        rows.append([TITLES[name], *times, *map(microseconds, (again, first, first - again))])
    header = [one.problem.label for one in tiny]
    return table(["µs", *header, "16→16 3×3 @5 to 10", "the first call", "difference"], rows)


def failures(measurements: Iterable[Measurement]) -> list[str]:
    """A line for every way in which an implementation failed or gave a wrong result, with the first such problem."""
    found: dict[str, list[str]] = {}
    for one in measurements:
        for name, complaint in one.failed.items():
            where = f"{one.problem.label}, {one.threads} thread{'s' * (one.threads > 1)}"
            found.setdefault(f"{TITLES[name]}: {complaint}", []).append(where)
    return [f"{what} ({where[0]}; {len(where)} times in all)" for what, where in found.items()]


def absences(measurements: Iterable[Measurement], names: Iterable[str] = tuple(TITLES)) -> list[str]:
    """A line for everything that an implementation does not have, and for how many measurements that is so."""
    reasons = Counter(
        f"{TITLES[name]}: {one.absent[name]}" for one in measurements for name in names if name in one.absent
    )
    return [f"{reason} ({count} times)" for reason, count in reasons.items()]


def disturbances(measurements: Sequence[Measurement]) -> list[str]:
    """A line if other processes took the CPU, so that the figures cannot be trusted."""
    alone = [one for one in measurements if one.threads == 1]
    disturbed = sum(one.cpu_share < _UNDISTURBED for one in alone)
    if not disturbed:
        return []
    return [
        f"{disturbed} of {len(alone)} measurements of one thread shared the CPU with other processes for more than "
        f"{1 - _UNDISTURBED:.0%} of the time: measure again when the machine is idle"
    ]
