"""What is in use, and where the C++ parts are: threads, instruction sets, include and CMake directories."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from flatconv import _core
from flatconv._arguments import thread_cap


def get_num_threads() -> int:
    """The number of threads that calls use unless they say otherwise.

    Returns
    -------
    int
        What `set_num_threads` set, else the environment's FLATCONV_NUM_THREADS, else OMP_NUM_THREADS, else the number
        of CPUs that this process may use (affinity and cgroup quota).

    Raises
    ------
    ValueError
        When the default is asked for, and FLATCONV_NUM_THREADS is set to anything but a positive integer, as in every
        call that uses the default.

    Examples
    --------
    >>> import flatconv
    >>> flatconv.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def set_num_threads(threads: int | None) -> None:
    """Set the number of threads that calls use unless they say otherwise.

    Parameters
    ----------
    threads : int or None
        At least 1; None goes back to the default. Results do not depend on it.

    Raises
    ------
    ValueError
        For a number below 1 or above 1024, and where `get_num_threads` says so.
    TypeError
        For anything but an integer or None.

    Examples
    --------
    >>> import flatconv
    >>> flatconv.set_num_threads(1)
    >>> flatconv.get_num_threads()
    1
    >>> flatconv.set_num_threads(None)
    """
    _core.set_num_threads(thread_cap(threads))


def show_config() -> dict[str, Any]:
    """The configuration in use.

    Returns
    -------
    dict
        ``version``; ``isa``, the instruction set in use, and ``isas``, all that this machine can run, best first;
        ``threads``; ``compiler``; ``tiles``, the micro-kernel's rows (output channels) and columns (output pixels)
        by instruction set and dtype; ``depth_block``, the length of the blocks of the sums; ``numpy``, its version.

    Raises
    ------
    ValueError
        When FLATCONV_ISA or FLATCONV_NUM_THREADS is set to what cannot be had.

    Examples
    --------
    >>> import flatconv
    >>> config = flatconv.show_config()
    >>> config["isa"] in config["isas"]
    True
    """
    usable = [each for each in _core.instruction_sets() if each["usable"]]
    return {
        "version": _core.__version__,
        "isa": _core.get_isa(),
        "isas": [each["name"] for each in usable],
        "threads": _core.get_num_threads(),
        "compiler": _core.compiler(),
        "tiles": {each["name"]: {"float32": each["float32_tile"], "float64": each["float64_tile"]} for each in usable},
        "depth_block": _core.depth_block,
        "numpy": np.__version__,
    }


def get_include() -> str:
    """The directory of the C++ and C headers, for the compiler's ``-I``.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        When the package was installed without its C++ parts.

    Examples
    --------
    >>> import flatconv, os
    >>> os.listdir(flatconv.get_include())
    ['flatconv']
    """
    return _installed("include", "flatconv/flatconv.hpp")


def get_cmake_dir() -> str:
    """The directory of the CMake package, for ``-Dflatconv_DIR=``, after which ``find_package(flatconv)`` finds it.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        When the package was installed without its C++ parts.

    Examples
    --------
    >>> import flatconv, os
    >>> os.path.basename(flatconv.get_cmake_dir())
    'flatconv'
    """
    return _installed("lib/cmake/flatconv", "flatconvConfig.cmake")


def _installed(directory: str, file: str) -> str:
    """`directory` inside the package. An editable install has two roots: the sources, and what was built from them."""
    import flatconv

    for root in flatconv.__path__:
        found = os.path.join(root, *directory.split("/"))
        if os.path.isfile(os.path.join(found, *file.split("/"))):
            return found
    raise FileNotFoundError(
        f"{directory}/{file} is not in {' or '.join(flatconv.__path__)}: the package was installed without its C++ "
        "parts. Install it anew with pip install flatconv."
    )
