from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from pydantic import TypeAdapter

from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.sandbox.products import STATES, luh2_states, population
from luray.sandbox.storyline import YEARS
from luray.sandbox.world import World
from luray.sources import SourceConfig, open_source

HILDA_FOLDER = "hilda/hildap_vGLOB-1.0_geotiff_wgs84/hildap_GLOB-v1.0_lulc-states"
SSP245 = "luh2/multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-MESSAGE-ssp245-2-1-f_gn_2015-2100.nc"
SSP585 = "luh2/multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-MAGPIE-ssp585-2-1-f_gn_2015-2100.nc"


def undecoded(path: Path) -> xr.Dataset:
    return xr.open_dataset(path, engine="h5netcdf", decode_times=False, mask_and_scale=False)


@pytest.mark.parametrize(
    ("name", "steps", "epoch"),
    [
        ("luh2/states.nc", 1166, 850),
        (SSP245, 86, 2015),
        (SSP585, 86, 2015),
    ],
)
def test_luh2_has_the_form_of_the_published_files(sandbox: Path, name: str, steps: int, epoch: int):
    with undecoded(sandbox / name) as states:
        assert set(states.data_vars) == {*STATES, "secma", "secmb"}
        assert states.primf.dims == ("time", "lat", "lon")
        assert states.primf.dtype == np.float32
        assert np.array_equal(states.time, np.arange(steps))
        assert states.time.attrs["units"].startswith(f"years since {epoch}-01-01")
        assert np.allclose(states.lat, 48 - 0.125 - 0.25 * np.arange(4)), "north first"
        assert np.allclose(states.lon, 0.125 + 0.25 * np.arange(6))
    with h5py.File(sandbox / name) as raw:
        attributes = dict(raw["urban"].attrs)
        assert attributes["missing_value"] == np.float32(1e20)
        assert "_FillValue" not in attributes
        assert {key.lower() for key in attributes} >= {"_fillvalue"}
        assert raw["urban"].chunks == (1, 4, 6)
    with pytest.raises(ValueError, match="unable to decode time units"):
        xr.open_dataset(sandbox / name, engine="h5netcdf")


def test_luh2_tells_the_history_and_then_the_scenario(sandbox: Path, world: World):
    with undecoded(sandbox / "luh2/states.nc") as past, undecoded(sandbox / SSP585) as future:
        for name, values in luh2_states(world, "ssp585").items():
            assert np.array_equal(past[name][1000:], values[: 2016 - 1850])
            assert np.array_equal(future[name], values[2015 - 1850 :])
            assert np.array_equal(past[name][0], past[name][1000]), "years before 1850 repeat it"


def test_luh2_static_data_close_the_cell(sandbox: Path):
    folder = sandbox / "luh2"
    with (
        undecoded(folder / "staticData_quarterdeg.nc") as static,
        undecoded(folder / "states.nc") as states,
    ):
        total = sum(states[name][1100].values.astype(float) for name in STATES)
        land = static.icwtr.values < 1
        assert np.allclose((total + static.icwtr.values)[land], 1, atol=1e-6)
        expected = (6371.007**2) * np.radians(0.25) * np.diff(np.sin(np.radians([47.75, 48])))
        assert np.allclose(static.carea[0], expected, rtol=1e-5)


def test_hilda_maps_have_the_published_names_and_codes(sandbox: Path, world: World):
    names = {path.name for path in (sandbox / HILDA_FOLDER).iterdir()}
    assert names == {f"hilda_plus_{y}_states_GLOB-v1-0_wgs84-nn.tif" for y in range(1990, 2006)}
    with rasterio.open(
        sandbox / HILDA_FOLDER / "hilda_plus_1997_states_GLOB-v1-0_wgs84-nn.tif"
    ) as file:
        assert file.crs.to_epsg() == 4326
        assert file.dtypes == ("uint8",)
        assert file.nodata is None
        assert np.allclose(tuple(file.transform)[:6], (0.01, 0, 0, 0, -0.01, 48))
        assert np.array_equal(file.read(1), world.published(1997))


@pytest.mark.parametrize(
    ("name", "scenario", "first", "last"),
    [
        ("population_histsoc_0p5deg_annual_1861-2005.nc4", "ssp245", 1861, 2005),
        ("population_ssp2soc_0p5deg_annual_2006-2100.nc4", "ssp245", 2006, 2100),
        ("population_ssp5soc_0p5deg_annual_2006-2100.nc4", "ssp585", 2006, 2100),
    ],
)
def test_population_is_counted_in_half_degree_cells(
    sandbox: Path, world: World, name: str, scenario: str, first: int, last: int
):
    with undecoded(sandbox / "isimip" / name) as file:
        assert file.number_of_people.dims == ("time", "lat", "lon")
        assert np.array_equal(file.time + 1860, np.arange(first, last + 1))
        assert file.time.attrs["units"].startswith("years since 1860-1-1")
        assert (np.diff(file.lat) == -0.5).all()
        expected = population(world, scenario)[YEARS.index(first) : YEARS.index(last) + 1]
        assert np.array_equal(file.number_of_people, expected)
        assert file.number_of_people.attrs["_FillValue"] == np.float32(1e20)


def test_climate_zones_shift_with_the_periods(sandbox: Path, world: World):
    cold = {}
    future = [
        f"{period}/{scenario}"
        for period in ("2041_2070", "2071_2099")
        for scenario in ("ssp245", "ssp585")
    ]
    for folder in ["1901_1930", "1931_1960", "1961_1990", "1991_2020", *future]:
        with rasterio.open(sandbox / "koppen" / folder / "koppen_geiger_0p01.tif") as file:
            zones = file.read(1)
            assert file.nodata == 0
        assert np.array_equal(zones == 0, ~world.terrain.land)
        assert zones.max() <= 30
        assert len(np.unique(zones)) > 4
        cold[folder] = int((zones >= 17).sum())
    assert (
        cold["1901_1930"] > cold["1991_2020"] > cold["2041_2070/ssp245"] > cold["2071_2099/ssp585"]
    )
    assert cold["2071_2099/ssp245"] > cold["2071_2099/ssp585"]


def test_gebco_is_ascending_and_lies_on_the_terrain(sandbox: Path, world: World):
    with undecoded(sandbox / "gebco/GEBCO_2024.nc") as file:
        assert file.elevation.dtype == np.int16
        assert file.elevation.dims == ("lat", "lon")
        assert "crs" in file
        assert np.allclose(file.lat, 47 + (np.arange(240) + 0.5) / 240), "south first"
        assert np.allclose(file.lon, (np.arange(360) + 0.5) / 240)
        nearest = file.elevation.sel(
            lat=world.config.grid.lat, lon=world.config.grid.lon, method="nearest"
        ).values
    assert np.corrcoef(nearest.ravel(), world.terrain.elevation.ravel())[0, 1] > 0.98
    assert ((nearest > 0) == world.terrain.land).mean() > 0.95


def test_pnnl_topography_is_that_of_the_terrain(sandbox: Path, world: World):
    with xr.open_dataset(sandbox / "pnnl/TOPO_1km.nc", engine="h5netcdf") as file:
        names = {"ELEVATION", "STDEV_ELEV", "SLOPE", "ASPECT", "SKY_VIEW_FACTOR", "TERRAIN_CONFIG"}
        assert set(file.data_vars) == names
        assert file.sizes == {"lat": 120, "lon": 180}
        assert np.allclose(file.lat, 48 - (np.arange(120) + 0.5) / 120)
        assert float(file.ASPECT.min()) >= 0
        assert float(file.ASPECT.max()) <= 360
        near = file.sel(lat=world.config.grid.lat, lon=world.config.grid.lon, method="nearest")
        known = np.isfinite(near.ELEVATION.values)
    assert (known == world.terrain.land).mean() > 0.95, "missing at sea"
    both = known & world.terrain.land
    assert np.corrcoef(near.ELEVATION.values[both], world.terrain.elevation[both])[0, 1] > 0.98
    assert np.corrcoef(near.SLOPE.values[both], world.terrain.slope[both])[0, 1] > 0.6


def test_pnnl_soil_has_layers(sandbox: Path):
    with xr.open_dataset(sandbox / "pnnl/SOIL_1km.nc", engine="h5netcdf") as file:
        assert file.PCT_SAND.dims == ("layer", "lat", "lon")
        assert file.sizes["layer"] == 10
        assert file.layer.attrs["units"] == "m"
        assert float((file.PCT_SAND + file.PCT_CLAY).max()) <= 100
        assert (file.ORGANIC[0] > file.ORGANIC[-1]).values[np.isfinite(file.ORGANIC[0])].all()


@pytest.mark.parametrize(
    ("store", "scenario"), [("truth.zarr", "ssp245"), ("truth-ssp585.zarr", "ssp585")]
)
def test_truth_opens_in_xarray(sandbox: Path, world: World, store: str, scenario: str):
    with xr.open_zarr(sandbox / store) as truth:
        assert truth.land_use.dims == ("year", "lat", "lon")
        assert truth.land_use.dtype == np.uint8
        assert np.array_equal(truth.year, np.arange(1850, 2101))
        assert np.allclose(truth.lat, world.config.grid.lat)
        assert truth.land_use.attrs["flag_values"] == HILDA.cf_attributes()["flag_values"]
        assert np.array_equal(truth.land_use, world.truth[scenario])


@pytest.mark.parametrize(
    ("kind", "path", "years"),
    [
        ("luh2", "luh2", range(1850, 2101)),
        ("hilda", HILDA_FOLDER, range(1990, 2006)),
        ("isimip", "isimip", range(1850, 2101)),
        ("koppen", "koppen", range(1850, 2101)),
        ("gebco", "gebco", range(1850, 2101)),
        ("pnnl_topo", "pnnl", range(1850, 2101)),
        ("pnnl_soil", "pnnl", range(1850, 2101)),
    ],
)
def test_lurays_sources_read_it_like_the_real_data(
    sandbox: Path, world: World, kind: str, path: str, years: range
):
    config = TypeAdapter(SourceConfig).validate_python({"kind": kind, "path": str(sandbox / path)})
    source = open_source(config, run_years=years, scenario="ssp585")
    assert (source.grid.north, source.grid.west) == pytest.approx((48, 0))
    assert (source.grid.south, source.grid.east) == pytest.approx((47, 1.5))
    for when in (years[0], years[-1]) if source.years else (None,):
        values = source.read(when, Box(0, 0, *source.grid.shape))
        assert values.shape == (len(source.variables), *source.grid.shape)
        assert np.isfinite(values.astype(float)).any()
