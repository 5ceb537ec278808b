"""The benchmark: failures are told, its figures add up, and its commands write what they should."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import flatconv
import numpy as np
import pytest
from flatconv import __main__
from flatconv._bench import catalogue, measure, session, summary, tables
from flatconv._bench.implementations import IMPLEMENTATIONS, installed
from flatconv._bench.measure import Measurement
from flatconv._bench.problems import problem
from flatconv._bench.session import Session
from flatconv._bench.worker import Implementer, PatienceError, Worker, WorkerError

RUN = Path(__file__).resolve().parents[1] / "benchmarks" / "run.py"

# ----------------------------------------------------------------------------------------------------------------------
# Workers

LAYER = problem(8, 6, (9, 10), (3, 2), dilation=2, groups=2)


def test_a_wrong_result_is_noticed(monkeypatch):
    one = LAYER
    right = Implementer("flatconv-plain").prepare(one, 1)
    convolve = flatconv.conv2d

    def nearly(x, weight, *arguments):
        return convolve(x, np.where(np.arange(weight.shape[-1]) == 0, weight, weight * 1.001), *arguments)

    monkeypatch.setattr(flatconv, "conv2d", nearly)
    wrong = Implementer("flatconv-plain").prepare(one, 1)
    assert not measure._difference(right.samples, right.samples, one)
    assert "more than" in measure._difference(wrong.samples, right.samples, one)
    assert "more than" in measure._difference(np.full_like(right.samples, np.nan), right.samples, one)


def test_a_wrong_shape_is_an_error(monkeypatch):
    monkeypatch.setattr(flatconv, "conv2d", lambda *_: np.zeros((1, 1)))
    with pytest.raises(ValueError, match="shape"):
        Implementer("flatconv-plain").prepare(LAYER, 1)


def test_an_import_that_fails_is_told(monkeypatch):
    broken = IMPLEMENTATIONS["flatconv-plain"]._replace(modules=("nowhere",))
    monkeypatch.setitem(IMPLEMENTATIONS, "flatconv-plain", broken)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        Implementer("flatconv-plain")
    assert "flatconv-plain" not in installed()
    assert "flatconv-packed" in installed(["flatconv"])


def test_a_worker_that_is_too_slow_is_replaced():
    worker = Worker("flatconv-plain")
    worker.send("prepare", problem(64, 64, (512, 512), 9), 1)
    with pytest.raises(PatienceError, match=r"no answer in 0\.1 seconds"):
        worker.receive(0.1)
    assert worker.ask("prepare", LAYER, 1).samples.size
    worker.close()


def test_a_worker_that_dies_is_replaced():
    worker = Worker("flatconv-plain")
    worker.ask("prepare", LAYER, 1)
    worker._process.kill()
    with pytest.raises(WorkerError, match="died"):
        worker.ask("burst")
    assert worker.ask("prepare", LAYER, 1).samples.size
    with pytest.raises(WorkerError, match="AttributeError"):
        worker.ask("unheard_of")
    assert worker.ask("burst")[0] > 0
    worker.close()
    assert worker._process.exitcode == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell")
def test_a_worker_that_is_not_asked_is_stopped():
    worker = Worker("flatconv-plain")
    worker.ask("prepare", LAYER, 1)
    status = Path(f"/proc/{worker._process.pid}/stat")
    for _ in range(2):
        deadline = time.monotonic() + 20
        while status.read_text().rsplit(")", 1)[1].split()[0] != "T":  # a signal takes its time
            assert time.monotonic() < deadline
        worker.ask("burst")
    worker.close()
    assert worker._process.exitcode == 0


# ----------------------------------------------------------------------------------------------------------------------
# Figures


def measured(one, threads=1, **seconds):
    """A measurement on a machine of 100 GFLOP/s and 1 GB/s."""
    times = {name.replace("_", "-"): list(each) for name, each in seconds.items()}
    return Measurement(one, threads, 100e9 * threads, one.bytes / 1e9, times)


def test_limits_and_ratios():
    layer = problem(100, 100, (10, 10))
    one = measured(
        layer,
        flatconv_plain=[3e-4, 1e-4, 2e-4],
        flatconv_packed=[1e-4, 1e-4, 1e-4],
        torch_contiguous=[4e-4] * 3,
        torch_channels_last=[3e-4] * 3,
        onnxruntime=[5e-5] * 3,
    )
    assert one.arithmetic_seconds == pytest.approx(2e6 / 100e9)
    assert one.limit_seconds == pytest.approx((10_000 + 10_000 + 10_000 + 100) * 4 / 1e9)
    assert summary.of_peak("flatconv-plain")(one) == pytest.approx(0.1)
    assert summary.of_limit("flatconv-packed")(one) == pytest.approx(1.204)
    assert summary.speedup("flatconv-plain")(one) == pytest.approx(1.5)
    assert summary.speedup("flatconv-packed")(one) == pytest.approx(0.5)
    assert summary.of_peak("openvino")(one) is None


def test_opencv_is_a_peer_of_direct_filters_alone():
    for size, expected in ((11, 0.5), (15, 3.0)):
        layer = problem(1, 1, (100, 100), size)
        one = measured(layer, flatconv_plain=[2e-3], opencv=[1e-3], scipy=[6e-3])
        assert summary.speedup("flatconv-plain")(one) == pytest.approx(expected)


def test_spread():
    layers = [problem(channels, 64, (14, 14), 3) for channels in (32, 64, 128)]
    ones = [measured(layer, flatconv_plain=[1e-3 * i]) for i, layer in enumerate(layers, 1)]
    spread = summary.Spread.of(ones, lambda one: one.median("flatconv-plain") * 1e3)
    assert spread.least == pytest.approx(1)
    assert spread.worst is ones[0]
    assert spread.mean == pytest.approx(6 ** (1 / 3))
    assert spread.reaching(1.5) == 2
    assert summary.Spread.of(ones, lambda _: None) is None


def test_goals():
    layer = problem(64, 64, (56, 56), 3)

    def goals(ones, threads):
        return {goal.title: goal.met(spread) for goal, spread, _ in summary.goals(ones, threads)}

    ideal = layer.operations / 100e9
    one = measured(layer, flatconv_plain=[ideal / 0.86], flatconv_packed=[ideal / 0.89], torch_contiguous=[ideal / 0.6])
    two = measured(layer, 2, flatconv_plain=[ideal / 1.7], flatconv_packed=[ideal / 1.5])
    alone = goals([one, two], 1)
    assert alone["compute-bound, plain: of the peak"] is True
    assert alone["compute-bound, packed: of the peak"] is False
    assert alone["all network layers, plain: × best of torch"] is True
    assert not [title for title in alone if "one thread" in title]
    together = goals([one, two], 2)
    assert together["compute-bound, plain: × one thread"] is True
    assert together["compute-bound, packed: × one thread"] is False


def test_goals_that_the_limit_allows():
    """Where a peer is near the limit, no implementation is far ahead of it."""
    ones = []
    for size, share in ((56, 0.9), (112, 0.5)):
        layer = problem(64, 64, (size, size), 3)
        ideal = layer.operations / 100e9
        ones.append(measured(layer, flatconv_packed=[ideal / 0.8], onnxruntime=[ideal / share]))
    halves = measured(replace(layer, dtype="float16"), flatconv_plain=[1e-3], flatconv_float32=[1e-3])
    outcomes = {outcome.goal.title: outcome for outcome in summary.goals([*ones, halves], 1)}
    ahead = outcomes["all network layers, packed: × best peer"]
    assert ahead.spread.values == pytest.approx([0.8 / 0.9, 0.8 / 0.5])
    assert ahead.at_limit.values == pytest.approx([1 / 0.9, 1 / 0.5])
    assert ones[0].seconds["flatconv-packed"] == [ones[0].arithmetic_seconds / 0.8]
    assert outcomes["compute-bound, packed: of the peak"].at_limit.values == pytest.approx([1, 1])
    assert outcomes["float16: × float32"].at_limit is None
    row = next(line for line in tables.goals(ones, 1).splitlines() if line.startswith("| all network layers, packed"))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["1 of 2", "2"]


def test_goals_of_other_operations():
    layer = problem(64, 64, (56, 56), 3)
    halves = [replace(problem(64, 64, (size, size), 3), dtype="float16") for size in (7, 14)]
    ones = [
        measured(halves[0], flatconv_plain=[1.2e-3], flatconv_float32=[1e-3]),
        measured(replace(layer, dtype="bfloat16"), flatconv_plain=[1e-3], flatconv_float32=[1.4e-3]),
        measured(replace(layer, operation="gradients"), flatconv_plain=[2e-3], torch_contiguous=[1e-3]),
        measured(replace(layer, operation="gradients", batch=2), flatconv_plain=[1e-3], torch_contiguous=[3e-3]),
        measured(replace(layer, operation="unfold"), flatconv_plain=[1e-3], torch_contiguous=[9e-4]),
        measured(replace(layer, channels_last=True), flatconv_plain=[1e-3], torch_channels_last=[1e-3]),
    ]
    assert {goal.title: goal.met(spread) for goal, spread, _ in summary.goals(ones, 1)} == {
        "float16: × float32": True,
        "bfloat16: × float32": False,
        "gradients: × best of torch": True,
        "unfold: × best of torch": False,
        "channels-last: × best of torch": True,
    }
    ones.append(measured(halves[1], flatconv_plain=[1.4e-3], flatconv_float32=[1e-3]))
    missed = [goal.title for goal, spread, _ in summary.goals(ones, 1) if not goal.met(spread)]
    assert "float16: × float32" in missed
    rows = tables.classes(ones).splitlines()[2:]
    assert [row.split(":")[0] for row in rows] == [
        "| gradients",
        "| unfold",
        "| channels-last",
        "| float16",
        "| bfloat16",
    ]
    assert tables.row(ones[4], ["flatconv-plain"])[2] == "–"


def test_networks_are_summed():
    counts = catalogue.layers("ResNet-50")
    ones = [measured(layer, flatconv_plain=[1e-3]) for layer in counts]
    totals = summary.of_networks(ones, ["flatconv-plain", "torch-contiguous"])
    assert totals == {"ResNet-50": {"flatconv-plain": pytest.approx(counts.total() * 1e-3)}}
    assert summary.of_networks(ones[1:], ["flatconv-plain"]) == {}


def test_an_interrupted_session_keeps_what_it_has(monkeypatch):
    def interrupted(bench, one, threads, rounds):
        if threads == 2:
            raise KeyboardInterrupt
        return measured(one, threads)

    monkeypatch.setattr(measure.Bench, "measure", interrupted)
    found = session.run([LAYER], [], [1, 2], 1)
    assert [one.problem for one in found.measurements] == [LAYER]


def test_a_disturbed_measurement_is_told():
    one = measured(problem(1, 1, (64, 64), 3), flatconv_plain=[1e-3])
    assert tables.disturbances([one]) == []
    one.cpu_share = 0.5
    assert "1 of 1" in tables.disturbances([one])[0]


# ----------------------------------------------------------------------------------------------------------------------
# Commands


def test_bench(capfd):
    assert __main__.main(["bench", "--rounds", "1", "--filter", "@5 ", "--implementations", "flatconv", "torch"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert re.search(r"^1→1 3×3 @5 padding 0 +[\d.]+ ", out, re.MULTILINE)
    for title in ("1 thread", "flatconv µs", "torch µs", "GFLOP/s", "flatconv % of limit", "flatconv × peer"):
        assert title in out


def test_bench_says_what_is_absent(capsys, monkeypatch):
    assert __main__.main(["bench", "--rounds", "1", "--filter", "@3000", "--implementations", "flatconv"]) == 0
    out = capsys.readouterr().out
    assert ("flatconv has no conv1d (1 times)" in out) != hasattr(flatconv, "conv1d")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--threads", "0"], "at least 1, got '0'"),
        (["--rounds", "few"], "at least 1, got 'few'"),
        (["--implementations", "tf"], "'tf'"),
        (["--filter", "no such"], "'no such'"),
    ],
)
def test_bench_refuses(arguments, complaint, capsys):
    try:
        status = __main__.main(["bench", *arguments])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert complaint in capsys.readouterr().err


def run_benchmark(*arguments, cwd):
    command = [sys.executable, RUN, *map(str, arguments)]
    outcome = subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A directory with the output of a small run."""
    directory = tmp_path_factory.mktemp("benchmark")
    chosen = ["--networks", "worked example", "--dtype", "float32", "float64"]
    how = ["--rounds", 2, "--threads", 1, "--implementations", "flatconv", "torch"]
    run_benchmark(*chosen, *how, "--json", "a.json", "--markdown", "a.md", "--plot", "a.png", cwd=directory)
    return directory


def test_the_report_is_well_formed(report):
    text = (report / "a.md").read_text("utf-8")
    assert text.startswith("# Results\n")
    for title in (
        "Classes: 1 thread, float64, batch 1",
        "Overhead",
        "Every problem: 1 thread, float32",
    ):
        assert f"\n## {title}" in text
    columns = []
    for line in text.splitlines():
        columns.append(line.count("|") if line.startswith("|") else 0)
        assert not columns[-1] or len(columns) == 1 or not columns[-2] or columns[-1] == columns[-2], line
    assert "1→1 3×3 @5 padding 0" in text
    assert flatconv.show_config()["isa"] in text


def test_the_json_is_complete(report):
    plain = json.loads((report / "a.json").read_text("utf-8"))
    assert [entry["problem"]["dtype"] for entry in plain["measurements"]] == ["float32", "float64"]
    for entry in plain["measurements"]:
        assert entry["peak"] > 1e9
        assert entry["copy_seconds"] > 0
        assert len(entry["seconds"]["flatconv-plain"]) == 2
        derived = entry["derived"]
        median = derived["median_seconds"]
        best = min(median["torch-contiguous"], median["torch-channels-last"])
        assert derived["speedup"]["flatconv-plain"] == pytest.approx(best / median["flatconv-plain"])
        assert median[derived["best_peer"]["flatconv-plain"]] == best
    assert Session.from_json(plain).as_json() == Session.from_json(Session.from_json(plain).as_json()).as_json()


def test_the_report_can_be_written_again(report, tmp_path):
    run_benchmark("--load", report / "a.json", "--markdown", "b.md", cwd=tmp_path)
    assert (tmp_path / "b.md").read_bytes() == (report / "a.md").read_bytes()


def test_the_list(tmp_path):
    text = run_benchmark("--list", "--networks", "VGG-16", "--classes", "few-channels", cwd=tmp_path)
    assert [line.split()[0] for line in text.splitlines()] == ["3→64"]
    assert "86.70M" in text
