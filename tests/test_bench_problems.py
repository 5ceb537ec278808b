"""The benchmark's problems are those of the networks, and every implementation computes the same."""

import math
import re
from dataclasses import replace

import pytest
import torch
from flatconv._bench import catalogue, measure
from flatconv._bench.implementations import installed
from flatconv._bench.operations import ELEMENTS, OPERATIONS
from flatconv._bench.prepared import QUANTIZATION, arrays
from flatconv._bench.problems import CLASSES, LAYERS, OTHERS, problem
from flatconv._bench.worker import Worker, _sampled

# Of torchvision's models: parameters, thousand million multiply-adds, and the parameters of the classifier.
PUBLISHED = {
    "ResNet-50": (25_557_032, 4.09, 2048 * 1000 + 1000),
    "ResNeXt-50": (25_028_904, 4.23, 2048 * 1000 + 1000),
    "VGG-16": (138_357_544, 15.47, 25088 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000),
    "MobileNetV2": (3_504_872, 0.301, 1280 * 1000 + 1000),
    "MobileNetV3": (5_483_032, 0.217, 960 * 1280 + 1280 + 1280 * 1000 + 1000),
    "EfficientNet-B0": (5_288_548, 0.386, 1280 * 1000 + 1000),
    "Inception-v3": (27_161_264 - 3_326_696, 5.71, 2048 * 1000 + 1000),  # without the auxiliary head
}


@pytest.mark.parametrize("network", PUBLISHED)
def test_networks_have_the_published_size(network):
    parameters, multiply_adds, classifier = PUBLISHED[network]
    layers = catalogue.layers(network)
    # A layer is followed by a scale and a shift for each channel; those on one pixel, and VGG's, have a bias alone.
    biased = network == "VGG-16"
    found = sum(
        count * (math.prod(layer.weight_shape) + layer.out_channels * (1 if biased or layer.input == (1, 1) else 2))
        for layer, count in layers.items()
    )
    assert found + classifier == parameters
    total = sum(layer.multiply_adds * count for layer, count in layers.items()) + classifier
    assert total / 1e9 == pytest.approx(multiply_adds, rel=0.004)


@pytest.mark.parametrize(
    ("network", "multiply_adds"),
    [("ConvNeXt-T", 4.455), ("C3D", 38.5), ("Whisper", (3000 * 80 + 1500 * 512) * 3 * 512e-9)],
)
def test_networks_have_the_published_cost(network, multiply_adds):
    total = sum(layer.multiply_adds * count for layer, count in catalogue.layers(network).items())
    assert total / 1e9 == pytest.approx(multiply_adds, rel=0.002)


@pytest.mark.parametrize("network", catalogue.NETWORKS)
def test_output_sizes_are_those_of_torch(network):
    for layer in catalogue.layers(network):
        y = in_torch(layer, torch.empty(layer.x_shape, device="meta"), torch.empty(layer.weight_shape, device="meta"))
        assert tuple(y.shape) == layer.y_shape, layer.label


def in_torch(layer, x, weight, bias=None):
    function = getattr(torch.nn.functional, layer.function)
    if layer.transposed:
        cut = tuple(before for before, _ in layer.padding)
        return function(x, weight, bias, layer.stride, cut, layer.output_padding, layer.groups, layer.dilation)
    sides = [side for pair in reversed(layer.padding) for side in pair]
    padded = torch.nn.functional.pad(x, sides)
    return function(padded, weight, bias, layer.stride, 0, layer.dilation, layer.groups)


def test_every_problem_has_a_class_and_a_label_of_its_own():
    published = catalogue.published()
    assert all(one.classes for one in published)
    assert len({one.label for one in published}) == len(published) == len(set(published))
    for name in CLASSES:
        assert any(name in one.classes for one in published), name
    assert {one.batch for one in published} == {1, 8}
    assert {one.dtype for one in published} == set(ELEMENTS)
    assert {one.operation for one in published} == set(OPERATIONS)


@pytest.mark.parametrize(
    ("one", "classes"),
    [
        (problem(32, 32, (14, 14), 3), ["compute-bound"]),
        (problem(31, 32, (14, 14), 3), []),
        (problem(32, 32, (13, 14), 3), []),
        (problem(64, 64, (14, 14), (1, 7)), ["row-kernel"]),
        (problem(64, 64, (14, 14)), ["pointwise"]),
        (problem(64, 64, (14, 14), 1, 2), ["strided-1x1", "small-spatial"]),
        (problem(64, 64, (7, 7), 3), ["small-spatial"]),
        (problem(64, 16, (1, 1)), ["one-pixel"]),
        (problem(3, 64, (224, 224), 7, 2), ["few-channels"]),
        (problem(64, 3, (224, 224), 3), ["few-channels"]),
        (problem(64, 64, (14, 14), 3, groups=64), ["depthwise"]),
        (problem(64, 64, (14, 14), 3, groups=32), ["grouped"]),
        (problem(64, 64, (14, 14), 3, dilation=2), ["compute-bound", "dilated"]),
        (problem(64, 64, (14, 14), 2, 2, 0, transposed=True), ["transposed"]),
        (problem(64, 64, (99,), 3), ["1d"]),
        (problem(64, 64, (9, 9, 9), 3), ["3d"]),
        (problem(1, 1, (64, 64), 5), ["image"]),
        (problem(3, 3, (64, 64), 5, groups=3), ["image"]),
        (problem(1, 1, (5, 5), 3), ["overhead"]),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_classes(one, classes):
    assert one.classes == classes


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"operation": "gradients"}, "gradients"),
        ({"operation": "gradients", "dtype": "complex64"}, "gradients"),
        ({"operation": "unfold"}, "unfold"),
        ({"operation": "fold"}, "fold"),
        ({"channels_last": True}, "channels-last"),
        ({"dtype": "float16"}, "float16"),
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"operation": "conv_integer", "dtype": "uint8"}, "conv_integer"),
        ({"operation": "qlinear_conv", "dtype": "uint8"}, "qlinear_conv"),
        ({"dtype": "complex128"}, "complex"),
    ],
)
def test_what_is_not_plain_has_a_class_of_its_own(changes, name):
    layer = problem(64, 64, (14, 14), 3)
    other = replace(layer, **changes)
    assert layer.plain
    assert not other.plain
    assert other.classes == [name]
    assert other.label != layer.label
    assert not set(LAYERS) & set(OTHERS)


def test_costs():
    layer = problem(4, 6, (5, 7), 3, groups=2)
    x, weight, y = 4 * 35, 6 * 2 * 9, 6 * 35
    assert layer.operations == 2 * 35 * weight
    assert layer.bytes == 4 * (x + weight + 6 + y)
    gradients = replace(layer, operation="gradients")
    assert gradients.operations == 2 * layer.operations
    assert gradients.bytes == 4 * (x + weight + y + x + weight + 6)
    for operation in ("unfold", "fold"):
        moved = replace(layer, operation=operation, dtype="float64")
        assert moved.operations == 0
        assert moved.bytes == 8 * (x + 9 * x)
    assert replace(layer, dtype="complex64").operations == 4 * layer.operations
    assert replace(layer, dtype="float16").bytes == layer.bytes / 2
    last = replace(layer, channels_last=True)
    assert (last.x_shape, last.y_shape) == ((1, 5, 7, 4), (1, 5, 7, 6))
    assert (last.operations, last.bytes) == (layer.operations, layer.bytes)


def test_variants_are_of_convolutions():
    layer = problem(64, 64, (14, 14), 3)
    found = catalogue.variants([layer, replace(layer, operation="fold")], [1, 2], ["float64"])
    assert found == [replace(layer, dtype="float64"), replace(layer, dtype="float64", batch=2)]


def test_other_problems_are_chosen_by_class_and_network():
    found = catalogue.select(["U-Net", "MobileNetV2"], ["gradients"])
    assert [one.label for one in found] == [
        "depthwise 144→144 3×3 @56 gradients",
        "depthwise 96→96 3×3/2 @112 gradients",
        "transposed 256→128 2×2/2 @64 gradients",
    ]


def test_representatives_are_few_and_of_every_class():
    everything = catalogue.select()
    few = catalogue.representatives(everything, 2)
    assert len(few) <= 2 * len(CLASSES)
    assert {name for one in few for name in one.classes} == set(CLASSES)


# ----------------------------------------------------------------------------------------------------------------------
# Implementations

SMALL = [
    problem(8, 6, (9, 10), 3, (2, 1), ((1, 2), (0, 3))),
    problem(8, 6, (9, 10), (3, 2), dilation=2, groups=2),
    problem(6, 6, (9, 10), 3, groups=6),
    problem(8, 6, (5, 4), 3, 2, 1, groups=2, transposed=True, output_padding=1),
    problem(8, 6, (40,), 5, 2, ((4, 0),)),
    problem(4, 6, (5, 6, 7), (3, 2, 1)),
    problem(3, 3, (64, 65), 5, groups=3),
    replace(problem(8, 6, (9, 10), 3), batch=3, dtype="float64"),
    replace(problem(8, 6, (9, 10), 3, (2, 1), groups=2), batch=2, operation="gradients"),
    replace(problem(8, 6, (5, 4), 3, 2, 1, transposed=True, output_padding=1), operation="gradients"),
    replace(problem(4, 6, (5, 6, 7), (3, 2, 1), padding=0), operation="gradients"),
    replace(problem(3, 6, (9, 10), (3, 2), (1, 2), 1, 2), batch=2, operation="unfold"),
    replace(problem(3, 6, (9, 10), (3, 2), (1, 2), 1, 2), batch=2, operation="fold"),
    replace(problem(8, 6, (9, 10), 3), batch=2, channels_last=True),
    replace(problem(8, 6, (5, 4), 3, 2, 1, transposed=True), channels_last=True),
    replace(problem(8, 6, (9, 10), 3), batch=2, operation="gradients", channels_last=True),
    replace(problem(8, 6, (9, 10), 3), dtype="float16"),
    replace(problem(8, 6, (9, 10), 3), dtype="bfloat16"),
    replace(problem(8, 6, (9, 10), 3, 2), dtype="complex64"),
    replace(problem(8, 6, (9, 10), 3, 2), dtype="complex128"),
    replace(problem(8, 6, (9, 10), 3, 2, groups=2), operation="conv_integer", dtype="uint8"),
    replace(problem(8, 6, (9, 10), 3, padding=((1, 2), (0, 3))), operation="qlinear_conv", dtype="uint8"),
]


def expected_values(one):
    """What the operation writes, in double precision."""
    given = {name: torch.from_numpy(array.astype(WIDE[array.dtype.kind])) for name, array in arrays(one).items()}
    if one.channels_last:
        given |= {name: given[name].movedim(-1, 1) for name in ("x", "y") if name in given}
    if one.dtype == "uint8":
        given["x"] -= int(QUANTIZATION["x_zero_point"])
    results = EXPECTED[one.operation](one, **given)
    names = OPERATIONS[one.operation].writes
    return tuple(
        (result.movedim(1, -1) if one.channels_last and name in ("x", "y") else result).contiguous().numpy()
        for name, result in zip(names, results, strict=True)
    )


WIDE = {"f": "f8", "V": "f8", "c": "c16", "u": "f8", "i": "f8"}


def expected_gradients(one, x, weight, y):
    bias = torch.zeros(one.out_channels, dtype=x.dtype, requires_grad=True)
    x.requires_grad_()
    weight.requires_grad_()
    return torch.autograd.grad(in_torch(one, x, weight, bias), (x, weight, bias), y)


def expected_bytes(one, x, weight, bias):
    scale = QUANTIZATION["x_scale"] * QUANTIZATION["weight_scale"] / QUANTIZATION["y_scale"]
    scaled = in_torch(one, x, weight, bias) * float(scale)
    return ((scaled.round() + int(QUANTIZATION["y_zero_point"])).clip(0, 255),)


EXPECTED = {
    "conv": lambda one, x, weight, bias=None: (in_torch(one, x, weight, bias),),
    "gradients": expected_gradients,
    "unfold": lambda one, x: (torch.nn.functional.unfold(x, *regions(one)),),
    "fold": lambda one, columns: (torch.nn.functional.fold(columns, one.input, *regions(one)),),
    "conv_integer": lambda one, x, weight: (in_torch(one, x, weight),),
    "qlinear_conv": expected_bytes,
}


def regions(one):
    return one.kernel, one.dilation, [before for before, _ in one.padding], one.stride


@pytest.mark.parametrize("name", installed())
def test_every_implementation_computes_the_same(name):
    worker = Worker(name)
    computed = 0
    for one in SMALL:
        ready = worker.ask("prepare", one, 1)
        if isinstance(ready, str):  # says what is missing
            assert re.match(r"\w+( \w+)? (has|computes|is)|one kernel|torch|flatconv", ready), ready
            continue
        assert not measure._difference(ready.samples, _sampled(expected_values(one), one), one), one.label
        seconds, share = worker.ask("burst")
        assert 0 < seconds < 10
        assert share >= 0
        computed += 1
    worker.close()
    assert computed
