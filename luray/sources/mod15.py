"""Leaf area index of MODIS (MOD15A2H, MYD15A2H, MCD15A2H), 500 m, every 8 days.

NASA ships HDF4, which luray does not read: take GeoTIFF or NetCDF of AppEEARS or MODISTools, or
convert the tiles with `gdal_translate`. The sinusoidal grid is warped onto that of the run.
"""

from typing import ClassVar, Literal

from luray.core.time_steps import TimeSteps
from luray.sources.base import About, Request, Source
from luray.sources.value_maps import FlagMask, Packing
from luray.sources.value_series import SeriesFiles, open_series
from luray.sources.values import ValuesConfigBase, dated_files

VARIABLE = "Lai_500m"

NAME = (
    r"(?:(?:MOD|MYD|MCD)15A2H(?!\S*(?:Fpar|StdDev|_QC))\S*?[._](?:A|doy)(?P<year>\d{4})"
    r"(?P<doy>\d{3})(?!\d)[^/]*\.(?:tiff?|hdf|nc4?)|[^/]*\.nc4?)"
)
"""GeoTIFFs with the day in their name, as NASA and AppEEARS give them; any NetCDF."""

PACKING = Packing(
    scale=0.1, offset=0.0, valid=(0, 100), no_value=tuple(float(n) for n in range(249, 256))
)
"""249 unclassified, 250 urban, 251 wetland, 252 snow or ice, 253 barren, 254 water, 255 fill."""

BACK_UP = FlagMask("FparLai_QC", 0xC0)
"""The upper two bits of SCF_QC: 2 and 3 for the back-up algorithm, 4 for no retrieval."""

ABOUT = About(
    title="MODIS leaf area index, 8-daily at 500 m (MOD15A2H, MYD15A2H, MCD15A2H)",
    doi="10.5067/MODIS/MOD15A2H.061",
    licence="free to use",
    url="https://lpdaac.usgs.gov/products/mod15a2hv061",
    files=(
        "MOD15A2H.061_Lai_500m_doy{date}_aid0001.tif, or of tiles MOD15A2H.A{date}.h17v04.061.tif",
        f"NetCDF with {VARIABLE} and a time axis",
    ),
    values=f"{VARIABLE}: bytes 0-100 times 0.1; 249-255 are no retrieval",
)


class Mod15Config(ValuesConfigBase):
    """Where the files are, and which retrievals count."""

    about: ClassVar[About] = ABOUT

    kind: Literal["mod15"]
    algorithm: Literal["any", "main"] = "any"
    """Retrievals that count: of the main algorithm alone, which FparLai_QC says of NetCDF files, or
    also of the back-up.
    """
    crs: str = ""
    """Coordinate reference system of projected NetCDF files that declare none."""

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_series`."""
        files = SeriesFiles(
            label=self.label,
            about=ABOUT,
            where=self.where,
            files=dated_files(self, NAME),
            variable=VARIABLE,
            interval=TimeSteps("P8D"),
            packing=lambda dtype: PACKING,
            flags=(BACK_UP,) if self.algorithm == "main" else (),
            outside=self.outside,
            missing_steps=self.missing_steps,
            reproject=True,
            crs=self.crs,
        )
        return open_series(files, request)
