"""Monthly climate in CF NetCDF: variables of the run file, scenarios, and what is refused."""

import pickle

import cftime
import numpy as np
import pytest
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.sources.base import Request
from luray.sources.climate import ClimateConfig
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 0, 0.5, 4, 6)
ALL = Box(0, 0, 4, 6)
YEARS = range(2000, 2003)
MONTHS = TimeSteps("month")
TEMPERATURE = {"variable": "tas", "name": "temperature", "units": "degC", "scale": 10.0}
RAIN = {"variable": "pr", "name": "rain", "units": "kg m-2 d-1", "transform": "log1p"}


def kelvin(step, offset=0):
    return (np.arange(24).reshape(4, 6) / 10 + 250 + step % 1000 + offset).astype(np.float32)


def write(
    path,
    *,
    variable="tas",
    units="K",
    years=YEARS,
    calendar="standard",
    declared=None,
    day=15,
    grid=GRID,
    ascending=False,
    change=lambda months: months,
    values=kelvin,
    bounds=False,
):
    months = change([(step // 12, step % 12 + 1) for step in MONTHS.of_years(years[0], years[-1])])
    unit = "days since 1990-01-01"
    moments = [cftime.datetime(y, m, day, calendar=calendar) for y, m in months]
    stamps = np.array(cftime.date2num(moments, unit, calendar), np.float64)
    maps = np.stack([values(MONTHS.step(y, m - 1)) for y, m in months])
    time_attrs = {"units": unit, "calendar": declared or calendar}
    variables = {**axes(grid, ascending=ascending), "time": (("time",), stamps, time_attrs)}
    if bounds:
        ends = [cftime.datetime(y + m // 12, m % 12 + 1, 1, calendar=calendar) for y, m in months]
        starts = [cftime.datetime(y, m, 1, calendar=calendar) for y, m in months]
        edges = np.stack([cftime.date2num(each, unit, calendar) for each in (starts, ends)], 1)
        time_attrs["bounds"] = "time_bnds"
        variables["time"] = (("time",), edges[:, 1].astype(np.float64), time_attrs)
        variables["time_bnds"] = (("time", "bnds"), edges.astype(np.float64), {})
    if ascending:
        maps = maps[:, ::-1]
    attributes = {"units": units, "_FillValue": np.float32(1e20)}
    variables[variable] = (("time", "lat", "lon"), maps, attributes)
    write_nc(path, variables)


def opened(folder, *, years=YEARS, scenario="ssp245", time="month", **settings):
    settings.setdefault("variables", [TEMPERATURE])
    config = ClimateConfig(kind="climate", path=str(folder), **settings)
    return config.open(Request(years, scenario, time=TimeSteps(time)))


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"ascending": True, "calendar": "360_day"},
        {"calendar": "noleap", "day": 1},
        {"bounds": True},  # stamped at the end of each month, as reanalyses are
    ],
)
def test_every_month_is_read_in_its_unit(tmp_path, form):
    write(tmp_path / "tas.nc", **form)
    source = pickle.loads(pickle.dumps(opened(tmp_path)))
    assert source.years == tuple(MONTHS.of_years(2000, 2002))
    assert (source.per_year, source.role, source.held) == (12, "forcing", {})
    [variable] = source.variables
    assert (variable.name, variable.units, variable.scale) == ("temperature", "degC", 10.0)
    assert variable.resampling == "bilinear"
    for step in source.years:
        expected = kelvin(step) - np.float32(273.15)
        assert source.read(step, ALL)[0] == pytest.approx(expected, abs=1e-4)
    part = source.read(source.years[7], Box(1, 2, 2, 3))[0]
    assert np.array_equal(part, source.read(source.years[7], ALL)[0][1:3, 2:5])
    assert any("K turned into degC" in rule for rule in source.rules)


def test_variables_may_be_in_files_of_their_own(tmp_path):
    write(tmp_path / "tas_2000.nc", years=range(2000, 2001))
    write(tmp_path / "tas_2001-2002.nc", years=range(2001, 2003))
    write(
        tmp_path / "pr.nc",
        variable="pr",
        units="kg m-2 s-1",
        values=lambda step: np.full((4, 6), (step % 12) / 86400, np.float32),
    )
    source = opened(tmp_path, variables=[RAIN, TEMPERATURE], time="P8D")
    assert [variable.name for variable in source.variables] == ["rain", "temperature"]
    values = source.read(MONTHS.step(2001, 6), ALL)
    assert values[0] == pytest.approx(6, rel=1e-5)
    assert values[1] == pytest.approx(kelvin(MONTHS.step(2001, 6)) - 273.15, abs=1e-4)
    assert len(source.files) == 3


def test_a_missing_value_stays_missing(tmp_path):
    def with_hole(step):
        values = kelvin(step)
        values[2, 3] = 1e20
        return values

    write(tmp_path / "tas.nc", values=with_hole)
    values = opened(tmp_path).read(MONTHS.step(2000), ALL)[0]
    assert np.argwhere(np.isnan(values)).tolist() == [[2, 3]]


def test_scenarios_share_the_history(tmp_path):
    write(tmp_path / "tas_historical.nc", years=range(1999, 2002))
    for n, scenario in enumerate(("ssp126", "ssp585"), start=1):
        write(
            tmp_path / f"tas_{scenario}.nc",
            years=range(2001, 2003),
            values=lambda step, n=n: kelvin(step, offset=n),
        )
    pattern = {"pattern": "tas_{scenario}.nc"}
    first = opened(tmp_path, scenario="ssp126", **pattern)
    other = opened(tmp_path, scenario="ssp585", **pattern)
    # 2001 is in both: the scenario wins from where it begins
    for source, offset in ((first, 1), (other, 2)):
        for step, added in ((MONTHS.step(2000, 11), 0), (MONTHS.step(2001), offset)):
            expected = kelvin(step, offset=added) - 273.15
            assert source.read(step, ALL)[0] == pytest.approx(expected, abs=1e-4)
    part = other.part("ssp585", first=first)
    assert part.years == tuple(MONTHS.of_years(2001, 2002))
    only = opened(tmp_path, pattern="tas_ssp12?.nc", years=range(2001, 2003))
    assert [file.rpartition("/")[2] for file in only.files] == ["tas_ssp126.nc"]
    assert only.part("ssp585", first=only) is None


def without(*dropped):
    return lambda months: [month for month in months if month not in dropped]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"change": without((2001, 3))}, "time steps 2001-03 are missing"),
        ({"change": without((2002, 12))}, "time steps 2002-12 are missing"),
        ({"change": lambda months: [*months, months[-1]]}, "time steps 2002-12 occur more than"),
        ({"change": lambda months: months[::-1]}, "not in order at"),
        ({"calendar": "360_day", "declared": "standard"}, "wander from day"),
        ({"units": "W m-2"}, "tas is in 'W m-2', expected degC"),
        ({"variable": "t2m"}, "no file has the variable tas, found t2m;"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, form, message):
    write(tmp_path / "tas.nc", **form)
    with pytest.raises(InputError, match=message):
        opened(tmp_path)


def test_a_month_in_two_files_is_refused(tmp_path):
    write(tmp_path / "a.nc")
    write(tmp_path / "b.nc", years=range(2002, 2003))
    with pytest.raises(InputError, match=r"2002-01 to 2002-12 of tas are also in .*a\.nc"):
        opened(tmp_path)


def test_files_on_two_grids_are_refused(tmp_path):
    write(tmp_path / "tas.nc")
    write(tmp_path / "pr.nc", variable="pr", units="kg m-2 d-1", grid=Grid(50, 0, 0.25, 4, 6))
    with pytest.raises(InputError, match="all files of a source must lie on one grid"):
        opened(tmp_path, variables=[TEMPERATURE, RAIN])


def test_values_outside_their_range_are_named(tmp_path):
    write(tmp_path / "tas.nc")
    source = opened(tmp_path, variables=[{**TEMPERATURE, "range": [-90, -30]}])
    with pytest.raises(InputError, match=r"tas, 2000-04: 24 cells lie outside .* -90\.\.-30 degC"):
        source.read(MONTHS.step(2000, 3), ALL)


def test_a_run_of_years_has_no_months(tmp_path):
    write(tmp_path / "tas.nc")
    with pytest.raises(InputError, match="holds a value a month, the run has 1 map a year"):
        opened(tmp_path, time="year")


def test_no_file_is_named():
    with pytest.raises(InputError, match="no such file or folder"):
        opened("nowhere")
    with pytest.raises(ValidationError, match="name one twice"):
        ClimateConfig(kind="climate", path="p", variables=[TEMPERATURE, TEMPERATURE])
    with pytest.raises(ValidationError, match=r"expected \[lowest, highest\]"):
        ClimateConfig(kind="climate", path="p", variables=[{**TEMPERATURE, "range": [1, 1]}])
