"""Leaf area index of low and of high vegetation in the 36 dekads of a year, as ecLand takes them.

A map of leaf area index has one value for all that grows in a cell. ecLand has two, each per area
of that vegetation: the leaves of its grid cell are cvl * lai_lv + cvh * lai_hv
(`surfbc_ctl_mod.F90`, the skin reservoir). What a fine cell is to low and to high vegetation says
the crosswalk of its class. A map cannot say which of both has more leaves, so both have the same
leaf area per area of vegetation: the value of the map over the share of the class that is
vegetation. Leaves are neither lost nor made by this: over cells whose value is known, that sum
equals the mean of the map over all classes with vegetation.

Shapes: G classes of the legend, in each climate group; H W fine cells of a band; Y X coarse cells.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from luray.core.compiled import compiled
from luray.core.legend import NO_VALUE
from luray.core.types import F32, F64, I64, U8
from luray.export.climate_groups import GroupedBand
from luray.export.leaf_area_maps import DEKADS, LEAF_AREA_INDEX, LeafAreaMaps, dekad_weights
from luray.export.netcdf_files import FIRST_DAY, NetcdfWriter
from luray.product.fractions import class_sums

NAMES = ("lai_lv", "lai_hv")
"""Variables of low and of high vegetation, as ECMWF names them."""

PARAMETERS = (66, 67)
"""Their GRIB parameters."""

FILL = np.float32(-9999.0)
"""What stands off land, and where there is vegetation of which no leaf area index is known."""

COUNTED = 2**20
"""Unit in which areas of many coarse cells are counted."""


class LeafSums(NamedTuple):
    """Sums over the fine cells whose leaf area index is known, shape (G, Y, X)."""

    area: I64
    """In units of 1 / `luray.product.fractions.WHOLE` of the coarse cell."""
    level_area: I64
    """Area times level."""


def leaf_sums(groups_HW: U8, levels_HW: U8, share_H: I64, block: int, n_groups: int) -> LeafSums:
    """Add up area, and area times level, of each class in blocks of cells.

    Parameters
    ----------
    groups_HW, share_H, block
        As those of `class_sums`.
    levels_HW : array, uint8
        Of the leaf area index; `NO_VALUE` counts nowhere.
    n_groups : int
        G.
    """
    return LeafSums(*_leaf_sums(groups_HW, levels_HW, share_H, block, n_groups, NO_VALUE))


@compiled
def _leaf_sums(
    groups_HW: U8, levels_HW: U8, share_H: I64, block: int, n_groups: int, no_value: int
) -> tuple[I64, I64]:
    height, width = groups_HW.shape  # rounded up
    n_rows = -(-height // block)
    n_cols = -(-width // block)
    area_GYX = np.zeros((n_groups, n_rows, n_cols), np.int64)
    level_area_GYX = np.zeros((n_groups, n_rows, n_cols), np.int64)
    for row in range(height):
        y = row // block
        for col in range(width):
            group = groups_HW[row, col]
            level = levels_HW[row, col]
            if group < n_groups and level != no_value:
                area_GYX[group, y, col // block] += share_H[row]
                level_area_GYX[group, y, col // block] += share_H[row] * level
    return area_GYX, level_area_GYX


@dataclass
class KindOfVegetation:
    """Low or high vegetation: how much of it each class has, and what was counted of it so far."""

    name: str
    share_G: I64
    """Share of a class that is of this kind."""
    leaf_share_G: F64
    """The same over the share that is vegetation at all: what turns a value of the map, which is of
    the ground, into one of the vegetation. 0 for a class without vegetation.
    """
    cover: int = 0
    """Area times weight of the dekads, of all of it, in units of `COUNTED`."""
    known: int = 0
    """The same of what has a known leaf area index."""
    cells: int = 0
    """Coarse cells and dekads that have some of it."""
    missing: int = 0
    """Those of them without any known leaf area index."""

    def count(self, cover_YX: I64, known_YX: I64) -> None:
        """Count the vegetation of a dekad, and what of it has a known leaf area index."""
        # sums of a million coarse cells would not fit otherwise
        self.cover += int((cover_YX // COUNTED).sum())
        self.known += int((known_YX // COUNTED).sum())
        self.cells += int((cover_YX > 0).sum())
        self.missing += int(((cover_YX > 0) & (known_YX == 0)).sum())

    @property
    def unknown(self) -> str:
        """What a file says of the vegetation without a known leaf area index."""
        percent = 100 * (1 - self.known / self.cover) if self.cover else 0.0
        return (
            f"{percent:.3f} % of {self.name} vegetation, over grid cells and time, has no known "
            f"leaf area index and counts nowhere; {self.missing} of {self.cells} grid cells and "
            f"dekads with {self.name} vegetation have none that is known, and are missing"
        )


def kinds_of_vegetation(
    low_G: I64, high_G: I64, *, whole: int
) -> tuple[KindOfVegetation, KindOfVegetation]:
    """Return low and high vegetation, of which nothing was counted yet.

    Parameters
    ----------
    low_G, high_G : array of int64
        Share of each class that is low and high vegetation, in units of 1 / `whole`.
    whole : int
        A whole class.
    """
    vegetation_G = low_G + high_G
    kinds = []
    for name, share_G in (("low", low_G), ("high", high_G)):
        leaf_share_G = np.zeros(share_G.shape)
        np.divide(share_G * whole, vegetation_G, out=leaf_share_G, where=vegetation_G > 0)
        kinds.append(KindOfVegetation(name, share_G, leaf_share_G))
    return kinds[0], kinds[1]


def leaf_area_of_band(
    maps: LeafAreaMaps,
    band: GroupedBand,
    weights: Sequence[Mapping[int, int]],
    kinds: Sequence[KindOfVegetation],
) -> list[F32]:
    """Return the leaf area index of each kind of vegetation in a band, and count what is unknown.

    Parameters
    ----------
    maps : LeafAreaMaps
    band : GroupedBand
        Classes of the fine cells.
    weights : sequence of mapping
        Weights of the steps in each dekad, see `dekad_weights`.
    kinds : sequence of KindOfVegetation
        Their counts are added to.

    Returns
    -------
    list of array, float32
        For each kind, shape (36, Y, X), m2 m-2: 0 where there is no such vegetation, `FILL` off
        land and where there is no known value.
    """
    n_groups = len(kinds[0].share_G)
    total_GYX = class_sums(band.groups_HW, band.share_H, band.block, n_groups)
    is_land_YX = total_GYX.sum(axis=0) > 0
    cover = [_weighted(kind.share_G, total_GYX) for kind in kinds]

    values = [np.full((len(weights), *is_land_YX.shape), FILL, np.float32) for _ in kinds]
    sums: dict[int, list[KindSums]] = {}
    for dekad, weight_of in enumerate(weights):
        # a step belongs to dekads that follow each other: it is read once, and then let go
        sums = {
            step: sums[step] if step in sums else _kind_sums(maps, band, step, kinds)
            for step in weight_of
        }
        for k, kind in enumerate(kinds):
            area_YX = np.zeros(is_land_YX.shape, np.int64)
            leaves_YX = np.zeros(is_land_YX.shape)
            for step, weight in weight_of.items():
                area_YX += weight * sums[step][k].area
                leaves_YX += weight * sums[step][k].leaves
            values_YX = values[k][dekad]
            is_known_YX = area_YX > 0
            values_YX[is_known_YX] = leaves_YX[is_known_YX] / area_YX[is_known_YX]
            values_YX[is_land_YX & (cover[k] == 0)] = 0
            kind.count(sum(weight_of.values()) * cover[k], area_YX)
    return values


class KindSums(NamedTuple):
    """Sums of one kind of vegetation over the fine cells that have a known value, shape (Y, X)."""

    area: I64
    """Of the vegetation."""
    leaves: F64
    """Of its leaves, in the same unit."""


def _kind_sums(
    maps: LeafAreaMaps, band: GroupedBand, step: int, kinds: Sequence[KindOfVegetation]
) -> list[KindSums]:
    """Return the sums of a step for each kind of vegetation."""
    levels_HW = maps.levels(step, band.box)
    n_groups = len(kinds[0].share_G)
    sums = leaf_sums(band.groups_HW, levels_HW, band.share_H, band.block, n_groups)
    value_area_GYX = maps.scale.first * sums.area + maps.scale.step * sums.level_area
    return [
        KindSums(_weighted(kind.share_G, sums.area), _weighted(kind.leaf_share_G, value_area_GYX))
        for kind in kinds
    ]


def _weighted(weights_G: Any, sums_GYX: Any) -> Any:
    """Add up the sums of the classes with weights, shape (Y, X).

    What is added in floating point are sums of whole numbers, always in the order of the classes:
    the same bits whatever the bands are.
    """
    total_YX = np.zeros(sums_GYX.shape[1:], np.result_type(weights_G, sums_GYX))
    for group in np.flatnonzero(weights_G):
        total_YX += weights_G[group] * sums_GYX[group]
    return total_YX


class BandChecksum(NamedTuple):
    """What tells the values of a band from others."""

    name: str
    rows: slice
    crc32: int


def write_leaf_area(
    out: NetcdfWriter,
    maps: LeafAreaMaps,
    year: int,
    bands: Iterator[GroupedBand],
    kinds: Sequence[KindOfVegetation],
) -> list[BandChecksum]:
    """Add the leaf area index of a year to a file, a band at a time; return their checksums.

    `kinds` are those of `kinds_of_vegetation`. Of them, and of what is unknown, tell attributes.
    """
    _add_dekads(out, year)
    product = maps.maps.product
    weights = dekad_weights(product.time, year, product.years)
    checksums: list[BandChecksum] = []
    for band in bands:
        if not checksums:
            _add_variables(out, maps, chunk_rows=band.rows.stop - band.rows.start)
        for name, values in zip(NAMES, leaf_area_of_band(maps, band, weights, kinds), strict=True):
            out.arrays[name][:, band.rows] = values
            checksums.append(BandChecksum(name, band.rows, zlib.crc32(values.tobytes())))
    for name, kind in zip(NAMES, kinds, strict=True):
        out.file.variables[name].attrs["luray_unknown_leaf_area"] = kind.unknown
    return checksums


def _add_dekads(out: NetcdfWriter, year: int) -> None:
    """Add the dimension `dekad`: the first day of each, with bounds."""
    out.dimension("dekad", DEKADS.per_year)
    steps = DEKADS.of_years(year, year)
    bounds = np.array([DEKADS.bounds(step, epoch=FIRST_DAY) for step in steps], np.float64)
    attributes = {
        "standard_name": "time",
        "long_name": "first day of the dekad: days 1-10, 11-20, and 21 to the end of a month",
        "units": f"days since {FIRST_DAY}-01-01",
        "calendar": "noleap",
        "axis": "T",
        "bounds": "dekad_bnds",
    }
    out.variable("dekad", ("dekad",), bounds[:, 0].copy(), attributes)
    out.variable("dekad_bnds", ("dekad", "bounds"), bounds, {})


def _add_variables(out: NetcdfWriter, maps: LeafAreaMaps, *, chunk_rows: int) -> None:
    """Add both variables, empty so far."""
    n_lon = out.file.dimensions["lon"].size
    for name, number, words in zip(NAMES, PARAMETERS, ("low", "high"), strict=True):
        attributes = {
            "standard_name": LEAF_AREA_INDEX,
            "long_name": f"leaf area index of {words} vegetation",
            "units": "m2 m-2",
            "cell_methods": "area: mean where vegetation",
            "comment": f"Per area of {words} vegetation. 0 where the cell has none.",
            "GRIB_paramId": np.int32(number),
            "coordinates": "year",
            "luray_source": maps.described,
        }
        out.yearly(
            name,
            ("dekad", "lat", "lon"),
            dtype="float32",
            chunk=(chunk_rows, n_lon),
            attributes=attributes,
            fill=FILL,
        )


def check_leaf_area(
    fields: Mapping[str, Any], checksums: Sequence[BandChecksum], *, name: str
) -> None:
    """Raise RuntimeError unless a file holds what was written, and what ecLand can take.

    Parameters
    ----------
    fields : mapping
        Arrays of the file, cover among them.
    checksums : sequence of BandChecksum
        Of what was written.
    name : str
        Of the file.
    """
    cover_of = dict(zip(NAMES, ("cvl", "cvh"), strict=True))
    for field, rows, crc32 in checksums:
        values = np.asarray(fields[field][:, rows])
        if zlib.crc32(values.tobytes()) != crc32:
            raise RuntimeError(
                f"{name}: {field} does not read back as it was written; check the disk, and export "
                "again"
            )
        cover = np.asarray(fields[cover_of[field]][rows])
        is_right = np.where(cover > 0, (values >= 0) | (values == FILL), values == 0)
        is_right = np.where(cover < 0, values == FILL, is_right)
        if not is_right.all():
            raise RuntimeError(
                f"{name}: {field} does not fit {cover_of[field]} in {int((~is_right).sum())} "
                "values; nothing was published: this is a fault of luray, please report it"
            )
