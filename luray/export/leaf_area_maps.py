"""A product of leaf area index beside maps of classes: where its cells lie, and its dekads.

Shapes: H W fine cells of a box.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.time_steps import DAYS_OF_MONTHS, TimeSteps
from luray.core.types import I64, U8
from luray.core.value_scale import ValueScale
from luray.export.selection import Region
from luray.product.compared_maps import Nesting, common_grid
from luray.product.product_maps import MapSeries
from luray.storage.places import public

LEAF_AREA_INDEX = "leaf_area_index"
"""CF's name of it."""

DEKADS = TimeSteps("dekad")

MIDDLES = (5, 15, 25)
"""Days of a month for which ecLand takes the values of its dekads (`updtim1s.F90`); those of
months are for the second of them.
"""

RULES: Mapping[str, str] = {
    "dekad": "dekads as they are",
    "P8D": "of 8 days: a dekad is the mean of those that it overlaps, by days",
    "month": "months: linear between the 15th of each, at the 5th, 15th and 25th, as ecLand itself "
    "interpolates monthly fields",
}
"""How each time step becomes dekads."""


def dekad_weights(time: TimeSteps, year: int, available: Collection[int]) -> list[dict[int, int]]:
    """Return the weights of the steps of a product in each dekad of a year.

    Parameters
    ----------
    time : TimeSteps
        Of the product: dekads, months, or steps of 8 days.
    year : int
    available : collection of int
        Steps of the product. A month beside the year that is not among them is left out.

    Returns
    -------
    list of dict
        One for each dekad: weights by step, in the order of time.

    Examples
    --------
    >>> months = TimeSteps("month")
    >>> weights = dekad_weights(months, 2001, months.of_years(2001, 2001))
    >>> {months.label(step): weight for step, weight in weights[2].items()}
    {'2001-01': 21, '2001-02': 10}
    """
    if time.interval == "dekad":
        return [{step: 1} for step in time.of_years(year, year)]
    if time.interval == "month":
        weights = [_weights_of_month(time, step) for step in time.of_years(year, year)]
        return [
            {step: weight for step, weight in of_dekad.items() if step in available}
            for of_month in weights
            for of_dekad in of_month
        ]
    return [_overlaps(time, year, dekad) for dekad in DEKADS.of_years(year, year)]


def _weights_of_month(time: TimeSteps, month: int) -> list[dict[int, int]]:
    """Weights of the months in each dekad of a month, by the days between their middles."""
    to_middle = MIDDLES[1] - MIDDLES[0]
    days_before = DAYS_OF_MONTHS[time.in_year(month - 1)]
    days = DAYS_OF_MONTHS[time.in_year(month)]
    return [
        {month - 1: to_middle, month: days_before - to_middle},
        {month: 1},
        {month: days - to_middle, month + 1: to_middle},
    ]


def _overlaps(time: TimeSteps, year: int, dekad: int) -> dict[int, int]:
    """Days that each step of a year has in common with a dekad."""
    first, end = DEKADS.bounds(dekad, epoch=year)
    weights = {}
    for step in time.of_years(year, year):
        step_first, step_end = time.bounds(step, epoch=year)
        days = min(end, step_end) - max(first, step_first)
        if days > 0:
            weights[step] = days
    return weights


@dataclass(frozen=True)
class LeafAreaMaps:
    """The leaf area index of a product, on the cells of another one that has classes."""

    maps: MapSeries
    scale: ValueScale
    of_land: Nesting
    of_leaf: Nesting
    """How the classes and the leaf area index lie on the grid that both have in common."""

    @classmethod
    def of(
        cls, maps: MapSeries, *, land: Grid, region: Region, years: Sequence[int]
    ) -> "LeafAreaMaps":
        """Take a product of leaf area index for an export of classes.

        Parameters
        ----------
        maps : MapSeries
            Of leaf area index.
        land : Grid
            Of the maps of classes.
        region : Region
            What is exported of them.
        years : sequence of int
            Calendar years that are exported.

        Raises
        ------
        ValueError
            For another quantity, classes, annual maps, years that the product lacks, cells that are
            no whole blocks of those of the classes, and a product that does not cover the region.
        """
        product = maps.product
        where = f"--leaf-area {public(product.url)}"
        scale = product.legend.scale
        if scale is None or scale.standard_name != LEAF_AREA_INDEX:
            raise ValueError(
                f"{where} has maps of {product.legend.long_name}, expected a leaf area index; give "
                "a product of that"
            )
        if product.time.interval not in RULES:
            raise ValueError(
                f"{where} has {product.time.adjective} maps, expected maps by month, dekad or 8 "
                "days; give a product of those"
            )
        had = {product.time.year(step) for step in product.years}
        lacking = [year for year in years if year not in had]
        if lacking:
            raise ValueError(
                f"{where} has the years {min(had)} to {max(had)}, and the export needs "
                f"{lacking[0]}, too; choose --years that both products have"
            )

        try:
            _, of_land, of_leaf = common_grid(land, product.grid)
        except ValueError as error:
            raise ValueError(f"{where} lies on another grid than the classes: {error}") from None
        if of_leaf.factor > 1:
            raise ValueError(
                f"{where} has cells of {product.grid.step:g} degrees, and the classes have cells "
                f"of {land.step:g}; expected the same, or whole blocks of those of the classes; "
                "give a leaf area index on their grid"
            )
        taken = cls(maps, scale, of_land, of_leaf)
        box = region.box._replace(height=region.fine.n_lat, width=region.fine.n_lon)
        rows, cols = taken._cells(box)
        n_lat, n_lon = product.grid.shape
        if rows[0] < 0 or cols[0] < 0 or rows[-1] >= n_lat or cols[-1] >= n_lon:
            raise ValueError(
                f"{where} covers {_extent(product.grid)} (west, south, east, north), and the "
                f"export covers {_extent(region.fine)}; choose a --region that both products have"
            )
        return taken

    def levels(self, step: int, box: Box) -> U8:
        """Return the levels of a step in a box of the classes' grid, shape (H, W).

        Beyond the product there is `NO_VALUE`.
        """
        rows, cols = self._cells(box)
        height = int(rows[-1] - rows[0]) + 1
        width = int(cols[-1] - cols[0]) + 1
        leaf_box = Box(int(rows[0]), int(cols[0]), height, width)
        levels_HW = self.maps.codes(step, leaf_box)
        if self.of_land.factor == 1:
            return levels_HW
        return levels_HW[np.ix_(rows - rows[0], cols - cols[0])]

    @property
    def described(self) -> str:
        """What a file says of where its leaf area index is from."""
        product = self.maps.product
        scenario = f", scenario {self.maps.scenario}" if self.maps.scenario else ""
        return (
            f"{product.title} (run {product.fingerprint[:12]}{scenario}), "
            f"{RULES[product.time.interval]}"
        )

    def _cells(self, box: Box) -> tuple[I64, I64]:
        """Rows and columns of the leaf area index under those of a box of the classes' grid."""
        factor = self.of_land.factor
        rows = np.arange(box.row, box.row + box.height) - self.of_land.row
        cols = np.arange(box.col, box.col + box.width) - self.of_land.col
        return self.of_leaf.row + rows // factor, self.of_leaf.col + cols // factor


def _extent(grid: Grid) -> str:
    return f"{grid.west:g}, {grid.south:g}, {grid.east:g}, {grid.north:g}"
