"""LUH2 states: joined, closed with icwtr, or refused."""

import pickle

import h5py
import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.sources.luh2 import STATES, Luh2Config, open_luh2
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(40, 20, 0.25, 3, 4)
TWELVE = tuple(STATES)[:12]
FUTURE = (
    "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-MESSAGE-ssp245-2-1-f_gn_2015-2100.nc"
)
WATER = np.zeros(GRID.shape, np.float32)
WATER[0, 0], WATER[1, 1] = 1, 0.5
EVERYTHING = Box(0, 0, 3, 4)


def states(n_years, seed=0, names=TWELVE, water=WATER):
    """Random states (time, lat, lon) that close with the water; fill where there is no land."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(names)), (n_years, *water.shape)) * (1 - water)[..., None]
    shares[:, water == 1] = 1e20
    return {name: shares[..., i].astype(np.float32) for i, name in enumerate(names)}


def write_states(
    path,
    fields,
    *,
    epoch=850,
    first=0,
    units="years since {}-01-01 0:0:0",
    grid=GRID,
    turn=None,
    years=None,
    misspelt="_fillValue",
    state_units="1",
):
    n = len(next(iter(fields.values())))
    time = (
        np.arange(first, first + n, dtype=np.float64) if years is None else np.array(years, float)
    )
    lat_first = axes(grid, ascending=turn == "south")
    if turn == "east":
        lat_first["lon"] = (("lon",), np.sort(grid.lon % 360), {"units": "degrees_east"})
    variables = {
        **lat_first,
        "time": (("time",), time, {"units": units.format(epoch), "calendar": "noleap"}),
    }
    for name, values in fields.items():
        values = values[:, ::-1] if turn == "south" else values
        values = np.roll(values, values.shape[2] // 2, axis=2) if turn == "east" else values
        variables[name] = (
            ("time", "lat", "lon"),
            values,
            {"missing_value": np.float32(1e20), misspelt: np.float32(1e20), "units": state_units},
        )
    for name in ("secma", "secmb"):
        variables[name] = (
            ("time", "lat", "lon"),
            np.full((n, *grid.shape), 77, np.float32),
            {"units": "years"},
        )
    return write_nc(path, variables)


def write_static(path, water=WATER, grid=GRID, turn=None):
    lat_lon = axes(grid, ascending=turn == "south")
    water = water[::-1] if turn == "south" else water
    return write_nc(
        path,
        {
            **lat_lon,
            "icwtr": (("lat", "lon"), water, {"missing_value": np.float32(1e20)}),
            "carea": (("lat", "lon"), np.full(grid.shape, 600, np.float32), {"units": "km2"}),
        },
    )


@pytest.fixture
def world(tmp_path):
    """v2h of 1849-2015 and v2f of 2015-2100, which differ in 2015."""
    past, future = states(167, 1), states(86, 2)
    write_states(tmp_path / "v2h/states.nc", past, first=999)
    write_states(tmp_path / "v2f" / FUTURE, future, epoch=2015, misspelt="_Fillvalue")
    write_static(tmp_path / "staticData_quarterdeg.nc")
    return tmp_path, past, future


def open_(path, years, scenario="ssp245", **options):
    return open_luh2(
        Luh2Config(kind="luh2", path=str(path), **options), run_years=years, scenario=scenario
    )


def dry(fields, index):
    return np.stack([np.where(fields[n][index] > 1, 0, fields[n][index]) for n in TWELVE])


def test_states_in_percent_are_fractions(tmp_path):
    shares = states(2)
    percents = {name: np.where(values > 1, values, values * 100) for name, values in shares.items()}
    write_states(tmp_path / "states.nc", percents, first=1150, state_units="%")
    write_static(tmp_path / "staticData_quarterdeg.nc")
    source = open_(tmp_path, range(2000, 2002))
    np.testing.assert_allclose(source.read(2000, EVERYTHING), dry(shares, 0), rtol=1e-5, atol=1e-7)
    assert any("0.01" in rule for rule in source.rules)


def test_states_in_another_unit_are_refused(tmp_path):
    write_states(tmp_path / "states.nc", states(2), first=1150, state_units="km2")
    write_static(tmp_path / "staticData_quarterdeg.nc")
    with pytest.raises(InputError, match="is in 'km2', expected 1"):
        open_(tmp_path, range(2000, 2002))


def test_history_and_scenario_are_joined_at_2015(world):
    path, past, future = world
    source = pickle.loads(pickle.dumps(open_(path, range(1850, 2101))))
    assert source.years == tuple(range(1850, 2101))
    assert tuple(v.name for v in source.variables) == TWELVE
    kinds = {(v.role, v.units, v.resampling, v.dtype) for v in source.variables}
    assert kinds == {("forcing", "1", "nearest", "float32")}
    assert source.grid == GRID
    for year, fields, index in (
        (1850, past, 1),
        (2014, past, 165),
        (2015, future, 0),
        (2100, future, 85),
    ):
        got = source.read(year, EVERYTHING)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, dry(fields, index), atol=1e-6)
    np.testing.assert_array_equal(
        source.read(1900, Box(1, 2, 2, 1)), source.read(1900, EVERYTHING)[:, 1:3, 2:3]
    )
    assert "v2h up to 2014, v2f ssp245 from 2015" in source.rules
    assert "missing (1e20) is 0 over water, missing over land" in source.rules
    assert len(source.files) == 3


def test_v2h_alone_serves_a_run_that_ends_by_2015(world):
    path, past, _ = world
    (path / "v2f" / FUTURE).unlink()
    source = open_(path, range(1900, 2016), scenario="historical")
    np.testing.assert_allclose(source.read(2015, EVERYTHING), dry(past, 166), atol=1e-6)
    assert "all years from v2h (states.nc)" in source.rules


def test_v2f_alone_serves_a_run_that_begins_in_2015(world):
    path, _, future = world
    (path / "v2h/states.nc").unlink()
    source = open_(path, range(2015, 2051))
    np.testing.assert_allclose(source.read(2050, EVERYTHING), dry(future, 35), atol=1e-6)


def test_the_rows_of_each_file_may_lie_differently(tmp_path):
    past = states(4)
    write_states(tmp_path / "states.nc", past, turn="south")
    write_static(tmp_path / "staticData_quarterdeg.nc")
    source = open_(tmp_path, range(850, 854))
    np.testing.assert_allclose(source.read(853, EVERYTHING), dry(past, 3), atol=1e-6)
    assert "rows stored south first, read north first" in source.rules


def test_a_global_file_of_0_to_360_is_turned(tmp_path):
    grid = Grid(0.5, -180, 0.25, 4, 1440)
    water = np.zeros(grid.shape, np.float32)
    past = states(1, water=water)
    write_states(tmp_path / "states.nc", past, grid=grid, turn="east")
    write_static(tmp_path / "staticData_quarterdeg.nc", water, grid)
    source = open_(tmp_path, range(850, 851))
    assert source.grid == grid
    np.testing.assert_allclose(
        source.read(850, Box(0, 700, 4, 60))[3], past["secdn"][0, :, 700:760], atol=1e-6
    )
    np.testing.assert_allclose(
        source.read(850, Box(1, 0, 1, 1440))[0], past["primf"][0, 1:2], atol=1e-6
    )


def test_pltns_of_luh3_is_read_when_the_file_has_it(tmp_path):
    past = states(2, names=(*TWELVE, "pltns"))
    write_states(
        tmp_path / "multiple-states_input4MIPs_landState_CMIP_UofMD-landState-3-0_gn_0850-0851.nc",
        past,
        units="days since {}-01-01 0:0:0",
        years=[0, 365],
    )
    write_static(tmp_path / "multiple-static_input4MIPs_landState_CMIP_UofMD-landState-3-0_gn.nc")
    source = open_(tmp_path, range(850, 852))
    assert [v.name for v in source.variables] == [*TWELVE, "pltns"]
    np.testing.assert_allclose(source.read(851, EVERYTHING).sum(axis=0), 1 - WATER, atol=1e-6)
    assert "LUH3's pltns read as a state" in source.rules


@pytest.mark.parametrize(
    ("model", "scenario"),
    [
        ("IMAGE", "ssp119"),
        ("IMAGE", "ssp126"),
        ("MESSAGE", "ssp245"),
        ("AIM", "ssp370"),
        ("GCAM", "ssp434"),
        ("GCAM", "ssp460"),
        ("MAGPIE", "ssp534"),
        ("MAGPIE", "ssp585"),
    ],
)
def test_scenarios_are_found_under_their_models(world, model, scenario):
    path, _, _ = world
    other = states(86, 7)
    write_states(
        path / "v2f" / FUTURE.replace("MESSAGE-ssp245", f"{model}-{scenario}"), other, epoch=2015
    )
    source = open_(path, range(2010, 2031), scenario=scenario)
    if scenario != "ssp245":
        np.testing.assert_allclose(source.read(2030, EVERYTHING), dry(other, 15), atol=1e-6)
    assert f"v2h up to 2014, v2f {scenario} from 2015" in source.rules


def test_published_names_are_found_in_any_folder(world):
    """As a catalog gives them: references whose own places say nothing."""
    path, _, future = world
    places = {
        "states.nc": path / "v2h/states.nc",
        FUTURE: path / "b.nc",
        "staticData_quarterdeg.nc": path / "staticData_quarterdeg.nc",
    }
    (path / "v2f" / FUTURE).rename(path / "b.nc")
    config = Luh2Config.model_validate(
        {
            "kind": "luh2",
            "collection": "luh2",
            "assets": [{"name": name, "href": str(place)} for name, place in places.items()],
        }
    )
    source = open_luh2(config, run_years=range(2010, 2031), scenario="ssp245")
    np.testing.assert_allclose(source.read(2020, EVERYTHING), dry(future, 5), atol=1e-6)
    assert "v2h up to 2014, v2f ssp245 from 2015" in source.rules


def test_a_turned_static_file_is_read_in_place(tmp_path):
    past = states(2)
    write_states(tmp_path / "states.nc", past)
    write_static(tmp_path / "staticData_quarterdeg.nc", turn="south")
    source = open_(tmp_path, range(850, 852))
    np.testing.assert_allclose(source.read(850, EVERYTHING), dry(past, 0), atol=1e-6)
    assert "rows stored south first, read north first" in source.rules
    assert {s.rules for s in source.encodings} == {("rows stored south first, read north first",)}


def test_encodings_say_how_states_are_stored(world):
    path, _, _ = world
    source = open_(path, range(2010, 2020))
    assert [s.name for s in source.encodings] == [v.name for v in source.variables]
    first = source.encodings[0]
    assert (first.dtype, first.units, first.fills, first.rules) == (
        "float32",
        "1",
        (np.float32(1e20),),
        (),
    )
    assert first.orientation == "north first, longitudes -180..180"
    assert Luh2Config(kind="luh2", path="x").declared == source.variables


@pytest.mark.parametrize("scale", [100, 0.01])
def test_states_in_per_cent_are_refused(tmp_path, scale):
    fields = {
        name: np.where(values < 1e19, values * scale, values).astype(np.float32)
        for name, values in states(1).items()
    }
    write_states(tmp_path / "states.nc", fields)
    write_static(tmp_path / "staticData_quarterdeg.nc")
    with pytest.raises(
        InputError, match=r"states\.nc, year 850.* (are no fractions|have states that do not sum)"
    ):
        open_(tmp_path, range(850, 851)).read(850, EVERYTHING)


def test_states_upside_down_are_refused_by_water(tmp_path):
    """Nothing in the file says so, but what is upside down does not close with icwtr: never a
    turned map.
    """
    write_states(
        tmp_path / "states.nc", {name: values[:, ::-1] for name, values in states(1).items()}
    )
    write_static(tmp_path / "staticData_quarterdeg.nc")
    with pytest.raises(InputError, match="do not sum to 1 - icwtr"):
        open_(tmp_path, range(850, 851)).read(850, EVERYTHING)


def test_states_of_two_versions_do_not_mix(world):
    path, _, future = world
    write_states(path / "v2f" / FUTURE, {**future, "pltns": future["primf"]}, epoch=2015)
    with pytest.raises(InputError, match=r"states \['pltns'\] beside the twelve, expected \[\]"):
        open_(path, range(2010, 2020))


def one_year(tmp_path, change, water=WATER, **options):
    fields = states(2, water=water)
    change(fields)
    write_states(tmp_path / "states.nc", fields)
    write_static(tmp_path / "staticData_quarterdeg.nc", water)
    return open_(tmp_path, range(850, 852), **options), fields


def test_a_small_error_of_closure_is_scaled_away(tmp_path):
    def change(fields):
        fields["urban"][1, 1, 1] += 0.0005

    source, fields = one_year(tmp_path, change)
    got = source.read(851, EVERYTHING)
    np.testing.assert_allclose(got.sum(axis=0), 1 - WATER, atol=1e-6)
    np.testing.assert_allclose(got[:, 1, 1], dry(fields, 1)[:, 1, 1] * 0.5 / 0.5005, rtol=1e-5)
    assert (
        "states scaled to sum to 1 - icwtr where they miss it by at most 0.001; refused beyond"
        in source.rules
    )


def test_a_fraction_below_0_by_rounding_is_0(tmp_path):
    def change(fields):
        fields["c4per"][0, 2, 1] = -0.0004

    source, fields = one_year(tmp_path, change, closure_tolerance=0.3)
    got = source.read(850, EVERYTHING)
    assert got[TWELVE.index("c4per"), 2, 1] == 0
    np.testing.assert_allclose(got[:, 2, 1].sum(), 1, atol=1e-6)
    assert fields["c4per"][0, 2, 1] < 0


def test_1e20_is_missing_where_no_attribute_says_so(tmp_path):
    fields = states(1)
    write_nc(
        tmp_path / "states.nc",
        {
            **axes(GRID),
            "time": (("time",), np.zeros(1), {"units": "years since 850-01-01 0:0:0"}),
            **{name: (("time", "lat", "lon"), values, {}) for name, values in fields.items()},
        },
    )
    write_static(tmp_path / "staticData_quarterdeg.nc")
    np.testing.assert_allclose(
        open_(tmp_path, range(850, 851)).read(850, EVERYTHING), dry(fields, 0), atol=1e-6
    )


def test_states_that_miss_closure_are_refused(tmp_path):
    def change(fields):
        fields["urban"][1, 1, 2] += 0.01
        fields["urban"][1, 2, 3] -= fields["urban"][1, 2, 3] + 0

    source, _ = one_year(tmp_path, change, closure_tolerance=0.005)
    source.read(850, EVERYTHING)
    source.read(851, Box(0, 0, 3, 2))
    with pytest.raises(
        InputError,
        match=r"states\.nc, year 851: \d cells have states that do not sum to 1 - icwtr.*"
        r"worst -0\.\d+ at latitude 39\.3750, longitude 20\.8750",
    ):
        source.read(851, EVERYTHING)


def test_states_of_another_water_mask_are_refused(tmp_path):
    fields = states(1)
    write_states(tmp_path / "states.nc", fields)
    write_static(tmp_path / "staticData_quarterdeg.nc", np.zeros_like(WATER))
    with pytest.raises(InputError, match="do not sum to 1 - icwtr"):
        open_(tmp_path, range(850, 851)).read(850, EVERYTHING)


def test_missing_on_land_stays_missing(tmp_path):
    def change(fields):
        for values in fields.values():
            values[0, 2, 2] = 1e20

    source, _ = one_year(tmp_path, change)
    got = source.read(850, EVERYTHING)
    assert np.isnan(got[:, 2, 2]).all()
    assert np.isnan(got).sum() == 12
    assert (got[:, 0, 0] == 0).all()


@pytest.mark.parametrize(
    ("value", "shown"), [(-0.2, "-0.2"), (1.5, "1.5"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_values_beyond_fractions_are_refused(tmp_path, value, shown):
    def change(fields):
        fields["range"][1, 2, 0] = value

    source, _ = one_year(tmp_path, change)
    with pytest.raises(
        InputError,
        match=rf"states\.nc, year 851, range: 1 cells are no fractions, worst {shown} at "
        "latitude "
        r"39\.3750, longitude 20\.1250; expected fractions",
    ):
        source.read(851, EVERYTHING)


def test_a_cell_that_lacks_some_states_is_refused(tmp_path):
    def change(fields):
        fields["c3ann"][0, 1, 0] = 1e20

    source, _ = one_year(tmp_path, change)
    with pytest.raises(InputError, match="1 cells lack some states but not all"):
        source.read(850, EVERYTHING)


def test_half_a_cell_off_is_refused(tmp_path):
    for grid in (Grid(40.125, 20, 0.25, 3, 4), Grid(40, 20.125, 0.25, 3, 4)):
        write_states(tmp_path / "states.nc", states(1), grid=grid)
        write_static(tmp_path / "staticData_quarterdeg.nc", grid=grid)
        with pytest.raises(InputError, match=r"shifted by 0\.500 of a cell"):
            open_(tmp_path, range(850, 851))


def test_a_static_file_on_another_grid_is_refused(tmp_path):
    write_states(tmp_path / "states.nc", states(1))
    write_static(tmp_path / "staticData_quarterdeg.nc", grid=Grid(40.25, 20, 0.25, 3, 4))
    with pytest.raises(
        InputError, match=r"staticData_quarterdeg\.nc: grid of .* differs from that of .*states\.nc"
    ):
        open_(tmp_path, range(850, 851))


def test_what_is_lacking_is_named(world):
    path, past, _ = world
    with pytest.raises(
        InputError, match=r"v2f file of scenario 'ssp119'.*scenarios there: \['ssp245'\]"
    ):
        open_(path, range(1850, 2101), scenario="ssp119")
    with pytest.raises(InputError, match=r"years 1800-1848 of the run are not there"):
        open_(path, range(1800, 2015))
    del past["c4per"]
    write_states(path / "v2h/states.nc", past, first=999)
    with pytest.raises(InputError, match=r"states\.nc: has no variable c4per"):
        open_(path, range(1850, 2015))
    (path / "staticData_quarterdeg.nc").unlink()
    with pytest.raises(InputError, match=r"found no LUH2 static file \(staticData_quarterdeg\.nc"):
        open_(path, range(1850, 2015))
    (path / "v2h/states.nc").unlink()
    with pytest.raises(InputError, match=r"found no LUH2 v2h file \(states\.nc\)"):
        open_(path, range(1850, 2015))


@pytest.mark.parametrize(
    ("years", "message"),
    [
        ([0, 1, 3], "years 853 are|years 852 are missing"),
        ([0, 1, 1], "years 851 occur more than once"),
        ([0, 2, 1], "not in order at 851"),
    ],
)
def test_broken_time_axes_are_refused(tmp_path, years, message):
    write_states(tmp_path / "states.nc", states(3), years=years)
    write_static(tmp_path / "staticData_quarterdeg.nc")
    with pytest.raises(InputError, match=message):
        open_(tmp_path, range(850, 852))


def test_states_name_the_classes_they_become(tmp_path):
    write_states(tmp_path / "states.nc", states(2, 1))
    write_static(tmp_path / "staticData_quarterdeg.nc")
    groups = {v.name: v.classes for v in open_(tmp_path, range(850, 852)).variables}
    crops = dict.fromkeys(("c3ann", "c3per", "c4ann", "c4per", "c3nfx"), (22,))
    assert groups == {
        "primf": (44,),
        "secdf": (44,),
        "primn": (55, 66),
        "secdn": (55, 66),
        "pastr": (33,),
        "range": (33,),
        "urban": (11,),
        **crops,
    }


def test_a_year_is_read_without_the_rest(tmp_path, monkeypatch):
    """Count the bytes that one box of one year asks of the HDF5 file: far below a single variable."""
    grid = Grid(40, 20, 0.25, 40, 40)
    water = np.zeros(grid.shape, np.float32)
    fields = states(300, water=water)
    write_states(tmp_path / "states.nc", fields, grid=grid)
    write_static(tmp_path / "staticData_quarterdeg.nc", water, grid)
    source = open_(tmp_path, range(850, 1150))
    read = []
    original = h5py.Dataset.__getitem__

    def counting(self, key, **options):
        values = original(self, key, **options)
        read.append((self.name, np.asarray(values).nbytes))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    source.read(1000, Box(3, 3, 5, 5))
    assert sum(n for name, n in read if name[1:] in TWELVE) == 12 * 25 * 4


V2H_ESGF = "multiple-states_input4MIPs_landState_{}_gn_0850-2015.nc"
V2F = "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-{}_gn_{}.nc"
LUH3_HISTORY = "multiple-states_input4MIPs_landState_CMIP_UofMD-landState-3-1-1_gn_0850-2024.nc"
LUH3_STATIC = "multiple-static_input4MIPs_landState_CMIP_UofMD-landState-3-1-1_gn.nc"
THIRTEEN = (*TWELVE, "pltns")


def luh3_scenario(name, first, last=2100, version="3-1-1"):
    return V2F.format(f"landState-{name}-{version}", f"{first}-{last}")


def write_luh3(path, name, fields, first):
    """States as LUH3 has them: days of years of 365 days, which LUH3 counts from 850."""
    n_years = len(fields["primf"])
    days = (np.arange(first, first + n_years) - 850) * 365.0
    return write_states(path / name, fields, units="days since {}-1-1", years=days)


@pytest.fixture
def luh3(tmp_path):
    """History of 2000-2024 and two scenarios, which begin in 2022 and 2023."""
    fields = {
        "history": states(25, 1, THIRTEEN),
        "vl": states(79, 2, THIRTEEN),
        "hl": states(78, 3, THIRTEEN),
    }
    write_luh3(tmp_path, LUH3_HISTORY, fields["history"], 2000)
    write_luh3(tmp_path, luh3_scenario("vl", 2022), fields["vl"], 2022)
    write_luh3(tmp_path, luh3_scenario("hl", 2023, version="3-1"), fields["hl"], 2023)
    write_static(tmp_path / LUH3_STATIC)
    return tmp_path, fields


def thirteen(fields, index):
    return np.stack([np.where(fields[n][index] > 1, 0, fields[n][index]) for n in THIRTEEN])


@pytest.mark.parametrize(("scenario", "begins"), [("vl", 2022), ("hl", 2023)])
def test_luh3_joins_where_its_scenario_begins(luh3, scenario, begins):
    path, fields = luh3
    source = open_(path, range(2000, 2101), scenario=scenario)
    for year in (2000, begins - 1):
        np.testing.assert_allclose(
            source.read(year, EVERYTHING), thirteen(fields["history"], year - 2000), atol=1e-6
        )
    for year in (begins, 2024, 2100):
        np.testing.assert_allclose(
            source.read(year, EVERYTHING), thirteen(fields[scenario], year - begins), atol=1e-6
        )
    assert f"LUH3 history up to {begins - 1}, LUH3 {scenario} from {begins}" in source.rules
    assert source.about.title.startswith("LUH3")
    assert source.held == {}


def test_a_past_run_reads_the_history_alone(luh3):
    path, fields = luh3
    source = open_(path, range(2010, 2023), scenario="vl")
    np.testing.assert_allclose(
        source.read(2022, EVERYTHING), thirteen(fields["history"], 22), atol=1e-6
    )
    assert f"all years from LUH3 history ({LUH3_HISTORY})" in source.rules
    past = open_(path, range(2010, 2025), scenario="historical")
    np.testing.assert_allclose(
        past.read(2024, EVERYTHING), thirteen(fields["history"], 24), atol=1e-6
    )
    with pytest.raises(
        InputError, match=r"of scenario 'historical'.*scenarios there: \['hl', 'vl'\]"
    ):
        open_(path, range(2010, 2026), scenario="historical")


def test_the_scenario_chooses_luh2_or_luh3(luh3, world):
    path, fields = luh3
    _, past, future = world
    three = open_(path, range(2010, 2031), scenario="vl")
    assert all("landState-3" in file or "landState-vl-3" in file for file in three.files[1:])
    two = open_(path, range(2010, 2031), scenario="ssp245")
    np.testing.assert_allclose(two.read(2020, EVERYTHING), dry(future, 5), atol=1e-6)
    np.testing.assert_allclose(two.read(2010, EVERYTHING), dry(past, 161), atol=1e-6)
    assert {variable.name for variable in three.variables} - {
        variable.name for variable in two.variables
    } == {"pltns"}
    with pytest.raises(InputError, match="found 2 files that are LUH2 v2h file"):
        open_(path, range(2005, 2012), scenario="historical")
    assert fields


@pytest.mark.parametrize("lacking", [LUH3_HISTORY, LUH3_STATIC])
def test_luh2_is_not_put_beside_luh3(luh3, lacking):
    path, fields = luh3
    (path / lacking).unlink()
    if lacking == LUH3_HISTORY:
        write_states(path / "states.nc", states(1166, 5))
        message = "states.nc is of LUH2, expected LUH3"
    else:
        write_static(path / "multiple-static_input4MIPs_landState_CMIP_UofMD-landState-2-1-h_gn.nc")
        message = "the static file .* is of LUH2, expected LUH3"
    with pytest.raises(InputError, match=message):
        open_(path, range(2010, 2031), scenario="vl")
    assert fields


def test_luh3_history_is_not_put_before_luh2_scenarios(luh3):
    path, _ = luh3
    write_states(path / FUTURE, states(86, 2), epoch=2015)
    with pytest.raises(
        InputError, match=r"the history .*3-1-1_gn_0850-2024\.nc is of LUH3, expected LUH2"
    ):
        open_(path, range(2010, 2031), scenario="ssp245")


def test_the_plain_static_file_may_close_luh3(luh3):
    """It is one of both versions; what does not belong together does not sum to 1 - icwtr."""
    path, _ = luh3
    (path / LUH3_STATIC).rename(path / "staticData_quarterdeg.nc")
    source = open_(path, range(2010, 2031), scenario="vl")
    assert "icwtr of LUH3's states is from staticData_quarterdeg.nc" in source.rules
    assert source.read(2020, EVERYTHING).shape == (13, 3, 4)


def test_luh3_reads_the_historys_static_file(luh3):
    path, _ = luh3
    for scenario in ("vl", "hl"):
        other = f"multiple-static_input4MIPs_landState_ScenarioMIP_UofMD-landState-{scenario}-3-1-1_gn.nc"
        write_static(path / other, np.zeros_like(WATER))
    assert open_(path, range(2010, 2031), scenario="vl").files[-1].endswith(LUH3_STATIC)
    (path / LUH3_STATIC).unlink()
    assert "landState-vl-3" in open_(path, range(2010, 2031), scenario="vl").files[-1]


def test_a_gap_before_the_scenario_is_held(luh3):
    path, fields = luh3
    write_luh3(
        path, LUH3_HISTORY, {name: values[:20] for name, values in fields["history"].items()}, 2000
    )
    with pytest.raises(
        InputError, match=r"years 2020-2021 of the run are not there, .*set max_held_years = 2"
    ):
        open_(path, range(2010, 2031), scenario="vl")
    with pytest.raises(InputError, match="years 2020-2021 of the run are not there"):
        open_(path, range(2010, 2031), scenario="vl", max_held_years=1)
    source = open_(path, range(2010, 2031), scenario="vl", max_held_years=2)
    np.testing.assert_array_equal(source.read(2021, EVERYTHING), source.read(2019, EVERYTHING))
    assert source.held == {2020: 2019, 2021: 2019}
    assert "years 2020-2021 (2) hold 2019" in source.rules
    assert "LUH3 history up to 2019, LUH3 vl from 2022" in source.rules


def test_years_at_ends_and_within_are_held(tmp_path):
    past = states(4)
    write_states(tmp_path / "states.nc", past, years=[10, 11, 13, 14])
    write_static(tmp_path / "staticData_quarterdeg.nc")
    source = open_(tmp_path, range(858, 867), max_held_years=5)
    held = "years 858-859 (2) hold 860", "years 862 (1) hold 861", "years 865-866 (2) hold 864"
    assert set(held) <= set(source.rules)
    np.testing.assert_allclose(source.read(858, EVERYTHING), dry(past, 0), atol=1e-6)
    np.testing.assert_allclose(source.read(862, EVERYTHING), dry(past, 1), atol=1e-6)
    np.testing.assert_allclose(source.read(866, EVERYTHING), dry(past, 3), atol=1e-6)
    with pytest.raises(InputError, match="years 858-859, 862, 865-866"):
        open_(tmp_path, range(858, 867), max_held_years=4)


@pytest.mark.parametrize(
    "name",
    [
        "CMIP_UofMD-landState-2-1-h",
        "ScenarioMIP_UofMD-landState-base-2-1-h",
        "ScenarioMIP_UofMD-landState-high-2-1-h",
    ],
)
def test_v2h_is_found_under_its_esgf_names(world, name):
    path, past, future = world
    (path / "v2h/states.nc").rename(path / V2H_ESGF.format(name))
    source = open_(path, range(1850, 2031))
    np.testing.assert_allclose(source.read(2014, EVERYTHING), dry(past, 165), atol=1e-6)
    np.testing.assert_allclose(source.read(2015, EVERYTHING), dry(future, 0), atol=1e-6)
    assert "v2h up to 2014, v2f ssp245 from 2015" in source.rules


def test_two_histories_are_refused(world):
    path, past, _ = world
    write_states(path / V2H_ESGF.format("CMIP_UofMD-landState-2-1-h"), past, first=999)
    with pytest.raises(InputError, match="found 2 files that are LUH2 v2h file"):
        open_(path, range(1850, 2000))


@pytest.mark.parametrize("model", ["MESSAGE-ssp245", "landState-MESSAGE-ssp245"])
def test_an_extension_follows_its_scenario(world, model):
    path, _, future = world
    later = states(201, 9)
    (path / "v2f" / FUTURE).rename(path / "v2f" / V2F.format(f"{model}-2-1-f", "2015-2100"))
    write_states(path / "v2f" / V2F.format(f"{model}-2-1-e", "2100-2300"), later, epoch=2100)
    source = open_(path, range(2010, 2301))
    np.testing.assert_allclose(source.read(2100, EVERYTHING), dry(future, 85), atol=1e-6)
    np.testing.assert_allclose(source.read(2101, EVERYTHING), dry(later, 1), atol=1e-6)
    np.testing.assert_allclose(source.read(2300, EVERYTHING), dry(later, 200), atol=1e-6)
    assert "v2h up to 2014, v2f ssp245 from 2015, its extension from 2101" in source.rules
    assert len(open_(path, range(2010, 2101)).files) == 3


def test_two_files_of_a_scenario_are_refused(world):
    path, _, future = world
    write_states(path / "v2f" / V2F.format("AIM-ssp245-2-1-f", "2015-2100"), future, epoch=2015)
    with pytest.raises(
        InputError, match="found 2 files that are LUH states of scenario 'ssp245' in the same years"
    ):
        open_(path, range(2010, 2031))


def test_a_static_file_may_cover_more(tmp_path):
    larger = Grid(40.5, 19.25, 0.25, 8, 9)
    water = np.ones(larger.shape, np.float32)
    water[2:5, 3:7] = WATER
    past = states(1)
    write_states(tmp_path / "states.nc", past)
    write_static(tmp_path / "staticData_quarterdeg.nc", water, larger, turn="south")
    source = open_(tmp_path, range(850, 851))
    np.testing.assert_allclose(source.read(850, EVERYTHING), dry(past, 0), atol=1e-6)
    np.testing.assert_allclose(
        source.read(850, Box(1, 1, 2, 3)), dry(past, 0)[:, 1:, 1:], atol=1e-6
    )


def test_real_states_are_read_in_place(realdata, tmp_path):
    """The crops are one remainder in the file at hand: it is given to one of the five."""
    with h5py.File(realdata / "luh2_states_2015/luh2_2015_europe_mediterranean.nc") as given:
        stored = {name: given[name][...] for name in (*TWELVE, "crops_remainder") if name in given}
        clock = {name: given["time"].attrs[name].decode() for name in ("units", "calendar")}
        time, lat, lon = (given[name][...] for name in ("time", "lat", "lon"))
    fields = {
        name: stored.get(name, np.where(stored["primf"] > 1, 1e20, 0).astype(np.float32))
        for name in TWELVE
    }
    fields["c3ann"] = stored["crops_remainder"]
    write_nc(
        tmp_path / "states.nc",
        {
            "lat": (("lat",), lat, {"units": "degrees_north"}),
            "lon": (("lon",), lon, {"units": "degrees_east"}),
            "time": (("time",), time, clock),
            **{
                name: (("time", "lat", "lon"), values, {"missing_value": np.float32(1e20)})
                for name, values in fields.items()
            },
        },
    )
    (tmp_path / "staticData_quarterdeg.nc").symlink_to(
        realdata / "luh2_static_v2h/staticData_quarterdeg.nc"
    )

    source = open_(tmp_path, range(2015, 2016), scenario="historical")
    got = source.read(2015, Box(0, 0, *source.grid.shape))
    assert source.grid == Grid(74, -25, 0.25, 168, 296)

    land = stored["primf"][0] < 1
    with h5py.File(realdata / "luh2_static_v2h/staticData_quarterdeg.nc") as static:
        water = static["icwtr"][...][(90 - 74) * 4 :, (180 - 25) * 4 :][:168, :296]
    expected = np.stack([fields[name][0] for name in TWELVE]).clip(0, 1)
    np.testing.assert_allclose(got[:, land], expected[:, land], atol=3e-6)
    np.testing.assert_allclose(got.sum(axis=0)[land], 1 - water[land], atol=1e-6)
    assert (got[:, ~land & (water == 1)] == 0).all()


def test_states_are_shares_of_the_classes_of_hilda_alone():
    """11 is urban land in HILDA+, and a crop in ESA CCI-LC: equal codes mean nothing."""
    config = Luh2Config(kind="luh2", path="p")
    assert config.declared_for(HILDA) == config.declared
    shares = {variable.classes for variable in config.declared}
    assert (11,) in shares
    variables = config.declared_for(read_legend("esa_cci_lc"))
    assert [variable.name for variable in variables] == [v.name for v in config.declared]
    assert {variable.classes for variable in variables} == {()}
