"""The inputs of a tile's windows, as the first layer of a model takes them.

The contribution of static inputs is computed once a tile. That of the forcing is computed once a
year, on native grids, and serves all windows of the tile.

Shapes: V N variables or channels; Y X a native grid; H W window or region; O outputs of the stem.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.regrid import AxisMap, gather, grid_map, interpolate, joined
from luray.core.tiling import Box, hull
from luray.core.types import F32, I16, U8
from luray.core.variable import Variable
from luray.cube.cube import Cube, Layer
from luray.cube.region import Region, ResampledVariables, categorical, resampling_groups
from luray.engine.stem import (
    Contribution,
    StaticContribution,
    Stem,
    no_share_changes,
)
from luray.engine.stem_kernels import ShareChanges
from luray.model.features import Features, ForcingSlices, changes, scaled

WINDOWS_AT_ONCE = 2
"""Windows whose static contribution is computed at once, see `Stem.static_field`."""


class YearContributions(NamedTuple):
    """Contributions of the forcing to the first layer in one year."""

    year: int
    prior_year: int
    shares: ShareChanges
    contributions: list[Contribution]


@dataclass
class TileInputs:
    """Inputs of some windows for one stem; satisfies `predictor.WindowInputs`.

    It holds 2 bytes for each output of the stem and each cell of a window: 166 MB for a tile of
    2000 cells that is all land, at a width of 16 and windows of 456.
    """

    region: Region
    stem: Stem
    static: dict[Box, StaticContribution]
    """Contribution of static inputs to each window."""
    _forcing: YearContributions | None = None
    """Those of the latest year: all windows of a tile need the same before the next year begins."""

    @property
    def arrays(self) -> Iterator[I16]:
        """The arrays that may serve another tile once this one is dropped."""
        return (contribution.steps_HWO for contribution in self.static.values())

    @classmethod
    def of(
        cls,
        cube: Cube,
        windows: Sequence[Box],
        stem: Stem,
        spare: list[I16] | None = None,
    ) -> Self:
        """Read the static inputs under some windows of one size.

        Parameters
        ----------
        cube : Cube
            Where they are read from.
        windows : sequence of Box
            All of one size.
        stem : Stem
            First layer of the model that they are for.
        spare : list of arrays, optional
            Arrays that nobody needs any more; those that fit are taken out of the list and written
            again. New arrays every time would leave holes in the heap, until it has twice the size.
        """
        region = Region(cube, hull(windows))
        spare = [] if spare is None else spare
        inputs = StaticInputs.of(region, stem)
        channels = np.array(inputs.continuous_channels, np.int64)

        static = dict[Box, StaticContribution]()
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            pair = windows[first : first + WINDOWS_AT_ONCE]
            # An odd window is computed beside itself, as the batch is always of two.
            batch = [pair[0], pair[-1]]
            inputs_BHWN = np.stack(
                [inputs.continuous_HWN[window.slices(origin=region.box)] for window in batch]
            )
            fields_BHWO = stem.static_field(inputs_BHWN, channels)

            # Not strict: an odd window leaves the second field unused.
            for window, field_HWO in zip(pair, fields_BHWO, strict=False):
                rows, cols = window.slices(origin=region.box)
                for contribution in inputs.categorical:
                    contribution.add(field_HWO, rows.start, cols.start)
                steps_HWO = _take_array(spare, field_HWO.shape)
                static[window] = StaticContribution.of(field_HWO, steps_HWO)
        return cls(region, stem, static)

    def write_first_layer(
        self, out_HWO: F32, maps_HW: Sequence[U8], box: Box, *, year: int, prior_year: int
    ) -> None:
        """Write the first layer of the model on one window, see `predictor.WindowInputs`."""
        forcing = self._forcing
        if forcing is None or (forcing.year, forcing.prior_year) != (year, prior_year):
            forcing = self._forcing_of(year, prior_year)
            self._forcing = forcing
        rows, cols = box.slices(origin=self.region.box)
        self.stem.write(
            out_HWO,
            maps_HW,
            self.static[box],
            forcing.shares,
            forcing.contributions,
            rows.start,
            cols.start,
        )

    def for_scenario(self, cube: Cube) -> "TileInputs":
        """Return the same windows in a scenario's view of the cube; they share what is static."""
        return replace(self, region=replace(self.region, cube=cube), _forcing=None)

    def _forcing_of(self, year: int, prior_year: int) -> YearContributions:
        """Compute what the forcing contributes in a year, for all windows of the tile."""
        cube = self.region.cube
        features = self.stem.features
        # One for each variable, in the order in which layers and groups give them.
        slices = iter(features.forcing_slices)
        contributions: list[Contribution] = []
        shares = ShareLevels(features)
        for layer in cube.forcing:
            now_groups = self.region.resampled(layer, year)
            prior_groups = self.region.resampled(layer, prior_year)
            for now, prior in zip(now_groups, prior_groups, strict=True):
                slices_of_group = list(islice(slices, len(now.variables)))
                contributions += _contributions(self.stem, now, prior, slices_of_group)
                shares.add(now, prior, slices_of_group)

        share_changes = shares.changes(self.region.box)
        return YearContributions(year, prior_year, share_changes, contributions)


def _take_array(spare: list[I16], shape: tuple[int, ...]) -> I16:
    """Take the first array of a shape from the spare ones, or make a new one."""
    for i, array in enumerate(spare):
        if array.shape == shape:
            return spare.pop(i)
    return np.empty(shape, np.int16)


def _contributions(
    stem: Stem, now: ResampledVariables, prior: ResampledVariables, slices: list[ForcingSlices]
) -> Iterator[Contribution]:
    """Yield what variables that are resampled alike contribute, `slices` one a variable.

    Changes since the prior year are worked out on the native grid wherever all fine cells of a
    native cell see the same.
    """
    if now.categorical:
        for codes_YX, variable_slices in zip(now.values_VYX, slices, strict=True):
            yield stem.categorical(codes_YX, now.rows.low, now.cols.low, variable_slices.levels)
        return

    # A continuous variable has one channel of each kind.
    channels_V3 = np.array(
        [(s.levels.start, s.changes.start, s.relative_changes.start) for s in slices], np.int64
    )
    if now.variables[0].resampling == "nearest":
        change_VYX, relative_VYX = changes(now.values_VYX, prior.values_VYX, np)
        values_NYX = np.concatenate([now.values_VYX, change_VYX, relative_VYX])
        yield stem.nearest(
            np.ascontiguousarray(np.moveaxis(values_NYX, 0, -1)),
            now.rows.low,
            now.cols.low,
            channels_V3.T.ravel(),  # all levels, all changes, all relative changes
        )
    else:
        # A change is not linear in the levels: it is taken after the interpolation.
        yield stem.bilinear(now.values_VYX, prior.values_VYX, now.rows, now.cols, channels_V3)


@dataclass
class ShareLevels:
    """Native levels that are coarse shares of classes, as they come from layer to layer.

    All shares are of one layer and gathered from the nearest cell, so that one pair of index maps
    serves them all, wherever in their layer they stand.
    """

    features: Features
    _now: dict[int, F32] = field(default_factory=dict)
    """Values of the year by their level channel, (Y, X)."""
    _prior: dict[int, F32] = field(default_factory=dict)
    _rows: AxisMap | None = None
    _cols: AxisMap | None = None

    def add(
        self, now: ResampledVariables, prior: ResampledVariables, slices: Sequence[ForcingSlices]
    ) -> None:
        """Take the shares among some variables, `slices` one a variable."""
        first_level = self.features.slices.levels.start
        share_levels = set(chain.from_iterable(self.features.share_groups))
        for now_YX, prior_YX, variable_slices in zip(
            now.values_VYX, prior.values_VYX, slices, strict=True
        ):
            level = variable_slices.levels.start - first_level
            if level in share_levels:
                self._now[level] = now_YX
                self._prior[level] = prior_YX
                self._rows = now.rows
                self._cols = now.cols

    def changes(self, box: Box) -> ShareChanges:
        """Return how the shares of all groups of classes change under a box."""
        if self._rows is None or self._cols is None:
            return no_share_changes(*box.shape)
        change_GYX, relative_GYX = changes(self._sums(self._now), self._sums(self._prior), np)
        return ShareChanges(change_GYX, relative_GYX, self._rows.low, self._cols.low)

    def _sums(self, level_YX: dict[int, F32]) -> F32:
        """Share of each group, the sum of its levels, (G, Y, X)."""
        shares = []
        for first_level, *further_levels in self.features.share_groups:
            share_YX = level_YX[first_level].copy()
            for level in further_levels:
                share_YX += level_YX[level]
            shares.append(share_YX)
        return np.stack(shares)


class StaticBlock(NamedTuple):
    """Consecutive continuous static variables of a layer that are resampled alike."""

    variables: tuple[Variable, ...]
    at: slice
    """Their positions among the variables of their layer."""
    out_HWN: F32
    """Array of the whole region that they are written to."""
    first: int
    """Channel of `out_HWN` that the first of them is written to."""


@dataclass
class StaticInputs:
    """Static inputs of a region: the continuous ones, and what the categorical ones contribute.

    They are read strip by strip and take 4 bytes a cell for each continuous channel, 2 for each
    categorical variable that is no coarser than the grid: 245 MB for a tile of 2000 cells with the
    inputs of the README.
    """

    continuous_HWN: F32
    continuous_channels: list[int]
    """Their numbers among the input channels."""
    categorical: list[Contribution]

    @classmethod
    def of(cls, region: Region, stem: Stem) -> Self:
        """Read the static inputs of a region."""
        features = stem.features
        slices = iter(features.static_slices)
        n_continuous = sum(not categorical(v) for v in features.static)
        continuous_HWN = np.empty((*region.box.shape, n_continuous), np.float32)
        inputs = cls(continuous_HWN, [], [])
        for layer in region.cube.static:
            blocks = list[StaticBlock]()
            for variables, at in resampling_groups(layer, range(len(layer.variables))):
                slices_of_group = list(islice(slices, len(variables)))
                in_layer = slice(at.start, at.stop)
                if categorical(variables[0]):
                    native_VYX = region.values(layer, ())[in_layer]
                    codes = region.resample(layer, variables, native_VYX)
                    for codes_YX, channels in zip(codes.values_VYX, slices_of_group, strict=True):
                        inputs.categorical.append(
                            stem.categorical(codes_YX, codes.rows.low, codes.cols.low, channels)
                        )
                else:
                    first = len(inputs.continuous_channels)
                    blocks.append(StaticBlock(variables, in_layer, continuous_HWN, first))
                    inputs.continuous_channels += [channels.start for channels in slices_of_group]

            # All continuous variables of a layer at once, so that each strip is read once.
            if blocks:
                _write_continuous(region, layer, blocks)
        return inputs


def _write_continuous(region: Region, layer: Layer, blocks: Sequence[StaticBlock]) -> None:
    """Write continuous static variables at every cell of the region.

    Strips of native rows are used as they arrive, so that the native array is never held whole.
    """
    cube = region.cube
    native_rows, native_cols = region.pieces[layer.path]
    all_rows = slice(native_rows[0].start, native_rows[-1].stop)
    col_pieces = joined(native_cols, gap=cube.chunks.width(layer.path))
    for strip in cube.chunks.strips(layer.path, all_rows, col_pieces):
        # A fine row belongs to the strip with its `high` native row. Its `low` one may be the last
        # row of the strip before, with which each strip begins.
        on_strip = [slice(strip.rows.start - 1, strip.rows.stop)]
        for block in blocks:
            method = block.variables[0].resampling
            rows, cols = grid_map(layer.grid, cube.grid, method).take(region.box)
            # `high` ascends, being `low` or `low` + 1, so the fine rows of a strip are consecutive.
            fine_rows = slice(*np.searchsorted(rows.high, (strip.rows.start, strip.rows.stop)))
            _write_rows(
                block,
                strip.values[block.at],
                rows.take(fine_rows).within(on_strip),
                cols.within(col_pieces),
                block.out_HWN[fine_rows],
            )


def _write_rows(
    block: StaticBlock, native_VYX: NDArray[Any], rows: AxisMap, cols: AxisMap, out_HWN: F32
) -> None:
    """Write some variables at the rows that a strip of their native cells determines.

    What is gathered is gathered first and scaled then, which is less. What is interpolated is
    scaled on the way, unless a logarithm comes before the interpolation.
    """
    variables = block.variables
    scale_V = np.array([v.scale for v in variables], np.float32)
    nearest = variables[0].resampling == "nearest"
    if nearest:
        native_VYX = gather(native_VYX, rows, cols, method="nearest")
    if nearest or any(v.transform != "linear" for v in variables):
        native_VYX = np.concatenate(list(map(scaled, native_VYX, variables)))
        scale_V = np.ones_like(scale_V)

    if nearest:
        channels = slice(block.first, block.first + len(native_VYX))
        out_HWN[..., channels] = np.moveaxis(native_VYX, 0, -1)
    else:
        interpolate(native_VYX, scale_V, rows, cols, out_HWN, block.first)
