"""Coarse class fractions aggregated from the fine maps: a stand-in for LUH2 where none is at hand.

They agree with the target perfectly, as no scenario would: results that rest on them are an upper
bound, and say so. `luray.sources.distortion` makes them worse on purpose, which is said, too.

Shapes: K classes, H W blocks, b fine cells of a block's side.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.tiling import Box, pieces_on_grid
from luray.core.types import F64, I64, U8
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    Request,
    Source,
    WithoutFilesConfig,
    held_years,
)
from luray.sources.distortion import (
    DistortConfig,
    biased,
    fixed_where_drawn,
    pooled_shares,
    scrambled,
)
from luray.sources.luh2 import STATES
from luray.sources.state_maps import classes_on_run_grid

AGGREGATED = "forcing: class fractions aggregated from the target maps"

CAVEAT = f"{AGGREGATED}, an upper bound"
"""Sentence in every report on fractions that are not distorted."""

ABOUT = About(
    title="Coarse class fractions aggregated from the state source",
    doi="",
    licence="as the state source",
    url="",
    files=("those of the state source",),
    values="no files of its own",
    ranges={"": "0..1"},
)

LUH2_GROUPS: dict[int, tuple[int, ...]] = {}
"""Group of each HILDA+ code that LUH2 can tell apart; water is in none."""
for _state in STATES.values():
    LUH2_GROUPS.update(dict.fromkeys(_state.codes, _state.codes))


def fraction_variables(legend: Legend) -> tuple[Variable, ...]:
    """Return the variables of a legend's fractions, one a class, in the order of the legend.

    Classes of HILDA+ are grouped as LUH2 tells them apart, so that this forcing demands of a map
    what LUH2 would. A class of another legend is a group by itself; water is in none.

    Examples
    --------
    >>> [variable.name for variable in fraction_variables(HILDA)][:2]
    ['urban', 'cropland']
    """
    variables = []
    for land_class in legend.classes:
        group: tuple[int, ...] = ()
        if legend == HILDA:
            group = LUH2_GROUPS.get(land_class.code, ())
        elif land_class.code != legend.water:
            group = (land_class.code,)
        variables.append(
            Variable(
                name=land_class.name,
                role="forcing",
                units="1",
                long_name=f"fraction of the block's land: {land_class.name}",
                classes=group,
                share_of="land",
            )
        )
    return tuple(variables)


class AggregatedConfig(WithoutFilesConfig):
    """Size of a block, and how its fractions are distorted.

    A `SourceConfig` without files: what it reads are the maps of the state source.
    """

    about: ClassVar[About] = ABOUT
    label: ClassVar[str] = "aggregated"
    is_derived: ClassVar[bool] = True
    wanted: ClassVar[str] = "no files of its own, made from the maps"

    kind: Literal["aggregated"]
    block: int = Field(ge=2)
    """Side of a block in fine cells: 25 makes 0.25 degrees of 0.01."""
    distort: DistortConfig = DistortConfig()
    """`[sources.distort]`: what keeps the fractions from agreeing with the maps."""

    @property
    def caveat(self) -> str:
        """Sentence that every report on these fractions must repeat."""
        words = self.distort.words
        return f"{AGGREGATED}, distorted: {', '.join(words)}" if words else CAVEAT

    @property
    def declared(self) -> tuple[Variable, ...]:
        """A fraction a class of HILDA+: the state's own legend is known once that is open."""
        return fraction_variables(HILDA)

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return a fraction for each class of a run's target."""
        return fraction_variables(legend)

    def native_grid(self, run_grid: Grid) -> Grid:
        """Return the blocks from the north-west corner of the run grid.

        The last blocks may reach past the run grid, by cells that do not count.
        """
        n_rows = ceil_div(run_grid.n_lat, self.block)
        n_columns = ceil_div(run_grid.n_lon, self.block)
        step = run_grid.step * self.block
        return Grid(run_grid.north, run_grid.west, step, n_rows, n_columns)

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year: each map has fractions of its own, unless all have those of one."""
        return year if self.distort.changing_blocks else self.distort.fixed_year

    def open(self, request: Request) -> Source:
        """Return the source; see `open_aggregated`.

        Raises ValueError where the request lacks the state source or the run grid.
        """
        if request.state is None or request.grid is None:
            raise ValueError(
                "source aggregated is made from the maps of the state source on the run grid, "
                "which are not open; correct the state source first"
            )
        return open_aggregated(self, state=request.state, grid=request.grid)


@dataclass(frozen=True, kw_only=True)
class Aggregated(Described):
    """Fraction of each class in the land cells of square blocks.

    Blocks are counted from the north-west corner of the run grid.
    """

    state: Source
    run_grid: Grid
    block: int
    distort: DistortConfig

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the fractions of one year, shape (K, H, W), float32; see `Source.read`."""
        assert year is not None
        fractions_KHW = self._fractions(year, box)
        if self.distort.changing_blocks < 1:
            assert self.distort.fixed_year is not None
            fixed_KHW = self._fractions(self.distort.fixed_year, box)
            fractions_KHW = fixed_where_drawn(fractions_KHW, fixed_KHW, self.distort, box)
        return fractions_KHW.astype(np.float32)

    def _fractions(self, year: int, box: Box) -> F64:
        """Fractions of one year, every block changing."""
        # Counts first, shares last: maps of several years are taken together cell by cell.
        around = box.expand(self.distort.margin)
        counts_KHW = np.zeros((len(self.variables), *around.shape), np.int64)
        for read_year in self.distort.years_read(year, self.years):
            self._add_counts(counts_KHW, read_year, around)

        fractions_KHW = pooled_shares(counts_KHW, side=self.distort.smooth_space)
        if self.distort.scramble:
            fractions_KHW = scrambled(fractions_KHW, self.distort, box)
        if self.distort.bias:
            groups = [variable.classes for variable in self.variables]
            fractions_KHW = biased(fractions_KHW, self.distort, box, groups=groups)
        return fractions_KHW

    def _add_counts(self, counts_KHW: I64, year: int, box: Box) -> None:
        """Add the land cells of each class in blocks, of which some may lie beyond the grid."""
        for piece in pieces_on_grid(box, self.grid.shape, periodic=self.grid.periodic):
            rows, columns = piece.in_box.slices(origin=box)
            fine_box = Box(*(self.block * cells for cells in piece.on_grid))
            classes = classes_on_run_grid(self.state, self.run_grid, year, fine_box)
            counts_KHW[:, rows, columns] += block_counts(
                classes, self.block, n_classes=len(counts_KHW)
            )


def block_counts(classes: U8, block: int, *, n_classes: int) -> I64:
    """Count the land cells of each class in square blocks.

    Parameters
    ----------
    classes : array of uint8, shape (H * b, W * b)
        Class indices, `OUTSIDE` where there is no land.
    block : int
        Side of a block in cells, b.
    n_classes : int
        Number of classes, K.

    Returns
    -------
    array of int64, shape (K, H, W)

    Examples
    --------
    >>> classes = np.array([[0, 1], [1, 1], [255, 255], [255, 0]], np.uint8)
    >>> block_counts(classes, 2, n_classes=2)[:, :, 0].tolist()
    [[1, 1], [3, 0]]
    """
    height = classes.shape[0] // block
    width = classes.shape[1] // block
    blocks_HbWb = classes.reshape(height, block, width, block)
    within_block = (1, 3)  # the axes of b
    counts = [(blocks_HbWb == k).sum(axis=within_block) for k in range(n_classes)]
    return np.stack(counts)


def open_aggregated(config: AggregatedConfig, *, state: Source, grid: Grid) -> Source:
    """Return the fractions of a state source on the run grid, whose raster may be smaller than it.

    Parameters
    ----------
    config : AggregatedConfig
        The size of a block, and the distortion.
    state : Source
        The open maps, whose legend names the classes.
    grid : Grid
        The run grid.

    Raises
    ------
    ValueError
        Where the maps and the run grid do not share a lattice, the blocks reach past the globe, or
        the distortion does not go with the maps.
    """
    grid.offset_of(state.grid)  # refuses another lattice
    distort = config.distort
    native = config.native_grid(grid)
    _check_distortion(distort, state, native)

    rules = [
        f"fractions of the land cells in blocks of {config.block} x {config.block} cells from the "
        "north-west corner of the run grid, smaller at its edges",
        "ocean, no data and cells beyond the state's raster do not count; "
        "blocks without land are 0",
        f"aggregated from {state.name}",
    ]
    if distort.words:
        rules.append(f"distorted, in this order: {', '.join(distort.words)}")

    # Years that are made of the same maps have the same fractions, which are stored once.
    if distort.changing_blocks:
        maps_of_year = {year: distort.years_read(year, state.years) for year in state.years}
    else:
        maps_of_year = dict.fromkeys(state.years, ())
    return Aggregated(
        name=config.label,
        about=ABOUT,
        grid=native,
        variables=fraction_variables(state.legend),
        years=state.years,
        rules=tuple(rules),
        caveat=config.caveat,
        files=state.files,
        held=held_years(maps_of_year),
        state=state,
        run_grid=grid,
        block=config.block,
        distort=distort,
    )


def _check_distortion(distort: DistortConfig, state: Source, native: Grid) -> None:
    """Raise ValueError where a distortion does not go with the maps or the grid of the blocks."""
    if distort.scramble and state.legend != HILDA:
        raise ValueError(
            "source aggregated: distort.scramble exchanges pasture (33) and unmanaged land (55, "
            f"66) of HILDA+, and the maps have the legend {state.legend.name}, of which no such "
            "pair is known; set distort.scramble = 0"
        )
    if distort.fixed_year is not None and distort.fixed_year not in state.years:
        raise ValueError(
            f"source aggregated: distort.fixed_year is {distort.fixed_year}, expected a year with "
            f"a map, {state.years[0]}-{state.years[-1]}; name one of the training"
        )
    if native.periodic and distort.smooth_space > native.n_lon:
        raise ValueError(
            f"source aggregated: distort.smooth_space is {distort.smooth_space} blocks, wider than "
            f"the {native.n_lon} columns around the globe; set a smaller odd number"
        )
