"""The price table: what workers and stores cost, and how fast they are."""

from collections.abc import Mapping
from pathlib import Path

from luray.core.config import Config

PRICES = Path(__file__).with_name("prices.toml")
"""The price table that is used unless another is given."""


class DevicePrice(Config):
    """Price of a device, and the speed of a GPU; see prices.toml."""

    dollars: tuple[float, float]
    """An hour, spot and on demand: of a thread of a CPU, or of a GPU."""
    tflops: float = 0.0
    """Peak in half precision, TFLOP/s; 0 for a CPU, whose rate is measured."""
    utilisation: tuple[float, float] = (1.0, 1.0)
    """Share of the peak that is reached, from the worst to the best."""
    link: float = 0.0
    """Copies to the device, GB/s."""


class StoragePrice(Config):
    """Prices of an object store in dollars, and the time of a request."""

    gb_month: tuple[float, float]
    """Dollars of a gigabyte for a month, from the cheapest to the dearest."""
    per_1000_writes: float
    per_1000_reads: float
    seconds_a_request: tuple[float, float]
    """From a store that answers at once to a slow one."""


class PriceTable(Config):
    """A price table."""

    as_of: str
    """When the prices were found."""
    devices: Mapping[str, DevicePrice]
    """Prices of devices, by the name that `--device` takes."""
    storage: StoragePrice
