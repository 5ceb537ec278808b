"""What the measurements come to: every class in one line, and every goal met or missed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from flatconv._bench.catalogue import NETWORKS, layers
from flatconv._bench.measure import Measurement
from flatconv._bench.problems import CLASSES

PLAIN, PACKED, IN_FLOAT32 = "flatconv-plain", "flatconv-packed", "flatconv-float32"
_TORCH = ("torch-contiguous", "torch-channels-last")
_IMAGES = ("opencv", "scipy")
_DIRECT_IN_OPENCV = 11  # larger kernels it applies by a Fourier transform, which is another computation
PEERS = {PLAIN: (*_TORCH, *_IMAGES), PACKED: (*_TORCH, "onnxruntime", "openvino", *_IMAGES)}

Metric = Callable[[Measurement], float | None]


def peers(measurement: Measurement, ours: str) -> list[str]:
    """With whom our implementation is compared: functions with functions, layers made ready with all."""
    direct = max(measurement.problem.kernel) <= _DIRECT_IN_OPENCV
    return [name for name in PEERS[ours] if direct or name != "opencv"]


def speedup(ours: str) -> Metric:
    """How many times as fast as the best peer."""
    return lambda measurement: measurement.speedup(ours, peers(measurement, ours))


def than_float32(measurement: Measurement) -> float | None:
    """How many times as fast as our float32, given the same numbers."""
    return measurement.speedup(PLAIN, [IN_FLOAT32])


def of_peak(ours: str) -> Metric:
    """The share of the arithmetic peak, of what computes at all."""
    return lambda one: one.arithmetic_seconds / one.median(ours) or None if ours in one.seconds else None


def of_limit(ours: str) -> Metric:
    """The share of what arithmetic and memory allow."""
    return lambda one: one.limit_seconds / one.median(ours) if ours in one.seconds else None


@dataclass
class Spread:
    """A figure over many problems."""

    values: list[float]
    worst: Measurement

    @classmethod
    def of(cls, measurements: Iterable[Measurement], metric: Metric) -> Spread | None:
        """The figures of those that have one, or None if none has."""
        figures = [(value, one) for one in measurements if (value := metric(one)) is not None]
        if not figures:
            return None
        return cls([value for value, _ in figures], min(figures, key=lambda pair: pair[0])[1])

    @property
    def least(self) -> float:
        """The smallest figure, that of `worst`."""
        return min(self.values)

    @property
    def mean(self) -> float:
        """The geometric mean."""
        return statistics.geometric_mean(self.values)

    def reaching(self, least: float) -> int:
        """How many are no smaller."""
        return sum(value >= least for value in self.values)


def by_class(measurements: list[Measurement]) -> dict[str, list[Measurement]]:
    """The measurements of each class that has any."""
    members = {name: [one for one in measurements if name in one.problem.classes] for name in CLASSES}
    return {name: found for name, found in members.items() if found}


# ----------------------------------------------------------------------------------------------------------------------
# Goals


@dataclass
class Goal:
    """A figure to reach for every one of some problems, or on average, or both."""

    title: str
    applies: Callable[[Measurement], bool]
    metric: Metric
    least: float | None
    mean: float | None = None

    @property
    def of_each(self) -> float:
        """What one problem must reach, or, where none must, the average."""
        return self.least or self.mean or 0.0

    def met(self, spread: Spread) -> bool:
        """Whether all that is asked for is reached."""
        pairs = ((spread.least, self.least), (spread.mean, self.mean))
        return all(wanted is None or figure >= wanted for figure, wanted in pairs)


def _in_class(name: str, dtype: str | None = "float32") -> Callable[[Measurement], bool]:
    return lambda one: name in one.problem.classes and dtype in (None, one.problem.dtype)


def _layer_of(dtype: str) -> Callable[[Measurement], bool]:
    """Whether it is a convolution that networks have."""
    return lambda one: (
        one.problem.plain and one.problem.dtype == dtype and not {"image", "overhead"} & set(one.problem.classes)
    )


_network_layer = _layer_of("float32")


def _memory_bound(one: Measurement) -> bool:
    """The arrays take longer to copy than the arithmetic takes; calls so short that they are overhead left out."""
    return one.problem.plain and one.copy_seconds > max(one.arithmetic_seconds, 20e-6)


def _image_of(dtype: str) -> Callable[[Measurement], bool]:
    return lambda one: _in_class("image", dtype)(one) and max(one.problem.kernel) <= _DIRECT_IN_OPENCV


GOALS = [
    Goal("compute-bound, packed: of the peak", _in_class("compute-bound"), of_peak(PACKED), 0.90),
    Goal("compute-bound, plain: of the peak", _in_class("compute-bound"), of_peak(PLAIN), 0.85),
    Goal("all network layers, packed: × best peer", _network_layer, speedup(PACKED), 0.95, 1.15),
    Goal("all network layers, plain: × best of torch", _network_layer, speedup(PLAIN), 0.95, 1.30),
    *(
        Goal(f"{name}, packed: × best peer", _in_class(name), speedup(PACKED), 1.30)
        for name in ("depthwise", "grouped", "few-channels", "strided-1x1", "small-spatial")
    ),
    *(
        Goal(f"{name}, packed: × best peer", _in_class(name), speedup(PACKED), 1.0, 1.20)
        for name in ("1d", "3d", "transposed")
    ),
    Goal("compute-bound, float64: of the peak", _in_class("compute-bound", "float64"), of_peak(PACKED), 0.90),
    Goal("network layers, float64, plain: × best of torch", _layer_of("float64"), speedup(PLAIN), 2.0),
    Goal("images to 11×11, float32, plain: × best peer", _image_of("float32"), speedup(PLAIN), 1.0),
    Goal("images to 11×11, float64, plain: × best peer", _image_of("float64"), speedup(PLAIN), 1.0),
    Goal("memory-bound, packed: of the speed of a copy", _memory_bound, of_limit(PACKED), 1 / 1.5),
    Goal("memory-bound, plain: of the speed of a copy", _memory_bound, of_limit(PLAIN), 1 / 1.5),
    Goal("gradients: × best of torch", _in_class("gradients", None), speedup(PLAIN), None, 1.0),
    *(
        Goal(f"{name}: × best of torch", _in_class(name, None), speedup(PLAIN), 1.0)
        for name in ("unfold", "fold", "channels-last")
    ),
    Goal("channels-last, packed: × best of torch", _in_class("channels-last"), speedup(PACKED), 1.0),
    *(
        Goal(f"{name}: × float32", _in_class(name, None), than_float32, least)
        for name, least in (("float16", 1 / 1.3), ("bfloat16", 1.5), ("conv_integer", 1.5), ("qlinear_conv", 1.5))
    ),
]


def scaling(measurements: list[Measurement], ours: str) -> Metric:
    """How many times as fast as with one thread."""
    alone = {one.problem: one for one in measurements if one.threads == 1}

    def metric(one: Measurement) -> float | None:
        single = alone.get(one.problem)
        if single is None or ours not in one.seconds or ours not in single.seconds:
            return None
        return single.median(ours) / one.median(ours)

    return metric


class Outcome(NamedTuple):
    """What became of a goal, and what would of it if each of our calls took no longer than its limit."""

    goal: Goal
    spread: Spread
    at_limit: Spread | None


def _at_limit(one: Measurement) -> Measurement:
    """The same measurement of an ideal implementation."""
    ideal = {name: [one.limit_seconds] for name in (PLAIN, PACKED) if name in one.seconds}
    return replace(one, seconds=one.seconds | ideal)


def goals(measurements: list[Measurement], threads: int) -> list[Outcome]:
    """The goals that this number of threads has figures for."""
    wanted = list(GOALS)
    if threads > 1:
        wanted += [
            Goal(
                f"compute-bound, {title}: × one thread",
                _in_class("compute-bound"),
                scaling(measurements, ours),
                1.85 / 2 * threads,
            )
            for ours, title in ((PACKED, "packed"), (PLAIN, "plain"))
        ]
    at_hand = [one for one in measurements if one.threads == threads]
    outcomes = []
    for goal in wanted:
        concerned = list(filter(goal.applies, at_hand))
        spread = Spread.of(concerned, goal.metric)
        if spread is not None:
            # The limit is that of float32 and float64: CPUs have faster instructions for narrower numbers.
            ideal = None if goal.metric is than_float32 else Spread.of(map(_at_limit, concerned), goal.metric)
            outcomes.append(Outcome(goal, spread, ideal))
    return outcomes


def of_networks(measurements: Iterable[Measurement], names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Seconds that all convolutions of a network take together, of the implementations that have all of them."""
    found = {one.problem: one for one in measurements if _network_layer(one)}
    totals = {}
    for network in NETWORKS:
        counts = layers(network)
        if all(layer in found for layer in counts):
            totals[network] = {
                name: sum(found[layer].median(name) * count for layer, count in counts.items())
                for name in names
                if all(name in found[layer].seconds for layer in counts)
            }
    return totals
