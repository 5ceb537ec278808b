"""Problems made ready for PyTorch: its functions, in its two memory formats."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._bench.operations import OPERATIONS
from flatconv._bench.prepared import Prepared, UnsupportedError, arrays, chosen, concise, geometry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem


def contiguous(problem: Problem, threads: int) -> Prepared:
    """Call the function with tensors that have channels first in memory."""
    if problem.channels_last:
        raise UnsupportedError("torch would have to copy what has channels last")
    return _prepared(problem, threads, lambda tensor, _: tensor)


def channels_last(problem: Problem, threads: int) -> Prepared:
    """Call the function with tensors that have channels last in memory, as they were or brought there before."""

    def placed(tensor: Any, torch: Any) -> Any:
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        return tensor.to(memory_format=formats[tensor.ndim]) if tensor.ndim in formats else tensor

    if problem.rank not in (2, 3):
        raise UnsupportedError("torch has channels_last for two and three spatial axes")
    if problem.operation in ("unfold", "fold"):
        raise UnsupportedError(f"torch has no {problem.operation} with channels last")
    return _prepared(problem, threads, placed)


def _prepared(problem: Problem, threads: int, placed: Callable[[Any, Any], Any]) -> Prepared:
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    make: Callable[..., Callable[[], Any]] = chosen("torch", _FUNCTIONS, problem)
    tensors = {}
    for name, array in arrays(problem).items():
        tensor = _tensor(torch, array)
        tensors[name] = placed(tensor.movedim(-1, 1) if _moved(name, problem) else tensor, torch)
    call = make(torch, problem, **tensors)

    def values(results: Any) -> tuple[NDArray[Any], ...]:
        several = results if isinstance(results, tuple) else (results,)
        names = OPERATIONS[problem.operation].writes
        return tuple(
            _array(torch, tensor.movedim(1, -1) if _moved(name, problem) else tensor)
            for name, tensor in zip(names, several, strict=True)
        )

    return Prepared(call, values)


def _moved(name: str, problem: Problem) -> bool:
    """Whether the array has channels last, which are the second axis of every tensor."""
    return problem.channels_last and name in ("x", "y")


def _tensor(torch: Any, array: NDArray[Any]) -> Any:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(torch: Any, tensor: Any) -> NDArray[Any]:
    """Dense; bfloat16 as float32."""
    return np.ascontiguousarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


# ----------------------------------------------------------------------------------------------------------------------
# Operations


def _conv(torch: Any, problem: Problem, x: Any, weight: Any, bias: Any = None) -> Callable[[], Any]:
    function = getattr(torch.nn.functional, problem.function)
    if all(before == after for before, after in problem.padding):
        arguments = geometry(problem, _padding(problem))
        return lambda: function(x, weight, bias, *arguments)
    if problem.transposed:
        raise UnsupportedError("torch cuts off the same on both sides")
    pad, sides = torch.nn.functional.pad, [side for pair in reversed(problem.padding) for side in pair]
    arguments = geometry(problem, 0)
    return lambda: function(pad(x, sides), weight, bias, *arguments)


def _gradients(torch: Any, problem: Problem, x: Any, weight: Any, y: Any) -> Callable[[], Any]:
    """What autograd calls."""
    backward = torch.ops.aten.convolution_backward
    before, none = [side for side, _ in problem.padding], [0] * problem.rank
    arguments = (
        [problem.out_channels],
        problem.stride,
        _same_on_both_sides(problem, before),
        problem.dilation,
        problem.transposed,
        problem.output_padding or none,
        problem.groups,
        [True, True, True],
    )
    return lambda: backward(y, x, weight, *arguments)


def _unfold(torch: Any, problem: Problem, x: Any) -> Callable[[], Any]:
    function, regions = torch.nn.functional.unfold, _regions(problem)
    return lambda: function(x, *regions)


def _fold(torch: Any, problem: Problem, columns: Any) -> Callable[[], Any]:
    function, regions = torch.nn.functional.fold, _regions(problem)
    return lambda: function(columns, problem.input, *regions)


def _regions(problem: Problem) -> tuple[Any, ...]:
    if problem.rank != 2:
        raise UnsupportedError("torch has unfold and fold for two spatial axes")
    return problem.kernel, problem.dilation, _same_on_both_sides(problem, _padding(problem)), problem.stride


def _padding(problem: Problem) -> Any:
    return concise(tuple(before for before, _ in problem.padding))


def _same_on_both_sides(problem: Problem, padding: Any) -> Any:
    if any(before != after for before, after in problem.padding):
        raise UnsupportedError("torch pads the same on both sides")
    return padding


_FUNCTIONS: dict[str, Callable[..., Callable[[], Any]]] = {
    "conv": _conv,
    "gradients": _gradients,
    "unfold": _unfold,
    "fold": _fold,
}
