"""Where a tile-year lies in a product: its arrays, its shards in them, and the name of its receipt.

Nothing here opens a store.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from luray.core.tiling import Tile, Tiling
from luray.product.dimensions import MemberIndex, ProductDims
from luray.product.trajectories import Span, TileYear
from luray.storage.receipts import key_of, tile_year_of

WITH_CLASSES = ("class_probability", "probability")
"""Arrays with a class dimension before the cells; all classes of a tile are in one shard."""


@dataclass(frozen=True)
class ProductLayout:
    """The layout of a product over its years, tiles and further dimensions."""

    span: Span
    tiling: Tiling
    dims: ProductDims

    def units(
        self, tiles: Iterable[Tile], years: Iterable[int] | None = None
    ) -> Iterator[TileYear]:
        """Yield everything that has a receipt when these tiles are finished.

        `years` are all years of the product by default.
        """
        if years is None:
            years = self.span.years
        places = list(product(years, tiles))
        for (year, tile), member_index in product(places, self.dims.member_indices):
            yield TileYear(year, tile, member_index)
        if self.dims.members:
            firsts = [index for index in self.dims.member_indices if index.member == 0]
            for (year, tile), member_index in product(places, firsts):
                yield TileYear(year, tile, member_index, across=True)

    def key(self, unit: TileYear) -> str:
        """Return the name of the receipt of a unit.

        It is 2001/3.4 in a product of one map, ssp126/m2/2001/3.4 with scenarios and members.
        """
        names = []
        if self.dims.scenarios:
            names.append(self.dims.scenarios[unit.member_index.scenario])
        if self.dims.members:
            names.append("across" if unit.across else f"m{unit.member_index.member}")
        return key_of(unit.year, unit.tile, *names)

    def unit_of(self, key: str) -> TileYear:
        """Return what the receipt of a name is for; the inverse of `key`."""
        year, tile = tile_year_of(key)
        names = key.split("/")[:-2]
        scenario = 0
        if self.dims.scenarios:
            scenario = self.dims.scenarios.index(names.pop(0))
        if names == ["across"]:
            return TileYear(year, tile, MemberIndex(scenario), across=True)
        member = int(names[0].removeprefix("m")) if names else 0
        return TileYear(year, tile, MemberIndex(scenario, member))

    def arrays(self, unit: TileYear) -> tuple[str, ...]:
        """Return the arrays that hold a unit, in the order in which they are written and hashed."""
        if unit.across:
            return "class_probability", "entropy"
        if unit.year in self.dims.probability_years:
            return "land_use", "confidence", "probability"
        return "land_use", "confidence"

    def lead(self, unit: TileYear, array: str) -> tuple[int, ...]:
        """Return the index of a unit along the dimensions before classes and cells."""
        index = []
        if self.dims.scenarios:
            index.append(unit.member_index.scenario)
        if self.dims.members and not unit.across:
            index.append(unit.member_index.member)
        if array == "probability":
            index.append(self.dims.probability_years.index(unit.year))
        else:
            index.append(unit.year - self.span.first)
        return tuple(index)

    def cells(self, tile: Tile, array: str) -> tuple[slice, ...]:
        """Return the index of a tile along the last dimensions: its cells, and all classes."""
        cells = self.tiling.tile_box(tile).slices(origin=self.tiling.everything)
        return (slice(None), *cells) if array in WITH_CLASSES else cells

    def shard(self, unit: TileYear, array: str) -> str:
        """Return the name of the object that holds a unit, below the store."""
        classes = (0,) if array in WITH_CLASSES else ()
        position = (*self.lead(unit, array), *classes, *unit.tile)
        return f"{array}/c/{'/'.join(map(str, position))}"
