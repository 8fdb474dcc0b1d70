"""Files of FATES, CTSM and LPJ-GUESS against sums over the fine cells."""

import json

import numpy as np
import pytest
import xarray as xr

from luray.core.legend_files import HILDA
from luray.export import ctsm
from luray.export.crosswalk import read_crosswalk_file
from luray.export.fates import write_fates
from luray.export.luh2_states import transition_names
from luray.stages.export import export
from tests.export.exports import BLOCK, FINE, SPAN, TWELVE, job_of, naive_fraction

LAND = [int(code) for code in HILDA.codes]


def opened(path):
    return xr.open_dataset(path, decode_times=False, mask_and_scale=False, engine="h5netcdf").load()


@pytest.fixture(scope="module")
def fates(world_of_luh3, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fates")
    write_fates(job_of(world_of_luh3, folder, form="fates"))
    return opened(folder / "landuse_timeseries.nc")


def test_fates_has_its_names_and_axes(fates):
    names = transition_names(TWELVE)
    assert set(TWELVE) | set(names) <= set(fates.data_vars)
    assert "pltns" not in fates
    assert fates.primf.dims == ("time", "lsmlat", "lsmlon")
    assert fates.primf.attrs["_FillValue"] == -9999
    # the last year asked for serves the transitions into it
    assert fates.YEAR.values.tolist() == [2000, 2001, 2002]
    assert fates.LATIXY.values[:, 0].tolist() == [35.125, 35.375, 35.625, 35.875]
    assert fates.LONGXY.values[0, 0] == 23.125


def test_fates_states_fill_the_land_and_close(fates):
    for step in range(3):
        states = {name: fates[name].values[step].copy() for name in TWELVE}
        np.testing.assert_allclose(sum(states.values()), 1, atol=1e-6)
        for name, (origin, target) in transition_names(TWELVE).items():
            states[TWELVE[origin]] -= fates[name].values[step]
            states[TWELVE[target]] += fates[name].values[step]
        if step < 2:
            for name in TWELVE:
                np.testing.assert_allclose(states[name], fates[name].values[step + 1], atol=1e-6)


def test_fates_has_shares_of_the_land(world_of_luh3, fates):
    codes = world_of_luh3.codes
    water = np.min([naive_fraction(year, [77]) for year in codes], axis=0)
    land = naive_fraction(codes[0], LAND) - water
    expected = naive_fraction(codes[0], [11]) / land
    np.testing.assert_allclose(fates.urban.values[0], expected[::-1], atol=1e-6)


def test_ctsm_counts_types_by_class_and_climate(world, tmp_path):
    export(world.run, "ctsm-raw", years="2001", output=str(tmp_path))
    file = opened(tmp_path / "landuse_2001.nc")
    assert file.PCT_NAT_PFT.dims == ("natpft", "lat", "lon")
    assert (file.sizes["natpft"], file.sizes["cft"]) == (15, 64)
    assert file.LAT.values[0] < file.LAT.values[-1]
    assert file.EDGEN.values == 36
    np.testing.assert_allclose(
        file.LANDFRAC.values[::-1], naive_fraction(world.codes[1], LAND), atol=1e-9
    )

    crosswalk = read_crosswalk_file("ctsm")
    shares = crosswalk["legends"]["HILDA+"]
    types = np.zeros(79)
    y, x = 1, 4
    for row in range(y * BLOCK, (y + 1) * BLOCK):
        for col in range(x * BLOCK, (x + 1) * BLOCK):
            code = world.codes[1, row, col]
            if code in (0, 11, 77):
                continue
            zone = world.zones[row, col]
            group = "ABCDE"[zone - 1] if zone else crosswalk["unknown"]
            for number, percent in shares[str(code)][group].items():
                types[int(number)] += percent / 100 * FINE.cell_area[row]
    natural = types[:15].sum()
    at = {"lat": 3 - y, "lon": x}
    np.testing.assert_allclose(file.PCT_NAT_PFT.isel(at), 100 * types[:15] / natural, atol=1e-6)
    assert file.PCT_CFT.isel(at).values[0] == pytest.approx(100)
    assert file.PCT_CROP.isel(at).values == pytest.approx(100 * types[15:].sum() / types.sum())
    assert file.PCT_NATVEG.isel(at).values == pytest.approx(100 * natural / types.sum())


def test_ctsm_needs_climate_groups(world_without_forcing, tmp_path):
    with pytest.raises(ValueError, match=r"needs the variable climate_group .* source koppen"):
        export(world_without_forcing.run, "ctsm-raw", output=str(tmp_path / "a"))
    with pytest.raises(ValueError, match="give the run file"):
        export(world_without_forcing.run.product, "ctsm-raw", output=str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"44": {"A": {"4": 90}}}, "sums to 90"), ({"44": {"A": {"79": 100}}}, "expected 0 to 78")],
)
def test_wrong_crosswalk_is_refused(world, tmp_path, monkeypatch, change, message):
    entries = {**read_crosswalk_file("ctsm")["legends"]["HILDA+"], **change}
    monkeypatch.setattr(ctsm, "read_crosswalk", lambda form, legend: entries)
    with pytest.raises(ValueError, match=message):
        ctsm.ctsm_crosswalk(job_of(world, tmp_path, form="ctsm-raw"))


def test_lpj_guess_table(world, tmp_path):
    export(world.run.product, "lpj-guess", output=str(tmp_path))
    lines = (tmp_path / "land_cover.txt").read_text().splitlines()
    header = "Lon Lat Year URBAN CROPLAND PASTURE FOREST NATURAL PEATLAND BARREN"
    assert lines[0] == header
    table = np.array([[float(number) for number in line.split()] for line in lines[1:]])
    assert len(table) == 24 * len(SPAN.years)
    # all years of a cell follow each other
    assert table[:5, :3].tolist() == [
        [23.125, 35.875, 2000],
        [23.125, 35.875, 2001],
        [23.125, 35.875, 2002],
        [23.125, 35.875, 2003],
        [23.375, 35.875, 2000],
    ]
    assert {round(sum(row) * 1e6) for row in table[:, 3:]} == {10**6}

    water = np.min([naive_fraction(codes, [77]) for codes in world.codes], axis=0)
    land = naive_fraction(world.codes[0], LAND) - water
    of_2000 = table[table[:, 2] == 2000].reshape(4, 6, 10)
    forest = naive_fraction(world.codes[0], [44]) / land
    natural = (naive_fraction(world.codes[0], [55, 77]) - water) / land
    np.testing.assert_allclose(of_2000[..., 6], forest, atol=2e-6)
    np.testing.assert_allclose(of_2000[..., 7], natural, atol=2e-6)
    assert not table[:, 8].any()

    # a table of text has no place for where it comes from: the record has
    about = json.loads((tmp_path / "export.json").read_text())["about"]
    assert about["luray_run_fingerprint"] == "f" * 64
