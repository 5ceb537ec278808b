"""Arguments that are not arrays: integers per axis, padding, named choices. Called by every public function.

Types are checked here, and of the values what the core cannot be told: names that it does not know, negative sizes of
a shape, and the caps that it takes as plain numbers (0 threads and -1 bytes stand for no cap). All other values are
checked in the core, so that C++ callers get the same messages.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    PerAxis = SupportsIndex | Sequence[SupportsIndex]
    Activation = str | tuple[str] | tuple[str, float] | tuple[str, float, float] | None
    Padding = str | SupportsIndex | Sequence[SupportsIndex | Sequence[SupportsIndex]]

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
INT32_MAX = 2**31 - 1

AXIS_NAMES = ("depth", "height", "width")
PADDING_RULES = ("valid", "same", "same_lower", "full")
ALGORITHMS = ("auto", "reference", "im2col", "implicit", "channels", "direct")
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "relu": (),
    "relu6": (),
    "clip": ("low", "high"),
    "leaky_relu": ("slope",),
    "sigmoid": (),
    "tanh": (),
    "silu": (),
    "gelu": (),
    "hardswish": (),
}
PADDING_MODES = {
    "zeros": "zeros",
    "reflect": "reflect",
    "replicate": "replicate",
    "edge": "replicate",
    "circular": "circular",
    "wrap": "circular",
    "symmetric": "symmetric",
}


def integer(name: str, value: Any) -> int:
    """`value` as an integer of 64 bits; NumPy's integers are taken, booleans and floats are not."""
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return value
    number = _index(value)
    if number is None:
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return _fitting(name, number)


def per_axis(name: str, value: Any, rank: int) -> tuple[int, ...]:
    """One integer for each spatial axis, from one integer or from a sequence of `rank` of them."""
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return (value,) * rank
    if type(value) is tuple and len(value) == rank and _are_plain(value):
        return value
    number = _index(value)
    if number is not None:
        return (_fitting(name, number),) * rank
    return tuple(integer(f"{name}[{i}]", item) for i, item in enumerate(_sequence(name, value, rank)))


def amounts(value: Any, rank: int) -> str | tuple[tuple[int, int], ...]:
    """The argument `padding`: the name of a rule as it is, everything else as pairs (before, after)."""
    if isinstance(value, str):
        return choice("padding", value, PADDING_RULES, "an integer, or a pair (before, after) for each axis")
    if type(value) is int and INT64_MIN <= value <= INT64_MAX:
        return ((value, value),) * rank
    if type(value) is tuple and len(value) == rank:
        if _are_plain(value):
            return tuple((number, number) for number in value)
        if _are_pairs(value):
            return value
    number = _index(value)
    if number is not None:
        number = _fitting("padding", number)
        return ((number, number),) * rank
    pairs = []
    both_sides = rank == 1 and len(items_of(value) or ()) == 2
    advice = "; for the padding before and after, pass a tuple of one pair" if both_sides else ""
    for i, item in enumerate(_sequence("padding", value, rank, advice)):
        name = f"padding[{i}]"
        number = _index(item)
        if number is not None:
            number = _fitting(name, number)
            pairs.append((number, number))
            continue
        pair = items_of(item)
        if pair is None or len(pair) != 2:
            kind = TypeError if pair is None else ValueError
            raise kind(f"{name} must be an integer or a pair (before, after), got {item!r}")
        pairs.append((integer(f"{name}[0]", pair[0]), integer(f"{name}[1]", pair[1])))
    return tuple(pairs)


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """A shape: a sequence of integers, none of them negative."""
    if type(value) is tuple and _are_plain(value) and min(value, default=0) >= 0:
        return value
    items = items_of(value)
    if items is None:
        raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
    shape = tuple(integer(f"{name}[{i}]", item) for i, item in enumerate(items))
    for i, size in enumerate(shape):
        if size < 0:
            raise ValueError(f"{name}[{i}] must be at least 0, got {size}")
    return shape


def items_of(value: Any) -> tuple[Any, ...] | None:
    """The items of a sequence, or None: text is none, nor are sets and mappings, in which nothing has a place."""
    if isinstance(value, (str, bytes, Set, Mapping)):
        return None
    try:
        return tuple(value)
    except TypeError:
        return None


def choice(name: str, value: Any, choices: Sequence[str], otherwise: str = "") -> str:
    """`value`, which has to be one of `choices`."""
    if isinstance(value, str) and value in choices:
        return value
    kind = ValueError if isinstance(value, str) else TypeError
    listed = ", ".join(f'"{each}"' for each in choices)
    raise kind(f"{name} must be one of {listed}{', or ' * bool(otherwise)}{otherwise}; got {value!r}")


def padding_mode_name(value: Any) -> str:
    """The core's name for a padding mode."""
    return PADDING_MODES[choice("padding_mode", value, tuple(PADDING_MODES))]


def activation_of(value: Any) -> tuple[Any, ...] | None:
    """The argument `activation` as the core takes it: a name and its parameters, in a tuple."""
    if value is None:
        return None
    name, *parameters = (value,) if isinstance(value, str) else items_of(value) or (value,)
    names = tuple(ACTIVATIONS)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        choice("activation", name, names, "None")
    expected = ACTIVATIONS[name]
    if len(parameters) != len(expected):
        signature = f'("{name}", {", ".join(expected)})' if expected else f'"{name}"'
        raise ValueError(f"activation must be {signature}, got {value!r}")
    numbers = []
    for parameter, number in zip(expected, parameters, strict=True):
        if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, float, np.integer, np.floating)):
            raise TypeError(f"activation {name}: {parameter} must be a number, got {number!r}")
        try:
            numbers.append(float(number))
        except OverflowError:
            raise OverflowError(f"activation {name}: {parameter} = {number} does not fit in float64") from None
    if name == "clip" and not numbers[0] <= numbers[1]:
        raise ValueError(f"activation clip: low must be at most high, got {value!r}")
    if name == "leaky_relu" and not math.isfinite(numbers[0]):
        raise ValueError(f"activation leaky_relu: slope must be finite, got {value!r}")
    return (name, *numbers)


def flag(name: str, value: Any) -> bool:
    """A boolean; numbers are not taken for one."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


def thread_cap(threads: Any) -> int:
    """The argument `threads` as the core takes it: 0 stands for the default."""
    if threads is None:
        return 0
    number = integer("threads", threads)
    if number < 1:
        raise ValueError(f"threads must be at least 1, or None for the default, got {number}")
    if number > INT32_MAX:
        raise OverflowError(f"threads = {number} does not fit in 32 bits")
    return number


def byte_limit(limit: Any) -> int:
    """The argument `workspace_limit` as the core takes it: -1 stands for none."""
    if limit is None:
        return -1
    number = integer("workspace_limit", limit)
    if number < 0:
        raise ValueError(f"workspace_limit must be at least 0 bytes, or None for no limit, got {number}")
    return number


def _are_plain(values: tuple[Any, ...]) -> bool:
    """Whether there is nothing but Python's own integers of 64 bits, which need no further look."""
    for value in values:  # noqa: SIM110 (a generator costs more than the loop)
        if type(value) is not int or not INT64_MIN <= value <= INT64_MAX:
            return False
    return True


def _are_pairs(values: tuple[Any, ...]) -> bool:
    """The same of pairs of them."""
    for value in values:  # noqa: SIM110
        if type(value) is not tuple or len(value) != 2 or not _are_plain(value):
            return False
    return True


def _index(value: Any) -> int | None:
    """The integer that `value` is, or None. A boolean is more likely a misplaced flag than a number."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _fitting(name: str, number: int) -> int:
    if not INT64_MIN <= number <= INT64_MAX:
        raise OverflowError(f"{name} = {number} does not fit in 64 bits")
    return number


def _sequence(name: str, value: Any, rank: int, advice: str = "") -> tuple[Any, ...]:
    """The items of an argument that has one for each spatial axis; `advice` is for another number of them."""
    items = items_of(value)
    if items is None:
        raise TypeError(f"{name} must be an integer or a tuple of {rank}, got {value!r}")
    if len(items) != rank:
        axes = ", ".join(AXIS_NAMES[-rank:])
        raise ValueError(f"{name} must be an integer or have {rank} items ({axes}), got {value!r}{advice}")
    return items
