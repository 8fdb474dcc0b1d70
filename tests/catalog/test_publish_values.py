"""The catalog of a product of values by month, and GeoTIFFs of its maps."""

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.render import RenderExtension

import luray
from luray.catalog.finished import read_finished
from luray.catalog.model_item import TrainedModel, model_item
from luray.catalog.origin import lineage
from luray.catalog.publish import publish
from luray.catalog.research_object import write_crate
from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, Legend, rgb
from luray.core.value_scale import ValueScale
from luray.export import cog
from luray.export.cog import write_cog
from luray.model.card import ModelCard
from luray.model.features import Features
from luray.model.unet_config import UNetConfig
from luray.stages.cogs import write_cogs
from luray.storage.receipts import Ledger
from tests.catalog.extension_schemas import validate
from tests.product.value_products import GRID, LAI, MONTHLY, finished_value_product, levels_of


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Folder of a product of 48 months, its GeoTIFFs and its catalog."""
    folder = tmp_path_factory.mktemp("published")
    finished_value_product(folder)
    product = read_finished(f"{folder}/product.zarr")
    files = write_cogs(product, f"{folder}/cogs", LAI)
    publish(
        product.url,
        stac_dir=f"{folder}/stac",
        name="lai",
        title="LAI",
        description="",
        sources=[],
        pictures={},
        reports={},
        maps=files,
    )
    return folder


def test_every_document_fits_its_schemas(published):
    documents = list((published / "stac").rglob("*.json"))
    assert len(documents) == 1 + 1 + 1 + 48
    for path in documents:
        validate(json.loads(path.read_text()))


def test_the_item_tells_time_and_units(published):
    item = pystac.Item.from_file(str(published / "stac/lai/lai.json"))
    assert item.properties["start_datetime"] == "2000-01-01T00:00:00Z"
    assert item.properties["end_datetime"] == "2003-12-31T23:59:59Z"
    cube = DatacubeExtension.ext(item)
    assert cube.dimensions["time"].to_dict() == {
        "type": "temporal",
        "extent": ["2000-01-01T00:00:00Z", "2003-12-31T23:59:59Z"],
        "step": "P1M",
        "description": "first day of the month, in years without leap days",
    }
    assert "year" not in cube.dimensions
    variables = {name: of.to_dict() for name, of in cube.variables.items()}
    assert variables["lai"]["unit"] == variables["spread"]["unit"] == "m2 m-2"
    assert variables["lai"]["extent"] == [0.0, 7.0]
    assert variables["lai"]["dimensions"] == ["time", "lat", "lon"]
    data = item.assets["data"].to_dict()
    assert data["title"] == "Leaf area index by month"
    assert "classification:classes" not in data
    opened = luray.open_product(item)
    assert opened.sizes["time"] == 48


def test_a_map_is_found_by_its_month(published):
    item = pystac.Item.from_file(str(published / "stac/lai/lai-2001-02.json"))
    assert item.datetime.isoformat() == "2001-02-01T00:00:00+00:00"
    assert item.properties["end_datetime"] == "2001-02-28T23:59:59Z"
    assert item.properties["luray:origin"] == "observed"
    [band] = item.assets["lai"].to_dict()["raster:bands"]
    assert (band["scale"], band["offset"], band["unit"], band["nodata"]) == (0.05, 0, "m2 m-2", 255)
    collection = json.loads((published / "stac/lai/collection.json").read_text())
    assert collection["keywords"][:4] == ["leaf area index", "LAI", "vegetation", "monthly"]
    assert collection["extent"]["temporal"]["interval"] == [
        ["2000-01-01T00:00:00Z", "2003-12-31T23:59:59Z"]
    ]


def test_the_item_of_the_store_says_the_colours_of_values(published):
    store = pystac.Item.from_file(str(published / "stac/lai/lai.json"))
    render = RenderExtension.ext(store).renders["lai"]
    assert render.assets == ["data"]
    assert "data" in store.assets
    assert (render.rescale, render.nodata) == ([[0.0, 7.0]], NO_VALUE)
    assert (render.title, render.resampling) == ("Leaf area index", "average")
    # a value in the middle has the colour of its level
    middle = int(255 * 70 / 140)
    assert list(render.colormap) == [str(number) for number in range(256)]
    assert render.colormap["0"] == LAI.classes[0].colour
    assert render.colormap["255"] == LAI.classes[-1].colour
    near = LAI.classes[70].colour
    for a, b in zip(rgb(render.colormap[str(middle)]), rgb(near), strict=True):
        assert abs(a - b) <= 2

    # they are not said again of every month
    month = pystac.Item.from_file(str(published / "stac/lai/lai-2001-02.json"))
    assert not RenderExtension.has_extension(month)


def test_a_geotiff_has_values_by_scale_and_offset(published):
    with rasterio.open(published / "cogs/2001-05.tif") as file:
        assert (file.scales, file.offsets, file.units, file.nodata) == (
            (0.05,),
            (0,),
            ("m2 m-2",),
            255,
        )
        assert file.descriptions == ("leaf area index",)
        assert file.colorinterp[0] != rasterio.enums.ColorInterp.palette
        levels = levels_of(GRID, MONTHLY, MONTHLY.step(2001, 4), gaps=True)
        assert np.array_equal(file.read(1), levels)
        tags = file.tags()
        assert (tags["YEAR"], tags["DATES"]) == ("2001", "2001-05-01/2001-05-31")
    keys = Ledger(f"{published}/cogs", "f" * 64).done()
    assert len(keys) == 48
    assert "2003-12" in keys


def test_overviews_of_a_geotiff_are_means(tmp_path):
    levels = np.tile(np.array([[10, 30], [30, 10]], np.uint8), (400, 400))
    levels[:, 600:] = NO_VALUE
    place = str(tmp_path / "map.tif")
    write_cog(place, [levels], grid=Grid(40, 0, 0.01, 800, 800), legend=LAI, tags={})
    with rasterio.open(place, overview_level=0) as file:
        half = file.read(1)
        assert half.shape == (400, 400)
        assert (half[:, :299] == 20).all()
        assert (half[:, 301:] == NO_VALUE).all()


def test_a_scale_that_was_not_stored_is_noticed(tmp_path):
    place = tmp_path / "map.tif"
    grid = Grid(40, 0, 0.01, 2, 2)
    write_cog(str(place), [np.zeros((2, 2), np.uint8)], grid=grid, legend=LAI, tags={})
    other = Legend.of_values("m", ValueScale("m", 0.0, 0.5, 9), variable="m", long_name="m")
    with pytest.raises(RuntimeError, match=r"map.tif: scale \(0.05,\) and offset \(0.0,\), expect"):
        cog._check(place, [], grid=grid, legend=other, shown="map.tif")


def test_the_crate_and_the_lineage_say_months(published):
    product = read_finished(f"{published}/product.zarr")
    assert lineage(product).startswith("Monthly maps by a U-Net that walks step by step")
    place = write_crate(
        str(published), product, product_path="product.zarr", title="LAI", description="",
        sources=[], parts=[], used=[],
    )  # fmt: skip
    graph = json.loads(Path(place).read_text())["@graph"]
    [root] = [entity for entity in graph if entity["@id"] == "./"]
    assert root["temporalCoverage"] == "2000-01/2003-12"
    assert any(entity.get("name") == "Leaf area index by month" for entity in graph)


def test_a_model_of_values_is_a_regression(published):
    product = read_finished(f"{published}/product.zarr")
    features = Features(0, (), (), scale=LAI.scale, per_year=12).remembering(13)
    card = ModelCard(
        "forward", LAI.name, (), features.names, UNetConfig(history=13), {}, "ab" * 32, {},
        weights_sha256="cd" * 32,
    )  # fmt: skip
    trained = TrainedModel(f"{published}/models/forward", card, (2001, 2002))
    item = model_item(trained, product, name="lai", title="LAI", folder=f"{published}/stac/models")
    validate(item.to_dict(include_self_link=False))
    assert item.properties["mlm:tasks"] == ["regression"]
    [output] = item.properties["mlm:output"]
    assert output["result"]["shape"] == [-1, 2, -1, -1]
    assert "next month from the last 13 maps" in item.properties["description"]
    assert "gives a value and its spread" in item.properties["description"]
    assert item.properties["mlm:total_parameters"] > 1000
