"""C++ and C repeat what Python computed, to the bit, on AArch64 too; what it refuses, they refuse in the same words."""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatconv
import numpy as np
import pytest
from cmake_project import (
    AARCH64,
    AARCH64_TOOLCHAIN,
    ROOT,
    build_aarch64_library,
    configure,
    require_compiler,
    run_checked,
)
from flatconv import _core, grad

HEADER = (ROOT / "csrc" / "include" / "flatconv" / "flatconv.hpp").read_text("utf-8")
CONSUMERS = ("replay_cpp", "replay_c")

pytestmark = pytest.mark.timeout(1800)


def numbers_of(declaration: str) -> dict[str, int]:
    """The names that an enumeration of the public header gives to 0, 1, 2, ..."""
    body = re.search(rf"enum {declaration}(?: : int)? {{(.*?)}}", HEADER, re.DOTALL)[1]
    names = re.findall(r"\w+", re.sub(r"//.*|=[^,}]*", "", body))
    return {name: number for number, name in enumerate(names)}


DTYPES = numbers_of("class DType")
PADDING_RULES = numbers_of("class PaddingRule")
PADDING_MODES = numbers_of("class PaddingMode")
ALGORITHMS = {"auto": 0} | numbers_of("class Algorithm")
ACTIVATIONS = numbers_of("Kind")
CODES = {ValueError: 1, OverflowError: 2, MemoryError: 3}  # StatusCode
FLOAT_OPERATIONS = ("conv", "input_gradient", "weight_gradient", "packed", "im2col", "col2im", "unfold", "fold")
OPERATIONS = (*FLOAT_OPERATIONS, "conv_integer", "qlinear_conv")
BYTE_TYPES = numbers_of("class ByteType")


def by_axis(value: Any, rank: int, absent: int) -> tuple[int, ...]:
    """(depth, height, width) from what Python takes, a number or one for each axis."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    return (absent,) * (3 - rank) + values


@dataclass
class Call:
    """One call of Python's, and the same for the consumers."""

    operation: str
    x: np.ndarray  # or its shape alone, in an array of zero strides
    weight: np.ndarray
    geometry: Mapping[str, Any] = field(default_factory=dict)
    transposed: bool = False
    given: Mapping[str, np.ndarray] = field(default_factory=dict)  # bias, residual; dy or regions
    run: Mapping[str, Any] = field(default_factory=dict)  # algorithm, threads, workspace_limit, activation
    zero_points: tuple[int, int] = (0, 0)  # of x and of y, for bytes
    scales: tuple[float, float] = (1, 1)
    y_type: str = "uint8"

    @property
    def rank(self) -> int:
        return self.x.ndim - 2

    def python(self) -> np.ndarray:
        """Make the call in Python."""
        name = f"conv{'_transpose' if self.transposed else ''}{self.rank}d"
        shapes = {"x": self.x.shape, "weight": self.weight.shape}
        kernel, dy, regions = self.weight.shape[2:], self.given.get("dy"), self.given.get("regions")
        geometry, run = dict(self.geometry), dict(self.run)
        x_zero, y_zero = self.x.dtype.type(self.zero_points[0]), np.dtype(self.y_type).type(self.zero_points[1])
        weight_zeros = self.given.get("weight_zero_point")
        calls: dict[str, Callable[[], np.ndarray]] = {
            "conv": lambda: getattr(flatconv, name)(self.x, self.weight, **self.given, **geometry, **run),
            "input_gradient": lambda: getattr(grad, f"{name}_input")(shapes["x"], self.weight, dy, **geometry, **run),
            "weight_gradient": lambda: getattr(grad, f"{name}_weight")(self.x, shapes["weight"], dy, **geometry, **run),
            "packed": self._packed,
            "im2col": lambda: flatconv.im2col(self.x, kernel, **geometry),
            "col2im": lambda: flatconv.col2im(regions, shapes["x"], kernel, **geometry),
            "unfold": lambda: flatconv.unfold(self.x, kernel, **geometry),
            "fold": lambda: flatconv.fold(regions, shapes["x"][2:], kernel, **geometry),
            "conv_integer": lambda: flatconv.conv_integer(
                self.x, self.weight, x_zero_point=x_zero, weight_zero_point=weight_zeros, **geometry, **run
            ),
            "qlinear_conv": lambda: flatconv.qlinear_conv(
                *(self.x, np.float32(self.scales[0]), x_zero, self.weight, self.given["weight_scale"], weight_zeros),
                *(np.float32(self.scales[1]), y_zero, self.given["bias"]),
                **geometry,
                **run,
            ),
        }
        return calls[self.operation]()

    def _packed(self) -> np.ndarray:
        pack = flatconv.pack_transpose if self.transposed else flatconv.pack
        run = dict(self.run)
        threads = run.pop("threads", None)
        layer = pack(self.weight, self.given.get("bias"), **self.geometry, **run)
        return layer(self.x, self.given.get("residual"), threads=threads)

    def record(self, result_bytes: int = 8) -> bytes:
        """The call as `calls.h` describes it."""
        rank, geometry, run = self.rank, dict(self.geometry), dict(self.run)
        padding, groups = geometry.get("padding", 0), geometry.get("groups", 1)
        pairs = ((0, 0),) * rank
        if not isinstance(padding, str):
            pairs = ((padding,) * 2,) * rank if isinstance(padding, int) else padding
            pairs = tuple((each, each) if isinstance(each, int) else each for each in pairs)
        first, second = self.weight.shape[:2]
        name, *bounds = (
            activation if isinstance(activation := run.get("activation") or "none", tuple) else (activation,)
        )
        reads = {
            "input_gradient": ("dy", "weight"),
            "weight_gradient": ("x", "dy"),
            "im2col": ("x",),
            "unfold": ("x",),
            "col2im": ("regions",),
            "fold": ("regions",),
            "conv_integer": ("x", "weight", "weight_zero_point"),
            "qlinear_conv": ("x", "weight", "weight_zero_point", "weight_scale", "bias"),
        }.get(self.operation, ("x", "weight", "bias", "residual"))
        arrays = [{"x": self.x, "weight": self.weight, **self.given}.get(each) for each in reads]
        if self.x.dtype.name in BYTE_TYPES:
            arrays[2] = arrays[2].astype(np.int32)
        contents = [b"" if each is None else self._content(each) for each in arrays]
        sizes = [len(content) for content in contents] + [0] * (5 - len(contents))
        integers = (
            OPERATIONS.index(self.operation),
            ALGORITHMS[run.get("algorithm", "auto")],
            run.get("threads", 0),
            run.get("workspace_limit", -1),
            DTYPES.get(self.x.dtype.name, 0),
            rank,
            self.x.shape[0],
            self.x.shape[1],
            second * groups if self.transposed else first,
            groups,
            *by_axis(self.x.shape[2:], rank, 1),
            *by_axis(self.weight.shape[2:], rank, 1),
            *by_axis(geometry.get("stride", 1), rank, 1),
            *by_axis(geometry.get("dilation", 1), rank, 1),
            PADDING_RULES[padding] if isinstance(padding, str) else 0,
            *by_axis([before for before, _ in pairs], rank, 0),
            *by_axis([after for _, after in pairs], rank, 0),
            PADDING_MODES[geometry.get("padding_mode", "zeros")],
            self.transposed,
            *by_axis(geometry.get("output_padding", 0), rank, 0),
            ACTIVATIONS[name],
        )
        low, high = (*map(float, bounds), 0.0, 0.0)[:2]
        types = [BYTE_TYPES.get(name, 0) for name in (self.x.dtype.name, self.weight.dtype.name, self.y_type)]
        header = struct.pack(f"={len(integers)}q2d5q2d", *integers, low, high, *types, *self.zero_points, *self.scales)
        header += struct.pack("=7q", self.x.itemsize, *sizes, result_bytes)
        return header + b"".join(content + bytes(-len(content) % 8) for content in contents)

    def _content(self, array: np.ndarray) -> bytes:
        """The bytes of an array, but of one that stands for its shape only a few: they are never read."""
        return bytes(8) if array.nbytes > 2**24 else np.ascontiguousarray(array).tobytes()


# ----------------------------------------------------------------------------------------------------------------------
# Calls that compute

GEOMETRIES = {
    1: [{"stride": 2, "padding": ((2, 1),)}, {"dilation": 3, "padding": "same", "groups": 2}],
    2: [
        {"padding": 1},
        {"stride": (2, 1), "padding": ((1, 0), (2, 1)), "dilation": (1, 2)},
        {"groups": 4, "padding": "full"},
        {"padding": "same_lower", "stride": 3},
    ],
    3: [{"stride": (1, 2, 2), "padding": (1, 0, 1)}, {"groups": 2}],
}


def computing_calls(dtype: str) -> Iterator[Call]:
    """Every operation, for every rank, on random numbers."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")  # gives NumPy the name
    is_complex = np.issubdtype(dtype, np.complexfloating)
    rng = np.random.default_rng(DTYPES[dtype])

    def normal(*shape: int) -> np.ndarray:
        values = rng.standard_normal(shape)
        return (values + 1j * rng.standard_normal(shape) if is_complex else values).astype(dtype)

    runs = [{}, {"algorithm": "im2col", "threads": 1}, {"algorithm": "channels", "threads": 2}]
    for rank, geometries in GEOMETRIES.items():
        size, kernel = {1: ((61,), (5,)), 2: ((13, 22), (4, 3)), 3: ((5, 6, 9), (2, 3, 3))}[rank]
        for turn, geometry in enumerate(geometries):
            run, groups = runs[turn % 3], geometry.get("groups", 1)
            x, weight, bias = normal(2, 36, *size), normal(20, 36 // groups, *kernel), normal(20)
            call = Call("conv", x, weight, geometry, given={"bias": bias}, run=run)
            y = call.python()
            yield call
            call = Call("packed", x, weight, geometry, given={"bias": bias, "residual": normal(*y.shape)})
            for activation in (None,) if is_complex else ("relu", ("clip", -0.5, 0.25)):
                yield Call(**{**vars(call), "run": run | {"activation": activation}})
            for operation in ("input_gradient", "weight_gradient"):
                yield Call(operation, x, weight, geometry, given={"dy": normal(*y.shape)}, run=run)
            movable = {name: value for name, value in geometry.items() if name != "groups"}
            for matrix, adjoint in (("im2col", "col2im"), ("unfold", "fold")):
                yield (call := Call(matrix, x, weight, movable))
                yield Call(adjoint, x, weight, movable, given={"regions": normal(*call.python().shape)})

            turned = normal(36, 20 // groups, *kernel)
            call = Call("conv", x, turned, geometry, transposed=True, given={"bias": bias}, run=run)
            y = call.python()
            yield call
            yield Call(**{**vars(call), "operation": "packed"})
            for operation in ("input_gradient", "weight_gradient"):
                yield Call(operation, x, turned, geometry, transposed=True, given={"dy": normal(*y.shape)}, run=run)
    for mode in ("reflect", "replicate", "circular", "symmetric"):
        geometry = {"padding": ((2, 1), (1, 3)), "padding_mode": mode}
        yield Call("conv", normal(1, 3, 9, 11), normal(5, 3, 3, 3), geometry)
        yield Call(
            "input_gradient", normal(1, 3, 9, 11), normal(5, 3, 3, 3), geometry, given={"dy": normal(1, 5, 10, 13)}
        )


def byte_calls() -> Iterator[Call]:
    """Both operations on bytes, of every pair of types, for every rank."""
    rng = np.random.default_rng(1)

    def numbers(dtype: str, *shape: int) -> np.ndarray:
        return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    for rank, geometries in GEOMETRIES.items():
        size, kernel = {1: ((61,), (5,)), 2: ((13, 22), (4, 3)), 3: ((5, 6, 9), (2, 3, 3))}[rank]
        for geometry in geometries:
            for x_type in BYTE_TYPES:
                for weight_type in BYTE_TYPES:
                    call = {
                        "x": numbers(x_type, 2, 36, *size),
                        "weight": numbers(weight_type, 20, 36 // geometry.get("groups", 1), *kernel),
                        "geometry": geometry,
                        "run": {"threads": 2},
                        "zero_points": (17, 5),
                    }
                    zeros = numbers(weight_type, 20)
                    yield Call("conv_integer", **call, given={"weight_zero_point": zeros})
                    scale = np.float32(rng.uniform(0.001, 0.1, 20))
                    given = {"weight_zero_point": zeros, "weight_scale": scale, "bias": numbers("int32", 20) >> 12}
                    yield Call("qlinear_conv", **call, given=given, scales=(0.25, 4), y_type=weight_type)


# ----------------------------------------------------------------------------------------------------------------------
# Calls that are refused: what the core words, so that all languages say the same


def nothing(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.float32(1), shape)


def wrong_calls() -> Iterator[Call]:
    """Values that only the core judges, one wrong in each call."""
    x, weight = nothing(2, 4, 8, 9), nothing(6, 4, 3, 3)
    geometries: list[dict[str, Any]] = [
        *({"stride": value} for value in (0, -1, (1, 0), (-(2**63), 1))),
        *({"dilation": value} for value in (0, -1, (2, -3), 4, 2**31, 2**62, (2**63 - 1, 1))),
        *({"padding": value} for value in (-1, (0, -2), ((0, 0), (0, -1)), 2**62, ((2**63 - 1, 1), (0, 0)))),
        {"padding": "same", "dilation": 2**31},
        {"padding": "full", "dilation": 2**31},
        {"padding": 9, "padding_mode": "reflect", "dilation": 40},
        {"padding": 2**61},
    ]
    for geometry in geometries:
        yield Call("conv", x, weight, geometry)
        yield Call("packed", x, weight, geometry)
        yield Call("im2col", x, weight, geometry)
    for shape in ((2, 4, 2, 8), (2, 4, 8, 1), (2, 4, 0, 8)):
        yield Call("conv", nothing(*shape), weight)
        yield Call("packed", nothing(*shape), weight, {"stride": 2})
    yield Call("conv", nothing(2, 4, 0, 8), weight, {"padding": 3, "padding_mode": "circular"})
    for groups, inputs in ((0, 4), (-1, 4), (3, 4), (4, 1)):
        yield Call("conv", x, nothing(6, inputs, 3, 3), {"groups": groups})
    yield Call("conv", x, nothing(6, 4, 0, 3))
    yield Call("conv", x, nothing(6, 4, 3, 2**32))
    yield Call("conv", nothing(2, 4, 8, 2**54), nothing(60, 4, 3, 3))
    yield Call("im2col", nothing(2, 2**20, 2**20, 2**10), nothing(1, 2**20, 2**12, 3))
    for operation in ("conv", "packed"):
        for limit in (0, 100):
            run = {"workspace_limit": limit, "threads": 1}
            yield Call(operation, np.ones((2, 4, 80, 90), np.float32), np.ones((6, 4, 3, 3), np.float32), run=run)
    turned = nothing(4, 6, 3, 3)
    geometries = [
        *({"stride": value} for value in (0, (1, -1), 2**62)),
        *({"padding": value} for value in (-1, 5, ((0, 10), (9, 0)), "full")),
        *({"output_padding": value} for value in (-1, 1, (0, 3))),
        {"stride": 2, "output_padding": 2},
        {"stride": 2, "padding": "same", "output_padding": 1},
        {"dilation": 2**31},
        {"groups": 0},
        {"groups": 3},
    ]
    for geometry in geometries:
        image = nothing(2, 4, 1, 1) if geometry.get("padding") == "full" else x
        yield Call("conv", image, turned, geometry, transposed=True)
    yield Call("conv", nothing(2, 4, 0, 8), turned, transposed=True)


# ----------------------------------------------------------------------------------------------------------------------
# Repeating them


def build_consumers(directory: Path, *options: str | Path) -> Path:
    result = configure(directory, *options, source=ROOT / "tests" / "install")
    assert result.returncode == 0, result.stdout
    run_checked("cmake", "--build", directory)
    return directory


@pytest.fixture(scope="module")
def consumers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the consumers are, built against the installed package."""
    require_compiler()
    return build_consumers(tmp_path_factory.mktemp("consumers"), f"-Dflatconv_DIR={flatconv.get_cmake_dir()}")


@pytest.fixture(scope="module")
def consumers_on_aarch64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = build_aarch64_library()
    return build_consumers(tmp_path_factory.mktemp("aarch64"), AARCH64_TOOLCHAIN, f"-Dflatconv_DIR={package}")


def replay(command: list[str | Path], isa: str, records: list[bytes], directory: Path) -> list[tuple[int, bytes]]:
    """What a consumer's calls came to: status codes, with the bytes of the result or of the message."""
    calls, outcomes = directory / "calls", directory / "outcomes"
    calls.write_bytes(b"".join(records))
    run_checked("env", f"FLATCONV_ISA={isa}", *command, calls, outcomes)
    content, found = outcomes.read_bytes(), []
    while content:
        code, size = struct.unpack_from("=qq", content)
        found.append((code, content[16 : 16 + size]))
        content = content[16 + size :]
    return found


def check_results(command: list[str | Path], isas: list[str], dtype: str, directory: Path) -> None:
    calls = list(byte_calls() if dtype == "bytes" else computing_calls(dtype))
    expected = [np.ascontiguousarray(call.python()) for call in calls]
    operations = {call.operation for call in calls}
    assert operations == set(OPERATIONS) - set(FLOAT_OPERATIONS) if dtype == "bytes" else set(FLOAT_OPERATIONS)
    records = [call.record(result.nbytes) for call, result in zip(calls, expected, strict=True)]
    for isa in isas:
        for call, result, outcome in zip(calls, expected, replay(command, isa, records, directory), strict=True):
            assert outcome == (0, result.tobytes()), f"{call.operation} of rank {call.rank} by {isa}: {call.geometry}"


@pytest.mark.parametrize("dtype", [*DTYPES, "bytes"])
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_results(consumer: str, dtype: str, consumers: Path, tmp_path: Path) -> None:
    usable = [each["name"] for each in _core.instruction_sets() if each["usable"]]
    check_results([consumers / consumer], usable, dtype, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [*DTYPES, "bytes"])
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_results_on_aarch64(consumer: str, dtype: str, consumers_on_aarch64: Path, tmp_path: Path) -> None:
    check_results([*AARCH64, consumers_on_aarch64 / consumer], ["neon", "portable"], dtype, tmp_path)


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_errors_have_the_same_words(consumer: str, consumers: Path, tmp_path: Path) -> None:
    calls, expected = list(wrong_calls()), []
    for call in calls:
        with pytest.raises(tuple(CODES)) as caught:
            call.python()
        expected.append((CODES[caught.type], str(caught.value)))
    assert len({message for _, message in expected}) > 40
    outcomes = replay([consumers / consumer], "auto", [call.record() for call in calls], tmp_path)
    for call, wanted, (code, message) in zip(calls, expected, outcomes, strict=True):
        assert (code, message.decode()) == wanted, f"{call.operation}: {call.geometry}"
