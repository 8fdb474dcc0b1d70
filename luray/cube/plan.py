"""The plan of a build: which pieces of which sources are written, and by which tasks.

A *piece* is one shard of one array: a tile of a year of the state, a block of a year of a forcing
source, a block of a static one. A year that holds the values of another is not stored again. The
land mask of a tile follows from its finished maps, so its pieces come last.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, product
from typing import Any, NamedTuple

from luray.core.grid import Grid
from luray.core.legend_files import NAMED
from luray.core.tiling import Box, Tiling
from luray.core.time_steps import YEARLY, TimeSteps
from luray.cube.input_files import InputFile, identify_all
from luray.cube.schema import NativeLayout, native_layout
from luray.sources.base import Source
from luray.sources.coverage import coverages, covered, cut
from luray.storage.receipts import Ledger, fingerprint_of

FORMAT = 2
"""Version of the cube's layout; it enters the fingerprint."""
PIECES_PER_TASK = 8
"""Pieces that one task writes, or more where they lie in the same rows of the same year of a
source.
"""


class Piece(NamedTuple):
    """One whole shard to write, of the values of a source or of the land mask."""

    source: str
    year: int | None
    """None for a static source and for the land mask."""
    box: Box
    """Cells of the array."""
    land: bool = False

    @property
    def key(self) -> str:
        """Name of the receipt, such as luh2/1950/0.0."""
        part = "static" if self.year is None else str(self.year)
        if self.land:
            part = "land"
        return f"{self.source}/{part}/{self.box.row}.{self.box.col}"


class BuildPlan(NamedTuple):
    """The pieces, sources and files of a build, decided before it starts."""

    url: str
    grid: Grid
    tiling: Tiling
    sources: tuple[Source, ...]
    """The state first."""
    fingerprint: str
    files: dict[str, dict[str, InputFile]]
    """Files of each source by their place."""
    scenarios: tuple[str, ...] = ()
    """Names of several scenarios; what the later ones have beside the first are sources of their
    own.
    """
    time: TimeSteps = YEARLY
    """Time steps of the maps."""

    @property
    def ledger(self) -> Ledger:
        """Receipts of this build."""
        return Ledger(self.url, self.fingerprint)

    @property
    def state(self) -> Source:
        """The source of the maps."""
        return self.sources[0]

    def source(self, piece: Piece) -> Source:
        """Return the source of a piece."""
        return next(source for source in self.sources if source.name == piece.source)

    def layout(self, source: Source) -> NativeLayout:
        """Return chunks and shards of a forcing or static source."""
        native, _ = cut(source.grid, self.grid)
        window_degrees = self.tiling.window * self.grid.step
        return native_layout(native, source.variables, window=window_degrees)

    def values(self, source: Source) -> list[Piece]:
        """Return the pieces of a source's values."""
        if source is self.state:
            boxes = self._tile_boxes()
        else:
            native, _ = cut(source.grid, self.grid)
            boxes = _blocks(native.shape, self.layout(source).shard)
        years: Sequence[int | None] = stored_years(source) or (None,)
        return [Piece(source.name, year, box) for year, box in product(years, boxes)]

    def land(self) -> list[Piece]:
        """Return the pieces of the land mask, which need all maps."""
        return [Piece(self.state.name, None, box, land=True) for box in self._tile_boxes()]

    def pieces(self) -> tuple[list[Piece], list[Piece]]:
        """Return every piece, in two phases: the values, then the land mask of each tile."""
        values: list[Piece] = []
        for source in self.sources:
            values.extend(self.values(source))
        return values, self.land()

    def _tile_boxes(self) -> list[Box]:
        return _blocks(self.grid.shape, (self.tiling.tile, self.tiling.tile))


def batches(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of each task.

    Pieces in the same rows of a year are in one task: files are stored row by row, so one read of
    their rows serves them all.
    """
    batch: list[Piece] = []
    for _, band in groupby(pieces, key=lambda p: (p.source, p.year, p.box.row, p.land)):
        batch += band
        if len(batch) >= PIECES_PER_TASK:
            yield batch
            batch = []
    if batch:
        yield batch


def remaining(plan: BuildPlan, pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces without a receipt."""
    done = plan.ledger.done()
    return [piece for piece in pieces if piece.key not in done]


def stored_years(source: Source) -> tuple[int, ...]:
    """Return the years whose values are stored: all but those that hold the values of another."""
    return tuple(year for year in source.years if year not in source.held)


def _blocks(shape: tuple[int, int], size: tuple[int, int]) -> list[Box]:
    """Return boxes of at most `size` cells that cover a shape, cut at its edge, row by row."""
    n_rows, n_cols = shape
    height, width = size
    corners = product(range(0, n_rows, height), range(0, n_cols, width))
    return [
        Box(row, col, min(height, n_rows - row), min(width, n_cols - col)) for row, col in corners
    ]


def group_of(source: Source) -> str:
    """Return the group of the cube that holds a source."""
    return "state" if source.role == "state" else f"{source.role}/{source.name}"


def plan_build(
    url: str,
    *,
    grid: Grid,
    tiling: Tiling,
    sources: Iterable[Source],
    scenarios: tuple[str, ...] = (),
    time: TimeSteps = YEARLY,
) -> BuildPlan:
    """Check that the sources make a cube, and identify their files.

    Parameters
    ----------
    url : str
        Where the cube is to be; nothing is written yet.
    grid : Grid
        The run grid, that of the maps.
    tiling : Tiling
        Its tiles are the shards of the state, its windows the measure of native chunks.
    sources : iterable of Source
        Exactly one state; with several scenarios those of the first, and the `Source.part` of each
        other.
    scenarios : tuple of str
        Names of several scenarios, empty for one.
    time : TimeSteps
        Time steps of the maps.

    Raises
    ------
    ValueError
        Unless there is exactly one state source on the run's lattice, names are unique, and every
        native grid reaches the run grid as far as its source demands.
    """
    ordered = sorted(sources, key=lambda source: source.role != "state")
    states = [source.name for source in ordered if source.role == "state"]
    if len(states) != 1:
        raise ValueError(
            f"a run needs exactly one state source, found {states or 'none'}; correct [[sources]]"
        )
    names = [source.name for source in ordered]
    if len(set(names)) != len(names):
        raise ValueError(f"source names must be unique, found {names}; set a name in [[sources]]")
    grid.offset_of(ordered[0].grid)  # raises where the maps are not on the lattice of the run
    if ordered[0].per_year != time.per_year:
        raise ValueError(
            f"{names[0]} has {ordered[0].per_year} maps a year, the target {time.per_year} "
            f"(target.time_step = {time.interval!r}); correct target.time_step, or take another "
            "source of the maps"
        )

    reach = zip(ordered, coverages(ordered, grid), strict=True)
    complete = tuple(covered(source, coverage) for source, coverage in reach)
    files = identify_all(complete)

    # All that the bytes of the cube depend on: with another fingerprint a build begins anew.
    described = [_described(source, files[source.name].values()) for source in complete]

    # Later versions added these. They enter only where they are used, so that cubes of earlier
    # versions keep their fingerprint.
    optional: list[Any] = [scenarios] if scenarios else []
    legend = complete[0].legend
    if NAMED.get(legend.name) != legend:
        optional.append(legend.to_attributes())
    if time != YEARLY:
        optional.append(time.interval)
    fingerprint = fingerprint_of(
        FORMAT, asdict(grid), tiling.tile, tiling.window, described, *optional
    )
    return BuildPlan(url, grid, tiling, complete, fingerprint, files, scenarios, time)


def _described(source: Source, files: Iterable[InputFile]) -> list[Any]:
    """Return what the values of a source depend on."""
    return [
        source.name,
        source.years,
        sorted(source.held.items()),
        source.rules,
        asdict(source.grid),
        [asdict(variable) for variable in source.variables],
        sorted(file.identity for file in files),
    ]
