"""The survey of a cube: land, change, classes and zones by plot, counted tile by tile and stored
once beside the cube.

It is the object `<cube>.survey/<fingerprint>.npz`, written whole; another cube, plot or zone has
another one.
"""

import io
import zipfile
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import OUTSIDE
from luray.core.tiling import Box, Tile, Tiling
from luray.core.types import I32, Bool
from luray.cube.cube import Cube
from luray.storage.objects import read_object, write_atomically
from luray.storage.receipts import fingerprint_of
from luray.training.sampling_config import SamplingConfig
from luray.training.survey_counts import NO_ZONE, ChangeCounts, TileCounts

FORMAT = 1


def plot_of(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> int:
    """Cells along a side of a plot: the largest divisor of the stride that makes as many blocks as
    are wanted.

    A plot is whole cells of every forcing whose cell divides the stride, so no coarse cell lies in
    two blocks.
    """
    steps = (round(layer.grid.step / cube.grid.step) for layer in cube.forcing)
    coarse = max((n for n in steps if n and tiling.stride % n == 0), default=1)
    most = max(coarse, min(n // m for n, m in zip(cube.grid.shape, sampling.blocks, strict=True)))
    return max(
        n for n in range(coarse, min(most, tiling.stride) + 1, coarse) if tiling.stride % n == 0
    )


def survey_tile(
    cube: Cube, tiling: Tiling, tile: Tile, sampling: SamplingConfig
) -> TileCounts | None:
    """Counts of one tile, year by year, so that memory holds two maps of it; None without land.

    Zones are those of the first observed year. Raises ValueError when `sampling.zone` is no
    categorical variable.
    """
    box, plot = tiling.tile_box(tile), plot_of(cube, tiling, sampling)
    land = cube.land(box)
    if not land.any():
        return None
    cells = np.zeros((len(cube.years), len(cube.legend)), np.int64)
    changed, previous = [], None
    for i, year in enumerate(cube.years):
        classes = cube.state(year, box)
        cells[i] = np.bincount(classes[land], minlength=OUTSIDE + 1)[: len(cube.legend)]
        if previous is not None:
            changed.append(by_plot(classes != previous, plot))
        previous = classes
    land_RC = by_plot(land, plot)
    plots = Box(box.row // plot, box.col // plot, *land_RC.shape)
    changes = np.stack(changed) if changed else np.zeros((0, *land_RC.shape), np.int32)
    return TileCounts(plots, land_RC, changes, cells, _zones(cube, box, land, plot, sampling.zone))


def by_plot(cells: Bool, plot: int) -> I32:
    """How many cells of each plot are true, from an array that begins with a plot; plots at its end
    may be cut.
    """
    rows, cols = (np.arange(0, n, plot) for n in cells.shape)
    counts: I32 = np.add.reduceat(
        np.add.reduceat(cells, rows, axis=0, dtype=np.int32), cols, axis=1
    )
    return counts


def _zones(cube: Cube, box: Box, land: Bool, plot: int, zone: str) -> NDArray[np.int16]:
    """Category of most land cells of each plot; of several as frequent the first in the variable's
    own order.
    """
    shape = tuple(-(-n // plot) for n in box.shape)
    if not zone:
        return np.full(shape, NO_ZONE, np.int16)
    variable, values = cube.categories(zone, cube.years[0], box)
    most, found = np.zeros(shape, np.int32), np.full(shape, NO_ZONE, np.int16)
    for category in variable.categories:
        counts = by_plot((values == category) & land, plot)
        found[counts > most] = category
        np.maximum(most, counts, out=most)
    return found


def place_of(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> str:
    """Where the survey of a cube is stored."""
    fingerprint = fingerprint_of(
        "survey",
        FORMAT,
        cube.fingerprint,
        tiling.shape,
        plot_of(cube, tiling, sampling),
        sampling.zone,
    )
    return f"{cube.url.rstrip('/')}.survey/{fingerprint[:16]}.npz"


def read_survey(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> ChangeCounts | None:
    """The stored survey, None when there is none. Raises ValueError naming the object when it is
    damaged.
    """
    place = place_of(cube, tiling, sampling)
    data = read_object(place)
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as held:
            return ChangeCounts(
                tuple(held["years"].tolist()),
                int(held["plot"]),
                held["land"],
                held["changed"],
                held["cells"],
                held["zone"],
            )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{place} is damaged or no survey ({error}); delete it, it is made again"
        ) from error


def write_survey(
    cube: Cube, tiling: Tiling, sampling: SamplingConfig, parts: Iterable[TileCounts | None]
) -> ChangeCounts:
    """Put the parts of all tiles together and store them as one object."""
    survey = ChangeCounts.of(
        (p for p in parts if p is not None),
        years=cube.years,
        plot=plot_of(cube, tiling, sampling),
        tiling=tiling,
        n_classes=len(cube.legend),
    )
    held = io.BytesIO()
    np.savez_compressed(
        held,
        years=np.array(survey.years),
        plot=survey.plot,
        land=survey.land_RC,
        changed=survey.changed_YRC,
        cells=survey.cells_YK,
        zone=survey.zone_RC,
    )
    write_atomically(place_of(cube, tiling, sampling), held.getvalue())
    return survey


def surveyed(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> ChangeCounts:
    """The survey of a cube: the stored one, else made here, tile after tile, and stored.

    Raises ValueError when `sampling.zone` is no categorical variable of the cube.
    """
    found = read_survey(cube, tiling, sampling)
    return found or write_survey(
        cube,
        tiling,
        sampling,
        (survey_tile(cube, tiling, tile, sampling) for tile in tiling.tiles()),
    )
