"""Leaf area index of GLASS (Global Land Surface Satellite), every 8 days, 0.05 degrees to 250 m.

It is published as HDF4, which luray does not read: `gdal_translate` makes GeoTIFFs of it. Keep the
names up to their ending.
"""

from typing import ClassVar, Literal

import numpy as np

from luray.core.time_steps import TimeSteps
from luray.sources.base import About, Request, Source
from luray.sources.value_maps import Packing
from luray.sources.value_series import SeriesFiles, open_series
from luray.sources.values import ValuesConfigBase, dated_files

VARIABLE = "LAI"

NAME = (
    r"GLASS01[A-Z]\d{2}\.V\d{2}\.A(?P<year>\d{4})(?P<doy>\d{3})(?:\.h\d{2}v\d{2})?(?:\.\d{7})?"
    r"[^/.]*\.(?:tiff?|nc4?|hdf)"
)
"""Of AVHRR (B02) and MODIS (B01 at 0.05 degrees, others by tiles), any version."""

ABOUT = About(
    title="GLASS leaf area index, 8-daily",
    doi="10.1109/TGRS.2013.2237780",
    licence="free for research, to be cited",
    url="http://www.glass.umd.edu",
    files=(
        "GLASS01B02.V40.A{date}.{made}.tif (AVHRR, 0.05 degrees)",
        "GLASS01B01.V60.A{date}.{made}.tif (MODIS, 0.05 degrees), GLASS01E01 by tiles",
    ),
    values=f"{VARIABLE}: bytes 0-100 times 0.1, or larger numbers 0-1000 times 0.01",
)


def packing_of(dtype: str) -> Packing:
    """Return the packing of files of a dtype.

    Versions 5 and 6 have bytes in tenths, earlier ones numbers of 16 bits in hundredths. What lies
    above the valid range and is the largest number of its kind is water or fill.
    """
    numbers = np.dtype(dtype)
    if numbers.kind == "f":
        return Packing(scale=1.0, offset=0.0, valid=(0, 10))
    if numbers.itemsize == 1:
        fills = tuple(float(n) for n in range(248, 256))
        return Packing(scale=0.1, offset=0.0, valid=(0, 100), no_value=fills)
    fills = (2550.0, float(np.iinfo(numbers).max), -1.0)
    return Packing(scale=0.01, offset=0.0, valid=(0, 1000), no_value=fills)


class GlassConfig(ValuesConfigBase):
    """Where the files are."""

    about: ClassVar[About] = ABOUT

    kind: Literal["glass"]

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_series`."""
        files = SeriesFiles(
            label=self.label,
            about=ABOUT,
            where=self.where,
            files=dated_files(self, NAME),
            variable=VARIABLE,
            interval=TimeSteps("P8D"),
            packing=packing_of,
            outside=self.outside,
            missing_steps=self.missing_steps,
            reproject=True,
        )
        return open_series(files, request)
