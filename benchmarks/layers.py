"""How much of the CPU's peak conv2d reaches from a NumPy call, on one thread, with PyTorch beside it.

The peak (multiply-adds on registers alone), flatconv and PyTorch are timed in turn in one process, and every figure is
the median over the rounds: only ratios within one run count. Run it with nothing else on the machine:

    python benchmarks/layers.py [--dtype float64] [--rounds 31]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from flatconv import _core, conv2d


@dataclass(frozen=True)
class Layer:
    """One convolution of a network, batch 1, with "same" padding."""

    name: str
    in_channels: int
    out_channels: int
    size: int
    kernel: int
    stride: int = 1

    def operations(self) -> int:
        out_size = -(-self.size // self.stride)
        return 2 * self.out_channels * out_size**2 * self.in_channels * self.kernel**2


LAYERS = [
    Layer("ResNet-50 64 → 64 3×3 @56", 64, 64, 56, 3),
    Layer("ResNet-50 128 → 128 3×3 @28", 128, 128, 28, 3),
    Layer("ResNet-50 256 → 256 3×3 @14", 256, 256, 14, 3),
    Layer("ResNet-50 512 → 512 3×3 @7", 512, 512, 7, 3),
    Layer("ResNet-50 3 → 64 7×7/2 @224", 3, 64, 224, 7, 2),
    Layer("ResNet-50 64 → 64 1×1 @56", 64, 64, 56, 1),
    Layer("ResNet-50 256 → 512 1×1/2 @56", 256, 512, 56, 1, 2),
    Layer("VGG-16 64 → 64 3×3 @224", 64, 64, 224, 3),
]


def seconds(call: Callable[[], object], at_least: float = 0.01) -> float:
    """Time of one call, over as many calls as take `at_least` seconds together."""
    calls = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < at_least:
        call()
        calls += 1
    return elapsed / calls


def measure(layer: Layer, dtype: np.dtype, rounds: int) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((1, layer.in_channels, layer.size, layer.size)).astype(dtype)
    weight = random.standard_normal((layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)).astype(dtype)
    bias = random.standard_normal(layer.out_channels).astype(dtype)
    pad = layer.kernel // 2
    x_torch, weight_torch, bias_torch = map(torch.from_numpy, (x, weight, bias))

    def ours() -> object:
        return conv2d(x, weight, bias, layer.stride, pad, threads=1)

    def theirs() -> object:
        return torch.nn.functional.conv2d(x_torch, weight_torch, bias_torch, layer.stride, pad)

    np.testing.assert_allclose(ours(), theirs().numpy(), rtol=1e-3, atol=1e-3)
    times: dict[str, list[float]] = {"peak": [], "flatconv": [], "torch": []}
    for _ in range(rounds):
        times["peak"].append(layer.operations() / _core.measure_peak(dtype))
        times["flatconv"].append(seconds(ours))
        times["torch"].append(seconds(theirs))
    peak, flatconv, torch_time = (statistics.median(times[name]) for name in times)
    print(
        f"{layer.name:32}{flatconv * 1e6:10.0f} µs{layer.operations() / flatconv * 1e-9:9.1f} GFLOP/s"
        f"{peak / flatconv:9.1%} of peak{torch_time / flatconv:9.2f} × torch"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for layer in LAYERS:
        measure(layer, np.dtype(arguments.dtype), arguments.rounds)


if __name__ == "__main__":
    main()
