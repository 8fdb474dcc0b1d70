"""Memory that a worker of an inference needs, and a check that the machine has it."""

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.limits import MemoryLimit
from luray.cube.chunks import STRIP_BYTES
from luray.cube.cube import Cube
from luray.engine.spec import InferenceSpec, remembered_bytes
from luray.engine.tile_year import MAPS_BYTES
from luray.engine.worker_pool import CACHED_TILES
from luray.model.unet_config import UNetConfig
from luray.planning.build import WORKER_BYTES
from luray.planning.workload import Reading, TileLoad, Workload

DRIVER_BYTES = 700 * 2**20
"""The driver and Ray's own processes on its machine."""


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
        On a GPU neither batches nor inputs are kept in this memory.
    cached_tiles : int
        Tiles whose static inputs a worker caches.
    """
    tiling = workload.tiling
    width = model.width
    cached_tiles = min(cached_tiles, workload.tiles)
    window_cells = tiling.window**2
    padded_cells = (tiling.tile + 2 * tiling.margin) ** 2
    # 4 bytes for each class in each cell. Twice: the sums of a prediction are still there while the
    # strips for the neighbours, and what the tile keeps, are copied out of them.
    sums = 2 * 4.0 * cube.features.n_sums * padded_cells
    of_inputs: dict[str, float]
    if on_cpu:
        # One window may be left over and joins a batch; beside its first layer there are its skip,
        # what is added to it, and what follows.
        floats = (max(2, batch) + 1) * 5 * width
        of_inputs = {
            "a batch": 4.0 * window_cells * floats,
            "sums": sums,
            "inputs kept": cached_tiles * _cached_bytes(workload, width),
            "inputs read": _static_bytes(cube, padded_cells) + STRIP_BYTES,
        }
    else:
        of_inputs = {"sums": sums, "inputs read": _native_bytes(cube, padded_cells)}
    return {
        "process": WORKER_BYTES,
        **of_inputs,
        "maps remembered": remembered_bytes(
            workload.product, tiles=cached_tiles, history=model.history
        ),
        "maps and chunks kept": MAPS_BYTES + Cube.CACHE_BYTES,
    }


def _cached_bytes(workload: Workload, width: int) -> int:
    """Return what a worker keeps of the static inputs of the largest tile, see `TileInputs`."""
    windows = max((load.windows for load in workload.loads), default=0)
    # 16 bits for each output of the first layer in each cell of a window.
    return 2 * width * workload.tiling.window**2 * windows


def _static_bytes(cube: Cube, cells: int) -> int:
    """Return the static inputs of a tile while they are read, see `StaticInputs`."""
    return sum(2 if v.categories else 4 for v in cube.features.static) * cells


def _native_bytes(cube: Cube, cells: int) -> float:
    """Return the native cells of a static layer as they go to a GPU, see `DeviceInputs`.

    They are held as they are stored, and as the model sees them. Layers are read one after another.
    """
    most = 0.0
    for layer in cube.static:
        native_cells = cells * (cube.grid.step / layer.grid.step) ** 2
        a_cell = sum(np.dtype(variable.dtype).itemsize + 4 for variable in layer.variables)
        most = max(most, native_cells * a_cell)
    return most


def worker_bound(spec: InferenceSpec, model: UNetConfig, *, on_cpu: bool) -> int:
    """Return the bytes that one worker of an inference needs at most.

    Parameters
    ----------
    spec : InferenceSpec
        The inference. Nothing is read: every tile is taken for one that is full of land.
    model : UNetConfig
        Size of the models.
    on_cpu : bool
        See `inference_memory`.
    """
    tiling = spec.geometry.tiling
    windows = ceil_div(tiling.tile, tiling.stride) ** 2
    cells = tiling.tile**2
    loads = tuple(
        TileLoad(tile, cells, windows, cells, Reading(), Reading()) for tile in spec.geometry.tiles
    )
    parts = inference_memory(
        Workload(spec.product, loads),
        spec.cube,
        model=model,
        batch=spec.batch,
        on_cpu=on_cpu,
        cached_tiles=CACHED_TILES,
    )
    return round(sum(parts.values()))


def require_memory(worker_bytes: int, *, fewest: int, most: int, limit: MemoryLimit) -> None:
    """Raise ValueError where so many workers could need more memory than there is.

    Parameters
    ----------
    worker_bytes : int
        Of one worker, see `worker_bound`.
    fewest, most : int
        Workers of the run.
    limit : MemoryLimit
        What this machine may use.
    """
    needed = DRIVER_BYTES + most * worker_bytes
    if needed <= limit.n_bytes:
        return
    fitting = (limit.n_bytes - DRIVER_BYTES) // worker_bytes
    if fitting < 1:
        advice = "lower tiling.tile, inference.batch or model.width, or take a larger machine"
    elif fewest < most:
        advice = f"set inference.workers = {{min = {min(fewest, fitting)}, max = {fitting}}}"
    else:
        advice = f"set inference.workers = {fitting}"
    raise ValueError(
        f"inference.workers: {most} workers may need {_gib(needed)} ({_gib(worker_bytes)} each, "
        f"{_gib(DRIVER_BYTES)} beside them), {limit.source} {_gib(limit.n_bytes)}; {advice}"
    )


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
