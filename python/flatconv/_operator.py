"""ConvOperator: a convolution and its adjoint as a SciPy operator. Imported only when it is asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from flatconv._arguments import amounts, padding_mode_name, per_axis, thread_cap
from flatconv._arrays import promoted
from flatconv._conv import conv1d, conv2d, conv3d
from flatconv._matrix import as_batch
from flatconv._regions import fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis

_CONV = {1: conv1d, 2: conv2d, 3: conv3d}


class ConvOperator(LinearOperator):  # type: ignore[misc]  # SciPy has no types
    """The matrix of a convolution as a `scipy.sparse.linalg.LinearOperator`, which is never built.

    `ConvOperator(weight, x.shape) @ x.ravel()` is `conv2d(x, weight).ravel()`, and `.T @ y` multiplies with the
    transpose: all that solvers such as `scipy.sparse.linalg.lsqr` need to undo a convolution.

    Parameters
    ----------
    weight : array_like, shape (C_out, C / groups, *kernel), or (*kernel) for a plain image
        Kernels with 1, 2 or 3 spatial axes, float32 or float64.
    input_shape : tuple of int
        The shape of the image: (C, *spatial), (N, C, *spatial), or (*spatial) for a plain one. With as many
        dimensions as `weight`, up to three, both are taken as plain; so a batch of signals has to be given as images
        of one row.
    stride, padding, dilation, groups, padding_mode, threads
        As in `conv2d`.
    channels_last : bool, default False
        Whether `input_shape` and `output_shape` have their channels last.

    Attributes
    ----------
    shape : (int, int)
        Of the matrix: elements of the output, elements of the image.
    dtype : dtype
        That of `weight`. Vectors of another one are promoted with it, as NumPy does.
    input_shape, output_shape : tuple of int
        The image's and the output's shapes, for `reshape`.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type.
    OverflowError
        For sizes beyond 64 bits.
    ImportError
        When SciPy is not there.

    See Also
    --------
    conv_matrix : The same matrix, built.

    Notes
    -----
    The product with the transpose is the adjoint to rounding, whatever the padding mode. It is computed by convolution
    with the flipped kernels, for about as many operations as the forward product has at stride 1, and takes memory for
    two padded images.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import lsqr
    >>> from flatconv import ConvOperator
    >>> blur = ConvOperator(np.array([1.0, 2.0, 1.0]) / 4, (6,), padding="same", padding_mode="reflect")
    >>> blur.shape
    (6, 6)
    >>> blurred = blur @ np.array([0.0, 0.0, 4.0, 0.0, 8.0, 8.0])
    >>> blurred
    array([0., 1., 2., 3., 6., 8.])
    >>> (blur.T @ blurred).round(3)
    array([0.25, 1.  , 2.  , 3.5 , 7.75, 5.5 ])
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    def __init__(
        self,
        weight: ArrayLike,
        input_shape: tuple[int, ...],
        stride: PerAxis = 1,
        padding: Padding = 0,
        dilation: PerAxis = 1,
        groups: int = 1,
        *,
        padding_mode: str = "zeros",
        channels_last: bool = False,
        threads: int | None = None,
    ) -> None:
        (kernels,) = promoted(1, weight=weight)
        kernels, self._x_shape, groups = as_batch(kernels, input_shape, groups, channels_last)
        rank = kernels.ndim - 2
        thread_cap(threads)
        self._weight = kernels.copy()
        self._stride = per_axis("stride", stride, rank)
        self._dilation = per_axis("dilation", dilation, rank)
        self._padding = amounts(padding, rank)
        self._groups = groups
        self._padding_mode = padding_mode_name(padding_mode)
        self._threads = threads
        self._channels_last = channels_last and len(input_shape) > rank
        # A batch of no images has the sizes of any other, and they are checked.
        of_nothing = self._convolved(np.empty((0, *self._x_shape[1:]), kernels.dtype))
        self._y_shape = (self._x_shape[0], *of_nothing.shape[1:])
        self.input_shape = tuple(map(int, input_shape))
        self.output_shape = self._laid_out(self._y_shape)[len(self._y_shape) - len(self.input_shape) :]
        super().__init__(kernels.dtype, (math.prod(self._y_shape), math.prod(self._x_shape)))

    def _matvec(self, vector: NDArray[Any]) -> NDArray[Any]:
        return self._matmat(vector.reshape(-1, 1)).ravel()

    def _rmatvec(self, vector: NDArray[Any]) -> NDArray[Any]:
        return self._rmatmat(vector.reshape(-1, 1)).ravel()

    def _matmat(self, columns: NDArray[Any]) -> NDArray[Any]:
        return self._by_column(self._convolved, columns, self._x_shape)

    def _rmatmat(self, columns: NDArray[Any]) -> NDArray[Any]:
        return self._by_column(self._adjoint_convolved, columns, self._y_shape)

    def _laid_out(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape (N, C, *spatial) in the caller's order of axes."""
        return (shape[0], *shape[2:], shape[1]) if self._channels_last else shape

    def _by_column(
        self, function: Callable[[NDArray[Any]], NDArray[Any]], columns: NDArray[Any], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Apply a function of a batch to the columns of a matrix, each of which holds an array of this shape."""
        count = columns.shape[1]
        images = columns.T.reshape(count * shape[0], *self._laid_out(shape)[1:])
        results = np.moveaxis(function(np.moveaxis(images, -1, 1)), 1, -1) if self._channels_last else function(images)
        return results.reshape(count, shape[0] * math.prod(results.shape[1:])).T

    def _convolved(self, x: NDArray[Any]) -> NDArray[Any]:
        return _CONV[len(self._stride)](
            x,
            self._weight,
            stride=self._stride,
            padding=self._padding,
            dilation=self._dilation,
            groups=self._groups,
            padding_mode=self._padding_mode,
            threads=self._threads,
        )

    def _adjoint_convolved(self, y: NDArray[Any]) -> NDArray[Any]:
        """The images whose elements are the sums of what `y` has at all outputs that they take part in.

        Outputs are set as far apart as they were computed, and convolved with the flipped kernels from all sides; then
        padding is added to the pixels that it repeats.
        """
        outputs, channels, *kernel = self._weight.shape
        rank, per_group = len(kernel), outputs // self._groups
        swapped = self._weight.reshape(self._groups, per_group, channels, *kernel).swapaxes(1, 2)
        flipped = np.flip(swapped.reshape(self._x_shape[1], per_group, *kernel), tuple(range(2, 2 + rank)))

        spatial, pads = self._x_shape[2:], self._pad_amounts()
        sizes = [size + before + after for size, (before, after) in zip(spatial, pads, strict=True)]
        padded = np.zeros((len(y), self._x_shape[1], *sizes), np.result_type(y, self._weight))
        # With a stride, the last positions may leave something at the end of the image.
        reached: tuple[Any, ...] = (
            ...,
            *(
                slice((n - 1) * step + (taps - 1) * spread + 1)
                for n, step, taps, spread in zip(y.shape[2:], self._stride, kernel, self._dilation, strict=True)
            ),
        )
        _CONV[rank](
            _set_apart(y, self._stride),
            flipped,
            padding="full",
            dilation=self._dilation,
            groups=self._groups,
            out=padded[reached],
            threads=self._threads,
        )
        lines = padded.reshape(*padded.shape[:2], math.prod(sizes))
        return fold(lines, spatial, (1,) * rank, padding=pads, padding_mode=self._padding_mode, threads=self._threads)

    def _pad_amounts(self) -> tuple[tuple[int, int], ...]:
        """The padding as amounts before and after."""
        if not isinstance(self._padding, str):
            return self._padding
        extents = [(n - 1) * spread + 1 for n, spread in zip(self._weight.shape[2:], self._dilation, strict=True)]
        if self._padding == "valid":
            return ((0, 0),) * len(extents)
        if self._padding == "full":
            return tuple((extent - 1, extent - 1) for extent in extents)
        # What the kernel lacks at the last of the positions.
        pairs = []
        for size, n, step, extent in zip(self._x_shape[2:], self._y_shape[2:], self._stride, extents, strict=True):
            total = max(0, (n - 1) * step + extent - size)
            smaller, larger = total // 2, total - total // 2
            pairs.append((smaller, larger) if self._padding == "same" else (larger, smaller))
        return tuple(pairs)


def _set_apart(y: NDArray[Any], steps: tuple[int, ...]) -> NDArray[Any]:
    """`y` with so many zeros between neighbours that they are `steps` apart."""
    if all(step == 1 for step in steps):
        return y
    sizes = ((n - 1) * step + 1 for n, step in zip(y.shape[2:], steps, strict=True))
    apart = np.zeros((*y.shape[:2], *sizes), y.dtype)
    every: tuple[Any, ...] = (..., *(slice(None, None, step) for step in steps))
    apart[every] = y
    return apart
