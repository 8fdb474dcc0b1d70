from pathlib import Path

import numpy as np
import pytest
import rasterio

from luray.bench import globe_world as globe
from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.sources import open_source
from luray.sources.categorical import CategoricalConfig
from luray.sources.hilda import HildaConfig
from luray.sources.isimip import IsimipConfig
from luray.sources.luh2 import Luh2Config
from luray.sources.static_raster import Band

COARSE = Grid(90, -180, 0.25, 720, 1440)
YEARS = range(2000, 2002)


def static(path: Path, values: np.ndarray, band: Band):
    """A global GeoTIFF, opened as a run file would."""
    n_lat, n_lon = values.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=values.dtype,
        count=1,
        height=n_lat,
        width=n_lon,
        crs="EPSG:4326",
        transform=rasterio.Affine(360 / n_lon, 0, -180, 0, -180 / n_lat, 90),
    ) as out:
        out.write(values, 1)
    return open_source(
        CategoricalConfig(
            kind="categorical",
            name=band.name,
            role="static",
            path=str(path),
            pattern=path.name,
            bands=(band,),
        ),
        run_years=YEARS,
        scenario="ssp245",
    )


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory):
    """A relief that is high in the east, and tropics north of a temperate south."""
    folder = tmp_path_factory.mktemp("earth")
    height = np.zeros((180, 360), np.int16)
    height[:, 180:] = 9000
    group = np.where(np.arange(180)[:, None] < 90, 1, 3).astype(np.uint8) * np.ones(
        (1, 360), np.uint8
    )
    return {
        "relief": static(folder / "relief.tif", height, Band(name="elevation", units="m")),
        "climate": static(
            folder / "climate.tif", group, Band(name="climate", categories=(1, 2, 3, 4, 5))
        ),
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, earth) -> Path:
    folder = tmp_path_factory.mktemp("globe")
    assert globe.write_globe(folder, grid=COARSE, year=2000, **earth)
    return folder


def test_the_sources_read_what_was_written(written: Path):
    hilda = HildaConfig(kind="hilda", path=str(written / "hilda"))
    luh2 = Luh2Config(kind="luh2", path=str(written / "luh2"))
    isimip = IsimipConfig(kind="isimip", path=str(written / "isimip"))
    maps, states, people = (
        open_source(c, run_years=YEARS, scenario="ssp245") for c in (hilda, luh2, isimip)
    )
    assert (maps.grid, maps.years) == (COARSE, (2000,))
    assert states.years == people.years == tuple(YEARS)
    codes = maps.read(2000, Box(0, 0, 720, 1440))[0]
    before, after = (states.read(year, Box(0, 0, 720, 1440)) for year in YEARS)
    land = ~np.isin(codes, [0, HILDA.water])
    assert np.allclose(before.sum(axis=0), land, atol=1e-6), "a coarse cell is one fine cell here"
    crops = [i for i, v in enumerate(states.variables) if 22 in v.classes]
    assert np.allclose(before[crops].sum(axis=0), codes == 22, atol=1e-6)
    assert after[crops].sum() > before[crops].sum(), "forest is cleared"
    first, second = (people.read(year, Box(0, 0, 360, 720)) for year in YEARS)
    assert 0 < first.sum() < second.sum()


def test_land_is_where_the_mask_has_it(written: Path):
    with rasterio.open(next((written / "hilda").glob("*.tif"))) as raster:
        codes = raster.read(1)
        assert raster.block_shapes == [(400, 400)], "a tile is read without its neighbours"

    def at(lat: float, lon: float) -> int:
        return int(codes[int((90 - lat) / 0.25), int((lon + 180) / 0.25)])

    assert all(
        at(*place) == 0 for place in ((0.1, -30.1), (30.1, -150.1), (-40.1, 80.1), (85.1, 0.1))
    )
    assert all(
        at(*place) != 0 for place in ((50.1, 10.1), (-10.1, -60.1), (-25.1, 135.1), (-80.1, 60.1))
    )
    assert at(35.1, 90.1) == 66, "nothing grows at 9000 m"
    assert 0.30 < (codes != 0).mean() < 0.36, (
        "of the cells, more than of the area: Antarctica is wide on this grid"
    )


def test_a_globe_that_is_there_stays_and_one_of_other_cells_is_replaced(
    tmp_path: Path, written: Path, earth
):
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*.*")}
    assert not globe.write_globe(written, grid=COARSE, year=2000, **earth)
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*.*")}
    with pytest.raises(ValueError, match=r"fit into 0.25 degrees; set grid.step = 0.01"):
        globe.write_globe(tmp_path, grid=Grid(90, -180, 0.5, 360, 720), year=2000, **earth)
