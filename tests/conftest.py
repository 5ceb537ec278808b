"""Fixtures and settings of all tests."""

import os

import pytest
from flatconv import _core
from hypothesis import HealthCheck, settings

# A fixture that forces an instruction set is meant to last for all examples of a test. And how long they take to draw,
# on a machine that may be busy with something else, is no fault of the test.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

WORK_PER_THREAD = 8e5  # the default
USABLE_ISAS = [each["name"] for each in _core.instruction_sets() if each["usable"]]
# These differ from avx512 in bytes and bfloat16 alone; tests/cpp/test_kernels.cpp checks that the others are its own.
SAME_AS_AVX512 = {"avx512_vnni", "avx512_bf16"}


def forced(name):
    before = _core.get_isa()
    _core.set_isa(name)
    assert _core.get_isa() == name
    yield name
    _core.set_isa(before)


@pytest.fixture(params=[name for name in USABLE_ISAS if name not in SAME_AS_AVX512])
def isa(request):
    """Every instruction set that this machine can run and that has kernels of floats of its own, forced."""
    yield from forced(request.param)


@pytest.fixture(params=USABLE_ISAS)
def every_isa(request):
    """Every instruction set that this machine can run, forced: for bytes and bfloat16."""
    yield from forced(request.param)


@pytest.fixture(autouse=True)
def default_threads():
    """Whatever a test sets, the next one begins with the default number of threads."""
    yield
    _core.set_num_threads(0)


@pytest.fixture
def split_work():
    """Calls use every thread that they may, however little there is to do; else a small problem gets one."""
    _core.set_work_per_thread(0)
    yield
    _core.set_work_per_thread(WORK_PER_THREAD)


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(20240229)
