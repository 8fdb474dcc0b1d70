"""LUH2's files against sums over the fine cells, LUH2's real headers, and luray's own reader."""

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.export.luh2_files import state_maps
from luray.export.luh2_states import around_full_groups, transition_names
from luray.sources.base import Request
from luray.sources.luh2 import STATES, Luh2Config
from luray.stages.export import export
from tests.export.exports import (
    BLOCK,
    FINE,
    SPAN,
    TWELVE,
    job_of,
    naive_fraction,
    naive_transition,
)

CODES = {"urban": [11], "crops": [22], "pasture": [33], "forest": [44], "natural": [55, 66, 77]}
STATES_OF = {
    "urban": ["urban"],
    "crops": ["c3ann", "c3per", "c4ann", "c4per", "c3nfx"],
    "pasture": ["pastr", "range"],
    "forest": ["primf", "secdf"],
    "natural": ["primn", "secdn"],
}


def opened(folder, name="states.nc"):
    return xr.open_dataset(
        Path(folder) / name, decode_times=False, mask_and_scale=False, engine="h5netcdf"
    ).load()


@pytest.fixture(scope="module")
def folder(world, tmp_path_factory):
    place = tmp_path_factory.mktemp("luh2")
    export(world.run, "luh2", output=str(place))
    return place


@pytest.fixture(scope="module")
def states(folder):
    return opened(folder)


@pytest.fixture(scope="module")
def transitions(folder):
    return opened(folder, "transitions.nc")


@pytest.fixture(scope="module")
def icwtr(folder):
    return opened(folder, "staticData_quarterdeg.nc").icwtr.values.astype(float)


def lasting_water(world):
    return np.min([naive_fraction(codes, [77]) for codes in world.codes], axis=0)


def test_groups_have_the_area_of_their_classes(world, states, icwtr):
    ice_and_water = naive_fraction(world.codes[0], [0]) + lasting_water(world)
    np.testing.assert_allclose(icwtr, ice_and_water, atol=1e-6)
    for step, codes in enumerate(world.codes):
        for group, of_group in CODES.items():
            expected = naive_fraction(codes, of_group)
            if group == "natural":
                expected -= lasting_water(world)
            area = sum(states[name][step].values for name in STATES_OF[group])
            np.testing.assert_allclose(area, expected, atol=1e-6)


def test_states_fill_the_land(states, icwtr):
    total = sum(states[name].values.astype(float) for name in TWELVE)
    np.testing.assert_allclose(total, np.broadcast_to(1 - icwtr, total.shape), atol=1e-6)
    assert all((states[name].values >= 0).all() for name in TWELVE)


def test_states_and_transitions_close(states, transitions):
    for step in range(len(SPAN.years) - 1):
        after = {name: states[name][step].values.astype(float) for name in TWELVE}
        for name in transitions.data_vars:
            if "_to_" in name:
                origin, target = name.split("_to_")
            elif name.endswith("_harv"):
                origin = name.removesuffix("_harv")
                target = {"primf": "secdf", "primn": "secdn"}[origin]
            else:
                continue
            assert (transitions[name].values >= 0).all()
            after[origin] -= transitions[name][step].values
            after[target] += transitions[name][step].values
        for name in TWELVE:
            np.testing.assert_allclose(after[name], states[name][step + 1].values, atol=1e-6)


def test_gross_transitions_are_those_of_the_maps(world, transitions):
    lasting = lasting_water(world)
    for step, (before, after) in enumerate(pairwise(world.codes)):
        natural = CODES["natural"]
        leaves = naive_transition(before, after, natural, [11, 22, 33, 44])
        # elsewhere water moves, and is led around
        in_place = leaves <= naive_fraction(before, natural) - lasting + 1e-9
        assert in_place.sum() > 20
        for origin, origins in CODES.items():
            for target, targets in CODES.items():
                if origin == target:
                    continue
                total = np.zeros((4, 6))
                for state in STATES_OF[origin]:
                    for into in STATES_OF[target]:
                        name = f"{state}_to_{into}"
                        if name in transitions:
                            total += transitions[name][step].values
                expected = naive_transition(before, after, origins, targets)
                np.testing.assert_allclose(total[in_place], expected[in_place], atol=1e-6)


def test_first_year_has_the_shares_of_the_forcing(world, states):
    weights = dict(zip(world.states, world.weights[0].astype(float), strict=True))
    for group, members in STATES_OF.items():
        area = naive_fraction(world.codes[0], CODES[group])
        if group == "natural":
            area -= lasting_water(world)
        known = np.nan_to_num(sum(weights[name] for name in members)) > 0
        for name in members:
            share = weights[name][known] / sum(weights[member] for member in members)[known]
            np.testing.assert_allclose(
                states[name][0].values[known], share * area[known], atol=1e-6
            )


def test_where_the_forcing_has_nothing_the_region_counts(world, states):
    assert "in 0 cell-years" not in states.attrs["luray_split_fallback"]
    weights = dict(zip(world.states, world.weights[0].astype(float), strict=True))
    row_area = np.repeat(FINE.cell_area.reshape(4, BLOCK).sum(axis=1)[:, None], 6, axis=1)
    region = {name: np.nansum(weights[name] * row_area) for name in ("primf", "secdf")}
    area = naive_fraction(world.codes[0], [44])[1, 2]
    expected = area * region["primf"] / (region["primf"] + region["secdf"])
    assert states.primf.values[0, 1, 2] == pytest.approx(expected, rel=1e-3)


def test_where_the_region_has_nothing_one_state_counts(world, states):
    crops = naive_fraction(world.codes[-1], [22])
    np.testing.assert_allclose(states.c3ann[-1].values, crops, atol=1e-6)
    assert not states.c4ann[-1].values.any()


def test_primary_land_never_comes_back(states, transitions):
    for name in ("primf", "primn"):
        assert (np.diff(states[name].values, axis=0) <= 1e-7).all()
        assert states[name].values[0].any()
    assert not [name for name in transitions if name.endswith(("_to_primf", "_to_primn"))]


def test_other_land_has_the_shares_of_every_year(world, states):
    for step in range(len(SPAN.years) - 1):
        weights = dict(zip(world.states, world.weights[step].astype(float), strict=True))
        known = np.isfinite(weights["pastr"])
        share = weights["pastr"] / (weights["pastr"] + weights["range"])
        area = naive_fraction(world.codes[step], [33])
        np.testing.assert_allclose(
            states.pastr[step].values[known], (share * area)[known], atol=1e-6
        )


def test_no_more_changes_hands_within_a_class_than_must(states, transitions):
    """The least that the states of a class can give each other, where they give in proportion."""
    crops = STATES_OF["crops"]
    others = [name for name in TWELVE if name not in crops]
    for step in range(len(SPAN.years) - 1):
        within = sum(
            transitions[f"{a}_to_{b}"][step].values.astype(float)
            for a in crops
            for b in crops
            if a != b
        )
        surplus = np.zeros((4, 6))
        for a in crops:
            out = sum(
                transitions[f"{a}_to_{b}"][step].values.astype(float)
                for b in others
                if f"{a}_to_{b}" in transitions
            )
            left = states[a][step].values - out
            surplus += (left - states[a][step + 1].values).clip(0)
        np.testing.assert_allclose(within, surplus, atol=1e-6)
        assert within.any()


def test_reads_back_as_the_same_classes(folder, states):
    config = Luh2Config(kind="luh2", path=str(folder))
    source = config.open(
        Request(run_years=range(2000, 2004), scenario="ssp245", state=None, grid=None)
    )
    assert source.grid.shape == (4, 6)
    assert tuple(variable.name for variable in source.variables) == TWELVE
    read = source.read(2002, Box(0, 0, 4, 6))
    for name, values in zip(TWELVE, read, strict=True):
        np.testing.assert_allclose(values, states[name][2].values, atol=1e-6)


def test_plantations_of_luh3_are_a_state(world_of_luh3, tmp_path):
    maps = state_maps(job_of(world_of_luh3, tmp_path, years=(2000, 2001)))
    names = transition_names(maps.states)
    assert {"primf_to_pltns", "pltns_to_secdf", "secdf_to_pltns"} <= set(names)
    before, after = maps.walk()
    expected = before.states_SYX.copy()
    for origin, target in names.values():
        expected[origin] -= after.transfer.area(origin, target)
        expected[target] += after.transfer.area(origin, target)
    np.testing.assert_allclose(expected, after.states_SYX, atol=1e-12)
    forest = sum(after.states_SYX[maps.states.index(n)] for n in ("primf", "secdf", "pltns"))
    np.testing.assert_allclose(forest, naive_fraction(world_of_luh3.codes[1], [44]), atol=1e-9)
    assert after.states_SYX[maps.states.index("pltns")].any()


def test_without_forcing_one_state_stands_for_a_class(world_without_forcing, tmp_path):
    maps = state_maps(job_of(world_without_forcing, tmp_path))
    assert "an assumption" in maps.weights.words
    first = next(maps.walk()).states_SYX
    crops = naive_fraction(world_without_forcing.codes[0], [22])
    np.testing.assert_allclose(first[maps.states.index("c3ann")], crops, atol=1e-9)
    assert not first[maps.states.index("c4ann")].any()
    assert not first[maps.states.index("primf")].any()


def test_default_goes_before_the_forcing_where_asked(world, tmp_path):
    maps = state_maps(job_of(world, tmp_path, split="default"))
    assert not next(maps.walk()).states_SYX[maps.states.index("range")].any()


def test_a_region_is_a_part_of_the_whole(world, states, tmp_path):
    job = job_of(world, tmp_path, bounds=(23.5, 35.25, 24.25, 35.75))
    maps = state_maps(job)
    assert job.region.coarse.lat.tolist() == [35.625, 35.375]
    part = next(maps.walk()).states_SYX
    whole = states.sel(lat=job.region.coarse.lat, lon=job.region.coarse.lon)
    for name in ("urban", "pastr"):
        # one cell has no forcing: there the region counts
        ours = np.delete(part[maps.states.index(name)].ravel(), 4)
        theirs = np.delete(whole[name].values[0].ravel(), 4)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_coarser_cells_add_up_the_forcing(world, tmp_path):
    maps = state_maps(job_of(world, tmp_path, step=0.5))
    first = next(maps.walk()).states_SYX
    row_area = FINE.cell_area.reshape(4, BLOCK).sum(axis=1)[:2, None]
    weights = dict(zip(world.states, world.weights[0, :, :2, :2].astype(float), strict=True))
    pasture = {name: (weights[name] * row_area).sum() for name in ("pastr", "range")}
    area = naive_fraction(world.codes[0], [33])[:2, :2]
    expected = (area * row_area).sum() / (2 * row_area.sum())
    expected *= pasture["pastr"] / (pasture["pastr"] + pasture["range"])
    assert first[maps.states.index("pastr"), 0, 0] == pytest.approx(expected, rel=1e-5)


def test_excess_is_led_around_a_full_group():
    transition = np.array([[0, 0.2, 0], [0, 0, 0.3], [0, 0, 0]])[:, :, None, None]
    area = np.array([0.5, 0.2, 0.3])[:, None, None]
    led = around_full_groups(transition, area)
    # of 0.3 that leaves the second group it has 0.2: 0.1 comes straight from the first
    expected = [[0, 0.1, 0.1], [0, 0, 0.2], [0, 0, 0]]
    np.testing.assert_allclose(led[:, :, 0, 0], expected)


@given(st.integers(0, 10**6))
def test_led_around_groups_gain_what_they_did(seed):
    random = np.random.default_rng(seed)
    transition = random.random((5, 5, 2, 2)) * (random.random((5, 5, 2, 2)) < 0.5)
    transition[range(5), range(5)] = 0
    gain = transition.sum(axis=0) - transition.sum(axis=1)
    # an area that is what the next year has, and what goes on balance: some give more than it
    area = (-gain).clip(0) + random.random((5, 2, 2)) * (random.random((5, 2, 2)) < 0.5)
    led = around_full_groups(transition, area)
    np.testing.assert_allclose(led.sum(axis=0) - led.sum(axis=1), gain, atol=1e-9)
    assert (led.sum(axis=1) <= area + 1e-9).all()
    assert not led[range(5), range(5)].any()


def test_names_are_those_of_fates_and_luh2():
    names = transition_names(TWELVE)
    assert len([name for name in names if "_to_" in name]) == 108
    assert [name for name in names if "_to_" not in name] == ["primf_harv", "primn_harv"]
    assert "primf_to_secdf" not in names


def test_header_is_that_of_luh2(states, transitions, icwtr, realdata):
    file = realdata / "luh2_states_2015/luh2_2015_europe_mediterranean.nc"
    real = xr.open_dataset(file, decode_times=False, mask_and_scale=False, engine="h5netcdf")
    for name in ("primf", "secdn", "pastr", "range", "urban"):
        assert states[name].dims == real[name].dims
        assert states[name].dtype == real[name].dtype
        for key, value in real[name].attrs.items():
            assert states[name].attrs[key] == value
    for axis in ("time", "lat", "lon"):
        assert states[axis].dtype == real[axis].dtype
        for key, value in real[axis].attrs.items():
            assert states[axis].attrs[key] == value
    assert states.lat.values[0] > states.lat.values[-1]
    assert states.time.values.tolist() == [1150, 1151, 1152, 1153]
    assert transitions.time.values.tolist() == [1150, 1151, 1152]


def test_static_header_is_that_of_luh2(folder, realdata):
    ours = folder / "staticData_quarterdeg.nc"
    published = realdata / "luh2_static_v2h/staticData_quarterdeg.nc"
    with h5py.File(ours) as mine, h5py.File(published) as real:
        for name in ("icwtr", "carea"):
            assert mine[name].dtype == real[name].dtype
            for key in ("units", "long_name", "missing_value"):
                published_value = real[name].attrs[key]
                if isinstance(published_value, bytes):
                    published_value = published_value.decode()
                assert mine[name].attrs[key] == published_value


def test_areas_are_those_of_luh2(folder, realdata):
    ours = opened(folder, "staticData_quarterdeg.nc")
    real = xr.open_dataset(realdata / "luh2_static_v2h/staticData_quarterdeg.nc", engine="h5netcdf")
    carea = real.carea.sel(lat=ours.lat, lon=ours.lon).values
    np.testing.assert_allclose(ours.carea.values, carea, rtol=2e-3)


def test_long_names_are_those_of_the_source(states):
    assert {states[name].attrs["long_name"] for name in TWELVE} == {
        STATES[name].meaning for name in TWELVE
    }
    assert states.attrs["legend"] == HILDA.name
