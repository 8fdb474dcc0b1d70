"""Land cover fractions of LPJ-GUESS: a text table, all years of a cell after each other.

Shapes: T years; K classes; C land cover types; Y X coarse cells of a band.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from luray.core.types import F64, I64
from luray.export.coarse_maps import CoarseWork, water_index
from luray.export.crosswalk import read_crosswalk
from luray.export.job import ExportJob

FILE = "land_cover.txt"

TYPES = ("URBAN", "CROPLAND", "PASTURE", "FOREST", "NATURAL", "PEATLAND", "BARREN")
"""Columns behind Lon, Lat and Year."""

UNITS = 10**6
"""A fraction is written with six decimals, and as a whole number of these until then."""


def write_lpj_guess(job: ExportJob) -> None:
    """Write the table.

    Raises
    ------
    ValueError
        Where the legend has no crosswalk.
    RuntimeError
        If the table does not read back as it should.
    """
    if FILE in job.folder.done():
        return
    type_of_class = class_types(job)
    work = job.coarse_work("left out")
    water_YX = work.least(water_index(job.maps.product.legend))
    with job.folder.writing(FILE) as [path]:
        n_lines = 0
        with path.open("w", encoding="ascii") as out:
            out.write(" ".join(["Lon", "Lat", "Year", *TYPES]) + "\n")
            for line in _lines(job, work, type_of_class, water_YX):
                out.write(line)
                n_lines += 1
        _check(path, n_lines)


def class_types(job: ExportJob) -> tuple[int, ...]:
    """Return the position of each class's type among `TYPES`.

    Raises ValueError for a legend without crosswalk, and for a type that LPJ-GUESS does not have.
    """
    legend = job.maps.product.legend
    crosswalk = read_crosswalk("lpj-guess", legend)
    wrong = sorted({name for name in crosswalk.values() if name not in TYPES})
    if wrong:
        raise ValueError(
            f"catalogs/crosswalks/lpj-guess.toml: {', '.join(wrong)} are no types, expected "
            f"{', '.join(TYPES)}; correct them"
        )
    if legend.water is not None and str(legend.water) not in crosswalk:
        raise ValueError(
            f"catalogs/crosswalks/lpj-guess.toml lacks {legend.water}, the water of {legend.name}; "
            "add what it counts as where it is not there in all years"
        )
    return tuple(TYPES.index(crosswalk[str(code)]) for code in legend.codes)


def _lines(
    job: ExportJob, work: CoarseWork, type_of_class: tuple[int, ...], water_YX: F64
) -> Iterator[str]:
    """Yield the lines, cell by cell from the north-west; cells without land have none."""
    grid = job.region.coarse
    water = water_index(job.maps.product.legend)
    bands = work.source.bands()
    for number, (first, last) in enumerate(bands):
        job.progress(number, len(bands), "table")
        rows = slice(first, last)
        fraction_TCYX = np.zeros((len(job.years), len(TYPES), last - first, grid.n_lon))
        for t, year in enumerate(job.years):
            fraction_KYX = work.fraction(year, rows)
            if water is not None:
                fraction_KYX[water] -= water_YX[rows]
            for k, position in enumerate(type_of_class):
                fraction_TCYX[t, position] += fraction_KYX[k]

        land_TYX = fraction_TCYX.sum(axis=1)
        for y, x in np.argwhere((land_TYX > 0).all(axis=0)).tolist():
            units_TC = whole_units(fraction_TCYX[:, :, y, x] / land_TYX[:, y, x, None])
            place = f"{grid.lon[x]:.6g} {grid.lat[first + y]:.6g}"
            for year, units_C in zip(job.years, units_TC.tolist(), strict=True):
                shares = " ".join(f"{units / UNITS:.6f}" for units in units_C)
                yield f"{place} {year} {shares}\n"


def whole_units(share_TC: F64) -> I64:
    """Return shares in whole units, shape (T, C), such that those of a year sum to `UNITS`.

    The largest share of a year takes what rounding leaves.

    Examples
    --------
    >>> whole_units(np.array([[1 / 3, 1 / 3, 1 / 3]])).tolist()
    [[333334, 333333, 333333]]
    """
    units_TC = np.rint(share_TC * UNITS).astype(np.int64)
    years = np.arange(len(units_TC))
    units_TC[years, share_TC.argmax(axis=1)] += UNITS - units_TC.sum(axis=1)
    return units_TC


def _check(path: Path, n_lines: int) -> None:
    """Raise RuntimeError unless every line has its columns and sums to 1."""
    read = 0
    with path.open(encoding="ascii") as table:
        next(table)
        for line in table:
            read += 1
            columns = line.split()
            units = sum(round(float(share) * UNITS) for share in columns[3:])
            if len(columns) != 3 + len(TYPES) or units != UNITS:
                raise RuntimeError(
                    f"{FILE}: line {read + 1} does not sum to 1 ({line.strip()}); nothing was "
                    "published: this is a fault of luray, please report it"
                )
    if read != n_lines:
        raise RuntimeError(f"{FILE}: read {read} lines back, wrote {n_lines}; export again")
