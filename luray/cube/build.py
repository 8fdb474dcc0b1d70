"""Building a predictor cube: source files to whole shards, each piece of work once, resumable.

A *piece* is one shard of one array: a tile of a year of the state, a block of a year of a forcing
source, a block of a static one. A year that holds the values of another is not stored again. The
land mask of a tile follows from its finished maps. The cube opens only when everything has a
receipt.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.core.group import Group

from luray.core.grid import Grid
from luray.core.legend import HILDA, OUTSIDE
from luray.core.tiling import Box, Tile, Tiling
from luray.core.types import U8, Role
from luray.cube.land import note_tiles
from luray.cube.schema import NativeLayout, create_native, create_state, native_layout
from luray.sources.base import Source
from luray.sources.coverage import coverages, covered, cut, read_map, read_part
from luray.sources.presence import Presence, compare_years, presence_rule, present
from luray.storage.arrays import consolidate
from luray.storage.objects import accessing, filesystem
from luray.storage.places import is_local, public
from luray.storage.receipts import Ledger, digest, fingerprint_of
from luray.storage.references import is_references, targets
from luray.storage.zarr_inputs import is_store

FORMAT = 2
ORIGIN = Box(0, 0, 0, 0)
"""The first cell of an array."""
RECEIPTS_AT_ONCE = 16
"""Receipts read beside each other: each waits for the store, not for the processor."""
PIECES_AT_ONCE = 8
"""Pieces that one task writes, or more where they lie in the same rows of the same year of a
source.
"""


class Piece(NamedTuple):
    """One whole shard to write: source, year (None for static) and cells of the array, or of the
    land mask.
    """

    source: str
    year: int | None
    box: Box
    land: bool = False

    @property
    def key(self) -> str:
        """Name of the receipt."""
        what = "land" if self.land else "static" if self.year is None else str(self.year)
        return f"{self.source}/{what}/{self.box.row}.{self.box.col}"


class File(NamedTuple):
    """An input file: what tells it from another, and its size in bytes."""

    identity: str
    size: int


class BuildPlan(NamedTuple):
    """What a build reads and writes, decided before it starts."""

    url: str
    grid: Grid
    tiling: Tiling
    sources: tuple[Source, ...]
    """The state first."""
    fingerprint: str
    files: dict[str, dict[str, File]]
    """Files of each source by their place."""
    scenarios: tuple[str, ...] = ()
    """Names of several scenarios: what the later ones have beside the first are sources of their
    own.
    """

    @property
    def ledger(self) -> Ledger:
        """Receipts of this build."""
        return Ledger(self.url, self.fingerprint)

    @property
    def state(self) -> Source:
        """The source of the maps."""
        return self.sources[0]

    def source(self, piece: Piece) -> Source:
        """The source of a piece."""
        return next(s for s in self.sources if s.name == piece.source)

    def layout(self, source: Source) -> NativeLayout:
        """Chunks and shards of a forcing or static source."""
        return native_layout(
            cut(source.grid, self.grid)[0],
            source.variables,
            window=self.tiling.window * self.grid.step,
        )

    def values(self, source: Source) -> list[Piece]:
        """The pieces of a source's values."""
        if source is self.state:
            boxes = _blocks(self.grid.shape, (self.tiling.tile, self.tiling.tile))
        else:
            boxes = _blocks(cut(source.grid, self.grid)[0].shape, self.layout(source).shard)
        return [
            Piece(source.name, year, box)
            for year in stored_years(source) or (None,)
            for box in boxes
        ]

    def land(self) -> list[Piece]:
        """The pieces of the land mask, which need all maps."""
        boxes = _blocks(self.grid.shape, (self.tiling.tile, self.tiling.tile))
        return [Piece(self.state.name, None, box, land=True) for box in boxes]

    def pieces(self) -> tuple[list[Piece], list[Piece]]:
        """Every piece, in two phases: the values, then the land mask of each tile."""
        return [piece for source in self.sources for piece in self.values(source)], self.land()


def batches(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces that one task writes: those in the same rows of a year together, since files are
    stored row by row.
    """
    batch: list[Piece] = []
    for _, band in groupby(pieces, key=lambda p: (p.source, p.year, p.box.row, p.land)):
        batch += band
        if len(batch) >= PIECES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def stored_years(source: Source) -> tuple[int, ...]:
    """Years whose values are stored, ascending: all but those that hold the values of another."""
    return tuple(year for year in source.years if year not in source.held)


def _blocks(shape: tuple[int, int], size: tuple[int, int]) -> list[Box]:
    """Boxes of at most `size` cells that cover a shape, cut at its edge, row by row."""
    return [
        Box(r, c, min(size[0], shape[0] - r), min(size[1], shape[1] - c))
        for r, c in product(range(0, shape[0], size[0]), range(0, shape[1], size[1]))
    ]


def role_of(source: Source) -> Role:
    """The role of a source's variables."""
    return source.variables[0].role


def group_of(source: Source) -> str:
    """Group of the cube that holds a source."""
    role = role_of(source)
    return "state" if role == "state" else f"{role}/{source.name}"


def plan_build(
    url: str,
    *,
    grid: Grid,
    tiling: Tiling,
    sources: Iterable[Source],
    scenarios: tuple[str, ...] = (),
) -> BuildPlan:
    """Check that the sources make a cube, and hash their files.

    With several `scenarios` the sources are those of the first, and the `Source.part` of each
    other.

    Raises ValueError unless there is exactly one state source on the run's lattice, names are
    unique and every native grid lies over the run grid.
    """
    ordered = sorted(sources, key=lambda s: role_of(s) != "state")
    states = [s.name for s in ordered if role_of(s) == "state"]
    if len(states) != 1:
        raise ValueError(
            f"a run needs exactly one state source, found {states or 'none'}; correct [[sources]]"
        )
    names = [s.name for s in ordered]
    if len(set(names)) != len(names):
        raise ValueError(f"source names must be unique, found {names}; set a name in [[sources]]")
    grid.offset_of(ordered[0].grid)
    reach = zip(ordered, coverages(ordered, grid), strict=True)
    taken = tuple(covered(source, coverage) for source, coverage in reach)
    files = _identified(taken)
    parts = [
        [
            s.name,
            s.years,
            sorted(s.held.items()),
            s.rules,
            asdict(s.grid),
            [asdict(v) for v in s.variables],
            sorted(file.identity for file in files[s.name].values()),
        ]
        for s in taken
    ]
    fingerprint = fingerprint_of(
        FORMAT, asdict(grid), tiling.tile, tiling.window, parts, *([scenarios] if scenarios else ())
    )
    return BuildPlan(url, grid, tiling, taken, fingerprint, files, scenarios)


def _identified(sources: Sequence[Source]) -> dict[str, dict[str, File]]:
    """Every file of every source, each looked at once; hashing is disk and processor, so several at
    a time.
    """
    places = list(dict.fromkeys(place for s in sources for place in s.files))
    with ThreadPoolExecutor() as pool:
        known = dict(zip(places, pool.map(identify, places), strict=True))
    return {s.name: {place: known[place] for place in s.files} for s in sources}


def identify(place: str) -> File:
    """What tells a file from another: sha256 of a local one, ETag (or size and time) of a remote
    one; and its size.

    References are known by themselves and the files behind them, a Zarr store by all of its
    objects.
    """
    if is_references(place):
        return _together([_below(place), *map(identify, targets(place))])
    if is_store(place):
        return _below(place)
    fs, name = filesystem(place)
    return _identity(fs, name, fs.info(name), local=is_local(place))


def _below(place: str) -> File:
    """Every object below a place as one, or the object at it."""
    fs, name = filesystem(place)
    return _together(
        _identity(fs, path, info, local=is_local(place))
        for path, info in sorted(fs.find(name, detail=True).items())
    )


def _identity(fs: Any, path: str, info: Mapping[str, Any], *, local: bool) -> File:
    size = int(info.get("size") or 0)
    if local:
        with fs.open(path, "rb") as file:
            return File("sha256:" + hashlib.file_digest(file, "sha256").hexdigest(), size)
    return File(str(info.get("ETag") or info.get("etag") or f"{size}:{info.get('mtime')}"), size)


def _together(files: Iterable[File]) -> File:
    held = list(files)
    return File(
        f"of {len(held)} objects: {fingerprint_of([file.identity for file in held])}",
        sum(file.size for file in held),
    )


def create(plan: BuildPlan) -> None:
    """Create the arrays of a cube, empty, unless this very build has begun already."""
    with accessing(plan.url):
        if _building(plan.url) != plan.fingerprint:
            plan.ledger.forget()
            _create(plan)


def _building(url: str) -> Any:
    """Fingerprint of the build that a store belongs to, None where there is none or its creation
    was interrupted.
    """
    try:
        return _opened(url).attrs.get("building")
    except FileNotFoundError:
        return None


def _create(plan: BuildPlan) -> None:
    root = zarr.open_group(plan.url, mode="w", zarr_format=3)
    create_state(root, grid=plan.grid, years=plan.state.years, tile=plan.tiling.tile)
    for source in plan.sources[1:]:
        native, _ = cut(source.grid, plan.grid)
        create_native(
            root,
            source.name,
            role=role_of(source),
            grid=native,
            variables=source.variables,
            years=stored_years(source) or None,
            layout=plan.layout(source),
        )
    root.attrs["building"] = plan.fingerprint


def write_piece(plan: BuildPlan, piece: Piece) -> None:
    """Read one piece from its source, write its shard, then its receipt.

    Raises what the source raises: ValueError naming the file and what is wrong with it.
    """
    source = plan.source(piece)
    presence = Presence()
    if piece.land:
        values, presence = _land(plan.url, source.years, piece.box)
    else:
        values = read_piece(plan, piece)
        if piece.year is not None and source is not plan.state:
            there = present(values, source.variables[0].categories)
            presence = Presence({piece.year: int(there.sum())})
    name = "land" if piece.land else "land_use" if source is plan.state else "values"
    index = (*(slice(0, n) for n in values.shape[:-2]), *piece.box.slices(origin=ORIGIN))
    if piece.year is not None:
        step = stored_years(source).index(piece.year)
        values, index = values[None], (slice(step, step + 1), *index)
    with accessing(plan.url):
        _opened(plan.url)[f"{group_of(source)}/{name}"][index] = values  # type: ignore[index]
    plan.ledger.record(piece.key, digest(values), facts=asdict(presence))


def read_piece(plan: BuildPlan, piece: Piece) -> np.ndarray[Any, Any]:
    """Values of a piece as they are stored: codes (height, width) of a map, (variable, height,
    width) of the others.

    Raises InputError naming the file and what is wrong with it.
    """
    source = plan.source(piece)
    if source is plan.state:
        assert piece.year is not None
        return read_map(source, piece.year, plan.grid, piece.box)
    _, offset = cut(source.grid, plan.grid)
    box = piece.box._replace(row=piece.box.row + offset.row, col=piece.box.col + offset.col)
    return read_part(source, piece.year, box)


def finish(plan: BuildPlan) -> None:
    """Note the tiles with land, describe the sources and consolidate: from here on the cube opens.

    Raises ValueError naming the years of a source that lack more than `Source.max_missing` of what
    others have.
    """
    gaps = {source.name: gap_rules(plan, source) for source in plan.sources}
    with accessing(plan.url):
        root = _opened(plan.url)
        note_tiles(root["state/land"], _with_land(plan))
        _describe(plan, root, gaps)
        consolidate(plan.url)


def gap_rules(plan: BuildPlan, source: Source) -> tuple[str, ...]:
    """What the years of a source lack, in words, from the receipts of its pieces."""
    if not source.years:
        return ()
    pieces = plan.land() if source is plan.state else plan.values(source)
    presence = Presence()
    with ThreadPoolExecutor(RECEIPTS_AT_ONCE) as pool:
        for facts in pool.map(plan.ledger.facts, [piece.key for piece in pieces]):
            by_year = {int(year): n for year, n in facts["by_year"].items()}
            presence += Presence(by_year, facts["ever"], facts["always"])
    rule = presence_rule(presence, name=source.name, max_missing=source.max_missing)
    return (rule,) if rule else ()


def _with_land(plan: BuildPlan) -> list[Tile]:
    """Tiles whose receipt is another than that of a mask without land."""
    barren = {
        shape: digest(np.zeros(shape, np.uint8))
        for shape in {piece.box.shape for piece in plan.land()}
    }
    return [
        Tile(piece.box.row // plan.tiling.tile, piece.box.col // plan.tiling.tile)
        for piece in plan.land()
        if plan.ledger.sha256(piece.key) != barren[piece.box.shape]
    ]


def _describe(plan: BuildPlan, root: Group, gaps: Mapping[str, tuple[str, ...]]) -> None:
    groups: dict[str, str] = {}
    parts: dict[str, list[str]] = {name: [] for name in plan.scenarios}
    for s in plan.sources:
        path = group_of(s)
        if s.scenario:
            parts[s.scenario].append(path)
        else:
            groups[s.name] = path
        native = s.grid if s is plan.state else cut(s.grid, plan.grid)[0]
        root[path].attrs.update(
            {
                "title": s.about.title,
                "doi": s.about.doi,
                "licence": s.about.licence,
                "caveat": s.caveat,
                "rules": [*s.rules, *gaps[s.name]],
                "files": {public(f): file.identity for f, file in plan.files[s.name].items()},
                "luray": {
                    "role": role_of(s),
                    "grid": asdict(native),
                    "years": list(s.years),
                    "held": [list(pair) for pair in sorted(s.held.items())],
                    **(
                        {"other_kind": [list(pair) for pair in sorted(s.other_kind.items())]}
                        if s.other_kind
                        else {}
                    ),
                    "variables": [asdict(v) for v in s.variables],
                },
            }
        )
    dims: dict[str, Any] = (
        {"scenarios": list(plan.scenarios), "parts": parts} if plan.scenarios else {}
    )
    root.attrs["luray"] = {
        "format": FORMAT,
        "grid": asdict(plan.grid),
        "legend": HILDA.name,
        "groups": groups,
        "fingerprint": plan.fingerprint,
        **dims,
    }


def _land(url: str, years: Sequence[int], box: Box) -> tuple[U8, Presence]:
    """Cells with a class in every year, and how many have one in which year; memory holds two maps
    of a tile.
    """
    with accessing(url):
        maps: Any = _opened(url)["state/land_use"]
        steps = enumerate(years)
        classed = (
            (year, HILDA.encode(maps[(step, *box.slices(origin=ORIGIN))]) != OUTSIDE)
            for step, year in steps
        )
        land, presence = compare_years(classed)
    return land.astype(np.uint8), presence


def _opened(url: str) -> Group:
    return zarr.open_group(url, mode="r+", zarr_format=3, use_consolidated=False)


def remaining(plan: BuildPlan, pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces without a receipt."""
    done = plan.ledger.done()
    return [p for p in pieces if p.key not in done]
