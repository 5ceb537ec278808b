"""Problems made ready for flatconv: its functions, its packed layers, and its float32 for narrower numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import flatconv
from flatconv._bench.operations import ELEMENTS
from flatconv._bench.prepared import (
    QUANTIZATION,
    Prepared,
    UnsupportedError,
    arrays,
    chosen,
    concise,
    geometry,
    sides,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem


def plain(problem: Problem, threads: int) -> Prepared:
    """Call a function that gets everything each time."""
    return _prepared(_FUNCTIONS, problem, threads)


def packed(problem: Problem, threads: int) -> Prepared:
    """Call a layer that has its weights, with the place for the result."""
    return _prepared(_LAYERS, problem, threads)


def _prepared(table: dict[str, Callable[[Problem], Prepared]], problem: Problem, threads: int) -> Prepared:
    flatconv.set_num_threads(threads)
    prepared: Prepared = chosen("flatconv", table, problem)(problem)
    return prepared


# ----------------------------------------------------------------------------------------------------------------------
# Operations


def _conv(problem: Problem) -> Prepared:
    function, layout = getattr(flatconv, problem.function), _layout(problem)
    given, arguments = arrays(problem), geometry(problem, sides(problem))
    x, weight, bias = given["x"], given["weight"], given.get("bias")
    return Prepared(lambda: function(x, weight, bias, *arguments, **layout))


def _packed_conv(problem: Problem) -> Prepared:
    given = arrays(problem)
    x, weight, bias = given["x"], given["weight"], given.get("bias")
    pack = flatconv.pack_transpose if problem.transposed else flatconv.pack
    layer = pack(weight, bias, *geometry(problem, sides(problem)), **_layout(problem))
    out = np.zeros(problem.y_shape, x.dtype)
    return Prepared(lambda: layer(x, out=out))


def _gradients(problem: Problem) -> Prepared:
    of_input, of_weight, of_bias = (
        getattr(flatconv.grad, f"{name}_{of}")
        for name, of in ((problem.function, "input"), (problem.function, "weight"), (f"conv{problem.rank}d", "bias"))
    )
    given, layout, arguments = arrays(problem), _layout(problem), geometry(problem, sides(problem))
    x, weight, dy = given["x"], given["weight"], given["y"]

    def call() -> Any:
        return (
            of_input(x.shape, weight, dy, *arguments, **layout),
            of_weight(x, weight.shape, dy, *arguments, **layout),
            of_bias(dy, **layout),
        )

    return Prepared(call)


def _unfold(problem: Problem) -> Prepared:
    x, regions = arrays(problem)["x"], _regions(problem)
    return Prepared(lambda: flatconv.unfold(x, *regions))


def _fold(problem: Problem) -> Prepared:
    columns, regions = arrays(problem)["columns"], _regions(problem)
    return Prepared(lambda: flatconv.fold(columns, problem.input, *regions))


def _regions(problem: Problem) -> tuple[Any, ...]:
    """The arguments of unfold, and of fold after the size of the output."""
    return problem.kernel, concise(problem.dilation), sides(problem), concise(problem.stride)


def _conv_integer(problem: Problem) -> Prepared:
    zero_points = {name: QUANTIZATION[name] for name in ("x_zero_point", "weight_zero_point")}
    arguments: dict[str, Any] = {**arrays(problem), **zero_points, **_keywords(problem)}
    return Prepared(lambda: flatconv.conv_integer(**arguments))


def _qlinear_conv(problem: Problem) -> Prepared:
    arguments: dict[str, Any] = {**arrays(problem), **QUANTIZATION, **_keywords(problem)}
    return Prepared(lambda: flatconv.qlinear_conv(**arguments))


def _keywords(problem: Problem) -> dict[str, Any]:
    names = ("stride", "padding", "dilation", "groups")
    return {**dict(zip(names, geometry(problem, sides(problem)), strict=True)), **_layout(problem)}


def _layout(problem: Problem) -> dict[str, Any]:
    return {"channels_last": True} if problem.channels_last else {}


_FUNCTIONS: dict[str, Callable[[Problem], Prepared]] = {
    "conv": _conv,
    "gradients": _gradients,
    "unfold": _unfold,
    "fold": _fold,
    "conv_integer": _conv_integer,
    "qlinear_conv": _qlinear_conv,
}
_LAYERS: dict[str, Callable[[Problem], Prepared]] = {"conv": _packed_conv}

# ----------------------------------------------------------------------------------------------------------------------
# The same in float32


def in_float32(problem: Problem, threads: int) -> Prepared:
    """Convolve narrower numbers as float32, as someone would who has no others; only the result is made the same."""
    if ELEMENTS[problem.dtype].bytes >= ELEMENTS["float32"].bytes:
        raise UnsupportedError("float32 is no wider than what it is compared with")
    finish: Callable[[NDArray[Any], NDArray[Any]], Any] = chosen("flatconv in float32", _FINISHES, problem)
    flatconv.set_num_threads(threads)
    given, layout, arguments = arrays(problem), _layout(problem), geometry(problem, sides(problem))
    x, weight = given["x"].astype(np.float32), given["weight"].astype(np.float32)
    if problem.operation != "conv":
        x -= QUANTIZATION["x_zero_point"]
    bias = given["bias"].astype(np.float32) if "bias" in given else None
    function = getattr(flatconv, problem.function)
    return Prepared(lambda: function(x, weight, bias, *arguments, **layout), lambda y: finish(y, given["x"]))


def _quantized(y: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    scale = QUANTIZATION["x_scale"] * QUANTIZATION["weight_scale"] / QUANTIZATION["y_scale"]
    bytes_of_y: NDArray[Any] = np.clip(np.rint(y * scale) + QUANTIZATION["y_zero_point"], 0, 255).astype(x.dtype)
    return bytes_of_y


_FINISHES: dict[str, Callable[[NDArray[Any], NDArray[Any]], Any]] = {
    "conv": lambda y, x: y.astype(x.dtype),
    "conv_integer": lambda y, _: y.astype(np.int32),
    "qlinear_conv": _quantized,
}
