"""Arrays as the core takes them: plain ndarrays of one native type. Called by every public function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
COMPLEX64 = np.dtype(np.complex64)
COMPLEX128 = np.dtype(np.complex128)
_NUMBERS = "biufc"
_OVERLAP_WORK = 100_000  # in candidate solutions; milliseconds
COMPUTED: frozenset[np.dtype[Any]] = frozenset({FLOAT32, FLOAT64, FLOAT16, COMPLEX64, COMPLEX128})  # and bfloat16
_BY_TYPE: dict[type, np.dtype[Any]] = {each.type: each for each in COMPUTED}


def numeric(name: str, value: Any) -> NDArray[Any]:
    """`value` as np.asarray gives it, if it holds numbers and nothing would be lost."""
    if value is None:
        raise TypeError(f"{name} must be an array, got None")
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        _refuse_mask(name, value, f"{name}.filled(0) or {name}.data")
    try:
        array = np.asarray(value)
        if _is_opaque(array, value) and hasattr(value, "__dlpack__"):
            array = np.from_dlpack(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name} cannot be made into an array: {error}") from None
    if array.dtype.kind not in _NUMBERS and not is_bfloat16(array.dtype):
        _refuse_dtype(name, array, value)
    return array


def native(name: str, value: Any) -> NDArray[Any]:
    """`value` as an array of numbers in the machine's byte order, of whichever type."""
    array = numeric(name, value)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether it is the bfloat16 of ml_dtypes, which need not be installed: NumPy itself knows of no such type."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def _is_opaque(array: NDArray[Any], value: Any) -> bool:
    """Whether NumPy found nothing in a value but the value itself."""
    return array.dtype == object and array.ndim == 0 and not isinstance(value, np.ndarray)


def _refuse_dtype(name: str, array: NDArray[Any], value: Any) -> NoReturn:
    """Raise the error for an array of anything but numbers."""
    if array.dtype == object:
        for item in array.flat:
            if isinstance(item, int) and not -(2**63) <= item < 2**64:
                raise OverflowError(f"{name} = {item} does not fit in 64 bits")
    if _is_opaque(array, value):
        advice = f": pass {name}.toarray()" if hasattr(value, "toarray") else ""
        raise TypeError(f"{name} must be an array, got {type(value).__name__}{advice}")
    # The types that packages add to NumPy's are void to it, and numbers all the same.
    added = array.dtype.kind == "V" and array.dtype.type is not np.void
    reason = "is not supported" if added else "does not hold numbers"
    raise TypeError(f"{name} has dtype {array.dtype}, which {reason}; convert it, e.g. {name}.astype(np.float32)")


def computed(name: str, value: Any) -> NDArray[Any]:
    """A single operand."""
    array: NDArray[Any] = promoted(1, **{name: value})[1][0]
    return array


def promoted(needed: int, /, **operands: Any) -> tuple[np.dtype[Any], list[Any]]:
    """The type that NumPy's promotion finds for the operands, and them as the core reads them for it.

    Those after the needed ones may be None. Python's own scalars are weak, as everywhere in NumPy: a bias of 0.5 does
    not turn float32 into float64.
    """
    values = list(operands.values())
    optional = (value for value in values[needed:] if value is not None)
    if (  # the common case, in less time
        type(values[0]) is np.ndarray
        and (plain := values[0].dtype) in COMPUTED
        and all(type(value) is np.ndarray and value.dtype is plain for value in (*values[:needed], *optional))
    ):
        return plain, values
    given = {name: value for i, (name, value) in enumerate(operands.items()) if i < needed or value is not None}
    arrays = {name: numeric(name, value) for name, value in given.items()}
    types = [value if type(value) in (int, float, complex) else arrays[name].dtype for name, value in given.items()]
    try:
        dtype = np.result_type(*types)
    except TypeError:
        named = " and ".join(f"{name} ({array.dtype})" for name, array in arrays.items())
        advice = " and ".join(f"{name}.astype(np.float32)" for name in arrays)
        raise TypeError(f"{named} have no type in common: pass {advice}") from None
    common = dtype if is_bfloat16(dtype) else _BY_TYPE.get(dtype.type)
    if common is None:
        raise TypeError(_unsupported({name: array.dtype for name, array in arrays.items()}, dtype))
    return common, [as_read(arrays[name], common) if name in arrays else None for name in operands]


def as_read(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """`array` in the type of a computation; but of float32, halves stay halves, which the core widens on its way."""
    if dtype == FLOAT32 and (array.dtype == FLOAT16 or is_bfloat16(array.dtype)):
        return array
    return array.astype(dtype, copy=False)


def check_out(out: Any, dtype: np.dtype[Any]) -> None:
    """Everything about `out` but its shape, which only the core knows."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if type(out) is not np.ndarray:
        _refuse_mask("out", out, "out.data")
    if out.dtype != dtype:
        raise ValueError(f"out must have the dtype of the result, {dtype}, got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if overlaps_itself(out):
        raise ValueError(
            f"out has elements that share memory: out.shape = {out.shape}, out.strides = {out.strides} bytes. "
            "Pass an array whose elements lie apart"
        )


def overlaps_itself(array: NDArray[Any]) -> bool:
    """Whether two elements of an array share memory; for axes so entangled that it takes long to tell, True."""
    if array.flags.c_contiguous:
        return False
    # Slices and transposes of a contiguous array pass here: a step of each axis leads beyond all that the axes with
    # shorter steps span together.
    span = array.itemsize
    for step, size in sorted((abs(step), size) for step, size in zip(array.strides, array.shape, strict=True)):
        if size > 1:
            if step < span:
                break
            span += step * (size - 1)
    else:
        return False
    # Two elements that differ along an axis lie to each other as two of which one is the first along that axis.
    for axis, size in enumerate(array.shape):
        whole = (slice(None),) * axis
        first, others = array[(*whole, slice(1))], array[(*whole, slice(1, None))]
        # NumPy's stubs know of two values only.
        if size > 1 and np.may_share_memory(first, others, max_work=_OVERLAP_WORK):  # type: ignore[arg-type]
            return True
    return False


def _refuse_mask(name: str, array: NDArray[Any], advice: str) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, and its mask would be lost; pass {advice}")


def _unsupported(dtypes: dict[str, np.dtype[Any]], dtype: np.dtype[Any]) -> str:
    """The message for operands whose common type is not supported: what they are, and what to do."""
    named = " and ".join(f"{name} ({each})" for name, each in dtypes.items())
    verb = "promote to" if len(dtypes) > 1 else "stays"
    if dtype.kind in "fc":
        wide = [name for name, each in dtypes.items() if each.type in (dtype.type, np.longdouble)]
        wanted = "np.float32" if dtype.itemsize < FLOAT32.itemsize else "np.float64"
        advice = "pass " + " and ".join(
            f"{name}.astype({'np.complex128' if dtypes[name].kind == 'c' else wanted})" for name in wide
        )
    else:
        wanted = "np.float32" if dtype.itemsize <= 2 else "np.float64"
        advice = f"pass {list(dtypes)[min(1, len(dtypes) - 1)]}.astype({wanted})"
    supported = ", ".join(sorted(map(str, COMPUTED)))
    return f"{named} {verb} {dtype}, which is not supported ({supported} and bfloat16 are): {advice}"
