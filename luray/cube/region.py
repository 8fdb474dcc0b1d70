"""The model's inputs inside a box, resampled from native cells that are read once.

A region reads the native cells under its box and resamples them window by window. The index maps
belong to the grids, not to the box, so a value does not depend on the region that serves it.

Shapes: V variables; Y X native cells; L level channels of the forcing; S static channels; H W cells
of a window.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from luray.core.regrid import (
    AxisMap,
    Method,
    cells_of,
    gather,
    grid_map,
    interpolate,
    nearest_levels,
    one_hot,
    same,
)
from luray.core.tiling import Box
from luray.core.types import F32, Index
from luray.core.variable import Variable
from luray.cube.cube import Cube, Layer, NativeValues, Pieces
from luray.model.features import category, scaled

Indexed = TypeVar("Indexed", NDArray[Any], range)
"""Values of the variables, or their positions: `resampling_groups` divides either."""


@dataclass(frozen=True)
class ResampledVariables:
    """Consecutive variables of a source that are resampled alike, with their index maps.

    The maps lead from every cell of a region to the native cells.
    """

    variables: tuple[Variable, ...]
    native_VYX: NDArray[Any]
    """As they are stored."""
    rows: AxisMap
    cols: AxisMap

    @property
    def categorical(self) -> bool:
        """Whether they have categories."""
        return categorical(self.variables[0])

    @property
    def channels(self) -> int:
        """Number of level channels that they give."""
        return sum(variable.channels for variable in self.variables)

    @cached_property
    def values_VYX(self) -> NDArray[Any]:
        """As the model sees them, float32; of categorical ones the `category`."""
        converted: list[NDArray[Any]] = []
        for native_YX, variable in zip(self.native_VYX, self.variables, strict=True):
            if categorical(variable):
                converted.append(category(native_YX, variable))
            else:
                converted.append(scaled(native_YX, variable)[0])
        return np.stack(converted)

    def write(self, window: tuple[slice, slice], out_CHW: F32) -> None:
        """Write the channels of a window, of any strides.

        Stored values are scaled, or spread over their categories, on the way: nothing but the
        channels themselves is ever held at the fine resolution.
        """
        rows = self.rows.take(window[0])
        cols = self.cols.take(window[1])
        if self.categorical:
            first = 0
            for native_YX, variable in zip(self.native_VYX, self.variables, strict=True):
                end = first + variable.channels
                categories = np.array(variable.categories, native_YX.dtype)
                one_hot(native_YX, categories, rows.low, cols.low, out_CHW[first:end])
                first = end
            return

        native_VYX = self.native_VYX
        scale_V = np.array([variable.scale for variable in self.variables], np.float32)
        if any(variable.transform != "linear" for variable in self.variables):
            # A logarithm comes before the interpolation.
            native_VYX = self.values_VYX
            scale_V = np.ones_like(scale_V)
        if self.variables[0].resampling == "nearest":
            nearest_levels(native_VYX, scale_V, rows.low, cols.low, out_CHW)
        else:
            interpolate(native_VYX, scale_V, rows, cols, np.moveaxis(out_CHW, 0, -1), 0)

    def categories(self, first: int) -> Iterator[tuple[NDArray[np.int16], slice]]:
        """Yield the `category` of each native cell for each variable, and its channels.

        `first` is the channel of the first category of the first variable.
        """
        for variable, category_YX in zip(self.variables, self.values_VYX, strict=True):
            end = first + variable.channels
            yield category_YX, slice(first, end)
            first = end


@dataclass
class Region:
    """The inputs of windows inside a box.

    Parameters
    ----------
    cube : Cube
        The cube, in the view of a scenario.
    box : Box
        Fine cells; it may reach past the grid. Longitude wraps; past the poles and past the edge of
        a region the last native cell holds.
    given : NativeValues
        Values that were read elsewhere and take the place of a read.
    """

    CACHED_YEARS = 3
    """Years whose forcing is remembered: a step needs two, and the next one the later of them."""

    cube: Cube
    box: Box
    given: NativeValues = field(default_factory=dict)
    _cache: OrderedDict[tuple[str | int, ...], list[ResampledVariables]] = field(
        default_factory=OrderedDict
    )

    def forcing(self, year: int, box: Box, *, out: F32 | None = None) -> F32:
        """Return the level channels of a year in a window inside the region, float32 (L, H, W).

        They are written to `out` where it is given, of that shape and any strides.
        """
        return self._channels(self.cube.forcing, year, box, out)

    def static(self, box: Box, *, out: F32 | None = None) -> F32:
        """Return the static channels in a window inside the region, float32 (S, H, W).

        They are written to `out` where it is given, of that shape and any strides.
        """
        return self._channels(self.cube.static, 0, box, out)

    def _channels(
        self, layers: tuple[Layer, ...], year: int, box: Box, out: F32 | None = None
    ) -> F32:
        window = box.slices(origin=self.box)
        if out is None:
            out = np.empty((n_channels(layers), *box.shape), np.float32)
        end = 0
        for layer in layers:
            for variables in self.resampled(layer, year):
                begin, end = end, end + variables.channels
                variables.write(window, out[begin:end])
        assert end == len(out), f"{end} channels for {len(out)}"
        return out

    def resampled(self, layer: Layer, year: int) -> list[ResampledVariables]:
        """Return the variables of a layer in a year, read unless they are remembered."""
        lead = layer.lead(year)
        # Years that share their values share the lead, and so what is remembered.
        key: tuple[str | int, ...] = (layer.path, *lead)
        if key not in self._cache:
            native_VYX = self.values(layer, lead)
            self._cache[key] = [
                self.resample(layer, variables, values)
                for variables, values in resampling_groups(layer, native_VYX)
            ]

            # The oldest entries go: an entry is one layer in one year.
            most_entries = self.CACHED_YEARS * max(1, len(self.cube.forcing))
            while len(self._cache) > most_entries:
                self._cache.popitem(last=False)
        return self._cache[key]

    def resample(
        self, layer: Layer, variables: tuple[Variable, ...], native_VYX: NDArray[Any]
    ) -> ResampledVariables:
        """Return native cells, ready to be resampled."""
        method = variables[0].resampling
        maps = self._maps(layer, method)
        # The nearest cells of a finer grid are gathered first: there are fewer of them to keep.
        if method == "nearest" and native_VYX.shape[1] > self.box.height:
            native_VYX = gather(native_VYX, *maps, method=method)
            maps = same(self.box.height), same(self.box.width)

        return ResampledVariables(variables, native_VYX, *maps)

    def _maps(self, layer: Layer, method: Method) -> tuple[AxisMap, AxisMap]:
        """Return maps of all the cells of the region on the native cells under it."""
        rows, cols = self._taken(layer, method)
        native_rows, native_cols = self.pieces[layer.path]
        return rows.within(native_rows), cols.within(native_cols)

    def _taken(self, layer: Layer, method: Method) -> tuple[AxisMap, AxisMap]:
        """Return maps of all the cells of the region on the native grid."""
        whole = grid_map(layer.grid, self.cube.grid, method)
        rows, cols = self._cells
        return whole.rows.take(rows), whole.cols.take(cols)

    @cached_property
    def _cells(self) -> tuple[Index, Index]:
        """Rows and columns of the fine grid that stand for those of the region."""
        return cells_of(self.box, self.cube.grid)

    @cached_property
    def pieces(self) -> dict[str, Pieces]:
        """Native rows and columns under the region, by the path of the layer."""
        pieces = {}
        for layer in (*self.cube.forcing, *self.cube.static):
            # Interpolation needs one more cell on either side, which serves the others, too.
            interpolated = any(v.resampling == "bilinear" for v in layer.variables)
            method: Method = "bilinear" if interpolated else "nearest"
            rows, cols = self._taken(layer, method)
            pieces[layer.path] = rows.needed(), cols.needed()
        return pieces

    def values(self, layer: Layer, lead: tuple[int, ...]) -> NDArray[Any]:
        """Return the native cells under the region as they are stored, (V, Y, X)."""
        read_elsewhere = self.given.get((layer.path, *lead))
        if read_elsewhere is not None:
            return read_elsewhere
        return self.cube.native(layer, lead, self.pieces[layer.path])


def n_channels(layers: tuple[Layer, ...]) -> int:
    """Return how many channels the variables of some sources give."""
    return sum(variable.channels for layer in layers for variable in layer.variables)


def categorical(variable: Variable) -> bool:
    """Return whether a variable has categories."""
    return bool(variable.categories)


def resampling_groups(
    layer: Layer, values: Indexed
) -> Iterator[tuple[tuple[Variable, ...], Indexed]]:
    """Yield consecutive variables that are resampled alike, with their part of `values`.

    Variables with categories and those without are apart. `values` has the variables of the layer
    along its first axis.
    """
    first = 0
    for _, group in groupby(layer.variables, lambda v: (v.resampling, categorical(v))):
        variables = tuple(group)
        yield variables, values[first : first + len(variables)]
        first += len(variables)
