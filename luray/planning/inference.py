"""Estimate of the work, memory, time and cost of an inference before it runs.

Pure: no engine, no stores, and nothing is measured here. Each part answers one question:

- `Workload`: what has to be computed?
- `OutputSize`: how many objects and bytes are written?
- `InputReads`: how often and how much is read?
- `inference_memory`: how much memory does a worker need?
- `RunTime`: how long does it take?
- `Costs`: what does it cost?
"""

from dataclasses import dataclass
from functools import cached_property

from luray.cube.cube import Cube
from luray.engine.worker_pool import CACHED_TILES
from luray.model.unet_config import UNetConfig
from luray.planning.costs import Costs
from luray.planning.input_reads import InputReads
from luray.planning.memory import inference_memory
from luray.planning.output_size import OutputSize
from luray.planning.prices import DevicePrice, StoragePrice
from luray.planning.rate import Rate
from luray.planning.run_time import RunTime
from luray.planning.workload import TileLoad, Workload
from luray.product.store import Product


@dataclass(frozen=True)
class InferencePlan:
    """An inference by some workers; sizes are bytes, times seconds, costs dollars."""

    title: str
    product: Product
    cube: Cube
    """Metadata of the inputs, built or expected."""
    loads: tuple[TileLoad, ...]
    """Tiles with land."""
    land_source: str
    """Where the land comes from, in words."""
    model: UNetConfig
    rate: Rate
    workers: int
    on_cpu: bool
    threads: int
    """Threads of a worker."""
    batch: int
    """Windows of a forward pass."""
    device: DevicePrice
    storage: StoragePrice
    as_of: str
    """When the prices were found."""
    cached_tiles: int = CACHED_TILES
    """Tiles whose static inputs a worker caches, for one direction each."""

    @cached_property
    def workload(self) -> Workload:
        """Workload: what has to be computed."""
        return Workload(self.product, self.loads)

    @cached_property
    def output(self) -> OutputSize:
        """What is written."""
        return OutputSize(self.workload, len(self.cube.legend))

    @cached_property
    def inputs(self) -> InputReads:
        """What is read."""
        return InputReads(self.workload, self.workers, self.cached_tiles)

    @cached_property
    def memory(self) -> dict[str, float]:
        """Bytes of a worker by what they are for."""
        return inference_memory(
            self.workload,
            self.cube,
            model=self.model,
            batch=self.batch,
            on_cpu=self.on_cpu,
            cached_tiles=self.cached_tiles,
        )

    @cached_property
    def time(self) -> RunTime:
        """How long it takes."""
        return RunTime(self.workload, self.inputs, self.rate, self.storage)

    @cached_property
    def costs(self) -> Costs:
        """What it costs."""
        devices = self.threads if self.on_cpu else 1
        return Costs(self.time, self.inputs, self.output, self.device, self.storage, devices)
