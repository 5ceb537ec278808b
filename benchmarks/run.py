"""Measures flatconv and its peers side by side.

By default everything that benchmarks/RESULTS.md shows:

    python benchmarks/run.py --markdown benchmarks/RESULTS.md --json results.json --plot results.png

or some of it, within a minute:

    python benchmarks/run.py --classes depthwise --threads 1 --rounds 5 --implementations flatconv torch
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import flatconv
import report
from flatconv._bench import catalogue, session
from flatconv._bench.implementations import installed
from flatconv._bench.operations import ELEMENTS
from flatconv._bench.options import add_options, positive
from flatconv._bench.problems import CLASSES


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    choice = parser.add_argument_group("problems (without any of these: the published set)")
    choice.add_argument(
        "--networks",
        nargs="+",
        metavar="NETWORK",
        choices=catalogue.NETWORKS,
        default=[],
        help=", ".join(catalogue.NETWORKS),
    )
    choice.add_argument(
        "--classes", nargs="+", metavar="CLASS", choices=tuple(CLASSES), default=[], help=", ".join(CLASSES)
    )
    choice.add_argument("--batch", nargs="+", metavar="N", type=positive)
    choice.add_argument("--dtype", nargs="+", choices=[name for name in ELEMENTS if name != "uint8"])
    choice.add_argument("--representatives", action="store_true", help="three of each class")
    choice.add_argument("--list", action="store_true", help="show the problems and end")
    add_options(parser, threads=sorted({1, flatconv.get_num_threads()}), rounds=5)
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path)
    output.add_argument("--markdown", type=Path)
    output.add_argument("--plot", type=Path)
    output.add_argument("--load", type=Path, help="show the measurements of this JSON file instead of measuring")
    return parser


def problems(options: argparse.Namespace) -> list[catalogue.Problem]:
    chosen = catalogue.select(options.networks, options.classes, options.filter)
    if options.representatives:
        chosen = catalogue.representatives(chosen)
    elif not (options.networks or options.classes or options.filter or options.batch or options.dtype):
        return catalogue.published()
    if options.batch or options.dtype:
        return catalogue.variants(chosen, options.batch or [1], options.dtype or ["float32"])
    return chosen


def main(arguments: list[str] | None = None) -> int:
    parser = make_parser()
    options = parser.parse_args(arguments)
    chosen = problems(options)
    if not chosen:
        parser.error("there is no such problem")
    if options.list:
        for one in chosen:
            print(f"{one.label:48} {one.multiply_adds / 1e6:9.2f}M  {', '.join(one.classes)}")
        return 0
    if options.load:
        done = session.Session.from_json(json.loads(options.load.read_text("utf-8")))
    else:
        done = session.run(chosen, installed(options.implementations), options.threads, options.rounds)
    print("\n" + report.summaries(done))
    if options.json:
        options.json.write_text(json.dumps(done.as_json(), ensure_ascii=False, indent=1) + "\n", "utf-8")
    if options.markdown:
        options.markdown.write_text(report.markdown(done), "utf-8")
    if options.plot:
        import plot

        plot.write(options.plot, done)
    return 1 if any(one.failed for one in done.measurements) else 0


if __name__ == "__main__":
    sys.exit(main())
