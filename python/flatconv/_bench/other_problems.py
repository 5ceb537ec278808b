"""What is measured beside plain convolutions: other operations, layouts and types, each on a few layers of networks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flatconv._bench.problems import Problem

_DEPTHWISE = ("depthwise 144→144 3×3 @56", "depthwise 96→96 3×3/2 @112")
_DENSE = (
    "3→64 7×7/2 @224",
    "64→64 3×3 @56",
    "256→64 1×1 @56",
    "128→128 3×3/2 @56",
    "256→512 1×1/2 @56",
    "256→256 3×3 @14",
    "512→512 3×3 @7",
)
_VISION = (*_DENSE, "depthwise 144→144 3×3 @56", "128→128 3×3 @56 groups 32")
_ALL_RANKS = (
    *_VISION,
    "depthwise 96→96 7×7 @56",
    "depthwise 96→96 3×3/2 @112",
    "transposed 256→128 2×2/2 @64",
    "transposed 512→256 4×4/2 @8",
    "512→512 3/2 @799 padding 0",
    "depthwise 512→512 3 @3999",
    "64→64 3×3×3 @16",
)
_REGIONS = (
    "3→64 7×7/2 @224",
    "64→64 3×3 @56",
    "128→128 3×3/2 @56",
    "96→192 2×2/2 @56",
    "256→256 3×3 @14",
    "512→512 3×3 @7",
    "1→1 5×5 @1024",
)
_FEW = ("3→64 7×7/2 @224", "64→64 3×3 @56", "256→64 1×1 @56", "256→256 3×3 @14", "depthwise 144→144 3×3 @56")

_PROBLEMS: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
    ({"operation": "gradients"}, _ALL_RANKS),
    ({"operation": "unfold"}, _REGIONS),
    ({"operation": "fold"}, _REGIONS),
    ({"channels_last": True}, (*_VISION, "depthwise 96→96 7×7 @56", "transposed 256→128 2×2/2 @64", "64→64 3×3×3 @16")),
    ({"dtype": "float16"}, _VISION),
    ({"dtype": "bfloat16"}, _VISION),
    ({"operation": "conv_integer", "dtype": "uint8"}, (*_DENSE, *_DEPTHWISE)),
    ({"operation": "qlinear_conv", "dtype": "uint8"}, (*_DENSE, *_DEPTHWISE)),
    ({"dtype": "complex64"}, _FEW),
    ({"dtype": "complex128"}, _FEW),
)


def problems(layers: Mapping[str, Problem]) -> Iterator[Problem]:
    """All of them, made of these layers by their labels."""
    for changes, labels in _PROBLEMS:
        for label in labels:
            yield replace(layers[label], **changes)
