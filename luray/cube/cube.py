"""The predictor cube as its readers see it: maps and land of any box, and stored native values.

No forcing exists at the fine resolution. `luray.cube.region.Region` turns native values into the
model's inputs, window by window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import OUTSIDE, Legend
from luray.core.legend_files import stored_legend
from luray.core.regrid import gather, grid_map
from luray.core.tiling import Box, Tiling, pieces_on_grid
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import U8, Bool, Direction
from luray.core.variable import Variable
from luray.core.years import years_before
from luray.cube.chunks import Chunks, StoredShard
from luray.cube.schema import LAND, OCEAN, WITHOUT_DATA
from luray.model.features import UNKNOWN, Features
from luray.storage.objects import accessing


class Layer(NamedTuple):
    """One source in the cube: its variables on its native grid, over years or static."""

    path: str
    """Path of the array of values, such as forcing/luh2/values."""
    grid: Grid
    variables: tuple[Variable, ...]
    steps: Mapping[int, int]
    """Index of the stored values of each year; years that share their values share the index.
    Empty for a static source.
    """
    parts: tuple[tuple[str, int], ...] = ()
    """Arrays with the values of other scenarios, and the step at which each begins. Steps count on
    from those of `path`, so that a step names the same values in every scenario's view.
    """
    per_year: int = 1
    """Values of a year: where it is not 1, the keys of `steps` are steps of so many a year."""
    time: TimeSteps = YEARLY
    """Time steps of the maps."""

    def lead(self, year: int) -> tuple[int, ...]:
        """Return the index of a year along the first axis; () for a static source.

        A year is a time step of the maps. Raises ValueError for one without values.
        """
        if not self.steps:
            return ()
        own_step = self.time.index(year, self.per_year)
        if own_step not in self.steps:
            raise ValueError(
                f"{self.path} has no values for {self.time.label(year)}, only "
                f"{min(self.steps) // self.per_year}-{max(self.steps) // self.per_year}; run "
                "`luray build` with a source that covers it"
            )
        return (self.steps[own_step],)

    def by_step(self) -> "Layer":
        """Return the same values with an entry in `steps` for each time step of the maps."""
        if self.per_year == self.time.per_year:
            return self
        years = {own_step // self.per_year for own_step in self.steps}
        steps = {}
        for year in sorted(years):
            for step in self.time.of_years(year, year):
                own_step = self.time.index(step, self.per_year)
                if own_step in self.steps:
                    steps[step] = self.steps[own_step]
        return self._replace(steps=steps, per_year=self.time.per_year)

    def place(self, lead: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Return the array that holds the values of a `lead`, and their index in that array."""
        for path, first in reversed(self.parts):
            if lead and lead[0] >= first:
                return path, (lead[0] - first,)
        return self.path, lead


Pieces = tuple[list[slice], list[slice]]
"""Native rows and native columns, each in one piece or several."""
NativeValues = Mapping[tuple[str | int, ...], NDArray[Any]]
"""Native values that were read elsewhere: maps by ("state", year), those of a layer by its path and
`Layer.lead`.
"""


@dataclass(frozen=True)
class Cube:
    """An open predictor cube.

    It is metadata alone and cheap to send to a worker, which opens the arrays itself.
    """

    CACHE_BYTES: ClassVar[int] = 2**28
    """Decoded chunks that a process remembers."""

    url: str
    grid: Grid
    legend: Legend
    years: tuple[int, ...]
    """Observed years, ascending."""
    forcing: tuple[Layer, ...]
    static: tuple[Layer, ...]
    fingerprint: str
    sources: tuple[dict[str, str], ...]
    """Title, DOI, licence and caveat of each source."""
    scenarios: Mapping[str, tuple[Layer, ...]] = field(default_factory=dict)
    """The forcing of each of several scenarios by its name; `forcing` is that of the first. Empty
    in a cube of one scenario.
    """
    other_kind: Mapping[int, str] = field(default_factory=dict)
    """Observed years whose map is of another kind than the others', in words; see
    `Source.other_kind`.
    """
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Corrections of the data of each source, in words."""
    tells_no_data: bool = False
    """Whether cells without data are told from ocean; cubes of earlier versions do not."""
    time: TimeSteps = YEARLY
    """Time steps of the maps: where there are several a year, each "year" here is one of them."""

    @classmethod
    def open(cls, url: str) -> "Cube":
        """Open a finished cube.

        Parameters
        ----------
        url : str
            A local path or any URL that fsspec knows.

        Raises
        ------
        FileNotFoundError
            Where there is no cube, or one that is half built.
        """
        try:
            with accessing(url):
                root = zarr.open_group(url, mode="r", zarr_format=3)
            about: dict[str, Any] = root.attrs["luray"]  # type: ignore[assignment]
        except (FileNotFoundError, KeyError):
            raise FileNotFoundError(
                f"{url}: no finished predictor cube; run `luray build` first"
            ) from None

        time = TimeSteps(about.get("time_step", YEARLY.interval))
        land_attributes: Any = root["state/land"].attrs
        paths = dict(sorted(about["groups"].items()))
        groups: dict[str, Any] = {name: root[path].attrs for name, path in paths.items()}
        layers: dict[str, list[Layer]] = {"state": [], "forcing": [], "static": []}
        # By name, so that channels have the same order whatever the order of [[sources]].
        for name, attributes in groups.items():
            described = attributes["luray"]
            layers[described["role"]].append(_layer(paths[name], described, time))
        [state] = layers["state"]
        forcing = tuple(layers["forcing"])

        # What each further scenario has beside the first lies in groups of its own.
        parts: dict[str, list[Layer]] = {}
        for scenario in about.get("scenarios", ()):
            parts[scenario] = []
            for path in about["parts"][scenario]:
                part_attributes: Any = root[path].attrs
                parts[scenario].append(_layer(path, part_attributes["luray"], time))
        views = _views(forcing, parts)

        other_kind: dict[int, str] = {}
        for attributes in groups.values():
            other_kind.update(attributes["luray"].get("other_kind", ()))
        sources = tuple(
            {key: attributes[key] for key in ("title", "doi", "licence", "caveat")}
            for attributes in groups.values()
        )
        return cls(
            url,
            Grid(**about["grid"]),
            stored_legend(about["legend"]),
            years=tuple(state.steps),
            forcing=next(iter(views.values()), forcing),
            static=tuple(layers["static"]),
            fingerprint=about["fingerprint"],
            sources=sources,
            scenarios=views,
            other_kind=other_kind,
            rules={name: tuple(attributes["rules"]) for name, attributes in groups.items()},
            tells_no_data=WITHOUT_DATA in land_attributes["flag_values"],
            time=time,
        )

    def of_scenario(self, name: str) -> "Cube":
        """Return the cube as a scenario sees it: the same arrays, its own years of the forcing.

        A `Layer.lead` means the same values in every view, so what is read for one can serve
        another.

        Parameters
        ----------
        name : str
            A scenario; empty for what all share, which is the view of the first. A cube of one
            scenario is its own view.

        Raises
        ------
        ValueError
            For a scenario that a cube of several lacks.
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
        # All views read through one cache, else each would remember the same decoded chunks.
        view.__dict__["chunks"] = self.chunks
        return view

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences that every report on this cube must repeat."""
        return tuple(source["caveat"] for source in self.sources if source["caveat"])

    @cached_property
    def features(self) -> Features:
        """Layout of the model input that this cube gives.

        Raises ValueError where several sources say how much of each class a coarse cell has.
        """
        if len(self.share_layers) > 1:
            paths = ", ".join(layer.path for layer in self.share_layers)
            raise ValueError(
                f"{self.url} has several sources of coarse class shares, expected one at most: "
                f"{paths}; remove all but one from [[sources]]"
            )
        forcing = chain.from_iterable(layer.variables for layer in self.forcing)
        static = chain.from_iterable(layer.variables for layer in self.static)
        if self.legend.scale is not None:
            return Features(
                0,
                tuple(forcing),
                tuple(static),
                scale=self.legend.scale,
                per_year=self.time.per_year,
            )
        codes = tuple(int(code) for code in self.legend.codes)
        return Features(len(self.legend), tuple(forcing), tuple(static), codes=codes)

    @property
    def share_layers(self) -> list[Layer]:
        """Forcing that says how much of each class a coarse cell has."""
        return [layer for layer in self.forcing if any(v.classes for v in layer.variables)]

    @cached_property
    def chunks(self) -> Chunks:
        """The reader of the arrays in this process."""
        return Chunks(self.url, most_bytes=self.CACHE_BYTES)

    def __getstate__(self) -> dict[str, Any]:
        # Decoded chunks and open arrays stay behind: each process has its own.
        return {name: value for name, value in self.__dict__.items() if name != "chunks"}

    def tiling(self, *, window: int, stride: int, tile: int) -> Tiling:
        """Return windows and tiles over the grid of this cube; see `Tiling`."""
        return Tiling(
            *self.grid.shape, window=window, stride=stride, tile=tile, periodic=self.grid.periodic
        )

    def land(self, box: Box) -> Bool:
        """Return the land mask of a box, bool (height, width); False beyond the grid."""
        land: Bool = self._read_box("land", (), box, beyond=OCEAN) == LAND
        return land

    def no_data(self, box: Box) -> Bool:
        """Return which cells of a box are off land because the maps have no data there."""
        no_data: Bool = self._read_box("land", (), box, beyond=OCEAN) == WITHOUT_DATA
        return no_data

    def state(self, year: int, box: Box, *, land: Bool | None = None) -> U8:
        """Return the observed map of a year in a box.

        Parameters
        ----------
        year : int
            One of `years`.
        box : Box
            It may reach past the grid: longitude wraps where the grid spans the globe.
        land : array of bool, optional
            The land mask of the box, for callers that want many years of it; else it is read.

        Returns
        -------
        array of uint8, shape (height, width)
            Class indices; `OUTSIDE` off the land mask and beyond the grid.

        Raises
        ------
        ValueError
            For a year that is not in the cube, and for a stored code outside the legend.
        """
        lead = self._step_of(year)
        codes = self._read_box(self.legend.variable, lead, box, beyond=self.legend.ocean)
        land = self.land(box) if land is None else land
        return self.classes_of(codes, land, year=year)

    def stored_state(self, year: int, box: Box) -> StoredShard | None:
        """Return the published codes of a year as they are stored.

        None where the box is not exactly one shard of the maps. See `state` for the rest.
        """
        return self.chunks.shard(f"state/{self.legend.variable}", self._step_of(year), box)

    def classes_of(self, codes: U8, land: Bool, *, year: int) -> U8:
        """Return the class indices of the stored codes of a year, `OUTSIDE` off land.

        Land whose value is not known, as under a cloud, is `UNKNOWN`. Raises ValueError for a code
        outside the legend.
        """
        classes = self.legend.encode(codes, where=f"{self.url} {self.time.label(year)}")
        if self.legend.scale is not None:
            np.copyto(classes, np.uint8(UNKNOWN), where=classes == OUTSIDE)
        np.copyto(classes, np.uint8(OUTSIDE), where=~land)
        return classes

    def _step_of(self, year: int) -> tuple[int, ...]:
        """Return the index of a year among the maps. Raises ValueError for one without a map."""
        if year not in self.years:
            raise ValueError(
                f"{self.url} has no map of {self.time.label(year)}, only "
                f"{self.time.label(self.years[0])}-{self.time.label(self.years[-1])}; ask for one "
                "of these, or run `luray build` with maps of that year"
            )
        return (self.years.index(year),)

    def years_before(self, year: int, *, direction: Direction, most: int) -> tuple[int, ...]:
        """Return the years whose observed maps a cell remembers beside that of a year.

        The nearest first, at most `most`. They end before a year without a map and before a map of
        another kind; see `core.years.years_before`.
        """
        return years_before(
            year, self.years, direction=direction, most=most, left_out=self.other_kind
        )

    def native(self, layer: Layer, lead: tuple[int, ...], pieces: Pieces) -> NDArray[Any]:
        """Return stored values of a source, in its own dtype.

        Parameters
        ----------
        layer : Layer
            The source, with the view of a scenario.
        lead : tuple of int
            What `Layer.lead` gives for a year.
        pieces : Pieces
            Native rows and columns.

        Returns
        -------
        array, shape (variable, rows, cols)
            The pieces joined.
        """
        rows, cols = pieces
        path, index = layer.place(lead)

        def read(row_slice: slice) -> list[NDArray[Any]]:
            return [self.chunks.read(path, index, row_slice, col_slice) for col_slice in cols]

        blocks = [read(row_slice) for row_slice in rows]
        if len(rows) == len(cols) == 1:
            # To join a single block would make another copy of a large array.
            return blocks[0][0]
        return np.block(blocks)

    def categories(self, name: str, year: int, box: Box) -> tuple[Variable, NDArray[Any]]:
        """Return a categorical variable and its codes of a year in a box.

        Returns
        -------
        Variable
            The variable of that name.
        array, shape (height, width)
            Codes of the nearest native cells, in the variable's dtype.

        Raises
        ------
        ValueError
            When the cube has no such variable.
        """
        # Where a name is there twice the last one counts, so a static variable before forcing.
        categorical: dict[str, tuple[Layer, int]] = {}
        for layer in (*self.forcing, *self.static):
            for position, variable in enumerate(layer.variables):
                if variable.categories:
                    categorical[variable.name] = layer, position
        if name not in categorical:
            raise ValueError(
                f"{self.url} has no categorical variable {name!r}, expected one of "
                f"{sorted(categorical)}; correct training.sampling.zone or evaluation.zones"
            )

        layer, position = categorical[name]
        rows, cols = grid_map(layer.grid, self.grid, "nearest").take(box)
        row_pieces = rows.needed()
        col_pieces = cols.needed()
        native_VYX = self.native(layer, layer.lead(year), (row_pieces, col_pieces))
        codes_VHW = gather(
            native_VYX[position : position + 1],
            rows.within(row_pieces),
            cols.within(col_pieces),
            method="nearest",
        )
        return layer.variables[position], codes_VHW[0]

    def _read_box(self, name: str, lead: tuple[int, ...], box: Box, *, beyond: int) -> U8:
        """Return a box of an array of the state, with a value for what is beyond the grid."""
        values = np.full(box.shape, beyond, np.uint8)
        for piece in pieces_on_grid(box, self.grid.shape, periodic=self.grid.periodic):
            rows, cols = piece.on_grid.slices(origin=Box(0, 0, 0, 0))
            values[piece.in_box.slices(origin=box)] = self.chunks.read(
                f"state/{name}", lead, rows, cols
            )
        return values


def _layer(path: str, described: Mapping[str, Any], time: TimeSteps) -> Layer:
    """Return the layer of a group from the attributes that `finish` wrote."""
    variables = []
    for fields in described["variables"]:
        categories = tuple(fields["categories"])
        classes = tuple(fields["classes"])
        variables.append(Variable(**{**fields, "categories": categories, "classes": classes}))

    # Only years with values of their own are stored; a year that holds the values of another one
    # shares its step.
    source_year = dict(described["held"])
    stored_years = [year for year in described["years"] if year not in source_year]
    step_of_stored = {year: step for step, year in enumerate(stored_years)}
    steps = {year: step_of_stored[source_year.get(year, year)] for year in described["years"]}
    return Layer(
        f"{path}/values",
        Grid(**described["grid"]),
        tuple(variables),
        steps,
        per_year=described.get("per_year", 1),
        time=time,
    )


def _views(
    forcing: tuple[Layer, ...], parts: Mapping[str, Sequence[Layer]]
) -> dict[str, tuple[Layer, ...]]:
    """Return the forcing of each scenario.

    `forcing` is that of the first scenario, `parts` what each scenario has beside it. The steps of
    all parts of a source are numbered one after another, behind those of the first scenario.
    """
    views = {scenario: list(forcing) for scenario in parts}
    for i, layer in enumerate(forcing):
        group = layer.path.removesuffix("/values")
        arrays: list[tuple[str, int]] = []
        end = max(layer.steps.values(), default=-1) + 1
        for scenario, scenario_parts in parts.items():
            for part in scenario_parts:
                if part.path.partition("@")[0] != group:  # such as forcing/luh2@ssp585
                    continue

                # The years of the part replace those that the first scenario has.
                arrays.append((part.path, end))
                steps = {year: end + step for year, step in part.steps.items()}
                views[scenario][i] = layer._replace(steps={**layer.steps, **steps})
                end += max(part.steps.values()) + 1

        # Every view knows every part, so that a step names the same values in all of them.
        for layers in views.values():
            layers[i] = layers[i]._replace(parts=tuple(arrays))
    return {scenario: tuple(layers) for scenario, layers in views.items()}
