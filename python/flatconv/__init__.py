"""flatconv: convolution of NumPy arrays, flattened into one matrix product.

    >>> import numpy as np, flatconv
    >>> image = np.ones((1, 3, 5, 5), np.float32)
    >>> weight = np.ones((8, 3, 3, 3), np.float32)
    >>> flatconv.conv2d(image, weight, padding="same").shape
    (1, 8, 5, 5)

Arrays are channels first, and names and argument order are those of `torch.nn.functional`.
"""

from flatconv._config import get_cmake_dir, get_include, get_num_threads, set_num_threads, show_config
from flatconv._conv import conv2d
from flatconv._core import __version__
from flatconv._matrix import conv_matrix
from flatconv._regions import col2im, im2col

__all__ = [
    "__version__",
    "col2im",
    "conv2d",
    "conv_matrix",
    "get_cmake_dir",
    "get_include",
    "get_num_threads",
    "im2col",
    "set_num_threads",
    "show_config",
]
