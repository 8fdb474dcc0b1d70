"""Maps of values in files: from stored numbers to values, with gaps where there is none.

Shapes: H W cells of a box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.types import F32, Bool
from luray.sources.base import equals, refuse_cells
from luray.sources.netcdf import Field, NetcdfFile
from luray.sources.projected_netcdf import ProjectedNetcdf
from luray.sources.raster import RasterFile
from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError


@dataclass(frozen=True)
class Packing:
    """How stored numbers become values. What is given here wins over what a file declares."""

    scale: float | None = None
    offset: float | None = None
    valid: tuple[float, float] | None = None
    """Lowest and highest stored number that is a value; others are refused."""
    no_value: tuple[float, ...] = ()
    """Stored numbers that say that there is no value, beside those that a file declares."""

    @property
    def rules(self) -> tuple[str, ...]:
        """What is done, in words."""
        rules = []
        if self.scale is not None or self.offset is not None:
            rules.append(f"stored numbers times {self.scale or 1:g}, plus {self.offset or 0:g}")
        if self.no_value:
            rules.append(f"{_listed(self.no_value)} read as no value")
        return tuple(rules)


@dataclass(frozen=True)
class FlagMask:
    """Cells without a value by their flags: those with any of the bits of a mask set."""

    variable: str
    mask: int

    @property
    def rule(self) -> str:
        """What is done, in words."""
        return f"cells with any of the bits {self.mask:#x} in {self.variable} read as no value"


@dataclass(frozen=True)
class ValueMap:
    """One map of a file: a time step of a variable of NetCDF, or a band of a GeoTIFF."""

    file: NetcdfFile | RasterFile
    variable: str
    """Of NetCDF; empty for a GeoTIFF."""
    index: int
    """Time step, -1 for a file without time; or number of the band."""
    packing: Packing
    flags: tuple[FlagMask, ...]
    to_units: Conversion
    """From the unit of the file into that of the target."""

    @property
    def grid(self) -> Grid:
        """The cells of the file."""
        return self.file.layout.grid

    @property
    def where(self) -> str:
        """The file and the map in it, for messages."""
        if isinstance(self.file, RasterFile):
            several = len(self.file.bands) > 1
            return f"{self.file.url}, band {self.index}" if several else self.file.url
        step = f", step {self.index}" if len(self.file.times) > 1 else ""
        return f"{self.file.url}: {self.variable}{step}"

    def read(self, box: Box) -> F32:
        """Read the values of a box of the file's cells, shape (H, W), NaN where there are none.

        Raises
        ------
        InputError
            For stored numbers outside the valid range, naming the file, their count and the worst.
        """
        stored_HW, missing_HW = self._stored(box)
        scale, offset = self._scale_and_offset
        low, high = self._valid
        if stored_HW.dtype.kind == "f":
            missing_HW |= np.isnan(stored_HW)
        refuse_cells(
            ~missing_HW & ((stored_HW < low) | (stored_HW > high)),
            stored_HW,
            grid=self.grid,
            box=box,
            where=self.where,
            found="are stored as numbers outside the valid range",
            expected=f"{low:g}..{high:g}, or a number that says that there is no value",
        )
        values_HW = self.to_units(stored_HW * scale + offset).astype(np.float32)
        values_HW[missing_HW] = np.nan
        return values_HW

    def _stored(self, box: Box) -> tuple[NDArray[Any], Bool]:
        """Return the stored numbers of a box, and where they are none."""
        file = self.file
        if isinstance(file, RasterFile):
            masked_HW = file.read(box, band=self.index)
            stored_HW: NDArray[Any] = np.ma.getdata(masked_HW)
            missing_HW: Bool = np.array(np.ma.getmaskarray(masked_HW))
            nodata = file.band(self.index).nodata
            fills: Sequence[float] = () if nodata is None else (nodata,)
        else:
            names = (self.variable, *(flag.variable for flag in self.flags))
            index = {file.time_axis: self.index} if self.index >= 0 else {}
            stored_HW, *flags = file.read(names, box, **index)
            missing_HW = np.zeros(box.shape, np.bool_)
            if isinstance(file, ProjectedNetcdf):
                missing_HW |= file.outside(box)
            for flag, stored_flags_HW in zip(self.flags, flags, strict=True):
                # Bits of signed and unsigned numbers of a file are the same.
                missing_HW |= (stored_flags_HW.astype(np.int64) & flag.mask) != 0
            fills = file.variables[self.variable].fills
        for fill in (*fills, *self.packing.no_value):
            missing_HW |= equals(stored_HW, fill)
        return stored_HW, missing_HW

    @property
    def _scale_and_offset(self) -> tuple[float, float]:
        """Scale and offset: those that are given, else the file's."""
        if isinstance(self.file, RasterFile):
            band = self.file.band(self.index)
            declared = band.scale, band.offset
        else:
            declared = self.file.variables[self.variable].packing
        scale = declared[0] if self.packing.scale is None else self.packing.scale
        offset = declared[1] if self.packing.offset is None else self.packing.offset
        return scale, offset

    @property
    def _valid(self) -> tuple[float, float]:
        """Lowest and highest stored number: those that are given, else the file's."""
        if self.packing.valid is not None:
            return self.packing.valid
        if isinstance(self.file, RasterFile):
            return -np.inf, np.inf
        return _declared_range(self.file.variables[self.variable])


def map_of_netcdf(
    file: NetcdfFile,
    variable: str,
    index: int,
    *,
    packing: Packing,
    flags: tuple[FlagMask, ...],
    units: str,
) -> ValueMap:
    """Return one time step of a variable as a map in `units`.

    Raises InputError where the file lacks the variable or the flags, has other dimensions than time
    and its grid, or has a unit of another kind.
    """
    file.require(variable, *(flag.variable for flag in flags))
    axes = {*file.axes, file.time_axis} if index >= 0 else {*file.axes}
    for name in (variable, *(flag.variable for flag in flags)):
        dims = file.variables[name].dims
        if set(dims) != axes:
            raise InputError(
                f"{file.url}: {name} has the dimensions {dims}, expected {tuple(sorted(axes))}; "
                "take the others away"
            )
    where = f"{file.url}: {variable}"
    to_units = conversion(file.variables[variable].units, units, where=where)
    return ValueMap(file, variable, index, packing, flags, to_units)


def map_of_raster(file: RasterFile, band: int, *, packing: Packing, units: str) -> ValueMap:
    """Return a band as a map in `units`. Raises InputError for a unit of another kind."""
    to_units = conversion(file.band(band).units, units, where=f"{file.url}, band {band}")
    return ValueMap(file, "", band, packing, (), to_units)


def _declared_range(field: Field) -> tuple[float, float]:
    """Return the valid range that a variable declares, in stored numbers as CF has it."""
    both = np.ravel(field.attrs.get("valid_range", ()))
    if both.size == 2:
        return float(both[0]), float(both[1])
    low = np.ravel(field.attrs.get("valid_min", -np.inf))[0]
    high = np.ravel(field.attrs.get("valid_max", np.inf))[0]
    return float(low), float(high)


def _listed(numbers: Sequence[float]) -> str:
    """Return whole numbers with runs of them joined, such as 249-255."""
    whole = sorted(int(number) for number in numbers if number == int(number))
    if len(whole) < 3 or whole[-1] - whole[0] != len(whole) - 1:
        return ", ".join(f"{number:g}" for number in numbers)
    return f"{whole[0]}-{whole[-1]}"
