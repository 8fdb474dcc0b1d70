"""Building a predictor cube: source files to whole shards, each piece of work once, resumable.

A *piece* is one shard of one array: a tile of a year of the state, a year of a forcing source, a block of a static one.
The land mask of a tile follows from its finished maps. The cube opens only when everything has a receipt.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any, NamedTuple

import fsspec
import numpy as np
import zarr
from zarr.core.group import Group

from luray.cube.create import STATIC_SHARD, consolidate, create_native, create_state
from luray.cube.ledger import Ledger, digest, fingerprint_of
from luray.grid import Grid
from luray.schema import HILDA, OUTSIDE, Role
from luray.sources import Source
from luray.storage import is_local
from luray.windows import Box, Tiling

FORMAT = 1
ORIGIN = Box(0, 0, 0, 0)
"""The first cell of an array."""


class Piece(NamedTuple):
    """One whole shard to write: source, year (None for static) and cells of the array, or of the land mask."""

    source: str
    year: int | None
    box: Box
    land: bool = False

    @property
    def key(self) -> str:
        """Name of the receipt."""
        what = "land" if self.land else "static" if self.year is None else str(self.year)
        return f"{self.source}/{what}/{self.box.row}.{self.box.col}"


class BuildPlan(NamedTuple):
    """What a build reads and writes, decided before it starts."""

    url: str
    grid: Grid
    tile: int
    sources: tuple[Source, ...]
    fingerprint: str
    files: dict[str, dict[str, str]]

    @property
    def ledger(self) -> Ledger:
        """Receipts of this build."""
        return Ledger(self.url, self.fingerprint)

    def pieces(self) -> tuple[list[Piece], list[Piece]]:
        """Every piece, in two phases: the values, then the land mask of each tile."""
        state = self.sources[0]
        tiles = _blocks(self.grid.shape, self.tile)
        values = [Piece(state.name, year, box) for year in state.years for box in tiles]
        for source in self.sources[1:]:
            shape = cut(source.grid, self.grid)[0].shape
            values += [Piece(source.name, year, Box(0, 0, *shape)) for year in source.years] or [
                Piece(source.name, None, box) for box in _blocks(shape, STATIC_SHARD)]
        return values, [Piece(state.name, None, box, land=True) for box in tiles]


def _blocks(shape: tuple[int, int], size: int) -> list[Box]:
    """Boxes of `size` x `size` cells that cover a shape, cut at its edge."""
    return [Box(r, c, min(size, shape[0] - r), min(size, shape[1] - c))
            for r, c in product(range(0, shape[0], size), range(0, shape[1], size))]


def role_of(source: Source) -> Role:
    """The role of a source's variables."""
    return source.variables[0].role


def plan_build(url: str, *, grid: Grid, tiling: Tiling, sources: Iterable[Source]) -> BuildPlan:
    """Check that the sources make a cube, and hash their files.

    Raises ValueError unless there is exactly one state source on the run's lattice, names are unique and every native
    grid lies over the run grid.
    """
    ordered = tuple(sorted(sources, key=lambda s: role_of(s) != "state"))
    states = [s.name for s in ordered if role_of(s) == "state"]
    if len(states) != 1:
        raise ValueError(f"a run needs exactly one state source, found {states or 'none'}; correct [[sources]]")
    names = [s.name for s in ordered]
    if len(set(names)) != len(names):
        raise ValueError(f"source names must be unique, found {names}; set a name in [[sources]]")
    row, col = grid.offset_of(ordered[0].grid)
    maps = ordered[0].grid
    if not (-maps.n_lat < row < grid.n_lat and -maps.n_lon < col < grid.n_lon):
        raise ValueError(f"{ordered[0].name}: the maps on {maps} do not overlap the run grid {grid}; correct [grid]")
    for source in ordered[1:]:
        cut(source.grid, grid)
    files = {s.name: {path: identity(path) for path in s.files} for s in ordered}
    parts = [[s.name, s.years, s.rules, asdict(s.grid), [asdict(v) for v in s.variables],
              sorted(files[s.name].values())] for s in ordered]
    return BuildPlan(url, grid, tiling.tile, ordered, fingerprint_of(FORMAT, asdict(grid), tiling.tile, parts), files)


def identity(path: str) -> str:
    """What tells a file from another: sha256 of a local one, ETag (or size and time) of a remote one."""
    if is_local(path):
        with fsspec.open(path, "rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    fs, name = fsspec.core.url_to_fs(path)
    info = fs.info(name)
    return str(info.get("ETag") or info.get("etag") or f"{info.get('size')}:{info.get('mtime')}")


def cut(native: Grid, run: Grid) -> tuple[Grid, Box]:
    """The part of a native grid under the run grid, with one cell around it; its box in the native grid.

    Where the run crosses the edge of a global native grid, all of its columns are kept.
    Raises ValueError if the two do not overlap.
    """
    top = max(0, int(np.floor((native.north - run.north) / native.step)) - 1)
    bottom = min(native.n_lat, int(np.ceil((native.north - run.south) / native.step)) + 1)
    left = int(np.floor((run.west - native.west) / native.step)) - 1
    right = int(np.ceil((run.east - native.west) / native.step)) + 1
    if native.periodic and (left < 0 or right > native.n_lon):
        left, right = 0, native.n_lon
    left, right = max(0, left), min(native.n_lon, right)
    if bottom <= top or right <= left:
        raise ValueError(f"native grid {native} does not overlap the run grid {run}; check the file's georeference")
    box = Box(top, left, bottom - top, right - left)
    return Grid(native.north - top * native.step, native.west + left * native.step, native.step, *box.shape), box


def create(plan: BuildPlan) -> None:
    """Create the arrays of a cube, empty, unless this very build has begun already."""
    try:
        if zarr.open_group(plan.url, mode="r").attrs.get("building") == plan.fingerprint:
            return
    except FileNotFoundError:
        pass
    root = zarr.open_group(plan.url, mode="w", zarr_format=3)
    create_state(root, grid=plan.grid, years=plan.sources[0].years, tile=plan.tile)
    for source in plan.sources[1:]:
        native, _ = cut(source.grid, plan.grid)
        create_native(root, source.name, role=role_of(source), grid=native, variables=source.variables,
                      years=source.years or None)
    root.attrs["building"] = plan.fingerprint


def write_piece(plan: BuildPlan, piece: Piece) -> None:
    """Read one piece from its source, write its shard, then its receipt.

    Raises what the source raises: ValueError naming the file and what is wrong with it.
    """
    root = zarr.open_group(plan.url, mode="r+", use_consolidated=False)
    source = next(s for s in plan.sources if s.name == piece.source)
    if piece.land:
        values, name, index = _land(root, piece.box), "state/land", piece.box.slices(origin=ORIGIN)
        root[name][index] = values  # type: ignore[index]
    elif role_of(source) == "state":
        assert piece.year is not None
        values = _observed(plan.grid, source, piece.year, piece.box)
        year = source.years.index(piece.year)
        at = slice(year, year + 1), *piece.box.slices(origin=ORIGIN)
        root["state/land_use"][at] = values[None]  # type: ignore[index]
    else:
        _, offset = cut(source.grid, plan.grid)
        box = piece.box._replace(row=piece.box.row + offset.row, col=piece.box.col + offset.col)
        values = source.read(piece.year, box)
        array: Any = root[f"{role_of(source)}/{source.name}/values"]
        if piece.year is None:
            array[(slice(None), *piece.box.slices(origin=ORIGIN))] = values
        else:
            year = source.years.index(piece.year)
            array[(slice(year, year + 1), slice(None), *piece.box.slices(origin=ORIGIN))] = values[None]
    plan.ledger.record(piece.key, digest(values))


def finish(plan: BuildPlan) -> None:
    """Describe the sources in the cube's attributes and consolidate: from here on it opens."""
    root = zarr.open_group(plan.url, mode="r+", use_consolidated=False)
    described: dict[str, Any] = {}
    for s in plan.sources:
        native = s.grid if role_of(s) == "state" else cut(s.grid, plan.grid)[0]
        described[s.name] = {
            "role": role_of(s), "title": s.about.title, "doi": s.about.doi, "licence": s.about.licence,
            "rules": s.rules, "caveat": s.caveat, "years": s.years, "grid": asdict(native), "files": plan.files[s.name],
            "variables": [asdict(v) for v in s.variables]}
    root.attrs["luray"] = {"format": FORMAT, "grid": asdict(plan.grid), "legend": HILDA.name, "sources": described,
                           "fingerprint": plan.fingerprint}
    consolidate(plan.url)


def _observed(grid: Grid, source: Source, year: int, box: Box) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Published codes of a year over a box of the run grid, ocean where the maps do not reach."""
    row, col = grid.offset_of(source.grid)
    out = np.full(box.shape, HILDA.ocean, np.uint8)
    top, bottom = max(box.row, row), min(box.row + box.height, row + source.grid.n_lat)
    left, right = max(box.col, col), min(box.col + box.width, col + source.grid.n_lon)
    if top < bottom and left < right:
        codes = source.read(year, Box(top - row, left - col, bottom - top, right - left))[0]
        out[top - box.row : bottom - box.row, left - box.col : right - box.col] = HILDA.decode(
            HILDA.encode(codes, where=f"{source.name} {year}"))
    return out


def _land(root: Group, box: Box) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Cells with a class in every year, year by year, so that memory holds two maps of a tile."""
    maps: Any = root["state/land_use"]
    land = np.full(box.shape, True)
    for year in range(maps.shape[0]):
        land &= HILDA.encode(maps[(year, *box.slices(origin=ORIGIN))]) != OUTSIDE
    return land.astype(np.uint8)


def remaining(plan: BuildPlan, pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces without a receipt."""
    done = plan.ledger.done()
    return [p for p in pieces if p.key not in done]
