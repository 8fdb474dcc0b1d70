"""What workers and stores cost: the form of prices.toml."""

from collections.abc import Mapping
from pathlib import Path

from luray.core.config import Config

PRICES = Path(__file__).with_name("prices.toml")
"""The price table that is used unless another is given."""


class DevicePrice(Config):
    """What a worker costs an hour in dollars, and what a GPU computes; see prices.toml."""

    dollars: tuple[float, float]
    tflops: float = 0.0
    utilisation: tuple[float, float] = (1.0, 1.0)
    link: float = 0.0


class StoragePrice(Config):
    """What an object store costs in dollars, and how long a request takes."""

    gb_month: tuple[float, float]
    per_1000_writes: float
    per_1000_reads: float
    seconds_a_request: tuple[float, float]


class PriceTable(Config):
    """A price table."""

    as_of: str
    devices: Mapping[str, DevicePrice]
    storage: StoragePrice
