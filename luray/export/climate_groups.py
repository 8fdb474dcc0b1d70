"""Areas of classes, and of classes in each climate group, where climate decides what a class is.

Shapes: K classes; M climate groups; H W fine cells of a band; Y X coarse cells of it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box
from luray.core.types import I64, U8
from luray.cube.cube import Cube
from luray.export.coarse_maps import CoarseMaps
from luray.export.job import ExportJob
from luray.product.fractions import class_sums, row_shares
from luray.sources.koppen import CLIMATE

GROUPS = ("A", "B", "C", "D", "E")
"""Koeppen-Geiger main groups; their codes count from 1."""


def cube_with_climate(job: ExportJob) -> Cube:
    """Return the cube. Raises ValueError where there is none with climate groups."""
    if job.cube is None:
        raise ValueError(
            f"--format {job.form} needs the climate groups of the run's cube, found only the "
            "product; give the run file"
        )
    layers = [*job.cube.forcing, *job.cube.static]
    variables = [variable for layer in layers for variable in layer.variables]
    found = [v.categories for v in variables if v.name == CLIMATE.name]
    if found != [CLIMATE.categories]:
        raise ValueError(
            f"--format {job.form} needs the variable {CLIMATE.name} of the run's cube with the "
            f"categories {CLIMATE.categories}, found {found or 'none'}; build the cube with the "
            "source koppen"
        )
    return job.cube


class GroupedBand(NamedTuple):
    """The classes of some coarse rows, told apart by climate group where that matters."""

    rows: slice
    """Coarse rows of the region."""
    box: Box
    """Fine cells of the product's grid."""
    groups_HW: U8
    """Class, and climate group of that class, as one number; `OUTSIDE` off land."""
    share_H: I64
    """Share of its coarse cell that a fine cell of each row covers, see `row_shares`."""
    block: int
    """Fine cells along a side of a coarse cell."""
    n_classes: int
    n_groups: int
    """Climate groups of each class: 6 with a cube, first the cells whose climate is not known."""


def grouped_bands(job: ExportJob, year: int, cube: Cube | None) -> Iterator[GroupedBand]:
    """Yield the maps of a year, a band of coarse rows at a time.

    Parameters
    ----------
    job : ExportJob
    year : int
        Of the product.
    cube : Cube, optional
        One with climate groups, see `cube_with_climate`; None where climate does not matter.
    """
    region = job.region
    source = CoarseMaps(job.maps, region)
    n_classes = source.n_classes
    n_groups = 1 if cube is None else len(GROUPS) + 1
    if n_classes * n_groups > OUTSIDE:
        raise ValueError(
            f"--format {job.form}: the legend {job.maps.product.legend.name} has {n_classes} "
            f"classes that climate splits, expected at most {OUTSIDE // n_groups}; take the groups "
            "out of its crosswalk"
        )
    share_H = np.zeros(region.box.height, np.int64)
    within = row_shares(region.fine, region.coarse)
    share_H[: within.size] = within

    for first, last in source.bands():
        rows = slice(first * region.block, last * region.block)
        height = rows.stop - rows.start
        box = Box(region.box.row + rows.start, region.box.col, height, region.box.width)
        groups_HW = job.maps.classes(year, box)
        if cube is not None:
            groups_HW = _class_and_group(job, cube, year, box, groups_HW)
        yield GroupedBand(
            slice(first, last),
            box,
            groups_HW,
            share_H[rows],
            region.block,
            n_classes,
            n_groups,
        )


def class_areas(job: ExportJob, year: int, cube: Cube | None) -> Iterator[tuple[slice, I64]]:
    """Yield the areas of a year, a band of coarse rows at a time; see `grouped_bands`.

    Yields
    ------
    rows : slice
        Coarse rows of the region.
    area_KMYX : array of int64
        Area of each class in each group, in units of 1 / `luray.product.fractions.WHOLE` of the
        coarse cell. M is 6 with a cube, first the cells whose climate is not known, and 1 without.
    """
    for band in grouped_bands(job, year, cube):
        n_numbers = band.n_classes * band.n_groups
        sums = class_sums(band.groups_HW, band.share_H, band.block, n_numbers)
        yield band.rows, sums.reshape(band.n_classes, band.n_groups, *sums.shape[1:])


def _class_and_group(job: ExportJob, cube: Cube, year: int, box: Box, classes_HW: U8) -> U8:
    """Number of class and climate group together, `OUTSIDE` off land, shape (H, W)."""
    row, col = cube.grid.offset_of(job.maps.product.grid)
    in_cube = box._replace(row=box.row + row, col=box.col + col)
    _, group_HW = cube.categories(CLIMATE.name, year, in_cube)
    is_known = (group_HW >= 1) & (group_HW <= len(GROUPS))
    known_HW = np.where(is_known, group_HW, 0).astype(np.uint8)
    both_HW = classes_HW * np.uint8(len(GROUPS) + 1) + known_HW
    return np.where(classes_HW == OUTSIDE, np.uint8(OUTSIDE), both_HW)
