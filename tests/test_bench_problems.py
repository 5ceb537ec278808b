"""The benchmark's problems are those of the networks, and every implementation computes the same."""

import math
import re
from dataclasses import replace

import pytest
import torch
from flatconv._bench import catalogue, measure
from flatconv._bench.implementations import arrays, installed
from flatconv._bench.problems import CLASSES, problem
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
    assert {one.dtype for one in published} == {"float32", "float64"}


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
]


@pytest.mark.parametrize("name", installed())
def test_every_implementation_computes_the_same(name):
    worker = Worker(name)
    computed = 0
    for one in SMALL:
        ready = worker.ask("prepare", one, 1)
        if isinstance(ready, str):  # says what is missing
            assert re.match(r"\w+( \w+)? (has|computes)|one kernel|torch|flatconv", ready), ready
            continue
        x, weight, bias = (None if each is None else torch.from_numpy(each).double() for each in arrays(one))
        expected = _sampled(in_torch(one, x, weight, bias).numpy(), one)
        assert not measure._difference(ready.samples, expected, one)
        seconds, share = worker.ask("burst")
        assert 0 < seconds < 10
        assert share >= 0
        computed += 1
    worker.close()
    assert computed or name == "flatconv-packed"
