"""Builds the project under tests/install/consumer against an installed flatconv, as a C++ user would."""

import re
import shutil
from pathlib import Path

import flatconv
import pytest
from cmake_project import ROOT, TESTS_BUILD, build_library, configure, require_compiler, run, run_checked

CONSUMER = ROOT / "tests" / "install" / "consumer"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def compiler() -> None:
    require_compiler()


def consume(build: Path, package: Path) -> str:
    """Build the consumer in an empty directory against the CMake package of that directory, and run it."""
    result = configure(build, f"-Dflatconv_DIR={package}", "-DCMAKE_BUILD_TYPE=Release", source=CONSUMER)
    assert result.returncode == 0, result.stdout
    cache = (build / "CMakeCache.txt").read_text("utf-8")
    assert re.search(rf"^flatconv_DIR:\w+={re.escape(str(package))}$", cache, re.MULTILINE), cache
    run_checked("cmake", "--build", build)
    return run_checked(build / "consumer")


def install(build: Path, directory: Path) -> Path:
    """Install into one prefix and move it to another, because packages are built here and used there.

    Returns
    -------
    Path
        The directory of the CMake package.
    """
    first, prefix = directory / "first", directory / "prefix"
    run_checked("cmake", "--install", build, "--prefix", first)
    shutil.move(first, prefix)
    (config,) = prefix.glob("lib*/**/flatconvConfig.cmake")
    for file in config.parent.iterdir():
        text = file.read_text("utf-8")
        assert str(ROOT) not in text, f"{file.name} names the source directory"
        assert str(directory) not in text, f"{file.name} names the prefix"
    return config.parent


RESULT = "12 12 17\n10 17 19\n9 6 14\n"


def test_installed_library(tmp_path: Path) -> None:
    build_library()
    assert consume(tmp_path / "build", install(TESTS_BUILD, tmp_path)) == RESULT


def test_wheel(tmp_path: Path) -> None:
    package = Path(flatconv.get_cmake_dir())
    assert (Path(flatconv.get_include()) / "flatconv" / "flatconv.hpp").is_file()
    assert consume(tmp_path / "build", package) == RESULT


@pytest.mark.slow
def test_installed_shared_library(tmp_path: Path) -> None:
    build = ROOT / "build" / "shared"
    result = configure(build, "--preset", "release", "-DBUILD_SHARED_LIBS=ON")
    assert result.returncode == 0, result.stdout
    run_checked("cmake", "--build", build)
    package = install(build, tmp_path)
    assert consume(tmp_path / "build", package) == RESULT

    library = next(tmp_path.glob("prefix/lib*/**/libflatconv.so"), None)
    if library is None:
        pytest.skip("not ELF")
    names = [line.split(maxsplit=2)[2] for line in run_checked("nm", "-DC", "--defined-only", library).splitlines()]
    foreign = [name for name in names if not re.match(r"((typeinfo|typeinfo name|vtable) for )?flatconv::v0::", name)]
    assert any(name.startswith("flatconv::v0::conv(") for name in names)
    assert not foreign, f"exported without being part of the API: {foreign}"


@pytest.mark.slow
def test_wrong_version_is_refused(tmp_path: Path) -> None:
    build_library()
    package = install(TESTS_BUILD, tmp_path)
    source = tmp_path / "source"
    shutil.copytree(CONSUMER, source)
    lists = source / "CMakeLists.txt"
    lists.write_text(
        lists.read_text("utf-8").replace("find_package(flatconv 0.1 ", "find_package(flatconv 0.0 "), "utf-8"
    )
    result = run("cmake", "-S", source, "-B", tmp_path / "build", f"-Dflatconv_DIR={package}")
    assert result.returncode != 0
    assert "version" in result.stdout
