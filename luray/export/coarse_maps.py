"""Area fractions and gross transitions of coarse cells, computed from the maps of a product.

They are recorded year by year in a store of work beside the export, so that an export that was
interrupted goes on where it was.

Shapes: K classes; Y X coarse cells; H W fine cells of a band.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import zarr

from luray.core.legend import Legend
from luray.core.progress import Progress, no_progress
from luray.core.tiling import Box
from luray.core.types import F64, I64
from luray.export.selection import Region
from luray.product.fractions import WHOLE, class_sums, row_shares, transition_sums
from luray.product.product_maps import MapSeries
from luray.storage.arrays import COMPRESSORS
from luray.storage.objects import accessing, exists, remove
from luray.storage.receipts import Ledger, digest

BAND_CELLS = 2**24
"""Fine cells of a map that are in memory at once, at least one row of coarse cells."""


BAND_COARSE_CELLS = 2**20
"""Coarse cells of a band at most: there are sums of every class of each."""


class CoarseBand(NamedTuple):
    """Sums of some rows of coarse cells, in units of 1 / `WHOLE` of a cell."""

    fraction_KYX: I64
    transition_KKYX: I64 | None
    """From the year before, None where that year is not asked for."""


@dataclass(frozen=True)
class CoarseMaps:
    """Fractions and transitions of a series of maps on the coarse cells of a region.

    This is the one place to read the product's own arrays `fraction` and `transition` instead,
    where their coarse cells are those of the region: see `band`.
    """

    maps: MapSeries
    region: Region

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return len(self.maps.product.legend)

    def bands(self) -> list[tuple[int, int]]:
        """Return first and last row (exclusive) of the bands in which the region is read."""
        region = self.region
        coarse_row_cells = region.block * region.box.width
        n_lat, n_lon = region.coarse.shape
        rows = max(1, min(BAND_CELLS // coarse_row_cells, BAND_COARSE_CELLS // n_lon))
        return [(row, min(row + rows, n_lat)) for row in range(0, n_lat, rows)]

    def band(self, year: int, rows: tuple[int, int], *, with_transition: bool) -> CoarseBand:
        """Return the sums of a band of coarse rows in a year.

        Parameters
        ----------
        year : int
            Of the product.
        rows : tuple of int
            First and last coarse row (exclusive) of the region.
        with_transition : bool
            Whether to give what changed from the map of the year before.
        """
        region = self.region
        block = region.block
        first, last = rows
        height = (last - first) * block
        box = Box(region.box.row + first * block, region.box.col, height, region.box.width)
        share_H = np.zeros(height, np.int64)
        within = self._share_H[first * block : last * block]
        share_H[: within.size] = within

        classes_HW = self.maps.classes(year, box)
        fraction_KYX = class_sums(classes_HW, share_H, block, self.n_classes)
        if not with_transition:
            return CoarseBand(fraction_KYX, None)
        before_HW = self.maps.classes(year - 1, box)
        transition_KKYX = transition_sums(before_HW, classes_HW, share_H, block, self.n_classes)
        return CoarseBand(fraction_KYX, transition_KKYX)

    @cached_property
    def _share_H(self) -> I64:
        """Share of its coarse cell that a fine cell of each row of the region covers."""
        return row_shares(self.region.fine, self.region.coarse)


@dataclass(frozen=True)
class CoarseWork:
    """The recorded fractions and transitions of an export: a small Zarr store and its receipts."""

    url: str
    source: CoarseMaps
    years: tuple[int, ...]
    fingerprint: str
    """Of everything that the values depend on."""
    transitions: Literal["recorded", "left out"]

    def compute(self, *, progress: Progress = no_progress) -> None:
        """Compute and record what is missing, a band of a year at a time.

        Parameters
        ----------
        progress : callable, optional
            Called with the bands that are recorded, and all of them.
        """
        ledger = Ledger(self.url, self.fingerprint)
        if not exists(f"{self.url}/zarr.json"):
            # receipts of a store that is gone would stand for bands that nobody wrote
            ledger.forget()
            self._create()
        recorded = ledger.done()
        bands = self.source.bands()
        total = len(bands) * len(self.years)
        done = len(recorded)
        progress(done, total)

        root = self._open("r+")
        for t, year in enumerate(self.years):
            follows = t > 0 and self.years[t - 1] == year - 1
            with_transition = self.transitions == "recorded" and follows
            for rows in bands:
                key = f"{year}/{rows[0]}"
                if key in recorded:
                    continue
                band = self.source.band(year, rows, with_transition=with_transition)
                band_rows = slice(*rows)
                with accessing(self.url):
                    root["fraction"][t, :, band_rows] = band.fraction_KYX
                    if band.transition_KKYX is not None:
                        root["transition"][t, :, :, band_rows] = band.transition_KKYX
                ledger.record(key, digest(band.fraction_KYX))
                done += 1
                progress(done, total)

    def fraction(self, year: int, rows: slice = slice(None)) -> F64:
        """Return the share of each class in the coarse cells of a year, shape (K, Y, X)."""
        with accessing(self.url):
            sums_KYX = self._arrays["fraction"][self.years.index(year), :, rows]
        return np.asarray(sums_KYX) / WHOLE

    def least(self, class_index: int | None) -> F64:
        """Return the least of a class in each coarse cell over the years, shape (Y, X).

        It is 0 where the legend has no such class.
        """
        least_YX = np.zeros(self.source.region.coarse.shape)
        if class_index is None:
            return least_YX
        least_YX += np.inf
        for year in self.years:
            least_YX = np.minimum(least_YX, self.fraction(year)[class_index])
        return least_YX

    def transition(self, year: int) -> F64:
        """Return the share that went from class to class between a year and the one before.

        Shape (K, K, Y, X): from the first class to the second one; the diagonal is 0.
        """
        assert self.transitions == "recorded"
        assert year - 1 in self.years
        with accessing(self.url):
            sums_KKYX = self._arrays["transition"][self.years.index(year)]
        return np.asarray(sums_KKYX) / WHOLE

    def remove(self) -> None:
        """Delete the record and its receipts."""
        Ledger(self.url, self.fingerprint).forget()
        remove(self.url)

    def _open(self, mode: Literal["r", "r+"]) -> Any:
        with accessing(self.url):
            return zarr.open_group(self.url, mode=mode, zarr_format=3, use_consolidated=False)

    @cached_property
    def _arrays(self) -> Any:
        return self._open("r")

    def _create(self) -> None:
        """Create the empty arrays; a chunk is one band of one year."""
        n_classes = self.source.n_classes
        n_lat, n_lon = self.source.region.coarse.shape
        first, last = self.source.bands()[0]
        band = last - first
        classes: Sequence[tuple[str, tuple[int, ...]]] = [("fraction", (n_classes,))]
        if self.transitions == "recorded":
            classes = [*classes, ("transition", (n_classes, n_classes))]

        with accessing(self.url):
            root = zarr.open_group(self.url, mode="w", zarr_format=3)
            for name, lead in classes:
                root.create_array(
                    name,
                    shape=(len(self.years), *lead, n_lat, n_lon),
                    chunks=(1, *lead, band, n_lon),
                    dtype="int64",
                    fill_value=0,
                    compressors=COMPRESSORS,
                )


def water_index(legend: Legend) -> int | None:
    """Return the class index of inland water, None for a legend without."""
    return None if legend.water is None else legend.index(legend.water)
