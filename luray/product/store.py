"""The product being written: whole shards only, a receipt after each, finished at the end.

Shapes: K classes; M members; H W cells of a tile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import zarr

from luray.core.legend import HILDA, OUTSIDE
from luray.core.percent import percent
from luray.core.random import RandomStream
from luray.core.tiling import Box, Tile, Tiling, padded_map
from luray.core.types import U8, Direction
from luray.cube.cube import Cube
from luray.model.checkpoint import read_card
from luray.product.create import create_product
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.trajectories import FIRST, Done, MemberIndex, Span, TileYear, Trajectory
from luray.storage.arrays import consolidate
from luray.storage.objects import accessing, remove
from luray.storage.receipts import Ledger, digest, key_of, tile_year_of


def _fingerprint(folder: str) -> str:
    card = read_card(folder)
    return card.fingerprint if card else ""


@dataclass(frozen=True)
class Product:
    """A product store and the run that may write it, known by its fingerprint."""

    url: str
    span: Span
    tiling: Tiling
    fingerprint: str
    scenario: str = ""
    """Name of its scenario, or of the first of several."""
    dims: ProductDims = ONE_MAP
    seed: int = 0
    """Of its members' draws."""

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
        """Every sequence of maps. Observed years are the same in all."""
        return tuple(
            MemberIndex(s, m)
            for s in range(max(1, len(self.scenarios)))
            for m in range(max(1, self.members))
        )

    @property
    def trajectories(self) -> tuple[Trajectory, ...]:
        """What has to be computed: backward for each member, as scenarios share the past, forward
        for each lane.
        """
        found, chains = [], self.span.chains
        for member in range(max(1, self.members)):
            if "backward" in chains:
                member_indices = tuple(
                    member_index
                    for member_index in self.member_indices
                    if member_index.member == member
                )
                found.append(self._course("backward", "", member_indices))
        if "forward" in chains:
            names = self.scenarios or (self.scenario,)
            found += [
                self._course("forward", names[member_index.scenario], (member_index,))
                for member_index in self.member_indices
            ]
        return tuple(found)

    def alike(self, year: int) -> tuple[tuple[int, ...], ...]:
        """Scenarios by their place, in groups that have the same maps of a year: see `summarise`."""
        every = tuple(range(max(1, len(self.scenarios))))
        return (
            (every,) if year <= self.span.observed[1] else tuple((scenario,) for scenario in every)
        )

    def _course(
        self, direction: Direction, scenario: str, member_indices: tuple[MemberIndex, ...]
    ) -> Trajectory:
        draws = (
            RandomStream(self.seed, scenario, member_indices[0].member) if self.members else None
        )
        return Trajectory(direction, self.span.chains[direction], scenario, member_indices, draws)

    def units(
        self, tiles: Iterable[Tile], years: Iterable[int] | None = None
    ) -> Iterator[TileYear]:
        """Everything that has a receipt when these tiles are finished in some years, all of them by
        default.
        """
        places = list(product(self.span.years if years is None else years, tiles))
        yield from (
            TileYear(*place, member_index)
            for place in places
            for member_index in self.member_indices
        )
        if self.members:
            yield from (
                TileYear(*place, member_index, across=True)
                for place in places
                for member_index in self.member_indices
                if member_index.member == 0
            )

    def key(self, unit: TileYear) -> str:
        """Name of the receipt, such as 2001/3.4 or, with scenarios and members, ssp126/m2/2001/3.4."""
        names = [self.scenarios[unit.member_index.scenario]] if self.scenarios else []
        if self.members:
            names.append("across" if unit.across else f"m{unit.member_index.member}")
        return key_of(unit.year, unit.tile, *names)

    def unit_of(self, key: str) -> TileYear:
        """What the receipt of a name is for."""
        year, tile = tile_year_of(key)
        names = key.split("/")[:-2]
        scenario = self.scenarios.index(names.pop(0)) if self.scenarios else 0
        across = names == ["across"]
        return TileYear(
            year,
            tile,
            MemberIndex(scenario, int(names[0][1:]) if names and not across else 0),
            across,
        )

    def done(self) -> Done:
        """What has a receipt."""
        return Done(frozenset(map(self.unit_of, self.ledger.done())))

    @property
    def ledger(self) -> Ledger:
        """Receipts of the tile-years."""
        return Ledger(self.url, self.fingerprint)

    def create(
        self, cube: Cube, *, title: str, models: Mapping[Direction, str], tiles: int
    ) -> None:
        """Create the empty store for so many `tiles` a year, or find it as an earlier run of this
        fingerprint left it.

        Raises ValueError naming both sides when the store belongs to another run.
        """
        owner = self.owner()
        if not owner:
            about = {
                "fingerprint": self.fingerprint,
                "finished": False,
                "models": {d: _fingerprint(folder) for d, folder in models.items()},
                **self._named,
                "cube": cube.fingerprint,
                "tile": self.tiling.tile,
                "tiles": tiles,
            }
            self.ledger.forget()
            attributes = {
                "title": title,
                "caveats": list(cube.caveats),
                "luray": about,
                "grid": asdict(cube.grid),
            }
            with accessing(self.url):
                create_product(
                    self.url,
                    grid=cube.grid,
                    years=self.span.years,
                    origins=self.span.origins,
                    tile=self.tiling.tile,
                    attributes=attributes,
                    dims=self.dims,
                )
        elif owner != self.fingerprint:
            raise ValueError(
                f"{self.url} belongs to run {owner[:12]}, this is run {self.fingerprint[:12]} "
                "(another "
                "cube, model, tiling or span, or other scenarios or members); choose another "
                "output, or "
                "start over with --restart"
            )

    @property
    def _named(self) -> dict[str, Any]:
        """Scenario or scenarios, members and seed, as the attributes have them."""
        drawn = {"members": self.members, "seed": self.seed} if self.members else {}
        return {
            **(
                {"scenarios": list(self.scenarios)}
                if self.scenarios
                else {"scenario": self.scenario}
            ),
            **drawn,
        }

    @property
    def is_of_another_run(self) -> bool:
        """True when the store was made by another model, cube or span."""
        return self.owner() not in ("", self.fingerprint)

    def owner(self) -> str:
        """Fingerprint of the run that the store belongs to, empty when there is none."""
        try:
            with accessing(self.url):
                root = zarr.open_group(self.url, mode="r", zarr_format=3, use_consolidated=False)
            about: Any = root.attrs["luray"]
        except (FileNotFoundError, KeyError):
            return ""
        return str(about["fingerprint"])

    def remove(self) -> None:
        """Delete the receipts and then the store: interrupted, there is no receipt without its
        shard.
        """
        self.ledger.forget()
        remove(self.url)

    @cached_property
    def _arrays(self) -> zarr.Group:
        return zarr.open_group(self.url, mode="r+", zarr_format=3, use_consolidated=False)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def write(
        self,
        year: int,
        tile: Tile,
        classes: U8,
        confidence: U8,
        member_indices: Sequence[MemberIndex] = (FIRST,),
        *,
        probabilities: U8 | None = None,
    ) -> None:
        """Write one tile-year, class indices and percent of the tile's shape, to each of some
        lanes, with its receipt.

        `probabilities`, percent (K, H, W), are given in `dims.probability_years` and only there.
        """
        box = self.tiling.tile_box(tile)
        assert classes.shape == confidence.shape == box.shape, (
            f"{classes.shape} is not the tile {tile} {box}"
        )
        fields = {"land_use": HILDA.decode(classes), "confidence": confidence}
        if probabilities is not None:
            fields["probability"] = probabilities
        for member_index in member_indices:
            self._write(TileYear(year, tile, member_index), fields)

    def summarise(self, year: int, tile: Tile, scenarios: Sequence[int] = (0,)) -> None:
        """Sum up the members of the first of some scenarios that are `alike`, and write it to all,
        each with a receipt.

        `class_probability` is the share of the members in each class in percent, `entropy` that of
        these shares over its largest value log K. Called when every member of the tile-year is
        written.
        """
        assert self.members, "there are no members to sum up"
        box, members = self.tiling.tile_box(tile), range(self.members)
        counts_KHW = np.zeros((len(HILDA), *box.shape), np.int32)
        for member in members:
            classes = self.read(year, box, MemberIndex(scenarios[0], member))
            counts_KHW += classes == np.arange(len(HILDA), dtype=np.uint8)[:, None, None]
        land = classes != OUTSIDE
        shares_KHW = np.stack(
            [percent(counts, np.full(box.shape, self.members)) for counts in counts_KHW]
        )
        part = np.arange(self.members + 1) / self.members
        surprise = -part * np.log(np.maximum(part, 1 / self.members)) * 100 / np.log(len(HILDA))
        entropy = np.zeros(box.shape)
        for counts in counts_KHW:
            entropy += surprise[counts]
        fields = {
            "class_probability": shares_KHW,
            "entropy": np.where(land, np.rint(entropy), 0).astype(np.uint8),
        }
        for scenario in scenarios:
            self._write(TileYear(year, tile, MemberIndex(scenario), across=True), fields)

    def _write(self, unit: TileYear, fields: Mapping[str, U8]) -> None:
        assert tuple(fields) == self._fields(unit), (
            f"{unit} has {self._fields(unit)}, got {tuple(fields)}"
        )
        with accessing(self.url):
            for name, values in fields.items():
                lead, own = self._lead(unit, name), self._own(unit.tile, values.ndim)
                index = (*(slice(i, i + 1) for i in lead), *own)
                self._arrays[name][index] = values.reshape((1,) * len(lead) + values.shape)  # type: ignore[index]
        self.ledger.record(self.key(unit), digest(*fields.values()))

    def _fields(self, unit: TileYear) -> tuple[str, ...]:
        """Arrays that hold a unit."""
        if unit.across:
            return "class_probability", "entropy"
        kept = unit.year in self.dims.probability_years
        return ("land_use", "confidence", "probability") if kept else ("land_use", "confidence")

    def _lead(self, unit: TileYear, name: str) -> tuple[int, ...]:
        """Index of a unit along the dimensions before classes and cells."""
        at = {"scenario": unit.member_index.scenario, "member": unit.member_index.member}
        member_index = (
            at[dimension]
            for dimension in self.dims.lead
            if not (unit.across and dimension == "member")
        )
        kept = self.dims.probability_years
        return (
            *member_index,
            kept.index(unit.year) if name == "probability" else unit.year - self.span.first,
        )

    def _own(self, tile: Tile, ndim: int) -> tuple[slice, ...]:
        """Cells of a tile, and all classes of an array that has them."""
        return (
            *(slice(None) for _ in range(ndim - 2)),
            *self.tiling.tile_box(tile).slices(origin=self.tiling.everything),
        )

    def read(self, year: int, box: Box, member_index: MemberIndex = FIRST) -> U8:
        """Class indices of a year in a box, `OUTSIDE` beyond the grid; longitude wraps."""
        tiling = self.tiling
        rows = slice(max(box.row, 0), min(box.row + box.height, tiling.n_lat))
        crosses = box.col < 0 or box.col + box.width > tiling.n_lon
        cols = slice(0, tiling.n_lon) if crosses else slice(box.col, box.col + box.width)
        with accessing(self.url):
            array: Any = self._arrays["land_use"]
            codes = array[
                (*self._lead(TileYear(year, Tile(0, 0), member_index), "land_use"), rows, cols)
            ]
        part = HILDA.encode(codes, where=f"{self.url} {year}")
        at = box._replace(row=box.row - rows.start, col=box.col - cols.start)
        return padded_map(part, at, periodic=tiling.periodic and crosses)

    def confidence(self, year: int, tile: Tile, member_index: MemberIndex = FIRST) -> U8:
        """Confidence of a tile-year in percent."""
        with accessing(self.url):
            return self._stored(TileYear(year, tile, member_index), "confidence")

    def _stored(self, unit: TileYear, name: str) -> U8:
        array: Any = self._arrays[name]
        lead = self._lead(unit, name)
        return np.asarray(array[(*lead, *self._own(unit.tile, array.ndim - len(lead)))])

    def digest(self, unit: TileYear) -> str:
        """sha256 of what is stored, as its receipt should have it; "unreadable" when a shard is
        damaged.

        Raises OSError when the store is out of reach: that is no damage, and a repair would delete
        what is sound.
        """
        try:
            with accessing(self.url):
                return digest(*(self._stored(unit, name) for name in self._fields(unit)))
        except OSError:
            raise
        except Exception as error:
            return f"unreadable ({type(error).__name__})"

    def damaged(self, units: Sequence[TileYear]) -> list[TileYear]:
        """Those whose stored bytes do not match their receipt, or that have none."""
        return [
            unit
            for unit in units
            if (self.ledger.sha256(self.key(unit)) or "no receipt") != self.digest(unit)
        ]

    def withdraw(self, units: Sequence[TileYear]) -> None:
        """Remove receipts and shards, so that they are computed again.

        Until then the product is unfinished. The shards go too: Zarr reads the index of an old
        shard before it writes a new one, and stops at a damaged one.
        """
        self._mark(finished=False)
        self.ledger.withdraw(map(self.key, units))
        for unit in units:
            for name in self._fields(unit):
                classes = (0,) if name in ("class_probability", "probability") else ()
                place = (*self._lead(unit, name), *classes, *unit.tile)
                remove(f"{self.url}/{name}/c/{'/'.join(map(str, place))}")

    def finish(self) -> None:
        """Mark the product as finished and consolidate its metadata: from now on readers may use
        it.
        """
        with accessing(self.url):
            about: Any = self._arrays.attrs["luray"]
            written = len(self.ledger.done())
            expected = about["tiles"] * len(self.span.years) * self.dims.receipts
            assert written == expected, (
                f"{self.url} has {written} of {expected} receipts and is not finished"
            )
            self._mark(finished=True)
            consolidate(self.url)

    def _mark(self, *, finished: bool) -> None:
        """Say whether the product is finished; that drops consolidated metadata."""
        with accessing(self.url):
            root = self._arrays
            root.attrs["luray"] = {**root.attrs["luray"], "finished": finished}  # type: ignore[dict-item]
