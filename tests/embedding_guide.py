"""Follows docs/embedding.md, for test_install.py: its files in an empty directory, its commands in a shell."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from cmake_project import ENVIRONMENT, ROOT

GUIDE = ROOT / "docs" / "embedding.md"
BLOCKS = re.findall(r"^<!-- (file|commands): (\S+) -->\n```\w+\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
FILES = {name: text for kind, name, text in BLOCKS if kind == "file"}
COMMANDS = {name: text for kind, name, text in BLOCKS if kind == "commands"}
RESULT = FILES["result.txt"]


def write_files(way: str, directory: Path) -> None:
    """Write the program, and what else the guide shows for one way of building it."""
    directory.mkdir(exist_ok=True)
    for name, text in FILES.items():
        folder, _, file = name.rpartition("/")
        if folder in ("", way):
            (directory / file).write_text(text, "utf-8")


def run_commands(name: str, directory: Path, environment: Mapping[str, str] = {}) -> str:
    """Run a block of commands as a reader would; returns what the last one printed."""
    *before, last = COMMANDS[name].splitlines()
    script = "\n".join(["set -e", "{ :", *before, "} >&2", last])
    result = subprocess.run(
        ["sh", "-c", script],
        cwd=directory,
        env={**ENVIRONMENT, **environment, "FLATCONV": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        pytest.fail(f"{script}\nreturned {result.returncode}:\n{result.stdout}{result.stderr}", pytrace=False)
    return result.stdout
