"""Writing a predictor cube piece by piece: each a whole shard and its receipt, resumable.

The order of writes makes a cube safe to read and a build safe to interrupt: empty arrays and the
fingerprint of the build (`create`), then shard and receipt of every piece (`write_piece`), values
before the land mask, then descriptions and consolidated metadata (`luray.cube.finish`). A cube
opens only after the last.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.core.crash_points import crash_point
from luray.core.legend import OUTSIDE, Legend
from luray.core.tiling import Box
from luray.core.types import U8, Bool
from luray.cube.plan import BuildPlan, Piece, group_of, stored_years
from luray.cube.schema import (
    LAND,
    OCEAN,
    WITHOUT_DATA,
    create_native,
    create_state,
    state_path,
)
from luray.sources.base import Source
from luray.sources.coverage import cut, read_map, read_part
from luray.sources.presence import Presence, compare_years, present
from luray.storage.lease import RequireLease, no_lease
from luray.storage.objects import accessing
from luray.storage.receipts import digest

ORIGIN = Box(0, 0, 0, 0)
"""The first cell of an array."""


def create(plan: BuildPlan) -> None:
    """Create the arrays of a cube, empty, unless this very build has begun already."""
    with accessing(plan.url):
        if _building(plan.url) != plan.fingerprint:
            # Receipts go first: none may ever stand for a shard that is gone.
            plan.ledger.forget()
            _create(plan)


def _building(url: str) -> Any:
    """Return the fingerprint of the build that a store belongs to.

    None where there is no store, or one whose creation was interrupted.
    """
    try:
        return opened(url).attrs.get("building")
    except FileNotFoundError:
        return None


def _create(plan: BuildPlan) -> None:
    root = zarr.open_group(plan.url, mode="w", zarr_format=3)
    create_state(
        root,
        grid=plan.grid,
        years=plan.state.years,
        tile=plan.tiling.tile,
        legend=plan.state.legend,
        time=plan.time,
    )
    for source in plan.sources[1:]:
        native, _ = cut(source.grid, plan.grid)
        create_native(
            root,
            source.name,
            role=source.role,
            grid=native,
            variables=source.variables,
            years=stored_years(source) or None,
            layout=plan.layout(source),
            per_year=source.per_year,
        )
    # The mark of a build that has begun is written when all arrays are there.
    root.attrs["building"] = plan.fingerprint


def write_piece(plan: BuildPlan, piece: Piece, *, require_lease: RequireLease = no_lease) -> None:
    """Read one piece from its source, write its shard, then its receipt.

    A task may run twice: the same piece writes the same bytes.

    Parameters
    ----------
    plan : BuildPlan
        The cube.
    piece : Piece
        What is written of it.
    require_lease : callable, optional
        Called right before the shard is written.

    Raises
    ------
    HeldError
        When another job has taken the cube: it may be building one of other inputs.
    ValueError
        What the source raises, naming the file and what is wrong with it.
    """
    source = plan.source(piece)
    presence = Presence()
    values: NDArray[Any]
    if piece.land:
        values, presence = _land(plan.url, source.years, piece.box, source.legend)
    else:
        values = read_piece(plan, piece)
        if piece.year is not None and source is not plan.state:
            n_present = int(present(values, source.variables[0].categories).sum())
            presence = Presence({piece.year: n_present})

    # All variables, and the cells of the piece; the index of the year comes before them.
    all_variables = [slice(0, n) for n in values.shape[:-2]]
    index: tuple[slice, ...] = (*all_variables, *piece.box.slices(origin=ORIGIN))
    if piece.year is not None:
        step = stored_years(source).index(piece.year)
        values = values[None]
        index = (slice(step, step + 1), *index)
    path = _array_of(plan, source, piece)
    with accessing(f"{plan.url}/{path}"):
        array: Any = opened(plan.url)[path]
        crash_point("before shard")
        require_lease()
        array[index] = values

    # The receipt comes after the shard: interrupted between the two, the piece is written again.
    crash_point("between shard and receipt")
    plan.ledger.record(piece.key, digest(values), facts=asdict(presence))


def _array_of(plan: BuildPlan, source: Source, piece: Piece) -> str:
    """Return the path of the array that a piece is written to."""
    if piece.land:
        return "state/land"
    return state_path(source.legend) if source is plan.state else f"{group_of(source)}/values"


def read_piece(plan: BuildPlan, piece: Piece) -> NDArray[Any]:
    """Return the values of a piece as they are stored.

    Returns
    -------
    array
        Codes (height, width) of a map; (variable, height, width) of the others.

    Raises
    ------
    InputError
        Naming the file and what is wrong with it.
    """
    source = plan.source(piece)
    if source is plan.state:
        assert piece.year is not None
        return read_map(source, piece.year, plan.grid, piece.box)
    # The array holds the part of the native grid under the run.
    _, offset = cut(source.grid, plan.grid)
    box = piece.box._replace(row=piece.box.row + offset.row, col=piece.box.col + offset.col)
    return read_part(source, piece.year, box)


def _land(url: str, years: Sequence[int], box: Box, legend: Legend) -> tuple[U8, Presence]:
    """Return the land mask of a box, and how many cells have a class in which year.

    Values may lack at times, as under clouds: where there is one in any year, there is land.
    Memory holds two maps of a tile.
    """
    ocean_HW = np.zeros(box.shape, np.bool_)
    """Cells that are ocean in some year."""
    ever_HW = np.zeros(box.shape, np.bool_)
    """Cells that have a class or value in some year."""

    def classed() -> Iterator[tuple[int, Bool]]:
        maps: Any = opened(url)[state_path(legend)]
        cells = box.slices(origin=ORIGIN)
        for step, year in enumerate(years):
            codes_HW = maps[(step, *cells)]
            np.logical_or(ocean_HW, codes_HW == legend.ocean, out=ocean_HW)
            classed_HW = legend.encode(codes_HW) != OUTSIDE
            np.logical_or(ever_HW, classed_HW, out=ever_HW)
            yield year, classed_HW

    # Ocean in some year wins over missing data, and a class in every year over both.
    with accessing(url):
        land_HW, presence = compare_years(classed())
    mask_HW = np.where(ocean_HW, np.uint8(OCEAN), np.uint8(WITHOUT_DATA))
    mask_HW[land_HW if legend.scale is None else ever_HW] = LAND
    return mask_HW, presence


def opened(url: str) -> zarr.Group:
    """Open a cube that is being built; its metadata is not consolidated yet."""
    return zarr.open_group(url, mode="r+", zarr_format=3, use_consolidated=False)
