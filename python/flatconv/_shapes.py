"""Shapes of x, weight and bias that do not belong together: the messages, with the likely fix.

Called when a convolution's arrays do not match; nothing here is on the way of a call that is right.
"""

from __future__ import annotations

import math
import operator

from flatconv._arguments import AXIS_NAMES

Shape = tuple[int, ...]

_LETTERS = ("D", "H", "W")
_KERNEL_AXES = ("kd", "kh", "kw")


def layouts(rank: int, weight_axes: str = "(out, in, ") -> str:
    """The shapes of x that a function of this rank takes."""
    spatial = ", ".join(_LETTERS[-rank:])
    return f"(N, C, {spatial}) or (C, {spatial}) with weight {weight_axes}{', '.join(_KERNEL_AXES[-rank:])})"


def check_kernel_rank(rank: int, weight: Shape) -> None:
    """Check that weight has spatial axes, and no more of them than the core has, three."""
    if not 1 <= rank <= len(AXIS_NAMES):
        raise ValueError(
            f"weight must have 1, 2 or 3 spatial axes, (out, in, kw) to (out, in, kd, kh, kw), or be plain, "
            f"got weight.shape = {weight}"
        )


def check_ranks(
    rank: int,
    x: Shape,
    weight: Shape,
    name: str = "x.shape",
    weight_axes: str = "(out, in, ",
    *,
    plain_too: bool = True,
) -> None:
    """Check that x has channels like weight, and maybe a batch, or for functions that take such, is plain like it."""
    if plain_too and len(x) == rank and len(weight) == rank:
        return
    if len(weight) == rank + 2 and rank < len(x) <= rank + 2:
        return
    dimensions = f"{rank} dimension{'s' * (rank > 1)}"
    plain = f", or plain ({', '.join(_LETTERS[-rank:])}) with a weight of {dimensions}" if plain_too else ""
    message = f"{name} = {x} and weight.shape = {weight} do not go together: x is {layouts(rank, weight_axes)}{plain}."
    if len(weight) == rank and len(x) == rank:
        message += " For one channel, pass x[None] and weight[None, None]."
    elif len(weight) == rank and len(x) == rank + 1:
        message += " For the same kernel on every channel, pass x[:, None] and weight[None, None]."
    elif len(weight) == rank and len(x) == rank + 2:
        message += " For the same kernel on every channel, pass weight as (channels, 1, ...) and groups=channels."
    elif len(weight) == rank + 2 and len(x) == rank:
        message += " For one channel, pass x[None]."
    elif len(weight) == rank + 1:
        message += " For one output channel, pass weight[None]."
    raise ValueError(message)


def check_channels(
    rank: int, x: Shape, weight: Shape, groups: int, name: str = "x.shape", *, channels_last: bool = False
) -> None:
    """Check that weight has as many input channels as one group of x; groups divide both."""
    channels, in_channels, out_channels = x[-1 if channels_last else -rank - 1], weight[1], weight[0]
    if groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}")
    if channels % groups:
        raise ValueError(f"x has {channels} channels, which groups={groups} does not divide")
    if in_channels * groups != channels:
        raise ValueError(
            f"weight has {in_channels} input channels per group but x has {channels} channels and groups={groups}.\n"
            + _likely_fix(rank, x, weight, groups, name, channels_last)
        )
    if out_channels % groups or out_channels < groups > 1:
        raise ValueError(
            f"weight has {out_channels} output channels, which groups={groups} does not divide into equal parts"
        )


def check_bias(bias: Shape, weight: Shape, plain: bool) -> None:
    """Check that there is one bias for each output channel; a plain convolution has a scalar."""
    if plain and bias:
        raise ValueError(f"bias must be a scalar for a plain x and weight, got bias.shape = {bias}")
    if not plain and bias != weight[:1]:
        raise ValueError(f"bias must have shape ({weight[0]},), one for each output channel, got bias.shape = {bias}")


def spatial_sizes(rank: int, x: Shape, channels_last: bool) -> Shape:
    """The sizes of the spatial axes of an image, plain or not."""
    return x[-rank - 1 : -1] if channels_last and len(x) > rank else x[-rank:]


def check_transposed_channels(
    rank: int, x: Shape, weight: Shape, groups: int, name: str = "x.shape", *, channels_last: bool = False
) -> None:
    """Check that the weight of a transposed convolution has the input channels of x, and groups divide them."""
    if groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}")
    channels = x[-1 if channels_last else -rank - 1] if len(x) > rank else 1
    if channels % groups:
        raise ValueError(f"x has {channels} channels, which groups={groups} does not divide")
    if len(x) == rank or weight[0] == channels:
        return
    message = f"weight has {weight[0]} input channels but x has {channels}: {name} = {x}, weight.shape = {weight}.\n"
    kernel = ", ".join(_KERNEL_AXES[-rank:])
    if groups == 1 and weight[1] == channels:
        axes = (1, 0, *range(2, rank + 2))
        raise ValueError(f"{message}weight.shape looks like (out, in, {kernel}): pass weight.transpose{axes}.")
    raise ValueError(f"{message}weight.shape of a transposed convolution means (in, out / groups, {kernel}).")


def check_transposed_bias(rank: int, bias: Shape, weight: Shape, groups: int) -> None:
    """Check that there is one bias for each output channel of a transposed convolution."""
    plain = len(weight) == rank
    expected = () if plain else (weight[1] * groups,)
    if bias == expected:
        return
    if plain:
        check_bias(bias, weight, plain)
    raise ValueError(f"bias must have shape {expected}, one for each output channel, got bias.shape = {bias}")


def _likely_fix(rank: int, x: Shape, weight: Shape, groups: int, name: str, channels_last: bool) -> str:
    """What the caller probably meant: another order of axes, or another number of groups.

    Of several readings that would fit, the one with the smallest kernel is the likeliest. Nobody takes a square kernel
    for channels and finds another one, that is not square, among what is left.
    """
    spatial, kernel = ", ".join(_LETTERS[-rank:]), ", ".join(_KERNEL_AXES[-rank:])
    batch = len(x) - rank - 1
    if channels_last:
        channels, moved = x[-1], x[-rank - 1]
        move_x = f"{name} = {x} looks like ({'N, ' * batch}C, {spatial}): leave out channels_last."
    else:
        channels, moved = x[-rank - 1], x[-1]
        x_axes = (*range(batch), len(x) - 1, *range(batch, len(x) - 1))
        move_x = f"{name} = {x} looks like ({'N, ' * batch}{spatial}, C): pass x.transpose{x_axes}."

    def move_weight(layout: str, axes: Shape) -> str:
        return f"weight.shape = {weight} looks like ({layout}): pass weight.transpose{axes}."

    # The axes of weight in the order (out, in, *kernel), for each layout.
    as_it_is = tuple(range(rank + 2))
    hwio = (rank + 1, rank, *range(rank))
    ohwi = (0, rank + 1, *range(1, rank + 1))
    iohw = (1, 0, *range(2, rank + 2))
    move_hwio = move_weight(f"{kernel}, in, out", hwio)
    each = weight[1]
    more_groups = channels // each if each else 0
    regroup = f"Use groups={more_groups}, if every group of {each} channels has kernels of its own."
    readings = [  # the axes, the channels of x, the groups, and what to do if they fit
        (as_it_is, channels, 1, f"Leave out groups: weight has kernels for all {channels} channels."),
        (hwio, channels, groups, move_hwio),
        (ohwi, channels, groups, move_weight(f"out, {kernel}, in", ohwi)),
        (as_it_is, moved, groups, move_x),
        (as_it_is, channels, more_groups, regroup),
        (iohw, channels, groups, move_weight(f"in, out, {kernel}", iohw)),
        (hwio, moved, groups, f"{move_x}\n{move_hwio}"),
    ]
    fitting = []
    for axes, x_channels, parts, advice in readings:
        outputs, inputs, *sizes = (weight[axis] for axis in axes)
        positive = min(outputs, inputs, parts, *sizes) > 0
        square = len(set(sizes)) == 1 or len(set(weight[2:])) > 1
        if positive and square and inputs * parts == x_channels and outputs % parts == 0:
            fitting.append((math.prod(sizes), advice))
    if not fitting:
        return f"weight.shape = {weight} means (out, in / groups, {kernel})."
    return min(fitting, key=operator.itemgetter(0))[1]
