"""The model as a host of any language runs it: maps and forcing in their units in, classes out.

Of a continuous target levels go in, and values come out.

All that inference does around the network is in it: codes become class indices, forcing is scaled,
changes, shares and memory are worked out, and the logits are calibrated. What it leaves to the host
is to cut out windows, and to average their probabilities where they overlap.

Shapes: B windows; N maps from the newest; K classes; V forcing variables, L their level channels; S
static variables, T their channels; H W window.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from luray.core.legend import OUTSIDE
from luray.core.value_scale import ValueScale
from luray.core.variable import Variable
from luray.model.features import UNKNOWN, Features
from luray.model.model_input import assemble
from luray.model.operating_point import Calibration
from luray.model.unet import UNet, frozen
from luray.model.values import calibrated_moments, nearest_level

N_CODES = 256
"""Codes that a byte can hold."""


class HostModel(nn.Module):
    """Probabilities and the likeliest classes of windows, from inputs as a host has them.

    Parameters
    ----------
    model : UNet
        A trained network; a frozen copy is taken.
    features : Features
        Layout of its input, with the published codes of the classes.
    calibration : Calibration
        Of the operating point.
    ocean : int
        Code that a cell gets whose newest map has no class.
    """

    index_of_code: Tensor
    code_of_index: Tensor

    def __init__(
        self, model: UNet, features: Features, calibration: Calibration, *, ocean: int
    ) -> None:
        super().__init__()
        assert len(features.codes) == features.n_classes, "the layout names no codes"
        self.network = frozen(model)
        self.features = features
        self.temperature = float(calibration.temperature)
        self.bias = float(calibration.bias)
        index_of_code = torch.full((N_CODES,), OUTSIDE, dtype=torch.int64)
        codes_of_maps = range(features.scale.levels) if features.scale else features.codes
        for index, code in enumerate(codes_of_maps):
            index_of_code[code] = index
        if features.scale is not None:
            index_of_code[UNKNOWN] = UNKNOWN  # land whose value is not known
        self.register_buffer("index_of_code", index_of_code)
        codes = torch.tensor(features.codes, dtype=torch.int64)
        self.register_buffer("code_of_index", codes)
        self.ocean = ocean

    def forward(
        self, land_use: Tensor, forcing: Tensor, prior_forcing: Tensor, static: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what the network says of the year.

        Parameters
        ----------
        land_use : Tensor, uint8, shape (B, N, H, W)
            Published codes of the last maps, the newest first. Any other code is no class: ocean,
            beyond the grid, or a map that there is none of.
        forcing, prior_forcing : Tensor, float32, shape (B, V, H, W)
            Of the year and of the newest map's, in the unit of each variable; NaN is missing.
        static : Tensor, float32, shape (B, S, H, W)
            The same of what never changes.

        Returns
        -------
        probability : Tensor, float32, shape (B, K, H, W)
            Of each class. Of values instead mean and standard deviation, (B, 2, H, W), in the unit
            of the target.
        likeliest : Tensor, uint8, shape (B, H, W)
            Code of the likeliest class; the ocean's where the newest map has no class. Of values
            the level nearest to the mean.
        """
        maps_BNHW = self.index_of_code[land_use.long()]
        inputs_BCHW = assemble(
            maps_BNHW.to(torch.uint8),
            _levels(forcing, self.features.forcing),
            _levels(prior_forcing, self.features.forcing),
            _levels(static, self.features.static),
            self.features,
        )
        is_land_BHW = maps_BNHW[:, 0] != OUTSIDE
        if self.features.scale is not None:
            values_B2HW, level_BHW = self._values(inputs_BCHW, self.features.scale)
            level_BHW = torch.where(is_land_BHW, level_BHW, self.ocean)
            return values_B2HW, level_BHW.to(torch.uint8)
        prior_BKHW = inputs_BCHW[:, : self.features.n_classes]
        logits_BKHW = self.network(inputs_BCHW) / self.temperature + self.bias * prior_BKHW
        probability_BKHW = torch.softmax(logits_BKHW, dim=1)
        likeliest_BHW = self.code_of_index[probability_BKHW.argmax(dim=1)]
        likeliest_BHW = torch.where(is_land_BHW, likeliest_BHW, self.ocean)
        return probability_BKHW, likeliest_BHW.to(torch.uint8)

    def _values(self, inputs_BCHW: Tensor, scale: ValueScale) -> tuple[Tensor, Tensor]:
        """Mean and deviation in the unit of the target, and the level nearest to the mean."""
        mean_BHW, spread_BHW = self.network(inputs_BCHW).unbind(dim=1)
        calibration = Calibration(self.temperature, self.bias)
        position_BHW, deviation_BHW = calibrated_moments(
            mean_BHW, spread_BHW, scale, calibration, torch
        )

        size = scale.step * (scale.levels - 1)  # of the scale in its unit
        value_BHW = scale.first + size * position_BHW
        values_B2HW = torch.stack([value_BHW, size * deviation_BHW], dim=1)
        return values_B2HW, nearest_level(position_BHW, scale, torch).long()


def _levels(values_BVHW: Tensor, variables: Sequence[Variable]) -> Tensor:
    """Return variables as the model sees them, see `features.scaled`."""
    if not variables:
        return values_BVHW[:, :0]
    channels = []
    for position, variable in enumerate(variables):
        value_BHW = values_BVHW[:, position]
        if variable.categories:
            channels += [(value_BHW == code).float() for code in variable.categories]
            continue
        if variable.transform == "log1p":
            value_BHW = torch.log1p(value_BHW)
        level_BHW = value_BHW / float(np.float32(variable.scale))
        channels.append(torch.where(torch.isnan(level_BHW), 0.0, level_BHW))
    return torch.stack(channels, dim=1)
