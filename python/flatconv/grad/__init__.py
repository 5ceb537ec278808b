"""Gradients of the convolutions, with respect to input, weight and bias.

Names and argument order are those of `torch.nn.grad`, which has no transposed ones and no bias. The gradient
with respect to a complex number is ∂/∂re + i ∂/∂im, as in torch.

    >>> import numpy as np, flatconv
    >>> x, weight = np.ones((3, 5, 5)), np.ones((8, 3, 3, 3))
    >>> y = flatconv.conv2d(x, weight)
    >>> grad_y = 2 * y  # of the loss (y**2).sum()
    >>> flatconv.grad.conv2d_input(x.shape, weight, grad_y).shape
    (3, 5, 5)
    >>> flatconv.grad.conv2d_weight(x, weight.shape, grad_y).shape
    (8, 3, 3, 3)
    >>> flatconv.grad.conv2d_bias(grad_y).shape
    (8,)
"""

from flatconv.grad._convolution import (
    conv1d_bias,
    conv1d_input,
    conv1d_weight,
    conv2d_bias,
    conv2d_input,
    conv2d_weight,
    conv3d_bias,
    conv3d_input,
    conv3d_weight,
)
from flatconv.grad._transposed import (
    conv_transpose1d_input,
    conv_transpose1d_weight,
    conv_transpose2d_input,
    conv_transpose2d_weight,
    conv_transpose3d_input,
    conv_transpose3d_weight,
)

__all__ = [
    "conv1d_bias",
    "conv1d_input",
    "conv1d_weight",
    "conv2d_bias",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_bias",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d_input",
    "conv_transpose1d_weight",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "conv_transpose3d_input",
    "conv_transpose3d_weight",
]
