"""GEBCO elevation and depth, 15 arcsec."""

from dataclasses import dataclass, replace
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

EDITIONS = {
    2020: "10.5285/a29c5465-b138-234d-e053-6c86abc040b9", 2023: "10.5285/f98b053b-0cbc-6c23-e053-6c86abc0af7b",
    2024: "10.5285/1c44ce99-0a0d-5f4f-e063-7086abc0ea0f", 2025: "10.5285/37c52e96-24ea-67ce-e063-7086abc05f29",
    2026: "10.5285/4f68d5c7-45eb-f999-e063-7086abc036fa",
}
"""DOI of each edition; those of the others could not be confirmed."""

ABOUT = About(
    title="GEBCO gridded bathymetry and land elevation",
    doi=EDITIONS[max(EDITIONS)],
    licence="public domain",
    url="https://www.gebco.net/data-products/gridded-bathymetry-data",
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
    found = {file: int(m[1]) for file, m in matching(config, r"GEBCO_(\d{4})[^/]*\.nc")}
    url = only(list(found), path=config.where, expected="GEBCO file (GEBCO_{year}.nc)")
    about = replace(ABOUT, title=f"{ABOUT.title}, {found[url]}", doi=EDITIONS.get(found[url], ""))
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
    return Gebco(name="gebco", about=about, grid=file.layout.grid, variables=(ELEVATION,), years=(),
                 rules=(*file.layout.rules, "depths below sea level kept"), files=(url,), file=file,
                 stored=(stored_netcdf("elevation", [file]),))
