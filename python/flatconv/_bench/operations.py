"""What is computed with a layer, and on which numbers: the two tables that every other file reads them from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from flatconv._bench.problems import Problem


class Operation(NamedTuple):
    """Something to compute, in terms of the arrays that `Problem.shapes` names.

    Parameters
    ----------
    reads, writes : tuple of str
        The arrays that it is given and those that it makes, which for gradients have the names of what they belong to.
    terms : callable
        The most terms that are added up in one number of the result.
    work : int
        How many times the layer's multiply-adds it takes.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    terms: Callable[[Problem], int]
    work: int = 1


def _terms_of_gradients(problem: Problem) -> int:
    of_input = problem.out_channels // problem.groups * math.prod(problem.kernel)
    return max(of_input, problem.batch * math.prod(problem.input), problem.batch * math.prod(problem.output))


OPERATIONS = {
    "conv": Operation(("x", "weight", "bias"), ("y",), lambda problem: problem.depth),
    "gradients": Operation(("x", "weight", "y"), ("x", "weight", "bias"), _terms_of_gradients, 2),
    "unfold": Operation(("x",), ("columns",), lambda _: 0, 0),
    "fold": Operation(("columns",), ("x",), lambda problem: math.prod(problem.kernel), 0),
    "conv_integer": Operation(("x", "weight"), ("y",), lambda problem: problem.depth),
    "qlinear_conv": Operation(("x", "weight", "bias"), ("y",), lambda problem: problem.depth),
}


class Element(NamedTuple):
    """A type of numbers.

    Parameters
    ----------
    bytes : int
        What a number takes in memory.
    arithmetic : str
        The type of the products whose peak is the limit: where a CPU has faster ones of its own, they exceed it.
    unit, rounded : float
        The relative spacing of the numbers in which sums are computed, and of those to which they are rounded after.
    products : int
        Real products in a product.
    """

    bytes: int
    arithmetic: str
    unit: float
    rounded: float = 0
    products: int = 1


ELEMENTS = {
    "float32": Element(4, "float32", 2**-23),
    "float64": Element(8, "float64", 2**-52),
    "float16": Element(2, "float32", 2**-23, 2**-10),
    "bfloat16": Element(2, "float32", 2**-23, 2**-7),
    "complex64": Element(8, "float32", 2**-23, products=4),
    "complex128": Element(16, "float64", 2**-52, products=4),
    "uint8": Element(1, "float32", 0),
}
