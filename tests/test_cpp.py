"""Builds the C++ tests under tests/cpp and runs them; a failure shows what doctest says about each failing case."""

import re

import pytest
from cmake_project import TESTS_BUILD, build_library, require_compiler, run


@pytest.mark.timeout(1800)
def test_cpp() -> None:
    require_compiler()
    if missing := build_library():
        pytest.skip(f"C++ tests skipped: {missing}")
    result = run(TESTS_BUILD / "tests" / "cpp" / "flatconv_tests", "--no-colors=true")
    if result.returncode != 0:
        pytest.fail(result.stdout, pytrace=False)
    summary = re.search(r"test cases: +(\d+)", result.stdout)
    assert summary, result.stdout
    assert int(summary[1]) > 0, "flatconv_tests holds no test case"
