"""Run one model over the windows of a box on a CPU, and add up what it says of each cell.

On a GPU `luray.engine.device_predictor` does the same.

Shapes: B windows of a batch; K classes, C heads of the model, O outputs of its first layer; H W
window, Y X the padded box.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from luray.core.config import CpuPrecision
from luray.core.tiling import Box, Core, Tiling
from luray.core.types import F32, I16, I32, U8
from luray.cube.cube import Cube
from luray.engine.blending import add_window
from luray.engine.forward_pass import ForwardPass
from luray.engine.inputs import TileInputs
from luray.engine.precision import trunk_of_precision
from luray.engine.stem import Stem
from luray.engine.trunk import Trunk
from luray.engine.value_blending import add_values
from luray.model.features import Features
from luray.model.operating_point import NO_CALIBRATION, Calibration
from luray.model.unet import UNet


class WindowInputs(Protocol):
    """Where a window's inputs come from, as the first layer of the model takes them."""

    def write_first_layer(
        self, out_HWO: F32, maps_HW: Sequence[U8], box: Box, *, year: int, prior_year: int
    ) -> None:
        """Write the model's first layer, ReLU included, on a window.

        Parameters
        ----------
        out_HWO : array, float32
            Receives the layer.
        maps_HW : sequence of arrays, uint8
            Class indices of the last maps, the prior first, `UNKNOWN` or `OUTSIDE`.
        box : Box
            The window.
        year, prior_year : int
            The year that is predicted, and the year before it in the direction of travel.
        """
        ...


class WindowMaps(NamedTuple):
    """A window and the maps that it remembers, the prior first."""

    window: Box
    maps_HW: list[U8]


@dataclass(frozen=True)
class Predictor:
    """Everything that a prediction needs besides the year: one model with its windows."""

    model: UNet
    """Frozen: see `unet.frozen`."""
    features: Features
    tiling: Tiling
    weights_HW: I32
    """See `blending.window_weights`."""
    batch: int
    """Windows of one forward pass, at least 2 (see `unet.frozen`)."""
    calibration: Calibration = NO_CALIBRATION
    precision: CpuPrecision = "float32"
    """Of the trunk."""

    def predict(
        self,
        cores: Sequence[Core],
        maps: Sequence[U8],
        inputs: WindowInputs,
        *,
        year: int,
        prior_year: int,
        box: Box,
    ) -> I32:
        """Return the weighted sums of the windows of one box.

        Parameters
        ----------
        cores : sequence of Core
            The windows, see `Tiling.active_cores`.
        maps : sequence of arrays, uint8
            Class indices of the last maps over `Tiling.padded` of the box, the prior first; at most
            `Features.history`, fewer where there are no more.
        inputs : WindowInputs
            Everything else that the model sees.
        year, prior_year : int
            The year that is predicted, and that of the prior.
        box : Box
            A tile, or the whole grid.

        Returns
        -------
        array, int32, shape (K, Y, X)
            Over the padded box; see `blending.add_window`, and of values, where K is 3,
            `value_blending.add_values`.
        """
        padded = self.tiling.padded(box)
        sums_KYX = np.zeros((self.features.n_sums, *padded.shape), np.int32)
        forward = self._forward
        for batch in self._batches(cores):
            window_maps = self._window_maps(batch, maps, padded)
            # Not strict: the buffer has room for the largest batch.
            for first_HWO, (window, maps_HW) in zip(forward.first_BHWO, window_maps, strict=False):
                inputs.write_first_layer(
                    first_HWO, maps_HW, window, year=year, prior_year=prior_year
                )
            self._add(forward.run(len(batch)), window_maps, sums_KYX, padded)
        return sums_KYX

    def inputs_of(
        self, cube: Cube, windows: Sequence[Box], spare: list[I16] | None = None
    ) -> TileInputs:
        """Read what `predict` needs to know of some windows, see `TileInputs.of`."""
        return TileInputs.of(cube, windows, self.stem, spare)

    @cached_property
    def stem(self) -> Stem:
        """The first layer of the model."""
        return Stem.of(self.model, self.features)

    @cached_property
    def trunk(self) -> Trunk:
        """All other layers of the model."""
        return trunk_of_precision(Trunk(self.model), self.precision)

    def _batches(self, cores: Sequence[Core]) -> Iterator[Sequence[Core]]:
        """Yield the windows of each pass.

        A window that would be left over goes with those before it, as a batch of one has other
        bits.
        """
        size = max(2, self.batch)
        first = 0
        while first < len(cores):
            end = first + size
            if end == len(cores) - 1:
                end += 1
            yield cores[first:end]
            first = end

    def _window_maps(
        self, cores: Sequence[Core], maps: Sequence[U8], padded: Box
    ) -> list[WindowMaps]:
        window_maps = []
        for core in cores:
            window = self.tiling.window_box(core)
            in_padded = window.slices(origin=padded)
            maps_HW = [np.ascontiguousarray(one_map[in_padded]) for one_map in maps]
            window_maps.append(WindowMaps(window, maps_HW))
        return window_maps

    def _add(
        self,
        heads_BHWC: F32,
        window_maps: Sequence[WindowMaps],
        sums_KYX: I32,
        padded: Box,
    ) -> None:
        for heads_HWC, (window, maps_HW) in zip(heads_BHWC, window_maps, strict=False):
            at = (window.row - padded.row, window.col - padded.col)
            arrays = (sums_KYX, heads_HWC, maps_HW[0], self.weights_HW)
            scale = self.features.scale
            if scale is None:
                add_window(*arrays, at=at, **self.calibration._asdict())
            else:
                add_values(*arrays, scale, at=at, calibration=self.calibration)

    @cached_property
    def _forward(self) -> ForwardPass:
        largest_batch = max(2, self.batch) + 1  # the one with a window left over, see `_batches`
        side = self.tiling.window
        return ForwardPass(self.trunk, (largest_batch, side, side, self.model.first.out_channels))
