"""Crosswalks of codes, and refusals that name the cell."""

from dataclasses import replace

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import About, Described, held_years, legend_table, recode, refuse_cells
from luray.storage.errors import InputError


def test_legend_table_merges_sub_codes():
    table = legend_table(HILDA)
    assert {c: table[c] for c in (0, 99, 23, 24, 40, 45, 77)} == {
        0: 0,
        99: 99,
        23: 22,
        24: 22,
        40: 44,
        45: 44,
        77: 77,
    }
    assert set(table) == set(HILDA.known())


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.float32, np.float64])
def test_recode_takes_any_dtype(dtype):
    raw = np.array([[0, 11, 45], [24, 99, 66]], dtype)
    got = recode(raw, legend_table(HILDA), where="f.tif", legend="HILDA+")
    assert got.dtype == np.uint8
    assert got.tolist() == [[0, 11, 44], [22, 99, 66]]


@pytest.mark.parametrize(
    ("dtype", "value", "nodata"),
    [
        (np.uint8, 255, 255),
        (np.int16, -9999, -9999),
        (np.float32, np.nan, np.nan),
        (np.float32, np.float32(-3.4e38), float(np.float32(-3.4e38))),
    ],
)
def test_declared_no_data_value_is_missing(dtype, value, nodata):
    raw = np.array([[11, value]], dtype)
    assert recode(
        raw, legend_table(HILDA), where="f.tif", legend="HILDA+", nodata=nodata
    ).tolist() == [[11, 99]]


def test_table_wins_over_no_data_value():
    assert recode(
        np.array([[0, 3]], np.uint8), {0: 0, 3: 44}, where="f", legend="l", nodata=0
    ).tolist() == [[0, 44]]


def test_unknown_code_is_named_and_counted():
    with pytest.raises(
        InputError,
        match=r"maps/1950\.tif: code 12 \(2 cells\), code 200 \(1 cells\) not in HILDA\+",
    ):
        recode(
            np.array([[12, 12, 200, 11]], np.uint8),
            legend_table(HILDA),
            where="maps/1950.tif",
            legend="HILDA+",
        )


@pytest.mark.parametrize("value", [11.5, np.nan, np.inf, -1.0, 300.0])
def test_value_that_is_no_code_is_refused(value):
    with pytest.raises(InputError, match=r"f\.tif: 1 cells hold values that are no class codes"):
        recode(
            np.array([[11, value]], np.float32), legend_table(HILDA), where="f.tif", legend="HILDA+"
        )


def test_worst_cell_is_named_by_place():
    grid = Grid(60, 10, 0.25, 8, 8)
    values = np.array([[0.0, -3.0], [5.0, 9.0]])
    with pytest.raises(
        InputError,
        match=r"f: 2 cells are odd, worst 5 at latitude 59\.1250, longitude 10\.6250; exp",
    ):
        refuse_cells(
            np.array([[False, True], [True, False]]),
            values,
            grid=grid,
            box=Box(2, 2, 2, 2),
            where="f",
            found="are odd",
            expected="x",
        )
    refuse_cells(
        np.zeros((2, 2), bool),
        values,
        grid=grid,
        box=Box(2, 2, 2, 2),
        where="f",
        found="",
        expected="",
    )


def test_nan_is_worse_than_any_number():
    with pytest.raises(InputError, match=r"worst nan at latitude 59\.8750, longitude 10\.3750"):
        refuse_cells(
            np.array([[True, True]]),
            np.array([[1e30, np.nan]]),
            grid=Grid(60, 10, 0.25, 1, 2),
            box=Box(0, 0, 1, 2),
            where="f",
            found="",
            expected="",
        )


def described(scenario, places):
    """A source that reads `places` by year; the file of the past is that of every scenario."""
    return Described(
        name="s",
        about=About("t", "", "", "", ()),
        grid=Grid(90, -180, 1, 180, 360),
        variables=(Variable("v", "forcing", "1", "v"),),
        years=tuple(places),
        rules=(),
        files=("past.nc", f"{scenario}.nc"),
        places=places,
        held=held_years(places),
    )


def test_scenario_part_has_years_that_differ():
    past = {2000: ("past.nc", 0), 2001: ("past.nc", 0), 2002: ("past.nc", 1)}
    first = described("a", {**past, 2003: ("a.nc", 0), 2004: ("a.nc", 0), 2005: ("a.nc", 1)})
    other = described("b", {**past, 2003: ("b.nc", 0), 2004: ("b.nc", 0), 2005: ("past.nc", 2)})
    part = other.part("b", first=first)
    assert (part.name, part.scenario, part.years, part.held) == (
        "s@b",
        "b",
        (2003, 2004, 2005),
        {2004: 2003},
    )
    assert part.files == ("b.nc",)
    assert first.part("b", first=first) is None
    assert replace(other, places={}).part("b", first=first) is None, (
        "it does not depend on the scenario"
    )
    whole = other.part("b", first=None)
    assert (whole.years, whole.held) == (tuple(range(2000, 2006)), {2001: 2000, 2004: 2003})
    with pytest.raises(
        InputError,
        match=r"s of scenario b has the variables \['v'\] on .* get files of one edition",
    ):
        replace(other, grid=Grid(90, -180, 2, 90, 180)).part("b", first=first)
