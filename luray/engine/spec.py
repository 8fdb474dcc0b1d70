"""TO BE WRITTEN."""

from dataclasses import dataclass
from functools import cached_property

from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.engine.blending import (
    Taper,
)
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.geometry import Geometry
from luray.model.calibration import OperatingPoint
from luray.product.store import Product


@dataclass(frozen=True)
class InferenceSpec:
    """Everything a worker needs to know; small, sent once."""

    cube: Cube
    product: Product
    geometry: Geometry
    models: dict[Direction, str]
    """Folder of each direction's model."""
    taper: Taper
    batch: int
    threads: int
    point: OperatingPoint = "cautious"
    scenario: CoarseDemand | None = None
    """What demands a change of the maps; None where nothing does."""
    strength: float = 0.0
    """How far it is imposed."""

    @cached_property
    def _demands(self) -> dict[str, CoarseDemand]:
        return {}

    def demand_of(self, scenario: str) -> CoarseDemand | None:
        """What the scenario of a name demands, None where nothing is imposed."""
        if self.scenario is None:
            return None
        if scenario not in self._demands:
            self._demands[scenario] = CoarseDemand.of(
                self.cube.of_scenario(scenario), tile=self.geometry.tiling.tile
            )
        return self._demands[scenario]
