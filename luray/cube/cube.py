"""Reading a cube: maps and land of any box, and a `Region` that serves the model's inputs from
native arrays.

Nothing forced exists at the fine resolution: a region holds the native cells under its box and
gathers them window by window, through index maps that belong to the grids, not to the box.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import HILDA, OUTSIDE, Legend
from luray.core.regrid import AxisMap, Method, gather, grid_map, same
from luray.core.tiling import Box, Tiling
from luray.core.types import F32, U8, Bool
from luray.core.variable import Variable
from luray.cube.chunks import Chunks
from luray.model.features import Features, category, scaled
from luray.storage.objects import accessing


class Layer(NamedTuple):
    """One source in the cube: its variables on its native grid, over years or static."""

    path: str
    grid: Grid
    variables: tuple[Variable, ...]
    steps: Mapping[int, int]
    """Index of the stored values of each year; years that hold another's share its index. Empty for
    a static source.
    """
    parts: tuple[tuple[str, int], ...] = ()
    """Arrays with the values of other scenarios, and the index at which each begins, counted on
    from `path`'s.
    """

    def lead(self, year: int) -> tuple[int, ...]:
        """Index of the first axis of the values of a year, none for a static source. Raises
        ValueError without them.
        """
        if self.steps and year not in self.steps:
            raise ValueError(
                f"{self.path} has no values for {year}, only {min(self.steps)}-{max(self.steps)}; "
                "run "
                "`luray build` with a source that covers it"
            )
        return (self.steps[year],) if self.steps else ()

    def place(self, lead: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """The array that holds the values of a `lead`, and their index in it."""
        for path, first in reversed(self.parts):
            if lead and lead[0] >= first:
                return path, (lead[0] - first,)
        return self.path, lead


Indexed = TypeVar("Indexed", NDArray[Any], range)

Pieces = tuple[list[slice], list[slice]]
"""Native rows and native columns, each in one piece or several."""
NativeValues = Mapping[tuple[str | int, ...], NDArray[Any]]
"""Native values that were read elsewhere: maps by ("state", year), those of a layer by its path and
`Layer.lead`.
"""


@dataclass(frozen=True)
class Cube:
    """An open predictor cube; cheap to send to a worker, which opens the arrays itself."""

    KEPT_BYTES: ClassVar[int] = 2**28
    """Decoded chunks that a process keeps."""

    url: str
    grid: Grid
    legend: Legend
    years: tuple[int, ...]
    """Observed years."""
    forcing: tuple[Layer, ...]
    static: tuple[Layer, ...]
    fingerprint: str
    sources: tuple[dict[str, str], ...]
    """Title, DOI, licence and caveat of each source."""
    scenarios: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)
    """The forcing of each of several scenarios by its name, the first being `forcing`; empty in a
    cube of one.
    """
    other_kind: Mapping[int, str] = field(default_factory=dict)
    """Observed years whose map is of another kind than the others', in words; see
    `Source.other_kind`.
    """
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What was done to the data of each source, in words."""

    @classmethod
    def open(cls, url: str) -> "Cube":
        """Open a finished cube. Raises FileNotFoundError when there is none, or when it is only
        half built.
        """
        try:
            with accessing(url):
                root = zarr.open_group(url, mode="r", zarr_format=3)
            about: dict[str, Any] = root.attrs["luray"]  # type: ignore[assignment]
        except (FileNotFoundError, KeyError):
            raise FileNotFoundError(
                f"{url}: no finished predictor cube; run `luray build` first"
            ) from None
        groups: list[tuple[str, Any]] = [
            (path, root[path].attrs) for _, path in sorted(about["groups"].items())
        ]
        layers = [(said["luray"]["role"], _layer(path, said["luray"])) for path, said in groups]
        state = next(layer for role, layer in layers if role == "state")
        names = dict(sorted(about["groups"].items()))
        rules = {name: tuple(said["rules"]) for name, (_, said) in zip(names, groups, strict=True)}
        other_kind = {
            year: words for _, said in groups for year, words in said["luray"].get("other_kind", ())
        }
        forcing = tuple(layer for role, layer in layers if role == "forcing")
        parts = {
            name: [_layer(path, root[path].attrs["luray"]) for path in about["parts"][name]]  # type: ignore[arg-type]
            for name in about.get("scenarios", ())
        }
        views = _views(forcing, parts)
        return cls(
            url,
            Grid(**about["grid"]),
            HILDA,
            tuple(state.steps),
            next(iter(views.values()), forcing),
            tuple(layer for role, layer in layers if role == "static"),
            about["fingerprint"],
            tuple(
                {key: said[key] for key in ("title", "doi", "licence", "caveat")}
                for _, said in groups
            ),
            views,
            other_kind,
            rules,
        )

    def of_scenario(self, name: str) -> "Cube":
        """The cube as a scenario sees it: the same arrays, but the scenario's own years of the
        forcing.

        A `Layer.lead` means the same values in every view, so what is read for one can serve
        another. A cube of one scenario is its own view; an empty name, for what all share, is that
        of the first. Raises ValueError for a scenario that a cube of several lacks.
        """
        if not self.scenarios:
            return self
        name = name or next(iter(self.scenarios))
        if name not in self.scenarios:
            raise ValueError(
                f"{self.url} has no scenario {name!r}, expected one of {list(self.scenarios)}; run "
                "`luray build` with all of them in `scenarios`"
            )
        view = replace(self, forcing=self.scenarios[name])
        view.__dict__["chunks"] = self.chunks  # decoded chunks are kept once, not once a view
        return view

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every report on this cube must repeat."""
        return tuple(s["caveat"] for s in self.sources if s["caveat"])

    @cached_property
    def features(self) -> Features:
        """Layout of the model input that this cube gives."""
        return Features(
            len(self.legend),
            tuple(v for layer in self.forcing for v in layer.variables),
            tuple(v for layer in self.static for v in layer.variables),
        )

    @cached_property
    def chunks(self) -> Chunks:
        """What reads the arrays in this process."""
        return Chunks(self.url, most_bytes=self.KEPT_BYTES)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "chunks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def tiling(self, *, window: int, stride: int, tile: int) -> Tiling:
        """Windows and tiles over the grid of this cube."""
        return Tiling(
            *self.grid.shape, window=window, stride=stride, tile=tile, periodic=self.grid.periodic
        )

    def land(self, box: Box) -> Bool:
        """Land mask of a box, bool (height, width); False beyond the grid."""
        land: Bool = self._fine("land", (), box) == 1
        return land

    def state(self, year: int, box: Box) -> U8:
        """Class indices of an observed year in a box, uint8 (height, width); `OUTSIDE` off the land
        mask.

        Raises ValueError for a year that is not in the cube.
        """
        if year not in self.years:
            raise ValueError(
                f"{self.url} has no map of {year}, only {self.years[0]}-{self.years[-1]}"
            )
        classes = self.legend.encode(
            self._fine("land_use", (self.years.index(year),), box), where=f"{self.url} {year}"
        )
        return np.where(self.land(box), classes, np.uint8(OUTSIDE))

    def region(self, box: Box) -> "Region":
        """Inputs of the windows inside `box`."""
        return Region(self, box)

    def native(self, layer: Layer, lead: tuple[int, ...], pieces: Pieces) -> NDArray[Any]:
        """Stored values of a source in native rows and columns, (variable, rows, cols), in its own
        dtype.
        """
        rows, cols = pieces
        path, index = layer.place(lead)
        parts = [[self.chunks.read(path, index, r, c) for c in cols] for r in rows]
        whole = len(rows) == len(cols) == 1  # else joining would make another copy of a large array
        return parts[0][0] if whole else np.block(parts)

    def categories(self, name: str, year: int, box: Box) -> tuple[Variable, NDArray[Any]]:
        """A categorical variable and its codes of a year in a box, in its own dtype, (height,
        width).

        Raises ValueError when the cube has no such variable.
        """
        named = {
            v.name: (layer, i)
            for layer in (*self.forcing, *self.static)
            for i, v in enumerate(layer.variables)
            if v.categories
        }
        if name not in named:
            raise ValueError(
                f"{self.url} has no categorical variable {name!r}, expected one of "
                f"{sorted(named)}; "
                "correct training.sampling.zone"
            )
        layer, i = named[name]
        rows, cols = grid_map(layer.grid, self.grid, "nearest").take(box)
        pieces = rows.needed(), cols.needed()
        values = self.native(layer, layer.lead(year), pieces)[i : i + 1]
        return layer.variables[i], gather(
            values, rows.within(pieces[0]), cols.within(pieces[1]), method="nearest"
        )[0]

    def _fine(self, name: str, lead: tuple[int, ...], box: Box) -> U8:
        """A box of a state array, 0 beyond the grid, across the dateline in two pieces."""
        out = np.zeros(box.shape, np.uint8)
        top, bottom = max(box.row, 0), min(box.row + box.height, self.grid.n_lat)
        turns = (-1, 0, 1) if self.grid.periodic else (0,)
        for turn in turns:
            shift = turn * self.grid.n_lon
            left, right = max(box.col, shift), min(box.col + box.width, shift + self.grid.n_lon)
            if top < bottom and left < right:
                out[top - box.row : bottom - box.row, left - box.col : right - box.col] = (
                    self.chunks.read(
                        f"state/{name}",
                        lead,
                        slice(top, bottom),
                        slice(left - shift, right - shift),
                    )
                )
        return out


def _layer(path: str, said: dict[str, Any]) -> Layer:
    variables = tuple(
        Variable(**{**v, "categories": tuple(v["categories"]), "classes": tuple(v["classes"])})
        for v in said["variables"]
    )
    held = {year: stored for year, stored in said["held"]}
    position = {year: i for i, year in enumerate(y for y in said["years"] if y not in held)}
    steps = {year: position[held.get(year, year)] for year in said["years"]}
    return Layer(f"{path}/values", Grid(**said["grid"]), variables, steps)


def _views(
    forcing: tuple[Layer, ...], parts: Mapping[str, Sequence[Layer]]
) -> dict[str, tuple[Layer, ...]]:
    """The forcing of each scenario from that of the first, and from what the others have beside it."""
    views = {name: list(forcing) for name in parts}
    for i, layer in enumerate(forcing):
        arrays: list[tuple[str, int]] = []
        end = max(layer.steps.values(), default=-1) + 1
        for name, beside in parts.items():
            for part in beside:
                if part.path.partition("@")[0] == layer.path.removesuffix("/values"):
                    arrays.append((part.path, end))
                    steps = {year: end + step for year, step in part.steps.items()}
                    views[name][i] = layer._replace(steps={**layer.steps, **steps})
                    end += max(part.steps.values()) + 1
        for name, layers in views.items():
            views[name][i] = layers[i]._replace(parts=tuple(arrays))
    return {name: tuple(layers) for name, layers in views.items()}


@dataclass(frozen=True)
class ResampledVariables:
    """Consecutive variables of a source that are seen alike, and index maps into them of every cell
    of a region.
    """

    variables: tuple[Variable, ...]
    values_VYX: NDArray[Any]
    """As the model sees them, float32; of categorical ones the `category`."""
    rows: AxisMap
    cols: AxisMap

    @property
    def categorical(self) -> bool:
        """Whether they have categories."""
        return categorical(self.variables[0])

    @property
    def channels(self) -> int:
        """Level channels."""
        return sum(v.channels for v in self.variables)

    def seen(self, at: tuple[slice, slice]) -> Iterator[F32]:
        """Channels of a window, (channels, height, width), in one piece or several."""
        found = gather(
            self.values_VYX,
            self.rows.take(at[0]),
            self.cols.take(at[1]),
            method=self.variables[0].resampling,
        )
        if not self.categorical:
            yield found
            return
        for variable, position in zip(self.variables, found, strict=True):
            yield (position == np.arange(variable.channels, dtype=np.int16)[:, None, None]).astype(
                np.float32
            )

    def categories(self, first: int) -> Iterator[tuple[NDArray[np.int16], slice]]:
        """The `category` of each native cell for each variable, and its channels, which begin at
        `first`.
        """
        for variable, channel_YX in zip(self.variables, self.values_VYX, strict=True):
            yield channel_YX, slice(first, first := first + variable.channels)


@dataclass
class Region:
    """Channels inside a box, gathered from native arrays that are read once, of the last
    `KEPT_YEARS` years.
    """

    KEPT_YEARS = 3

    cube: Cube
    box: Box
    given: NativeValues = field(default_factory=dict)
    _native: OrderedDict[tuple[str | int, ...], list[ResampledVariables]] = field(
        default_factory=OrderedDict
    )

    def forcing(self, year: int, box: Box) -> F32:
        """Level channels of a year in a window inside the region, float32 (L, height, width)."""
        return self._seen(self.cube.forcing, year, box)

    def static(self, box: Box) -> F32:
        """Static channels in a window inside the region, float32 (S, height, width)."""
        return self._seen(self.cube.static, 0, box)

    def _seen(self, layers: tuple[Layer, ...], year: int, box: Box) -> F32:
        at = box.slices(origin=self.box)
        pieces = [
            piece for layer in layers for held in self.held(layer, year) for piece in held.seen(at)
        ]
        return np.concatenate(pieces) if pieces else np.zeros((0, *box.shape), np.float32)

    def held(self, layer: Layer, year: int) -> list[ResampledVariables]:
        """Variables of a layer in a year."""
        lead = layer.lead(year)
        key: tuple[str | int, ...] = (layer.path, *lead)
        if key not in self._native:
            self._native[key] = [
                self.hold(layer, *part) for part in alike(layer, self.values(layer, lead))
            ]
            while len(self._native) > self.KEPT_YEARS * max(1, len(self.cube.forcing)):
                self._native.popitem(last=False)
        return self._native[key]

    def hold(
        self, layer: Layer, variables: tuple[Variable, ...], native_VYX: NDArray[Any]
    ) -> ResampledVariables:
        """Native cells as the model sees them. Nearest cells of a finer grid are gathered first:
        that is less.
        """
        method = variables[0].resampling
        maps = self._maps(layer, method)
        if method == "nearest" and native_VYX.shape[1] > self.box.height:
            native_VYX = gather(native_VYX, *maps, method=method)
            maps = same(self.box.height), same(self.box.width)
        seen = (
            map(category, native_VYX, variables)
            if categorical(variables[0])
            else (scaled(*pair)[0] for pair in zip(native_VYX, variables, strict=True))
        )
        return ResampledVariables(variables, np.stack(list(seen)), *maps)

    def _maps(self, layer: Layer, method: Method) -> tuple[AxisMap, AxisMap]:
        """Maps of all the cells of the region on the native cells under it."""
        rows, cols = grid_map(layer.grid, self.cube.grid, method).take(self.box)
        native_rows, native_cols = self.pieces[layer.path]
        return rows.within(native_rows), cols.within(native_cols)

    @cached_property
    def pieces(self) -> dict[str, Pieces]:
        """Native rows and columns under the region, by layer; interpolation needs one more on
        either side.
        """
        found = {}
        for layer in (*self.cube.forcing, *self.cube.static):
            method: Method = (
                "bilinear"
                if any(v.resampling == "bilinear" for v in layer.variables)
                else "nearest"
            )
            rows, cols = grid_map(layer.grid, self.cube.grid, method).take(self.box)
            found[layer.path] = rows.needed(), cols.needed()
        return found

    def values(self, layer: Layer, lead: tuple[int, ...]) -> NDArray[Any]:
        """Native cells under the region as they are stored."""
        values = self.given.get((layer.path, *lead))
        return self.cube.native(layer, lead, self.pieces[layer.path]) if values is None else values


def categorical(variable: Variable) -> bool:
    """Whether a variable has categories."""
    return bool(variable.categories)


def alike(layer: Layer, values_VYX: Indexed) -> Iterator[tuple[tuple[Variable, ...], Indexed]]:
    """Consecutive variables that are resampled alike and have categories or none, and their values."""
    first = 0
    for _, group in groupby(layer.variables, lambda v: (v.resampling, categorical(v))):
        variables = tuple(group)
        yield variables, values_VYX[first : first + len(variables)]
        first += len(variables)
