"""The implementations that are compared: each a function that makes ready to compute one problem again and again.

A worker process (worker.py) holds one of them. Each imports its library when called, so that missing ones cost nothing.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import flatconv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem


class UnsupportedError(Exception):
    """The implementation does not have this operation; the message says what is missing."""


class Arrays(NamedTuple):
    """The values of a problem, the same in every process."""

    x: NDArray[Any]
    weight: NDArray[Any]
    bias: NDArray[Any] | None


def arrays(problem: Problem) -> Arrays:
    """Draw the values. Every channel of an image has the same kernel and no bias, as image libraries want it."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[Any]:
        return random.standard_normal(shape, np.dtype(problem.dtype).type)

    x = draw(*problem.x_shape)
    if "image" in problem.classes:
        return Arrays(x, np.repeat(draw(1, *problem.weight_shape[1:]), problem.out_channels, axis=0), None)
    return Arrays(x, draw(*problem.weight_shape), draw(problem.out_channels) if problem.bias else None)


@dataclass
class Prepared:
    """A problem made ready: `call` computes it, `values` makes a dense channels-first array of what `call` returned."""

    call: Callable[[], Any]
    values: Callable[[Any], NDArray[Any]] = np.asarray
    alive: object = None


def concise(value: tuple[Any, ...]) -> Any:
    """One number where all axes have the same, as people write it."""
    while isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return value


# ----------------------------------------------------------------------------------------------------------------------
# flatconv


def _flatconv_plain(problem: Problem, threads: int) -> Prepared:
    function = _attribute(flatconv, problem.function)
    x, weight, bias = arrays(problem)
    flatconv.set_num_threads(threads)
    geometry = _geometry(problem, _padding(problem))
    return Prepared(lambda: function(x, weight, bias, *geometry))


def _flatconv_packed(problem: Problem, threads: int) -> Prepared:
    pack = _attribute(flatconv, "pack_transpose" if problem.transposed else "pack")
    x, weight, bias = arrays(problem)
    flatconv.set_num_threads(threads)
    layer = pack(weight, bias, *_geometry(problem, _padding(problem)))
    out = np.full(problem.y_shape, np.nan, problem.dtype)
    return Prepared(lambda: layer(x, out=out))


def _geometry(problem: Problem, padding: Any) -> tuple[Any, ...]:
    """The arguments after bias, in the order of flatconv and of torch.nn.functional."""
    stride, dilation = concise(problem.stride), concise(problem.dilation)
    if problem.transposed:
        return (stride, padding, concise(problem.output_padding), problem.groups, dilation)
    return (stride, padding, dilation, problem.groups)


def _padding(problem: Problem) -> Any:
    """One number for all sides, or a pair for each axis."""
    padding = concise(problem.padding)
    return padding if isinstance(padding, int) else problem.padding


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        raise UnsupportedError(f"{module.__name__} has no {name}")
    return getattr(module, name)


# ----------------------------------------------------------------------------------------------------------------------
# PyTorch


def _torch_contiguous(problem: Problem, threads: int) -> Prepared:
    torch = _torch(threads)
    return _torch_call(torch, problem, *map(torch.from_numpy, _present(arrays(problem))))


def _torch_channels_last(problem: Problem, threads: int) -> Prepared:
    torch = _torch(threads)
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    if problem.rank not in formats:
        raise UnsupportedError("torch has channels_last for two and three spatial axes")
    x, weight, *bias = map(torch.from_numpy, _present(arrays(problem)))
    layout = formats[problem.rank]
    return _torch_call(torch, problem, x.to(memory_format=layout), weight.to(memory_format=layout), *bias)


def _torch(threads: int) -> Any:
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return torch


def _present(values: Arrays) -> list[NDArray[Any]]:
    return [each for each in values if each is not None]


def _torch_call(torch: Any, problem: Problem, x: Any, weight: Any, bias: Any = None) -> Prepared:
    function = getattr(torch.nn.functional, problem.function)
    if all(before == after for before, after in problem.padding):
        geometry = _geometry(problem, concise(tuple(before for before, _ in problem.padding)))
        return Prepared(lambda: function(x, weight, bias, *geometry), lambda y: np.ascontiguousarray(y.numpy()))
    if problem.transposed:
        raise UnsupportedError("torch cuts off the same on both sides")
    pad, sides = torch.nn.functional.pad, [side for pair in reversed(problem.padding) for side in pair]
    geometry = _geometry(problem, 0)
    return Prepared(lambda: function(pad(x, sides), weight, bias, *geometry), lambda y: np.ascontiguousarray(y.numpy()))


# ----------------------------------------------------------------------------------------------------------------------
# Libraries that compile a graph, with the weights known and the arrays in place before the call


def _onnx_model(problem: Problem, weight: NDArray[Any], bias: NDArray[Any] | None) -> bytes:
    """A graph of one node."""
    onnx = importlib.import_module("onnx")
    constants = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    geometry = {
        "kernel_shape": problem.kernel,
        "strides": problem.stride,
        "dilations": problem.dilation,
        "pads": [before for before, _ in problem.padding] + [after for _, after in problem.padding],
        "group": problem.groups,
    }
    if problem.transposed:
        geometry["output_padding"] = problem.output_padding
    node = onnx.helper.make_node(
        "ConvTranspose" if problem.transposed else "Conv", ["x", *constants], ["y"], **geometry
    )
    element = onnx.helper.np_dtype_to_tensor_dtype(weight.dtype)
    graph = onnx.helper.make_graph(
        [node],
        "one layer",
        [onnx.helper.make_tensor_value_info("x", element, problem.x_shape)],
        [onnx.helper.make_tensor_value_info("y", element, problem.y_shape)],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _onnxruntime(problem: Problem, threads: int) -> Prepared:
    if problem.dtype == "float64":
        raise UnsupportedError("ONNX Runtime has no float64 convolution")
    ort = importlib.import_module("onnxruntime")
    x, weight, bias = arrays(problem)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(_onnx_model(problem, weight, bias), options, providers=["CPUExecutionProvider"])
    y = np.full(problem.y_shape, np.nan, problem.dtype)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, y.dtype.type, y.shape, y.ctypes.data)
    return Prepared(lambda: session.run_with_iobinding(binding), lambda _: y)


@functools.cache
def _openvino_core() -> tuple[Any, Any]:
    ov = importlib.import_module("openvino")
    return ov, ov.Core()


def _openvino(problem: Problem, threads: int) -> Prepared:
    if problem.dtype == "float64":
        raise UnsupportedError("OpenVINO computes float64 in float32")
    ov, core = _openvino_core()
    x, weight, bias = arrays(problem)
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(_onnx_model(problem, weight, bias)), "CPU", settings)
    y = np.full(problem.y_shape, np.nan, problem.dtype)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))
    request.set_output_tensor(ov.Tensor(y, shared_memory=True))
    alive = compiled, x  # the request does not keep them

    def call() -> Any:
        return request.infer(share_outputs=True)

    return Prepared(call, lambda _: y, alive)


# ----------------------------------------------------------------------------------------------------------------------
# Image libraries


def _opencv(problem: Problem, threads: int) -> Prepared:
    cv2 = importlib.import_module("cv2")
    x, weight, _ = _image(problem)
    cv2.setNumThreads(threads)
    image = np.ascontiguousarray(x[0].transpose(1, 2, 0))
    kernel, out = weight[0, 0], np.empty_like(image)

    def call() -> Any:
        return cv2.filter2D(image, -1, kernel, dst=out, borderType=cv2.BORDER_CONSTANT)

    return Prepared(call, lambda y: np.asarray(y).reshape(image.shape).transpose(2, 0, 1)[None])


def _scipy(problem: Problem, threads: int) -> Prepared:
    correlate = importlib.import_module("scipy.ndimage").correlate
    if threads > 1:
        raise UnsupportedError("SciPy uses one thread")
    x, weight, _ = _image(problem)
    out = np.empty_like(x)

    def call() -> Any:
        for channel, kernel, result in zip(x[0], weight[:, 0], out[0], strict=True):
            correlate(channel, kernel, result, mode="constant")

    return Prepared(call, lambda _: out)


def _image(problem: Problem) -> Arrays:
    if "image" not in problem.classes:
        raise UnsupportedError("one kernel on grey and colour images alone")
    return arrays(problem)


# ----------------------------------------------------------------------------------------------------------------------
# The list


class Implementation(NamedTuple):
    """What makes a problem ready, and the modules that it needs."""

    prepare: Callable[[Problem, int], Prepared]
    modules: tuple[str, ...]


IMPLEMENTATIONS = {
    "flatconv-plain": Implementation(_flatconv_plain, ("flatconv",)),
    "flatconv-packed": Implementation(_flatconv_packed, ("flatconv",)),
    "torch-contiguous": Implementation(_torch_contiguous, ("torch",)),
    "torch-channels-last": Implementation(_torch_channels_last, ("torch",)),
    "onnxruntime": Implementation(_onnxruntime, ("onnxruntime", "onnx")),
    "openvino": Implementation(_openvino, ("openvino", "onnx")),
    "opencv": Implementation(_opencv, ("cv2",)),
    "scipy": Implementation(_scipy, ("scipy",)),
}


def installed(beginnings: Iterable[str] | None = None) -> list[str]:
    """The implementations whose modules are there, all or those whose names begin with one of these."""
    asked = ("",) if beginnings is None else tuple(beginnings)
    return [
        name
        for name, (_, modules) in IMPLEMENTATIONS.items()
        if name.startswith(asked) and all(importlib.util.find_spec(module) for module in modules)
    ]
