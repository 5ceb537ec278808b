"""Draws a session of measurements: each layer under the machine's limits, and the lead by class; called by run.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flatconv._bench import summary, tables
from flatconv._bench.measure import Measurement
from flatconv._bench.session import Session
from flatconv._bench.summary import PACKED, PLAIN
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 50, 100)
OURS = {PLAIN: "tab:blue", PACKED: "tab:green"}


def write(path: Path, session: Session) -> None:
    """One row of pictures for every number of threads and data type of plain convolutions."""
    groups: dict[tuple[int, str], list[Measurement]] = {}
    for one in session.measurements:
        if one.problem.plain:
            groups.setdefault((one.threads, one.problem.dtype), []).append(one)
    figure = Figure(figsize=(16, 6.5 * max(1, len(groups))), layout="constrained")
    axes = figure.subplots(max(1, len(groups)), 2, squeeze=False, width_ratios=(1, 1.2))
    for (limits, lead), ((threads, dtype), members) in zip(axes, groups.items(), strict=False):
        title = f"{threads} thread{'s' * (threads > 1)}, {dtype}"
        _draw_limits(limits, members)
        limits.set_title(f"{title}: share of the limit")
        _draw_lead(lead, members)
        lead.set_title(f"{title}: times as fast as the best peer")
    figure.savefig(path, dpi=110)


def _series(members: list[Measurement]) -> Iterator[tuple[str, str]]:
    """The names and colours of our implementations that were measured."""
    for name in tables.present(members):
        if name in OURS:
            yield name, OURS[name]


def _draw_limits(axes: Axes, members: list[Measurement]) -> None:
    """Every layer: operations for each byte, and how near the limit we and the best peer come."""

    def intensity(one: Measurement) -> float:
        return one.problem.operations / one.problem.bytes

    for name, colour in _series(members):
        at_hand = [one for one in members if name in one.seconds]
        shares = [summary.of_limit(name)(one) for one in at_hand]
        axes.scatter(list(map(intensity, at_hand)), shares, s=14, c=colour, label=tables.TITLES[name], zorder=3)
    best = [(intensity(one), one.limit_seconds / one.median(peer)) for one in members if (peer := _best_peer(one))]
    axes.scatter(*zip(*best, strict=True) if best else ((), ()), s=12, c="0.7", marker="x", label="best peer")
    axes.axhline(1, color="0.3", linewidth=1)
    axes.set(xscale="log", xlabel="operations per byte", ylabel="share of the limit", ylim=(0, 1.3))
    axes.legend(loc="upper left")


def _best_peer(one: Measurement) -> str | None:
    return one.best(summary.peers(one, PACKED))


def _draw_lead(axes: Axes, members: list[Measurement]) -> None:
    """Every class: a dot for each layer, a bar at the geometric mean."""
    measured = [one for one in members if any(name in one.seconds for name in OURS)]
    classes = summary.by_class(measured)
    for shift, (name, colour) in zip((-0.15, 0.15), _series(members), strict=False):
        for place, of_class in enumerate(classes.values()):
            ratios = [ratio for one in of_class if (ratio := summary.speedup(name)(one)) is not None]
            axes.scatter(ratios, [place + shift] * len(ratios), s=14, c=colour, alpha=0.6)
            if spread := summary.Spread.of(of_class, summary.speedup(name)):
                axes.plot([spread.mean] * 2, [place + shift - 0.14, place + shift + 0.14], c=colour, linewidth=3)
        axes.scatter([], [], c=colour, label=f"{tables.TITLES[name]}, bar: geometric mean")
    axes.axvline(1, color="0.3", linewidth=1)
    axes.set(xscale="log", xlabel="× best peer", yticks=range(len(classes)), yticklabels=list(classes))
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter("{x:g}×")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.invert_yaxis()
    axes.legend(loc="best")
