"""What the benchmark of the globe has measured, and the file that keeps it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from luray.planning.measure import ForwardCost

Stage = Literal["inputs", "build", "infer", "picture"]

MEMORY_GOAL = 8 * 2**30
"""Bytes."""
RATIO_GOAL = 1.1
"""Of the time of the inference over that of the bare forward passes."""


@dataclass
class StageCost:
    """What a stage took."""

    seconds: float
    """Wall-clock time."""
    cpu_seconds: float
    """Processor time of all processes."""
    peak_bytes: int
    """Peak memory of all processes together."""


@dataclass
class Measurements:
    """Everything that was measured."""

    costs: dict[Stage, StageCost] = field(default_factory=dict)
    tiles: int = 0
    """Tiles with land."""
    windows: int = 0
    """Windows that the inference predicted while it was measured."""
    before: ForwardCost | None = None
    """Bare forward passes before the inference, on as many cores as there were workers."""
    after: ForwardCost | None = None
    """The same after it: both, because a machine's clock changes with its temperature."""
    land_seconds: float = 0.0
    """Time in which the driver finds the tiles with land."""

    @classmethod
    def read(cls, path: Path) -> "Measurements":
        """Return what an earlier run wrote, nothing where there was none."""
        if not path.exists():
            return cls()
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            costs={stage: StageCost(**cost) for stage, cost in stored["costs"].items()},
            tiles=stored["tiles"],
            windows=stored["windows"],
            before=_forward(stored["before"]),
            after=_forward(stored["after"]),
            land_seconds=stored["land_seconds"],
        )

    @property
    def bare(self) -> ForwardCost | None:
        """Bare forward passes of all windows, mean of before and after.

        None until both are measured.
        """
        if self.before is None or self.after is None:
            return None
        return ForwardCost(
            seconds=self.windows * (self.before.seconds + self.after.seconds) / 2,
            cpu_seconds=self.windows * (self.before.cpu_seconds + self.after.cpu_seconds) / 2,
        )

    @property
    def ratio(self) -> float:
        """Time of the inference over that of the bare forward passes; NaN until both are known."""
        if self.bare is None:
            return float("nan")
        return self.costs["infer"].seconds / self.bare.seconds

    @property
    def cpu_ratio(self) -> float:
        """The same of processor time: what the ratio would be with the cores to itself."""
        if self.bare is None:
            return float("nan")
        return self.costs["infer"].cpu_seconds / self.bare.cpu_seconds

    @property
    def peak_bytes(self) -> int:
        """Peak memory of all processes over all stages."""
        return max(cost.peak_bytes for cost in self.costs.values())

    def write(self, path: Path) -> None:
        """Write the numbers as JSON."""
        numbers = asdict(self)
        if self.bare:
            numbers |= {
                "ratio": self.ratio,
                "cpu_ratio": self.cpu_ratio,
                "ratio_goal": RATIO_GOAL,
                "peak_bytes": self.peak_bytes,
                "peak_bytes_goal": MEMORY_GOAL,
            }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(numbers, indent=1), encoding="utf-8")

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield what was measured, how much, and the verdict where there is a goal."""
        for stage, cost in self.costs.items():
            used = (
                f"{cost.seconds:.1f} s, {cost.cpu_seconds:.1f} s of processor time, "
                f"peak {cost.peak_bytes / 2**30:.2f} GiB"
            )
            yield stage, used, ""

        yield "tiles with land", f"{self.tiles}, found in {self.land_seconds:.2f} s", ""
        yield "windows", f"{self.windows}", ""

        for when, forward in (("before", self.before), ("after", self.after)):
            if forward:
                cost_of_a_window = (
                    f"{1000 * forward.seconds:.1f} ms a window, "
                    f"{1000 * forward.cpu_seconds:.1f} ms of processor time"
                )
                yield f"bare forward {when}", cost_of_a_window, ""

        verdict = _verdict(self.ratio, RATIO_GOAL, f"{RATIO_GOAL:g}")
        yield "time over bare forward", f"{self.ratio:.3f}", verdict
        yield "the same of processor time", f"{self.cpu_ratio:.3f}", ""
        verdict = _verdict(self.peak_bytes, MEMORY_GOAL, "8 GiB")
        yield "peak memory", f"{self.peak_bytes / 2**30:.2f} GiB", verdict


def _forward(stored: list[float] | None) -> ForwardCost | None:
    """A forward pass as JSON has it: a list, or nothing."""
    return ForwardCost(*stored) if stored else None


def _verdict(value: float, goal: float, name_of_goal: str) -> str:
    return f"{'reached' if value <= goal else 'missed'}: at most {name_of_goal}"
