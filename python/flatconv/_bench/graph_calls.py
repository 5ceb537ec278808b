"""Problems made ready for libraries that compile a graph, with weights and memory in place before the call."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._bench.prepared import QUANTIZATION, Prepared, UnsupportedError, arrays, chosen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from flatconv._bench.problems import Problem

# Of each operation: the node, its inputs in order, and the type of its result where that is not the type of x.
_NODES: dict[str, tuple[str, list[str], type | None]] = {
    "conv": ("Conv", ["x", "weight", "bias"], None),
    "conv_integer": ("ConvInteger", ["x", "weight", "x_zero_point", "weight_zero_point"], np.int32),
    "qlinear_conv": (
        "QLinearConv",
        [
            *("x", "x_scale", "x_zero_point"),
            *("weight", "weight_scale", "weight_zero_point"),
            *("y_scale", "y_zero_point", "bias"),
        ],
        None,
    ),
}


def _model(library: str, problem: Problem) -> tuple[bytes, NDArray[Any], NDArray[Any]]:
    """A graph of one node, its input, and the place for its output."""
    node, names, result = chosen(library, _NODES, problem)
    if problem.channels_last:
        raise UnsupportedError(f"{library} has no convolution with channels last")
    onnx = importlib.import_module("onnx")
    given = QUANTIZATION | arrays(problem)
    inputs = [name for name in names if name in given]
    attributes: dict[str, Any] = {
        "kernel_shape": problem.kernel,
        "strides": problem.stride,
        "dilations": problem.dilation,
        "pads": [before for before, _ in problem.padding] + [after for _, after in problem.padding],
        "group": problem.groups,
    }
    if problem.transposed:
        node, attributes["output_padding"] = "ConvTranspose", problem.output_padding
    x = given["x"]
    y: NDArray[Any] = np.zeros(problem.y_shape, result or x.dtype)
    element = onnx.helper.np_dtype_to_tensor_dtype
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(node, inputs, ["y"], **attributes)],
        "one layer",
        [onnx.helper.make_tensor_value_info("x", element(x.dtype), x.shape)],
        [onnx.helper.make_tensor_value_info("y", element(y.dtype), y.shape)],
        [onnx.numpy_helper.from_array(given[name], name) for name in inputs if name != "x"],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString()), x, y


def onnxruntime(problem: Problem, threads: int) -> Prepared:
    """Run a session with bound memory."""
    if problem.dtype not in ("float32", "uint8"):
        raise UnsupportedError(f"ONNX Runtime has no {problem.dtype} convolution")
    ort = importlib.import_module("onnxruntime")
    model, x, y = _model("ONNX Runtime", problem)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, y.dtype.type, y.shape, y.ctypes.data)
    return Prepared(lambda: session.run_with_iobinding(binding), lambda _: y)


@functools.cache
def _openvino_core() -> tuple[Any, Any]:
    ov = importlib.import_module("openvino")
    return ov, ov.Core()


def openvino(problem: Problem, threads: int) -> Prepared:
    """Infer with tensors that share their memory."""
    if problem.dtype != "float32":
        raise UnsupportedError("OpenVINO computes other types than float32 in one of its choice")
    ov, core = _openvino_core()
    model, x, y = _model("OpenVINO", problem)
    settings = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))
    request.set_output_tensor(ov.Tensor(y, shared_memory=True))
    alive = compiled, x  # the request does not keep them

    def call() -> Any:
        return request.infer(share_outputs=True)

    return Prepared(call, lambda _: y, alive)
