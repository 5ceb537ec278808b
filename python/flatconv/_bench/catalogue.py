"""All the problems: which networks there are, which problems to measure, and few that stand for many."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from flatconv._bench import other_problems, signals_and_volumes, vision
from flatconv._bench.problems import CLASSES, Problem

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterable

    from flatconv._bench.trace import Trace

_NETWORKS: dict[str, Callable[[], Trace]] = {
    "ResNet-50": vision.resnet50,
    "VGG-16": vision.vgg16,
    "MobileNetV2": vision.mobilenet_v2,
    "MobileNetV3": vision.mobilenet_v3,
    "EfficientNet-B0": vision.efficientnet_b0,
    "ResNeXt-50": lambda: vision.resnet50(groups=32, group_width=4),
    "ConvNeXt-T": vision.convnext_tiny,
    "Inception-v3": vision.inception_v3,
    "DeepLabv3": vision.deeplab,
    "U-Net": vision.unet,
    "DCGAN": vision.dcgan,
    "wav2vec2": signals_and_volumes.wav2vec2,
    "Whisper": signals_and_volumes.whisper,
    "TCN": signals_and_volumes.tcn,
    "Conv-TasNet": signals_and_volumes.conv_tasnet,
    "C3D": signals_and_volumes.c3d,
    "3-D U-Net": signals_and_volumes.unet_3d,
    "images": vision.filters,
    "worked example": vision.worked_example,
}
NETWORKS = tuple(_NETWORKS)


@cache
def layers(network: str) -> Counter[Problem]:
    """The distinct convolutions of a network, in order, and how often each occurs."""
    return _NETWORKS[network]().layers


def networks_of(problem: Problem) -> list[str]:
    """The networks that have this layer, whatever the batch, the data type and what is computed with it."""
    plain = replace(problem, batch=1, dtype="float32", operation="conv", channels_last=False)
    return [network for network in NETWORKS if plain in layers(network)]


def select(
    networks: Collection[str] = (),
    classes: Collection[str] = (),
    text: str = "",
) -> list[Problem]:
    """Every distinct problem of these networks and classes (of all, if none are named) whose label has the text.

    They are the layers, as convolutions of one float32 image, and after them the problems of other_problems.py.
    """
    wanted = networks or NETWORKS
    found = {layer: None for network in wanted for layer in layers(network)}
    everything = {layer.label: layer for network in NETWORKS for layer in layers(network)}
    found |= {one: None for one in other_problems.problems(everything) if set(wanted) & set(networks_of(one))}
    return [one for one in found if (not classes or set(classes) & set(one.classes)) and text in one.label]


def variants(problems: Iterable[Problem], batches: Iterable[int], dtypes: Iterable[str]) -> list[Problem]:
    """The convolutions among the problems in other sizes of batch and other data types."""
    plain = [one for one in problems if one.plain]
    return [replace(one, batch=batch, dtype=dtype) for dtype in dtypes for batch in batches for one in plain]


def representatives(problems: Iterable[Problem], each: int = 3) -> list[Problem]:
    """Some of each class: those at even distances when sorted by cost, the extremes left out."""
    problems = list(problems)
    chosen = set()
    for name in CLASSES:
        members = sorted((one for one in problems if name in one.classes), key=lambda one: one.operations)
        chosen |= {members[(2 * i + 1) * len(members) // (2 * each)] for i in range(each) if members}
    return [one for one in problems if one in chosen]


def short() -> list[Problem]:
    """A dozen problems of all kinds: what `python -m flatconv bench` measures."""
    labels = (
        "1→1 3×3 @5 padding 0",
        "1→1 5×5 @1024",
        "3→64 7×7/2 @224",
        "64→64 3×3 @56",
        "256→64 1×1 @56",
        "256→512 1×1/2 @56",
        "256→256 3×3 @14",
        "512→512 3×3 @7",
        "depthwise 144→144 3×3 @56",
        "depthwise 96→96 7×7 @56",
        "128→128 3×3 @56 groups 32",
        "transposed 256→128 4×4/2 @16",
        "512→512 3/2 @3000",
        "128→128 3×3×3 @8",
    )
    everything = {layer.label: layer for layer in select()}
    return [everything[label] for label in labels]


def published() -> list[Problem]:
    """What `benchmarks/RESULTS.md` shows: everything once; batches, and double precision, by representatives."""
    everything = select()
    few = [one for one in representatives(everything) if one.plain and not {"image", "overhead"} & set(one.classes)]
    images = [one for one in select(networks=["images"]) if max(one.kernel) <= 15]
    batches = variants((one for one in few if one.rank < 3), [8], ["float32"])
    return everything + batches + variants(few + images, [1], ["float64"])
