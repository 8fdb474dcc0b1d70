"""What a worker needs to know of an inference."""

from dataclasses import dataclass
from functools import cached_property

from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.engine.blending import Taper
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.geometry import Geometry
from luray.model.calibration import OperatingPoint
from luray.product.store import Product


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
    """Of a worker."""
    operating_point: OperatingPoint = "cautious"
    demand: CoarseDemand | None = None
    """What the first scenario demands; None where no demand is imposed."""
    demand_strength: float = 0.0
    """How far it is imposed, 0 to 1."""

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
