"""The inputs of a tile as the first layer of a model takes them: what never changes is worked out
once, and kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.regrid import AxisMap, gather, grid_map, interpolate, joined
from luray.core.tiling import Box, hull
from luray.core.types import F32, U8
from luray.core.variable import Variable
from luray.cube.cube import Cube, Layer
from luray.cube.region import Region, alike, categorical
from luray.engine.stem import Fixed, Part, Stem
from luray.model.features import changes, scaled


@dataclass
class TileInputs:
    """Inputs of some windows for one stem; satisfies `inference.WindowInputs`.

    Kept are 2 bytes for each output of the stem and each cell of a window: 166 MB for a tile of
    2000 cells that is all land, at a width of 16 and windows of 456.
    """

    region: Region
    stem: Stem
    fixed: dict[Box, Fixed]
    """What static inputs give to each window."""
    _parts: tuple[tuple[int, int], list[Part]] | None = None

    @property
    def arrays(self) -> Iterator[NDArray[np.int16]]:
        """What is kept."""
        return (fixed.steps_HWO for fixed in self.fixed.values())

    @classmethod
    def of(
        cls,
        cube: Cube,
        windows: Sequence[Box],
        stem: Stem,
        spare: list[NDArray[np.int16]] | None = None,
    ) -> Self:
        """Read the static inputs under some windows of one size.

        `spare` are arrays that nobody needs any more: some are taken to keep what is fixed. New
        ones every time would leave holes in the heap, until it has twice the size.
        """
        region, spare = Region(cube, hull(windows)), [] if spare is None else spare
        static_inputs, fixed = StaticInputs.of(region, stem), dict[Box, Fixed]()
        for pair in (windows[i : i + 2] for i in range(0, len(windows), 2)):
            shown = np.stack(
                [
                    static_inputs.static_HWN[window.slices(origin=region.box)]
                    for window in (*pair, pair[0])[:2]
                ]
            )
            for window, found in zip(
                pair, stem.fixed(shown, np.array(static_inputs.channels, np.int64)), strict=False
            ):
                rows, cols = window.slices(origin=region.box)
                for part in static_inputs.codes:
                    part.add(found, rows.start, cols.start)
                fits = next(
                    (i for i, array in enumerate(spare) if array.shape == found.shape), None
                )
                fixed[window] = Fixed.of(
                    found, np.empty(found.shape, np.int16) if fits is None else spare.pop(fits)
                )
        return cls(region, stem, fixed)

    def begin(self, out_HWO: F32, prior_HW: U8, box: Box, *, year: int, prior_year: int) -> None:
        """See `inference.WindowInputs`."""
        if self._parts is None or self._parts[0] != (year, prior_year):
            self._parts = (year, prior_year), self._between(year, prior_year)
        rows, cols = box.slices(origin=self.region.box)
        self.stem.begin(out_HWO, prior_HW, self.fixed[box], self._parts[1], rows.start, cols.start)

    def seen_in(self, cube: Cube) -> "TileInputs":
        """The same windows in another scenario's view of the cube; what is static is shared."""
        return replace(self, region=replace(self.region, cube=cube), _parts=None)

    def _between(self, year: int, prior_year: int) -> list[Part]:
        """The parts of a year, with changes since the prior year that are worked out on the native
        grids.
        """
        region, features, stem, parts = (
            self.region,
            self.region.cube.features,
            self.stem,
            list[Part](),
        )
        level, n_changing = features.n_classes + 1, len(features.changing)
        change = level + sum(v.channels for v in features.forcing)
        for layer in region.cube.forcing:
            for now, prior in zip(
                region.held(layer, year), region.held(layer, prior_year), strict=True
            ):
                if now.categorical:
                    parts += (
                        stem.coded(values_YX, now.rows.low, now.cols.low, at)
                        for values_YX, at in now.categories(level)
                    )
                    level += now.channels
                    continue
                channels_V3 = np.add.outer(
                    np.arange(now.channels), (level, change, change + n_changing)
                )
                level, change = level + now.channels, change + now.channels
                if now.variables[0].resampling == "nearest":
                    seen = np.concatenate(
                        [now.values_VYX, *changes(now.values_VYX, prior.values_VYX, np)]
                    )
                    parts.append(
                        stem.coarse(
                            np.ascontiguousarray(np.moveaxis(seen, 0, -1)),
                            now.rows.low,
                            now.cols.low,
                            channels_V3.T.ravel(),
                        )
                    )
                else:
                    parts.append(
                        stem.smooth(
                            now.values_VYX, prior.values_VYX, now.rows, now.cols, channels_V3
                        )
                    )
        return parts


class StaticBlock(NamedTuple):
    """Consecutive continuous static variables that are resampled alike, and the channels they are
    written to.
    """

    variables: tuple[Variable, ...]
    at: slice
    """Which of the variables of their layer they are."""
    out_HWN: F32
    first: int


@dataclass
class StaticInputs:
    """Static inputs of a region: continuous ones at every cell of one array, and the parts of the
    others.

    It is read strip by strip and takes 4 bytes a cell for each continuous channel, 2 for each
    categorical variable that is no coarser than the grid: 245 MB for a tile of 2000 cells with the
    inputs of the README.
    """

    static_HWN: F32
    channels: list[int]
    """Which input channels they are."""
    codes: list[Part]

    @classmethod
    def of(cls, region: Region, stem: Stem) -> Self:
        """Read the static inputs of a region."""
        features = region.cube.features
        first = features.n_channels - sum(v.channels for v in features.static)
        n_laid = sum(not categorical(v) for v in features.static)
        static_inputs = cls(np.empty((*region.box.shape, n_laid), np.float32), [], [])
        for layer in region.cube.static:
            parts = list[StaticBlock]()
            for some, at in alike(layer, range(len(layer.variables))):
                if categorical(some[0]):
                    held = region.hold(layer, some, region.values(layer, ())[at.start : at.stop])
                    static_inputs.codes += (
                        stem.coded(codes_YX, held.rows.low, held.cols.low, channels)
                        for codes_YX, channels in held.categories(first)
                    )
                else:
                    parts.append(
                        StaticBlock(
                            some,
                            slice(at.start, at.stop),
                            static_inputs.static_HWN,
                            len(static_inputs.channels),
                        )
                    )
                    static_inputs.channels += range(first, first + len(some))
                first += sum(v.channels for v in some)
            if parts:
                _lay(region, layer, parts)
        return static_inputs


def _lay(region: Region, layer: Layer, parts: Sequence[StaticBlock]) -> None:
    """Write continuous static variables at every cell of the region, as strips of their native
    cells arrive.
    """
    cube, (native_rows, native_cols) = region.cube, region.pieces[layer.path]
    pieces = joined(native_cols, gap=cube.chunks.width(layer.path))
    for strip in cube.chunks.strips(
        layer.path, slice(native_rows[0].start, native_rows[-1].stop), pieces
    ):
        for part in parts:
            rows, cols = grid_map(layer.grid, cube.grid, part.variables[0].resampling).take(
                region.box
            )
            here = slice(
                *np.searchsorted(rows.high, (strip.rows.start, strip.rows.stop))
            )  # high = low or low + 1
            maps = (
                rows.take(here).within([slice(strip.rows.start - 1, strip.rows.stop)]),
                cols.within(pieces),
            )
            _lay_rows(part, strip.values[part.at], *maps, part.out_HWN[here])


def _lay_rows(
    part: StaticBlock, native_VYX: NDArray[Any], rows: AxisMap, cols: AxisMap, out_HWN: F32
) -> None:
    """Write some variables, at the rows that a strip of their native cells determines."""
    scale = np.array([v.scale for v in part.variables], np.float32)
    nearest = part.variables[0].resampling == "nearest"
    if nearest:
        native_VYX = gather(native_VYX, rows, cols, method="nearest")
    if nearest or any(v.transform != "linear" for v in part.variables):
        native_VYX = np.concatenate(list(map(scaled, native_VYX, part.variables)))
        scale = np.ones_like(scale)
    if nearest:
        out_HWN[..., part.first : part.first + len(native_VYX)] = np.moveaxis(native_VYX, 0, -1)
    else:
        interpolate(native_VYX, scale, rows, cols, out_HWN, part.first)
