"""Where a tile-year lies in a product: its arrays, its shards in them, and the name of its receipt.

Nothing here opens a store.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from luray.core.legend import VARIABLE
from luray.core.tiling import Tile, Tiling
from luray.core.time_steps import YEARLY, TimeSteps
from luray.product.dimensions import MemberIndex, ProductDims
from luray.product.overviews import NO_OVERVIEWS, Overviews
from luray.product.trajectories import OverviewYear, Span, TileYear, Unit
from luray.storage.receipts import key_of, tile_of, year_of

LAYOUT = 2
"""Version of the layout. It enters the fingerprint: products of another one are not continued."""

CLASS_AXES = {"class_probability": 1, "probability": 1, "fraction": 1, "transition": 2}
"""Class dimensions before the cells of the arrays that have any; all classes of a tile are in one
shard.
"""

COARSE = ("fraction", "transition")
"""Arrays on the grid of coarse cells."""

OVERVIEWS_KEY = "overviews"
"""Last part of the receipt of an `OverviewYear`, where that of a tile-year names its tile."""


def overview(level: int, array: str) -> str:
    """Return the path of the overview of an array, such as 2/land_use."""
    return f"{level}/{array}"


def level_of(array: str) -> int:
    """Return the level of an array by its path; that of the maps is 0.

    Examples
    --------
    >>> level_of("2/land_use"), level_of("land_use")
    (2, 0)
    """
    level, slash, _ = array.partition("/")
    return int(level) if slash else 0


def receipts_of_year(tiles: int, dims: ProductDims, overviews: Overviews) -> int:
    """Return how many receipts a finished year of so many tiles has."""
    n_overviews = len(dims.member_indices) if overviews.coarser_levels else 0
    return tiles * dims.receipts + n_overviews


@dataclass(frozen=True)
class ProductLayout:
    """The layout of a product over its years, tiles and further dimensions."""

    span: Span
    tiling: Tiling
    dims: ProductDims
    block: int = 0
    """Cells along a side of a coarse cell, 0 in a product without fractions and transitions."""
    overviews: Overviews = NO_OVERVIEWS
    variable: str = VARIABLE
    """Name of the array that holds the maps; see `Legend.variable`."""
    quality: str = "confidence"
    """Name of the array that says how sure they are; see `Legend.quality`."""
    time: TimeSteps = YEARLY
    """Time steps of the maps: where a year has several, each "year" here is one of them."""

    def units(self, tiles: Iterable[Tile], years: Iterable[int] | None = None) -> Iterator[Unit]:
        """Yield everything that has a receipt when these tiles are finished.

        `years` are all years of the product by default.
        """
        if years is None:
            years = self.span.years
        years = tuple(years)
        places = list(product(years, tiles))
        for (year, tile), member_index in product(places, self.dims.member_indices):
            yield TileYear(year, tile, member_index)
        if self.dims.members:
            firsts = [index for index in self.dims.member_indices if index.member == 0]
            for (year, tile), member_index in product(places, firsts):
                yield TileYear(year, tile, member_index, across=True)

        # The coarser overviews of a year belong to no tile.
        if self.overviews.coarser_levels:
            for year, member_index in product(years, self.dims.member_indices):
                yield OverviewYear(year, member_index)

    def key(self, unit: Unit) -> str:
        """Return the name of the receipt of a unit.

        It is 2001/3.4 in a product of one map, ssp126/m2/2001/3.4 with scenarios and members, and
        2001-03/3.4 in one of a map a month.
        """
        names = []
        if self.dims.scenarios:
            names.append(self.dims.scenarios[unit.member_index.scenario])
        if self.dims.members:
            names.append("across" if unit.across else f"m{unit.member_index.member}")
        if isinstance(unit, OverviewYear):
            return "/".join([*names, self.time.label(unit.year), OVERVIEWS_KEY])
        return key_of(self.time.label(unit.year), unit.tile, *names)

    def unit_of(self, key: str) -> Unit:
        """Return what the receipt of a name is for; the inverse of `key`."""
        # In the order of `key`: scenario, member or "across", year, tile or "overviews".
        *names, _, name = key.split("/")
        year = year_of(key, self.time)
        scenario = 0
        if self.dims.scenarios:
            scenario = self.dims.scenarios.index(names.pop(0))
        member = 0
        if self.dims.members and names != ["across"]:
            member = int(names[0].removeprefix("m"))
        member_index = MemberIndex(scenario, member)

        if name == OVERVIEWS_KEY:
            return OverviewYear(year, member_index)
        return TileYear(year, tile_of(key), member_index, across=names == ["across"])

    def transition_of(self, year: int) -> tuple[int, int] | None:
        """Return the years between which the map of a year and its prior tell a transition.

        None where there is none, see `Span.transition_of`, and in a product without transitions.
        """
        return self.span.transition_of(year) if self.block else None

    def arrays(self, unit: Unit) -> tuple[str, ...]:
        """Return the arrays that hold a unit, in the order in which they are written and hashed."""
        maps = (self.variable, self.quality)
        if isinstance(unit, OverviewYear):
            levels = self.overviews.coarser_levels
            return tuple(overview(level, name) for level in levels for name in maps)
        if unit.across:
            return "class_probability", "entropy"

        names = list(maps)
        if unit.year in self.dims.probability_years:
            names.append("probability")
        if self.block:
            names.append("fraction")
        if self.transition_of(unit.year):
            names.append("transition")
        names += [overview(level, name) for level in self.overviews.tile_levels for name in maps]
        return tuple(names)

    @property
    def tile_arrays(self) -> frozenset[str]:
        """Every array whose shards belong to units, and are covered by their receipts."""
        maps = (self.variable, self.quality)
        names = {*maps, "class_probability", "entropy", "probability", *COARSE}
        for level in range(1, self.overviews.levels + 1):
            names |= {overview(level, name) for name in maps}
        return frozenset(names)

    def lead(self, unit: Unit, array: str) -> tuple[int, ...]:
        """Return the index of a unit along the dimensions before classes and cells."""
        index = []
        if self.dims.scenarios:
            index.append(unit.member_index.scenario)
        if self.dims.members and not unit.across:
            index.append(unit.member_index.member)
        if array == "probability":
            index.append(self.dims.probability_years.index(unit.year))
        else:
            index.append(self._year_of(unit, array) - self.span.first)
        return tuple(index)

    def _year_of(self, unit: Unit, array: str) -> int:
        """Return the year at which an array holds a unit: a transition lies at its later year."""
        if array != "transition":
            return unit.year
        pair = self.transition_of(unit.year)
        assert pair is not None, f"{unit} has no transition"
        return pair[1]

    def cells(self, unit: Unit, array: str) -> tuple[slice, ...]:
        """Return the index of a unit along the last dimensions: all classes, and its cells."""
        box = self.tiling.everything
        if isinstance(unit, TileYear):
            box = self.tiling.tile_box(unit.tile)
        # Fine cells along a side of a cell of the array; 1 in the maps, whose level is 0.
        factor = self.block if array in COARSE else 2 ** level_of(array)
        box = box.coarsened(factor)
        all_classes = (slice(None),) * CLASS_AXES.get(array, 0)
        return (*all_classes, *box.slices(origin=self.tiling.everything))

    def shard(self, unit: Unit, array: str) -> str:
        """Return the name of the object that holds a unit, below the store."""
        # All classes of a tile are one shard, and so is a whole coarser overview.
        classes = (0,) * CLASS_AXES.get(array, 0)
        tile = unit.tile if isinstance(unit, TileYear) else (0, 0)
        position = (*self.lead(unit, array), *classes, *tile)
        return f"{array}/c/{'/'.join(map(str, position))}"
