"""Coarse class fractions aggregated from the fine maps themselves: a stand-in for LUH2 where none
is at hand.

They agree with the target perfectly, as no scenario would: results that rest on them are an upper
bound, and say so. Shapes: K classes, H W blocks, b fine cells of a block's side.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.config import Config
from luray.core.grid import Grid
from luray.core.legend import HILDA, OUTSIDE
from luray.core.tiling import Box
from luray.core.types import F32, U8
from luray.core.variable import Variable
from luray.sources.base import MAX_MISSING, MIN_COVERAGE, About, Described, Request, Source
from luray.sources.luh2 import STATES

CAVEAT = "forcing: class fractions aggregated from the target maps, an upper bound"

ABOUT = About(
    title="Coarse class fractions aggregated from the state source",
    doi="",
    licence="as the state source",
    url="",
    files=("those of the state source",),
    values="no files of its own",
    ranges={"": "0..1"},
)

GROUP_OF = {code: codes for _, codes in STATES.values() for code in codes}
"""Group of each code that LUH2 can tell apart, so that both forcings demand the same; water is in
none.
"""

VARIABLES = tuple(
    Variable(
        name=c.name,
        role="forcing",
        units="1",
        long_name=f"fraction of the block's land: {c.name}",
        classes=GROUP_OF.get(c.code, ()),
        share_of="land",
    )
    for c in HILDA.classes
)


class AggregatedConfig(Config):
    """Side of a block in fine cells: 25 makes 0.25 degrees of 0.01."""

    about: ClassVar[About] = ABOUT
    described: ClassVar[About] = ABOUT
    label: ClassVar[str] = "aggregated"
    by_scenario: ClassVar[bool] = False
    reads_other_years: ClassVar[bool] = False
    is_derived: ClassVar[bool] = True
    path: ClassVar[str] = ""
    collection: ClassVar[str] = ""
    where: ClassVar[str] = ""
    wanted: ClassVar[str] = "no files of its own, made from the maps"
    min_coverage: ClassVar[float] = MIN_COVERAGE
    max_missing: ClassVar[float] = MAX_MISSING
    kind: Literal["aggregated"]
    block: int = Field(ge=2)

    @property
    def declared(self) -> tuple[Variable, ...]:
        """A fraction a class."""
        return VARIABLES

    def native_grid(self, run_grid: Grid) -> Grid:
        """Return the blocks from the north-west corner of the run grid, the last ones past it."""
        return Grid(
            run_grid.north,
            run_grid.west,
            run_grid.step * self.block,
            -(-run_grid.n_lat // self.block),
            -(-run_grid.n_lon // self.block),
        )

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year: each map has fractions of its own."""
        return year

    def open(self, request: Request) -> Source:
        """The source; see `open_aggregated`. Raises ValueError where the request lacks the state
        source or the grid.
        """
        if request.state is None or request.grid is None:
            raise ValueError(
                "source aggregated is made from the maps of the state source on the run grid, "
                "which are "
                "not open; correct the state source first"
            )
        return open_aggregated(self, state=request.state, grid=request.grid)


@dataclass(frozen=True, kw_only=True)
class Aggregated(Described):
    """Fraction of each class in the land cells of square blocks, from the north-west corner of the
    run grid.
    """

    state: Source
    run_grid: Grid
    block: int

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Fractions of one year, shape (K, height, width), float32; see `Source.read`."""
        fine = Box(
            box.row * self.block,
            box.col * self.block,
            box.height * self.block,
            box.width * self.block,
        )
        return block_fractions(self._indices(year, fine), self.block)

    def _indices(self, year: int | None, fine: Box) -> U8:
        """Class indices of a box of the run grid; `OUTSIDE` beyond the run grid and beyond the
        state's raster.
        """
        row, col = self.run_grid.offset_of(self.state.grid)
        indices = np.full(fine.shape, OUTSIDE, np.uint8)
        top, left = max(fine.row, row), max(fine.col, col)
        bottom = min(fine.row + fine.height, row + self.state.grid.n_lat, self.run_grid.n_lat)
        right = min(fine.col + fine.width, col + self.state.grid.n_lon, self.run_grid.n_lon)
        if bottom > top and right > left:
            codes = self.state.read(year, Box(top - row, left - col, bottom - top, right - left))[0]
            indices[Box(top, left, bottom - top, right - left).slices(origin=fine)] = HILDA.encode(
                codes
            )
        return indices


def block_fractions(indices: U8, block: int) -> F32:
    """Share of each class in the land cells of square blocks, shape (K, H, W); 0 without land.

    `indices` holds class indices, shape (H * b, W * b).
    """
    blocks_HbWb = indices.reshape(
        indices.shape[0] // block, block, indices.shape[1] // block, block
    )
    land_HW = (blocks_HbWb != OUTSIDE).sum(axis=(1, 3))
    counts_KHW = np.stack([(blocks_HbWb == k).sum(axis=(1, 3)) for k in range(len(HILDA))])
    fractions_KHW: F32 = (counts_KHW / np.maximum(land_HW, 1)).astype(np.float32)
    return fractions_KHW


def open_aggregated(config: AggregatedConfig, *, state: Source, grid: Grid) -> Source:
    """Fractions from a state source on the run grid, whose raster may be smaller than it.

    Raises ValueError where the two do not share a lattice or the blocks reach past the globe.
    """
    grid.offset_of(state.grid)
    block = config.block
    rules = (
        f"fractions of the land cells in blocks of {block} x {block} cells from the north-west "
        "corner of the run grid, "
        "smaller at its edges",
        "ocean, no data and cells beyond the state's raster do not count; blocks without land are "
        "0",
        f"aggregated from {state.name}",
    )
    return Aggregated(
        name="aggregated",
        about=ABOUT,
        grid=config.native_grid(grid),
        variables=VARIABLES,
        years=state.years,
        rules=rules,
        caveat=CAVEAT,
        files=state.files,
        state=state,
        run_grid=grid,
        block=block,
    )
