"""Progress of a product, from its metadata, its receipts and its lease.

Anybody may ask, also while the product is being written. The metadata is read as the JSON that it
is: Zarr takes longer to import than all else takes together.
"""

import time as clock
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luray.core.time_steps import YEARLY, TimeSteps
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.layout import receipts_of_year
from luray.product.overviews import NO_OVERVIEWS, Overviews
from luray.storage.lease import Lease
from luray.storage.objects import accessing, read_json
from luray.storage.receipts import Ledger, year_of

RECENT = 600.0
"""Seconds over which the rate is taken."""


@dataclass(frozen=True)
class Status:
    """A product at a moment."""

    title: str
    years: tuple[int, ...]
    tiles: int
    """Tiles with land, each written in every year."""
    done: Counter[int]
    """Receipts by year."""
    times: tuple[float, ...]
    """When the receipts were written, in seconds since 1970, ascending."""
    finished: bool
    holder: str
    """The job that holds the product, empty when none does."""
    dims: ProductDims = ONE_MAP
    """Its scenarios and members."""
    overviews: Overviews = NO_OVERVIEWS
    time: TimeSteps = YEARLY
    """Time steps of its maps: where a year has several, each of `years` is one of them."""

    @property
    def complete(self) -> list[int]:
        """Years of which every tile is done."""
        return [year for year in self.years if self.done[year] >= self.each]

    @property
    def each(self) -> int:
        """Receipts of a finished year: tile-years of every scenario and member, those across
        members, and the coarser overviews of each map.
        """
        return receipts_of_year(self.tiles, self.dims, self.overviews)

    @property
    def total(self) -> int:
        """Tile-years in all."""
        return self.each * len(self.years)

    def rate(self, *, now: float | None = None) -> float:
        """Return the tile-years a second over the last `RECENT` seconds, 0 when none was done.

        `now` is in seconds since 1970, the present by default.
        """
        now = clock.time() if now is None else now
        recent = [written for written in self.times if now - written <= RECENT]
        if len(recent) < 2 or recent[-1] <= recent[0]:
            return 0.0
        # From the first receipt to the last there are as many tile-years as intervals.
        return (len(recent) - 1) / (recent[-1] - recent[0])


def status_of(url: str) -> Status:
    """Return the status of a product.

    Parameters
    ----------
    url : str
        Place of the store, such as the product.zarr of a run.

    Raises
    ------
    FileNotFoundError
        When there is no product of luray.
    ValueError
        When its metadata is damaged.
    """
    attributes = _attributes(url)
    about = attributes.get("luray", {})
    if not {"tiles", "fingerprint", "finished"} <= about.keys():
        raise FileNotFoundError(
            f"{url}: no product of luray; give the product.zarr of a run, or its run file"
        )
    tiles = int(about["tiles"])
    time = TimeSteps(about.get("time_step", YEARLY.interval))
    years = _years(url, about, time)

    written = Ledger(url, about["fingerprint"]).written()
    lease = Lease(url).found()
    dims = ProductDims(tuple(about.get("scenarios", ())), int(about.get("members", 0)))
    return Status(
        str(attributes.get("title", url)),
        years,
        tiles,
        done=Counter(year_of(key, time) for key in written),
        times=tuple(sorted(written.values())),
        finished=bool(about["finished"]),
        holder=lease["holder"] if lease else "",
        dims=dims,
        overviews=Overviews(**about.get("overviews", {})),
        time=time,
    )


def _attributes(url: str) -> Mapping[str, Any]:
    """Return the attributes of the root of a Zarr store, nothing where there is none."""
    place = f"{url.rstrip('/')}/zarr.json"
    try:
        metadata = read_json(place)
        attributes = {} if metadata is None else metadata.get("attributes", {})
        return dict(attributes)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: damaged, no metadata of a Zarr store ({error}); write it again with "
            "`luray verify --repair`"
        ) from None


def _years(url: str, about: Mapping[str, Any], time: TimeSteps) -> tuple[int, ...]:
    """Return the years, or time steps, of a product."""
    if "steps" in about:
        first, last = (time.step_of(label) for label in about["steps"])
        return tuple(range(first, last + 1))
    if "years" in about:
        first, last = about["years"]
        return tuple(range(first, last + 1))

    # A product of an earlier luray has them in its coordinate alone.
    import zarr

    with accessing(url):
        years: Any = zarr.open_array(f"{url.rstrip('/')}/year", mode="r", zarr_format=3)
    return tuple(years[:].tolist())
