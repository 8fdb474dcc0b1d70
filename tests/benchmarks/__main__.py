"""Run the benchmarks, or those named on the command line; print a table and write
`build/bench.json`.
"""

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

BENCHMARKS = (
    "windows",
    "build",
    "demand",
    "feed",
    "steps",
    "runtimes",
    "engine",
    "emulator",
    "product",
    "evaluation",
    "peer",
)
OUT = Path("build/bench.json")


def main(names: list[str]) -> None:
    table = Table("benchmark", "ratio", "goal", "", "measured", box=None, padding=(0, 2, 0, 0))
    found = []
    OUT.parent.mkdir(exist_ok=True)
    for name in names or BENCHMARKS:
        for ratio in importlib.import_module(f"tests.benchmarks.{name}").measure():
            found.append(ratio)
            reached = "reached" if ratio.reached else "missed"
            print(
                f"{ratio.name}: {ratio.ratio:.3g}, {reached} {ratio.goal:g} ({ratio.detail})",
                file=sys.stderr,
                flush=True,
            )
            # At once: a benchmark that is ended keeps what it has measured.
            OUT.write_text(json.dumps([asdict(one) for one in found], indent=1))
            table.add_row(
                ratio.name, f"{ratio.ratio:.3g}", f"{ratio.goal:g}", reached, ratio.detail
            )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
