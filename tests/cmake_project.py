"""Runs CMake for the tests that build C++."""

import functools
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS_BUILD = ROOT / "build" / "tests"
AARCH64 = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]  # runs a program for it
AARCH64_TOOLCHAIN = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / 'aarch64-linux-gnu.cmake'}"
NO_DOCTEST = "apt install doctest-dev"  # as tests/cpp/CMakeLists.txt says it

# The scripts of this environment come first: an interpreter that runs by its path has not put them on PATH.
ENVIRONMENT = {
    **os.environ,
    "PATH": sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", os.defpath),
    "CMAKE_BUILD_PARALLEL_LEVEL": os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count() or 1)),
}


def which(program: str) -> str | None:
    """Find a program, in the environment of these tests first."""
    return shutil.which(program, path=ENVIRONMENT["PATH"])


def require_compiler() -> None:
    """Skip the test where there is nothing to compile C++ with."""
    if which("cmake") is None:
        pytest.skip("no CMake: pip install cmake ninja")
    compiler = os.environ.get("CXX", "c++")
    if which(compiler.split()[0]) is None:
        pytest.skip(f"no C++ compiler ({compiler}): apt install build-essential")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command and keep its output, both streams as one text."""
    return subprocess.run(
        [which(str(command[0])) or str(command[0]), *map(str, command[1:])],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run_checked(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command that has to succeed; its output is the failure's message."""
    result = run(*command, cwd=cwd)
    if result.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))} returned {result.returncode}:\n{result.stdout}", pytrace=False)
    return result.stdout


def configure(build: Path, *options: str | Path, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Configure a build directory, again from nothing if what lies there comes from another place or environment."""
    # Only a new build directory may choose: CMake refuses to change the generator of an old one.
    ninja = which("ninja")
    generator = ["-G", "Ninja"] if ninja and not (build / "CMakeCache.txt").exists() else []
    command = ["cmake", "-S", source, "-B", build, *generator, *options]
    if ninja and (generator or "CMAKE_GENERATOR:INTERNAL=Ninja" in (build / "CMakeCache.txt").read_text("utf-8")):
        command.append(f"-DCMAKE_MAKE_PROGRAM={ninja}")
    result = run(*command)
    if result.returncode != 0 and not generator and build.exists() and NO_DOCTEST not in result.stdout:
        shutil.rmtree(build)
        return configure(build, *options, source=source)
    return result


@functools.cache
def build_library() -> str | None:
    """Build the library and, where doctest is found, its tests; once per session, in a directory that is kept.

    Returns
    -------
    str or None
        Why the tests were left out, or None if they were built.
    """
    strict = os.environ.get("FLATCONV_WARNINGS_AS_ERRORS", "OFF")
    options = ["--preset", "tests", f"-DFLATCONV_WARNINGS_AS_ERRORS={strict}"]
    missing = None
    result = configure(TESTS_BUILD, *options)
    if result.returncode != 0 and NO_DOCTEST in result.stdout:
        missing = f"no doctest: {NO_DOCTEST}"
        result = configure(TESTS_BUILD, *options, "-DFLATCONV_BUILD_TESTS=OFF")
    if result.returncode != 0:
        pytest.fail(f"configuring {TESTS_BUILD} failed:\n{result.stdout}", pytrace=False)
    run_checked("cmake", "--build", TESTS_BUILD)
    return missing


@functools.cache
def build_aarch64_library() -> Path:
    """Cross-compile the library for AArch64 and install it; once per session, in a directory that is kept.

    Returns
    -------
    Path
        Where its CMake package is.
    """
    for program in ("aarch64-linux-gnu-g++", AARCH64[0]):
        if which(program) is None:
            pytest.skip(f"no {program}: apt install g++-aarch64-linux-gnu qemu-user")
    build = ROOT / "build" / "aarch64-library"
    result = configure(build, AARCH64_TOOLCHAIN)
    if result.returncode != 0:
        pytest.fail(f"configuring {build} failed:\n{result.stdout}", pytrace=False)
    run_checked("cmake", "--build", build)
    run_checked("cmake", "--install", build, "--prefix", build / "prefix")
    return next((build / "prefix").glob("lib*/**/flatconvConfig.cmake")).parent
