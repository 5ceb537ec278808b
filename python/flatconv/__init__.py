"""flatconv: convolution of NumPy arrays, flattened into one matrix product.

    >>> import numpy as np, flatconv
    >>> image = np.ones((1, 3, 5, 5), np.float32)
    >>> weight = np.ones((8, 3, 3, 3), np.float32)
    >>> flatconv.conv2d(image, weight, padding="same").shape
    (1, 8, 5, 5)

Arrays are channels first, and names and argument order are those of `torch.nn.functional`.
"""

import typing as _typing

from flatconv import grad
from flatconv._config import get_cmake_dir, get_include, get_num_threads, set_num_threads, show_config
from flatconv._conv import conv1d, conv2d, conv3d
from flatconv._core import __version__
from flatconv._filter import filter2d
from flatconv._integer import conv_integer, qlinear_conv
from flatconv._matrix import conv_matrix
from flatconv._pack_transpose import pack_transpose
from flatconv._packed import PackedConv, pack
from flatconv._regions import col2im, fold, im2col, unfold
from flatconv._transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d

__all__ = [
    "PackedConv",
    "__version__",
    "col2im",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_integer",
    "conv_matrix",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "filter2d",
    "fold",
    "get_cmake_dir",
    "get_include",
    "get_num_threads",
    "grad",
    "im2col",
    "pack",
    "pack_transpose",
    "qlinear_conv",
    "set_num_threads",
    "show_config",
    "unfold",
]

if _typing.TYPE_CHECKING:
    from flatconv._operator import ConvOperator as ConvOperator


def __dir__() -> list[str]:
    """With ConvOperator, which is no attribute until it is asked for."""
    return sorted({*globals(), "ConvOperator"})


def __getattr__(name: str) -> _typing.Any:
    """ConvOperator, whose base class SciPy has, when somebody asks for it."""
    if name != "ConvOperator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from flatconv._operator import ConvOperator
    except ImportError as error:
        raise ImportError(f"ConvOperator needs SciPy: pip install scipy ({error})") from None
    return ConvOperator
