"""The inputs of a tile's windows on a GPU, which puts the model's input together by itself.

A host that writes the first layer, as on CPUs (`luray.engine.inputs`), takes ten times as long as
the rest of the network takes on a GPU. So the GPU gets what is small, native cells and index maps,
and resamples them at the windows. What does not change with the year stays there at 1 km.

Shapes: B windows of a batch; V variables, Y X a native grid; L level channels of the forcing, S
static channels; H W window or region.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from luray.core.regrid import AxisMap, Method
from luray.core.tiling import Box, hull
from luray.core.types import I16
from luray.core.variable import Variable
from luray.cube.cube import Cube, Layer
from luray.cube.region import Region, ResampledVariables, categorical, resampling_groups
from luray.model.features import Features


class DeviceAxis(NamedTuple):
    """An `AxisMap` as tensors."""

    low: Tensor
    high: Tensor
    weight: Tensor

    @classmethod
    def of(cls, axis: AxisMap, device: torch.device) -> "DeviceAxis":
        """Copy an axis to a device."""
        return cls(*(torch.as_tensor(part, device=device) for part in axis))

    def take(self, cells: slice) -> "DeviceAxis":
        """Return the map of some of the fine cells."""
        return DeviceAxis(self.low[cells], self.high[cells], self.weight[cells])


class DeviceVariables(NamedTuple):
    """Variables of a source that are resampled alike: `ResampledVariables` as tensors."""

    variables: tuple[Variable, ...]
    values_VYX: Tensor
    """As the model sees them; of categorical ones the number of the category, -1 for none."""
    rows: DeviceAxis
    cols: DeviceAxis

    @classmethod
    def of(cls, resampled: ResampledVariables, device: torch.device) -> "DeviceVariables":
        """Copy variables to a device."""
        return cls(
            resampled.variables,
            torch.as_tensor(resampled.values_VYX, device=device),
            DeviceAxis.of(resampled.rows, device),
            DeviceAxis.of(resampled.cols, device),
        )

    def seen(self, rows: slice, cols: slice) -> Tensor:
        """Return the channels in a part of the region, float32, (channels, H, W)."""
        variables = self.variables
        values_VHW = resample(
            self.values_VYX,
            self.rows.take(rows),
            self.cols.take(cols),
            method=variables[0].resampling,
        )
        if not categorical(variables[0]):
            return values_VHW

        # -1, for no category, equals none of them: all of its channels are 0.
        one_hot = []
        for variable, category_HW in zip(variables, values_VHW, strict=True):
            categories = torch.arange(variable.channels, device=values_VHW.device)
            one_hot.append(category_HW == categories[:, None, None])
        return torch.cat(one_hot).float()


def resample(native_VYX: Tensor, rows: DeviceAxis, cols: DeviceAxis, *, method: Method) -> Tensor:
    """Resample native values to fine cells, as `regrid.gather` does.

    Parameters
    ----------
    native_VYX : Tensor
        Values of V variables on the native grid.
    rows, cols : DeviceAxis
        Maps of the H rows and W columns.
    method : {"nearest", "bilinear"}
        The one that the maps were made with.

    Returns
    -------
    Tensor, shape (V, H, W)
    """
    if method == "nearest":
        return native_VYX[:, rows.low[:, None], cols.low]

    # Between native rows first, then between native columns, as on CPUs.
    weight_of_below_H1 = rows.weight[:, None]
    weight_of_above_H1 = (1 - rows.weight)[:, None]
    above_VHX = native_VYX[:, rows.low]
    below_VHX = native_VYX[:, rows.high]
    between_VHX = above_VHX * weight_of_above_H1 + below_VHX * weight_of_below_H1

    left_VHW = between_VHX[:, :, cols.low]
    right_VHW = between_VHX[:, :, cols.high]
    return left_VHW * (1 - cols.weight) + right_VHW * cols.weight


@dataclass
class DeviceInputs:
    """Inputs of some windows on a device.

    The static ones take 2 bytes a channel and cell on a GPU: 170 MB for a tile of 2000 cells with
    20 channels.
    """

    CACHED_YEARS = 2
    """Years whose forcing is kept on the device: that of a step, and that of its prior."""

    region: Region
    features: Features
    device: torch.device
    static_SHW: Tensor
    """Over the region, in the precision of the network."""
    _forcing: OrderedDict[int, list[DeviceVariables]] = field(default_factory=OrderedDict)

    @classmethod
    def of(
        cls,
        cube: Cube,
        windows: Sequence[Box],
        features: Features,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> "DeviceInputs":
        """Read the static inputs under some windows.

        Parameters
        ----------
        cube : Cube
            Where they are read from.
        windows : sequence of Box
            All of one size.
        features : Features
            Layout of the model input.
        device : torch.device
            Where the model runs.
        dtype : torch.dtype
            In which static inputs are kept.
        """
        region = Region(cube, hull(windows))
        everything = slice(0, region.box.height), slice(0, region.box.width)
        # An empty piece first: `torch.cat` refuses an empty list, and a run may have no inputs.
        pieces = [torch.empty((0, *region.box.shape), dtype=dtype, device=device)]
        for layer in cube.static:
            for variables in _read(region, layer):
                channels_SHW = DeviceVariables.of(variables, device).seen(*everything)
                pieces.append(channels_SHW.to(dtype))
        return cls(region, features, device, torch.cat(pieces))

    @property
    def arrays(self) -> Iterator[I16]:
        """Arrays of the host that may serve another tile: none."""
        return iter(())

    def for_scenario(self, cube: Cube) -> "DeviceInputs":
        """Return the same windows in a scenario's view of the cube; they share what is static."""
        return replace(
            self,
            region=replace(self.region, cube=cube),
            _forcing=OrderedDict[int, list[DeviceVariables]](),
        )

    def levels(self, windows: Sequence[Box], year: int) -> Tensor:
        """Return the level channels of a year in some windows, float32, (B, L, H, W)."""
        if year not in self._forcing:
            variables_of_year = []
            for layer in self.region.cube.forcing:
                groups = self.region.resampled(layer, year)
                variables_of_year += [DeviceVariables.of(group, self.device) for group in groups]
            self._forcing[year] = variables_of_year

            # The years of a rollout come in order, so the oldest entry is needed no more.
            while len(self._forcing) > self.CACHED_YEARS:
                self._forcing.popitem(last=False)

        levels = []
        for window in windows:
            at = window.slices(origin=self.region.box)
            pieces = [torch.empty((0, *window.shape), device=self.device)]
            pieces += [variables.seen(*at) for variables in self._forcing[year]]
            levels.append(torch.cat(pieces))
        return torch.stack(levels)

    def static(self, windows: Sequence[Box]) -> Tensor:
        """Return the static channels in some windows, (B, S, H, W)."""
        return torch.stack(
            [self.static_SHW[:, *window.slices(origin=self.region.box)] for window in windows]
        )


def _read(region: Region, layer: Layer) -> Iterator[ResampledVariables]:
    """Yield the variables of a static layer; the host keeps none of them."""
    native_VYX = region.values(layer, ())
    for variables, values_VYX in resampling_groups(layer, native_VYX):
        yield region.resample(layer, variables, values_VYX)
