"""Every way to get flatconv into a C++ or C project, as docs/embedding.md shows it; what the libraries export."""

import re
import shutil
from pathlib import Path

import flatconv
import pytest
from cmake_project import (
    ENVIRONMENT,
    ROOT,
    TESTS_BUILD,
    build_library,
    configure,
    require_compiler,
    run,
    run_checked,
    which,
)
from embedding_guide import RESULT, run_commands, write_files

HEADERS = ROOT / "csrc" / "include" / "flatconv"
COMPILERS = {"default": {}, "clang": {"CC": "clang", "CXX": "clang++"}}

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def needs_compiler() -> None:
    require_compiler()


def require(*programs: str) -> None:
    for program in programs:
        if which(program) is None:
            pytest.skip(f"no {program}")


# ----------------------------------------------------------------------------------------------------------------------
# The guide's ways, each in an empty directory


@pytest.mark.slow
@pytest.mark.parametrize("way", ["source", "fetch"])
def test_from_source(way: str, tmp_path: Path) -> None:
    write_files(way, tmp_path)
    assert run_commands(way, tmp_path) == RESULT


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_installed(compiler: str, tmp_path: Path) -> None:
    environment = COMPILERS[compiler]
    require("pkg-config", *environment.values())
    run_commands("install", tmp_path, environment)
    for way in ("package", "pkg-config", "c"):
        directory = tmp_path / way
        write_files(way, directory)
        (directory / "prefix").symlink_to(tmp_path / "prefix")
        assert run_commands(way, directory, environment) == RESULT
    (library,) = tmp_path.glob("prefix/lib*/**/libflatconv.a")
    check_exports(run_checked("nm", "-C", "--defined-only", "--extern-only", library))


@pytest.mark.slow
def test_wheel_from_nothing(tmp_path: Path) -> None:
    run_checked("python", "-m", "venv", tmp_path / "venv")
    environment = {"PATH": f"{tmp_path / 'venv' / 'bin'}:{ENVIRONMENT['PATH']}"}
    run_commands("wheel-install", tmp_path, environment)
    write_files("package", tmp_path)
    assert run_commands("wheel", tmp_path, environment) == RESULT


def test_wheel(tmp_path: Path) -> None:
    assert (Path(flatconv.get_include()) / "flatconv" / "flatconv.hpp").is_file()
    write_files("package", tmp_path)
    assert run_commands("wheel", tmp_path) == RESULT
    cache = (tmp_path / "build" / "CMakeCache.txt").read_text("utf-8")
    assert re.search(rf"^flatconv_DIR:\w+={re.escape(flatconv.get_cmake_dir())}$", cache, re.MULTILINE), cache


def test_scikit_build_core(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core")
    write_files("scikit-build-core", tmp_path)
    assert run_commands("scikit-build-core", tmp_path) == RESULT


# ----------------------------------------------------------------------------------------------------------------------
# Installations


def install(build: Path, directory: Path) -> Path:
    """Install into one prefix and move it to another, because packages are built here and used there."""
    first, prefix = directory / "first", directory / "prefix"
    run_checked("cmake", "--install", build, "--prefix", first)
    shutil.move(first, prefix)
    for file in [*prefix.glob("lib*/**/*.cmake"), *prefix.glob("lib*/**/*.pc")]:
        text = file.read_text("utf-8")
        assert str(ROOT) not in text, f"{file.name} names the source directory"
        assert str(directory) not in text, f"{file.name} names the prefix"
    return prefix


def test_installation_can_be_moved(tmp_path: Path) -> None:
    build_library()
    install(TESTS_BUILD, tmp_path)
    write_files("package", tmp_path)
    assert run_commands("package", tmp_path) == RESULT


def test_pkg_config(tmp_path: Path) -> None:
    require("pkg-config")
    build_library()
    install(TESTS_BUILD, tmp_path)
    for way in ("pkg-config", "c"):
        write_files(way, tmp_path)
        assert run_commands(way, tmp_path) == RESULT
    write_files("packed", tmp_path)
    assert run_commands("pkg-config", tmp_path) == RESULT


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_shared_library(compiler: str, tmp_path: Path) -> None:
    environment = COMPILERS[compiler]
    require("pkg-config", *environment.values())
    build = ROOT / "build" / f"shared-{compiler}"
    named = [f"-DCMAKE_CXX_COMPILER={environment['CXX']}"] if environment else []
    result = configure(build, "--preset", "shared", *named)
    assert result.returncode == 0, result.stdout
    run_checked("cmake", "--build", build)
    prefix = install(build, tmp_path)
    library = next(prefix.glob("lib*/**/libflatconv.so"), None)
    if library is None:
        pytest.skip("not ELF")
    write_files("package", tmp_path)
    assert run_commands("package", tmp_path, environment) == RESULT
    write_files("c", tmp_path)
    assert run_commands("c", tmp_path, environment | {"LD_LIBRARY_PATH": str(library.parent)}) == RESULT
    check_exports(run_checked("nm", "-DC", "--defined-only", library))


@pytest.mark.slow
def test_wrong_version_is_refused(tmp_path: Path) -> None:
    build_library()
    prefix = install(TESTS_BUILD, tmp_path)
    write_files("package", tmp_path)
    lists = tmp_path / "CMakeLists.txt"
    lists.write_text(lists.read_text("utf-8").replace("(flatconv 0.1 ", "(flatconv 0.0 "), "utf-8")
    result = run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert result.returncode != 0
    assert "version" in result.stdout


# ----------------------------------------------------------------------------------------------------------------------
# What the libraries export, and how large they are


def declared(header: str, declaration: str) -> set[str]:
    return set(re.findall(declaration, (HEADERS / header).read_text("utf-8"), re.MULTILINE))


def check_exports(names: str) -> None:
    """Check that what `nm -C` lists is what the headers declare: no more, no less."""
    exported = {line.split(maxsplit=2)[2] for line in names.splitlines() if len(line.split(maxsplit=2)) == 3}
    classes = declared("flatconv.hpp", r"^class FLATCONV_API (\w+)")
    functions = declared("flatconv.hpp", r"^FLATCONV_API [^(]*?(\w+)\(")
    c_functions = declared("flatconv.h", r"^FLATCONV_API [^(]*?(\w+)\(")
    assert len(functions) > 10
    assert len(c_functions) > 10
    of_class = re.compile(rf"((typeinfo|typeinfo name|vtable) for )?flatconv::v0::({'|'.join(classes)})\b")
    free = {name for name in exported if not of_class.match(name)}
    assert {re.sub(r"^flatconv::v0::|\(.*", "", name) for name in free} == functions | c_functions
    assert {match[3] for name in exported if (match := of_class.match(name))} == classes


def test_static_library_exports_the_api_alone() -> None:
    """Else its internals could clash with another library's, or be replaced by them."""
    require("nm")
    library = Path(flatconv.get_cmake_dir()).parents[1] / "libflatconv.a"
    if ".o:" not in (listing := run_checked("nm", "-C", "--defined-only", "--extern-only", library)):
        pytest.skip("not an archive of ELF objects")
    check_exports(listing)


def test_library_neither_prints_nor_ends_the_process() -> None:
    """By what it calls of the C library and of C++'s: streams of the process, and ways out of it."""
    require("nm")
    library = Path(flatconv.get_cmake_dir()).parents[1] / "libflatconv.a"
    called = {line.split()[-1] for line in run_checked("nm", "-u", library).splitlines() if line.split()[:1] == ["U"]}
    assert "snprintf" in called
    assert "memcpy" in called
    streams = {"stdout", "stderr", "_ZSt4cout", "_ZSt4cerr", "_ZSt4clog"}
    written = {"printf", "puts", "putchar", "perror", "write", "syslog"}
    ends = {"abort", "exit", "_exit", "quick_exit", "raise", "kill", "__assert_fail"}
    assert not called & (streams | written | ends)


def test_functions_of_the_api_throw_nothing() -> None:
    """But one, which returns a vector, and says so."""
    text = re.sub(r"//.*", "", (HEADERS / "flatconv.hpp").read_text("utf-8"))
    free = re.findall(r"^FLATCONV_API [^(]*?(\w+)(\([^;]*;)", text, re.MULTILINE)
    (packed,) = re.findall(r"^class FLATCONV_API PackedConv {(.*?)^};", text, re.MULTILINE | re.DOTALL)
    members = re.findall(r"^    (?:static )?(?:Status|ConvProblem) (\w+)(\([^;]*;)", packed, re.MULTILINE)
    assert len(free) > 10
    assert {name for name, _ in members} == {"pack", "problem", "run", "workspace_bytes", "explain"}
    throwing = [name for name, rest in [*free, *members] if not re.search(r"\bnoexcept;$", rest)]
    assert throwing == ["instruction_sets"]


def test_library_and_headers_are_small() -> None:
    library = Path(flatconv.get_cmake_dir()).parents[1] / "libflatconv.a"
    headers = Path(flatconv.get_include()).rglob("*.h*")
    assert sum(file.stat().st_size for file in [library, *headers]) < 3_000_000
