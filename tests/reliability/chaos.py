"""Chaos: `python -m tests.reliability.chaos [--seed N] [--part NAME]... [--share 0.1]`, as `make chaos`.

Every part makes luray fail in many ways and compares what it leaves with a run that was never
interrupted. Prints figures, and writes them to build/chaos.json after each part. The tests of this
folder call the same parts with a few failures each.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# as the tests have it, and before anything imports torch
os.environ.setdefault("OMP_NUM_THREADS", "1")

FIGURES = (
    "kills of drivers",
    "kills of workers",
    "kills of nodes",
    "kills of stores",
    "failures at crash points",
    "faults injected",
    "objects damaged",
    "bad inputs refused",
    "inputs fuzzed",
    "runs finished",
    "tile-years redone",
    "cells that differ",
)
"""What is counted over all parts."""


@dataclass
class Chaos:
    """What a part may use, and where it counts.

    `share` of the failures of a full run are made.
    """

    seed: int
    share: float
    folder: Path
    figures: Counter[str] = field(default_factory=Counter)
    curves: dict[str, Any] = field(default_factory=dict)
    """Measurements that are no counts."""

    def count(self, **figures: int) -> None:
        """Add to figures, whose names have underscores here."""
        for name, number in figures.items():
            figure = name.replace("_", " ").replace("tile years", "tile-years")
            assert figure in FIGURES, figure
            self.figures[figure] += number

    def times(self, number: int) -> int:
        """The share of a number of failures, at least one."""
        return max(1, round(self.share * number))


Part = Callable[[Chaos], None]


def main() -> None:
    """Run the parts that are asked for, all by default."""
    from tests.reliability.parts import PARTS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", action="append", choices=sorted(PARTS), default=[])
    parser.add_argument("--share", type=float, default=1.0, help="of the failures of a full run")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    chosen = parser.parse_args()

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the S3 server logs every request
    parts = {name: PARTS[name] for name in PARTS if name in chosen.part or not chosen.part}
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for name, part in parts.items():
            chaos = Chaos(chosen.seed, chosen.share, Path(folder) / name)
            chaos.folder.mkdir()
            results[name] = run_part(part, chaos)
            print(f"{name}: {describe(results[name])}", flush=True)
            write(chosen.output, results, seed=chosen.seed, share=chosen.share)

    totals = total(results)
    print("\n".join(f"{figure}: {totals[figure]}" for figure in FIGURES))
    failed = [name for name, result in results.items() if result["error"]]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    sys.exit(bool(failed) or totals["cells that differ"] > 0)


def run_part(part: Part, chaos: Chaos) -> dict[str, Any]:
    """Run a part; an error ends this part and no other."""
    started = time.monotonic()
    error = ""
    try:
        part(chaos)
    except Exception:
        error = traceback.format_exc()
        print(error, file=sys.stderr, flush=True)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "error": error,
        "figures": dict(chaos.figures),
        **chaos.curves,
    }


def describe(result: dict[str, Any]) -> str:
    """The figures of a part in a line."""
    figures = ", ".join(f"{name} {number}" for name, number in result["figures"].items())
    return f"{'FAILED, ' if result['error'] else ''}{figures} in {result['seconds']:.0f} s"


def total(results: dict[str, dict[str, Any]]) -> Counter[str]:
    """The figures of all parts."""
    totals: Counter[str] = Counter()
    for result in results.values():
        totals.update(result["figures"])
    return totals


def write(output: Path, results: dict[str, Any], *, seed: int, share: float) -> None:
    """Write what is known so far."""
    totals = total(results)
    output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "seed": seed,
        "share": share,
        "totals": {figure: totals[figure] for figure in FIGURES},
        "parts": results,
    }
    output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
