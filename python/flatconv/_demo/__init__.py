"""python -m flatconv demo: the idea in one example, then filter banks over photographs, checked, timed and drawn."""

from __future__ import annotations

import sys

from flatconv._demo import worked_example


def run(output: str) -> int:
    """Run the demo, writing its picture to `output`; returns the exit status."""
    missing = None
    try:
        from flatconv._demo import photographs, picture
    except ImportError as error:
        missing = error.name
    else:
        if problem := picture.problem_with(output):
            print(f"--output {output}: {problem}", file=sys.stderr)
            return 2
    worked_example.show()
    if missing:
        print(
            f'\nThe rest of the demo needs {missing}, which is not installed:\n\n    pip install "flatconv[demo]"\n',
            file=sys.stderr,
        )
        return 1
    print("\nThe same on photographs: filter banks of 16 kernels, 5×5\n")
    banks = photographs.filtered()
    picture.write(output, banks)
    print(f"Picture written to {output}")
    return 0 if all(bank.correct for bank in banks) else 1
