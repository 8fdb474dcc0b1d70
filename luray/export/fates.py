"""FATES' land use time series: LUH2's states and transitions as shares of the land, in one file.

The layout is that of the tool that makes such files of LUH2 (NGEET/tools-fates-landusedata): years
in `YEAR`, places in `LONGXY` and `LATIXY` over `lsmlat` and `lsmlon`, missing values -9999. FATES
reads 12 states and 108 transitions. It has no name for LUH2's plantations: they are secondary
forest here.

Rows go from south to north and columns from 0 to 360 degrees east where the product spans the
globe, as in CTSM's surface data.

Shapes: Y X coarse cells.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from luray.core.types import F64
from luray.export.job import ExportJob
from luray.export.luh2_files import (
    CLASSES,
    LEFT_OUT,
    require_small,
    state_maps,
)
from luray.export.luh2_states import StateMaps, transition_names
from luray.export.model_axes import ModelOrder
from luray.export.netcdf_files import LUH2_EPOCH, NetcdfWriter, netcdf_file, reading
from luray.sources.luh2 import STATES

FILE = "landuse_timeseries.nc"

FILL = -9999.0

N_TRANSITIONS = 108
"""Transitions that FATES reads by name."""


def write_fates(job: ExportJob) -> None:
    """Write the file.

    A year has the states at its beginning and what goes from state to state until the next one, so
    the last year of the export serves the transitions into it and has no states of its own.

    Raises
    ------
    ValueError
        As `luray.export.luh2_files.state_maps` does.
    RuntimeError
        If the file does not read back as it should.
    """
    if FILE in job.folder.done():
        return
    maps = state_maps(job, optional=())
    with job.folder.writing(FILE) as [path]:
        land_YX = 1 - maps.ice_and_water()
        _write(path, job, maps, land_YX)
        job.progress(len(job.years), len(job.years), "check")
        _check(path, maps.states, land_YX > 0)


def _write(path: Path, job: ExportJob, maps: StateMaps, land_YX: F64) -> None:
    """Write all years in one walk."""
    order = ModelOrder(job.region.coarse)
    years = job.years[:-1]
    names = transition_names(maps.states)
    n_transitions = sum("_to_" in name for name in names)
    assert n_transitions == N_TRANSITIONS, f"{n_transitions} transitions"

    attributes = {
        "Conventions": "CF-1.8",
        **job.attributes("land use time series for FATES"),
        "comment": "Shares of the land: the states sum to 1. The layout is that of "
        f"tools-fates-landusedata; the data are luray's. {LEFT_OUT}",
        "luray_classes": CLASSES,
    }
    with netcdf_file(path, attributes) as out:
        _add_axes(out, order, years)
        for name in maps.states:
            _add_field(out, order, name, STATES[name].meaning)
        for name, (origin, target) in names.items():
            before = STATES[maps.states[origin]].meaning
            after = STATES[maps.states[target]].meaning
            _add_field(out, order, name, f"{before} to {after}")

        for step, state_year in enumerate(maps.walk()):
            job.progress(step, len(job.years), "file")
            if step < len(years):
                for name, area_YX in zip(maps.states, state_year.states_SYX, strict=True):
                    out.put(name, step, order.of(_of_land(area_YX, land_YX)))
            if state_year.transfer is not None:
                for name, (origin, target) in names.items():
                    area_YX = state_year.transfer.area(origin, target)
                    out.put(name, step - 1, order.of(_of_land(area_YX, land_YX)))
        out.file.attrs["luray_split"] = f"classes are split by {maps.weights.words}"
        out.file.attrs["luray_split_fallback"] = maps.fallback.words


def _add_axes(out: NetcdfWriter, order: ModelOrder, years: tuple[int, ...]) -> None:
    out.dimension("time", len(years))
    out.dimension("lsmlat", order.grid.n_lat)
    out.dimension("lsmlon", order.grid.n_lon)
    out.variable(
        "time",
        ("time",),
        np.array(years, np.float64) - LUH2_EPOCH,
        {"units": f"years since {LUH2_EPOCH}-01-01 0:0:0", "calendar": "noleap"},
    )
    out.variable("YEAR", ("time",), np.array(years, np.float64), {"long_name": "calendar year"})
    lat = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
    lon = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}
    out.variable("lat", ("lsmlat",), order.lat, lat)
    out.variable("lon", ("lsmlon",), order.lon, lon)
    out.variable("LONGXY", ("lsmlat", "lsmlon"), order.longitudes, lon, fill=FILL)
    out.variable("LATIXY", ("lsmlat", "lsmlon"), order.latitudes, lat, fill=FILL)


def _add_field(out: NetcdfWriter, order: ModelOrder, name: str, meaning: str) -> None:
    attributes: Mapping[str, Any] = {
        "long_name": meaning,
        "units": "1",
        "coordinates": "LATIXY LONGXY",
    }
    out.yearly(
        name,
        ("time", "lsmlat", "lsmlon"),
        dtype="float64",
        chunk=order.grid.shape,
        attributes=attributes,
        fill=FILL,
    )


def _of_land(area_YX: F64, land_YX: F64) -> F64:
    """Shares of the cell as shares of its land, the fill value where it has none."""
    return np.divide(area_YX, land_YX, out=np.full_like(area_YX, FILL), where=land_YX > 0)


def _check(path: Path, states: tuple[str, ...], is_land_YX: Any) -> None:
    """Raise RuntimeError unless states sum to 1 on land, and close with the transitions."""
    pairs = transition_names(states)
    with reading(path) as fields:
        order_land = np.asarray(fields[states[0]][0]) != FILL
        if int(order_land.sum()) != int(is_land_YX.sum()):
            raise RuntimeError(f"{FILE}: other cells have land than were written")
        n_years = len(fields["YEAR"][:])
        for step in range(n_years):
            states_SL = np.stack([np.asarray(fields[name][step])[order_land] for name in states])
            require_small(states_SL.sum(axis=0) - 1, f"the states of step {step}")
            if step + 1 == n_years:
                break
            for name, (origin, target) in pairs.items():
                area = np.asarray(fields[name][step])[order_land]
                states_SL[origin] -= area
                states_SL[target] += area
            following = [np.asarray(fields[name][step + 1])[order_land] for name in states]
            require_small(states_SL - np.stack(following), f"the transitions of step {step}")
