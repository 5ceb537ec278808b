"""The convolution matrix: the kernel laid out over the image, once for each output position."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv._arguments import INT64_MAX, choice, flag, integer, sizes
from flatconv._arrays import native
from flatconv._regions import im2col
from flatconv._shapes import check_channels, check_kernel_rank, check_ranks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis

_INDEX = np.dtype(np.int64)
_FORMATS = ("csr", "csc", "coo", "dense")


def conv_matrix(
    weight: ArrayLike,
    input_shape: tuple[int, ...],
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    format: str = "csr",
) -> Any:
    """The matrix of a convolution: `conv_matrix(weight, x.shape) @ x.ravel()` is `conv2d(x, weight).ravel()`.

    Each row is the kernel, padded with zeros to the size of the image, at one output position. The transpose is the
    matrix of the transposed convolution.

    Parameters
    ----------
    weight : array_like, shape (C_out, C / groups, *kernel), or (*kernel) for a plain image
        Kernels with 1, 2 or 3 spatial axes.
    input_shape : tuple of int
        The shape of the image: (C, *spatial), (N, C, *spatial), or (*spatial) for a plain one. With as many
        dimensions as `weight`, up to three, both are taken as plain; so a batch of signals has to be given as images
        of one row.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.
    channels_last : bool, default False
        Whether `input_shape`, and so the vectors that the matrix takes and gives, have their channels last:
        (*spatial, C) or (N, *spatial, C).
    format : {"csr", "csc", "coo", "dense"}, default "csr"
        A sparse array of this format, which needs SciPy, or a NumPy array.

    Returns
    -------
    scipy.sparse array or ndarray, shape (N * C_out * L, N * C * pixels)
        Rows are outputs in the order (image, output channel, position), with `channels_last` (image, position, output
        channel); columns are pixels in the order of `x.ravel()`; L is the number of output positions. The dtype is
        that of `weight`.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type, or elements that are not numbers.
    ImportError
        For a sparse format when SciPy is not there.
    OverflowError, MemoryError
        When the matrix is larger than can be addressed or allocated.

    See Also
    --------
    im2col : The other way round, the image laid out and the kernel a column.

    Notes
    -----
    Time and memory grow with the number of stored elements, N * C_out * L * C / groups * K, whatever the format; the
    dense one holds (N * C_out * L) * (N * C * pixels) elements. Zeros of the kernel are stored, zeros of the padding
    are not; where padding repeats a pixel, what meets it is summed. V. Dumoulin and F. Visin, "A guide to convolution
    arithmetic for deep learning" (2016), section 4.1, shows the matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import conv_matrix
    >>> kernel = np.array([[1, 2],
    ...                    [3, 4]])
    >>> matrix = conv_matrix(kernel, (3, 3), format="dense")
    >>> matrix
    array([[1, 2, 0, 3, 4, 0, 0, 0, 0],
           [0, 1, 2, 0, 3, 4, 0, 0, 0],
           [0, 0, 0, 1, 2, 0, 3, 4, 0],
           [0, 0, 0, 0, 1, 2, 0, 3, 4]])
    >>> matrix @ np.arange(9)
    array([27, 37, 57, 67])
    """
    choice("format", format, _FORMATS)
    sparse = None if format == "dense" else _scipy_sparse(format)
    weight = native("weight", weight)
    kernels, shape, groups = as_batch(weight, sizes("input_shape", input_shape), groups, channels_last)
    geometry = (kernels.shape[2:], stride, padding, dilation)
    size = _size(kernels, shape, geometry, padding_mode)

    # Memory that is not there is missed now, and not after the work.
    depth = math.prod(kernels.shape[1:])
    _zeros("stored elements", (size[0], depth), np.dtype((np.void, weight.itemsize + _INDEX.itemsize)))
    dense = _zeros("matrix", size if sparse is None else (0, 0), weight.dtype)
    if size[0] * depth == 0:
        return dense if sparse is None else sparse.csr_array(size, dtype=weight.dtype).asformat(format)
    index = np.dtype(np.int32 if max(size[0] * depth, *size) < 2**31 else np.int64)
    elements, columns, row_starts = _elements(kernels, shape, groups, geometry, padding_mode, index)
    matrix: Any = dense
    if sparse is None:
        np.add.at(dense, (np.repeat(np.arange(size[0]), np.diff(row_starts)), columns), elements)
    else:
        matrix = sparse.csr_array((elements, columns, row_starts), shape=size)
        matrix.sum_duplicates()
    if channels_last:
        batch, channels, *spatial = shape
        outputs = _channels_last(batch, len(kernels), size[0] // (batch * len(kernels)))
        matrix = matrix[outputs][:, _channels_last(batch, channels, math.prod(spatial))]
    return matrix if sparse is None else matrix.asformat(format)


def _channels_last(batch: int, channels: int, positions: int) -> NDArray[Any]:
    """The numbers of the elements of (batch, channels, positions), with their channels last."""
    return np.arange(batch * channels * positions).reshape(batch, channels, positions).swapaxes(1, 2).ravel()


def as_batch(
    weight: NDArray[Any], input_shape: tuple[int, ...], groups: Any, channels_last: Any
) -> tuple[NDArray[Any], tuple[int, ...], int]:
    """Weights (C_out, C / groups, *kernel), a shape (N, C, *spatial), and groups, from what `conv_matrix` takes.

    Sizes are checked before, by `sizes`.
    """
    shape = input_shape
    groups = integer("groups", groups)
    plain = weight.ndim == len(shape) <= 3
    rank = weight.ndim if plain else weight.ndim - 2
    check_kernel_rank(rank, weight.shape)
    check_ranks(rank, shape, weight.shape, "input_shape")
    channels_last = flag("channels_last", channels_last) and not plain
    if plain:
        weight, shape = weight[None, None], (1, *shape)
    check_channels(rank, shape, weight.shape, groups, "input_shape", channels_last=channels_last)
    # Pixels are numbered, see `_elements`.
    check_addressable(f"input_shape = {input_shape}", input_shape, max(weight.itemsize, _INDEX.itemsize))
    if channels_last:
        shape = (*shape[: -rank - 1], shape[-1], *shape[-rank - 1 : -1])
    return weight, (1, *shape)[len(shape) - rank - 1 :], groups


def check_addressable(what: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Check that such an array can be addressed. Empty axes count as one: NumPy refuses such arrays as well."""
    if math.prod(max(size, 1) for size in shape) * itemsize > INT64_MAX:
        raise OverflowError(f"{what} has more elements than can be addressed")


def _size(
    weight: NDArray[Any], shape: tuple[int, ...], geometry: tuple[Any, ...], padding_mode: str
) -> tuple[int, int]:
    """The matrix's rows and columns."""
    batch, _, *spatial = shape
    # The region matrix of no channels has all of its rows and takes no memory.
    positions = im2col(np.empty((0, *spatial), np.bool_), *geometry, padding_mode=padding_mode).shape[-2]
    return batch * weight.shape[0] * positions, math.prod(shape)


def _zeros(what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros, which take memory when they are written. Without memory, the exceptions that `conv_matrix` promises."""
    if math.prod(shape) * dtype.itemsize > INT64_MAX:
        raise OverflowError(f"the {what} of the convolution, {shape[0]} × {shape[1]}, cannot be addressed")
    return np.zeros(shape, dtype)


def _elements(
    weight: NDArray[Any],
    shape: tuple[int, ...],
    groups: int,
    geometry: tuple[Any, ...],
    padding_mode: str,
    index: np.dtype[Any],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The stored elements row by row, the column of each, and where each row begins among them.

    The region matrix of an image whose pixels are their own numbers says which pixel every kernel element meets. It is
    the same for every channel; those of one group lie behind each other in the row of an output, and rows of one group
    are alike but for the weights.
    """
    batch, _, *spatial = shape
    pixels, taps = math.prod(spatial), math.prod(weight.shape[2:])
    channels, outputs = weight.shape[1], weight.shape[0] // groups
    regions = im2col(np.arange(1, pixels + 1, dtype=index).reshape(spatial), *geometry, padding_mode=padding_mode)
    met = regions != 0
    columns = regions[:, None] + pixels * np.arange(channels, dtype=index)[:, None] - index.type(1)
    kernels = weight.reshape(groups, outputs, 1, channels * taps)
    if met.all():
        columns = columns.ravel()
        elements = np.broadcast_to(kernels, (batch, groups, outputs, len(regions), channels * taps)).flatten()
    else:
        stored = np.broadcast_to(met[:, None], columns.shape)
        columns = columns[stored]
        depth = np.arange(channels * taps).reshape(channels, taps)
        elements = np.take(kernels, np.broadcast_to(depth, stored.shape)[stored], axis=-1)
        elements = np.broadcast_to(elements, (batch, *elements.shape)).flatten()
    first_columns = pixels * channels * np.arange(batch * groups, dtype=index)
    all_columns = np.empty((batch * groups, outputs, columns.size), index)
    np.add(columns, first_columns[:, None, None], out=all_columns)
    row_starts = np.zeros(batch * len(weight) * len(regions) + 1, index)
    counts = np.count_nonzero(met, axis=1) * channels
    np.cumsum(np.broadcast_to(counts, (batch * len(weight), len(regions))), out=row_starts[1:])
    return elements, all_columns.ravel(), row_starts


def _scipy_sparse(format: str) -> Any:
    try:
        return importlib.import_module("scipy.sparse")
    except ImportError:
        raise ImportError(
            f'format="{format}" needs SciPy: pip install scipy, or pass format="dense" for a NumPy array'
        ) from None
