"""ISIMIP population of both rounds: counts to density, held years, scenarios."""

import pickle

import h5py
import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.isimip import IsimipConfig, open_isimip
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(61, 10, 0.5, 4, 4)
EVERYTHING = Box(0, 0, 4, 4)
HIST_2B = "population_histsoc_0p5deg_annual_1861-2005.nc4"
SSP_2B = "population_ssp{}soc_0p5deg_annual_2006-2100.nc4"
FILES_3B = {
    "population_histsoc_30arcmin_annual_1850_1900.nc": range(1850, 1901),
    "population_histsoc_30arcmin_annual_1901_2014.nc": range(1901, 2015),
    "population_ssp2_30arcmin_annual_2015_2100.nc": range(2015, 2101),
}


def counts(year, ssp=0):
    values = np.random.default_rng([year, ssp]).uniform(0, 1e6, GRID.shape).astype(np.float32)
    values[0, 0] = 1e20
    return values


def write(
    path,
    years,
    variable="number_of_people",
    *,
    ssp=0,
    epoch=1860,
    grid=GRID,
    count_units="1",
    change=None,
):
    maps = np.stack([counts(y, ssp) for y in years])
    if change is not None:
        change(maps)
    time = np.array([y - epoch for y in years], float)
    clock = {"units": f"years since {epoch}-1-1 12:00:00", "calendar": "proleptic_gregorian"}
    attrs = {"units": count_units, "_FillValue": np.float32(1e20)}
    return write_nc(
        path,
        {
            **axes(grid),
            "time": (("time",), time, clock),
            variable: (("time", "lat", "lon"), maps, attrs),
        },
    )


def open_(path, years, scenario="ssp245", **options):
    return open_isimip(
        IsimipConfig(kind="isimip", path=str(path), **options), run_years=years, scenario=scenario
    )


def density(year, ssp=0):
    values = counts(year, ssp).astype(float)
    values[0, 0] = 0
    return values / (GRID.cell_area[:, None] / 1e6)


@pytest.fixture
def round_2b(tmp_path):
    write(tmp_path / HIST_2B, range(1861, 2006))
    for ssp in (2, 5):
        write(tmp_path / SSP_2B.format(ssp), range(2006, 2101), ssp=ssp)
    return tmp_path


def test_counts_become_density(round_2b):
    source = pickle.loads(pickle.dumps(open_(round_2b, range(1850, 2101))))
    assert source.years == tuple(range(1850, 2101))
    [variable] = source.variables
    assert (variable.units, variable.transform, variable.resampling, variable.scale) == (
        "km-2",
        "log1p",
        "bilinear",
        5,
    )
    for year, held, ssp in (
        (1850, 1861, 0),
        (1860, 1861, 0),
        (1861, 1861, 0),
        (2005, 2005, 0),
        (2006, 2006, 2),
        (2100, 2100, 2),
    ):
        got = source.read(year, EVERYTHING)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got[0], density(held, ssp), rtol=1e-5)
    np.testing.assert_array_equal(
        source.read(1900, Box(2, 1, 2, 3)), source.read(1900, EVERYTHING)[:, 2:4, 1:4]
    )
    assert "years 1850-1860 (11) hold 1861" in source.rules
    assert "round 2b: counts divided by the cell's area in km2" in source.rules
    assert len(source.files) == 2


def test_the_config_overrides_the_scenarios_ssp(round_2b):
    other = open_(round_2b, range(2000, 2011), "ssp585")
    np.testing.assert_allclose(other.read(2010, EVERYTHING)[0], density(2010, 5), rtol=1e-5)
    forced = open_(round_2b, range(2000, 2011), "ssp126", ssp=2)
    np.testing.assert_allclose(forced.read(2010, EVERYTHING)[0], density(2010, 2), rtol=1e-5)
    assert "population of SSP 2 used for scenario ssp126" in forced.rules
    assert not any("used for scenario" in rule for rule in other.rules)


def test_early_years_hold_the_first_file(round_2b):
    source = open_(round_2b, range(1850, 1856), "historical")
    np.testing.assert_allclose(source.read(1855, EVERYTHING)[0], density(1861), rtol=1e-5)


def test_round_3b_in_three_files_with_days(tmp_path):
    for name, years in FILES_3B.items():
        days = np.array(
            [
                (np.datetime64(f"{y}-01-01") - np.datetime64("1601-01-01")).astype(int)
                for y in years
            ],
            float,
        )
        write_nc(
            tmp_path / name,
            {
                **axes(GRID),
                "time": (
                    ("time",),
                    days,
                    {"units": "days since 1601-1-1 00:00:00", "calendar": "standard"},
                ),
                "total-population": (
                    ("time", "lat", "lon"),
                    np.stack([counts(y) for y in years]),
                    {"units": "1", "_FillValue": np.float32(1e20)},
                ),
            },
        )
    source = open_(tmp_path, range(1850, 2101))
    for year in (1850, 1900, 1901, 2014, 2015, 2100):
        np.testing.assert_allclose(source.read(year, EVERYTHING)[0], density(year), rtol=1e-5)
    assert not any("hold" in rule for rule in source.rules)
    with pytest.raises(
        InputError,
        match=r"has no population for years 2015-2100 with SSP 1 \(SSPs there: \['2'\]\)",
    ):
        open_(tmp_path, range(1850, 2101), "ssp126")


def test_both_rounds_or_none_are_refused(round_2b, tmp_path_factory):
    write(
        round_2b / "population_histsoc_30arcmin_annual_1850_1900.nc",
        range(1850, 1901),
        "total-population",
        epoch=0,
    )
    with pytest.raises(InputError, match="found files of rounds 2b and 3b, expected one of them"):
        open_(round_2b, range(1861, 1900))
    other = tmp_path_factory.mktemp("other")
    (other / "x.nc").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"found files of neither round.*population_histsoc_0p5deg"
    ):
        open_(other, range(1861, 1900))


def test_a_missing_stretch_is_named(round_2b):
    (round_2b / SSP_2B.format(2)).unlink()
    with pytest.raises(
        InputError, match=r"no population for years 2006-2010 with SSP 2 \(SSPs there: \['5'\]\)"
    ):
        open_(round_2b, range(1990, 2011))
    (round_2b / HIST_2B).unlink()
    write(round_2b / HIST_2B, [1861, 1862, 1864])
    with pytest.raises(InputError, match="years 1863 are missing between 1861 and 1864"):
        open_(round_2b, range(1861, 1865))


def test_years_in_two_files_are_refused(tmp_path):
    write(
        tmp_path / "population_histsoc_30arcmin_annual_1850_1900.nc",
        range(1850, 1901),
        "total-population",
    )
    write(
        tmp_path / "population_histsoc_30arcmin_annual_1901_2014.nc",
        range(1899, 2015),
        "total-population",
    )
    with pytest.raises(InputError, match=r"years 1899-1900 are also in .*1850_1900\.nc"):
        open_(tmp_path, range(1850, 2015))


@pytest.mark.parametrize("units", ["km-2", "people/km2", "persons m^-2", "1 / km2", "1e3"])
def test_densities_and_bare_numbers_are_refused(tmp_path, units):
    write(tmp_path / HIST_2B, range(1861, 1864), count_units=units)
    with pytest.raises(InputError, match="expected a count of people per cell"):
        open_(tmp_path, range(1861, 1864))


@pytest.mark.parametrize("units", ["1000 people", "thousands"])
def test_thousands_are_counted(tmp_path, units):
    write(tmp_path / HIST_2B, range(1861, 1864))
    plain = open_(tmp_path, range(1861, 1864)).read(1861, EVERYTHING)
    write(tmp_path / HIST_2B, range(1861, 1864), count_units=units)
    source = open_(tmp_path, range(1861, 1864))
    np.testing.assert_allclose(source.read(1861, EVERYTHING), plain * 1000, rtol=1e-6)
    assert f"{units} turned into person: times 1000" in source.rules


@pytest.mark.parametrize(
    ("value", "shown"), [(-5.0, "-5"), (np.inf, "inf"), (9.96921e36, r"9\.96921e\+36")]
)
def test_values_beyond_counts_are_refused(tmp_path, value, shown):
    def change(maps):
        maps[1, 2, 3] = value

    write(tmp_path / HIST_2B, range(1861, 1864), change=change)
    source = open_(tmp_path, range(1861, 1864))
    source.read(1861, EVERYTHING)
    with pytest.raises(
        InputError,
        match=rf"year 1862: 1 cells are no counts of people, worst {shown} at latitude "
        r"59\.7500, longitude 11\.7500",
    ):
        source.read(1862, EVERYTHING)


def test_a_gap_at_sea_is_nobody(tmp_path):
    def change(maps):
        maps[0, 1, 1] = np.nan

    write(tmp_path / HIST_2B, [1861], change=change)
    source = open_(tmp_path, range(1861, 1862))
    assert source.read(1861, EVERYTHING)[0, 1, 1] == 0
    assert "missing (sea) read as 0 persons" in source.rules


@pytest.mark.parametrize(
    ("years", "message"),
    [
        ([1861, 1862, 1862], "years 1862 occur more than once"),
        ([1861, 1863, 1862], "not in order at 1862"),
    ],
)
def test_broken_time_axes_are_refused(tmp_path, years, message):
    write(tmp_path / HIST_2B, years)
    with pytest.raises(InputError, match=rf"{HIST_2B}: .*{message}"):
        open_(tmp_path, range(1861, 1864))


def test_a_turned_file_is_read_north_first(tmp_path):
    """South first, 0..360 and big-endian with the fill attribute misspelt: the people stay where
    they are.
    """
    grid = Grid(61, -180, 0.5, 4, 720)
    people = np.arange(4 * 720, dtype=">f4").reshape(4, 720)
    people[0, 0] = 1e20
    lon = {"lon": (("lon",), np.sort(grid.lon % 360), {"units": "degrees_east"})}
    turned = np.roll(people, 360, axis=1)[None, ::-1]
    write_nc(
        tmp_path / HIST_2B,
        {
            **axes(grid, ascending=True),
            **lon,
            "time": (("time",), np.array([1.0]), {"units": "years since 1860-1-1"}),
            "number_of_people": (("time", "lat", "lon"), turned, {"_fillvalue": np.float32(1e20)}),
        },
    )
    source = open_(tmp_path, range(1861, 1862))
    people[0, 0] = 0
    expected = people / (grid.cell_area[:, None] / 1e6)
    np.testing.assert_allclose(source.read(1861, Box(0, 0, 4, 720))[0], expected, rtol=1e-5)
    np.testing.assert_allclose(
        source.read(1861, Box(1, 300, 2, 200))[0], expected[1:3, 300:500], rtol=1e-5
    )
    [stored] = source.encodings
    assert (stored.orientation, stored.fills) == (
        "south first, longitudes 0..360",
        (np.float32(1e20),),
    )
    assert set(stored.rules) <= set(source.rules)
    assert len(stored.rules) == 2


def test_published_names_are_found_in_any_folder(tmp_path):
    """As a catalog gives them: the scenario is in the name of the asset, not in its place."""
    past = write(tmp_path / "a.nc", range(1861, 2006))
    future = write(tmp_path / "b.nc", range(2006, 2101), ssp=2)
    assets = [{"name": HIST_2B, "href": str(past)}, {"name": SSP_2B.format(2), "href": str(future)}]
    config = IsimipConfig.model_validate(
        {"kind": "isimip", "collection": "isimip", "assets": assets, "ssp": 2}
    )
    source = open_isimip(config, run_years=range(2000, 2011), scenario="ssp126")
    assert source.files == (str(past), str(future))
    assert "population of SSP 2 used for scenario ssp126" in source.rules


def test_half_a_cell_off_is_refused(tmp_path):
    write(tmp_path / HIST_2B, [1861], grid=Grid(61.25, 10, 0.5, 4, 4))
    with pytest.raises(InputError, match=r"shifted by 0\.500 of a cell"):
        open_(tmp_path, range(1861, 1862))


def write_3(path, name, years, ssp=0):
    """A file of rounds 3a and 3b, whose days count from noon of 1 January 1850."""
    days = np.array(
        [(np.datetime64(f"{y}-01-01") - np.datetime64("1850-01-01")).astype(int) for y in years],
        float,
    )
    clock = {"units": "days since 1850-1-1 12:00:00", "calendar": "proleptic_gregorian"}
    return write_nc(
        path / name,
        {
            **axes(GRID),
            "time": (("time",), days, clock),
            "total-population": (
                ("time", "lat", "lon"),
                np.stack([counts(y, ssp) for y in years]),
                {"units": "1", "_FillValue": np.float32(1e20)},
            ),
        },
    )


PAST_3A = {
    "population_histsoc_30arcmin_annual_1850_1900.nc": range(1850, 1901),
    "population_histsoc_30arcmin_annual_1901_2021.nc": range(1901, 2022),
}


def test_the_future_of_3b_wins_over_the_past_of_3a(tmp_path):
    for name, years in PAST_3A.items():
        write_3(tmp_path, name, years)
    write_3(tmp_path, "population_ssp2_30arcmin_annual_2015_2100.nc", range(2015, 2101), ssp=2)
    source = open_(tmp_path, range(1850, 2101))
    for year, ssp in ((1850, 0), (1900, 0), (1901, 0), (2014, 0), (2015, 2), (2021, 2), (2100, 2)):
        np.testing.assert_allclose(source.read(year, EVERYTHING)[0], density(year, ssp), rtol=1e-5)
    assert "SSP 2 from 2015, the past before it: both have years from 2015" in source.rules
    assert "round 3a and 3b: counts divided by the cell's area in km2" in source.rules
    assert source.held == {}


@pytest.mark.parametrize(
    "names", [PAST_3A, {"population_histsoc_30arcmin_annual_1850_2021.nc": range(1850, 2022)}]
)
def test_the_past_of_3a_reaches_to_2021(tmp_path, names):
    for name, years in names.items():
        write_3(tmp_path, name, years)
    source = open_(tmp_path, range(1990, 2022), "historical")
    np.testing.assert_allclose(source.read(2021, EVERYTHING)[0], density(2021), rtol=1e-5)
    assert "round 3a: counts divided by the cell's area in km2" in source.rules
    with pytest.raises(InputError, match="no population for years 2022-2030 with SSP 2"):
        open_(tmp_path, range(1990, 2031))


def test_the_pasts_of_3a_and_3b_are_refused(tmp_path):
    for name, years in {
        **PAST_3A,
        "population_histsoc_30arcmin_annual_1901_2014.nc": range(1901, 2015),
    }.items():
        write_3(tmp_path, name, years)
    with pytest.raises(InputError, match="years 1901-2014 are also in"):
        open_(tmp_path, range(1990, 2010))


@pytest.mark.parametrize(
    ("years", "lacking"),
    [
        (range(2000, 2011), "2000-2005"),
        (range(1850, 2011), "1850-2005"),
        (range(1850, 1856), "1850-1855"),
    ],
)
def test_a_lacking_file_of_the_past_is_named(round_2b, years, lacking):
    (round_2b / HIST_2B).unlink()
    with pytest.raises(
        InputError, match=f"no population for years {lacking} with SSP 2.*get the file"
    ) as refused:
        open_(round_2b, years)
    if years[-1] >= 1861:
        assert HIST_2B in str(refused.value)


def test_round_3_needs_its_first_file(tmp_path):
    write_3(tmp_path, "population_histsoc_30arcmin_annual_1901_2014.nc", range(1901, 2015))
    with pytest.raises(
        InputError, match=r"years 1895-1900 .*population_histsoc_30arcmin_annual_1850_1900\.nc"
    ):
        open_(tmp_path, range(1895, 1911))


def test_years_held_are_bounded(round_2b):
    with pytest.raises(InputError, match=r"no population for years 1849-1860.*max_held_years = 12"):
        open_(round_2b, range(1849, 1871))
    with pytest.raises(InputError, match="no population for years 1850-1860"):
        open_(round_2b, range(1850, 1871), max_held_years=10)
    wider = open_(round_2b, range(1849, 1871), max_held_years=12)
    np.testing.assert_allclose(wider.read(1849, EVERYTHING)[0], density(1861), rtol=1e-5)
    assert "years 1849-1860 (12) hold 1861" in wider.rules


def test_max_held_years_admits_years_after(round_2b):
    with pytest.raises(InputError, match="no population for years 2101-2102"):
        open_(round_2b, range(2090, 2103))
    with pytest.raises(InputError, match="no population for years 2101-2102"):
        open_(round_2b, range(2090, 2103), max_held_years=1)
    source = open_(round_2b, range(2090, 2103), max_held_years=2)
    np.testing.assert_allclose(source.read(2102, EVERYTHING)[0], density(2100, 2), rtol=1e-5)
    assert "years 2101-2102 (2) hold 2100" in source.rules
    assert source.held == {2101: 2100, 2102: 2100}


def test_max_held_years_admits_gaps(round_2b):
    write(round_2b / HIST_2B, [1861, 1862, 1864])
    source = open_(round_2b, range(1861, 1865), max_held_years=1)
    np.testing.assert_allclose(source.read(1863, EVERYTHING)[0], density(1862), rtol=1e-5)
    assert "years 1863 (1) hold 1862" in source.rules


def test_a_real_mean_is_of_its_middle_year(realdata, tmp_path):
    """The mean of 1986-2005 that cdo made, under the name of an annual file: read, and said so."""
    given = realdata / "isimip2b_population/population_histsoc_0p5deg_annual_1986_2005_timmean.nc4"
    (tmp_path / "population_histsoc_0p5deg_annual_1986-2005.nc4").symlink_to(given)
    source = open_(tmp_path, range(1995, 1996))
    assert (
        "the one time step is a mean of 1986-01-01 to 2005-01-01, taken for 1995, its middle"
        in source.rules
    )
    with h5py.File(given) as file:
        people, lat = file["number_of_people"][0], file["lat"][...]
    south, north = np.radians(lat - 0.25), np.radians(lat + 0.25)
    area = 6371.007181**2 * np.radians(0.5) * (np.sin(north) - np.sin(south))
    np.testing.assert_allclose(
        source.read(1995, Box(0, 0, 360, 720))[0], people / area[:, None], rtol=1e-5
    )
    with pytest.raises(InputError, match="1994"):
        open_(tmp_path, range(1994, 1996))


def test_real_counts_are_read_in_place(realdata, tmp_path):
    """The same numbers on the time axis of a year: every cell as an independent reading has it."""
    given = realdata / "isimip2b_population/population_histsoc_0p5deg_annual_1986_2005_timmean.nc4"
    with h5py.File(given) as file:
        people, lat, lon = (file[name][...] for name in ("number_of_people", "lat", "lon"))
    write_nc(
        tmp_path / "population_histsoc_0p5deg_annual_1986-2005.nc4",
        {
            "lat": (("lat",), lat, {"units": "degrees_north"}),
            "lon": (("lon",), lon, {"units": "degrees_east"}),
            "time": (("time",), np.array([135.0]), {"units": "years since 1860-1-1 12:00:00"}),
            "number_of_people": (
                ("time", "lat", "lon"),
                people,
                {"units": "1", "_FillValue": np.float32(1e20)},
            ),
        },
    )
    source = open_(tmp_path, range(1995, 1996))
    got = source.read(1995, Box(0, 0, 360, 720))[0]
    south, north = np.radians(lat - 0.25), np.radians(lat + 0.25)
    area = 6371.007181**2 * np.radians(0.5) * (np.sin(north) - np.sin(south))
    np.testing.assert_allclose(got, people[0] / area[:, None], rtol=1e-5)
    assert lat[0] > lat[-1]
