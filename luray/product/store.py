"""The product being written and read: whole shards only, a receipt after each.

The order of writes makes every moment safe to be interrupted in:

1. the empty arrays, then the attributes with the fingerprint of the run (`create`);
2. the shards of a tile-year, then its receipt (`write`, `summarise`);
3. the mark "finished", then the consolidated metadata, then their checksums (`finish`);
4. the STAC item, last of all (`luray.catalog.publish`).

A resumed run trusts receipts alone, and readers take a store without step 3 for unfinished.

Shapes: K classes; H W cells of a tile.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.core.config import CpuPrecision
from luray.core.crash_points import crash_point
from luray.core.legend import NO_DATA, OUTSIDE, TARGET, VARIABLE, Legend
from luray.core.tiling import Box, Tile, Tiling, pieces_on_grid
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import F32, U8, Direction
from luray.cube.cube import Cube
from luray.model.card import read_card
from luray.product.coarse_cells import CoarseCells
from luray.product.create import create_product
from luray.product.dimensions import FIRST, ONE_MAP, MemberIndex, ProductDims
from luray.product.layout import LAYOUT, ProductLayout, overview, receipts_of_year
from luray.product.overviews import NO_OVERVIEWS, Overviews, halve, halve_values
from luray.product.summary import member_summary
from luray.product.trajectories import (
    Done,
    OverviewYear,
    Span,
    TileYear,
    Trajectory,
    Unit,
    trajectories_of,
)
from luray.storage.arrays import consolidate
from luray.storage.checksums import Checksums
from luray.storage.objects import accessing, read_object, remove, write_atomically
from luray.storage.places import public
from luray.storage.receipts import Ledger, digest
from luray.storage.shards import LatestShards, ShardFormat

TIME_STEP = "time_step"
"""Key under `luray` in the attributes with the interval of the time steps, where it is no year."""

ROWS_AT_ONCE = 1024
"""Rows of a level that are halved at once, an even number."""


@dataclass(frozen=True)
class Product:
    """A product store and the run that may write it, known by its fingerprint.

    It is metadata alone and cheap to send to a worker, which opens the arrays itself. Many workers
    may write at once, as long as no two write the same tile-year.
    """

    url: str
    span: Span
    tiling: Tiling
    fingerprint: str
    scenario: str = ""
    """Name of its scenario, or of the first of several."""
    dims: ProductDims = ONE_MAP
    seed: int = 0
    """Seed of its members' draws."""
    legend: Legend = field(kw_only=True)
    """Legend of the cube."""
    coarse: CoarseCells | None = field(default=None, kw_only=True)
    """Coarse cells that have fractions and transitions; None in a product without them."""
    overviews: Overviews = field(default=NO_OVERVIEWS, kw_only=True)
    """Levels of its overviews."""
    precision: CpuPrecision = field(default="float32", kw_only=True)
    """Of the models on CPUs."""
    time: TimeSteps = field(default=YEARLY, kw_only=True)
    """Time steps of its maps: where a year has several, each "year" here is one of them."""

    @cached_property
    def layout(self) -> ProductLayout:
        """Where a tile-year lies in the store, and the name of its receipt."""
        block = self.coarse.block if self.coarse else 0
        return ProductLayout(
            self.span,
            self.tiling,
            self.dims,
            block,
            self.overviews,
            self.legend.variable,
            self.legend.quality,
            self.time,
        )

    @property
    def ledger(self) -> Ledger:
        """Receipts of the tile-years."""
        return Ledger(self.url, self.fingerprint)

    # What there is to compute

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names along dimension `scenario`, empty where it has none."""
        return self.dims.scenarios

    @property
    def members(self) -> int:
        """Length of dimension `member`, 0 where it has none."""
        return self.dims.members

    @property
    def member_indices(self) -> tuple[MemberIndex, ...]:
        """Every sequence of maps; see `ProductDims.member_indices`."""
        return self.dims.member_indices

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """The trajectories to be computed; see `trajectories_of`."""
        return trajectories_of(self.span, self.dims, scenario=self.scenario, seed=self.seed)

    def scenario_groups(self, year: int) -> tuple[tuple[int, ...], ...]:
        """Return scenarios by their position, in groups that have the same maps of a year.

        Scenarios share the past and what is observed, so one summary serves them all.
        """
        scenarios = range(max(1, len(self.scenarios)))
        if year <= self.span.observed[1]:
            return (tuple(scenarios),)
        return tuple((scenario,) for scenario in scenarios)

    def map_groups(self, year: int) -> tuple[tuple[MemberIndex, ...], ...]:
        """Return the sequences of maps in groups that have the same map of a year."""
        indices = self.member_indices
        if year in self.span.copied:
            return (indices,)
        if year < self.span.observed[0]:
            members = range(max(1, self.members))
            return tuple(tuple(i for i in indices if i.member == member) for member in members)
        return tuple((index,) for index in indices)

    def units(self, tiles: Iterable[Tile], years: Iterable[int] | None = None) -> Iterator[Unit]:
        """Yield everything that has a receipt when these tiles are finished in some years."""
        return self.layout.units(tiles, years)

    def done(self) -> Done:
        """Return what has a receipt."""
        return Done(frozenset(map(self.layout.unit_of, self.ledger.done())))

    def from_year(self, year: int) -> list[int]:
        """Return the predicted steps from a calendar year on, in its chain's direction.

        Raises ValueError for a year of no chain.
        """
        chains = self.span.chains
        # A chain enters a year by its first step, or backward by its last.
        ends = {"forward": self.time.step(year), "backward": self.time.step(year + 1) - 1}
        for direction, steps in chains.items():
            if ends[direction] in steps[1:]:
                return list(steps[steps.index(ends[direction]) :])
        first, last = self.time.year(self.span.first), self.time.year(self.span.last)
        observed = [self.time.year(step) for step in self.span.observed]
        raise ValueError(
            f"{year} is not predicted: the product has {first}-{last}, of which "
            f"{observed[0]}-{observed[1]} are observed; name a predicted year"
        )

    # The store from its creation to its end

    def create(
        self,
        cube: Cube,
        *,
        title: str,
        models: Mapping[Direction, str],
        tiles: int,
        caveats: Sequence[str] = (),
        provenance: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Create the empty store, or find it as an earlier run of this fingerprint left it.

        Parameters
        ----------
        cube : Cube
            What the product is made from.
        title : str
            For readers.
        models : mapping
            Folder of the model of each direction.
        tiles : int
            How many tiles each year has.
        caveats : sequence of str
            What readers must know beside the caveats of the cube.
        provenance : mapping, optional
            What the product is made of and by, as JSON.

        Raises
        ------
        ValueError
            Naming both sides when the store belongs to another run.
        """
        owner = self.owner()
        if owner == self.fingerprint:
            return
        if owner:
            self.require_layout()
            self._require_precision()
            raise ValueError(
                f"{self.url} belongs to run {owner[:12]}, this is run {self.fingerprint[:12]} "
                "(another cube, model, tiling or span, or other scenarios, members or coarse "
                "cells); choose another output, or start over with --restart"
            )

        attributes = self.attributes(
            cube, title=title, models=models, tiles=tiles, caveats=caveats, provenance=provenance
        )
        # Receipts of a store that is gone would stand for shards that nobody wrote.
        self.ledger.forget()
        self._checksums.remove()
        with accessing(self.url):
            self._create_at(self.url, cube, attributes)

    def restore(self, names: Iterable[str], cube: Cube, attributes: Mapping[str, Any]) -> None:
        """Write damaged metadata and coordinates again, and leave the product unfinished.

        Parameters
        ----------
        names : iterable of str
            Objects below the store, as `damaged_metadata` gives them.
        cube : Cube
            What the product is made from.
        attributes : mapping
            Those of the store, see `attributes`.
        """
        with tempfile.TemporaryDirectory() as folder:
            self._create_at(folder, cube, attributes)
            for name in names:
                data = read_object(f"{folder}/{name}")
                if data is not None:  # None for the list of checksums, which `finish` writes
                    write_atomically(f"{self.url}/{name}", data)
        self.mark(finished=False)

    def attributes(
        self,
        cube: Cube,
        *,
        title: str,
        models: Mapping[Direction, str],
        tiles: int,
        caveats: Sequence[str],
        provenance: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the attributes of the store when it is new; parameters are those of `create`."""
        about = {
            "fingerprint": self.fingerprint,
            "finished": False,
            "models": {direction: _model_of(folder) for direction, folder in models.items()},
            **self._named,
            "cube": cube.fingerprint,
            "tile": self.tiling.tile,
            "tiles": tiles,
            "years": [self.span.first, self.span.last],
            "layout": LAYOUT,
            "coarse_step": self.coarse.grid.step if self.coarse else None,
            "overviews": asdict(self.overviews),
        }
        if self.legend.variable != VARIABLE:
            about[TARGET] = self.legend.variable
        if self.time != YEARLY:
            del about["years"]
            about[TIME_STEP] = self.time.interval
            about["steps"] = [self.time.label(step) for step in (self.span.first, self.span.last)]
        # What products say that were made before there was a choice did not change.
        if self.precision != "float32":
            about["precision"] = self.precision
        attributes = {
            "title": title,
            "caveats": [*cube.caveats, *caveats],
            "luray": about,
            "grid": asdict(cube.grid),
        }
        if provenance:
            attributes["provenance"] = dict(provenance)
        return attributes

    def _create_at(self, url: str, cube: Cube, attributes: Mapping[str, Any]) -> None:
        """Create the empty store at a place."""
        create_product(
            url,
            grid=cube.grid,
            years=self.span.years,
            origins=self.span.origins,
            tile=self.tiling.tile,
            attributes=attributes,
            legend=self.legend,
            dims=self.dims,
            coarse=self.coarse,
            overviews=self.overviews,
            time=self.time,
        )

    @property
    def _named(self) -> dict[str, Any]:
        """Scenario or scenarios, members and seed, as the attributes have them."""
        named: dict[str, Any] = {"scenario": self.scenario}
        if self.scenarios:
            named = {"scenarios": list(self.scenarios)}
        if self.members:
            named |= {"members": self.members, "seed": self.seed}
        return named

    def owner(self) -> str:
        """Return the fingerprint of the run that the store belongs to, empty when there is none."""
        return str(self._about().get("fingerprint", ""))

    def require_layout(self) -> None:
        """Raise ValueError for a store that is laid out as another version of luray does it."""
        about = self._about()
        found = about.get("layout", 1)
        if about and found != LAYOUT:
            raise ValueError(
                f"{public(self.url)} has layout {found}, written by another version of luray, "
                f"expected layout {LAYOUT}; choose another output, or start over with --restart"
            )

    def _require_precision(self) -> None:
        """Raise ValueError for a store whose models computed in another precision."""
        found = self._about().get("precision", "float32")
        if found != self.precision:
            raise ValueError(
                f"{public(self.url)} was made with inference.precision {found!r}, this run has "
                f"{self.precision!r}, which gives some cells another class; set {found!r} to go "
                "on, choose another output, or start over with --restart"
            )

    @property
    def is_finished(self) -> bool:
        """Whether the store is that of this run, and whole."""
        about = self._about()
        return about.get("fingerprint") == self.fingerprint and about["finished"] is True

    def _about(self) -> Mapping[str, Any]:
        """The store's attribute `luray` at this moment; empty where there is no store."""
        try:
            with accessing(self.url):
                root = zarr.open_group(self.url, mode="r", zarr_format=3, use_consolidated=False)
            about: Any = root.attrs["luray"]
        except (FileNotFoundError, KeyError):
            return {}
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{public(self.url)}/zarr.json is damaged ({error}); if the product was finished, "
                "`luray verify --repair` writes it again, else start over with --restart"
            ) from error
        return dict(about)

    @property
    def is_of_another_run(self) -> bool:
        """Whether the store was made by another model, cube or span."""
        return self.owner() not in ("", self.fingerprint)

    def remove(self) -> None:
        """Delete the receipts and then the store.

        In this order an interruption leaves no receipt without its shard.
        """
        self.ledger.forget()
        self._checksums.remove()
        remove(self.url)

    def finish(self) -> None:
        """Mark the product as finished and consolidate its metadata: readers may use it now.

        Raises
        ------
        OSError
            If receipts are missing.
        """
        with accessing(self.url):
            about: Any = self._root.attrs["luray"]
            of_year = receipts_of_year(about["tiles"], self.dims, self.overviews)
            self._require_receipts(len(self.span.years) * of_year)
            # Consolidation copies the attributes, so the mark has to be there before. Each level
            # is consolidated for itself, too: readers may open it alone.
            self.mark(finished=True)
            crash_point("before consolidation")
            for level in range(1, self.overviews.levels + 1):
                consolidate(self.url, path=str(level))
            consolidate(self.url)
            self._checksums.write(self._metadata_objects())

    @property
    def _checksums(self) -> Checksums:
        """Checksums of metadata and coordinates, which no receipt covers."""
        return Checksums(f"{self.url.rstrip('/')}.sha256", self.url)

    def _metadata_objects(self) -> list[str]:
        """Return the names of all objects but the shards of tile-years."""
        root = zarr.open_group(self.url, mode="r", zarr_format=3, use_consolidated=True)
        of_tiles = self.layout.tile_arrays
        names = ["zarr.json"]
        for path, member in root.members(max_depth=None):
            names.append(f"{path}/zarr.json")
            if isinstance(member, zarr.Array) and path not in of_tiles:
                first: Any = member.metadata
                chunk = first.encode_chunk_key((0,) * member.ndim)
                names.append(f"{path}/{chunk}")
        return names

    def damaged_metadata(self) -> list[str]:
        """Return the objects of metadata and coordinates that are not as `finish` left them.

        None are known of a product that is not finished: their checksums are written last.
        """
        return self._checksums.damaged() or []

    def _require_receipts(self, expected: int) -> None:
        """Raise OSError unless the product has all its receipts."""
        n_written = 0
        for done in self.ledger.looks():
            n_written = len(done)
            if n_written == expected:
                return
        raise OSError(
            f"{public(self.url)} has {n_written} of {expected} receipts and is not finished; run "
            "`luray infer` again, which computes what is missing"
        )

    def mark(self, *, finished: bool) -> None:
        """Note whether the product is finished; that drops consolidated metadata."""
        self._checksums.remove()
        with accessing(self.url):
            root = self._root
            root.attrs["luray"] = {**root.attrs["luray"], "finished": finished}  # type: ignore[dict-item]

    @cached_property
    def _root(self) -> zarr.Group:
        return zarr.open_group(self.url, mode="r+", zarr_format=3, use_consolidated=False)

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        """Arrays by their path; opening one reads its metadata from the store."""
        return {}

    def _array(self, path: str) -> Any:
        if path not in self._arrays:
            self._arrays[path] = self._root[path]
        return self._arrays[path]

    @cached_property
    def _formats(self) -> dict[str, ShardFormat]:
        """Formats of the shards of arrays by their path."""
        return {}

    def shard_format(self, path: str) -> ShardFormat:
        """Return how the shards of an array are encoded."""
        if path not in self._formats:
            with accessing(self.url):
                self._formats[path] = ShardFormat.of(self._array(path))
        return self._formats[path]

    def __getstate__(self) -> dict[str, Any]:
        # Open arrays stay behind: each process has its own.
        opened = ("_root", "_arrays", "_formats")
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    # Maps

    def write(
        self,
        year: int,
        tile: Tile,
        classes: U8,
        quality: U8,
        member_indices: Sequence[MemberIndex] = (FIRST,),
        *,
        prior: U8 | None = None,
        probabilities: U8 | None = None,
        latest: LatestShards | None = None,
    ) -> None:
        """Write one tile-year to each of some sequences of maps, with its receipt.

        Parameters
        ----------
        year : int
            Of the map.
        tile : Tile
            Which has shape (H, W).
        classes : array of uint8, shape (H, W)
            Class indices; `OUTSIDE` or `NO_DATA` off land. Of values their levels; `OUTSIDE` or
            `UNKNOWN` where there is none.
        quality : array of uint8, shape (H, W)
            Confidence in percent. Of values their spread in steps of the scale, `NO_VALUE` where
            there is none.
        member_indices : sequence of MemberIndex
            Where the map is written.
        prior : array of uint8, shape (H, W), optional
            The map that it is compared with, see `Span.transition_of`; needed where a product with
            transitions has one of the year.
        probabilities : array of uint8, shape (K, H, W), optional
            Percent; given in `dims.probability_years` and only there.
        latest : LatestShards, optional
            Shards of the same tile that were encoded before, in another year or in the cube.
        """
        box = self.tiling.tile_box(tile)
        assert classes.shape == quality.shape == box.shape, (
            f"{classes.shape} is not the tile {tile} {box}"
        )
        fields: dict[str, U8 | F32] = {
            self.legend.variable: self.legend.decode(classes),
            self.legend.quality: quality,
        }
        if probabilities is not None:
            fields["probability"] = probabilities
        if self.coarse is not None:
            fields |= self._coarse_fields(self.coarse, year, box, classes, prior)
        fields |= self._overviews_of(classes, quality, self.overviews.tile_levels)
        units = [TileYear(year, tile, member_index) for member_index in member_indices]
        self._write(units, fields, latest)

    def _coarse_fields(
        self, coarse: CoarseCells, year: int, box: Box, classes: U8, prior: U8 | None
    ) -> dict[str, F32]:
        """Return fractions and, where the year has one, the transition of a map."""
        n_classes = len(self.legend)
        fields = {"fraction": coarse.fractions(classes, box=box, n_classes=n_classes)}
        pair = self.layout.transition_of(year)
        if pair is not None:
            # A hindcast year comes before its prior, all other years come after theirs.
            assert prior is not None, f"the transition of {pair} needs a prior"
            before, after = (prior, classes) if pair[1] == year else (classes, prior)
            fields["transition"] = coarse.transitions(before, after, box=box, n_classes=n_classes)
        return fields

    def _overviews_of(self, classes: U8, quality: U8, levels: Sequence[int]) -> dict[str, U8 | F32]:
        """Return overviews of some levels, from a map and its confidence, or spread, below them."""
        fields: dict[str, U8 | F32] = {}
        # Each level is made of the one before it.
        for level in levels:
            classes, quality = self._halved(classes, quality)
            fields[overview(level, self.legend.variable)] = self.legend.decode(classes)
            fields[overview(level, self.legend.quality)] = quality
        return fields

    def _halved(self, classes: U8, quality: U8) -> tuple[U8, U8]:
        """Return the next level of a map and its confidence or spread."""
        if self.legend.scale is None:
            return halve(classes, quality, len(self.legend))
        return halve_values(classes), halve_values(quality)

    def write_coarser_overviews(self, year: int, member_indices: Sequence[MemberIndex]) -> None:
        """Write the coarser overviews of a year to sequences of maps that have the same map.

        Called when all tiles of the year are written. They follow from the last level that is
        written with the tiles, or from the maps where none is.
        """
        crash_point("before overviews")
        levels = self.overviews.coarser_levels
        below = levels.start - 1
        unit = OverviewYear(year, member_indices[0])
        names = [self.legend.variable, self.legend.quality]
        if below:
            names = [overview(below, name) for name in names]
        n_rows = self.tiling.everything.coarsened(2**below).height

        # Strip by strip, as the maps of the globe may be too large to be held.
        strips = []
        for first in range(0, n_rows, ROWS_AT_ONCE):
            index = (*self.layout.lead(unit, names[0]), slice(first, first + ROWS_AT_ONCE))
            with accessing(self.url):
                codes, quality = (np.asarray(self._array(name)[index]) for name in names)
            classes = self.legend.encode(codes, where=f"{self.url} {self.time.label(year)}")
            classes[codes == self.legend.nodata] = NO_DATA
            strips.append(self._halved(classes, quality))
        classes = np.concatenate([strip_classes for strip_classes, _ in strips])
        quality = np.concatenate([strip_quality for _, strip_quality in strips])

        fields: dict[str, U8 | F32] = {
            overview(levels.start, self.legend.variable): self.legend.decode(classes),
            overview(levels.start, self.legend.quality): quality,
            **self._overviews_of(classes, quality, levels[1:]),
        }
        self._write([OverviewYear(year, member_index) for member_index in member_indices], fields)

    def summarise(self, year: int, tile: Tile, scenarios: Sequence[int] = (0,)) -> None:
        """Write what the members have in common to each scenario of one of the `scenario_groups`.

        Called when every member of the tile-year is written. The members are those of the first
        scenario; see `member_summary` for what is computed.
        """
        assert self.members, "there are no members to sum up"
        box = self.tiling.tile_box(tile)
        maps = (
            self.read(year, box, MemberIndex(scenarios[0], member))
            for member in range(self.members)
        )
        shares_KHW, entropy_HW = member_summary(
            maps, shape=box.shape, members=self.members, n_classes=len(self.legend)
        )
        fields = {"class_probability": shares_KHW, "entropy": entropy_HW}
        units = [TileYear(year, tile, MemberIndex(scenario), across=True) for scenario in scenarios]
        self._write(units, fields)

    def _write(
        self,
        units: Sequence[Unit],
        fields: Mapping[str, U8 | F32],
        latest: LatestShards | None = None,
    ) -> None:
        """Write the same shards to some units, each whole, then the receipt of the unit."""
        latest = LatestShards() if latest is None else latest
        shards = {}
        for name, values in fields.items():
            shards[name] = latest.encode(name, values, self.shard_format(name))
        sha256 = digest(*fields.values())

        for unit in units:
            self._write_unit(unit, shards, sha256)

    def _write_unit(self, unit: Unit, shards: Mapping[str, bytes | None], sha256: str) -> None:
        """Write the shards of a unit, then its receipt."""
        # The digest of the receipt is over all arrays in this order, so it is checked.
        arrays = self.layout.arrays(unit)
        assert tuple(shards) == arrays, f"{unit} has {arrays}, got {tuple(shards)}"
        crash_point("before shard")
        for name, shard in shards.items():
            if name != arrays[0]:
                crash_point("between shards")
            self._write_shard(self._place_of(unit, name), shard)
        crash_point("between shard and receipt")
        self.ledger.record(self.layout.key(unit), sha256)
        crash_point("after receipt")

    def _write_shard(self, place: str, shard: bytes | None) -> None:
        """Write a shard; one that holds fill values alone is not stored."""
        if shard is None:
            remove(place)
        else:
            write_atomically(place, shard)

    def read(self, year: int, box: Box, member_index: MemberIndex = FIRST) -> U8:
        """Return the map of a year in a box.

        Parameters
        ----------
        year : int
            Of the product.
        box : Box
            It may reach past the grid: longitude wraps where the grid spans the globe.
        member_index : MemberIndex
            Which of its sequences of maps.

        Returns
        -------
        array of uint8, shape (height, width)
            Class indices; `OUTSIDE` off land and beyond the grid.

        Raises
        ------
        ValueError
            For a stored code outside the legend.
        """
        lead = self.layout.lead(TileYear(year, Tile(0, 0), member_index), self.legend.variable)
        where = f"{self.url} {self.time.label(year)}"
        classes = np.full(box.shape, OUTSIDE, np.uint8)
        with accessing(self.url):
            array = self._array(self.legend.variable)
            for piece in pieces_on_grid(box, self.tiling.shape, periodic=self.tiling.periodic):
                cells = piece.on_grid.slices(origin=self.tiling.everything)
                codes = array[(*lead, *cells)]
                classes[piece.in_box.slices(origin=box)] = self.legend.encode(codes, where=where)
        return classes

    def confidence(self, year: int, tile: Tile, member_index: MemberIndex = FIRST) -> U8:
        """Return the confidence of a tile-year in percent, or the spread of its values, (H, W)."""
        quality: U8 = self.stored(TileYear(year, tile, member_index), self.legend.quality)
        return quality

    def stored(self, unit: Unit, array: str) -> NDArray[Any]:
        """Return what an array holds of a unit: its cells, below the classes where it has any."""
        index = (*self.layout.lead(unit, array), *self.layout.cells(unit, array))
        with accessing(self._place_of(unit, array)):
            return np.asarray(self._array(array)[index])

    def _place_of(self, unit: Unit, array: str) -> str:
        """Return the place of the object that holds a unit, for errors of the store."""
        return f"{self.url}/{self.layout.shard(unit, array)}"


def _model_of(folder: str) -> str:
    """Return the fingerprint of a model, empty where the folder holds none."""
    card = read_card(folder)
    return card.fingerprint if card else ""
