"""The documentation of functions that are the same for every number of spatial axes: written once, for two."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = TypeVar("Function", bound=Callable[..., Any])

_NUMBERS = {1: "One", 2: "Two", 3: "Three"}
_HEADING = "Examples\n--------\n"


def documented_like(model: Callable[..., Any], rank: int) -> Callable[[Function], Function]:
    """Give a function the docstring of its two-dimensional `model`, with examples of its own: all it has as docstring.

    The text of the model speaks of `*spatial`, and of the number of axes in its first line alone.
    """

    def decorate(function: Function) -> Function:
        text = inspect.getdoc(model)
        examples = textwrap.dedent(function.__doc__ or "").strip("\n")
        if text is not None:  # python -OO drops docstrings
            body = text[: text.index(_HEADING)].replace("Two-dimensional", f"{_NUMBERS[rank]}-dimensional")
            function.__doc__ = f"{body}{_HEADING}{examples}\n"
        return function

    return decorate
