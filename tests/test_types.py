"""What arrays may hold, for every function and each of its arrays; anything else is an error that says what to do."""

import re

import flatconv
import numpy as np
import oracles
import pytest
from flatconv import grad

X, WEIGHT, Y = (1, 2, 6, 5), (3, 2, 3, 2), (1, 3, 4, 4)
TRANSPOSED_Y = (1, 2, 6, 5)  # of Y with WEIGHT


def packed(weight, bias):
    layer = flatconv.pack(weight, bias)
    return layer(np.ones(X, layer.dtype))


def packed_transpose(weight, bias):
    layer = flatconv.pack_transpose(weight, bias)
    return layer(np.ones(Y, layer.dtype))


# name: (call, shapes of its arrays)
COMPUTING = {
    "conv1d": (flatconv.conv1d, {"x": (2, 9), "weight": (3, 2, 4), "bias": (3,), "residual": (3, 6)}),
    "conv2d": (flatconv.conv2d, {"x": X, "weight": WEIGHT, "bias": (3,), "residual": Y}),
    "conv3d": (flatconv.conv3d, {"x": (2, 3, 4, 5), "weight": (3, 2, 2, 2, 2), "bias": (3,)}),
    "conv_transpose1d": (flatconv.conv_transpose1d, {"x": (3, 5), "weight": (3, 2, 4), "bias": (2,)}),
    "conv_transpose2d": (flatconv.conv_transpose2d, {"x": Y, "weight": WEIGHT, "bias": (2,)}),
    "conv_transpose3d": (flatconv.conv_transpose3d, {"x": (3, 2, 3, 4), "weight": (3, 2, 2, 2, 2)}),
    "pack": (packed, {"weight": WEIGHT, "bias": (3,)}),
    "pack_transpose": (packed_transpose, {"weight": WEIGHT, "bias": (2,)}),
    "filter2d": (flatconv.filter2d, {"image": (6, 5), "kernel": (3, 2)}),
    "col2im": (lambda regions: flatconv.col2im(regions, (2, 4, 4), 3), {"regions": (4, 18)}),
    "fold": (lambda x: flatconv.fold(x, 4, 3), {"x": (18, 4)}),
    "conv2d_input": (
        lambda weight, grad_output: grad.conv2d_input(X, weight, grad_output),
        {"weight": WEIGHT, "grad_output": Y},
    ),
    "conv2d_weight": (
        lambda grad_output, **x: grad.conv2d_weight(x["input"], WEIGHT, grad_output),
        {"input": X, "grad_output": Y},
    ),
    "conv2d_bias": (grad.conv2d_bias, {"grad_output": Y}),
    "conv_transpose2d_input": (
        lambda weight, grad_output: grad.conv_transpose2d_input(Y, weight, grad_output),
        {"weight": WEIGHT, "grad_output": TRANSPOSED_Y},
    ),
    "conv_transpose2d_weight": (
        lambda grad_output, **x: grad.conv_transpose2d_weight(x["input"], WEIGHT, grad_output),
        {"input": Y, "grad_output": TRANSPOSED_Y},
    ),
    "ConvOperator": (
        lambda weight: flatconv.ConvOperator(weight, X) @ np.ones(60, np.asarray(weight).dtype.newbyteorder("=")),
        {"weight": WEIGHT},
    ),
}
# These move elements, and compute with none.
MOVING = {
    "im2col": (lambda x: flatconv.im2col(x, 2), {"x": X}),
    "unfold": (lambda x: flatconv.unfold(x, 2), {"x": X}),
    "conv_matrix": (lambda weight: flatconv.conv_matrix(weight, X, format="dense"), {"weight": WEIGHT}),
}
ARRAYS = [(function, name) for function, (_, shapes) in (COMPUTING | MOVING).items() for name in shapes]


def call(function, dtype, **changes):
    """The function with small integers of a type, and arrays that are other ones."""
    run, shapes = (COMPUTING | MOVING)[function]
    rng = np.random.default_rng(0)
    return run(**{name: rng.integers(-4, 5, shape).astype(dtype) for name, shape in shapes.items()} | changes)


def shape_of(function, name):
    return (COMPUTING | MOVING)[function][1][name]


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("function", COMPUTING)
def test_results_have_the_type_of_the_arrays(function, dtype):
    y = call(function, dtype)
    assert y.dtype == dtype
    assert np.array_equal(y, call(function, "f8"))


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">c8", ">c16"])
@pytest.mark.parametrize("function", COMPUTING | MOVING)
def test_the_other_byte_order(function, dtype):
    native = np.dtype(dtype).newbyteorder("=")
    y = call(function, dtype)
    assert y.dtype == native
    oracles.assert_same_bits(y, call(function, native))


@pytest.mark.parametrize(("function", "name"), ARRAYS)
@pytest.mark.parametrize(
    "dtype", [object, "U3", "S3", "datetime64[s]", "timedelta64[s]", "f4,f4", "V8"], ids=lambda dtype: str(dtype)
)
def test_what_is_no_number(function, name, dtype):
    changed = np.empty(shape_of(function, name), dtype)
    message = rf"{name} has dtype .*, which does not hold numbers; convert it, e\.g\. {name}\.astype\(np\.float32\)"
    with pytest.raises(TypeError, match=message):
        call(function, "f4", **{name: changed})


def test_what_cannot_be_made_into_an_array():
    torch, sparse, ml_dtypes = map(pytest.importorskip, ("torch", "scipy.sparse", "ml_dtypes"))
    kernel = np.ones((3, 3), np.float32)
    for exception, x, message in (
        (TypeError, torch.ones(8, 8, requires_grad=True), "x cannot be made into an array: .*grad"),
        (TypeError, torch.ones(8, 8, dtype=torch.bfloat16), "x cannot be made into an array: .*BFloat16"),
        (TypeError, sparse.csr_array(np.eye(8)), r"x must be an array, got csr_array: pass x\.toarray\(\)$"),
        (TypeError, object(), "x must be an array, got object$"),
        (TypeError, np.ones((8, 8), ml_dtypes.float8_e4m3fn), "dtype float8_e4m3fn, which is not supported; convert"),
        (OverflowError, 2**64, "x = 18446744073709551616 does not fit in 64 bits"),
    ):
        with pytest.raises(exception, match=message):
            flatconv.conv2d(x, kernel)


def test_arrays_of_other_libraries_by_dlpack():
    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x, weight = np.arange(30.0).reshape(5, 6), np.ones((2, 2))
    oracles.assert_same_bits(flatconv.conv2d(Foreign(x), Foreign(weight)), flatconv.conv2d(x, weight))


@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_masked_arrays(function, name):
    masked = np.ma.masked_less(np.ones(shape_of(function, name), np.float32), 0)
    with pytest.raises(TypeError, match=rf"{name} is a masked array.*{name}\.filled\(0\) or {name}\.data"):
        call(function, "f4", **{name: masked})


@pytest.mark.parametrize(("function", "name"), [each for each in ARRAYS if each[0] in COMPUTING])
@pytest.mark.parametrize(("dtype", "wanted"), [(np.longdouble, "np.float64"), (np.clongdouble, "np.complex128")])
def test_long_doubles(function, name, dtype, wanted):
    long = np.ones(shape_of(function, name), dtype)
    with pytest.raises(TypeError, match=rf"pass .*{name}\.astype\({re.escape(wanted)}\)"):
        call(function, "f4", **{name: long})


@pytest.mark.parametrize("function", [name for name in COMPUTING if name != "filter2d"])
@pytest.mark.parametrize(
    ("dtype", "wanted"), [("?", "float32"), ("u1", "float32"), ("i2", "float32"), ("i4", "float64"), ("u8", "float64")]
)
def test_integers_alone(function, dtype, wanted):
    """Sums of integers are other operations; floats have to be asked for."""
    with pytest.raises(TypeError, match=rf"not supported .*: pass \w+\.astype\(np\.{wanted}\)"):
        call(function, dtype)


@pytest.mark.parametrize("function", COMPUTING)
def test_integers_among_floats(function):
    _, shapes = COMPUTING[function]
    for name, shape in shapes.items():
        if len(shapes) > 1:
            y = call(function, "f4", **{name: np.full(shape, 3, np.uint8)})
            assert y.dtype == np.float32
            oracles.assert_same_bits(y, call(function, "f4", **{name: np.full(shape, 3, np.float32)}))


@pytest.mark.parametrize("dtype", ["?", "i1", ">i2", "u8", "f2", "c16", ">f4"])
@pytest.mark.parametrize("function", MOVING)
def test_elements_of_every_type_are_moved(function, dtype):
    y = call(function, dtype)
    assert y.dtype == np.dtype(dtype).newbyteorder("=")
    if np.dtype(dtype).kind in "ifc":
        assert np.array_equal(y, call(function, "f8"))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices_and_lists_are_arrays():
    image, kernel = np.arange(30.0).reshape(5, 6), np.ones((2, 2))
    for x in (np.matrix(image), image.tolist(), memoryview(image)):
        for weight in (np.matrix(kernel), kernel.tolist()):
            y = flatconv.conv2d(x, weight)
            assert type(y) is np.ndarray
            assert np.array_equal(y, flatconv.conv2d(image, kernel))
    with pytest.raises(ValueError, match="x cannot be made into an array"):
        flatconv.conv2d([[1.0, 2.0], [3.0]], kernel)
