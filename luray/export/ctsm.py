"""Raw land use data of CTSM, one file a year, as mksurfdata's PFT reader takes them.

Variables, dimensions and the meaning of each number are those of `mkpftMod` of CTSM and of the tool
that makes such files of LUH2: percentages of landunits, and of types within a landunit. Rows go
from south to north. Which types a class has follows from its Koeppen-Geiger group by
`catalogs/crosswalks/ctsm.toml`.

Shapes: K classes; M main groups; P types; H W fine cells of a band; Y X coarse cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luray.core.types import F64
from luray.cube.cube import Cube
from luray.export.climate_groups import GROUPS, class_areas, cube_with_climate
from luray.export.coarse_maps import water_index
from luray.export.crosswalk import read_crosswalk, read_crosswalk_file
from luray.export.job import ExportJob
from luray.export.netcdf_files import NetcdfWriter, netcdf_file, reading
from luray.product.fractions import WHOLE

N_NATURAL = 15
"""Natural types: bare ground, trees, shrubs and grass."""

N_CROPS = 64
"""Crop types, which are numbered on from the natural ones."""

OMITTED = "omitted"

FILL = -9999.0

TOLERANCE = 1e-6
"""By how much percentages may miss 100."""


def write_ctsm(job: ExportJob) -> None:
    """Write a file for each year.

    Raises
    ------
    ValueError
        Where the legend has no crosswalk, and where there is no cube with climate groups.
    RuntimeError
        If a file does not read back as it should.
    """
    crosswalk = ctsm_crosswalk(job)
    cube = cube_with_climate(job)
    for year, name in job.missing_files("landuse_{year}.nc"):
        area = _areas(job, cube, year, crosswalk)
        with job.folder.writing(name) as [path]:
            _write(path, job, year, area)
            _check(path, name)


@dataclass(frozen=True)
class PftCrosswalk:
    """Shares of the types in each class and climate group."""

    share_KMP: F64
    """0 throughout for a class that is omitted."""
    omitted: tuple[int, ...]
    """Indices of the classes for which CTSM has other data: urban, and water."""
    unknown: int
    """Position of the group of cells whose climate is not known."""


def ctsm_crosswalk(job: ExportJob) -> PftCrosswalk:
    """Read the crosswalk of the product's legend.

    Raises
    ------
    ValueError
        For a legend without crosswalk, a group that is missing, a type that CTSM does not have, and
        percentages that do not sum to 100.
    """
    legend = job.maps.product.legend
    entries = read_crosswalk("ctsm", legend)
    share_KMP = np.zeros((len(legend), len(GROUPS), N_NATURAL + N_CROPS))
    omitted = []
    for k, land_class in enumerate(legend.classes):
        if land_class.code == legend.water:
            omitted.append(k)
            continue
        entry = entries[str(land_class.code)]
        if entry == OMITTED:
            omitted.append(k)
            continue
        for m, group in enumerate(GROUPS):
            where = f"catalogs/crosswalks/ctsm.toml: {legend.name} {land_class.code} {group}"
            percent: Mapping[str, float] = entry.get(group, {})
            types = [int(number) for number in percent]
            if not all(0 <= number < share_KMP.shape[2] for number in types):
                raise ValueError(f"{where} has types {types}, expected 0 to 78; correct them")
            if abs(sum(percent.values()) - 100) > TOLERANCE:
                raise ValueError(
                    f"{where} sums to {sum(percent.values())} %, expected 100; correct it"
                )
            share_KMP[k, m, types] = np.array(list(percent.values())) / 100
    unknown = GROUPS.index(read_crosswalk_file("ctsm")["unknown"])
    return PftCrosswalk(share_KMP, tuple(omitted), unknown)


@dataclass(frozen=True)
class TypeAreas:
    """What a year has, as shares of the coarse cell."""

    types_PYX: F64
    land_YX: F64
    """All land, inland water among it."""
    unknown: float
    """Share of the land whose climate group is not known."""


def _areas(job: ExportJob, cube: Cube, year: int, crosswalk: PftCrosswalk) -> TypeAreas:
    """Add up the types of a year, a band of rows at a time."""
    coarse = job.region.coarse
    n_classes = len(job.maps.product.legend)

    # a group more: cells whose climate is not known
    share_KMP = np.zeros((n_classes, len(GROUPS) + 1, N_NATURAL + N_CROPS))
    share_KMP[:, 1:] = crosswalk.share_KMP
    share_KMP[:, 0] = crosswalk.share_KMP[:, crosswalk.unknown]

    types = np.zeros((N_NATURAL + N_CROPS, *coarse.shape))
    land = np.zeros(coarse.shape)
    unknown = 0.0
    total = 0.0
    for rows, units_KMYX in class_areas(job, year, cube):
        area_KMYX = units_KMYX / WHOLE
        types[:, rows] = np.einsum("kmyx,kmp->pyx", area_KMYX, share_KMP)
        land[rows] = area_KMYX.sum(axis=(0, 1))
        unknown += float(area_KMYX[:, 0].sum())
        total += float(area_KMYX.sum())
    return TypeAreas(types, land, unknown / total if total else 0.0)


def _write(path: Path, job: ExportJob, year: int, area: TypeAreas) -> None:
    """Write the file of a year."""
    grid = job.region.coarse
    natural_PYX, crops_PYX = np.split(area.types_PYX, [N_NATURAL])
    natural_YX = natural_PYX.sum(axis=0)
    crops_YX = crops_PYX.sum(axis=0)
    vegetated_YX = natural_YX + crops_YX
    is_land_YX = area.land_YX > 0

    # where there is nothing of a landunit mksurfdata takes its first type
    percent_crop_YX = _percent(crops_YX, vegetated_YX, otherwise=0.0)
    percent_natural_PYX = _percent(natural_PYX, natural_YX, otherwise=0.0)
    percent_natural_PYX[0][natural_YX == 0] = 100
    percent_crops_PYX = _percent(crops_PYX, crops_YX, otherwise=0.0)
    percent_crops_PYX[0][crops_YX == 0] = 100

    water = water_index(job.maps.product.legend)
    attributes = {
        "Conventions": "NCAR-CSM",
        **job.attributes(f"raw land use data of {year} for CTSM"),
        "comment": "PCT_NATVEG and PCT_CROP are percent of the land but urban"
        f"{' and water' if water is not None else ''}, for which CTSM has other data, and sum to "
        "100; harvest, fertiliser, glaciers and lakes are left out. Types of the classes: "
        "catalogs/crosswalks/ctsm.toml, an assumption of luray",
        "luray_unknown_climate": f"{100 * area.unknown:.3f} % of the land has no climate group and "
        "the types of the group that the crosswalk names",
        "luray_year": np.int32(year),
    }
    lat_YX = np.repeat(grid.lat[:, None], grid.n_lon, axis=1)
    lon_YX = np.repeat(grid.lon[None, :], grid.n_lat, axis=0)
    area_YX = np.repeat(grid.cell_area[:, None] / 1e6, grid.n_lon, axis=1)
    with netcdf_file(path, attributes) as out:
        _add_axes(out, job)
        fields: Mapping[str, tuple[Any, str, str]] = {
            "LATIXY": (lat_YX.astype(np.float32), "latitude-2d", "degrees north"),
            "LONGXY": (lon_YX.astype(np.float32), "longitude-2d", "degrees east"),
            "LANDMASK": (is_land_YX.astype(np.float32), "land mask", "unitless"),
            "LANDFRAC": (area.land_YX, "land fraction of gridcell", "unitless"),
            "AREA": (area_YX, "area of gridcell", "km^2"),
        }
        for name, (values_YX, long_name, units) in fields.items():
            described = {"long_name": long_name, "units": units}
            out.variable(name, ("lat", "lon"), values_YX[::-1], described)

        percentages = {
            "PCT_NATVEG": (100 - percent_crop_YX, (), "total percent natural vegetation landunit"),
            "PCT_CROP": (percent_crop_YX, (), "total percent crop landunit"),
            "PCT_NAT_PFT": (percent_natural_PYX, ("natpft",), "percent pft on natveg landunit"),
            "PCT_CFT": (percent_crops_PYX, ("cft",), "percent cft on crop landunit"),
        }
        for name, (values, lead, long_name) in percentages.items():
            stored = np.where(is_land_YX, values, FILL)[..., ::-1, :]
            described = {"long_name": long_name, "units": "unitless"}
            out.variable(name, (*lead, "lat", "lon"), stored, described, fill=FILL)


def _add_axes(out: NetcdfWriter, job: ExportJob) -> None:
    """Add the numbers of the types, the edges and the axes."""
    grid = job.region.coarse
    out.dimension("natpft", N_NATURAL)
    out.dimension("cft", N_CROPS)
    out.dimension("lon", grid.n_lon)
    out.dimension("lat", grid.n_lat)
    natural = np.arange(N_NATURAL, dtype=np.int32)
    crops = np.arange(N_NATURAL, N_NATURAL + N_CROPS, dtype=np.int32)
    out.variable("natpft", ("natpft",), natural, _described("indices of natural PFTs", "index"))
    out.variable("cft", ("cft",), crops, _described("indices of CFTs", "index"))
    for letter, edge, side, units in (
        ("N", grid.north, "northern", "degrees north"),
        ("E", grid.east, "eastern", "degrees east"),
        ("S", grid.south, "southern", "degrees north"),
        ("W", grid.west, "western", "degrees east"),
    ):
        described = _described(f"{side} edge of surface grid", units)
        out.variable(f"EDGE{letter}", (), np.array(edge, np.float32), described)
    lat, lon = grid.lat[::-1].astype(np.float32), grid.lon.astype(np.float32)
    out.variable("LAT", ("lat",), lat, _described("lat", "degrees north"))
    out.variable("LON", ("lon",), lon, _described("lon", "degrees east"))


def _described(long_name: str, units: str) -> Mapping[str, str]:
    return {"long_name": long_name, "units": units}


def _percent(part: F64, whole: F64, *, otherwise: float) -> F64:
    """Return parts in percent of a whole, another value where the whole is 0."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(100 * part, whole, out=np.full_like(part, otherwise), where=whole > 0)


def _check(path: Path, name: str) -> None:
    """Raise RuntimeError unless landunits, and the types of each, sum to 100 on land."""
    with reading(path) as fields:
        is_land = np.asarray(fields["LANDMASK"][...]) > 0
        natural = np.asarray(fields["PCT_NAT_PFT"][...])[:, is_land].sum(axis=0)
        crops = np.asarray(fields["PCT_CFT"][...])[:, is_land].sum(axis=0)
        landunits = np.asarray(fields["PCT_NATVEG"][...]) + np.asarray(fields["PCT_CROP"][...])
        for sums, what in ((natural, "PCT_NAT_PFT"), (crops, "PCT_CFT"), (landunits[is_land], "")):
            worst = float(np.abs(sums - 100).max(initial=0.0))
            if not worst <= TOLERANCE:
                raise RuntimeError(
                    f"{name}: {what or 'PCT_NATVEG + PCT_CROP'} misses 100 by {worst:.2g}; nothing "
                    "was published: this is a fault of luray, please report it"
                )
