"""The same values in memory in other ways: reversed, sliced, Fortran, misaligned, of another byte order, broadcast."""

import sys

import numpy as np


def filler(dtype):
    """What must not be read: NaN, or the largest integer."""
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.nan


def reversed_axes(array):
    """Negative strides along all axes."""
    flip = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[flip])[flip]


def sliced(array):
    """Every second element, from the second on, of a larger array full of NaN, or of the largest integer."""
    larger = np.full([2 * size + 1 for size in array.shape], filler(array.dtype), array.dtype)
    view = larger[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def fortran(array):
    return np.asfortranarray(array)


def channels_last(array):
    """Channels first in shape, last in memory."""
    if array.ndim < 3:
        return np.asfortranarray(array)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -3, -1)), -1, -3)


def misaligned(array):
    """Elements that begin one byte after a multiple of their size."""
    buffer = bytearray(array.nbytes + 1)
    view = np.frombuffer(buffer, array.dtype, count=array.size, offset=1).reshape(array.shape)
    view[...] = array
    return view


def big_endian(array):
    return array.astype(array.dtype.newbyteorder(">"))


def broadcast(array):
    """The first element of the first axis, for the whole axis: other values, stride zero."""
    return np.broadcast_to(array[:1], array.shape)


def native_order(array):
    """An array whose dtype names the machine's own byte order."""
    return array.view(array.dtype.newbyteorder({"little": "<", "big": ">"}[sys.byteorder]))


def windowed(array):
    """A window of such an array: rows with a gap, and a start that is not that of the buffer."""
    larger = np.full([size + 3 for size in array.shape], filler(array.dtype), array.dtype)
    view = larger[tuple(slice(1, 1 + size) for size in array.shape)]
    view[...] = array
    return view


WRITABLE = {each.__name__: each for each in (reversed_axes, sliced, fortran, channels_last, misaligned, windowed)}
READABLE = WRITABLE | {each.__name__: each for each in (big_endian, native_order, broadcast)}
READABLE["contiguous"] = np.ascontiguousarray
