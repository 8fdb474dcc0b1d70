"""The static inputs of the tiles that a worker has predicted lately."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from luray.core.tiling import Tile
from luray.core.types import I16, Bool, Direction
from luray.engine.device_inputs import DeviceInputs
from luray.engine.device_predictor import DevicePredictor
from luray.engine.inputs import TileInputs
from luray.engine.predictor import Predictor
from luray.engine.spec import InferenceSpec
from luray.engine.worker_pool import CACHED_TILES


class InputsAndLand(NamedTuple):
    """Inputs of a tile's windows as one scenario sees them, and the tile's land mask."""

    inputs: TileInputs | DeviceInputs
    land: Bool


@dataclass
class CachedTile:
    """Inputs of a tile for the trajectories of one direction, which share the static part."""

    inputs: TileInputs | DeviceInputs
    land: Bool
    by_scenario: dict[str, TileInputs | DeviceInputs] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    """Trajectories that are at their last year, and need the inputs no more."""


class TileInputsCache:
    """Inputs of the last `CACHED_TILES` tiles, read when they are not there.

    Everything in it may be dropped at any time: it is read again. The order in which tiles are
    dropped is that of `WorkerState`, so that the scheduler knows what is there. Arrays of dropped
    tiles are written again for the next one.

    Parameters
    ----------
    spec : InferenceSpec
        The inference.
    predictor_of : callable
        What predicts a direction, and knows what inputs it needs.
    """

    def __init__(
        self,
        spec: InferenceSpec,
        predictor_of: Callable[[Direction], Predictor | DevicePredictor],
    ) -> None:
        self._spec = spec
        self._predictor_of = predictor_of
        self._trajectories = spec.product.trajectories
        self._tiles: OrderedDict[tuple[Tile, Direction], CachedTile] = OrderedDict()
        self._spare_arrays: list[I16] = []

    def get(self, tile: Tile, trajectory: int) -> InputsAndLand:
        """Return the inputs of a tile as a trajectory sees them."""
        direction = self._trajectories[trajectory].direction
        scenario = self._trajectories[trajectory].scenario
        cached = self._tiles.pop((tile, direction), None)
        if cached is None:
            if len(self._tiles) == CACHED_TILES:
                _, oldest = self._tiles.popitem(last=False)
                self._spare_arrays += oldest.inputs.arrays
            cached = self._read(tile, direction)
        self._tiles[tile, direction] = cached  # last, as the latest one

        if scenario not in cached.by_scenario:
            view = self._spec.cube.of_scenario(scenario)
            cached.by_scenario[scenario] = cached.inputs.for_scenario(view)
        return InputsAndLand(cached.by_scenario[scenario], cached.land)

    def end(self, tile: Tile, trajectory: int) -> None:
        """Record that a trajectory of a tile is predicted to its last year.

        The inputs are dropped once that holds for all trajectories of the direction.
        """
        direction = self._trajectories[trajectory].direction
        ended = self._tiles[tile, direction].ended
        ended.add(trajectory)
        for i, other in enumerate(self._trajectories):
            if other.direction == direction and i not in ended:
                return
        self._spare_arrays += self._tiles.pop((tile, direction)).inputs.arrays

    def _read(self, tile: Tile, direction: Direction) -> CachedTile:
        cube = self._spec.cube
        tiling = self._spec.geometry.tiling
        box = tiling.tile_box(tile)
        land = cube.land(box)
        windows = [tiling.window_box(core) for core in tiling.active_cores(box, land)]
        predictor = self._predictor_of(direction)
        return CachedTile(predictor.inputs_of(cube, windows, self._spare_arrays), land)
