"""TO BE WRITTEN."""

from collections import deque
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from luray.core.tiling import Box, Core, Tiling
from luray.core.types import F32, I32, U8
from luray.engine.blending import add_window
from luray.engine.stem import Stem
from luray.engine.trunk import Trunk
from luray.model.calibration import NO_CALIBRATION, Calibration
from luray.model.features import Features
from luray.model.unet import UNet


class WindowInputs(Protocol):
    """Where a window's inputs come from, as the first layer of the model takes them."""

    def begin(self, out_HWO: F32, prior_HW: U8, box: Box, *, year: int, prior_year: int) -> None:
        """Write the model's first layer, ReLU included, on a window whose prior is `prior_HW`, see
        `Stem.begin`.
        """
        ...


@dataclass(frozen=True)
class Predictor:
    """Everything that `predict` and `reduce` need besides the year: one model with its geometry,
    for one direction.
    """

    model: UNet
    """Frozen: see `unet.frozen`."""
    features: Features
    tiling: Tiling
    weights_HW: I32
    batch: int
    """Windows of one forward pass, at least 2 (see `unet.frozen`). On a CPU one that is left over
    goes with those before it; elsewhere the last pass is filled up, so that all have one shape: the
    bits of a GPU may follow it.
    """
    calibration: Calibration = NO_CALIBRATION
    device: str = "cpu"
    """Of the forward pass, as torch names it; on another than the CPU the model runs in half
    precision.
    """
    passes: int = 0
    """Forward passes in flight; 0 is one on the CPU, and two elsewhere, so that the device never
    waits for the CPU.
    """

    def predict(
        self,
        cores: Sequence[Core],
        prior: U8,
        fields: WindowInputs,
        *,
        year: int,
        prior_year: int,
        box: Box,
    ) -> I32:
        """Weighted sums of the windows of one box over `Tiling.padded` of it: (K, height, width),
        int32.

        `prior` holds the class indices of the same padded box.
        """
        padded = self.tiling.padded(box)
        sums = np.zeros((self.features.n_classes, *padded.shape), np.int32)
        waiting: deque[tuple[Pass, list[tuple[Box, U8]]]] = deque()
        for number, some in enumerate(self._batches(cores)):
            one = self._passes[number % len(self._passes)]
            windows = [self.tiling.window_box(core) for core in some]
            shown = [(w, np.ascontiguousarray(prior[w.slices(origin=padded)])) for w in windows]
            for first_HWO, (window, prior_HW) in zip(one.first_BHWO, shown, strict=False):
                fields.begin(first_HWO, prior_HW, window, year=year, prior_year=prior_year)
            one.start(len(some))
            waiting.append((one, shown))
            if len(waiting) == len(self._passes):
                self._add(*waiting.popleft(), sums, padded)
        while waiting:
            self._add(*waiting.popleft(), sums, padded)
        return sums

    @cached_property
    def stem(self) -> Stem:
        """The first layer of the model."""
        return Stem.of(self.model)

    @cached_property
    def trunk(self) -> Trunk:
        """All other layers of the model."""
        return Trunk(self.model)

    def _batches(self, cores: Sequence[Core]) -> Iterator[Sequence[Core]]:
        batch, first = max(2, self.batch), 0
        while first < len(cores):
            last = first + batch
            if self.device == "cpu" and last == len(cores) - 1:
                last += 1
            yield cores[first:last]
            first = last

    def _add(
        self, finished: "Pass", shown: list[tuple[Box, U8]], sums_KYX: I32, padded: Box
    ) -> None:
        for heads_HWC, (window, prior_HW) in zip(finished.heads_BHWC(), shown, strict=False):
            add_window(
                sums_KYX,
                heads_HWC,
                prior_HW,
                self.weights_HW,
                **self.calibration._asdict(),
                at=(window.row - padded.row, window.col - padded.col),
            )

    @cached_property
    def _passes(self) -> list["Pass"]:
        device = torch.device(self.device)
        trunk = self.trunk if device.type == "cpu" else deepcopy(self.trunk).to(device, torch.half)
        most = max(2, self.batch) + (device.type == "cpu")
        shape = most, self.tiling.window, self.tiling.window, self.model.first.out_channels
        return [
            Pass(trunk, shape, device)
            for _ in range(self.passes or (1 if device.type == "cpu" else 2))
        ]


class Pass:
    """A forward pass, from the second layer on, with an input of its own, channels last, that is
    used again and again.

    On a GPU it is queued with the copies there and back, from and into pinned memory, and the CPU
    goes on meanwhile.
    """

    def __init__(
        self, trunk: Trunk, shape: tuple[int, int, int, int], device: torch.device
    ) -> None:
        self._trunk, self._device, self._remote = trunk, device, device.type != "cpu"
        self._first = (
            torch.zeros(shape, pin_memory=True)
            if self._remote
            else torch.from_numpy(np.zeros(shape, np.float32))
        )  # NumPy asks for huge pages
        self._heads = torch.empty((*shape[:3], trunk.head.out_channels), pin_memory=self._remote)
        self._done = torch.cuda.Event() if self._remote else None  # type: ignore[no-untyped-call]
        self.first_BHWO: F32 = self._first.numpy()
        """What the first layer gives, written before `start`, and not again before `heads_BHWC`."""

    def start(self, n_windows: int) -> None:
        """Run the trunk on the first so many windows, at least 2 on a CPU and all elsewhere, or
        have it run.
        """
        with torch.inference_mode():
            first = self._first.permute(0, 3, 1, 2)
            if self._done is None:
                heads = self._trunk(first[: max(2, n_windows)])
                self._heads = heads.permute(0, 2, 3, 1).contiguous()
                return
            heads = self._trunk(first.to(self._device, non_blocking=True).half())
            self._heads.copy_(heads.float().permute(0, 2, 3, 1), non_blocking=True)
            self._done.record()

    def heads_BHWC(self) -> F32:
        """What the model gave for each window, (batch, height, width, K + 1), once it is there."""
        if self._done is not None:
            self._done.synchronize()
        heads: F32 = self._heads.numpy()
        return heads
