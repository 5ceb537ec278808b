"""Layers whose weights are packed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from flatconv import _core
from flatconv._arguments import (
    ALGORITHMS,
    activation_of,
    amounts,
    byte_limit,
    choice,
    flag,
    integer,
    padding_mode_name,
    per_axis,
    sizes,
    thread_cap,
)
from flatconv._arrays import FLOAT32, as_read, check_out, is_bfloat16, numeric, promoted
from flatconv._shapes import check_bias, check_channels, check_ranks, check_transposed_channels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from flatconv._arguments import Activation, Padding, PerAxis

_ndarray = np.ndarray


def pack(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    activation: Activation = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> PackedConv:
    """Pack the weights of a convolution that will be called many times.

    Parameters
    ----------
    weight : array_like, shape (C_out, C / groups, *kernel), with 1, 2 or 3 spatial axes
        Kernels. They are copied: later changes to the array have no effect.
    bias : array_like, shape (C_out,), optional
        Added to every element of its output channel.
    stride, padding, dilation, groups, padding_mode, channels_last, activation, algorithm, workspace_limit
        As in `conv2d`.

    Returns
    -------
    PackedConv
        Call it with x.

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

    Examples
    --------
    >>> import numpy as np, flatconv
    >>> weight = np.ones((8, 3, 3, 3), np.float32)
    >>> layer = flatconv.pack(weight, stride=2, padding="same", activation="relu")
    >>> layer(np.ones((2, 3, 32, 32), np.float32)).shape
    (2, 8, 16, 16)
    """
    dtype, (kernels, offsets) = promoted(1, weight=weight, bias=bias)
    shape = kernels.shape
    rank = rank_of(shape, "(out, in / groups, *kernel)")
    groups = integer("groups", groups)
    check_channels(rank, (shape[1] * groups, *shape[2:]), shape, groups)
    if offsets is not None:
        check_bias(offsets.shape, shape, plain=False)
    options = (channels_last, activation, algorithm, workspace_limit)
    return layer_of(dtype, kernels, offsets, stride, padding, dilation, groups, padding_mode, False, 0, *options)


def rank_of(shape: tuple[int, ...], axes: str) -> int:
    """The number of spatial axes of weights of this shape."""
    rank = len(shape) - 2
    if not 1 <= rank <= 3:
        raise ValueError(f"weight must have 3, 4 or 5 dimensions, {axes}, got weight.shape = {shape}")
    return rank


def layer_of(
    dtype: np.dtype[Any],
    kernels: NDArray[Any],
    offsets: NDArray[Any] | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    padding_mode: Any,
    transposed: bool,
    output_padding: Any,
    channels_last: Any,
    activation: Any,
    algorithm: Any,
    workspace_limit: Any,
) -> PackedConv:
    """What `pack` and `pack_transpose` make of weights and bias that go together."""
    rank = kernels.ndim - 2
    return PackedConv(
        _core.PackedLayer(
            kernels,
            offsets,
            per_axis("stride", stride, rank),
            amounts(padding, rank),
            per_axis("dilation", dilation, rank),
            groups,
            padding_mode_name(padding_mode),
            transposed,
            per_axis("output_padding", output_padding, rank),
            flag("channels_last", channels_last),
            activation_of(activation),
            choice("algorithm", algorithm, ALGORITHMS),
            byte_limit(workspace_limit),
        ),
        kernels.shape,
        dtype,
        groups,
        channels_last,
        transposed,
    )


class PackedConv:
    """A convolution, or the transpose of one, with packed weights; made by `pack` and `pack_transpose`.

    Calls may run at the same time, from any threads. The results are those of `conv1d`, `conv2d` or `conv3d`, or of
    `conv_transpose1d`, `conv_transpose2d` or `conv_transpose3d`, to the bit. What is decided for a shape of x is kept
    for the next call with the same.

    Attributes
    ----------
    weight_shape : tuple of int
        The shape of the weights.
    dtype : numpy.dtype
        Of the weights, of x and of the results.
    """

    def __init__(
        self,
        layer: _core.PackedLayer,
        weight_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        groups: int,
        channels_last: bool,
        transposed: bool,
    ) -> None:
        self._layer = layer
        self._run = layer.run
        self._weight_shape = weight_shape
        self._dtype = dtype
        self._groups = groups
        self._transposed = transposed
        self._rank = len(weight_shape) - 2
        self._channels = weight_shape[0] if transposed else weight_shape[1] * groups
        self._channels_last = channels_last
        self._channel_axis = -1 if channels_last else -self._rank - 1

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """The shape of the weights."""
        return self._weight_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the weights, of x and of the results."""
        return self._dtype

    def __call__(
        self,
        x: ArrayLike,
        residual: ArrayLike | None = None,
        *,
        out: NDArray[Any] | None = None,
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Convolve x.

        Parameters
        ----------
        x : array_like, shape (N, C, *spatial) or (C, *spatial), with `channels_last` (N, *spatial, C) or (*spatial, C)
            Of `dtype`, or of one that NumPy casts to it without loss; of float16 and bfloat16 for float32, no copy is
            made.
        residual : array_like, optional
            Added to the result before the activation: an array of the result's shape.
        out : ndarray, optional
            Where to write the result, as in `conv2d`.
        threads : int, optional
            At most so many threads; by default `get_num_threads()`.

        Returns
        -------
        ndarray
            `out` if given.

        Raises
        ------
        ValueError
            For a bad value or shape.
        TypeError
            For a bad type, also where casting to `dtype` would lose something.
        MemoryError
            When memory is out, or `workspace_limit` too low.

        Examples
        --------
        >>> import numpy as np, flatconv
        >>> layer = flatconv.pack(np.ones((4, 2, 5), np.float32), bias=np.zeros(4, np.float32))
        >>> layer(np.ones((2, 9), np.float32)).shape
        (4, 5)
        """
        dtype = self._dtype
        image: Any = x
        added: Any = residual
        if type(image) is not _ndarray or image.dtype is not dtype:
            image = self._cast("x", image)
        if added is not None and (type(added) is not _ndarray or added.dtype is not dtype):
            added = self._cast("residual", added)
        if out is not None:
            check_out(out, dtype)
        shape = image.shape
        if not self._rank < len(shape) <= self._rank + 2 or shape[self._channel_axis] != self._channels:
            self._refuse(shape)
        return self._run(image, added, out, 0 if threads is None else thread_cap(threads))

    def workspace_bytes(
        self, x_shape: tuple[int, ...], *, threads: int | None = None, x_dtype: DTypeLike | None = None
    ) -> int:
        """The most memory that a call on contiguous arrays works in, beside them and the packed weights.

        Parameters
        ----------
        x_shape : tuple of int
            The shape of x.
        threads : int, optional
            As in the call.
        x_dtype : dtype_like, optional
            The type of x; by default `dtype`. A float32 layer reads float16 and bfloat16 as they are.

        Returns
        -------
        int
            In bytes, for all threads together.

        Raises
        ------
        ValueError
            For a shape that does not go with the weights.
        TypeError
            For a bad type.

        Examples
        --------
        >>> import numpy as np, flatconv
        >>> layer = flatconv.pack(np.ones((8, 3, 3, 3), np.float32), padding="same")
        >>> layer.workspace_bytes((1, 3, 4000, 4000), threads=1) < 2**20
        True
        """
        return self._layer.workspace_bytes(*self._sizes(x_shape), thread_cap(threads), self._read_as(x_dtype))

    def explain(self, x_shape: tuple[int, ...], *, threads: int | None = None, x_dtype: DTypeLike | None = None) -> str:
        """How such a call would be computed, and why not otherwise.

        Parameters
        ----------
        x_shape : tuple of int
            The shape of x.
        threads : int, optional
            As in the call.
        x_dtype : dtype_like, optional
            The type of x; by default `dtype`. A float32 layer reads float16 and bfloat16 as they are.

        Returns
        -------
        str
            The instruction set and the threads; the algorithm with its orientation, tiles, bands, workspace and
            expected cost, as the number of multiply-adds of one vector that take as long on one core; then the same of
            the algorithms that were not taken, with the reason.

        Raises
        ------
        ValueError
            For a shape that does not go with the weights.
        TypeError
            For a bad type.

        Examples
        --------
        >>> import numpy as np, flatconv
        >>> layer = flatconv.pack(np.ones((8, 3, 3, 3), np.float32), padding="same")
        >>> "reference" in layer.explain((1, 3, 64, 64))
        True
        """
        return self._layer.explain(*self._sizes(x_shape), thread_cap(threads), self._read_as(x_dtype))

    def __copy__(self) -> PackedConv:
        return self  # nothing of it changes

    def __deepcopy__(self, memo: dict[int, Any]) -> PackedConv:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PackedConv cannot be pickled: keep the weights, and pack them again where they are loaded")

    def __repr__(self) -> str:
        transposed = ", transposed" * self._transposed
        return f"PackedConv(weight_shape={self.weight_shape}, dtype={self.dtype}, groups={self._groups}{transposed})"

    def _sizes(self, x_shape: Any) -> tuple[int, tuple[int, ...]]:
        """Batch and spatial sizes of a shape that fits."""
        shape = sizes("x_shape", x_shape)
        if not self._rank < len(shape) <= self._rank + 2 or shape[self._channel_axis] != self._channels:
            self._refuse(shape, "x_shape")
        batch = shape[0] if len(shape) == self._rank + 2 else 1
        return batch, shape[-self._rank - 1 : -1] if self._channels_last else shape[-self._rank :]

    def _refuse(self, shape: tuple[int, ...], name: str = "x.shape") -> None:
        """Raise the error for a shape of x that does not go with the weights."""
        rank = self._rank
        if self._channels_last and rank < len(shape) <= rank + 2:
            raise ValueError(f"{name} = {shape} has {shape[-1]} channels, but the packed weight takes {self._channels}")
        if self._transposed:
            check_ranks(rank, shape, self.weight_shape, name, "(in, out, ", plain_too=False)
            check_transposed_channels(rank, shape, self.weight_shape, self._groups, name)
        check_ranks(rank, shape, self.weight_shape, name, plain_too=False)
        check_channels(rank, shape, self.weight_shape, self._groups, name)

    def _read_as(self, x_dtype: DTypeLike | None) -> np.dtype[Any]:
        """The type that the core is given where x has this one."""
        return self._dtype if x_dtype is None else self._cast("x", np.empty(0, x_dtype)).dtype

    def _cast(self, name: str, value: Any) -> NDArray[Any]:
        array = numeric(name, value)
        if not np.can_cast(array.dtype, self.dtype):
            try:
                wider = np.result_type(array, self.dtype)
            except TypeError:  # float16 and bfloat16
                wider = FLOAT32
            module = "ml_dtypes" if is_bfloat16(self.dtype) else "np"
            raise TypeError(
                f"{name} has dtype {array.dtype}, but the weight is packed as {self.dtype}: "
                f"pass {name}.astype({module}.{self.dtype}), or pack weight.astype(np.{wider})"
            )
        return as_read(array, self.dtype)
