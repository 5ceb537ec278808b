"""What implementations are made of: the values of a problem, its arguments, and a call ready to be timed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._bench.operations import OPERATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem


class UnsupportedError(Exception):
    """The implementation does not have this operation; the message says what is missing."""


@dataclass
class Prepared:
    """A problem made ready.

    Parameters
    ----------
    call : callable
        Computes it.
    values : callable
        Makes of what `call` returned the arrays that the operation writes, dense: a tuple, or the only one.
    alive : object
        What must not be freed before.
    """

    call: Callable[[], Any]
    values: Callable[[Any], Any] = lambda result: result
    alive: object = None


Prepare = Callable[["Problem", int], Prepared]  # makes ready for some threads


def chosen(library: str, table: Mapping[str, Any], problem: Problem) -> Any:
    """What a library has in its table for the problem's operation."""
    if problem.operation not in table:
        raise UnsupportedError(f"{library} has no {problem.operation}")
    return table[problem.operation]


# ----------------------------------------------------------------------------------------------------------------------
# Values


def arrays(problem: Problem) -> dict[str, NDArray[Any]]:
    """Draw what the operation reads, the same in every process.

    Every channel of an image has the same kernel and no bias, as image libraries want it.
    """
    random = np.random.default_rng(0)
    draw = _draw_bytes if problem.dtype == "uint8" else _draw_numbers
    shapes, image = problem.shapes, "image" in problem.classes
    wanted = [name for name in OPERATIONS[problem.operation].reads if not (image and name == "bias")]
    if image:
        shapes["weight"] = (1, *problem.weight_shape[1:])
    drawn = {name: draw(random, name, shapes[name], problem.dtype) for name in wanted}
    if image:
        drawn["weight"] = np.repeat(drawn["weight"], problem.out_channels, axis=0)
    return drawn


def _draw_numbers(random: np.random.Generator, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    if dtype == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")  # teaches NumPy the name
        except ImportError:
            raise UnsupportedError("ml_dtypes is not installed, which has bfloat16 for NumPy") from None
    element = np.dtype(dtype)
    single = np.float64 if dtype in ("float64", "complex128") else np.float32
    values: NDArray[Any] = random.standard_normal(shape, single)
    if element.kind == "c":
        values = values + 1j * random.standard_normal(shape, single)
    return values.astype(element, copy=False)


# Bytes are so small that all sums are exact in float32 too, so that everyone's are the same.
QUANTIZATION: dict[str, NDArray[Any]] = {
    "x_scale": np.array(0.02, np.float32),
    "x_zero_point": np.array(8, np.uint8),
    "weight_scale": np.array(0.01, np.float32),
    "weight_zero_point": np.array(0, np.int8),
    "y_scale": np.array(0.05, np.float32),
    "y_zero_point": np.array(128, np.uint8),
}
_BYTES = {"x": (0, 16, np.uint8), "weight": (-8, 8, np.int8), "bias": (-500, 500, np.int32)}


def _draw_bytes(random: np.random.Generator, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    least, end, element = _BYTES[name]
    return random.integers(least, end, shape, element)


# ----------------------------------------------------------------------------------------------------------------------
# Arguments


def concise(value: tuple[Any, ...]) -> Any:
    """One number where all axes have the same, as people write it."""
    while isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return value


def geometry(problem: Problem, padding: Any) -> tuple[Any, ...]:
    """The arguments after bias, in the order of flatconv and of torch.nn.functional."""
    stride, dilation = concise(problem.stride), concise(problem.dilation)
    if problem.transposed:
        return (stride, padding, concise(problem.output_padding), problem.groups, dilation)
    return (stride, padding, dilation, problem.groups)


def sides(problem: Problem) -> Any:
    """The padding: one number for all sides, or a pair for each axis."""
    padding = concise(problem.padding)
    return padding if isinstance(padding, int) else problem.padding
