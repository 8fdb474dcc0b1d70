"""Products of values as GeoTIFF and NetCDF: every file holds the values of the product."""

import json

import numpy as np
import pytest
import rasterio
import xarray as xr
from typer.testing import CliRunner

from luray.cli.app import app
from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, Legend
from luray.core.time_steps import TimeSteps
from luray.core.value_scale import ValueScale
from luray.export import value_maps
from luray.stages.export import FORMATS, export
from tests.product.value_products import (
    GRID,
    MONTHLY,
    fill_values,
    finished_value_product,
    levels_of,
    spread_of,
    value_cube,
    value_product,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    _, product = finished_value_product(tmp_path_factory.mktemp("values"))
    return product.url


def values_of(levels):
    return np.where(levels == NO_VALUE, np.nan, 0.05 * levels)


@pytest.mark.parametrize(("form", "dtype"), [("netcdf", np.uint8), ("cf-lai", np.float32)])
def test_a_file_of_a_year_has_its_months(store, tmp_path, form, dtype):
    exported = export(store, form, years="2001,2003", output=str(tmp_path))
    assert exported.files == ("lai_2001.nc", "lai_2003.nc")
    with xr.open_dataset(tmp_path / "lai_2003.nc") as ds:
        assert ds.lai.dims == ds.lai_spread.dims == ("time", "lat", "lon")
        assert ds.lai.encoding["dtype"] == dtype
        for k in range(12):
            levels = levels_of(GRID, MONTHLY, MONTHLY.step(2003, k), gaps=False)
            spread = spread_of(levels, MONTHLY.step(2003, k))
            np.testing.assert_allclose(ds.lai[k], values_of(levels), atol=1e-6)
            np.testing.assert_allclose(ds.lai_spread[k], values_of(spread), atol=1e-6)
        assert ds.time.dt.calendar == "noleap"
        assert [str(moment)[:10] for moment in ds.time_bnds.values[1]] == [
            "2003-02-01",
            "2003-03-01",
        ]
        assert ds.lai.attrs["standard_name"] == "leaf_area_index"
        assert ds.lai.attrs["cell_methods"] == "area: mean"
        assert ds.lai.attrs["ancillary_variables"] == "lai_spread origin"
        assert ds.lai_spread.attrs["standard_name"] == "leaf_area_index standard_error"
        assert ds.lai.attrs["units"] == ds.lai_spread.attrs["units"] == "m2 m-2"
        assert (ds.origin == 2).all()
        assert "monthly maps of leaf area index" in ds.attrs["source"]
        assert f"--format {form}, 2001-01 to 2003-12" in ds.attrs["history"]
        np.testing.assert_allclose(ds.lat, GRID.lat)
    with xr.open_dataset(tmp_path / "lai_2001.nc") as ds:
        levels = levels_of(GRID, MONTHLY, MONTHLY.step(2001, 4), gaps=True)
        np.testing.assert_allclose(ds.lai[4], values_of(levels), atol=1e-6)
        assert ds.lai_spread.isnull().all()
        assert (ds.origin == 0).all()
    assert export(store, form, years="2001,2003", output=str(tmp_path)).files == ()


def test_a_geotiff_a_month(store, tmp_path):
    exported = export(store, "cog", years="2003", region="6,47,10,51", output=str(tmp_path))
    assert exported.files[::11] == ("lai_2003-01.tif", "lai_2003-12.tif")
    with rasterio.open(tmp_path / "lai_2003-03.tif") as file:
        levels = levels_of(GRID, MONTHLY, MONTHLY.step(2003, 2), gaps=False)
        assert np.array_equal(file.read(1), levels[2:10, 4:12])
        assert (file.scales, file.units) == ((0.05,), ("m2 m-2",))
        assert file.tags()["dates"] == "2003-03-01/2003-03-31"
    record = json.loads((tmp_path / "export.json").read_text())
    assert record["request"]["years"] == [2003]


@pytest.mark.parametrize(
    "form", [name for name, known in FORMATS.items() if "values" not in known.of]
)
def test_formats_of_classes_refuse_values(store, tmp_path, form):
    message = f"--format {form} has classes, and the maps of leaf area index are values; choose one"
    with pytest.raises(ValueError, match=message):
        export(store, form, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_cf_lai_refuses_another_quantity(tmp_path):
    scale = ValueScale("m", -2.0, 0.25, 150)
    own = Legend.of_values("mine", scale, variable="height", long_name="canopy height")
    cube = value_cube(f"{tmp_path}/cube.zarr", legend=own)
    product = value_product(cube, f"{tmp_path}/product.zarr", years=(2001, 2002))
    fill_values(cube, product)
    product.finish()
    with pytest.raises(
        ValueError, match="has the leaf area index, and this product has canopy hei"
    ):
        export(product.url, "cf-lai", output=str(tmp_path / "out"))
    export(product.url, "netcdf", years="2002", output=str(tmp_path / "nc"))
    with xr.open_dataset(tmp_path / "nc/height_2002.nc") as ds:
        levels = levels_of(GRID, MONTHLY, MONTHLY.step(2002, 6), gaps=True)
        expected = np.where(levels == NO_VALUE, np.nan, -2 + 0.25 * levels)
        np.testing.assert_allclose(ds.height[6], expected)
        assert "standard_name" not in ds.height_spread.attrs


@pytest.mark.parametrize("form", ["netcdf", "cf-lai"])
def test_a_file_that_reads_back_otherwise_gets_no_name(store, tmp_path, monkeypatch, form):
    encode = value_maps.Layout.encode

    def wrong(self, name, levels):
        values = encode(self, name, levels)
        return np.where(values == values.min(), values + values.dtype.type(1), values)

    monkeypatch.setattr(value_maps.Layout, "encode", wrong)
    with pytest.raises(RuntimeError, match=r"lai_2003\.nc: rows 0 to 13 do not read back"):
        export(store, form, years="2003", output=str(tmp_path))
    assert not list(tmp_path.glob("*.nc"))


def test_every_level_and_spread_survives_float32():
    scale = ValueScale("m2 m-2", 0.0, 1 / 30, 211, standard_name="leaf_area_index")
    legend = Legend.of_values("fine", scale, variable="lai", long_name="leaf area index")
    layout = value_maps.Layout(legend, "lai", "float32")
    levels = np.array([*range(251), NO_VALUE], np.uint8)
    for name in ("lai", "lai_spread"):
        assert np.array_equal(layout.decode(name, layout.encode(name, levels)), levels)


def test_annual_values_have_a_file_a_year(tmp_path):
    grid = Grid(52, 4, 0.5, 9, 9)
    _, product = finished_value_product(tmp_path, time=TimeSteps("year"), grid=grid)
    assert export(product.url, "netcdf", output=str(tmp_path / "nc")).files == tuple(
        f"lai_{year}.nc" for year in range(2000, 2004)
    )
    with xr.open_dataset(tmp_path / "nc/lai_2003.nc") as ds:
        assert ds.sizes["time"] == 1
        assert str(ds.time.values[0])[:10] == "2003-01-01"
        assert "export --format netcdf, 2000-2003" in ds.attrs["history"]
    assert export(product.url, "cog", output=str(tmp_path / "cog")).files[0] == "lai_2000.tif"


def test_the_command_names_the_files(store, tmp_path):
    arguments = ["export", store, "--format", "cf-lai", "--years", "2003", "--output"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out/lai_2003.nc").exists()
    assert "out" in result.output
