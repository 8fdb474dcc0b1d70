"""LUH2 states: joined, closed with icwtr, or refused."""

import pickle

import numpy as np
import pytest

from luray.grid import Grid
from luray.sources import InputError
from luray.sources.luh2 import STATES, Luh2Config, open_luh2
from luray.windows import Box
from tests.sources.writers import axes, write_nc

GRID = Grid(40, 20, 0.25, 3, 4)
TWELVE = tuple(STATES)[:12]
FUTURE = "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-MESSAGE-ssp245-2-1-f_gn_2015-2100.nc"
WATER = np.zeros(GRID.shape, np.float32)
WATER[0, 0], WATER[1, 1] = 1, 0.5
EVERYTHING = Box(0, 0, 3, 4)


def states(n_years, seed=0, names=TWELVE, water=WATER):
    """Random states (time, lat, lon) that close with the water; fill where there is no land."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(len(names)), (n_years, *water.shape)) * (1 - water)[..., None]
    shares[:, water == 1] = 1e20
    return {name: shares[..., i].astype(np.float32) for i, name in enumerate(names)}


def write_states(path, fields, *, epoch=850, first=0, units="years since {}-01-01 0:0:0", grid=GRID, turn=None,
                 years=None, misspelt="_fillValue"):
    n = len(next(iter(fields.values())))
    time = np.arange(first, first + n, dtype=np.float64) if years is None else np.array(years, float)
    lat_first = axes(grid, ascending=turn == "south")
    if turn == "east":
        lat_first["lon"] = (("lon",), np.sort(grid.lon % 360), {"units": "degrees_east"})
    variables = {**lat_first, "time": (("time",), time, {"units": units.format(epoch), "calendar": "noleap"})}
    for name, values in fields.items():
        values = values[:, ::-1] if turn == "south" else values
        values = np.roll(values, values.shape[2] // 2, axis=2) if turn == "east" else values
        variables[name] = (("time", "lat", "lon"), values,
                           {"missing_value": np.float32(1e20), misspelt: np.float32(1e20), "units": "1"})
    for name in ("secma", "secmb"):
        variables[name] = (("time", "lat", "lon"), np.full((n, *grid.shape), 77, np.float32), {"units": "years"})
    return write_nc(path, variables)


def write_static(path, water=WATER, grid=GRID, turn=None):
    lat_lon = axes(grid, ascending=turn == "south")
    water = water[::-1] if turn == "south" else water
    return write_nc(path, {**lat_lon, "icwtr": (("lat", "lon"), water, {"missing_value": np.float32(1e20)}),
                           "carea": (("lat", "lon"), np.full(grid.shape, 600, np.float32), {"units": "km2"})})


@pytest.fixture
def world(tmp_path):
    """v2h of 1849-2015 and v2f of 2015-2100, which differ in 2015."""
    past, future = states(167, 1), states(86, 2)
    write_states(tmp_path / "v2h/states.nc", past, first=999)
    write_states(tmp_path / "v2f" / FUTURE, future, epoch=2015, misspelt="_Fillvalue")
    write_static(tmp_path / "staticData_quarterdeg.nc")
    return tmp_path, past, future


def open_(path, years, scenario="ssp245", **options):
    return open_luh2(Luh2Config(kind="luh2", path=str(path), **options), run_years=years, scenario=scenario)


def dry(fields, index):
    return np.stack([np.where(fields[n][index] > 1, 0, fields[n][index]) for n in TWELVE])


def test_history_and_scenario_are_joined_at_2015(world):
    path, past, future = world
    source = pickle.loads(pickle.dumps(open_(path, range(1850, 2101))))
    assert source.years == tuple(range(1850, 2101))
    assert tuple(v.name for v in source.variables) == TWELVE
    kinds = {(v.role, v.units, v.resampling, v.dtype) for v in source.variables}
    assert kinds == {("forcing", "1", "nearest", "float32")}
    assert source.grid == GRID
    for year, fields, index in ((1850, past, 1), (2014, past, 165), (2015, future, 0), (2100, future, 85)):
        got = source.read(year, EVERYTHING)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, dry(fields, index), atol=1e-6)
    np.testing.assert_array_equal(source.read(1900, Box(1, 2, 2, 1)), source.read(1900, EVERYTHING)[:, 1:3, 2:3])
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
    np.testing.assert_allclose(source.read(850, Box(0, 700, 4, 60))[3], past["secdn"][0, :, 700:760], atol=1e-6)
    np.testing.assert_allclose(source.read(850, Box(1, 0, 1, 1440))[0], past["primf"][0, 1:2], atol=1e-6)


def test_pltns_of_luh3_is_read_when_the_file_has_it(tmp_path):
    past = states(2, names=(*TWELVE, "pltns"))
    write_states(tmp_path / "multiple-states_input4MIPs_landState_CMIP_UofMD-landState-3-0_gn_0850-0851.nc", past,
                 units="days since {}-01-01 0:0:0", years=[0, 365])
    write_static(tmp_path / "multiple-static_input4MIPs_landState_CMIP_UofMD-landState-3-0_gn.nc")
    source = open_(tmp_path, range(850, 852))
    assert [v.name for v in source.variables] == [*TWELVE, "pltns"]
    np.testing.assert_allclose(source.read(851, EVERYTHING).sum(axis=0), 1 - WATER, atol=1e-6)
    assert "LUH3's pltns read as a state" in source.rules


@pytest.mark.parametrize(("model", "scenario"), [
    ("IMAGE", "ssp119"), ("IMAGE", "ssp126"), ("MESSAGE", "ssp245"), ("AIM", "ssp370"), ("GCAM", "ssp434"),
    ("GCAM", "ssp460"), ("MAGPIE", "ssp534"), ("MAGPIE", "ssp585")])
def test_every_scenario_is_found_under_its_models_name(world, model, scenario):
    path, _, _ = world
    other = states(86, 7)
    write_states(path / "v2f" / FUTURE.replace("MESSAGE-ssp245", f"{model}-{scenario}"), other, epoch=2015)
    source = open_(path, range(2010, 2031), scenario=scenario)
    if scenario != "ssp245":
        np.testing.assert_allclose(source.read(2030, EVERYTHING), dry(other, 15), atol=1e-6)
    assert f"v2h up to 2014, v2f {scenario} from 2015" in source.rules


def test_files_are_known_by_their_published_names_wherever_they_are(world):
    """As a catalog gives them: references whose own places say nothing."""
    path, _, future = world
    places = {"states.nc": path / "v2h/states.nc", FUTURE: path / "b.nc",
              "staticData_quarterdeg.nc": path / "staticData_quarterdeg.nc"}
    (path / "v2f" / FUTURE).rename(path / "b.nc")
    config = Luh2Config.model_validate({"kind": "luh2", "collection": "luh2", "assets": [
        {"name": name, "href": str(place)} for name, place in places.items()]})
    source = open_luh2(config, run_years=range(2010, 2031), scenario="ssp245")
    np.testing.assert_allclose(source.read(2020, EVERYTHING), dry(future, 5), atol=1e-6)
    assert "v2h up to 2014, v2f ssp245 from 2015" in source.rules


def test_a_turned_static_file_is_read_in_place_and_said(tmp_path):
    past = states(2)
    write_states(tmp_path / "states.nc", past)
    write_static(tmp_path / "staticData_quarterdeg.nc", turn="south")
    source = open_(tmp_path, range(850, 852))
    np.testing.assert_allclose(source.read(850, EVERYTHING), dry(past, 0), atol=1e-6)
    assert "rows stored south first, read north first" in source.rules
    assert {s.turned for s in source.stored} == {("rows stored south first, read north first",)}


def test_what_is_in_the_file_is_told(world):
    path, _, _ = world
    source = open_(path, range(2010, 2020))
    assert [s.name for s in source.stored] == [v.name for v in source.variables]
    first = source.stored[0]
    assert (first.dtype, first.units, first.fills, first.turned) == ("float32", "1", (np.float32(1e20),), ())
    assert first.orientation == "north first, longitudes -180..180"
    assert Luh2Config(kind="luh2", path="x").declared == source.variables


@pytest.mark.parametrize("scale", [100, 0.01])
def test_states_in_per_cent_are_refused(tmp_path, scale):
    fields = {name: np.where(values < 1e19, values * scale, values).astype(np.float32)
              for name, values in states(1).items()}
    write_states(tmp_path / "states.nc", fields)
    write_static(tmp_path / "staticData_quarterdeg.nc")
    with pytest.raises(InputError, match=r"states\.nc, year 850.* (are no fractions|have states that do not sum)"):
        open_(tmp_path, range(850, 851)).read(850, EVERYTHING)


def test_states_upside_down_under_right_coordinates_are_refused_by_the_water(tmp_path):
    """Nothing in the file says so, but what is upside down does not close with icwtr: never a turned map."""
    write_states(tmp_path / "states.nc", {name: values[:, ::-1] for name, values in states(1).items()})
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
    assert "states scaled to sum to 1 - icwtr where they miss it by at most 0.001; refused beyond" in source.rules


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
    write_nc(tmp_path / "states.nc", {
        **axes(GRID), "time": (("time",), np.zeros(1), {"units": "years since 850-01-01 0:0:0"}),
        **{name: (("time", "lat", "lon"), values, {}) for name, values in fields.items()}})
    write_static(tmp_path / "staticData_quarterdeg.nc")
    np.testing.assert_allclose(open_(tmp_path, range(850, 851)).read(850, EVERYTHING), dry(fields, 0), atol=1e-6)


def test_a_large_error_of_closure_is_refused_with_file_year_and_worst_cell(tmp_path):
    def change(fields):
        fields["urban"][1, 1, 2] += 0.01
        fields["urban"][1, 2, 3] -= fields["urban"][1, 2, 3] + 0

    source, _ = one_year(tmp_path, change, closure_tolerance=0.005)
    source.read(850, EVERYTHING)
    source.read(851, Box(0, 0, 3, 2))
    with pytest.raises(InputError, match=r"states\.nc, year 851: \d cells have states that do not sum to 1 - icwtr.*"
                                         r"worst -0\.\d+ at latitude 39\.3750, longitude 20\.8750"):
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


@pytest.mark.parametrize(("value", "shown"), [(-0.2, "-0.2"), (1.5, "1.5"), (np.nan, "nan"), (np.inf, "inf")])
def test_values_that_are_no_fractions_are_refused(tmp_path, value, shown):
    def change(fields):
        fields["range"][1, 2, 0] = value

    source, _ = one_year(tmp_path, change)
    with pytest.raises(InputError, match=rf"states\.nc, year 851, range: 1 cells are no fractions, worst {shown} at "
                                          "latitude "
                                         r"39\.3750, longitude 20\.1250; expected fractions"):
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
    with pytest.raises(InputError, match=r"staticData_quarterdeg\.nc: grid of .* differs from that of .*states\.nc"):
        open_(tmp_path, range(850, 851))


def test_lacking_files_years_scenarios_and_states_are_named(world):
    path, past, _ = world
    with pytest.raises(InputError, match=r"v2f file of scenario 'ssp119'.*scenarios there: \['ssp245'\]"):
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


@pytest.mark.parametrize(("years", "found"), [([0, 1, 3], "years 853 are|years 852 are missing"),
                                              ([0, 1, 1], "years 851 occur more than once"),
                                              ([0, 2, 1], "not in order at 851")])
def test_broken_time_axes_are_refused(tmp_path, years, found):
    write_states(tmp_path / "states.nc", states(3), years=years)
    write_static(tmp_path / "staticData_quarterdeg.nc")
    with pytest.raises(InputError, match=found):
        open_(tmp_path, range(850, 852))


def test_states_say_which_classes_they_are_the_share_of(tmp_path):
    write_states(tmp_path / "states.nc", states(2, 1))
    write_static(tmp_path / "staticData_quarterdeg.nc")
    groups = {v.name: v.classes for v in open_(tmp_path, range(850, 852)).variables}
    crops = dict.fromkeys(("c3ann", "c3per", "c4ann", "c4per", "c3nfx"), (22,))
    assert groups == {"primf": (44,), "secdf": (44,), "primn": (55, 66), "secdn": (55, 66), "pastr": (33,),
                      "range": (33,), "urban": (11,), **crops}



def test_a_year_of_a_long_file_is_read_without_the_rest(tmp_path, monkeypatch):
    """Count the bytes that one box of one year asks of the HDF5 file: far below a single variable."""
    grid = Grid(40, 20, 0.25, 40, 40)
    water = np.zeros(grid.shape, np.float32)
    fields = states(300, water=water)
    write_states(tmp_path / "states.nc", fields, grid=grid)
    write_static(tmp_path / "staticData_quarterdeg.nc", water, grid)
    source = open_(tmp_path, range(850, 1150))
    import h5py

    read = []
    original = h5py.Dataset.__getitem__

    def counting(self, key, **options):
        values = original(self, key, **options)
        read.append((self.name, np.asarray(values).nbytes))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    source.read(1000, Box(3, 3, 5, 5))
    assert sum(n for name, n in read if name[1:] in TWELVE) == 12 * 25 * 4
