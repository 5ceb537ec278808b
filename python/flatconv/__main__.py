"""The command line: python -m flatconv."""

from __future__ import annotations

import argparse
import sys

import flatconv
from flatconv import _core
from flatconv._bench.options import add_options


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m flatconv", description="Convolution, flattened into one matrix product."
    )
    parser.add_argument("--version", action="version", version=flatconv.__version__)
    parser.add_argument("--includedir", action="store_true", help="print the directory of the headers")
    parser.add_argument("--cmakedir", action="store_true", help="print the directory of the CMake package")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser("demo", help="the idea in one example, then a filter bank over real photographs")
    demo.add_argument("--output", default="flatconv-demo.png", help="where to write the picture (default: %(default)s)")
    commands.add_parser("info", help="version, instruction sets, threads, compiler, tile sizes")
    bench = commands.add_parser("bench", help="a dozen layers, timed beside the peers that are installed")
    add_options(bench, threads=[1], rounds=5)
    chosen = parser.parse_args(arguments)
    if chosen.command:
        try:
            _core.get_isa()
            _core.get_num_threads()
        except ValueError as error:
            parser.error(str(error))

    if chosen.includedir:
        print(flatconv.get_include())
    if chosen.cmakedir:
        print(flatconv.get_cmake_dir())
    if chosen.command == "info":
        print(_info())
    elif chosen.command == "demo":
        from flatconv import _demo

        return _demo.run(chosen.output)
    elif chosen.command == "bench":
        from flatconv._bench import short

        return short.run(chosen)
    elif not (chosen.includedir or chosen.cmakedir):
        parser.print_help()
    return 0


def _info() -> str:
    config = flatconv.show_config()
    lines = [
        f"flatconv      {config['version']}",
        f"numpy         {config['numpy']}",
        f"compiler      {config['compiler']}",
        f"threads       {config['threads']}",
        f"depth block   {config['depth_block']}",
        "",
        "instruction set      tile float32   tile float64   (output channels × pixels)",
    ]
    for name, tiles in config["tiles"].items():
        (rows32, columns32), (rows64, columns64) = tiles["float32"], tiles["float64"]
        in_use = "in use" if name == config["isa"] else "usable"
        lines.append(f"{name:<12} {in_use:<8}{f'{rows32} × {columns32}':<15}{f'{rows64} × {columns64}'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
