"""Checks the rules of the code base that no compiler checks: who includes whom, sizes, names, exported symbols."""

import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import flatconv._core
import pytest
from cmake_project import TESTS_BUILD, build_library, require_compiler

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"

OWN_DIRECTORIES = ("benchmarks", "cmake", "csrc", "examples", "python", "tests")
CODE_SUFFIXES = {".c", ".cmake", ".cpp", ".h", ".hpp", ".in", ".map", ".py", ".pyi", ".toml"}
MOST_LINES = 400

KERNEL_HEADERS = {"<arm_neon.h>", "<cstddef>", "<cstdint>", "<immintrin.h>", "<stddef.h>", "<stdint.h>"}


def own_files() -> list[Path]:
    """List the code of this project: everything that a compiler or an interpreter reads."""
    files = [ROOT / name for name in ("CMakeLists.txt", "CMakePresets.json", "pyproject.toml")]
    for directory in OWN_DIRECTORIES:
        for path in (ROOT / directory).rglob("*"):
            if path.suffix in CODE_SUFFIXES or path.name == "CMakeLists.txt":
                files.append(path)
    if (ROOT / ".ci" / "run").exists():
        files.append(ROOT / ".ci" / "run")
    return sorted(files)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ----------------------------------------------------------------------------------------------------------------------
# Who includes whom


def read_room_table(text: str) -> dict[str, set[str]]:
    """Read the table of csrc/README.md: the rooms, or single headers, that each room may include."""
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): set(re.findall(r"`([^`]+)`", row[2])) for row in rows}


def room_of(path: Path, csrc: Path) -> str:
    parts = path.relative_to(csrc).parts
    return "/".join(parts[:2]) if parts[0] == "include" else parts[0]


def includes(path: Path, csrc: Path) -> Iterator[tuple[str, Path | None]]:
    """List the headers that a file includes, and which files under csrc/ they are."""
    for header in re.findall(r"^\s*#\s*include\s*([<\"][^>\"]+[>\"])", path.read_text("utf-8"), re.MULTILINE):
        found = [base / header[1:-1] for base in (path.parent, csrc, csrc / "include")]
        yield header, next((file.resolve() for file in found if file.is_file()), None)


def violations(csrc: Path, may_include: dict[str, set[str]]) -> Iterator[str]:
    """Say which #include lines under csrc/ break the table."""
    for path in sorted(csrc.rglob("*.[ch]pp")):
        room = room_of(path, csrc)
        if room not in may_include:
            yield f"{path.relative_to(csrc)}: the room {room} is not in the table"
            continue
        for header, target in includes(path, csrc):
            where = f"{path.relative_to(csrc)} includes {header}"
            if target is None:
                if header[0] == '"':
                    yield f"{where}, which is not under csrc/"
                elif room == "kernels" and header not in KERNEL_HEADERS:
                    yield f"{where}, but kernels may not include library headers"
                elif room != "bind" and header.startswith(("<pybind11/", "<Python.h", "<numpy/")):
                    yield f"{where}, but only bind may know of Python"
            elif not {room_of(target, csrc), str(target.relative_to(csrc))} & (may_include[room] | {room}):
                yield f"{where}, but {room} may include only {sorted(may_include[room]) or 'itself'}"


def unused_grants(csrc: Path, may_include: dict[str, set[str]]) -> Iterator[str]:
    """Say which rooms and headers the table grants to a room that includes nothing of them."""
    used: dict[str, set[str]] = {room: set() for room in may_include}
    for path in csrc.rglob("*.[ch]pp"):
        for _, target in includes(path, csrc):
            if target is not None:
                used.setdefault(room_of(path, csrc), set()).update(
                    (room_of(target, csrc), str(target.relative_to(csrc)))
                )
    for room, granted in may_include.items():
        for name in sorted(granted - used[room]):
            yield f"{room} may include {name}, and does not"


def test_rooms_include_what_the_table_grants() -> None:
    may_include = read_room_table((CSRC / "README.md").read_text("utf-8"))
    assert not list(violations(CSRC, may_include))


def test_rooms_include_all_that_the_table_grants() -> None:
    may_include = read_room_table((CSRC / "README.md").read_text("utf-8"))
    assert not list(unused_grants(CSRC, may_include))


def test_every_room_of_the_table_exists() -> None:
    may_include = read_room_table((CSRC / "README.md").read_text("utf-8"))
    rooms = {room_of(path, CSRC) for path in CSRC.rglob("*.[ch]pp")}
    assert rooms == set(may_include)
    for room, granted in may_include.items():
        missing = [name for name in granted if not (CSRC / name).exists()]
        assert not missing, f"the table grants {room} what does not exist: {missing}"


def test_the_table_has_no_cycle() -> None:
    may_include = read_room_table((CSRC / "README.md").read_text("utf-8"))
    below = {
        room: {name.split("/")[0] if name.endswith(".hpp") else name for name in names}
        for room, names in may_include.items()
    }
    while below:
        leaves = {room for room, names in below.items() if not names & below.keys()}
        assert leaves, f"these rooms include each other: {sorted(below)}"
        below = {room: names for room, names in below.items() if room not in leaves}


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("lower/a.hpp", '#include "upper/b.hpp"', "lower may include only itself"),
        ("kernels/a.cpp", "#include <vector>", "kernels may not include library headers"),
        ("upper/a.cpp", '#include "kernels/other.hpp"', "upper may include only"),
        ("upper/a.cpp", "  #  include <pybind11/pybind11.h>", "only bind may know of Python"),
        ("upper/a.cpp", '#include "nowhere.hpp"', "not under csrc/"),
        ("hidden/a.cpp", "", "not in the table"),
        ("upper/a.cpp", '#include "lower/c.hpp"', None),
        ("upper/a.cpp", '#include "b.hpp"', None),
        ("upper/a.cpp", '#include "kernels/contract.hpp"', None),
        ("upper/a.cpp", "#include <vector>", None),
        ("kernels/a.cpp", "#include <immintrin.h>", None),
    ],
)
def test_the_check_of_includes(tmp_path: Path, path: str, line: str, complaint: str | None) -> None:
    table = "| `lower` | | – |\n| `upper` | | `lower`, `kernels/contract.hpp` |\n| `kernels` | | – |\n"
    for name in ("lower/c.hpp", "upper/b.hpp", "kernels/contract.hpp", "kernels/other.hpp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(line, "utf-8")
    found = list(violations(tmp_path, read_room_table(table)))
    assert [complaint in text for text in found] == [True] if complaint else not found


def test_the_check_of_grants(tmp_path: Path) -> None:
    table = "| `lower` | | – |\n| `upper` | | `lower`, `kernels/contract.hpp`, `kernels` |\n| `kernels` | | – |\n"
    for name in ("lower/c.hpp", "kernels/contract.hpp", "kernels/other.hpp", "upper/a.cpp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "upper/a.cpp").write_text('#include "kernels/other.hpp"\n', "utf-8")
    found = list(unused_grants(tmp_path, read_room_table(table)))
    assert found == [f"upper may include {name}, and does not" for name in ("kernels/contract.hpp", "lower")]


# ----------------------------------------------------------------------------------------------------------------------
# Files


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in own_files()}
    assert not {name: length for name, length in lengths.items() if length > MOST_LINES}


def test_no_file_is_a_drawer() -> None:
    drawer = re.compile(r"(^|_)(utils?|helpers?|common|misc)$")
    assert not [name_of(path) for path in own_files() if drawer.search(path.stem)]


def test_every_source_is_built() -> None:
    """No file of the core is left behind, uncompiled: CMake's lists are written by hand."""
    lists = (ROOT / "CMakeLists.txt").read_text("utf-8") + (ROOT / "cmake" / "kernel_sets.cmake").read_text("utf-8")
    for path in sorted(CSRC.rglob("*.cpp")):
        isa = re.fullmatch(r"kernels_(\w+)", path.stem)
        entry = f"flatconv_add_kernel_set({isa[1]}" if isa else name_of(path)
        assert entry in lists, f"{name_of(path)} is in no list of CMake"


def test_every_file_says_what_it_is() -> None:
    """The first line is a comment or a docstring; JSON has neither."""
    opening = re.compile(r'//|/\*|#|r?"""')
    silent = [
        name_of(path)
        for path in own_files()
        if path.suffix != ".json" and not opening.match(path.read_text("utf-8").split("\n")[0])
    ]
    assert not silent


def test_no_build_is_for_one_machine() -> None:
    """The library is the same wherever it is built, so no flag may ask which CPU that is."""
    flag = re.compile("-m(arch|cpu|tune)=native|-ffast-math|-Ofast")
    builds = [path for path in own_files() if path.suffix in {"", ".cmake", ".in", ".json", ".toml", ".txt"}]
    guilty = [name_of(path) for path in builds if flag.search(path.read_text("utf-8"))]
    assert builds
    assert not guilty


def test_presets_are_json() -> None:
    presets = json.loads((ROOT / "CMakePresets.json").read_text("utf-8"))
    assert {"dev", "release", "tests"} <= {preset["name"] for preset in presets["configurePresets"]}


# ----------------------------------------------------------------------------------------------------------------------
# Binaries: the installed package


def extension() -> Path:
    return Path(str(flatconv._core.__file__))


def symbols(*command: str | Path) -> list[str]:
    """The lines of nm, or a skipped test where there are none to be had."""
    if shutil.which("nm") is None:
        pytest.skip("no nm: apt install binutils")
    if not extension().read_bytes().startswith(b"\x7fELF"):
        pytest.skip("not ELF")
    return subprocess.run(["nm", *map(str, command)], check=True, capture_output=True, text=True).stdout.splitlines()


def test_extension_exports_its_init_function_alone() -> None:
    lines = symbols("-D", "--defined-only", extension())
    assert [line.split()[-1] for line in lines] == ["PyInit__core"]


def test_kernel_files_export_their_kernel_sets_alone() -> None:
    """Any other symbol could be merged with another file's, and bring wide instructions to a CPU that lacks them."""
    require_compiler()
    build_library()
    exported = {
        re.sub(r"kernels_|\.cpp", "", path.stem): [
            line.split()[-1] for line in symbols("--defined-only", "--extern-only", path)
        ]
        for path in TESTS_BUILD.glob("CMakeFiles/flatconv.dir/csrc/kernels/*.o")
    }
    assert {"portable"} <= exported.keys()
    for isa, names in exported.items():
        foreign = [name for name in names if "kernel_set" not in name or isa not in name]
        assert not foreign, f"kernels_{isa}.cpp exports {foreign}"
        assert f"{isa}_kernel_set" in " ".join(names), f"kernels_{isa}.cpp exports {names}"


def test_binaries_name_no_directory_of_the_build() -> None:
    package = extension().parent
    for path in [extension(), *package.glob("lib/*.a"), *package.glob("lib/cmake/flatconv/*.cmake")]:
        content = path.read_bytes()
        for directory in (str(ROOT), os.path.expanduser("~/"), "pip-build-env"):
            assert directory.encode() not in content, f"{path.name} names {directory}"


def test_package_is_small() -> None:
    """Compressed as in a wheel."""
    package, wheel = extension().parent, io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in package.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                archive.write(path, path.relative_to(package))
        assert {"flatconv.hpp", "libflatconv.a", extension().name} <= {Path(name).name for name in archive.namelist()}
    assert wheel.tell() < 2_000_000
