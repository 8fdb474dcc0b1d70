"""Series of categorical maps described in the run file, and the real maps of MapBiomas."""

import json
import pickle
import tomllib

import numpy as np
import pytest
import rasterio
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.sources.base import Request
from luray.sources.categorical import CategoricalConfig, open_categorical
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc, write_tif

GRID = Grid(6, -75, 0.045, 4, 5)
CODES = np.array(
    [[0, 3, 3, 15, 18], [3, 24, 26, 15, 15], [3, 3, 3, 3, 27], [12, 12, 12, 12, 0]], np.uint8
)
MEANT = np.array(
    [[0, 44, 44, 33, 22], [44, 11, 77, 33, 33], [44, 44, 44, 44, 99], [55, 55, 55, 55, 0]], np.uint8
)
EVERYTHING = Box(0, 0, 4, 5)

SERIES = """
kind = "categorical"
name = "mapbiomas"
path = "PATH"
pattern = "mapbiomas23_brazil_5km_{year}.tif"
doi = "10.1/x"
licence = "CC-BY-4.0"
crosswalk = { "0" = 0, "3" = 44, "12" = 55, "15" = 33, "18" = 22, "24" = 11, "26" = 77, "27" = 99 }
"""

BRAZIL = SERIES.replace(
    '"12" = 55,',
    '"4" = 44, "5" = 44, "9" = 44, "11" = 55, "12" = 55, "13" = 55, "21" = 33, '
    '"22" = 66, "23" = 66, "25" = 66,',
)


def config(text, path, **changes):
    return CategoricalConfig.model_validate(
        {**tomllib.loads(text.replace("PATH", str(path))), **changes}
    )


def open_(text, path, years=range(1900, 2101), **changes):
    return open_categorical(config(text, path, **changes), run_years=years)


def write_maps(path, years, codes=CODES, **options):
    for year in years:
        write_tif(
            path / f"mapbiomas23_brazil_5km_{year}.tif",
            np.roll(codes, year, axis=1),
            **{"north": 6, "west": -75, "step": 0.045, "nodata": 0, **options},
        )


def test_a_series_is_read_through_its_crosswalk(tmp_path):
    write_maps(tmp_path / "sub", range(2000, 2004))
    source = pickle.loads(pickle.dumps(open_(SERIES, tmp_path, range(2001, 2050))))
    assert (source.name, source.role, source.years) == ("mapbiomas", "state", (2001, 2002, 2003))
    assert source.grid == GRID
    got = source.read(2002, EVERYTHING)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got[0], np.roll(MEANT, 2002, axis=1))
    np.testing.assert_array_equal(source.read(2002, Box(1, 2, 2, 3)), got[:, 1:3, 2:5])
    assert source.rules[0].startswith("codes read as HILDA+: 0 as 0, 3 as 44, 12 as 55")
    assert (source.about.doi, source.about.licence) == ("10.1/x", "CC-BY-4.0")


def forcing(path, **changes):
    return CategoricalConfig.model_validate(
        {
            "kind": "categorical",
            "name": "cover",
            "role": "forcing",
            "path": str(path),
            "pattern": "mapbiomas23_brazil_5km_{year}.tif",
            "crosswalk": {"0": 255, "3": 1, "12": 2, "15": 2, "18": 3, "24": 4, "26": 5, "27": 255},
            **changes,
        }
    )


def test_a_series_is_a_forcing_with_held_years(tmp_path):
    write_maps(tmp_path, range(2000, 2003))
    config = forcing(tmp_path, max_held_years=3)
    source = pickle.loads(pickle.dumps(open_categorical(config, run_years=range(1999, 2005))))
    assert (source.role, source.years) == ("forcing", tuple(range(1999, 2005)))
    assert source.held == {2000: 1999, 2003: 2002, 2004: 2002}
    [variable] = source.variables
    assert (variable.name, variable.categories, variable.role) == (
        "cover",
        (1, 2, 3, 4, 5),
        "forcing",
    )
    meant = np.vectorize(config.table.get)(CODES)
    for year, of_year in ((1999, 2000), (2001, 2001), (2004, 2002)):
        expected = np.roll(meant, of_year, axis=1)
        assert np.array_equal(source.read(year, EVERYTHING)[0], expected)
    assert "years 2003-2004 (2) hold 2002" in source.rules
    with pytest.raises(InputError, match=r"the run needs 1999, 2003-2004, too; .* = 3"):
        open_categorical(forcing(tmp_path, max_held_years=2), run_years=range(1999, 2005))


def test_a_forcing_may_have_a_legend_and_be_netcdf(tmp_path):
    igbp = read_legend("igbp")
    codes = np.array([[1, 2, 3, 16, 17], [0, 255, 4, 5, 6], *[[7] * 5] * 2], np.uint8)
    for year in (2000, 2001):
        write_nc(
            tmp_path / f"igbp_{year}.nc",
            {**axes(GRID), "LC_Type1": (("lat", "lon"), np.roll(codes, year, axis=1), {})},
        )
    changes = {
        "pattern": "igbp_{year}.nc",
        "variable": "LC_Type1",
        "crosswalk": {},
        "legend": "igbp",
    }
    source = open_categorical(forcing(tmp_path, **changes), run_years=range(2000, 2002))
    assert source.variables[0].categories == tuple(int(code) for code in igbp.codes)
    expected = np.where((codes == 0) | (codes == 255), 255, codes)
    for year in (2000, 2001):
        assert np.array_equal(source.read(year, EVERYTHING)[0], np.roll(expected, year, axis=1))
    changes["variable"] = "LC_Type2"
    with pytest.raises(InputError, match="LC_Type2"):
        open_categorical(forcing(tmp_path, **changes), run_years=range(2000, 2002))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"legend": "igbp"}, "needs the `legend` of its maps or a `crosswalk`"),
        ({"crosswalk": {}}, "needs the `legend` of its maps or a `crosswalk`"),
        ({"pattern": "a.tif"}, "needs {year} once"),
        ({"variable": "x"}, "`variable` is the name of the map in NetCDF"),
        ({"pattern": "a_{year}.nc"}, "`variable` is the name of the map in NetCDF"),
        ({"crosswalk": {}, "legend": "lai"}, "has values, expected classes"),
    ],
)
def test_a_wrong_forcing_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        forcing("p", **changes)


def test_land_cover_of_arcachon_is_read_in_place(realdata):
    config = forcing(
        realdata / "modis_lai_arcachon",
        pattern="arcachon_{year}.nc",
        variable="LC_Type1",
        crosswalk={},
        legend="igbp",
        reproject=True,
    )
    run = Grid(44.825, -340 / 240, 1 / 240, 81, 118)
    source = open_categorical(config, run_years=range(2004, 2005), grid=run)
    codes = source.read(2004, Box(0, 0, *source.grid.shape))[0]
    assert {1, 5, 8, 17} <= set(np.unique(codes).tolist()) <= {*range(1, 18), 255}
    refused = config.model_copy(update={"reproject": False})
    with pytest.raises(InputError, match="is in a projection"):
        open_categorical(refused, run_years=range(2004, 2005), grid=run)


def test_a_code_without_crosswalk_is_named(tmp_path):
    write_maps(tmp_path, [2000], np.where(CODES == 12, 13, CODES).astype(np.uint8))
    with pytest.raises(
        InputError, match=r"5km_2000\.tif: code 13 \(4 cells\) not in the crosswalk of mapbiomas, "
    ):
        open_(SERIES, tmp_path).read(2000, EVERYTHING)


def test_declared_no_data_outside_the_crosswalk_is_no_data(tmp_path):
    write_maps(tmp_path, [2000], np.where(CODES == 0, 255, CODES).astype(np.uint8), nodata=255)
    source = open_(SERIES, tmp_path)
    np.testing.assert_array_equal(source.read(2000, EVERYTHING)[0], np.where(MEANT == 0, 99, MEANT))
    assert "no-data value 255 read as 99" in source.rules


def test_a_broken_series_is_refused(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(InputError, match=r"no file is named mapbiomas23_brazil_5km_\{year\}\.tif"):
        open_(SERIES, tmp_path)
    write_maps(tmp_path, [2000, 2001, 2003])
    with pytest.raises(InputError, match="years 2002 are missing between 2000 and 2003"):
        open_(SERIES, tmp_path)
    assert open_(SERIES, tmp_path, range(2000, 2002)).years == (2000, 2001), (
        "the run does not come to the gap"
    )
    write_maps(tmp_path, [2002], west=-75.045)
    with pytest.raises(
        InputError, match=r"5km_2002\.tif: grid of .* differs from that of .*5km_2000\.tif"
    ):
        open_(SERIES, tmp_path)
    write_maps(tmp_path, [2002])
    with pytest.raises(InputError, match="holds years 2000-2003, none of the run's 1900-1909"):
        open_(SERIES, tmp_path, range(1900, 1910))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crosswalk": {}}, "a state needs {year} once in `pattern`"),
        ({"pattern": "maps.tif"}, "a state needs {year} once in `pattern`"),
        ({"role": "static"}, "a static raster needs `bands`"),
        ({"crosswalk": {"forest": 44}}, "crosswalk forest = 44"),
        ({"crosswalk": {"256": 44}}, "crosswalk 256 = 44"),
        ({"crosswalk": {"3": "44"}}, "valid integer"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        (
            {
                "role": "static",
                "crosswalk": {},
                "pattern": "a.tif",
                "bands": [{"name": "t", "categories": [1, 300]}],
            },
            r"band t: \[300\] must be within",
        ),
        (
            {
                "role": "static",
                "crosswalk": {},
                "pattern": "a.tif",
                "bands": [{"name": "t", "categories": [1], "missing": [1]}],
            },
            r"band t: \[1\] must be within",
        ),
        (
            {
                "role": "static",
                "crosswalk": {},
                "pattern": "a.tif",
                "bands": [{"name": "t", "scale": "big"}],
            },
            "valid number",
        ),
    ],
)
def test_an_impossible_config_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message.replace("{", r"\{").replace("}", r"\}")):
        config(SERIES, "p", **changes)


def test_a_crosswalk_leads_to_the_legend_of_the_target():
    cover = read_legend("esa_cci_lc")
    with pytest.raises(
        ValueError, match=r"crosswalk 3 = 45: expected a code 0..255 = one of \(0, 11"
    ):
        config(SERIES, "p", crosswalk={"3": 45}).declared_for(HILDA)
    with pytest.raises(ValueError, match=r"crosswalk 3 = 44: .* of the target's legend ESA CCI-LC"):
        config(SERIES, "p", crosswalk={"3": 44}).declared_for(cover)
    [variable] = config(SERIES, "p", crosswalk={"3": 62, "0": 230}).declared_for(cover)
    assert variable.name == "land_cover"
    assert variable.categories == tuple(cover.codes)


def test_maps_are_read_in_the_codes_of_another_legend(tmp_path):
    write_maps(tmp_path, [2000])
    written = np.roll(CODES, 2000, axis=1)
    cover = read_legend("esa_cci_lc")
    table = {int(code): 10 for code in np.unique(CODES)} | {0: 230, 3: 62}
    crosswalk = {str(code): to for code, to in table.items()}
    source = config(SERIES, str(tmp_path), crosswalk=crosswalk).open(
        Request(range(2000, 2001), "ssp245", legend=cover)
    )
    assert source.legend == cover
    assert source.read(2000, EVERYTHING)[0].tolist() == np.vectorize(table.get)(written).tolist()


def test_a_config_may_come_from_toml_or_json():
    one = config(STATIC, "p")
    assert one == CategoricalConfig.model_validate_json(
        json.dumps(tomllib.loads(STATIC.replace("PATH", "p")))
    )
    assert one.bands[1].categories == (12, 13)


STATIC = """
kind = "categorical"
name = "crete"
role = "static"
path = "PATH"
pattern = "predictors_crete_001deg.tif"
bands = [
  { band = "globe_elev_m", name = "elevation", units = "m", scale = 1000 },
  { band = "kg_zone", name = "climate", categories = [12, 13], missing = [32] },
]
"""


def write_bands(path, years, *, names=()):
    """A file with a band a year, each the map that `write_maps` writes."""
    maps = np.stack([np.roll(CODES, year, axis=1) for year in years])
    return write_tif(
        path / "all_years.tif", maps, north=6, west=-75, step=0.045, nodata=0, names=names
    )


def meant(year):
    return np.roll(MEANT, year, axis=1)


def test_the_map_among_several_bands_is_named(tmp_path):
    for year in (2000, 2001):
        write_maps(
            tmp_path,
            [year],
            np.stack([CODES * 0, np.roll(CODES, 0, axis=1)]),
            names=("quality", "classification"),
        )
    with pytest.raises(
        InputError, match=r"has 2 bands \(quality, classification\), expected one map"
    ):
        open_(SERIES, tmp_path)
    for band in (2, "classification"):
        source = open_(SERIES, tmp_path, band=band)
        assert (source.read(2001, EVERYTHING)[0] != 0).sum() == (MEANT != 0).sum()
        assert f"band {band} read as the map" in source.rules
    with pytest.raises(
        InputError, match=r"has no band 'map', found 2 bands \['quality', 'classification'\]"
    ):
        open_(SERIES, tmp_path, band="map")


def test_a_file_with_a_band_a_year_is_a_series(tmp_path):
    years = range(2000, 2004)
    write_bands(tmp_path, years, names=[f"classification_{year}" for year in years])
    source = open_(
        SERIES, tmp_path, range(2001, 2050), pattern="all_years.tif", band="classification_{year}"
    )
    assert source.years == (2001, 2002, 2003)
    for year in source.years:
        np.testing.assert_array_equal(source.read(year, EVERYTHING)[0], meant(year))
    assert "a band a year: 2001 from band 2, 2002 from band 3, 2003 from band 4" in source.rules
    with pytest.raises(
        InputError, match=r"no band is described as lc_\{year\}, found classification_2000"
    ):
        open_(SERIES, tmp_path, pattern="all_years.tif", band="lc_{year}")


def test_bands_without_descriptions_need_the_first_year(tmp_path):
    write_bands(tmp_path, range(2000, 2004))
    source = open_(SERIES, tmp_path, pattern="all_years.tif", first_year=2000)
    np.testing.assert_array_equal(source.read(2003, EVERYTHING)[0], meant(2003))
    with pytest.raises(ValidationError, match="a state needs"):
        config(SERIES, tmp_path, pattern="all_years.tif")
    with pytest.raises(ValidationError, match="the years follow from one of them"):
        config(SERIES, tmp_path, pattern="all_years.tif", first_year=2000, band=1)
    with pytest.raises(ValidationError, match="the years are those of bands, too"):
        config(SERIES, tmp_path, first_year=2000)


def test_tiles_of_a_year_are_found_by_a_wildcard(tmp_path):
    for year in (2000, 2001):
        codes = np.roll(CODES, year, axis=1)
        for name, cols, west in (("w", slice(0, 2), -75), ("e", slice(2, 5), -75 + 2 * 0.045)):
            write_tif(
                tmp_path / f"tile_{name}_{year}.tif",
                codes[:, cols],
                north=6,
                west=west,
                step=0.045,
                nodata=0,
            )
    source = open_(SERIES, tmp_path, pattern="tile_?_{year}.tif")
    np.testing.assert_array_equal(source.read(2001, EVERYTHING)[0], meant(2001))
    assert len(source.files) == 4
    write_tif(
        tmp_path / "tile_x_2001.tif", CODES[:, 1:3], north=6, west=-75 + 0.045, step=0.045, nodata=0
    )
    with pytest.raises(
        InputError, match=r"years 2001 occur more than once: \S+tile_\w_2001\.tif and \S+ overlap"
    ):
        open_(SERIES, tmp_path, pattern="tile_*_{year}.tif")


def test_a_masked_map_is_missing_where_its_mask_says(tmp_path):
    write_maps(tmp_path, [2000, 2001], nodata=None)
    valid = np.ones(CODES.shape, np.bool_)
    valid[:, 0] = False
    for path in tmp_path.glob("*.tif"):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as out:
            out.write_mask(valid)
    source = open_(SERIES, tmp_path)
    np.testing.assert_array_equal(
        source.read(2001, EVERYTHING)[0], np.where(valid, meant(2001), 99)
    )
    assert "cells outside the file's mask read as missing" in source.rules


def test_projected_maps_are_warped_on_request(tmp_path):
    for year in (2000, 2001):
        write_maps(tmp_path, [year], crs="EPSG:32618", north=660_000, west=500_000, step=5000)
    with pytest.raises(InputError, match="is EPSG:32618, expected EPSG:4326"):
        open_(SERIES, tmp_path)
    run = Grid(6.1, -75.1, 0.01, 40, 60)
    source = open_categorical(
        config(SERIES, tmp_path, reproject=True), run_years=range(2000, 2002), grid=run
    )
    assert run.offset_of(source.grid)
    classes, counts = np.unique(
        source.read(2000, Box(0, 0, *source.grid.shape)), return_counts=True
    )
    assert set(classes) == set(np.unique(MEANT)) | {99}
    assert counts[classes == 44] > counts[classes == 22], "as in the map"
    with pytest.raises(ValidationError, match="elevation are numbers: warp the file"):
        config(STATIC, tmp_path, reproject=True)


def test_the_real_maps_of_brazil(realdata):
    source = open_(BRAZIL, realdata / "mapbiomas_brazil")
    assert source.years == tuple(range(2000, 2013))
    assert source.grid.shape == (891, 901)
    assert source.grid.step == pytest.approx(0.044966)
    got = source.read(2005, Box(0, 0, 891, 901))
    assert (got != 0).sum() == 354607
    assert set(np.unique(got)) <= {0, 11, 22, 33, 44, 55, 66, 77, 99}
    assert (got == 44).sum() > 150000
    source = open_(SERIES, realdata / "mapbiomas_brazil")
    with pytest.raises(
        InputError, match=r"5km_2005\.tif: code 4 \(\d+ cells\), code 5 .* not in the crosswalk"
    ):
        source.read(2005, Box(0, 0, 891, 901))


def test_crosswalk_targets_are_of_the_legend():
    assert all(
        HILDA.encode(np.array([target], np.uint8)).size
        for target in config(BRAZIL, "p").table.values()
    )
