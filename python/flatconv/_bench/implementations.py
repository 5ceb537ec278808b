"""The implementations that are compared: each a function that makes ready to compute one problem again and again.

A worker process (worker.py) holds one of them. Each imports its library when called, so that missing ones cost nothing.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, NamedTuple

from flatconv._bench import flatconv_calls, graph_calls, image_calls, torch_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flatconv._bench.prepared import Prepare


class Implementation(NamedTuple):
    """What makes a problem ready, and the modules that it needs."""

    prepare: Prepare
    modules: tuple[str, ...]


IMPLEMENTATIONS = {
    "flatconv-plain": Implementation(flatconv_calls.plain, ("flatconv",)),
    "flatconv-packed": Implementation(flatconv_calls.packed, ("flatconv",)),
    "flatconv-float32": Implementation(flatconv_calls.in_float32, ("flatconv",)),
    "torch-contiguous": Implementation(torch_calls.contiguous, ("torch",)),
    "torch-channels-last": Implementation(torch_calls.channels_last, ("torch",)),
    "onnxruntime": Implementation(graph_calls.onnxruntime, ("onnxruntime", "onnx")),
    "openvino": Implementation(graph_calls.openvino, ("openvino", "onnx")),
    "opencv": Implementation(image_calls.opencv, ("cv2",)),
    "scipy": Implementation(image_calls.scipy, ("scipy",)),
}


def installed(beginnings: Iterable[str] | None = None) -> list[str]:
    """The implementations whose modules are there, all or those whose names begin with one of these."""
    asked = ("",) if beginnings is None else tuple(beginnings)
    return [
        name
        for name, (_, modules) in IMPLEMENTATIONS.items()
        if name.startswith(asked) and all(importlib.util.find_spec(module) for module in modules)
    ]
