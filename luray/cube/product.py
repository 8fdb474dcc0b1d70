"""The product being written: whole shards only, a receipt after each, finished at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr

from luray.cube.create import consolidate, create_product
from luray.cube.ledger import Ledger, digest, key_of
from luray.cube.regions import Cube
from luray.inference import padded_map
from luray.model.checkpoint import read_card
from luray.schema import HILDA, U8, Direction
from luray.storage import accessing, remove
from luray.windows import Box, Tile, Tiling


@dataclass(frozen=True)
class Span:
    """Years of a product: `first` .. `last`, of which the observed ones are copied; a chain leaves from either end."""

    first: int
    last: int
    observed: tuple[int, int]

    @property
    def years(self) -> range:
        """Every year of the product, ascending."""
        return range(self.first, self.last + 1)

    @property
    def copied(self) -> range:
        """Observed years within the product."""
        return range(max(self.first, self.observed[0]), min(self.last, self.observed[1]) + 1)

    @property
    def chains(self) -> dict[Direction, tuple[int, ...]]:
        """Years of each chain in its direction, beginning with the observed year it starts from."""
        backward = tuple(range(self.observed[0], self.first - 1, -1))
        forward = tuple(range(self.observed[1], self.last + 1))
        chains: dict[Direction, tuple[int, ...]] = {"backward": backward, "forward": forward}
        return {direction: years for direction, years in chains.items() if len(years) > 1}

    def from_year(self, year: int) -> list[int]:
        """The predicted years from `year` on, in its chain's direction. Raises ValueError for a year of no chain."""
        for years in self.chains.values():
            if year in years[1:]:
                return list(years[years.index(year) :])
        raise ValueError(f"{year} is not predicted: the product has {self.first}-{self.last}, of which "
                         f"{self.observed[0]}-{self.observed[1]} are observed")

    @property
    def origins(self) -> list[int]:
        """Index into `ORIGINS` of each year."""
        low, high = self.observed
        return [0 if low <= y <= high else 1 if y < low else 2 for y in self.years]


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

    @property
    def ledger(self) -> Ledger:
        """Receipts of the tile-years."""
        return Ledger(self.url, self.fingerprint)

    def create(self, cube: Cube, *, title: str, models: Mapping[Direction, str], scenario: str, tiles: int) -> None:
        """Create the empty store for so many `tiles` a year, or find it as an earlier run of this fingerprint left it.

        Raises ValueError naming both sides when the store belongs to another run.
        """
        owner = self.owner()
        if not owner:
            about = {"fingerprint": self.fingerprint, "finished": False,
                     "models": {d: _fingerprint(folder) for d, folder in models.items()}, "scenario": scenario,
                     "cube": cube.fingerprint, "tile": self.tiling.tile, "tiles": tiles}
            self.ledger.forget()
            attributes = {"title": title, "caveats": list(cube.caveats), "luray": about, "grid": asdict(cube.grid)}
            with accessing(self.url):
                create_product(self.url, grid=cube.grid, years=self.span.years, origins=self.span.origins,
                               tile=self.tiling.tile, attributes=attributes)
        elif owner != self.fingerprint:
            raise ValueError(f"{self.url} belongs to run {owner[:12]}, this is run {self.fingerprint[:12]} (another "
                             "cube, model, tiling or span); choose another output, or start over with --restart")

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
        """Delete the receipts and then the store: interrupted, there is no receipt without its shard."""
        self.ledger.forget()
        remove(self.url)

    @cached_property
    def _arrays(self) -> zarr.Group:
        return zarr.open_group(self.url, mode="r+", zarr_format=3, use_consolidated=False)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def write(self, year: int, tile: Tile, classes: U8, confidence: U8) -> None:
        """Write one tile-year, class indices and percent, both of the tile's shape; then its receipt."""
        box = self.tiling.tile_box(tile)
        assert classes.shape == confidence.shape == box.shape, f"{classes.shape} is not the tile {tile} {box}"
        codes = HILDA.decode(classes)
        step = year - self.span.first
        index = (slice(step, step + 1), *box.slices(origin=self.tiling.everything))
        with accessing(self.url):
            self._arrays["land_use"][index] = codes[None]  # type: ignore[index]
            self._arrays["confidence"][index] = confidence[None]  # type: ignore[index]
        self.ledger.record(key_of(year, tile), digest(codes, confidence))

    def read(self, year: int, box: Box) -> U8:
        """Class indices of a year in a box, `OUTSIDE` beyond the grid; longitude wraps."""
        tiling = self.tiling
        rows = slice(max(box.row, 0), min(box.row + box.height, tiling.n_lat))
        crosses = box.col < 0 or box.col + box.width > tiling.n_lon
        cols = slice(0, tiling.n_lon) if crosses else slice(box.col, box.col + box.width)
        with accessing(self.url):
            array: Any = self._arrays["land_use"]
            codes = array[year - self.span.first, rows, cols]
        part = HILDA.encode(codes, where=f"{self.url} {year}")
        at = box._replace(row=box.row - rows.start, col=box.col - cols.start)
        return padded_map(part, at, periodic=tiling.periodic and crosses)

    def confidence(self, year: int, tile: Tile) -> U8:
        """Confidence of a tile-year in percent."""
        index = (year - self.span.first, *self.tiling.tile_box(tile).slices(origin=self.tiling.everything))
        with accessing(self.url):
            array: Any = self._arrays["confidence"]
            return np.asarray(array[index])

    def digest(self, year: int, tile: Tile) -> str:
        """sha256 of a stored tile-year, as its receipt should have it; "unreadable" when a shard is damaged.

        Raises OSError when the store is out of reach: that is no damage, and a repair would delete what is sound.
        """
        index = (year - self.span.first, *self.tiling.tile_box(tile).slices(origin=self.tiling.everything))
        try:
            with accessing(self.url):
                return digest(*(np.asarray(self._arrays[name][index]) for name in ("land_use", "confidence")))  # type: ignore[index]
        except OSError:
            raise
        except Exception as error:
            return f"unreadable ({type(error).__name__})"

    def damaged(self, keys: Sequence[tuple[int, Tile]]) -> list[tuple[int, Tile]]:
        """Tile-years whose stored bytes do not match their receipt, or that have none."""
        return [(year, tile) for year, tile in keys
                if (self.ledger.sha256(key_of(year, tile)) or "no receipt") != self.digest(year, tile)]

    def withdraw(self, keys: Sequence[tuple[int, Tile]]) -> None:
        """Remove receipts and shards of tile-years, so that they are computed again.

        Until then the product is unfinished. The shards go too: Zarr reads the index of an old shard before it writes a
        new one, and stops at a damaged one.
        """
        self._mark(finished=False)
        self.ledger.withdraw(key_of(year, tile) for year, tile in keys)
        for year, tile in keys:
            for name in ("land_use", "confidence"):
                remove(f"{self.url}/{name}/c/{year - self.span.first}/{tile.row}/{tile.col}")

    def finish(self) -> None:
        """Mark the product as finished and consolidate its metadata: from now on readers may use it."""
        with accessing(self.url):
            self._mark(finished=True)
            consolidate(self.url)

    def _mark(self, *, finished: bool) -> None:
        """Say whether the product is finished; that drops consolidated metadata."""
        with accessing(self.url):
            root = self._arrays
            root.attrs["luray"] = {**root.attrs["luray"], "finished": finished}  # type: ignore[dict-item]

