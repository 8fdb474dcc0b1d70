"""Model inputs of a tile's windows for inference, written in place, year after year."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.cube.regions import Cube, Layer
from luray.model.assembly import (
    channels_of,
    lay,
    put_changes,
    put_codes,
    put_levels,
    put_runs,
)
from luray.model.features import changes, scaled
from luray.regrid import AxisMap, Method
from luray.schema import F32, Variable
from luray.windows import Box

Part = Callable[[slice, slice, F32], None]
"""Writes some channels of the cells in the rows and columns of a box into a window (H, W, C)."""

COARSE = 4
"""Fine cells along a side of a native one from which on all channels of a native cell are laid at once."""
KEPT_YEARS = 4
"""Pairs of years whose native values are kept: chains in several directions take turns."""


class Inputs:
    """Everything but the prior map of the windows in a box; satisfies `inference.Fields`.

    Held are continuous static variables at the resolution of the run (4 bytes a cell each), and codes and forcing on
    their native grids.
    """

    def __init__(self, cube: Cube, box: Box) -> None:
        self._cube, self._box, self._region = cube, box, cube.region(box)
        features = cube.features
        self._level, self._n_changing = features.n_classes + 1, features.changing.size
        self._change = self._level + sum(v.channels for v in features.forcing)
        self._years: OrderedDict[tuple[int, int], list[Part]] = OrderedDict()
        self._maps: dict[tuple[str, Method], tuple[AxisMap, AxisMap]] = {}

    def seen_in(self, cube: Cube) -> "Inputs":
        """The same box in another scenario's view of the cube; what is static is shared."""
        other = Inputs(cube, self._box)
        other.__dict__["_fixed"] = self._fixed
        return other

    @property
    def n_bytes(self) -> int:
        """Bytes of what is static, which is read now if it is not there yet."""
        return self._fixed[0].nbytes + sum(codes.nbytes for codes, *_ in self._fixed[2])

    def fill(self, out_HWC: F32, *, year: int, prior_year: int, box: Box) -> None:
        """Write the context of a window in a year of travel from `prior_year`, and zeros for the prior map."""
        rows, cols = box.slices(origin=self._box)
        for put in self._parts(year, prior_year):
            put(rows, cols, out_HWC)

    def _parts(self, year: int, prior_year: int) -> list[Part]:
        key = year, prior_year
        if key not in self._years:
            self._years[key] = [*self._forcing(year, prior_year), *self._static()]
            while len(self._years) > KEPT_YEARS:
                self._years.popitem(last=False)
        return self._years[key]

    def _forcing(self, year: int, prior_year: int) -> Iterator[Part]:
        """What writes the forcing; the first part lays every channel."""
        n_channels, level, change = self._cube.features.n_channels, self._level, self._change
        ground: tuple[F32, tuple[AxisMap, AxisMap]] | None = None
        parts: list[Part] = []
        for layer in self._cube.forcing:
            now, prior = (self._region.values(layer, layer.lead(y)) for y in (year, prior_year))
            at = 0
            for (method, categorical), some in groupby(layer.variables, lambda v: (v.resampling, bool(v.categories))):
                variables, maps = list(some), self._map(layer, method)
                n = len(variables)
                if categorical:
                    for codes, v in zip(now[at : at + n], variables, strict=True):
                        parts.append(partial(_codes, codes, maps, channels_of(v.categories, level)))
                        level += v.channels
                else:
                    firsts = np.array([level, change, change + self._n_changing])
                    levels, before = (_levels(values[at : at + n], variables) for values in (now, prior))
                    if method == "bilinear":
                        parts.append(partial(_changes, levels, before, maps, firsts))
                    else:
                        runs = np.concatenate([levels, *changes(levels, before, np)], axis=-1)
                        if ground is None and layer.grid.step >= COARSE * self._cube.grid.step:
                            laid = np.zeros((*runs.shape[:2], n_channels), np.float32)
                            laid[..., np.concatenate([np.arange(first, first + n) for first in firsts])] = runs
                            ground = laid, maps
                        else:
                            parts.append(partial(_runs, runs, maps, firsts))
                    level, change = level + n, change + n
                at += n
        laid, maps = ground or (np.zeros((1, 1, n_channels), np.float32), (self._nowhere(0), self._nowhere(1)))
        field_HWS, cuts, _ = self._fixed
        yield partial(_lay, laid, maps, field_HWS, np.array(cuts, np.int64).reshape(-1, 3))
        yield from parts

    def _nowhere(self, axis: int) -> AxisMap:
        """Every fine cell on the first and only native one."""
        zeros = np.zeros(self._box.shape[axis], np.int64)
        return AxisMap(zeros, zeros, zeros.astype(np.float32))

    def _static(self) -> Iterator[Part]:
        _, _, codes = self._fixed
        for values, maps, channel_of in codes:
            yield partial(_codes, values, maps, channel_of)

    @cached_property
    def _fixed(self) -> tuple[F32, list[tuple[int, int, int]], list[tuple[NDArray[Any], Any, NDArray[np.int64]]]]:
        """Continuous static variables (H, W, S) with runs (channel, number, first of S); categories and their maps."""
        n = sum(not v.categories for v in self._cube.features.static)
        field_HWS = np.empty((*self._box.shape, n), np.float32)
        cuts: list[tuple[int, int, int]] = []
        codes: list[tuple[NDArray[Any], Any, NDArray[np.int64]]] = []
        channel, s = self._change + 2 * self._n_changing, 0
        for layer in self._cube.static:
            for values, v in zip(self._region.values(layer, ()), layer.variables, strict=True):
                rows, cols = maps = self._map(layer, v.resampling)
                if v.categories:
                    codes.append((values, maps, channels_of(v.categories, channel)))
                else:
                    native_YXV = scaled(values, v)[0][..., None]
                    if v.resampling == "bilinear":
                        put_levels(native_YXV, rows, cols, s, field_HWS)
                    else:
                        put_runs(native_YXV, rows.low, cols.low, np.array([s]), field_HWS)
                    if cuts and cuts[-1][0] + cuts[-1][1] == channel:
                        cuts[-1] = cuts[-1][0], cuts[-1][1] + 1, cuts[-1][2]
                    else:
                        cuts.append((channel, 1, s))
                    s += 1
                channel += v.channels
        return field_HWS, cuts, codes

    def _map(self, layer: Layer, method: Method) -> tuple[AxisMap, AxisMap]:
        if (layer.path, method) not in self._maps:
            self._maps[layer.path, method] = self._region.maps(layer, method, self._box)
        return self._maps[layer.path, method]


def _levels(values_VYX: NDArray[Any], variables: list[Variable]) -> F32:
    """Native values as the model sees them, float32 (Y, X, V)."""
    return np.ascontiguousarray(np.concatenate(list(map(scaled, values_VYX, variables))).transpose(1, 2, 0))


def _lay(laid_YXC: F32, maps: tuple[AxisMap, AxisMap], field_HWS: F32, cuts: NDArray[np.int64], rows: slice,
         cols: slice, out_HWC: F32) -> None:
    lay(laid_YXC, maps[0].low[rows], maps[1].low[cols], field_HWS, rows.start, cols.start, cuts, out_HWC)


def _runs(runs_YXV: F32, maps: tuple[AxisMap, AxisMap], firsts: NDArray[np.int64], rows: slice, cols: slice,
          out_HWC: F32) -> None:
    put_runs(runs_YXV, maps[0].low[rows], maps[1].low[cols], firsts, out_HWC)


def _codes(codes_YX: NDArray[Any], maps: tuple[AxisMap, AxisMap], channel_of: NDArray[np.int64], rows: slice,
           cols: slice, out_HWC: F32) -> None:
    put_codes(codes_YX, maps[0].low[rows], maps[1].low[cols], channel_of, out_HWC)


def _changes(now_YXV: F32, prior_YXV: F32, maps: tuple[AxisMap, AxisMap], firsts: NDArray[np.int64], rows: slice,
             cols: slice, out_HWC: F32) -> None:
    put_changes(now_YXV, prior_YXV, maps[0].take(rows), maps[1].take(cols), firsts, out_HWC)
