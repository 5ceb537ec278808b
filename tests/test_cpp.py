"""Builds the tests in C++ and C under tests/cpp and runs them; a failure shows what they say about it."""

import re

import pytest
from cmake_project import TESTS_BUILD, build_library, require_compiler, run, run_checked

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def built() -> None:
    require_compiler()
    if missing := build_library():
        pytest.skip(f"C++ tests skipped: {missing}")


def test_cpp() -> None:
    result = run(TESTS_BUILD / "tests" / "cpp" / "flatconv_tests", "--no-colors=true")
    if result.returncode != 0:
        pytest.fail(result.stdout, pytrace=False)
    summary = re.search(r"test cases: +(\d+)", result.stdout)
    assert summary, result.stdout
    assert int(summary[1]) > 0, "flatconv_tests holds no test case"


def test_c() -> None:
    run_checked(TESTS_BUILD / "tests" / "cpp" / "flatconv_capi")
