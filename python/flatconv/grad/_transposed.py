"""The gradients of transposed convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flatconv._ranks import documented_like
from flatconv.grad._call import Geometry, Run, input_gradient, weight_gradient

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Padding, PerAxis


def conv_transpose2d_input(
    input_size: tuple[int, ...],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional transposed convolution: the gradient with respect to the input.

    Parameters
    ----------
    input_size : tuple of int
        The shape of the input, (N, C, *spatial), (C, *spatial) or (*spatial).
    weight : array_like, shape (C, C_out / groups, *kernel), or (*kernel) for a plain input
        The weight of the transposed convolution.
    grad_output : array_like
        The gradient with respect to the output, in its shape.
    stride, padding, output_padding, groups, dilation
        Those of the transposed convolution.
    channels_last : bool, default False
        Whether the channels of the input, of the output and of their gradients are their last axis. The weight's axes
        are the same as ever.
    out, threads, algorithm, workspace_limit
        As in `conv2d`.

    Returns
    -------
    ndarray of shape `input_size`
        `out` if given. The transpose of the transpose: the convolution of `grad_output` with `weight`.

    Raises
    ------
    ValueError
        For a bad value or shape. `out` is untouched.
    TypeError
        For a bad type.
    OverflowError, MemoryError
        As in `conv2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv_transpose2d_input((2, 2), np.ones((2, 2)), np.arange(9.0).reshape(3, 3))
    array([[ 8., 12.],
           [20., 24.]])
    """
    geometry = Geometry(stride, padding, dilation, groups, "zeros", channels_last, True, output_padding)
    return input_gradient(2, input_size, weight, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv_transpose2d_input, 1)
def conv_transpose1d_input(
    input_size: tuple[int, ...],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv_transpose1d_input((2,), np.array([1.0, 10.0]), np.array([1.0, 2.0, 3.0]))
    array([21., 32.])
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, "zeros", channels_last, True, output_padding)
    return input_gradient(1, input_size, weight, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv_transpose2d_input, 3)
def conv_transpose3d_input(
    input_size: tuple[int, ...],
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> weight, grad_y = np.ones((2, 8, 3, 3, 3)), np.ones((8, 6, 6, 6))
    >>> grad.conv_transpose3d_input((2, 4, 4, 4), weight, grad_y).max()
    np.float64(216.0)
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, "zeros", channels_last, True, output_padding)
    return input_gradient(3, input_size, weight, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


def conv_transpose2d_weight(
    input: ArrayLike,
    weight_size: tuple[int, ...],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional transposed convolution: the gradient with respect to the weight.

    Parameters
    ----------
    input : array_like, shape (N, C, *spatial), (C, *spatial) or (*spatial)
        The input of the transposed convolution.
    weight_size : tuple of int
        The shape of the weight, (C, C_out / groups, *kernel), or (*kernel) for a plain input.
    grad_output : array_like
        The gradient with respect to the output, in its shape.
    stride, padding, output_padding, groups, dilation
        Those of the transposed convolution.
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
    Each element is a sum over (image, position of the input), in this order, as in `conv2d_weight`.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv_transpose2d_weight(np.ones((2, 2)), (2, 2), np.arange(9.0).reshape(3, 3))
    array([[ 8., 12.],
           [20., 24.]])
    """
    geometry = Geometry(stride, padding, dilation, groups, "zeros", channels_last, True, output_padding)
    return weight_gradient(2, input, weight_size, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv_transpose2d_weight, 1)
def conv_transpose1d_weight(
    input: ArrayLike,
    weight_size: tuple[int, ...],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv_transpose1d_weight(np.ones(2), (2,), np.array([1.0, 2.0, 3.0]))
    array([3., 5.])
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, "zeros", channels_last, True, output_padding)
    return weight_gradient(1, input, weight_size, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))


@documented_like(conv_transpose2d_weight, 3)
def conv_transpose3d_weight(
    input: ArrayLike,
    weight_size: tuple[int, ...],
    grad_output: ArrayLike,
    stride: PerAxis = 1,
    padding: Padding = 0,
    output_padding: PerAxis = 0,
    groups: int = 1,
    dilation: PerAxis = 1,
    *,
    channels_last: bool = False,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """
    >>> import numpy as np
    >>> from flatconv import grad
    >>> grad.conv_transpose3d_weight(np.ones((2, 4, 4, 4)), (2, 8, 3, 3, 3), np.ones((8, 6, 6, 6))).max()
    np.float64(64.0)
    """  # noqa: D205, D400 (the rest is the model's)
    geometry = Geometry(stride, padding, dilation, groups, "zeros", channels_last, True, output_padding)
    return weight_gradient(3, input, weight_size, grad_output, geometry, Run(out, threads, algorithm, workspace_limit))
