"""Cost of an inference in dollars, at the prices of a price table."""

from dataclasses import dataclass

from luray.planning.input_reads import InputReads
from luray.planning.output_size import OutputSize
from luray.planning.prices import DevicePrice, StoragePrice
from luray.planning.ranges import Range
from luray.planning.run_time import RunTime


@dataclass(frozen=True)
class Costs:
    """Dollars of an inference."""

    time: RunTime
    inputs: InputReads
    output: OutputSize
    device: DevicePrice
    storage: StoragePrice
    devices_a_worker: int
    """Devices of the price table that a worker takes: its threads on a CPU, one GPU."""

    @property
    def compute(self) -> Range:
        """Workers for the whole time: spot prices if all goes well, on demand if not."""
        wall = self.time.wall
        spot, on_demand = self.device.dollars
        hours = self.time.workers * self.devices_a_worker / 3600
        return Range(wall.low * spot * hours, wall.high * on_demand * hours)

    @property
    def requests(self) -> Range:
        """Requests to an object store."""
        writes = self.output.objects * self.storage.per_1000_writes / 1000
        reads = self.inputs.requests * (self.storage.per_1000_reads / 1000)
        return reads + Range.exactly(writes)

    @property
    def storage_a_month(self) -> Range:
        """The product on an object store for a month."""
        low, high = self.storage.gb_month
        stored = self.output.compressed
        return Range(stored.low * low / 1e9, stored.high * high / 1e9)
