"""LUH2's files: `states.nc`, `transitions.nc` and what of `staticData_quarterdeg.nc` is known.

Names, dimensions, units, time and the way missing values are marked are those of LUH2 v2h. Left out
is what luray does not know: secma, secmb, the volumes and other kinds of wood harvest, management.

Shapes: Y X coarse cells.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from luray.core.types import F32, F64
from luray.export.crosswalk import read_crosswalk
from luray.export.job import ExportJob
from luray.export.luh2_shares import (
    DefaultWeights,
    StateWeights,
    forcing_weights,
    groups_of,
    layer_of_states,
)
from luray.export.luh2_states import StateMaps, transition_names
from luray.export.netcdf_files import LUH2_EPOCH, NetcdfWriter, add_axes, netcdf_file, reading
from luray.export.selection import require_consecutive
from luray.sources.luh2 import FILL, OPTIONAL, STATES, STEP

STATES_FILE = "states.nc"
TRANSITIONS_FILE = "transitions.nc"
STATIC_FILE = "staticData_quarterdeg.nc"

TOLERANCE = 1e-6
"""By how much sums of float32 values may miss what they should be, in shares of the cell."""

MISSING = np.float32(FILL)

LEFT_OUT = (
    "secma and secmb, wood harvest but what the states imply, and management are left out: maps of "
    "land use do not show them"
)

CLASSES = (
    "urban is HILDA+ 11, crops 22, pasture and rangeland 33, forest 44, other natural land 55 and "
    "66; icwtr is ocean, cells outside of the maps, and the least water (77) of the exported "
    "years, water beyond it counts as secdn's kind of land; primary land does not come back: in "
    "the first year it has its share, later at most what is left of it"
)


def state_maps(job: ExportJob, *, optional: tuple[str, ...] = OPTIONAL) -> StateMaps:
    """Return the states and transitions of an export.

    Parameters
    ----------
    job : ExportJob
        Of a format that has LUH2's states.
    optional : tuple of str
        States of LUH3 that the format has.

    Raises
    ------
    ValueError
        Where the legend has no crosswalk to LUH2, and where nothing says how to split the classes.
    """
    require_consecutive(job.years, form=job.form)
    weights = _weights(job, optional)
    defaults = read_crosswalk("luh2", job.maps.product.legend)
    groups = groups_of(job.maps.product.legend, weights.states, defaults)
    return StateMaps(job.coarse_work("recorded"), groups, weights)


def _weights(job: ExportJob, optional: tuple[str, ...]) -> StateWeights:
    """How the classes are split."""
    legend = job.maps.product.legend
    layer = layer_of_states(job.cube) if job.cube is not None else None
    if job.split == "auto" and job.cube is None:
        raise ValueError(
            f"--format {job.form} splits the classes by the forcing of the run, expected its run "
            "file, found only the product; give the run file, or let one state stand for each "
            "class with --split default"
        )
    if job.split == "forcing" and layer is None:
        raise ValueError(
            "--split forcing needs LUH2's states, and the run's cube has none; leave the option "
            "out, or build the cube with the source luh2"
        )
    if layer is not None and job.split != "default":
        assert job.cube is not None
        return forcing_weights(job.cube, layer, job.region.coarse, optional=optional)
    states = tuple(state for state in STATES if state not in OPTIONAL)
    groups = groups_of(legend, states, read_crosswalk("luh2", legend))
    return DefaultWeights(states, groups, job.region.coarse.shape)


def write_luh2(job: ExportJob) -> None:
    """Write the three files, which appear together.

    Raises
    ------
    ValueError
        For another grid than LUH2's, and as `state_maps` does.
    RuntimeError
        If the files do not read back as they should.
    """
    if job.region.coarse.step != STEP:
        raise ValueError(
            f"--grid {job.region.coarse.step:g}: LUH2's files have cells of {STEP} degrees; leave "
            "the option out, or choose --format fates or netcdf"
        )
    names = (STATIC_FILE, TRANSITIONS_FILE, STATES_FILE)
    if job.folder.done() >= set(names):
        return
    maps = state_maps(job)
    with job.folder.writing(*names) as [static, transitions, states]:
        icwtr_YX = maps.ice_and_water().astype(np.float32)
        _write_static(static, job, icwtr_YX)
        _write_states_and_transitions(states, transitions, job, maps, icwtr_YX)
        job.progress(len(job.years), len(job.years), "check")
        check_closure(states, transitions, maps.states, 1 - icwtr_YX.astype(np.float64))


def _write_static(path: Path, job: ExportJob, icwtr_YX: F32) -> None:
    """Write ice and water, and the areas of the cells."""
    grid = job.region.coarse
    attributes = {
        **_global_attributes(job, "ice and water, and areas of cells, as LUH2 has them"),
        "comment": "icwtr and carea alone; ptbio, fstnf and ccode are in LUH2's own file",
    }
    area_YX = np.repeat(grid.cell_area[:, None] / 1e6, grid.n_lon, axis=1).astype(np.float32)
    with netcdf_file(path, attributes) as out:
        add_axes(out, grid, bounds=("lat_bounds", "lon_bounds"))
        fields = {
            "icwtr": (icwtr_YX, "area_fraction", "ice/water fraction", "1"),
            "carea": (area_YX, "cell_area", "area of grid cell", "km2"),
        }
        for name, (values_YX, standard_name, long_name, units) in fields.items():
            out.variable(
                name,
                ("lat", "lon"),
                values_YX,
                {
                    "missing_value": MISSING,
                    "_fillvalue": MISSING,
                    "standard_name": standard_name,
                    "long_name": long_name,
                    "units": units,
                },
            )


def _write_states_and_transitions(
    states_path: Path, transitions_path: Path, job: ExportJob, maps: StateMaps, icwtr_YX: F32
) -> None:
    """Write all years of both files, in one walk."""
    names = transition_names(maps.states)
    is_water_YX = icwtr_YX >= 1
    attributes = _global_attributes(job, "states of land use as LUH2 has them")
    transition_attributes = _global_attributes(job, "transitions of land use as LUH2 has them")
    with ExitStack() as stack:
        states = stack.enter_context(netcdf_file(states_path, attributes))
        transitions = stack.enter_context(netcdf_file(transitions_path, transition_attributes))
        _add_time(states, job, n_years=len(job.years))
        _add_time(transitions, job, n_years=len(job.years) - 1)
        for name in maps.states:
            _add_field(states, job, name, STATES[name].meaning, "area_fraction")
        for name, (origin, target) in names.items():
            meaning = _meaning(maps, name, origin, target)
            _add_field(transitions, job, name, meaning, "area_fraction")

        for step, state_year in enumerate(maps.walk()):
            job.progress(step, len(job.years), "files")
            for name, area_YX in zip(maps.states, state_year.states_SYX, strict=True):
                states.put(name, step, _stored(area_YX, is_water_YX))
            if state_year.transfer is not None:
                # LUH2 stores a transition at the year from which it starts
                for name, (origin, target) in names.items():
                    area_YX = state_year.transfer.area(origin, target)
                    transitions.put(name, step - 1, _stored(area_YX, is_water_YX))
        # known only when every year has been split
        for out in (states, transitions):
            out.file.attrs["luray_split"] = f"classes are split by {maps.weights.words}"
            out.file.attrs["luray_split_fallback"] = maps.fallback.words


def _add_time(out: NetcdfWriter, job: ExportJob, *, n_years: int) -> None:
    """Add the axes in LUH2's order and units."""
    out.dimension("time", None)
    out.resize("time", n_years)
    add_axes(out, job.region.coarse, bounds=("lat_bounds", "lon_bounds"))
    since = np.array(job.years[:n_years], np.float64) - LUH2_EPOCH
    out.variable(
        "time",
        ("time",),
        since,
        {
            "standard_name": "time",
            "long_name": "time",
            "units": f"years since {LUH2_EPOCH}-01-01 0:0:0",
            "calendar": "noleap",
            "axis": "T",
            "bounds": "time_bnds",
            "realtopology": "linear",
        },
    )
    out.variable("time_bnds", ("time", "bounds"), np.stack([since, since + 1], axis=1), {})


def _add_field(
    out: NetcdfWriter, job: ExportJob, name: str, meaning: str, standard_name: str
) -> None:
    out.yearly(
        name,
        ("time", "lat", "lon"),
        dtype="float32",
        chunk=job.region.coarse.shape,
        attributes={
            # as published: the attribute that readers know as the fill value is misspelt
            "missing_value": MISSING,
            "_fillvalue": MISSING,
            "units": "1",
            "standard_name": standard_name,
            "cell_methods": "time:mean",
            "long_name": meaning,
        },
    )


def _meaning(maps: StateMaps, name: str, origin: int, target: int) -> str:
    """What a transition is, in words."""
    before = STATES[maps.states[origin]].meaning
    after = STATES[maps.states[target]].meaning
    if name.endswith("_harv"):
        return f"wood harvest area from {before}: what becomes {after} by the split"
    return f"{before} to {after}"


def _stored(area_YX: F64, is_water_YX: Any) -> F32:
    """Areas as LUH2 has them: missing where all is water."""
    return np.where(is_water_YX, MISSING, area_YX.astype(np.float32))


def _global_attributes(job: ExportJob, title: str) -> Mapping[str, Any]:
    return {
        "Conventions": "CF-1.6",
        "data_structure": "grid",
        "frequency": "yr",
        "realm": "land",
        **job.attributes(title),
        "comment": f"The layout is that of LUH2 v2h; the data are luray's. {LEFT_OUT}",
        "luray_classes": CLASSES,
        "luray_transitions": "what leaves a class leaves its states by their areas; what enters it "
        "goes to the states that lack area, and so does what others have too much: states and "
        "transitions close, primf_harv and primn_harv among them",
    }


def check_closure(
    states_path: Path, transitions_path: Path, names: tuple[str, ...], land_YX: F64
) -> None:
    """Read files back: states fill the land, and with the transitions give those of next year.

    Raises
    ------
    RuntimeError
        Naming the worst error.
    """
    pairs = transition_names(names)
    is_land_YX = land_YX > 0
    before_SYX = np.zeros(0)
    with reading(states_path) as states, reading(transitions_path) as transitions:
        years = np.asarray(states["time"][:]) + LUH2_EPOCH
        for step, year in enumerate(years):
            stored = [np.asarray(states[name][step], np.float64) for name in names]
            states_SYX = np.stack(stored)[:, is_land_YX]
            require_small(states_SYX.sum(axis=0) - land_YX[is_land_YX], f"the states of {year:g}")
            if step:
                expected_SYX = before_SYX.copy()
                for name, (origin, target) in pairs.items():
                    area = np.asarray(transitions[name][step - 1], np.float64)[is_land_YX]
                    expected_SYX[origin] -= area
                    expected_SYX[target] += area
                require_small(states_SYX - expected_SYX, f"the transitions to {year:g}")
            before_SYX = states_SYX


def require_small(errors: F64, what: str) -> None:
    """Raise RuntimeError for an error beyond the tolerance, or a number that is none."""
    worst = float(np.abs(errors).max(initial=0.0))
    if not worst <= TOLERANCE:
        raise RuntimeError(
            f"{what} miss what they should be by {worst:.2g} of a cell, expected at most "
            f"{TOLERANCE:g}; nothing was published: this is a fault of luray, please report it"
        )
