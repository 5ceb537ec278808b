"""The programs under examples/ run, and do what they say."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(name, *arguments):
    command = [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)]
    child = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_deblur(tmp_path):
    text = run("deblur.py", "--output", tmp_path / "new")
    decibels = {name: float(value) for name, value in re.findall(r"^(\w+) +([\d.]+) dB", text, re.MULTILINE)}
    assert decibels["after"] > decibels["before"] + 5
    for name in ("before", "after"):
        assert (tmp_path / "new" / f"deblur-{name}.png").read_bytes().startswith(b"\x89PNG")
