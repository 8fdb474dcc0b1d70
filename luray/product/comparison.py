"""Any product scored against any maps, band by band of the grid that they have in common."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.core.types import U8, Direction
from luray.evaluation.aggregation import Tally, merge
from luray.evaluation.block_sums import block_side
from luray.evaluation.deflicker import deflicker
from luray.evaluation.evaluation_years import evaluation_years
from luray.evaluation.statistics import RESOLUTIONS, Statistics, TwoYears, statistics_of_year
from luray.product.compared_maps import ComparedMaps, Nesting, common_grid

ROWS_AT_ONCE = 500
"""About the rows of a band; it is whole blocks of every resolution."""


@dataclass(frozen=True)
class Comparison:
    """A product and a reference on their common grid.

    Maps of the product are scored in the years after `start` that both have. The initial map, from
    which change is counted, is the reference's.
    """

    product: ComparedMaps
    reference: ComparedMaps
    grid: Grid
    of_product: Nesting
    of_reference: Nesting
    years: tuple[int, ...]
    """Scored years in the direction of travel."""
    maps: tuple[int, ...]
    """Years whose maps of the reference take part, in the direction of travel, the start first."""
    left_out: tuple[int, ...] = ()
    """Years that are not scored, see `evaluation_years`."""

    @classmethod
    def of(
        cls,
        product: ComparedMaps,
        reference: ComparedMaps,
        *,
        start: int,
        years: Sequence[int] = (),
    ) -> "Comparison":
        """Prepare a comparison.

        Parameters
        ----------
        product, reference : ComparedMaps
            Of the same classes, on grids that nest.
        start : int
            Year of the reference's map from which change is counted.
        years : sequence of int, optional
            Years to be scored, all before or all after the start; by default all years after it
            that both have.

        Raises
        ------
        ValueError
            For other classes, maps of values, grids that do not nest, or years that one of them
            does not have.
        """
        for series in (product, reference):
            if series.legend.scale is not None:
                raise ValueError(
                    f"{series.url} has values ({series.legend.long_name}), and a comparison scores "
                    "maps of classes; score values with tests of a run file, `luray evaluate "
                    "RUN.toml`"
                )
        product_classes = [(c.code, c.name) for c in product.legend.classes]
        reference_classes = [(c.code, c.name) for c in reference.legend.classes]
        if product_classes != reference_classes:
            raise ValueError(
                f"{product.url} has classes {product_classes}, {reference.url} has "
                f"{reference_classes}; expected the same: build one of them with a crosswalk to "
                "the other's"
            )
        if start not in reference.years:
            raise ValueError(
                f"{reference.url} has no map of {start}, only {reference.years[0]}-"
                f"{reference.years[-1]}; start from a year that it has"
            )
        scored = tuple(years)
        if not scored:
            scored = tuple(y for y in product.years if y > start and y in reference.years)
        for series in (product, reference):
            missing = [year for year in scored if year not in series.years]
            if missing:
                raise ValueError(
                    f"{series.url} has no maps of {missing}, only {series.years[0]}-"
                    f"{series.years[-1]}; leave these years out"
                )
        on_both_sides = len({year > start for year in scored}) > 1
        if not scored or on_both_sides or start in scored:
            raise ValueError(
                f"years {list(scored)} cannot be scored from {start}, expected years that both "
                "have, all before or all after it"
            )
        grid, of_product, of_reference = common_grid(product.grid, reference.grid)

        # Every map of the reference on the way to the farthest scored year takes part, as flicker
        # is removed from the whole series.
        farthest = max(scored, key=lambda year: abs(year - start))
        low, high = sorted((start, farthest))
        between = [year for year in reference.years if low <= year <= high]
        travelled = between if farthest > start else between[::-1]
        by_use = evaluation_years(travelled, base_maps=reference.other_kind)
        return cls(
            product,
            reference,
            grid,
            of_product,
            of_reference,
            years=tuple(year for year in by_use.scored if year in scored),
            maps=by_use.maps,
            left_out=tuple(year for year in by_use.left_out if year in scored),
        )

    @property
    def start(self) -> int:
        """Year of the map from which change is counted."""
        return self.maps[0]

    @property
    def direction(self) -> Direction:
        """Direction of travel."""
        return "forward" if self.years[0] > self.start else "backward"

    @property
    def bands(self) -> list[Box]:
        """Boxes of rows of the common grid, which are tallied apart."""
        height = max(RESOLUTIONS)
        height *= max(1, ROWS_AT_ONCE // height)
        n_lat, n_lon = self.grid.shape
        return [Box(row, 0, min(height, n_lat - row), n_lon) for row in range(0, n_lat, height)]

    def tally(self, band: Box) -> tuple[Tally, Tally]:
        """Tally a band against the maps as they are, and against de-flickered ones.

        Flicker is removed from the whole series of the reference, years that are not scored among
        them.
        """
        maps = np.stack(
            [self._with_border(self.of_reference, self.reference, year, band) for year in self.maps]
        )
        truths = (maps, deflicker(maps))
        legend = self.reference.legend
        tallied: tuple[dict[int, Statistics], ...] = ({}, {})
        unknown = np.full_like(maps[0], OUTSIDE)
        previous = {self.start: (maps[0], 0)}
        for year in self.years:
            number = self.maps.index(year)
            predicted = self._with_border(self.of_product, self.product, year, band)
            # Change from year to year is known where the year before is there.
            year_before = year - 1 if self.direction == "forward" else year + 1
            predicted_before, number_before = previous.get(year_before, (unknown, number))
            for truth, statistics in zip(truths, tallied, strict=True):
                statistics[year] = statistics_of_year(
                    maps[0],
                    TwoYears(truth[number_before], truth[number]),
                    TwoYears(predicted_before, predicted),
                    cell_area=self.grid.cell_area[band.row : band.row + band.height],
                    n_classes=len(legend),
                    water=None if legend.water is None else legend.index(legend.water),
                    confidence=None,
                    corner=(band.row, band.col),
                    side=block_side(self.grid.shape, coarse=max(RESOLUTIONS)),
                )
            previous = {year: (predicted, number)}
        return Tally(tallied[0]), Tally(tallied[1])

    def _with_border(self, nesting: Nesting, series: ComparedMaps, year: int, band: Box) -> U8:
        """A map in a band, with the row south of it and a column of nothing east of it."""
        height = min(band.height + 1, self.grid.n_lat - band.row)
        classes = np.full((band.height + 1, band.width + 1), OUTSIDE, np.uint8)
        box = Box(band.row, band.col, height, band.width)
        classes[:height, : band.width] = nesting.read(series, year, box)
        return classes


def merge_bands(bands: Iterable[tuple[Tally, Tally]]) -> tuple[Tally, Tally]:
    """Return the tallies of all bands together; their order does not matter."""
    tallies = list(bands)
    return merge(band[0] for band in tallies), merge(band[1] for band in tallies)
