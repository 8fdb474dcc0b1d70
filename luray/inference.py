"""The reconstruction as two functions, `predict` and `reduce`, and the serial rollout that every engine must equal.

Arrays in memory only. Shapes: K classes, C input channels, H W window; sums are int32 (K, lat, lon), see `blending`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch

from luray.blending import add_window, decide, quantise
from luray.compiled import compiled
from luray.model.assembly import put_prior
from luray.model.calibration import PLAIN, Calibration
from luray.model.features import Features
from luray.model.unet import UNet
from luray.schema import F32, I32, OUTSIDE, U8, Bool
from luray.windows import Box, Core, Tiling


class Fields(Protocol):
    """Where the inputs of windows come from."""

    def fill(self, out_HWC: F32, *, year: int, prior_year: int, box: Box) -> None:
        """Write the channels of `Features.context` of a window, and zeros for the prior map before them."""
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
    device: str = "cpu"
    """Where the model runs: on "cuda" in half precision, while the CPU prepares the next batch and adds up the last."""

    def predict(self, cores: Sequence[Core], prior: U8, fields: Fields, *, year: int, prior_year: int, box: Box) -> I32:
        """Weighted sums of the windows of one box over `Tiling.padded` of it: (K, height, width), int32.

        `prior` holds the class indices of the same padded box.
        """
        padded = self.tiling.padded(box)
        sums = np.zeros((self.features.n_classes, *padded.shape), np.int32)
        for core, odds_KHW in self._odds(cores, prior, fields, year=year, prior_year=prior_year, origin=padded):
            at = self.tiling.window_box(core).slices(origin=padded)
            add_window(sums[:, *at], odds_KHW, self.weights_HW)
        return sums

    def windows(self, cores: Sequence[Core], prior: U8, fields: Fields, *, year: int, prior_year: int,
                origin: Box) -> Iterator[tuple[Core, F32]]:
        """Class probabilities (K, H, W) of each window; `prior` holds the cells of `origin`, which contains them."""
        for core, odds_KHW in self._odds(cores, prior, fields, year=year, prior_year=prior_year, origin=origin):
            yield core, odds_KHW / odds_KHW.sum(axis=0)

    def _odds(self, cores: Sequence[Core], prior: U8, fields: Fields, *, year: int, prior_year: int,
              origin: Box) -> Iterator[tuple[Core, F32]]:
        """Odds (K, H, W) of the classes in each window against the likeliest one."""
        size, under_way = self.tiling.window, deque[tuple[Sequence[Core], U8, Callable[[], F32]]]()
        batch = max(2, self.batch)
        for n, first in enumerate(range(0, len(cores), batch)):
            some, out = cores[first : first + batch], self._pass.buffers[n % len(self._pass.buffers)]
            maps = np.full((len(some), size, size), OUTSIDE, np.uint8)
            for core, classes, channels in zip(some, maps, out, strict=False):
                box = self.tiling.window_box(core)
                classes[:] = prior[box.slices(origin=origin)]
                fields.fill(channels, year=year, prior_year=prior_year, box=box)
                put_prior(classes, self.features.n_classes, channels)
            under_way.append((some, maps, self._pass.start(out)))
            if len(under_way) == len(self._pass.buffers):
                yield from self._finished(*under_way.popleft())
        while under_way:
            yield from self._finished(*under_way.popleft())

    def _finished(self, cores: Sequence[Core], maps: U8, scores: Callable[[], F32]) -> Iterator[tuple[Core, F32]]:
        for core, classes, scores_HWK in zip(cores, maps, scores(), strict=False):
            bonus = softplus(np.ascontiguousarray(scores_HWK[..., -1]))
            odds = np.empty((self.features.n_classes, *classes.shape), np.float32)
            put_logits(scores_HWK, bonus, classes, np.float32(self.calibration.temperature),
                       np.float32(self.calibration.bias), odds)
            yield core, np.exp(odds, out=odds)

    @cached_property
    def _pass(self) -> "ForwardPass":
        shape = max(2, self.batch), self.tiling.window, self.tiling.window, self.features.n_channels
        return ForwardPass(self.model, shape, self.device)


class ForwardPass:
    """Batches of one shape (B, H, W, C) through a model on a device, from buffers that are used in turn."""

    def __init__(self, model: UNet, shape: tuple[int, ...], device: str) -> None:
        self._gpu = device != "cpu"
        self._model = model.to(device, torch.float16 if self._gpu else torch.float32,
                               memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._inputs = ([torch.zeros(shape, pin_memory=True) for _ in range(2)] if self._gpu
                        else [torch.from_numpy(np.zeros(shape, np.float32))])  # NumPy asks for huge pages
        self.buffers: list[F32] = [inputs.numpy() for inputs in self._inputs]
        """To be filled in turn; a buffer may be filled again once the scores of its last batch are there."""

    def start(self, buffer: F32) -> Callable[[], F32]:
        """Begin with a full buffer; what is returned waits for its scores (B, H, W, K + 1)."""
        with torch.inference_mode():
            inputs = next(t for t, b in zip(self._inputs, self.buffers, strict=True) if b is buffer).permute(0, 3, 1, 2)
            if not self._gpu:
                scores_BHWK: F32 = self._model.scores(inputs).permute(0, 2, 3, 1).numpy()
                return lambda: scores_BHWK
            out = self._model.scores(inputs.to(self._device, non_blocking=True).half()).permute(0, 2, 3, 1).float()
            host = torch.empty(out.shape, pin_memory=True).copy_(out, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()

        def wait() -> F32:
            done.synchronize()
            scores: F32 = host.numpy()
            return scores

        return wait


def softplus(x: F32) -> F32:
    """log(1 + exp(x)), same shape; in NumPy, as the last bits of torch's depend on the number of threads."""
    low: F32 = np.log1p(np.exp(np.minimum(x, np.float32(20))))
    return np.maximum(low, x)


@compiled
def put_logits(scores_HWK: F32, bonus_HW: F32, prior_HW: U8, temperature: np.float32, bias: np.float32,
               out_KHW: F32) -> None:
    """Calibrated logits of each class less the largest; the prior's has the bonus of the model."""
    n_classes, height, width = out_KHW.shape
    most_W = np.empty(width, np.float32)
    for i in range(height):
        most_W[:] = -np.inf
        for k in range(n_classes):
            for j in range(width):
                stays = np.float32(prior_HW[i, j] == k)
                out_KHW[k, i, j] = (scores_HWK[i, j, k] + stays * bonus_HW[i, j]) / temperature + stays * bias
                most_W[j] = max(most_W[j], out_KHW[k, i, j])
        for k in range(n_classes):
            for j in range(width):
                out_KHW[k, i, j] -= most_W[j]


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
