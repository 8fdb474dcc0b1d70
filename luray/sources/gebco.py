"""GEBCO elevation and depth, 15 arcsec: the global grid or a region of it, in one NetCDF file.

Shapes: H W box.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import About, Described, FilesConfig, Request, Source, refuse_cells
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf
from luray.sources.layout import require_lattice
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, unpack
from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError

STEP = 1 / 240
"""Cell size in degrees: 15 arcsec."""

LOWEST = -12000
HIGHEST = 9000
"""Metres beyond which a value is no elevation."""

ELEVATION = Variable(
    name="elevation",
    role="static",
    units="m",
    long_name="elevation above sea level, negative below",
    dtype="int16",
    resampling="bilinear",
    scale=1000.0,
)

EDITIONS = {
    2020: "10.5285/a29c5465-b138-234d-e053-6c86abc040b9",
    2023: "10.5285/f98b053b-0cbc-6c23-e053-6c86abc0af7b",
    2024: "10.5285/1c44ce99-0a0d-5f4f-e063-7086abc0ea0f",
    2025: "10.5285/37c52e96-24ea-67ce-e063-7086abc05f29",
    2026: "10.5285/4f68d5c7-45eb-f999-e063-7086abc036fa",
}
"""DOI of each edition; those of the others could not be confirmed."""

NAME = r"(?i:GEBCO_(?P<year>\d{4})(?!\d)(?P<rest>[^/]*)\.(?P<suffix>nc|tiff?))"
"""Name of the global file, and of a region as the download application names it, in lower case."""

REGIONAL = "gebco_{year}_n{north}_s{south}_w{west}_e{east}.nc"
"""Name of a region, for messages."""

ABOUT = About(
    title="GEBCO gridded bathymetry and land elevation",
    doi=EDITIONS[max(EDITIONS)],
    licence="public domain",
    url="https://www.gebco.net/data-products/gridded-bathymetry-data",
    files=("GEBCO_{year}.nc",),
    values="15 arcsec; elevation in metres as int16, depths negative; a regional download under "
    "its own name",
    ranges={"": f"{LOWEST}..{HIGHEST} m"},
)


class GebcoConfig(FilesConfig):
    """Where the GEBCO file is."""

    about: ClassVar[About] = ABOUT
    reads_other_years: ClassVar[bool] = True
    native_step: ClassVar[float | None] = STEP

    kind: Literal["gebco"]

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Elevation."""
        return (ELEVATION,)

    def open(self, request: Request) -> Source:
        """Return the source; see `open_gebco`."""
        return open_gebco(self)


@dataclass(frozen=True, kw_only=True)
class Gebco(Described):
    """Elevation in metres, below the sea too."""

    file: NetcdfFile
    to_metres: Conversion
    """Conversion of the file's values into metres."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the elevation, shape (1, H, W); see `Source.read`.

        int16, or float32 where the file's unit is converted.
        """
        [metres_HW] = self.file.read(("elevation",), box)
        if self.to_metres.changes:
            metres_HW = self.to_metres(unpack(metres_HW, self.file.variables["elevation"]))
        refuse_cells(
            (metres_HW < LOWEST) | (metres_HW > HIGHEST),
            metres_HW,
            grid=self.grid,
            box=box,
            where=self.file.url,
            found="are no elevations",
            expected=f"metres between {LOWEST} and {HIGHEST}; get the file again",
        )
        return np.asarray(metres_HW, self.variables[0].dtype)[None]


def open_gebco(config: GebcoConfig) -> Source:
    """Open the elevation of GEBCO.

    Parameters
    ----------
    config : GebcoConfig
        Where the file is.

    Raises
    ------
    InputError
        For no file or several, and for another dtype, unit or lattice.
    """
    url, year = _find_file(config)
    about = replace(ABOUT, title=f"{ABOUT.title}, {year}", doi=EDITIONS.get(year, ""))
    file = inspect_netcdf(url)
    file.require("elevation")
    field = file.variables["elevation"]
    to_metres = conversion(field.units, ELEVATION.units, where=f"{url}: elevation")
    # The published file needs no arithmetic: its integers are stored as they are. What a user has
    # converted to another unit becomes float32.
    is_published = np.dtype(field.dtype).newbyteorder("=") == np.int16 and field.packing == (1, 0)
    if not (is_published or to_metres.changes):
        raise InputError(
            f"{url}: elevation is {field.dtype} with scale and offset {field.packing}, expected "
            "plain int16; get the file as it is published"
        )
    require_lattice(file.layout.grid, where=url)

    elevation = replace(ELEVATION, dtype="float32") if to_metres.changes else ELEVATION
    unit_rules = (f"elevation: {to_metres.rule}",) if to_metres.rule else ()
    return Gebco(
        name=config.label,
        about=about,
        grid=file.layout.grid,
        variables=(elevation,),
        years=(),
        rules=(*file.layout.rules, *unit_rules, "depths below sea level kept"),
        files=(url,),
        file=file,
        to_metres=to_metres,
        encodings=(encoding_of_netcdf("elevation", [file]),),
    )


def _find_file(config: GebcoConfig) -> tuple[str, int]:
    """Place and year of the one file.

    Raises InputError for none, for several editions, and for several regions of one.
    """
    # The type identifier grid (TID) says where each depth comes from: it lies beside the elevation
    # and is none.
    matches = matching(config, NAME)
    files = [(url, match) for url, match in matches if "_tid" not in match["rest"].lower()]
    netcdf_files = [(url, match) for url, match in files if match["suffix"].lower() == "nc"]
    if not netcdf_files:
        rasters = f" but {files[0][0]}" if files else ""
        raise InputError(
            f"{config.where}: found no GEBCO file{rasters}, expected GEBCO_{{year}}.nc or "
            f"{REGIONAL}; get the NetCDF file or correct `path`"
        )
    if len(netcdf_files) > 1:
        listed = ", ".join(url for url, _ in netcdf_files)
        editions = {_edition(match) for _, match in netcdf_files}
        fault = "files of one edition, which are not joined"
        if len(editions) > 1:
            fault = "files of several editions"
        raise InputError(
            f"{config.where}: found {len(netcdf_files)} GEBCO {fault} ({listed}), expected one "
            "file; set `path` to the one to use, or download the region as one"
        )
    [(url, match)] = netcdf_files
    return url, int(match["year"])


def _edition(match: re.Match[str]) -> tuple[str, bool]:
    """Year in the name of a file, and whether its elevation is that of the rock below the ice."""
    return match["year"], "sub_ice" in match["rest"].lower()
