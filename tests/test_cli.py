"""The command line: python -m flatconv."""

import re
import subprocess
import sys

import flatconv
import matplotlib.image
import numpy as np
import pytest
from child_process import run_child
from flatconv import __main__


def run_module(*arguments, cwd):
    command = [sys.executable, "-W", "error", "-m", "flatconv", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's outcome, and the directory that it ran in."""
    directory = tmp_path_factory.mktemp("demo")
    return run_module("demo", cwd=directory), directory


def test_demo_prints_the_worked_example(demo):
    outcome, _ = demo
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == ""
    for part in (
        "12 12 17",
        "10 17 19",
        "9  6 14",
        "3 3 2 0 0 1 3 1 2",
        "region matrix",
        "convolution matrix",
        "= 12. The nine products",
        "Both views equal conv2d(image, kernel): yes",
    ):
        assert part in outcome.stdout
    assert "· 1 2 · · 2 2 · · · · 1 2 · · · · · · · · · · · ·" in outcome.stdout


def test_demo_checks_and_times_the_photographs(demo):
    outcome, _ = demo
    assert outcome.stdout.count("within the bound") == 2
    assert "camera: 512×512 pixels, 1 to 16 channels" in outcome.stdout
    assert "astronaut: 512×512 pixels, 3 to 16 channels" in outcome.stdout
    assert len(re.findall(r"NumPy im2col \+ BLAS +[\d.]+ ms", outcome.stdout)) == 2
    assert len(re.findall(r"flatconv +[\d.]+ ms", outcome.stdout)) == 2


def test_demo_writes_its_picture(demo):
    _, directory = demo
    assert [path.name for path in directory.iterdir()] == ["flatconv-demo.png"]
    picture = matplotlib.image.imread(directory / "flatconv-demo.png")
    assert min(picture.shape[:2]) > 1000
    tiles = picture[: 8 * (len(picture) // 8), : 8 * (picture.shape[1] // 8), :3]
    tiles = tiles.reshape(8, -1, 8, tiles.shape[1] // 8, 3).transpose(0, 2, 1, 3, 4).reshape(64, -1)
    assert (tiles.std(axis=1) > 0.02).all()
    assert len(np.unique(tiles[:, ::7])) > 200


def test_demo_fails_when_a_result_is_wrong(monkeypatch, tmp_path, capsys):
    from flatconv._demo import photographs

    def nearly(*arguments, **keywords):
        y = flatconv.conv2d(*arguments, **keywords)
        y[3, 100, 100] += np.float32(1e-3)
        return y

    monkeypatch.setattr(photographs, "conv2d", nearly)
    monkeypatch.setattr(photographs, "_ROUNDS", 1)
    assert __main__.main(["demo", "--output", str(tmp_path / "picture.png")]) == 1
    assert capsys.readouterr().out.count("BEYOND the bound") == 2
    assert (tmp_path / "picture.png").exists()


@pytest.mark.parametrize("missing", ["skimage", "matplotlib"])
def test_demo_without_its_extras_says_what_to_install(missing, tmp_path):
    child = run_child(
        f"""
        import os, runpy, sys
        os.chdir({str(tmp_path)!r})
        sys.modules[{missing!r}] = None
        sys.argv = ["flatconv", "demo"]
        runpy.run_module("flatconv", run_name="__main__", alter_sys=False)
        """,
        check=False,
    )
    assert child.returncode == 1
    assert 'pip install "flatconv[demo]"' in child.stderr
    assert "Traceback" not in child.stderr
    assert "12 12 17" in child.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "problem"),
    [("missing/picture.png", "there is no directory"), ("picture.xyz", "must end in one of"), ("picture", ".png")],
)
def test_demo_tells_first_that_it_cannot_write(tmp_path, capsys, output, problem):
    assert __main__.main(["demo", "--output", str(tmp_path / output)]) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert output in text.err
    assert problem in text.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("FLATCONV_ISA", "mmx", '"mmx"; usable: '),
        ("FLATCONV_NUM_THREADS", "many", 'FLATCONV_NUM_THREADS must be a positive integer, got "many"'),
    ],
)
def test_a_wrong_value_in_the_environment(monkeypatch, tmp_path, variable, value, complaint):
    monkeypatch.setenv(variable, value)
    outcome = run_module("info", cwd=tmp_path)
    assert outcome.returncode == 2
    assert "Traceback" not in outcome.stderr
    assert complaint in outcome.stderr


def test_info(capsys):
    assert __main__.main(["info"]) == 0
    text = capsys.readouterr().out
    config = flatconv.show_config()
    for part in (config["version"], config["numpy"], config["compiler"], str(config["threads"]), *config["isas"]):
        assert part in text
    assert re.search(rf"^{config['isa']} +in use", text, re.MULTILINE)
    assert text.count("in use") == 1
    for tiles in config["tiles"].values():
        for rows, columns in tiles.values():
            assert f"{rows} × {columns}" in text


def test_version(tmp_path):
    outcome = run_module("--version", cwd=tmp_path)
    assert outcome.returncode == 0
    assert outcome.stdout == f"{flatconv.__version__}\n"


def test_directories(capsys):
    assert __main__.main(["--includedir"]) == 0
    assert __main__.main(["--cmakedir"]) == 0
    assert capsys.readouterr().out == f"{flatconv.get_include()}\n{flatconv.get_cmake_dir()}\n"


def test_help_without_a_command(capsys):
    assert __main__.main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(["undo"])
    assert caught.value.code == 2
    assert "undo" in capsys.readouterr().err
