"""A time limit ends a test that hangs; one that was stopped for longer, as by Ctrl-Z, goes on as if it had not been."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parent

LIMITED = """
import os, subprocess, time
import pytest

def stop_for(seconds):
    subprocess.run(["sh", "-c", f"kill -STOP {os.getpid()}; sleep {seconds}; kill -CONT {os.getpid()}"], check=True)

@pytest.mark.timeout(2)
def test_stopped():
    stop_for(2.5)

@pytest.mark.timeout(1)
def test_hanging():
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nothing stops a process there")
def test_limits_do_not_count_the_time_of_a_process_that_is_stopped(tmp_path):
    (tmp_path / "test_limited.py").write_text(LIMITED, "utf-8")
    command = [sys.executable, "-m", "pytest", "-c", TESTS.parent / "pyproject.toml", "--rootdir", tmp_path]
    command += ["-p", "conftest", "-p", "no:cacheprovider", tmp_path]
    child = subprocess.run(command, cwd=TESTS, capture_output=True, encoding="utf-8", check=False)
    assert "1 failed, 1 passed" in child.stdout, child.stdout + child.stderr
    assert "Failed: Timeout (>1.0s)" in child.stdout
    assert re.search(r"^FAILED .*::test_hanging", child.stdout, re.MULTILINE), child.stdout


def test_hypothesis_may_be_stopped_while_it_draws(monkeypatch):
    clock, hours = time.perf_counter, 0

    def an_hour_later(drawn):
        nonlocal hours
        hours += 1
        return drawn

    @given(st.integers().map(an_hour_later))
    def draw(_):
        pass

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + 3600 * hours)
    draw()
    assert hours > 1
