"""ConvOperator: a convolution and its adjoint as a SciPy operator. Imported only when it is asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from flatconv._arguments import amounts, padding_mode_name, per_axis, sizes, thread_cap
from flatconv._arrays import computed
from flatconv._conv import conv1d, conv2d, conv3d
from flatconv._matrix import as_batch, check_addressable
from flatconv._shapes import spatial_sizes
from flatconv.grad._call import Geometry, Run, input_gradient

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
        Kernels with 1, 2 or 3 spatial axes: float32, float64, float16, bfloat16 or complex.
    input_shape : tuple of int
        The shape of the image: (C, *spatial), (N, C, *spatial), or (*spatial) for a plain one. With as many
        dimensions as `weight`, up to three, both are taken as plain; so a batch of signals has to be given as images
        of one row.
    stride, padding, dilation, groups, padding_mode
        As in `conv2d`.
    channels_last : bool, default False
        Whether `input_shape` and `output_shape` have their channels last.
    threads : int, optional
        As in `conv2d`.

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
    The product with the transpose is the adjoint to rounding, whatever the padding mode: it is the gradient with
    respect to the input, `grad.conv2d_input`, for as many operations as the forward product. For complex kernels, `.H`
    and `rmatvec` are the conjugate transpose, and `.T` is the transpose.

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
        kernels = computed("weight", weight)
        self.input_shape = sizes("input_shape", input_shape)
        kernels, shape, groups = as_batch(kernels, self.input_shape, groups, channels_last)
        rank = kernels.ndim - 2
        thread_cap(threads)
        self._rank = rank
        self._weight = kernels.copy()
        self._geometry = Geometry(
            stride=per_axis("stride", stride, rank),
            padding=amounts(padding, rank),
            dilation=per_axis("dilation", dilation, rank),
            groups=groups,
            padding_mode=padding_mode_name(padding_mode),
            channels_last=channels_last,
        )
        self._threads = threads
        self._x_shape = (shape[0], *shape[2:], shape[1]) if channels_last else shape
        # A batch of no images has the sizes of any other, and they are checked.
        of_nothing = self._convolved(np.empty((0, *self._x_shape[1:]), kernels.dtype))
        self._y_shape = (self._x_shape[0], *of_nothing.shape[1:])
        check_addressable(f"the output for input_shape = {self.input_shape}", self._y_shape, kernels.itemsize)
        # A plain image has neither batch nor channels, wherever they would be.
        self.output_shape = self._y_shape[rank + 2 - len(self.input_shape) :]
        if len(self.input_shape) == rank:
            self.output_shape = spatial_sizes(rank, self._y_shape, channels_last)
        super().__init__(kernels.dtype, (math.prod(self._y_shape), math.prod(self._x_shape)))

    def _matvec(self, vector: NDArray[Any]) -> NDArray[Any]:
        return self._matmat(vector.reshape(-1, 1)).ravel()

    def _rmatvec(self, vector: NDArray[Any]) -> NDArray[Any]:
        return self._rmatmat(vector.reshape(-1, 1)).ravel()

    def _matmat(self, columns: NDArray[Any]) -> NDArray[Any]:
        return _by_column(self._convolved, columns, self._x_shape)

    def _rmatmat(self, columns: NDArray[Any]) -> NDArray[Any]:
        return _by_column(self._transposed, columns, self._y_shape)

    def _convolved(self, x: NDArray[Any]) -> NDArray[Any]:
        geometry = self._geometry
        return _CONV[self._rank](
            x,
            self._weight,
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=geometry.dilation,
            groups=geometry.groups,
            padding_mode=geometry.padding_mode,
            channels_last=geometry.channels_last,
            threads=self._threads,
        )

    def _transposed(self, y: NDArray[Any]) -> NDArray[Any]:
        size = (len(y), *self._x_shape[1:])
        run = Run(out=None, threads=self._threads, algorithm="auto", workspace_limit=None)
        return input_gradient(self._rank, size, self._weight, y, self._geometry, run)


def _by_column(
    function: Callable[[NDArray[Any]], NDArray[Any]], columns: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Apply a function of a batch to the columns of a matrix, each of which holds an array of this shape."""
    count = columns.shape[1]
    results = function(columns.T.reshape(count * shape[0], *shape[1:]))
    return results.reshape(count, shape[0] * math.prod(results.shape[1:])).T
