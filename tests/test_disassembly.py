"""The micro-kernel's depth loop, as the compiler made it: multiply-adds on registers, and no stack."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import flatconv
import pytest

ROOT = Path(__file__).resolve().parents[1]

# By instruction set: how a multiply-add looks (of integers, the multiplication), and how an access to the stack does.
PATTERNS = {
    "avx2": (r"vfmadd\d+p[sd]|vpmaddwd", r"%[re]?[sb]p\b"),
    "avx512": (r"vfmadd\d+p[sd]|vpmaddwd|vpdpbusd|vdpbf16ps", r"%[re]?[sb]p\b"),
    "neon": (r"fmla\b|smull2\b", r"\bsp\b"),
}
JUMP = re.compile(r"(?:j\w+|b\.\w+|cbnz\s+\w+,)\s+(?:0x)?([0-9a-f]+)\b")


def disassembly() -> str:
    """The object code of the installed library."""
    if shutil.which("objdump") is None:
        pytest.skip("no objdump: apt install binutils")
    library = Path(flatconv.get_cmake_dir()).parents[1] / "libflatconv.a"
    return subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "-C", library], check=True, capture_output=True, text=True
    ).stdout


def loops(function: str) -> Iterator[list[str]]:
    """The instructions of every loop: from the target of a backward jump to the jump."""
    lines = [(int(address, 16), text) for address, text in re.findall(r"^\s*([0-9a-f]+):\t(.*)$", function, re.M)]
    for address, text in lines:
        jump = JUMP.match(text)
        if jump and (target := int(jump[1], 16)) < address:
            yield [body for at, body in lines if target <= at <= address]


def tiles_of(isa: str) -> set[tuple[str, str, int, int]]:
    """Every tile that the source of a kernel set asks for: (vectors' type, operand, rows, vectors)."""
    source = (ROOT / "csrc" / "kernels" / f"kernels_{isa}.cpp").read_text("utf-8")
    number = r"\w* = (\d+)"
    found = re.findall(
        rf"struct (\w+) {{.*?tile_rows{number}, tile_vectors{number}[,;].*?panel_rows\[\] = {{([\d, ]+)}}",
        source,
        re.DOTALL,
    )
    # Those of another instruction have the tiles of what they derive from.
    derived = re.findall(r"struct (\w+) : (\w+) {", source)
    found += [(name, *each[1:]) for name, base in derived for each in found if each[0] == base]
    assert len(found) == 3 + len(derived), "one for float32, one for float64, one for integers"
    tiles = set()
    for name, tile_rows, tile_vectors, panel_rows in found:
        vectors = "WordVectors" if name.endswith("HalfPairs") else "ScatteredVectors"
        most_rows = {vectors: [int(tile_rows)] * int(tile_vectors)}
        if name.endswith(("Float", "Double")):  # integers have no panels
            most_rows["PanelVectors"] = [int(rows) for rows in panel_rows.split(",")]
            *narrower, widest = most_rows["PanelVectors"]
            most_rows["FetchingPanelVectors"] = [0] * len(narrower) + [widest]
        for operand, most in most_rows.items():
            tiles |= {(name, operand, row, i) for i, rows in enumerate(most, 1) for row in range(1, rows + 1)}
    return tiles


@pytest.mark.parametrize("isa", ["avx2", "avx512"] if platform.machine() == "x86_64" else ["neon"])
def test_the_depth_loop_keeps_its_accumulators_in_registers(isa: str) -> None:
    multiply_add, stack = (re.compile(pattern) for pattern in PATTERNS[isa])
    found = set()
    for function in disassembly().split("\n\n"):
        title = function.lstrip().partition("\n")[0]  # beneath it, calls may name the function before the called one
        name = re.search(rf"multiply_tile<[^>]*?({isa}\w+), [^>]*?(\w+Vectors), (\d+), (\d+)>", title, re.IGNORECASE)
        if not name:
            continue
        depth_loop = min((body for body in loops(function) if any(map(multiply_add.match, body))), key=len)
        rows, vectors = int(name[3]), int(name[4])
        assert sum(bool(multiply_add.match(text)) for text in depth_loop) % (rows * vectors) == 0
        assert not [text for text in depth_loop if stack.search(text)], f"{name[0]} spills"
        found.add((name[1], name[2], rows, vectors))
    assert found == tiles_of(isa)


@pytest.mark.parametrize("isa", ["avx2", "avx512"] if platform.machine() == "x86_64" else ["neon"])
def test_the_taps_of_channels_each_for_itself_keep_their_sums_in_registers(isa: str) -> None:
    multiply_add, stack = (re.compile(pattern) for pattern in PATTERNS[isa])
    found = set()
    for function in disassembly().split("\n\n"):
        name = re.match(
            rf".*convolve_columns<[^>]*?({isa}\w+), [^>]*?(\w+Taps)(?:<(\d), (\d)>)?, (\d)>",
            function.lstrip(),
            re.IGNORECASE,
        )
        if not name:
            continue
        taps = min((body for body in loops(function) if any(map(multiply_add.match, body))), key=len)
        columns, step, pixels = (int(number or 1) for number in name.groups()[2:])
        assert sum(bool(multiply_add.match(text)) for text in taps) == columns * pixels
        assert not [text for text in taps if stack.search(text)], f"{name[0]} spills"
        found.add((name[1], name[2], columns, step, pixels))
    ways = {("AnyTaps", 1, 1), *(("RowsOfTaps", columns, step) for columns in (3, 5, 7) for step in (1, 2))}
    types = {name for name, *_ in tiles_of(isa) if name.endswith(("Float", "Double"))}
    assert found == {(name, *way, pixels) for name in types for way in ways for pixels in range(1, 9)}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other vectors are shorter")
def test_kernel_rows_that_share_pixels_keep_them_in_registers() -> None:
    multiply_add, stack = (re.compile(pattern) for pattern in PATTERNS["avx512"])
    found = set()
    for function in disassembly().split("\n\n"):
        title = function.lstrip().partition("\n")[0]
        name = re.search(r"multiply_row_tile<[^>]*?Avx512Float, (\d+), (\d)>", title)
        if not name:
            continue
        # Behind it may be other functions, whose names are not kept.
        depth_loop = next(body for body in loops(function) if any(map(multiply_add.match, body)))
        rows, step = int(name[1]), int(name[2])
        assert sum(bool(multiply_add.match(text)) for text in depth_loop) == 3 * rows
        assert not [text for text in depth_loop if stack.search(text)], f"{name[0]} spills"
        found.add((rows, step))
    assert found == {*((rows, 1) for rows in (7, 8, 10, 12, 14)), (7, 2), (14, 2)}
