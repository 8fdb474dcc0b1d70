"""Leaf area index of the Copernicus Climate Change Service (C3S), 1 km and 300 m, by dekads.

The files give the last day of each dekad, and what the retrieval is worth in `retrieval_flag`.

The uncertainty of each value, `LAI_ERR`, is not used. It grows with the value, as dense canopies
saturate the signal: a limit on it, or weights by it, would take dense canopies away first and leave
a map that is too low. How far predicted values are from retrieved ones, the error of the retrieval
among it, says the spread of a model, which is calibrated on cells that it has not seen.
"""

import re
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from luray.core.grid import Grid
from luray.core.time_steps import TimeSteps
from luray.sources.base import About, Request, Source
from luray.sources.netcdf import NetcdfFile
from luray.sources.value_maps import FlagMask, Packing
from luray.sources.value_series import SeriesFiles, open_series
from luray.sources.values import ValuesConfigBase, dated_files
from luray.storage.errors import InputError

NAME = (
    r"c3s_LAI(?:-300m|300)?_(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})\d{6}_GLOBE_"
    r"(?P<sensor>[A-Z0-9-]+)_(?P<version>V[\d.]+)(?P<region>[\w.-]*)\.nc"
)
"""Names of all sensors and versions. A download of a region says so behind the version."""

VARIABLE = "LAI"
FLAGS = "retrieval_flag"

NO_RETRIEVAL = 0x01 | 0x40 | 0x80
"""Bits of `retrieval_flag` with which there is none: obs_is_fillvalue, tip_untrusted and
obs_unusable. The others describe the retrieval; some of them are set almost everywhere.
"""

STEP = 1 / 112
"""Cell size of the 1 km product in degrees."""

ABOUT = About(
    title="Leaf area index of C3S from satellite observations, 10-daily",
    doi="10.24381/cds.7e59b01a",
    licence="licence to use Copernicus products",
    url="https://cds.climate.copernicus.eu/datasets/satellite-lai-fapar",
    files=("c3s_LAI_{date}000000_GLOBE_{sensor}_{version}.nc, a file each dekad",),
    values=f"1/112 degree (300 m: 1/336); {VARIABLE}, packed, with {FLAGS}",
)


class C3sLaiConfig(ValuesConfigBase):
    """Where the files are, and which retrievals count."""

    about: ClassVar[About] = ABOUT
    native_step: ClassVar[float | None] = None

    kind: Literal["c3s_lai"]
    flags: int = Field(NO_RETRIEVAL, ge=0)
    """Bits of `retrieval_flag` of which any makes a cell a gap; 0 for none. By default those that
    say that there is no retrieval, or no usable one.
    """

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_series`."""
        flags = (FlagMask(FLAGS, self.flags),) if self.flags else ()
        files = SeriesFiles(
            label=self.label,
            about=ABOUT,
            where=self.where,
            files=dated_files(self, NAME),
            variable=VARIABLE,
            interval=TimeSteps("dekad"),
            packing=lambda dtype: Packing(),
            flags=flags,
            outside=self.outside,
            missing_steps=self.missing_steps,
            placed=placed,
        )
        return open_series(files, request)


def placed(file: NetcdfFile) -> NetcdfFile:
    """Return a file where its GeoTransform has it.

    Coordinates of these files may be the north-western corners of the cells. The attribute
    `GeoTransform` beside the coordinate reference system says where corners are: coordinates that
    are whole cells away from it are corners, those that are half a cell off are centres.

    Raises InputError for what is neither.
    """
    transform = _geotransform(file)
    if transform is None:
        return file
    west, step, north = transform
    grid = file.layout.grid
    # The layout takes coordinates for centres, so its edges are half a cell off where they are not.
    shifts = (grid.west - west) / step, (north - grid.north) / step
    off = [abs(shift - round(shift)) for shift in shifts]
    if max(off) < 0.1:
        return file
    if min(off) < 0.4:
        raise InputError(
            f"{file.url}: the coordinates are {off[0]:.2f} and {off[1]:.2f} of a cell off the "
            "corners that GeoTransform gives, expected 0 or a half; correct the coordinates"
        )
    half = grid.step / 2
    at_corners = Grid(grid.north - half, grid.west + half, grid.step, *grid.shape)
    rule = "coordinates read as the north-western corners of the cells, as GeoTransform has them"
    return replace(file, layout=replace(file.layout, grid=at_corners).with_rules(rule))


def _geotransform(file: NetcdfFile) -> tuple[float, float, float] | None:
    """Return western edge, cell size and northern edge that a file declares, None for none."""
    for field in file.variables.values():
        declared = field.attrs.get("GeoTransform")
        if declared is None:
            continue
        text = declared if isinstance(declared, str) else " ".join(map(str, np.ravel(declared)))
        numbers = [float(part) for part in re.split(r"[,\s]+", text.strip()) if part]
        if len(numbers) == 6 and numbers[1] > 0:
            return numbers[0], numbers[1], numbers[3]
    return None
