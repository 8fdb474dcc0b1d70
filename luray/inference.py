"""The reconstruction as two functions, `predict` and `reduce`, and the serial rollout that every engine must equal.

Arrays in memory only. Shapes: K classes, C input channels, H W window; sums are int32 (K, lat, lon), see `blending`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from luray.blending import add_window, decide, quantise
from luray.model.calibration import PLAIN, Calibration, calibrated
from luray.model.features import Features, assemble
from luray.model.unet import UNet
from luray.schema import F32, I32, OUTSIDE, U8, Bool
from luray.windows import Box, Core, Tiling


class Fields(Protocol):
    """Where a window's inputs come from: level channels of the forcing (L, H, W) and static channels (S, H, W)."""

    def forcing(self, year: int, box: Box) -> F32:
        """Level channels of the forcing of a year, float32 (L, height, width)."""
        ...

    def static(self, box: Box) -> F32:
        """Static channels, float32 (S, height, width)."""
        ...


@dataclass(frozen=True)
class Predictor:
    """Everything that `predict` and `reduce` need besides the year: one model with its geometry, for one direction."""

    model: UNet
    """Frozen: see `unet.frozen`."""
    features: Features
    tiling: Tiling
    weights_HW: I32
    batch: int
    """Windows of one forward pass, at least 2 (see `unet.frozen`); the last is padded, so that all have one shape."""
    calibration: Calibration = PLAIN

    def windows(self, cores: Sequence[Core], prior: U8, fields: Fields, *, year: int, prior_year: int,
                origin: Box) -> Iterator[tuple[Core, F32]]:
        """Class probabilities (K, H, W) of each window; `prior` holds the cells of `origin`, which contains them."""
        size, n_context = self.tiling.window, self.features.n_channels - self.features.n_classes - 1
        batch = max(2, self.batch)
        for first in range(0, len(cores), batch):
            some = cores[first : first + batch]
            maps = np.full((batch, size, size), OUTSIDE, np.uint8)
            context = np.zeros((batch, n_context, size, size), np.float32)
            for i, core in enumerate(some):
                box = self.tiling.window_box(core)
                maps[i] = prior[box.slices(origin=origin)]
                context[i] = self.features.context(fields.forcing(year, box), fields.forcing(prior_year, box),
                                                   fields.static(box))
            with torch.inference_mode():
                inputs = assemble(torch.from_numpy(maps), torch.from_numpy(context), n_classes=self.features.n_classes)
                logits = self.model(inputs).numpy()
            logits = calibrated(logits, inputs[:, : self.features.n_classes].numpy(), self.calibration)
            yield from zip(some, softmax(logits), strict=False)

    def predict(self, cores: Sequence[Core], prior: U8, fields: Fields, *, year: int, prior_year: int, box: Box) -> I32:
        """Weighted sums of the windows of one box over `Tiling.padded` of it: (K, height, width), int32.

        `prior` holds the class indices of the same padded box.
        """
        padded = self.tiling.padded(box)
        sums = np.zeros((self.features.n_classes, *padded.shape), np.int32)
        for core, p_KHW in self.windows(cores, prior, fields, year=year, prior_year=prior_year, origin=padded):
            window = self.tiling.window_box(core)
            add_window(sums, p_KHW, self.weights_HW, at=window.slices(origin=padded))
        return sums


def softmax(logits_BKHW: F32) -> F32:
    """Class probabilities, same shape; in NumPy, as the last bits of torch's depend on the number of threads."""
    logits = np.ascontiguousarray(logits_BKHW)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: F32 = shares / shares.sum(axis=1, keepdims=True)
    return probabilities


def padded_map(classes: U8, box: Box, *, periodic: bool) -> U8:
    """Cells of `box` from a class map (lat, lon): longitude wraps when periodic, beyond the map is `OUTSIDE`."""
    n_lat, n_lon = classes.shape
    rows, cols = np.arange(box.row, box.row + box.height), np.arange(box.col, box.col + box.width)
    in_rows, in_cols = (rows >= 0) & (rows < n_lat), (cols >= 0) & (cols < n_lon) | periodic
    cut = classes[np.clip(rows, 0, n_lat - 1)[:, None], cols % n_lon]
    return np.where(in_rows[:, None] & in_cols, cut, np.uint8(OUTSIDE))


class Settle(Protocol):
    """What makes a map of sums: `decide`, or `demand.constrain` with what the scenario demands of the year."""

    def __call__(self, sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int) -> tuple[U8, U8]:
        """Class indices and confidence in percent, uint8 (lat, lon)."""
        ...


def freely(sums_KHW: I32, prior_HW: U8, land_HW: Bool, *, year: int, prior_year: int) -> tuple[U8, U8]:
    """The likeliest class everywhere, whatever the scenario demands."""
    return decide(sums_KHW, land_HW)


def serial_rollout(initial: U8, land: Bool, years: Sequence[int], fields: Fields, predictor: Predictor, *,
                   settle: Settle = freely) -> Iterator[tuple[int, U8, U8]]:
    """The reference engine: yields (year, class indices, confidence) of the whole grid, uint8 (lat, lon).

    `initial` is the map of `years[0]`; each later year follows from the map before it, over the whole grid at once.
    """
    tiling = predictor.tiling
    whole = tiling.padded(tiling.everything)
    cores = tiling.active_cores(tiling.everything, land)
    classes = initial
    for prior_year, year in pairwise(years):
        sums = np.zeros((predictor.features.n_classes, *tiling.shape), np.int32)
        prior = padded_map(classes, whole, periodic=tiling.periodic)
        for core, p_KHW in predictor.windows(cores, prior, fields, year=year, prior_year=prior_year, origin=whole):
            box = tiling.window_box(core)
            rows, cols = np.arange(tiling.window) + box.row, np.arange(tiling.window) + box.col
            in_rows = (rows >= 0) & (rows < tiling.n_lat)
            in_cols = (cols >= 0) & (cols < tiling.n_lon) | tiling.periodic
            weighted = quantise(p_KHW) * predictor.weights_HW
            sums[:, rows[in_rows][:, None], cols[in_cols] % tiling.n_lon] += weighted[:, in_rows][:, :, in_cols]
        classes, confidence = settle(sums, classes, land, year=year, prior_year=prior_year)
        yield year, classes, confidence
