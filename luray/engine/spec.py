"""The specification of an inference, which is sent to its workers."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from luray.core.config import CpuPrecision
from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.engine.blending import Taper
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.geometry import Geometry
from luray.engine.worker_pool import CACHED_TILES
from luray.model.features import Features
from luray.model.operating_point import OperatingPoint
from luray.product.store import Product

MOST_REMEMBERED_BYTES = 2**31
"""Most bytes of remembered maps that a worker keeps."""


@dataclass(frozen=True)
class InferenceSpec:
    """Everything a worker needs to know; small, and sent to each worker once."""

    cube: Cube
    product: Product
    geometry: Geometry
    models: dict[Direction, str]
    """Folder of each direction's model."""
    taper: Taper
    batch: int
    """Windows of one forward pass."""
    threads: int
    """Threads of a worker."""
    operating_point: OperatingPoint = "cautious"
    demand: CoarseDemand | None = None
    """Demand of the first scenario; None where no demand is imposed."""
    demand_strength: float = 0.0
    """How far it is imposed, 0 to 1."""
    history: int = 1
    """Maps that the models remember, see `luray.model.memory`."""
    precision: CpuPrecision = "float32"
    """Of the models on CPUs."""

    @cached_property
    def features(self) -> Features:
        """Layout of the models' input."""
        return self.cube.features.remembering(self.history)

    def remembered_years(self, trajectory: int, step: int) -> tuple[int, ...]:
        """Return the years of the maps that a step of a trajectory remembers, the prior's first.

        They are predicted years as far as there are any, then observed ones.
        """
        travelled = self.product.trajectories[trajectory].years[: step + 1]
        years = travelled[::-1][: self.history]
        observed = self.cube.years_before(
            travelled[0],
            direction=self.product.trajectories[trajectory].direction,
            most=self.history - len(years),
        )
        return years + observed

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences that readers of the maps must know about their making.

        That is what the model remembered at the start, and what the cube cannot tell.
        """
        # By what they are about: trajectories of several members say the same thing once.
        sentences: dict[Any, str] = {}
        if self.precision != "float32":
            sentences["precision"] = (
                f"precision: the models computed in {self.precision} (inference.precision); in "
                "float32 some cells have another class"
            )
        if not self.cube.tells_no_data:
            sentences["no data"] = (
                "no data: the cube was built by an earlier version, which did not tell cells "
                "without data from ocean; both are ocean here"
            )
        if self.product.coarse is not None:
            for year, kind in self.cube.other_kind.items():
                if year in self.product.span.copied:
                    sentences[year] = (
                        f"transition: {year} is {kind}; transitions into and out of it are not "
                        "change of land use alone"
                    )
        for i, trajectory in enumerate(self.product.trajectories):
            n_maps = len(self.remembered_years(i, 0))
            if n_maps < self.history:
                start = self.cube.time.label(trajectory.years[0])
                sentences[trajectory.direction, start] = (
                    f"memory: {trajectory.direction} from {start} begins with {n_maps} of the "
                    f"{self.history} maps that the model remembers; no more are observed"
                )
        return tuple(sentences.values())

    @property
    def remembered_bytes(self) -> int:
        """Bytes of remembered maps that a worker keeps."""
        return remembered_bytes(self.product, tiles=CACHED_TILES, history=self.history)

    @cached_property
    def _demands(self) -> dict[str, CoarseDemand]:
        return {}

    def demand_of(self, scenario: str) -> CoarseDemand | None:
        """Return what the scenario of a name demands, None where no demand is imposed."""
        if self.demand is None:
            return None
        if scenario not in self._demands:
            view = self.cube.of_scenario(scenario)
            self._demands[scenario] = CoarseDemand.of(view, tile=self.geometry.tiling.tile)
        return self._demands[scenario]


def remembered_bytes(product: Product, *, tiles: int, history: int) -> int:
    """Return the bytes of the maps that so many tiles remember, at most `MOST_REMEMBERED_BYTES`.

    A worker keeps those of the tiles whose inputs it has, for each trajectory of a direction, and
    reads them again where they would take more.
    """
    if history == 1:
        return 0
    tiling = product.tiling
    bytes_of_map = (tiling.tile + 2 * tiling.margin) ** 2  # one byte a cell, margin included
    directions = [trajectory.direction for trajectory in product.trajectories]
    most_trajectories = max(Counter(directions).values(), default=1)
    return min(tiles * most_trajectories * history * bytes_of_map, MOST_REMEMBERED_BYTES)
