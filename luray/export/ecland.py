"""Vegetation of ecLand, the land surface model of ECMWF, one file a year: `cvl cvh tvl tvh`.

With a product of leaf area index there are `lai_lv lai_hv` as well: `luray.export.leaf_area`.

A grid cell of ecLand has one low and one high vegetation: the cover of each, and the number of its
type. Which types a class has, in which shares, stands in `catalogs/crosswalks/ecland.toml`, with
its source.

Cover is a share of the land without inland water and permanent ice, not of the grid cell: ecLand
multiplies it by what lakes, ice and towns leave of the cell, and by the density of the type
(`surfbc_ctl_mod.F90`). So `land_share` says what cover is a share of.

Shapes: K classes; M climate groups; P types, by number; Y X coarse cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from luray.core.types import F32, I8, I64, Bool
from luray.cube.cube import Cube
from luray.export.climate_groups import GROUPS, class_areas, cube_with_climate, grouped_bands
from luray.export.crosswalk import read_crosswalk, read_crosswalk_file
from luray.export.job import ExportJob
from luray.export.leaf_area import (
    BandChecksum,
    KindOfVegetation,
    check_leaf_area,
    kinds_of_vegetation,
    write_leaf_area,
)
from luray.export.netcdf_files import NetcdfWriter, add_axes, add_time, netcdf_file, reading
from luray.product.fractions import WHOLE

LOW: Mapping[int, str] = {
    1: "crops_and_mixed_farming",
    2: "short_grass",
    7: "tall_grass",
    9: "tundra",
    10: "irrigated_crops",
    11: "semidesert",
    13: "bogs_and_marshes",
    16: "evergreen_shrubs",
    17: "deciduous_shrubs",
    20: "water_and_land_mixtures",
}
"""Types of low vegetation: IFS documentation, part IV, land surface, table of vegetation types."""

HIGH: Mapping[int, str] = {
    3: "evergreen_needleleaf_trees",
    4: "deciduous_needleleaf_trees",
    5: "deciduous_broadleaf_trees",
    6: "evergreen_broadleaf_trees",
    18: "mixed_forest_and_woodland",
    19: "interrupted_forest",
}
"""Types of high vegetation, from the same table."""

BARE = 8
"""Desert: land that is neither."""

NO_LAND = (12, 14, 15)
"""Ice caps, inland water and ocean: what cover is no share of."""

N_TYPES = 20

NO_VEGETATION = 0
"""Type where there is no vegetation."""

WHOLE_CLASS = 1000
"""Percentages are whole tenths, so that sums are exact and the larger type is always the same."""

COVER_FILL = np.float32(-9999.0)
TYPE_FILL = np.int8(-1)
"""What stands in cells without any land."""

LEAF_AREA_COMMENT = (
    "lai_lv and lai_hv are per area of low and of high vegetation, so that the leaves of that land "
    "are cvl * lai_lv + cvh * lai_hv: values of the maps over the share of their class that is "
    "vegetation, the same for both kinds, as a map does not tell them apart. They are missing "
    "where there is such vegetation and no known value in the whole cell; ecLand takes no missing "
    "values, so fill them. In a surfclim file of ecLand they are Mlail and Mlaih over month, with "
    "LECLIM10D preceded by the last dekad of the year before and followed by the first of the "
    "year after"
)
NO_LEAF_AREA_COMMENT = "Leaf area index is left out, as no product of it was given with --leaf-area"

TOLERANCE = 1e-6
"""By how much low and high cover, which are stored in float32, may exceed 1 together."""


def write_ecland(job: ExportJob) -> None:
    """Write a file for each year.

    Raises
    ------
    ValueError
        Where the legend has no crosswalk, and where its crosswalk depends on climate and there is
        no cube with climate groups.
    RuntimeError
        If a file does not read back as it should.
    """
    crosswalk = ecland_crosswalk(job)
    cube = cube_with_climate(job) if crosswalk.depends_on_climate else None
    for year, name in job.missing_files("ecland_{year}.nc"):
        vegetation, unknown = _vegetation(job, cube, year, crosswalk)
        attributes = _attributes(job, year, crosswalk, unknown)
        with job.folder.writing(name) as [path]:
            checksums: list[BandChecksum] = []
            with netcdf_file(path, attributes) as out:
                _add_vegetation(out, job, year, vegetation)
                if job.leaf_area is not None:
                    bands = grouped_bands(job, year, cube)
                    checksums = write_leaf_area(out, job.leaf_area, year, bands, crosswalk.kinds())
            _check(path, name, vegetation, checksums)


@dataclass(frozen=True)
class VegetationCrosswalk:
    """Shares of the types in each class."""

    share_KMP: I64
    """In units of 1 / `WHOLE_CLASS`. M is 1, or where climate matters 6, as in `class_areas`."""
    source: str
    """Where the shares are from."""

    @property
    def depends_on_climate(self) -> bool:
        """Whether a class is other types in another climate."""
        return len(self.share_KMP[0]) > 1

    def kinds(self) -> tuple[KindOfVegetation, KindOfVegetation]:
        """Return how much low and high vegetation there is in each class and climate group."""
        share_GP = self.share_KMP.reshape(-1, N_TYPES + 1)
        low_G, high_G = (share_GP[:, list(kind)].sum(axis=1) for kind in (LOW, HIGH))
        return kinds_of_vegetation(low_G, high_G, whole=WHOLE_CLASS)


def ecland_crosswalk(job: ExportJob) -> VegetationCrosswalk:
    """Read the crosswalk of the product's legend.

    Raises
    ------
    ValueError
        For a legend without crosswalk or source, a class or group that is missing, a type that
        ecLand does not have, and percentages that are no tenths or do not sum to 100.
    """
    legend = job.maps.product.legend
    entries = read_crosswalk("ecland", legend)
    file = read_crosswalk_file("ecland")
    where = f"catalogs/crosswalks/ecland.toml: {legend.name}"
    if legend.water is not None and str(legend.water) not in entries:
        raise ValueError(f"{where} lacks {legend.water}, its water; add it, as type 14")
    source = file["sources"].get(legend.name)
    if source is None:
        raise ValueError(f"{where} has no source, expected one in its table sources; add it")

    by_group = [
        {group: _shares(entries[str(code)], group, f"{where} {code}") for group in GROUPS}
        for code in legend.codes
    ]
    in_group_KMP = np.array([list(of_group.values()) for of_group in by_group])
    if (in_group_KMP == in_group_KMP[:, :1]).all():
        return VegetationCrosswalk(in_group_KMP[:, :1], source)
    unknown_KP = in_group_KMP[:, GROUPS.index(file["unknown"])]
    share_KMP = np.concatenate([unknown_KP[:, None], in_group_KMP], axis=1)
    return VegetationCrosswalk(share_KMP, source)


def _shares(entry: Any, group: str, where: str) -> I64:
    """Return the shares of a class in a climate group, shape (P,). Raises ValueError."""
    if not isinstance(entry, dict):
        raise ValueError(
            f"{where} is {entry!r}, expected a table such as {{ 2 = 100 }}; correct it"
        )
    if set(entry) & set(GROUPS):
        if set(entry) != set(GROUPS):
            groups = ", ".join(entry)
            raise ValueError(f"{where} has the groups {groups}, expected A to E; correct them")
        entry = entry[group]
        where = f"{where} {group}"

    known = [*LOW, *HIGH, BARE, *NO_LAND]
    wrong = [number for number in entry if number not in {str(known_type) for known_type in known}]
    if wrong:
        raise ValueError(
            f"{where} has the types {', '.join(wrong)}, expected numbers from 1 to {N_TYPES}; "
            "correct them"
        )
    share_P = np.zeros(N_TYPES + 1, np.int64)
    for number, percent in entry.items():
        tenths = round(percent * 10) if isinstance(percent, int | float) else -1
        if tenths < 0 or abs(percent * 10 - tenths) > TOLERANCE:
            raise ValueError(
                f"{where} {number} is {percent!r} %, expected whole tenths; correct it"
            )
        share_P[int(number)] = tenths
    if share_P.sum() != WHOLE_CLASS:
        total = share_P.sum() * 100 / WHOLE_CLASS
        raise ValueError(f"{where} sums to {total:g} %, expected 100; correct it")
    return share_P


class Vegetation(NamedTuple):
    """What a file has, north first."""

    cvl: F32
    """Cover of low vegetation, `COVER_FILL` where there is no land, shape (Y, X)."""
    cvh: F32
    tvl: I8
    """Type of low vegetation, `TYPE_FILL` where there is no land, shape (Y, X)."""
    tvh: I8
    land_share: F32
    """Share of the coarse cell that cover is a share of, shape (Y, X)."""

    @property
    def is_land(self) -> Bool:
        """Where the maps have any class, be it ice or water, shape (Y, X)."""
        return np.not_equal(self.tvl, TYPE_FILL)


def _vegetation(
    job: ExportJob, cube: Cube | None, year: int, crosswalk: VegetationCrosswalk
) -> tuple[Vegetation, float]:
    """Add up the types of a year, a band of rows at a time.

    Returns them, and the share of the land whose climate group is not known.
    """
    bands = []
    unknown = 0
    total = 0
    for _, area_KMYX in class_areas(job, year, cube):
        bands.append(vegetation_of(area_KMYX, crosswalk.share_KMP))
        total += int(area_KMYX.sum())
        if cube is not None:
            unknown += int(area_KMYX[:, 0].sum())
    cvl, cvh, tvl, tvh, land_share = map(np.concatenate, zip(*bands, strict=True))
    vegetation = Vegetation(cvl, cvh, tvl, tvh, land_share)
    return vegetation, unknown / total if total else 0.0


def vegetation_of(area_KMYX: I64, share_KMP: I64) -> Vegetation:
    """Return cover and types of coarse cells.

    Parameters
    ----------
    area_KMYX : array of int64
        Area of each class in each climate group, in units of 1 / `WHOLE` of the coarse cell.
    share_KMP : array of int64
        Shares of the types, see `VegetationCrosswalk`.

    Examples
    --------
    A cell half of class 0, which is 75 % short grass and 25 % deciduous broadleaf trees, and half
    of water:

    >>> area_KMYX = np.full((2, 1, 1, 1), WHOLE // 2)
    >>> share_KMP = np.zeros((2, 1, N_TYPES + 1), np.int64)
    >>> share_KMP[0, 0, [2, 5]] = 750, 250
    >>> share_KMP[1, 0, 14] = 1000
    >>> [field.item() for field in vegetation_of(area_KMYX, share_KMP)]
    [0.75, 0.25, 2, 5, 0.5]
    """
    type_area_PYX = np.zeros((N_TYPES + 1, *area_KMYX.shape[2:]), np.int64)
    for k, m, p in np.argwhere(share_KMP).tolist():
        type_area_PYX[p] += share_KMP[k, m, p] * area_KMYX[k, m]

    no_land_YX = type_area_PYX[list(NO_LAND)].sum(axis=0)
    any_land_YX = type_area_PYX.sum(axis=0)
    base_YX = any_land_YX - no_land_YX
    cover = []
    types = []
    for kinds in (LOW, HIGH):
        numbers = np.array(sorted(kinds), np.int8)
        areas = type_area_PYX[numbers]
        area_YX = areas.sum(axis=0)
        share_YX = np.divide(area_YX, base_YX, out=np.zeros(area_YX.shape), where=base_YX > 0)
        # of equal ones argmax takes the first: the lowest number
        largest_YX = np.where(area_YX > 0, numbers[areas.argmax(axis=0)], NO_VEGETATION)
        cover.append(np.where(any_land_YX > 0, share_YX, COVER_FILL).astype(np.float32))
        types.append(np.where(any_land_YX > 0, largest_YX, TYPE_FILL).astype(np.int8))
    land_share = (base_YX / (WHOLE * WHOLE_CLASS)).astype(np.float32)
    return Vegetation(cover[0], cover[1], types[0], types[1], land_share)


def _attributes(
    job: ExportJob,
    year: int,
    crosswalk: VegetationCrosswalk,
    unknown: float,
) -> dict[str, str]:
    """Return the attributes of the file of a year; `unknown` is the land without climate group."""
    attributes = {
        "Conventions": "CF-1.11",
        **job.attributes(f"vegetation of {year} for ecLand"),
        "comment": "cvl and cvh are shares of the land of a grid cell without inland water and "
        "permanent ice, as ecLand takes them, and land_share is that land's share of the cell. tvl "
        "and tvh are the types with the largest area, of equal ones the lower number, and 0 where "
        "there is no such vegetation. Cells without any land are missing. "
        + (LEAF_AREA_COMMENT if job.leaf_area is not None else NO_LEAF_AREA_COMMENT),
        "luray_crosswalk": f"catalogs/crosswalks/ecland.toml: {crosswalk.source}",
    }
    if crosswalk.depends_on_climate:
        attributes["luray_unknown_climate"] = (
            f"{100 * unknown:.3f} % of the land has no climate group and has the types of that "
            "which the crosswalk names"
        )
    if job.leaf_area is not None:
        attributes["luray_leaf_area"] = job.leaf_area.described
    return attributes


def _add_vegetation(out: NetcdfWriter, job: ExportJob, year: int, vegetation: Vegetation) -> None:
    """Add cover and types of a year, with their axes."""
    # `lat` and `lon` are the names by which ecLand knows the dimensions of a regular grid
    add_axes(out, job.region.coarse, bounds=("lat_bnds", "lon_bnds"))
    add_time(out, year, dimensions=())
    for number, name, cover, long_name in (
        (27, "cvl", vegetation.cvl, "low vegetation cover"),
        (28, "cvh", vegetation.cvh, "high vegetation cover"),
    ):
        described: dict[str, Any] = {
            "long_name": long_name,
            "units": "1",
            "valid_range": np.array([0, 1], np.float32),
            "GRIB_paramId": np.int32(number),
            "coordinates": "time year",
        }
        out.variable(name, ("lat", "lon"), cover, described, fill=COVER_FILL)
    for number, name, types, long_name, kinds in (
        (29, "tvl", vegetation.tvl, "type of low vegetation", LOW),
        (30, "tvh", vegetation.tvh, "type of high vegetation", HIGH),
    ):
        described = {
            "long_name": long_name,
            "units": "1",
            "flag_values": np.array([NO_VEGETATION, *kinds], np.int8),
            "flag_meanings": " ".join(["no_vegetation", *kinds.values()]),
            "GRIB_paramId": np.int32(number),
            "coordinates": "time year",
        }
        out.variable(name, ("lat", "lon"), types, described, fill=TYPE_FILL)
    described = {
        "long_name": "land without inland water and permanent ice, as a share of the cell",
        "units": "1",
        "coordinates": "time year",
    }
    out.variable("land_share", ("lat", "lon"), vegetation.land_share, described)


def _check(path: Path, name: str, written: Vegetation, leaf_area: Sequence[BandChecksum]) -> None:
    """Raise RuntimeError unless the file holds what was written, and what ecLand can take."""
    with reading(path) as fields:
        read = Vegetation(*(np.asarray(fields[field][...]) for field in Vegetation._fields))
        check_leaf_area(fields, leaf_area, name=name)
    for field in Vegetation._fields:
        if not np.array_equal(getattr(read, field), getattr(written, field)):
            raise RuntimeError(
                f"{name}: {field} does not read back as it was written; check the disk, and export "
                "again"
            )
    cvl, cvh, tvl, tvh, _ = read
    is_land = written.is_land
    faults = {
        "cover is not between 0 and 1": ~((cvl >= 0) & (cvh >= 0) & (cvl + cvh <= 1 + TOLERANCE)),
        "tvl is no low vegetation": ~np.isin(tvl, [NO_VEGETATION, *LOW]),
        "tvh is no high vegetation": ~np.isin(tvh, [NO_VEGETATION, *HIGH]),
        "a type without cover, or cover without a type": ((cvl > 0) != (tvl > 0))
        | ((cvh > 0) != (tvh > 0)),
    }
    for fault, where in faults.items():
        n_cells = int((where & is_land).sum())
        if n_cells:
            raise RuntimeError(
                f"{name}: {fault} in {n_cells} cells; nothing was published: this is a fault of "
                "luray, please report it"
            )
