"""The micro-kernel's depth loop, as the compiler made it: multiply-adds on registers, and no stack."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import flatconv
import pytest

# By instruction set: how a fused multiply-add looks, and how an access to the stack does.
PATTERNS = {
    "avx2": (r"vfmadd\d+p[sd]", r"%[re]?[sb]p\b"),
    "avx512": (r"vfmadd\d+p[sd]", r"%[re]?[sb]p\b"),
    "neon": (r"fmla\b", r"\bsp\b"),
}
JUMP = re.compile(r"(?:j\w+|b\.\w+|cbnz\s+\w+,)\s+(?:0x)?([0-9a-f]+)\b")


def disassembly(isa: str) -> str:
    """The object code of one kernel set, from the installed library."""
    if shutil.which("objdump") is None:
        pytest.skip("no objdump: apt install binutils")
    library = Path(flatconv.get_cmake_dir()).parents[1] / "libflatconv.a"
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "-C", library], check=True, capture_output=True, text=True
    ).stdout
    members = re.split(r"\n(\S+\.o):\s+file format", text)
    return next(code for name, code in zip(members[1::2], members[2::2], strict=True) if f"kernels_{isa}." in name)


def loops(function: str) -> Iterator[list[str]]:
    """The instructions of every loop: from the target of a backward jump to the jump."""
    lines = [(int(address, 16), text) for address, text in re.findall(r"^\s*([0-9a-f]+):\t(.*)$", function, re.M)]
    for address, text in lines:
        jump = JUMP.match(text)
        if jump and (target := int(jump[1], 16)) < address:
            yield [body for at, body in lines if target <= at <= address]


@pytest.mark.parametrize("isa", ["avx2", "avx512"] if platform.machine() == "x86_64" else ["neon"])
def test_the_depth_loop_keeps_its_accumulators_in_registers(isa: str) -> None:
    multiply_add, stack = (re.compile(pattern) for pattern in PATTERNS[isa])
    sizes = {}
    for function in disassembly(isa).split("\n\n"):
        name = re.search(r"multiply_tile<[^>]*?(\w+), (\d+), (\d+)>", function)
        if not name:
            continue
        depth_loop = min((body for body in loops(function) if any(map(multiply_add.match, body))), key=len)
        rows, vectors = int(name[2]), int(name[3])
        assert sum(bool(multiply_add.match(text)) for text in depth_loop) % (rows * vectors) == 0
        assert not [text for text in depth_loop if stack.search(text)], f"{name[0]} spills"
        sizes[name[1], rows, vectors] = len(depth_loop)
    info = next(entry for entry in flatconv._core.instruction_sets() if entry["name"] == isa)
    assert len(sizes) >= info["float32_tile"][0] + info["float64_tile"][0]
