"""The gradients of convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flatconv._ranks import documented_like
from flatconv.grad._call import Geometry, Run, bias_gradient, input_gradient, weight_gradient

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis


def conv2d_input(
    input_size: tuple[int, ...],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional convolution: the gradient with respect to the input.

    Parameters
    ----------
    input_size : tuple of int
        The shape of the input, (N, C, *spatial), (C, *spatial) or (*spatial).
    weight : array_like, shape (C_out, C / groups, *kernel), or (*kernel) for a plain input
        The weight of the convolution.
    grad_output : array_like
        The gradient with respect to the output, in its shape.
    stride, padding, dilation, groups, padding_mode
        Those of the convolution.
    channels_last : bool, default False
        Whether the channels of the input, of the output and of their gradients are their last axis. The weight's axes
        are the same as ever.
    out, threads, algorithm, workspace_limit
        As in `conv2d`.

    Returns
    -------
    ndarray of shape `input_size`
        `out` if given.

    Raises
    ------
    ValueError
        For a bad value or shape. `out` is untouched.
    TypeError
        For a bad type.
    OverflowError, MemoryError
        As in `conv2d`.

    Notes
    -----
    This is the transpose of the convolution, so that for all x and g
    ``(conv2d(x, w) * g).sum() == (x * conv2d_input(x.shape, w, g)).sum()`` up to rounding, in every padding mode:
    pixels that padding repeats receive what their copies do. Sums are those of `conv_transpose2d`; what a padded pixel
    received is added to its source afterwards, in the order of the padding before and after the image along the first
    axis, then along the next, each from its first element to its last.

    Examples
    --------
    How often does a 2×2 kernel visit each pixel of a 3×3 image?

    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv2d_input((3, 3), np.ones((2, 2)), np.ones((2, 2)))
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    geometry = Geometry(stride, padding, dilation, groups, padding_mode, channels_last)
    return input_gradient(2, input_size, weight, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv2d_input, 1)
def conv1d_input(
    input_size: tuple[int, ...],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv1d_input((4,), np.array([1.0, 10.0]), np.ones(3))
    array([ 1., 11., 11., 10.])
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, padding_mode, channels_last)
    return input_gradient(1, input_size, weight, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv2d_input, 3)
def conv3d_input(
    input_size: tuple[int, ...],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> weight, grad_y = np.ones((8, 2, 3, 3, 3)), np.ones((8, 2, 2, 2))
    >>> grad.conv3d_input((2, 4, 4, 4), weight, grad_y).max()
    np.float64(64.0)
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, padding_mode, channels_last)
    return input_gradient(3, input_size, weight, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


def conv2d_weight(
    input: ArrayLike,
    weight_size: tuple[int, ...],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional convolution: the gradient with respect to the weight.

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial), (C, *spatial) or (*spatial)
        The input of the convolution.
    weight_size : tuple of int
        The shape of the weight, (C_out, C / groups, *kernel), or (*kernel) for a plain input.
    grad_output : array_like
        The gradient with respect to the output, in its shape.
    stride, padding, dilation, groups, padding_mode
        Those of the convolution.
    channels_last : bool, default False
        Whether the channels of the input, of the output and of their gradients are their last axis. The weight's axes
        are the same as ever.
    out, threads, algorithm, workspace_limit
        As in `conv2d`.

    Returns
    -------
    ndarray of shape `weight_size`
        `out` if given.

    Raises
    ------
    ValueError
        For a bad value or shape. `out` is untouched.
    TypeError
        For a bad type.
    OverflowError, MemoryError
        As in `conv2d`.

    Notes
    -----
    Each element is a sum over (image, output position), in this order, in blocks of fixed length, each a chain of fused
    multiply-adds. So the bits depend on the values alone, not on threads, memory layout or instruction set. There is
    one blocked algorithm, for which every name but ``"reference"`` stands.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import grad
    >>> image = np.arange(9.0).reshape(3, 3)
    >>> grad.conv2d_weight(image, (2, 2), np.ones((2, 2)))
    array([[ 8., 12.],
           [20., 24.]])
    """
    geometry = Geometry(stride, padding, dilation, groups, padding_mode, channels_last)
    return weight_gradient(2, input, weight_size, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv2d_weight, 1)
def conv1d_weight(
    input: ArrayLike,
    weight_size: tuple[int, ...],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv1d_weight(np.array([1.0, 2.0, 3.0, 4.0]), (2,), np.ones(3))
    array([6., 9.])
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, padding_mode, channels_last)
    return weight_gradient(1, input, weight_size, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv2d_weight, 3)
def conv3d_weight(
    input: ArrayLike,
    weight_size: tuple[int, ...],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv3d_weight(np.ones((2, 4, 4, 4)), (8, 2, 3, 3, 3), np.ones((8, 2, 2, 2))).max()
    np.float64(8.0)
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, padding_mode, channels_last)
    return weight_gradient(3, input, weight_size, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


def conv2d_bias(grad_output: ArrayLike, *, channels_last: bool = False, threads: int | None = None) -> NDArray[Any]:
    """Two-dimensional convolution, transposed or not: the gradient with respect to the bias.

    Parameters
    ----------
    grad_output : array_like, shape (N, C_out, *spatial), (C_out, *spatial) or (*spatial)
        The gradient with respect to the output.
    channels_last : bool, default False
        Whether the channels are its last axis.
    threads : int, optional
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (C_out,), or () for a plain output
        The sums over images and positions.

    Raises
    ------
    ValueError
        For a bad value or shape.
    TypeError
        For a bad type.
    OverflowError, MemoryError
        As in `conv2d`.

    Notes
    -----
    The sums run over (image, output position), in this order, in blocks of fixed length, so that the bits depend on
    the values alone. `numpy.sum` gives the same numbers up to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv2d_bias(np.ones((4, 2, 5, 5)))
    array([100., 100.])
    """
    return bias_gradient(2, grad_output, channels_last, threads)


@documented_like(conv2d_bias, 1)
def conv1d_bias(grad_output: ArrayLike, *, channels_last: bool = False, threads: int | None = None) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv1d_bias(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 7.])
    """  # noqa: D205, D400 (the rest is the model's)
    return bias_gradient(1, grad_output, channels_last, threads)


@documented_like(conv2d_bias, 3)
def conv3d_bias(grad_output: ArrayLike, *, channels_last: bool = False, threads: int | None = None) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv3d_bias(np.ones((4, 2, 5, 5, 5)))
    array([500., 500.])
    """  # noqa: D205, D400 (the rest is the model's)
    return bias_gradient(3, grad_output, channels_last, threads)
