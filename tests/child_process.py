"""Runs Python code in a process of its own: for tests that fork, die, or look at a fresh interpreter."""

import subprocess
import sys
import textwrap


def run_child(code, *arguments, check=True, timeout=120):
    """Run code with warnings as errors; returns its outcome. A child that hangs fails the test."""
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    if check:
        assert child.returncode == 0, f"exit status {child.returncode}\n{child.stdout}\n{child.stderr}"
    return child
