"""The options that `python -m flatconv bench` and benchmarks/run.py have in common."""

from __future__ import annotations

import argparse

from flatconv._bench.implementations import IMPLEMENTATIONS


def add_options(parser: argparse.ArgumentParser, threads: list[int], rounds: int) -> None:
    """Add what to measure and how, with these defaults."""
    parser.add_argument(
        "--implementations",
        nargs="+",
        metavar="NAME",
        type=_implementation,
        help=f"some of {', '.join(IMPLEMENTATIONS)}; the beginning of a name stands for all that begin so "
        "(default: all that are installed)",
    )
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only layers with this in their label, e.g. '3×3' or '@56'"
    )
    parser.add_argument(
        "--threads", nargs="+", metavar="N", type=positive, default=threads, help="numbers of threads (%(default)s)"
    )
    parser.add_argument(
        "--rounds", type=positive, default=rounds, metavar="N", help="how often each is timed (%(default)s)"
    )


def positive(text: str) -> int:
    """Read a number of threads, rounds or images, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def _implementation(text: str) -> str:
    if not any(name.startswith(text) for name in IMPLEMENTATIONS):
        raise argparse.ArgumentTypeError(f"there is no {text!r} among {', '.join(IMPLEMENTATIONS)}")
    return text
