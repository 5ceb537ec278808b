"""python -m flatconv bench: some convolutions of all kinds, beside whatever peers are installed.

benchmarks/run.py measures many more, with the same means.
"""

from __future__ import annotations

import argparse
import sys

from flatconv._bench import catalogue, session, tables
from flatconv._bench.implementations import installed
from flatconv._bench.summary import PACKED, PLAIN


def run(options: argparse.Namespace) -> int:
    """Measure what the options of options.py ask for, showing how it goes; returns the exit status."""
    problems = [problem for problem in catalogue.short() if options.filter in problem.label]
    if not problems:
        labels = "\n".join(problem.label for problem in catalogue.short())
        print(f"No layer has {options.filter!r} in its label:\n{labels}", file=sys.stderr)
        return 2
    found = session.run(problems, installed(options.implementations), options.threads, options.rounds)
    failures = tables.failures(found.measurements)
    absences = tables.absences(found.measurements, (PLAIN, PACKED))
    for line in (*absences, *tables.disturbances(found.measurements), *failures):
        print(line)
    return 1 if failures else 0
