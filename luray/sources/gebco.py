"""GEBCO elevation and depth, 15 arcsec."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.schema import Variable
from luray.sources.base import About, Described, FilesConfig, InputError, Request, Source, refuse_cells
from luray.sources.files import NetcdfFile, inspect_netcdf, matching, only
from luray.sources.layout import require_lattice
from luray.sources.stored import stored_netcdf
from luray.windows import Box

LOWEST, HIGHEST = -12000, 9000
"""Metres beyond which a value is no elevation."""

ELEVATION = Variable(name="elevation", role="static", units="m", long_name="elevation above sea level, negative below",
                     dtype="int16", resampling="bilinear", scale=1000.0)

ABOUT = About(
    title="GEBCO gridded bathymetry and land elevation",
    doi="10.5285/f98b053b-0cbc-6c23-e053-6c86abc0af7b",
    licence="public domain",
    url="https://www.gebco.net/data_and_products/gridded_bathymetry_data/",
    files=("GEBCO_{year}.nc",),
    values="15 arcsec; elevation in metres as int16, depths negative",
    ranges={"": f"{LOWEST}..{HIGHEST} m"},
)


class GebcoConfig(FilesConfig):
    """Where the GEBCO file is."""

    about: ClassVar[About] = ABOUT
    holds: ClassVar[bool] = True
    kind: Literal["gebco"]

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Elevation."""
        return (ELEVATION,)

    def open(self, request: Request) -> Source:
        """The source; see `open_gebco`."""
        return open_gebco(self)


@dataclass(frozen=True, kw_only=True)
class Gebco(Described):
    """Elevation in metres, below the sea too."""

    file: NetcdfFile

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Elevation, shape (1, height, width), int16; see `Source.read`."""
        [metres_HW] = self.file.read(("elevation",), box)
        refuse_cells((metres_HW < LOWEST) | (metres_HW > HIGHEST), metres_HW, grid=self.grid, box=box,
                     where=self.file.url, found="are no elevations",
                     expected=f"metres between {LOWEST} and {HIGHEST}; get the file again")
        return np.asarray(metres_HW, np.int16)[None]


def open_gebco(config: GebcoConfig) -> Source:
    """GEBCO elevation. Raises InputError for no file or several, another dtype, unit or lattice."""
    url = only([f for f, _ in matching(config, r"GEBCO_\d{4}[^/]*\.nc")], path=config.where,
               expected="GEBCO file (GEBCO_{year}.nc)")
    file = inspect_netcdf(url)
    file.require("elevation")
    field = file.variables["elevation"]
    if np.dtype(field.dtype).newbyteorder("=") != np.int16 or field.packing != (1, 0):
        raise InputError(f"{url}: elevation is {field.dtype} with scale and offset {field.packing}, expected plain "
                         "int16")
    if field.units not in ("m", "metre", "metres", "meter", "meters"):
        raise InputError(f"{url}: elevation is in {field.units!r}, expected metres; correct the units attribute or the "
                         "file")
    require_lattice(file.layout.grid, where=url)
    return Gebco(name="gebco", about=ABOUT, grid=file.layout.grid, variables=(ELEVATION,), years=(),
                 rules=(*file.layout.rules, "depths below sea level kept"), files=(url,), file=file,
                 stored=(stored_netcdf("elevation", [file]),))
