"""Threads, instruction sets, and the directories of the C++ parts."""

import os
import re
from pathlib import Path

import flatconv
import numpy as np
import pytest
from child_process import run_child
from flatconv import _core

SHOW = "import flatconv; print(flatconv.get_num_threads(), flatconv.show_config()['isa'])"
VARIABLES = ("FLATCONV_NUM_THREADS", "OMP_NUM_THREADS", "FLATCONV_ISA")


@pytest.fixture
def environment(monkeypatch):
    """The environment of child processes, without the variables that are tested here."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


def usable_isas():
    return [each["name"] for each in _core.instruction_sets() if each["usable"]]


def test_show_config():
    config = flatconv.show_config()
    assert config["version"] == flatconv.__version__
    assert config["numpy"] == np.__version__
    assert config["isas"] == usable_isas()
    assert config["isa"] == _core.get_isa()
    assert config["threads"] == flatconv.get_num_threads()
    assert config["depth_block"] >= 1
    assert set(config["tiles"]) == set(config["isas"])
    assert re.search(r"\d", config["compiler"])
    config["isas"].clear()
    assert flatconv.show_config()["isas"]


def test_version_is_that_of_the_header():
    header = Path(flatconv.get_include(), "flatconv", "flatconv.hpp").read_text(encoding="utf-8")
    assert f'#define FLATCONV_VERSION_STRING "{flatconv.__version__}"' in header


def test_every_isa_can_be_forced(every_isa):
    assert flatconv.show_config()["isa"] == every_isa


def test_auto_is_the_best_isa():
    before = _core.get_isa()
    try:
        _core.set_isa("auto")
        assert _core.get_isa() == usable_isas()[0]
    finally:
        _core.set_isa(before)


@pytest.mark.parametrize("name", ["", "AVX2 ", "mmx", "sse9"])
def test_unknown_isas(name):
    before = _core.get_isa()
    with pytest.raises(ValueError, match=r"isa|ISA|instruction set"):
        _core.set_isa(name)
    assert _core.get_isa() == before


def test_unusable_isas():
    before = _core.get_isa()
    for each in _core.instruction_sets():
        if not each["usable"]:
            with pytest.raises(ValueError, match=each["name"]):
                _core.set_isa(each["name"])
    assert _core.get_isa() == before


def test_set_num_threads():
    default = flatconv.get_num_threads()
    try:
        for threads in (1, 3, np.int16(2)):
            flatconv.set_num_threads(threads)
            assert flatconv.get_num_threads() == threads
            assert flatconv.show_config()["threads"] == threads
    finally:
        flatconv.set_num_threads(None)
    assert flatconv.get_num_threads() == default


@pytest.mark.parametrize(
    ("own", "openmp", "threads"), [("3", None, "3"), (None, "5", "5"), ("3", "5", "3"), ("1", "64", "1")]
)
def test_threads_from_the_environment(environment, own, openmp, threads):
    for variable, value in (("FLATCONV_NUM_THREADS", own), ("OMP_NUM_THREADS", openmp)):
        if value is not None:
            environment.setenv(variable, value)
    assert run_child(SHOW).stdout.split()[0] == threads


@pytest.mark.parametrize("value", ["two", "0", "-1", "1.5"])
def test_no_number_in_our_variable_is_an_error_where_the_default_is_used(environment, value):
    environment.setenv("FLATCONV_NUM_THREADS", value)
    environment.setenv("OMP_NUM_THREADS", "3")
    child = run_child(
        """
        import numpy as np, flatconv

        x, weight = np.ones((1, 5, 5)), np.ones((1, 1, 3, 3))
        out = np.zeros((1, 3, 3))
        calls = (
            flatconv.get_num_threads,
            flatconv.show_config,
            lambda: flatconv.set_num_threads(None),
            lambda: flatconv.conv2d(x, weight, out=out),
            lambda: flatconv.pack(weight),
            lambda: flatconv.im2col(x, 3),
            lambda: flatconv.grad.conv2d_bias(x),
        )
        for call in calls:
            try:
                call()
            except ValueError as error:
                print(error)
        assert (out == 0).all()
        assert (flatconv.conv2d(x, weight, threads=1) == 9).all()
        flatconv.set_num_threads(2)
        assert flatconv.get_num_threads() == 2
        assert (flatconv.conv2d(x, weight) == 9).all()
        """
    )
    assert child.stdout.splitlines() == [f'FLATCONV_NUM_THREADS must be a positive integer, got "{value}"'] * 7


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_threads_by_affinity(environment):
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); " + SHOW
    assert run_child(code).stdout.split()[0] == "1"


def test_isa_from_the_environment(environment):
    assert run_child(SHOW).stdout.split()[1] == usable_isas()[0]
    for isa in usable_isas():
        environment.setenv("FLATCONV_ISA", isa)
        assert run_child(SHOW).stdout.split()[1] == isa


def test_a_wrong_isa_in_the_environment_is_an_error_of_the_call(environment):
    environment.setenv("FLATCONV_ISA", "mmx")
    child = run_child(
        """
        import numpy as np, flatconv
        try:
            flatconv.conv2d(np.ones((5, 5)), np.ones((3, 3)))
        except ValueError as error:
            print(error)
        """
    )
    assert "mmx" in child.stdout
    assert "FLATCONV_ISA" in child.stdout
    assert child.stdout.split("usable: ")[1].split() == usable_isas()


def test_directories_are_inside_the_package():
    assert Path(flatconv.get_include(), "flatconv", "flatconv.hpp").is_file()
    assert Path(flatconv.get_cmake_dir(), "flatconvConfig.cmake").is_file()


def test_directories_of_an_editable_install(monkeypatch, tmp_path):
    built = tmp_path / "built"
    (built / "include" / "flatconv").mkdir(parents=True)
    (built / "include" / "flatconv" / "flatconv.hpp").touch()
    monkeypatch.setattr(flatconv, "__path__", [str(tmp_path / "sources"), str(built)])
    assert Path(flatconv.get_include()) == built / "include"
    with pytest.raises(FileNotFoundError, match=r"lib/cmake/flatconv.*without its C\+\+ parts"):
        flatconv.get_cmake_dir()
