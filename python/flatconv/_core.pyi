# The extension module: the binding of csrc/bind. Arguments arrive checked for type; most values the core checks.
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

__version__: str
depth_block: int

class InstructionSet(TypedDict):
    name: str
    usable: bool
    float32_tile: tuple[int, int]
    float64_tile: tuple[int, int]

def conv(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    groups: int,
    padding_mode: str,
    channels_last: bool,
    activation: tuple[Any, ...] | None,
    residual: NDArray[Any] | None,
    out: NDArray[Any] | None,
    threads: int,
    algorithm: str,
    workspace_limit: int,
) -> NDArray[Any]: ...
def conv_bytes(
    x: NDArray[Any],
    weight: NDArray[Any],
    x_zero_point: int,
    weight_zero_points: int | NDArray[np.int32],
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    groups: int,
    channels_last: bool,
    requantization: tuple[float, float | NDArray[np.float32], float, int, np.dtype[Any], NDArray[np.int32] | None]
    | None,
    out: NDArray[Any] | None,
    threads: int,
    workspace_limit: int,
) -> NDArray[Any]: ...
def conv_transpose(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    output_padding: tuple[int, ...],
    groups: int,
    dilation: tuple[int, ...],
    channels_last: bool,
    activation: tuple[Any, ...] | None,
    residual: NDArray[Any] | None,
    out: NDArray[Any] | None,
    threads: int,
    algorithm: str,
    workspace_limit: int,
) -> NDArray[Any]: ...
def conv_input_gradient(
    x_shape: tuple[int, ...],
    weight: NDArray[Any],
    dy: NDArray[Any],
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    groups: int,
    padding_mode: str,
    transposed: bool,
    output_padding: tuple[int, ...],
    channels_last: bool,
    out: NDArray[Any] | None,
    threads: int,
    algorithm: str,
    workspace_limit: int,
) -> NDArray[Any]: ...
def conv_weight_gradient(
    x: NDArray[Any],
    weight_shape: tuple[int, ...],
    dy: NDArray[Any],
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    groups: int,
    padding_mode: str,
    transposed: bool,
    output_padding: tuple[int, ...],
    channels_last: bool,
    out: NDArray[Any] | None,
    threads: int,
    algorithm: str,
    workspace_limit: int,
) -> NDArray[Any]: ...

class PackedLayer:
    def __init__(
        self,
        weight: NDArray[Any],
        bias: NDArray[Any] | None,
        stride: tuple[int, ...],
        padding: str | tuple[tuple[int, int], ...],
        dilation: tuple[int, ...],
        groups: int,
        padding_mode: str,
        transposed: bool,
        output_padding: tuple[int, ...],
        channels_last: bool,
        activation: tuple[Any, ...] | None,
        algorithm: str,
        workspace_limit: int,
    ) -> None: ...
    def run(
        self, x: NDArray[Any], residual: NDArray[Any] | None, out: NDArray[Any] | None, threads: int
    ) -> NDArray[Any]: ...
    def workspace_bytes(self, batch: int, input: tuple[int, ...], threads: int, x_dtype: np.dtype[Any]) -> int: ...
    def explain(self, batch: int, input: tuple[int, ...], threads: int, x_dtype: np.dtype[Any]) -> str: ...

def im2col(
    x: NDArray[Any],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    padding_mode: str,
    channels_last: bool,
    threads: int,
    transposed: bool,
) -> NDArray[Any]: ...
def col2im(
    regions: NDArray[Any],
    x_shape: tuple[int, ...],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    padding_mode: str,
    channels_last: bool,
    threads: int,
    transposed: bool,
) -> NDArray[Any]: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def instruction_sets() -> list[InstructionSet]: ...
def get_isa() -> str: ...
def set_isa(name: str) -> None: ...
def compiler() -> str: ...
def set_work_per_thread(work: float) -> None: ...  # for tests; 8e5 multiply-adds by default, 0 always splits
def measure_peak(dtype: np.dtype[Any]) -> float: ...
