"""Run one model over the windows of a box on a GPU, and add up what it says of each cell there.

The host sends class maps and native cells, and gets the sums of the box. In between nothing waits
for the host: it queues one batch after another.

Results are the same bits in every run on the same model of GPU, as the sums are integers and all
batches have one shape. On another model, and on a CPU (`luray.engine.predictor`), some cells get
another class, as sums within the network are rounded otherwise.

Shapes: B windows of a batch; N maps from the newest; K classes, C heads of the model; H W window, Y
X the padded box.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box, Core, Tiling
from luray.core.types import I32, U8
from luray.core.value_scale import ValueScale
from luray.cube.cube import Cube
from luray.engine.blending import ONE
from luray.engine.device_inputs import DeviceInputs
from luray.engine.trunk import Trunk
from luray.model.features import Features
from luray.model.model_input import assemble
from luray.model.operating_point import NO_CALIBRATION, Calibration
from luray.model.unet import UNet
from luray.model.values import LEAST_SPREAD, calibrated_moments, seen_levels


@dataclass(frozen=True)
class DevicePredictor:
    """The counterpart of `Predictor` for any device of torch.

    On a GPU the network computes in half precision. On a CPU it computes in single precision, for
    tests.
    """

    model: UNet
    """Frozen: see `unet.frozen`."""
    features: Features
    tiling: Tiling
    weights_HW: I32
    """See `blending.window_weights`."""
    batch: int
    """Windows of one forward pass."""
    calibration: Calibration = NO_CALIBRATION
    device: str = "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network."""
        return torch.float32 if self._device.type == "cpu" else torch.half

    def inputs_of(self, cube: Cube, windows: Sequence[Box], spare: object = None) -> DeviceInputs:
        """Read what `predict` needs to know of some windows; there are no arrays to use again."""
        return DeviceInputs.of(cube, windows, self.features, device=self._device, dtype=self.dtype)

    def predict(
        self,
        cores: Sequence[Core],
        maps: Sequence[U8],
        inputs: DeviceInputs,
        *,
        year: int,
        prior_year: int,
        box: Box,
    ) -> I32:
        """Return the weighted sums of the windows of one box, see `Predictor.predict`.

        Raises
        ------
        ValueError
            If the network gives anything but finite numbers: half precision ends at 65,504.
        """
        padded = self.tiling.padded(box)
        maps_NYX = self._uploaded(maps, padded)
        sums_KYX = torch.zeros(
            (self.features.n_sums, *padded.shape), dtype=torch.int32, device=self._device
        )
        # On the device, as are the sums: to look at either here would make the host wait.
        is_finite = torch.ones((), dtype=torch.bool, device=self._device)
        with torch.inference_mode():
            for first in range(0, len(cores), self.batch):
                windows = [
                    self.tiling.window_box(core) for core in cores[first : first + self.batch]
                ]
                # The last batch is filled up, so that all have one shape: the bits of a GPU may
                # follow the shape.
                filled = windows + [windows[-1]] * (self.batch - len(windows))
                maps_BNHW = torch.stack(
                    [maps_NYX[:, *window.slices(origin=padded)] for window in filled]
                )
                inputs_BCHW = assemble(
                    maps_BNHW,
                    inputs.levels(filled, year),
                    inputs.levels(filled, prior_year),
                    inputs.static(filled),
                    self.features,
                )
                heads_BCHW = self.network(inputs_BCHW.to(self.dtype)).float()
                is_finite &= heads_BCHW.isfinite().all()
                shares_BKHW = self._fixed_point(heads_BCHW, maps_BNHW[:, 0])
                weighted_BKHW = shares_BKHW * self._weights_HW
                # Not strict: the windows that filled up the last batch are left out.
                for window, weighted_KHW in zip(windows, weighted_BKHW, strict=False):
                    sums_KYX[:, *window.slices(origin=padded)] += weighted_KHW

        if not is_finite:
            raise ValueError(
                f"{year}: the network gave numbers that are not finite in {self.dtype} on "
                f"{self.device}; an input may be too large for it. Set inference.device = 'cpu', "
                "or scale the input in the run file and train again"
            )
        sums: I32 = sums_KYX.cpu().numpy()
        return sums

    def _fixed_point(self, heads_BCHW: Tensor, prior_BHW: Tensor) -> Tensor:
        """What is added up of each cell, before it is weighted, int32."""
        scale = self.features.scale
        if scale is None:
            return fixed_point_probabilities(heads_BCHW, prior_BHW, self.calibration)
        return fixed_point_values(heads_BCHW, prior_BHW, self.calibration, scale)

    def _uploaded(self, maps: Sequence[U8], padded: Box) -> Tensor:
        """Maps on the device, (N, Y, X); maps that do not exist are `OUTSIDE` everywhere."""
        maps_NYX = np.full((self.features.history, *padded.shape), OUTSIDE, np.uint8)
        for n, class_map in enumerate(maps):
            maps_NYX[n] = class_map
        return torch.as_tensor(maps_NYX, device=self._device)

    @cached_property
    def _device(self) -> torch.device:
        return torch.device(self.device)

    @cached_property
    def network(self) -> nn.Module:
        """First layer and trunk, on the device."""
        if self._device.type == "cuda":
            # The fastest algorithm is another one from run to run, and has other bits.
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True
        network = nn.Sequential(deepcopy(self.model.first), nn.ReLU(), Trunk(self.model))
        return network.to(self._device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @cached_property
    def _weights_HW(self) -> Tensor:
        return torch.as_tensor(self.weights_HW, device=self._device)


def fixed_point_probabilities(
    heads_BCHW: Tensor, prior_BHW: Tensor, calibration: Calibration
) -> Tensor:
    """Return calibrated probabilities as `blending.add_window` rounds them, int32, (B, K, H, W).

    Parameters
    ----------
    heads_BCHW : Tensor
        The logit of each class and the bonus of the prior's class, see `UNet.heads`.
    prior_BHW : Tensor, uint8
        Class indices of the prior map; `UNKNOWN` and `OUTSIDE` get no bonus.
    calibration : Calibration
        Temperature and bias.
    """
    logits_BKHW = heads_BCHW[:, :-1]
    bonus_B1HW = softplus(heads_BCHW[:, -1])[:, None]
    class_K11 = torch.arange(logits_BKHW.shape[1], dtype=torch.uint8, device=prior_BHW.device)[
        :, None, None
    ]
    is_prior_BKHW = prior_BHW[:, None] == class_K11

    # The order bonus, temperature, bias is that in which the calibration was fitted.
    with_bonus_BKHW = logits_BKHW + is_prior_BKHW * bonus_B1HW
    calibrated_BKHW = with_bonus_BKHW / calibration.temperature + is_prior_BKHW * calibration.bias

    probabilities_BKHW = calibrated_BKHW.softmax(dim=1)
    return (probabilities_BKHW * ONE).round().int()


def fixed_point_values(
    heads_B2HW: Tensor, prior_BHW: Tensor, calibration: Calibration, scale: ValueScale
) -> Tensor:
    """Return weight, value and spread as `value_blending.add_values` rounds them, (B, 3, H, W).

    Parameters
    ----------
    heads_B2HW : Tensor
        Change of the seen value, and spread before softplus, see `UNet.heads`.
    prior_BHW : Tensor, uint8
        Levels of the prior map.
    calibration : Calibration
        Temperature of the spread and bias of the value.
    scale : ValueScale
        What the levels stand for.
    """
    table = torch.from_numpy(seen_levels(scale)).to(prior_BHW.device)
    mean_BHW = table[prior_BHW.long(), 0] + heads_B2HW[:, 0]
    spread_BHW = softplus(heads_B2HW[:, 1]) + LEAST_SPREAD
    position_BHW, deviation_BHW = calibrated_moments(
        mean_BHW, spread_BHW, scale, calibration, torch
    )
    shares = [torch.ones_like(position_BHW), position_BHW, deviation_BHW]
    return (torch.stack(shares, dim=1) * ONE).round().int()
