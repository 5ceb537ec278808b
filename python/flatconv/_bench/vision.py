"""The convolutions of image networks, layer by layer as the papers and torchvision define them, and image filters."""

from __future__ import annotations

from collections import Counter

from flatconv._bench.trace import Trace


def resnet50(groups: int = 1, group_width: int = 64, size: int = 224, dilate_last: bool = False) -> Trace:
    """He et al. (2015), with the stride in the 3×3 layers; with 32 groups of 4, ResNeXt-50 of Xie et al. (2017)."""
    trace = Trace(3, size, size).conv(64, 7, 2).pool(3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        planes = 64 << stage
        width = planes * group_width // 64 * groups
        dilated = dilate_last and stage == 3
        for block in range(blocks):
            shortcut = trace.branch()
            stride = 2 if block == 0 < stage and not dilated else 1
            trace.conv(width).conv(width, 3, stride, groups=groups, dilation=2 if dilated and block else 1)
            trace.conv(4 * planes)
            if block == 0:
                shortcut.conv(4 * planes, 1, stride)
    return trace


def deeplab() -> Trace:
    """DeepLabv3 on ResNet-50: Chen et al. (2017), 513×513 pixels, output stride 16."""
    trace = resnet50(size=513, dilate_last=True)
    trace.branch().conv(256)
    for rate in (6, 12, 18):
        trace.branch().conv(256, 3, dilation=rate)
    trace.branch().resize(1).conv(256)
    return trace.become(5 * 256).conv(256).conv(256, 3).conv(21)


def vgg16() -> Trace:
    """Simonyan and Zisserman (2014), configuration D."""
    trace = Trace(3, 224, 224)
    for channels, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            trace.conv(channels, 3)
        trace.pool(2, 2)
    return trace


def _inverted_residual(
    trace: Trace, expanded: int, out_channels: int, kernel: int, stride: int, squeezed: int = 0
) -> None:
    """Expand, filter each channel, squeeze and excite if asked, project."""
    if expanded != trace.channels:
        trace.conv(expanded)
    trace.conv(expanded, kernel, stride, groups=expanded)
    if squeezed:
        trace.branch().resize(1).conv(squeezed).conv(expanded)
    trace.conv(out_channels)


def mobilenet_v2() -> Trace:
    """Sandler et al. (2018), table 2."""
    trace = Trace(3, 224, 224).conv(32, 3, 2)
    for expansion, channels, blocks, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(blocks):
            _inverted_residual(trace, expansion * trace.channels, channels, 3, 1 if block else stride)
    return trace.conv(1280)


def mobilenet_v3() -> Trace:
    """MobileNetV3-Large: Howard et al. (2019), table 1."""
    trace = Trace(3, 224, 224).conv(16, 3, 2)
    for kernel, expanded, channels, excite, stride in (
        (3, 16, 16, False, 1),
        (3, 64, 24, False, 2),
        (3, 72, 24, False, 1),
        (5, 72, 40, True, 2),
        (5, 120, 40, True, 1),
        (5, 120, 40, True, 1),
        (3, 240, 80, False, 2),
        (3, 200, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 184, 80, False, 1),
        (3, 480, 112, True, 1),
        (3, 672, 112, True, 1),
        (5, 672, 160, True, 2),
        (5, 960, 160, True, 1),
        (5, 960, 160, True, 1),
    ):
        _inverted_residual(trace, expanded, channels, kernel, stride, _multiple_of_8(expanded / 4) if excite else 0)
    return trace.conv(960)


def _multiple_of_8(channels: float) -> int:
    """The nearest, but never less than 90%."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def efficientnet_b0() -> Trace:
    """Tan and Le (2019), table 1."""
    trace = Trace(3, 224, 224).conv(32, 3, 2)
    for expansion, kernel, stride, channels, blocks in (
        (1, 3, 1, 16, 1),
        (6, 3, 2, 24, 2),
        (6, 5, 2, 40, 2),
        (6, 3, 2, 80, 3),
        (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4),
        (6, 3, 1, 320, 1),
    ):
        for block in range(blocks):
            before = trace.channels
            _inverted_residual(trace, expansion * before, channels, kernel, 1 if block else stride, before // 4)
    return trace.conv(1280)


def convnext_tiny() -> Trace:
    """Liu et al. (2022); its linear layers are 1×1 convolutions."""
    trace = Trace(3, 224, 224).conv(96, 4, 4, padding=0)
    for stage, blocks in enumerate((3, 3, 9, 3)):
        channels = 96 << stage
        if stage:
            trace.conv(channels, 2, 2, padding=0)
        for _ in range(blocks):
            trace.conv(channels, 7, groups=channels).conv(4 * channels).conv(channels)
    return trace


def inception_v3() -> Trace:
    """Szegedy et al. (2015) as torchvision has it, without the auxiliary head."""
    trace = Trace(3, 299, 299).conv(32, 3, 2, padding=0).conv(32, 3, padding=0).conv(64, 3).pool(3, 2)
    trace.conv(80).conv(192, 3, padding=0).pool(3, 2)
    for pooled in (32, 64, 64):
        trace.branch().conv(64)
        trace.branch().conv(48).conv(64, 5)
        trace.branch().conv(64).conv(96, 3).conv(96, 3)
        trace.branch().conv(pooled)
        trace.become(64 + 64 + 96 + pooled)
    trace.branch().conv(64).conv(96, 3).conv(96, 3, 2, padding=0)
    trace = trace.conv(384, 3, 2, padding=0).become(384 + 96 + 288)
    for width in (128, 160, 160, 192):
        trace.branch().conv(192)
        trace.branch().conv(width).conv(width, (1, 7)).conv(192, (7, 1))
        double = trace.branch().conv(width).conv(width, (7, 1)).conv(width, (1, 7))
        double.conv(width, (7, 1)).conv(192, (1, 7))
        trace.branch().conv(192)
    trace.branch().conv(192).conv(320, 3, 2, padding=0)
    trace = trace.conv(192).conv(192, (1, 7)).conv(192, (7, 1)).conv(192, 3, 2, padding=0).become(1280)
    for _ in range(2):
        trace.branch().conv(320)
        for fork in (trace.branch().conv(384), trace.branch().conv(448).conv(384, 3)):
            fork.branch().conv(384, (1, 3))
            fork.branch().conv(384, (3, 1))
        trace.branch().conv(192)
        trace.become(2048)
    return trace


def unet() -> Trace:
    """Ronneberger et al. (2015), padded so that sizes halve and double, 256×256 pixels."""
    trace = Trace(1, 256, 256)
    for level in range(5):
        if level:
            trace.pool(2, 2)
        trace.conv(64 << level, 3).conv(64 << level, 3)
    for level in reversed(range(4)):
        channels = 64 << level
        trace.transposed(channels, 2, 2).become(2 * channels).conv(channels, 3).conv(channels, 3)
    return trace.conv(2)


def dcgan() -> Trace:
    """The generator of Radford et al. (2015), figure 1, from its first feature map on."""
    trace = Trace(1024, 4, 4)
    for channels in (512, 256, 128, 3):
        trace.transposed(channels, 4, 2, padding=1)
    return trace


def worked_example() -> Trace:
    """One 3×3 kernel on 5×5 pixels: nothing but the overhead of a call."""
    return Trace(1, 5, 5).conv(1, 3, padding=0)


def filters() -> Trace:
    """One kernel on each channel of a grey and of a colour image."""
    layers = Counter(
        layer
        for channels in (1, 3)
        for size in (3, 5, 7, 9, 11, 15, 21, 31)
        for layer in Trace(channels, 1024, 1024).conv(channels, size, groups=channels).layers
    )
    return Trace(1, 1024, 1024, layers=layers)
