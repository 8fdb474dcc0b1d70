"""Chaos: `python -m tests.reliability.chaos [--seed N] [--part NAME]... [--share 0.1]`, as `make chaos`.

Every part makes luray fail in many ways and compares what it leaves with a run that was never
interrupted. Prints figures, and writes them to build/chaos.json after each part. Parts that are
chosen replace those in the file, so that it can be filled part by part; `--resume` runs those that
it lacks or that failed. The tests of this folder call the same parts with a few failures each.
"""

import argparse
import json
import logging
import os
import resource
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
    "pauses of workers",
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
    parser.add_argument("--resume", action="store_true", help="run what the output lacks")
    parser.add_argument("--output", type=Path, default=Path("build/chaos.json"))
    chosen = parser.parse_args()

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the S3 server logs every request
    results = found_in(chosen.output) if chosen.part or chosen.resume else {}
    names = [name for name in PARTS if name in chosen.part or not chosen.part]
    if chosen.resume:
        names = [name for name in names if name not in results or results[name]["error"]]
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for name in names:
            chaos = Chaos(chosen.seed, chosen.share, Path(folder) / name)
            chaos.folder.mkdir()
            results[name] = run_part(PARTS[name], chaos)
            print(f"{name}: {describe(results[name])}", flush=True)
            write(chosen.output, {name: results[name] for name in PARTS if name in results})

    totals = total(results)
    print("\n".join(f"{figure}: {totals[figure]}" for figure in FIGURES))
    failed = [name for name, result in results.items() if result["error"]]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    sys.exit(bool(failed) or totals["cells that differ"] > 0)


def run_part(part: Part, chaos: Chaos) -> dict[str, Any]:
    """Run a part; an error ends this part and no other."""
    busy = os.getloadavg()[0]
    started = time.monotonic()
    cpu_before = cpu_seconds()
    error = ""
    try:
        part(chaos)
    except Exception:
        error = traceback.format_exc()
        print(error, file=sys.stderr, flush=True)
    return {
        "seed": chaos.seed,
        "share": chaos.share,
        "seconds": round(time.monotonic() - started, 1),
        "cpu seconds": round(cpu_seconds() - cpu_before, 1),
        "load before": round(busy, 1),
        "error": error,
        "figures": dict(chaos.figures),
        **chaos.curves,
    }


def cpu_seconds() -> float:
    """CPU time of this process, and of those that it has started and that have ended."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def found_in(output: Path) -> dict[str, dict[str, Any]]:
    """The results of the parts that have run already."""
    if not output.exists():
        return {}
    parts: dict[str, dict[str, Any]] = json.loads(output.read_text())["parts"]
    return parts


def describe(result: dict[str, Any]) -> str:
    """The figures of a part in a line."""
    figures = ", ".join(f"{name} {number}" for name, number in result["figures"].items())
    verdict = "FAILED, " if result["error"] else ""
    return (
        f"{verdict}{figures} in {result['seconds']:.0f} s, {result['cpu seconds']:.0f} of CPU time"
    )


def total(results: dict[str, dict[str, Any]]) -> Counter[str]:
    """The figures of all parts."""
    totals: Counter[str] = Counter()
    for result in results.values():
        totals.update(result["figures"])
    return totals


def write(output: Path, results: dict[str, Any]) -> None:
    """Write what is known so far."""
    totals = total(results)
    output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "totals": {figure: totals[figure] for figure in FIGURES},
        "parts": results,
    }
    output.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
