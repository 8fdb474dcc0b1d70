"""How much memory a worker of an inference needs."""

from luray.cube.chunks import STRIP_BYTES
from luray.cube.cube import Cube
from luray.engine.spec import remembered_bytes
from luray.engine.tile_year import MAPS_BYTES
from luray.model.unet_config import UNetConfig
from luray.planning.build import WORKER_BYTES
from luray.planning.workload import Workload


def inference_memory(
    workload: Workload,
    cube: Cube,
    *,
    model: UNetConfig,
    batch: int,
    on_cpu: bool,
    cached_tiles: int,
) -> dict[str, float]:
    """Return the bytes of a worker by what they are for.

    Parameters
    ----------
    workload : Workload
        Windows and tiles.
    cube : Cube
        The inputs; only metadata count.
    model : UNetConfig
        Size of the model, and how many maps it remembers.
    batch : int
        Windows of a forward pass.
    on_cpu : bool
        On a GPU only the first layer of a batch is in this memory.
    cached_tiles : int
        Tiles whose static inputs a worker caches.
    """
    tiling = workload.tiling
    width = model.width
    cached_tiles = min(cached_tiles, workload.tiles)
    window_cells = tiling.window**2
    padded_cells = (tiling.tile + 2 * tiling.margin) ** 2
    batch = max(2, batch)
    # On a CPU one window may be left over and joins a batch; beside its first layer there are its
    # skip, what is added to it, and what follows.
    floats = (batch + 1) * 5 * width if on_cpu else 2 * batch * width
    return {
        "process": WORKER_BYTES,
        "a batch": 4.0 * window_cells * floats,
        "sums": 2 * 4.0 * len(cube.legend) * padded_cells,
        "inputs kept": cached_tiles * _cached_bytes(workload, width),
        "inputs read": _static_bytes(cube, padded_cells) + STRIP_BYTES,
        "maps remembered": remembered_bytes(
            workload.product, tiles=cached_tiles, history=model.history
        ),
        "maps and chunks kept": MAPS_BYTES + Cube.CACHE_BYTES,
    }


def _cached_bytes(workload: Workload, width: int) -> int:
    """Return what a worker keeps of the static inputs of the largest tile, see `TileInputs`."""
    windows = max((load.windows for load in workload.loads), default=0)
    return 2 * width * workload.tiling.window**2 * windows


def _static_bytes(cube: Cube, cells: int) -> int:
    """Return the static inputs of a tile while they are read, see `StaticInputs`."""
    return sum(2 if v.categories else 4 for v in cube.features.static) * cells
