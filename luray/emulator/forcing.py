"""The forcing of the coming year: the cube's own, or what the host model sets.

Values stay on their native grids, as in the cube. What a host sets is read in place of the cube's
values, by whatever reads them: the first layer of the model and the demand.

Shapes: V variables of a layer; Y X the native cells under the region's windows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.regrid import as_slices
from luray.core.tiling import Box
from luray.core.types import F64, Index
from luray.core.variable import Variable
from luray.cube.cube import Cube, Layer, Pieces
from luray.cube.region import Region

SET_LEAD = 1_000_000_000
"""First index of values that a host has set; no cube has so many years."""

MOST_SHARE = 1.0 + 1e-4
"""Largest sum of shares of classes in a coarse cell; what is above is no rounding."""


class NativeCells(NamedTuple):
    """The cells of a native grid that lie under a region's windows."""

    rows: Index
    cols: Index
    lat: F64
    """Latitude of the centre of each row in degrees, descending."""
    lon: F64
    """Longitude of the centre of each column in degrees; with a jump where the windows cross the
    edges of the native grid.
    """

    @classmethod
    def of(cls, layer: Layer, pieces: Pieces) -> Self:
        """Return the cells of some pieces of a layer's grid."""
        row_pieces, col_pieces = pieces
        rows = _numbers(row_pieces)
        cols = _numbers(col_pieces)
        return cls(rows, cols, layer.grid.lat[rows], layer.grid.lon[cols])

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.rows.size, self.cols.size

    def cut(self, values_VYX: NDArray[Any], pieces: Pieces) -> NDArray[Any]:
        """Return some pieces of an array over these cells, joined."""
        row_pieces, col_pieces = pieces
        rows = _places_among(self.rows, _numbers(row_pieces))
        cols = _places_among(self.cols, _numbers(col_pieces))
        return np.ascontiguousarray(values_VYX[:, rows[:, None], cols])


def _numbers(pieces: Sequence[slice]) -> Index:
    """Return the numbers of all rows, or columns, of some pieces."""
    return np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])


def _places_among(cells: Index, requested: Index) -> Index:
    """Return the place of each requested row or column among those that there are."""
    places = np.searchsorted(cells, requested)
    found = cells[np.minimum(places, cells.size - 1)]
    assert np.array_equal(found, requested), "a host reads cells that lie under no window"
    return places


@dataclass(frozen=True)
class ForcedCube(Cube):
    """A cube whose forcing a host sets, for years that the cube has and for later ones."""

    cells: Mapping[str, NativeCells] = field(default_factory=dict)
    """Where values can be set, by the path of the layer."""
    values_set: dict[tuple[str, int], NDArray[Any]] = field(default_factory=dict)
    """Values (V, Y, X) by path and lead; the years' leads are in `Layer.steps`."""

    @classmethod
    def over(cls, cube: Cube, box: Box) -> Self:
        """Return a scenario's view of a cube with room for what is set under a box."""
        pieces = Region(cube, box).pieces
        cells = {layer.path: NativeCells.of(layer, pieces[layer.path]) for layer in cube.forcing}

        # What is set adds years to the steps, so they are copies.
        by_step = (layer.by_step() for layer in cube.forcing)
        layers = tuple(layer._replace(steps=dict(layer.steps)) for layer in by_step)
        fields_of_cube = {f.name: getattr(cube, f.name) for f in fields(Cube)}
        fields_of_cube["forcing"] = layers
        forced = cls(**fields_of_cube, cells=cells)
        # Both read through one cache of decoded chunks.
        forced.__dict__["chunks"] = cube.chunks
        return forced

    def native(self, layer: Layer, lead: tuple[int, ...], pieces: Pieces) -> NDArray[Any]:
        """Return values that were set, else those of the cube, see `Cube.native`."""
        values_VYX = self.values_set.get((layer.path, lead[0])) if lead else None
        if values_VYX is None:
            return super().native(layer, lead, pieces)
        return self.cells[layer.path].cut(values_VYX, pieces)


class Forcing:
    """The forcing of the coming year, which a host reads and sets on native grids.

    Where the maps have several time steps a year, "year" means such a step.

    Parameters
    ----------
    cube : Cube
        A scenario's view of the cube.
    box : Box
        All cells that the region's windows see.

    Notes
    -----
    A value that is set counts for one year: the year after has the cube's values again.
    """

    def __init__(self, cube: Cube, box: Box) -> None:
        self._of_cube = {layer.path: layer.by_step().steps for layer in cube.forcing}
        self.cube = ForcedCube.over(cube, box)
        self.year = 0
        """The coming year."""
        self._coming: dict[str, NDArray[Any]] = {}
        """Values of the coming year (V, Y, X) of the layers that somebody has asked for."""
        self._names_set: dict[str, set[str]] = {}
        """Variables that were set for the coming year, by the path of their layer."""
        self._next_lead = SET_LEAD

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers of the forcing, in the cube's order."""
        return self.cube.forcing

    @property
    def last_year(self) -> int:
        """Last year for which the cube has all forcing."""
        return min(max(steps) for steps in self._of_cube.values())

    def begin(self, year: int) -> None:
        """Go on to a coming year; what was set for years before the last is forgotten."""
        self.year = year
        self._names_set.clear()
        for layer in self.layers:
            of_cube = self._of_cube[layer.path]
            for past, lead in list(_steps(layer).items()):
                if lead >= SET_LEAD and past < year - 1:
                    del self.cube.values_set[layer.path, lead]
                    _restore_step(layer, past, of_cube)
            if layer.path in self._coming:
                self._load(layer)

    def coming(self, name: str) -> NDArray[Any]:
        """Return the values of a variable in the coming year, (Y, X), where they are held.

        Where the cube has none and none is set, they are NaN, or 0 for whole numbers.
        """
        layer, position = self._find(name)
        if layer.path not in self._coming:
            self._coming[layer.path] = np.empty(
                (len(layer.variables), *self.cube.cells[layer.path].shape),
                layer.variables[0].dtype,
            )
            self._load(layer)
        values_YX: NDArray[Any] = self._coming[layer.path][position]
        return values_YX

    def set_values(self, name: str, values: NDArray[Any]) -> None:
        """Take values of the right shape, type and unit for a variable's in the coming year."""
        layer, position = self._find(name)
        check_range(values, layer.variables[position])
        self.coming(name)[...] = values
        self._names_set.setdefault(layer.path, set()).add(name)

    def commit(self) -> None:
        """Make what was set what the cube says of the coming year.

        Raises
        ------
        ValueError
            For variables without a value, and for shares that sum to more than 1.
        """
        for layer in self.layers:
            path = layer.path
            names_set = self._names_set.get(path, set())
            names = {variable.name for variable in layer.variables}
            if self.year not in layer.steps and names_set != names:
                raise self._lacking(layer, names - names_set)
            if not names_set:
                continue
            values_VYX = self._coming[path].copy()
            _check_shares(values_VYX, layer, names_set, self.year)
            # Each gets a lead of its own, as what is read is remembered by its lead.
            self.cube.values_set.pop((path, layer.steps.get(self.year, -1)), None)
            self.cube.values_set[path, self._next_lead] = values_VYX
            _steps(layer)[self.year] = self._next_lead
            self._next_lead += 1

    def variable(self, name: str) -> Variable:
        """Return the variable of a name."""
        layer, position = self._find(name)
        return layer.variables[position]

    def _find(self, name: str) -> tuple[Layer, int]:
        for layer in self.layers:
            for position, variable in enumerate(layer.variables):
                if variable.name == name:
                    return layer, position
        raise KeyError(name)

    def _load(self, layer: Layer) -> None:
        """Fill a layer's coming values from what the cube says of the year."""
        coming_VYX = self._coming[layer.path]
        if self.year in layer.steps:
            cells = self.cube.cells[layer.path]
            pieces = as_slices(cells.rows), as_slices(cells.cols)
            coming_VYX[...] = self.cube.native(layer, layer.lead(self.year), pieces)
        else:
            coming_VYX[...] = np.nan if coming_VYX.dtype.kind == "f" else 0

    def _lacking(self, layer: Layer, names: set[str]) -> ValueError:
        of_cube = self._of_cube[layer.path]
        label = self.cube.time.label
        return ValueError(
            f"{label(self.year)}: no values of {', '.join(sorted(names))}; the cube has "
            f"{label(min(of_cube))}-{label(max(of_cube))}. Set them before the update, or end with "
            f"{label(self.last_year)}"
        )

    # What is to be resumed

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was set and still counts, by names that `from_arrays` understands."""
        arrays = {}
        for number, layer in enumerate(self.layers):
            for year, lead in layer.steps.items():
                if lead >= SET_LEAD:
                    arrays[f"set {number} {year}"] = self.cube.values_set[layer.path, lead]
            names_set = self._names_set.get(layer.path)
            if names_set:
                arrays[f"coming {number}"] = self._coming[layer.path]
                is_set = [variable.name in names_set for variable in layer.variables]
                arrays[f"is set {number}"] = np.array(is_set)
        return arrays

    def from_arrays(self, arrays: Mapping[str, NDArray[Any]], year: int) -> None:
        """Take over what was set, the coming year being `year`."""
        self.cube.values_set.clear()
        for layer in self.layers:
            steps = _steps(layer)
            steps.clear()
            steps.update(self._of_cube[layer.path])
        for number, layer in enumerate(self.layers):
            past = arrays.get(f"set {number} {year - 1}")
            if past is not None:
                self.cube.values_set[layer.path, self._next_lead] = past
                _steps(layer)[year - 1] = self._next_lead
                self._next_lead += 1
        self.begin(year)
        for number, layer in enumerate(self.layers):
            if f"coming {number}" in arrays:
                self.coming(layer.variables[0].name)  # makes the array that is filled here
                self._coming[layer.path][...] = arrays[f"coming {number}"]
                names_set = set()
                is_set_V = arrays[f"is set {number}"]
                for variable, is_set in zip(layer.variables, is_set_V, strict=True):
                    if is_set:
                        names_set.add(variable.name)
                self._names_set[layer.path] = names_set


def check_range(values: NDArray[Any], variable: Variable) -> None:
    """Raise ValueError for values that a variable cannot have; NaN is missing, and allowed."""
    if variable.categories:
        allowed = {0, *variable.categories}
        wrong = ~np.isin(values, list(allowed))
        expected = f"one of {sorted(variable.categories)}, or 0 for none of them"
    elif variable.classes:
        wrong = (values < 0) | (values > MOST_SHARE)
        expected = "shares between 0 and 1"
    elif variable.transform == "log1p":
        wrong = values < 0
        expected = "0 or more"
    else:
        wrong = np.zeros(values.shape, np.bool_)
        expected = "finite numbers"
    if values.dtype.kind == "f":
        wrong |= np.isinf(values)
    if wrong.any():
        raise ValueError(
            f"{variable.name}: {int(wrong.sum())} of {values.size} values are out of range (first "
            f"{values[wrong].flat[0]}), expected {expected}, in {variable.units}; correct them, or "
            "say their unit with `units`"
        )


def _check_shares(values_VYX: NDArray[Any], layer: Layer, names_set: set[str], year: int) -> None:
    """Raise ValueError where shares of classes that were set sum to more than 1."""
    shares = [variable.name for variable in layer.variables if variable.classes]
    if not names_set & set(shares):
        return
    is_share = [variable.name in shares for variable in layer.variables]
    total_YX = np.nansum(values_VYX[is_share], axis=0)
    if total_YX.max(initial=0) > MOST_SHARE:
        raise ValueError(
            f"{year}: {', '.join(shares)} sum to {total_YX.max():.4f} in a coarse cell, expected "
            "at most 1; set all of them, not only those that grow"
        )


def _steps(layer: Layer) -> dict[int, int]:
    """Return the steps of a layer of a `ForcedCube`, which are its own."""
    assert isinstance(layer.steps, dict)
    return layer.steps


def _restore_step(layer: Layer, year: int, of_cube: Mapping[int, int]) -> None:
    """Make a year's values those of the cube again, or none."""
    if year in of_cube:
        _steps(layer)[year] = of_cube[year]
    else:
        del _steps(layer)[year]
