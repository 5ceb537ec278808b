"""Transposed layers whose weights are packed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flatconv._arguments import integer
from flatconv._arrays import promoted
from flatconv._packed import PackedConv, layer_of, rank_of
from flatconv._shapes import check_transposed_bias

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from flatconv._arguments import Activation, Padding, PerAxis


def pack_transpose(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    activation: Activation = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> PackedConv:
    """Pack the weights of a transposed convolution that will be called many times.

    Parameters
    ----------
    weight : array_like, shape (C, C_out / groups, *kernel), with 1, 2 or 3 spatial axes
        Kernels, input channels first as in `conv_transpose2d`. They are copied: later changes to the array have no
        effect.
    bias : array_like, shape (C_out,), optional
        Added to every element of its output channel.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.
    channels_last : bool, default False
        Whether channels are the last axis of x, of the residual and of the result, as in `conv2d`.
    activation : optional
        What becomes of each output, last of all, as in `conv2d`.
    algorithm, workspace_limit
        As in `conv_transpose2d`.

    Returns
    -------
    PackedConv
        Call it with x. Its results are those of `conv_transpose1d`, `conv_transpose2d` or `conv_transpose3d`, to the
        bit.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type.
    OverflowError
        For sizes beyond 64 bits.
    MemoryError
        When memory is out.

    Notes
    -----
    The weights of each phase of the output are packed by themselves, so that a call copies none of them, which is what
    most of the workspace of `conv_transpose2d` is for.

    Examples
    --------
    >>> import numpy as np, flatconv
    >>> weight = np.ones((8, 3, 4, 4), np.float32)
    >>> layer = flatconv.pack_transpose(weight, stride=2, padding=1, activation="relu")
    >>> layer(np.ones((2, 8, 16, 16), np.float32)).shape
    (2, 3, 32, 32)
    """
    dtype, (kernels, offsets) = promoted(1, weight=weight, bias=bias)
    shape = kernels.shape
    rank = rank_of(shape, "(in, out / groups, *kernel)")
    groups = integer("groups", groups)
    if groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}")
    if shape[0] % groups:
        raise ValueError(f"weight has {shape[0]} input channels, which groups={groups} does not divide")
    if offsets is not None:
        check_transposed_bias(rank, offsets.shape, shape, groups)
    options = (channels_last, activation, algorithm, workspace_limit)
    layout = (groups, "zeros", True, output_padding)
    return layer_of(dtype, kernels, offsets, stride, padding, dilation, *layout, *options)
