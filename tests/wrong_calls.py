"""Calls that have to fail: a valid one to change, and the look at what becomes of it."""

import numpy as np
import pytest
from problems import CONV

POISON = np.float32(np.nan)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def zero_strides(*shape):
    return np.broadcast_to(np.float32(1), shape)


def arrays(rank, **changes):
    """A valid call with every array and an `out`, with changes; None takes an argument away.

    A batch of two, 4 channels to 6, 8 pixels and 3 taps along each axis.
    """
    call = {
        "x": ones(2, 4, *[8] * rank),
        "weight": ones(6, 4, *[3] * rank),
        "bias": ones(6),
        "out": np.full((2, 6, *[6] * rank), POISON),
    }
    return call | changes


def check(exception, fragments, call, rank=2):
    """Make the call, and look at the exception and at what became of the arrays."""
    inputs = {
        name: np.array(call[name])
        for name in ("x", "weight", "bias")
        if isinstance(call.get(name), np.ndarray) and call[name].nbytes < 2**20
    }
    out = call.get("out")
    before = out.tobytes() if isinstance(out, np.ndarray) else None
    with pytest.raises(exception) as caught:
        CONV[rank](**call)
    assert type(caught.value) is exception or exception in (MemoryError, (ValueError, OverflowError, MemoryError))
    for fragment in fragments:
        assert fragment in str(caught.value)
    if before is not None:
        assert out.tobytes() == before
    for name, copy in inputs.items():
        assert call[name].tobytes() == copy.tobytes()
