"""Run one model over the windows of a box, and add up what it says of each cell.

Shapes: B windows of a batch; K classes, C heads of the model, O outputs of its first layer; H W
window, Y X the padded box.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch

from luray.core.tiling import Box, Core, Tiling
from luray.core.types import F32, I32, U8
from luray.engine.blending import add_window
from luray.engine.forward_pass import ForwardPass
from luray.engine.stem import Stem
from luray.engine.trunk import Trunk
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
    device: str = "cpu"
    """Where the trunk runs, as torch names it; in half precision unless on a CPU."""
    passes: int = 0
    """Forward passes in flight; 0 is one on a CPU, and two elsewhere, so that the device never
    waits for the CPU.
    """

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
            Over the padded box; see `blending.add_window`.
        """
        padded = self.tiling.padded(box)
        sums_KYX = np.zeros((self.features.n_classes, *padded.shape), np.int32)
        passes = self._passes
        # Passes take turns: while the device computes one, the CPU writes the first layer of the
        # next. With one pass (a CPU) each is added before the next begins.
        in_flight: deque[tuple[ForwardPass, list[WindowMaps]]] = deque()
        for number, batch in enumerate(self._batches(cores)):
            forward = passes[number % len(passes)]
            window_maps = self._window_maps(batch, maps, padded)
            for first_HWO, (window, maps_HW) in zip(forward.first_BHWO, window_maps, strict=False):
                inputs.write_first_layer(
                    first_HWO, maps_HW, window, year=year, prior_year=prior_year
                )
            forward.start(len(batch))
            in_flight.append((forward, window_maps))
            if len(in_flight) == len(passes):
                self._add(*in_flight.popleft(), sums_KYX, padded)
        while in_flight:
            self._add(*in_flight.popleft(), sums_KYX, padded)
        return sums_KYX

    @cached_property
    def stem(self) -> Stem:
        """The first layer of the model."""
        return Stem.of(self.model, self.features)

    @cached_property
    def trunk(self) -> Trunk:
        """All other layers of the model."""
        return Trunk(self.model)

    def _batches(self, cores: Sequence[Core]) -> Iterator[Sequence[Core]]:
        """Yield the windows of each pass.

        On a CPU a window that would be left over goes with those before it, as a batch of one has
        other bits. Elsewhere the last pass is filled up (`ForwardPass.start`), so that all have one
        shape: the bits of a GPU may follow the shape.
        """
        size = max(2, self.batch)
        first = 0
        while first < len(cores):
            last = first + size
            if self.device == "cpu" and last == len(cores) - 1:
                last += 1
            yield cores[first:last]
            first = last

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
        finished: ForwardPass,
        window_maps: Sequence[WindowMaps],
        sums_KYX: I32,
        padded: Box,
    ) -> None:
        heads_BHWC = finished.heads_BHWC()
        for heads_HWC, (window, maps_HW) in zip(heads_BHWC, window_maps, strict=False):
            add_window(
                sums_KYX,
                heads_HWC,
                maps_HW[0],
                self.weights_HW,
                **self.calibration._asdict(),
                at=(window.row - padded.row, window.col - padded.col),
            )

    @cached_property
    def _passes(self) -> list[ForwardPass]:
        device = torch.device(self.device)
        on_cpu = device.type == "cpu"
        trunk = self.trunk if on_cpu else deepcopy(self.trunk).to(device, torch.half)
        largest_batch = max(2, self.batch) + on_cpu  # the one that is left over, see `_batches`
        side = self.tiling.window
        shape = largest_batch, side, side, self.model.first.out_channels
        n_passes = self.passes or (1 if on_cpu else 2)
        return [ForwardPass(trunk, shape, device) for _ in range(n_passes)]
