"""The product being written and read: whole shards only, a receipt after each.

The order of writes makes every moment safe to be interrupted in:

1. the empty arrays, then the attributes with the fingerprint of the run (`create`);
2. the shards of a tile-year, then its receipt (`write`, `summarise`);
3. the mark "finished", then the consolidated metadata (`finish`);
4. the STAC item, last of all (`luray.catalog.publish`).

A resumed run trusts receipts alone, and readers take a store without step 3 for unfinished.

Shapes: K classes; H W cells of a tile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import zarr

from luray.core.legend import OUTSIDE, Legend
from luray.core.tiling import Box, Tile, Tiling, pieces_on_grid
from luray.core.types import U8, Direction
from luray.cube.cube import Cube
from luray.model.checkpoint import read_card
from luray.product.create import create_product
from luray.product.dimensions import FIRST, ONE_MAP, MemberIndex, ProductDims
from luray.product.layout import ProductLayout
from luray.product.summary import member_summary
from luray.product.trajectories import Done, Span, TileYear, Trajectory, trajectories_of
from luray.storage.arrays import consolidate
from luray.storage.objects import accessing, remove
from luray.storage.receipts import Ledger, digest


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
    """Of its members' draws."""
    legend: Legend = field(kw_only=True)
    """That of the cube."""

    @cached_property
    def layout(self) -> ProductLayout:
        """Where a tile-year lies in the store, and the name of its receipt."""
        return ProductLayout(self.span, self.tiling, self.dims)

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
        """What has to be computed; see `trajectories_of`."""
        return trajectories_of(self.span, self.dims, scenario=self.scenario, seed=self.seed)

    def scenario_groups(self, year: int) -> tuple[tuple[int, ...], ...]:
        """Return scenarios by their position, in groups that have the same maps of a year.

        Scenarios share the past and what is observed, so one summary serves them all.
        """
        scenarios = range(max(1, len(self.scenarios)))
        if year <= self.span.observed[1]:
            return (tuple(scenarios),)
        return tuple((scenario,) for scenario in scenarios)

    def units(
        self, tiles: Iterable[Tile], years: Iterable[int] | None = None
    ) -> Iterator[TileYear]:
        """Yield everything that has a receipt when these tiles are finished in some years."""
        return self.layout.units(tiles, years)

    def done(self) -> Done:
        """Return what has a receipt."""
        return Done(frozenset(map(self.layout.unit_of, self.ledger.done())))

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
            raise ValueError(
                f"{self.url} belongs to run {owner[:12]}, this is run {self.fingerprint[:12]} "
                "(another cube, model, tiling or span, or other scenarios or members); choose "
                "another output, or start over with --restart"
            )

        about = {
            "fingerprint": self.fingerprint,
            "finished": False,
            "models": {direction: _model_of(folder) for direction, folder in models.items()},
            **self._named,
            "cube": cube.fingerprint,
            "tile": self.tiling.tile,
            "tiles": tiles,
        }
        attributes = {
            "title": title,
            "caveats": [*cube.caveats, *caveats],
            "luray": about,
            "grid": asdict(cube.grid),
        }
        if provenance:
            attributes["provenance"] = dict(provenance)
        # Receipts of a store that is gone would stand for shards that nobody wrote.
        self.ledger.forget()
        with accessing(self.url):
            create_product(
                self.url,
                grid=cube.grid,
                years=self.span.years,
                origins=self.span.origins,
                tile=self.tiling.tile,
                attributes=attributes,
                legend=self.legend,
                dims=self.dims,
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

    @property
    def is_finished(self) -> bool:
        """Whether the store is that of this run, and whole."""
        about = self._about()
        return about.get("fingerprint") == self.fingerprint and about["finished"] is True

    def _about(self) -> Mapping[str, Any]:
        """What the store says of itself at this moment; nothing where there is none."""
        try:
            with accessing(self.url):
                root = zarr.open_group(self.url, mode="r", zarr_format=3, use_consolidated=False)
            about: Any = root.attrs["luray"]
        except (FileNotFoundError, KeyError):
            return {}
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
        remove(self.url)

    def finish(self) -> None:
        """Mark the product as finished and consolidate its metadata: readers may use it now."""
        with accessing(self.url):
            about: Any = self._arrays.attrs["luray"]
            written = len(self.ledger.done())
            expected = about["tiles"] * len(self.span.years) * self.dims.receipts
            assert written == expected, (
                f"{self.url} has {written} of {expected} receipts and is not finished"
            )
            # Consolidation copies the attributes, so the mark has to be there before.
            self.mark(finished=True)
            consolidate(self.url)

    def mark(self, *, finished: bool) -> None:
        """Note whether the product is finished; that drops consolidated metadata."""
        with accessing(self.url):
            root = self._arrays
            root.attrs["luray"] = {**root.attrs["luray"], "finished": finished}  # type: ignore[dict-item]

    @cached_property
    def _arrays(self) -> zarr.Group:
        return zarr.open_group(self.url, mode="r+", zarr_format=3, use_consolidated=False)

    def __getstate__(self) -> dict[str, Any]:
        # Open arrays stay behind: each process has its own.
        return {name: value for name, value in self.__dict__.items() if name != "_arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # Maps

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
        """Write one tile-year to each of some sequences of maps, with its receipt.

        Parameters
        ----------
        year : int
            Of the map.
        tile : Tile
            Which has shape (H, W).
        classes : array of uint8, shape (H, W)
            Class indices, `OUTSIDE` off land.
        confidence : array of uint8, shape (H, W)
            Percent.
        member_indices : sequence of MemberIndex
            Where the map is written.
        probabilities : array of uint8, shape (K, H, W), optional
            Percent; given in `dims.probability_years` and only there.
        """
        box = self.tiling.tile_box(tile)
        assert classes.shape == confidence.shape == box.shape, (
            f"{classes.shape} is not the tile {tile} {box}"
        )
        fields = {"land_use": self.legend.decode(classes), "confidence": confidence}
        if probabilities is not None:
            fields["probability"] = probabilities
        for member_index in member_indices:
            self._write(TileYear(year, tile, member_index), fields)

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
        for scenario in scenarios:
            self._write(TileYear(year, tile, MemberIndex(scenario), across=True), fields)

    def _write(self, unit: TileYear, fields: Mapping[str, U8]) -> None:
        """Write the shards of a unit, each whole, then its receipt."""
        arrays = self.layout.arrays(unit)
        assert tuple(fields) == arrays, f"{unit} has {arrays}, got {tuple(fields)}"
        with accessing(self.url):
            for name, values in fields.items():
                lead = self.layout.lead(unit, name)
                one_each = tuple(slice(i, i + 1) for i in lead)
                index = (*one_each, *self.layout.cells(unit.tile, name))
                array: Any = self._arrays[name]
                array[index] = values.reshape((1,) * len(lead) + values.shape)
        self.ledger.record(self.layout.key(unit), digest(*fields.values()))

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
        lead = self.layout.lead(TileYear(year, Tile(0, 0), member_index), "land_use")
        where = f"{self.url} {year}"
        classes = np.full(box.shape, OUTSIDE, np.uint8)
        with accessing(self.url):
            array: Any = self._arrays["land_use"]
            for piece in pieces_on_grid(box, self.tiling.shape, periodic=self.tiling.periodic):
                cells = piece.on_grid.slices(origin=self.tiling.everything)
                codes = array[(*lead, *cells)]
                classes[piece.in_box.slices(origin=box)] = self.legend.encode(codes, where=where)
        return classes

    def confidence(self, year: int, tile: Tile, member_index: MemberIndex = FIRST) -> U8:
        """Return the confidence of a tile-year in percent, (H, W)."""
        return self.stored(TileYear(year, tile, member_index), "confidence")

    def stored(self, unit: TileYear, array: str) -> U8:
        """Return what an array holds of a unit, (H, W) or (K, H, W)."""
        index = (*self.layout.lead(unit, array), *self.layout.cells(unit.tile, array))
        with accessing(self.url):
            values: Any = self._arrays[array]
            return np.asarray(values[index])


def _model_of(folder: str) -> str:
    """Return the fingerprint of a model, empty where the folder holds none."""
    card = read_card(folder)
    return card.fingerprint if card else ""
