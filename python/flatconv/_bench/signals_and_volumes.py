"""The convolutions of networks on signals, one spatial axis, and on volumes, three."""

from __future__ import annotations

from flatconv._bench.trace import Trace


def wav2vec2() -> Trace:
    """The feature encoder of Baevski et al. (2020) and its positional convolution, on one second of sound."""
    trace = Trace(1, 16000).conv(512, 10, 5, padding=0)
    for kernel in (3, 3, 3, 3, 2, 2):
        trace.conv(512, kernel, 2, padding=0)
    return trace.become(768).conv(768, 128, padding=64, groups=16)


def whisper() -> Trace:
    """The front end of Whisper's base model, Radford et al. (2022): thirty seconds of mel spectrogram."""
    return Trace(80, 3000).conv(512, 3).conv(512, 3, 2)


def tcn() -> Trace:
    """Bai et al. (2018) for sequential MNIST: causal, dilated, 25 channels."""
    trace = Trace(1, 784)
    for level in range(8):
        dilation = 2**level
        causal = ((6 * dilation, 0),)
        if level == 0:
            trace.branch().conv(25)
        trace.conv(25, 7, padding=causal, dilation=dilation).conv(25, 7, padding=causal, dilation=dilation)
    return trace


def conv_tasnet() -> Trace:
    """Luo and Mesgarani (2019), best configuration, non-causal, on four seconds of sound at 8 kHz."""
    trace = Trace(1, 32000).conv(512, 16, 8, padding=0).branch().conv(128)
    for _ in range(3):
        for level in range(8):
            trace.conv(512).conv(512, 3, dilation=2**level, groups=512)
            trace.branch().conv(128)
            trace.conv(128)
    trace.conv(2 * 512)
    trace.become(512).transposed(1, 16, 8)
    return trace


def c3d() -> Trace:
    """Tran et al. (2015): sixteen frames of 112×112 pixels."""
    trace = Trace(3, 16, 112, 112).conv(64, 3).pool((1, 2, 2), (1, 2, 2))
    trace.conv(128, 3).pool(2, 2).conv(256, 3).conv(256, 3).pool(2, 2)
    return trace.conv(512, 3).conv(512, 3).pool(2, 2).conv(512, 3).conv(512, 3)


def unet_3d() -> Trace:
    """Çiçek et al. (2016), padded so that sizes halve and double, on a patch of 32×32×32."""
    trace = Trace(3, 32, 32, 32)
    for level in range(4):
        if level:
            trace.pool(2, 2)
        trace.conv(32 << level, 3).conv(64 << level, 3)
    for level in reversed(range(3)):
        channels = 64 << level
        trace.transposed(2 * channels, 2, 2).become(3 * channels).conv(channels, 3).conv(channels, 3)
    return trace.conv(3)
