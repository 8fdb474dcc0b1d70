"""What `luray publish` leaves in an output folder, consumed by the tools of others."""

import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pyarrow.parquet as pq
import pystac
import pystac_client
import pytest
import rasterio
import rustac
import torch
import xarray as xr
import zarr
from pystac.extensions.mlm import MLMExtension
from rocrate.rocrate import ROCrate

import luray
from luray.catalog.finished import read_finished
from luray.catalog.provenance import provenance_of, published_run
from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.model.card import ModelCard, read_card
from luray.model.checkpoint import save_model
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.product.create import create_product
from luray.product.dimensions import ProductDims
from luray.stages.cogs import write_cogs
from luray.stages.config import RunConfig
from luray.stages.infer import unpublish
from luray.stages.publish import publish
from luray.storage.arrays import consolidate
from tests.catalog.extension_schemas import validate
from tests.cube.cubes import make_cube
from tests.stac_api import serve_stac

# rioxarray and odc-geo use affine and shapely as these no longer like it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
]

GRID = Grid(36.0, 23.0, 0.01, 40, 60)
YEARS = range(1999, 2001)
SCENARIOS = ("ssp126", "ssp585")
SECRET = "hunter2"

CARD = ModelCard(
    "forward",
    "HILDA+",
    tuple(int(code) for code in HILDA.codes),
    tuple(f"channel {i}" for i in range(9)),
    UNetConfig(width=4, depth=2, history=1),
    {},
    "ab" * 32,
    {},
)


def maps() -> np.ndarray:
    """Codes, shape (scenario, year, lat, lon)."""
    shape = (len(SCENARIOS), len(YEARS), *GRID.shape)
    return np.random.default_rng(7).choice(np.array([0, *HILDA.codes], np.uint8), shape)


def run_in(folder: Path) -> RunConfig:
    """A run whose output is a folder, and whose run file has places and secrets of this machine."""
    root = Path(luray.__file__).parents[1]
    run = luray.load_run(
        root / "catalogs/crete/run.toml",
        [
            f"output={folder}",
            'name="world"',
            'title="A world"',
            'scenarios=["ssp126", "ssp585"]',
            "inference.years=[1999, 2000]",
            "inference.observed=[1999, 1999]",
            "evaluation.tests=[]",
            f'sources.2.path="{folder}/inputs/relief"',
            f'sources.3.path="https://user:{SECRET}@host/koppen"',
            "publish.cogs=true",
        ],
        unset="kept",
    )
    return run.model_copy(update={"scenarios": SCENARIOS})


def write_run(folder: Path) -> RunConfig:
    """An output folder as `infer` leaves it: cube, model and finished product."""
    run = run_in(folder)
    cube = make_cube(run.cube, "region").cube
    group = zarr.open_group(run.cube, mode="r+", use_consolidated=False)["state"]
    group.attrs["files"] = {"2000.tif": "sha256:" + "cd" * 32}
    group.attrs["rules"] = ["codes 40-45 read as 44 forest"]
    consolidate(run.cube)
    torch.manual_seed(0)
    save_model(UNet(len(CARD.channels), len(HILDA), CARD.unet), CARD, run.model_folder("forward"))

    written = read_card(run.model_folder("forward"))
    assert written is not None
    tables = run.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    create_product(
        run.product,
        grid=GRID,
        years=YEARS,
        origins=(0, 2),
        tile=20,
        legend=HILDA,
        dims=ProductDims(SCENARIOS),
        attributes={
            "title": "A world",
            "caveats": [],
            "provenance": provenance_of(cube, tables, [written]),
            "luray": {
                "finished": True,
                "fingerprint": "12" * 32,
                "scenarios": list(SCENARIOS),
                "models": {"forward": CARD.fingerprint},
                "tile": 20,
                "tiles": 2 * 3,
            },
        },
    )
    root = zarr.open_group(run.product, mode="r+", use_consolidated=False)
    root["land_use"][:] = maps()
    consolidate(run.product)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A published run."""
    run = write_run(tmp_path_factory.mktemp("published") / "out")
    publish(run)
    return run


def documents(run: RunConfig) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in Path(run.path("stac")).rglob("*.json")]


def items(run: RunConfig, collection: str) -> dict[str, pystac.Item]:
    folder = pystac.Collection.from_file(run.path("stac", collection, "collection.json"))
    return {item.id: item for item in folder.get_items()}


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_document_fits_its_schemas(run: RunConfig) -> None:
    found = documents(run)
    assert len(found) == 1 + 2 + 2 + 4 + 1
    declared: set[str] = set()
    for document in found:
        validate(document)
        declared |= {url.split("/")[3] for url in document.get("stac_extensions", ())}
    assert declared == {
        "classification",
        "datacube",
        "file",
        "mlm",
        "processing",
        "projection",
        "raster",
        "render",
        "version",
        "xarray-assets",
    }


def test_a_wrong_document_does_not_fit(run: RunConfig) -> None:
    item = items(run, "world")["world-ssp126-2000"].to_dict()
    item["properties"]["proj:shape"] = "40 x 60"
    with pytest.raises(pystac.STACValidationError):
        validate(item)


def test_nothing_leaks_a_place_or_a_secret(run: RunConfig) -> None:
    folder = Path(run.path())
    published = contents(folder)
    assert {name.split("/")[0] for name in published} >= {
        "stac",
        "cogs",
        "model",
        "cube.zarr",
        "product.zarr",
        "ro-crate-metadata.json",
    }
    for name, data in published.items():
        assert str(folder).encode() not in data, name
        assert SECRET.encode() not in data, name


def test_odc_stac_loads_a_region(run: RunConfig) -> None:
    wanted = [items(run, "world")[f"world-ssp585-{year}"] for year in YEARS]
    loaded = odc.stac.load(wanted, bbox=(23.1, 35.7, 23.3, 35.9), bands=["land_use"])
    assert loaded.land_use.shape == (2, 20, 20)
    assert loaded.land_use.dtype == np.uint8
    assert loaded.time.dt.year.values.tolist() == [1999, 2000]
    np.testing.assert_array_equal(loaded.land_use, maps()[1, :, 10:30, 10:30])


def test_xpystac_opens_store_and_geotiff(run: RunConfig) -> None:
    found = items(run, "world")
    # Absolute hrefs are what an API gives; xpystac takes an asset as it is.
    store = found["world-ssp585"].make_asset_hrefs_absolute().assets["data"]
    with xr.open_dataset(store, engine="stac") as product:
        np.testing.assert_array_equal(product.land_use, maps())
        assert product.scenario.values.tolist() == list(SCENARIOS)
    image = found["world-ssp585-2000"].make_asset_hrefs_absolute().assets["land_use"]
    with xr.open_dataset(image, engine="stac", mask_and_scale=False) as opened:
        np.testing.assert_array_equal(opened.band_data[0], maps()[1, 1])
        assert opened.rio.crs.to_epsg() == 4326


def test_an_item_opens_as_its_scenario(run: RunConfig) -> None:
    for place in ("world-ssp585.json", "collection.json"):
        product = luray.open_product(run.path("stac", "world", place))
        expected = maps()[1] if place.startswith("world") else maps()
        np.testing.assert_array_equal(product.land_use, expected)


@pytest.fixture
def api(run: RunConfig, tmp_path: Path) -> Iterator[pystac_client.Client]:
    """A client of an API over the published items, which were read from the parquet files."""
    found = []
    for collection in ("world", "world-models"):
        folder = run.path("stac", collection)
        for item in rustac.read_sync(f"{folder}/items.parquet")["features"]:
            place = f"{folder}/{item['id']}.json"
            absolute = pystac.Item.from_dict(item, href=place).make_asset_hrefs_absolute()
            found.append(
                absolute.to_dict(include_self_link=False, transform_hrefs=False) | {"links": []}
            )
    collections = [d | {"links": []} for d in documents(run) if d["type"] == "Collection"]
    with serve_stac(tmp_path, found, collections) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rustac names no conformance to some classes
        yield pystac_client.Client.open(url)


def test_a_browser_finds_map_and_model(api: pystac_client.Client) -> None:
    assert {c.id for c in api.get_collections()} == {"world", "world-models"}
    found = api.search(collections=["world"], bbox=[23, 35.8, 23.1, 36], datetime="2000-01-01")
    ids = {item.id for item in found.items()}
    assert {"world-ssp126-2000", "world-ssp585-2000"} <= ids
    assert not any(name.endswith("1999") for name in ids)
    assert not list(api.search(collections=["world"], bbox=[10, 10, 11, 11]).items())
    [model] = api.search(collections=["world-models"]).items()
    assert MLMExtension.ext(model).architecture == "U-Net"


def test_the_table_has_every_item(run: RunConfig) -> None:
    table = pq.ParquetFile(run.path("stac", "world", "items.parquet"))
    assert sorted(table.read(["id"])["id"].to_pylist()) == sorted(items(run, "world"))
    metadata = json.loads(table.metadata.metadata[b"geo"])
    assert metadata["columns"]["geometry"]["bbox"] == [23.0, 35.6, 23.6, 36.0]


def test_a_published_model_runs_in_one_line(run: RunConfig) -> None:
    item = items(run, "world-models")["world-model-forward"]
    model, card = luray.open_model(item)
    described = MLMExtension.ext(item)
    assert list(card.channels) == item.properties["luray:channels"]
    assert described.total_parameters == sum(p.numel() for p in model.parameters())
    assert [known.value for known in described.output[0].classes or ()] == list(card.classes)
    weights = item.assets["weights"]
    assert weights.extra_fields["file:checksum"] == "1220" + card.weights_sha256
    inputs = torch.zeros(1, len(card.channels), 8, 8)
    assert model(inputs).shape == (1, len(HILDA), 8, 8)
    with pytest.raises(ValueError, match="has no asset weights"):
        luray.open_model(run.path("stac", "world", "world-ssp126.json"))
    with pytest.raises(ValueError, match="found a catalog"):
        luray.open_model(run.path("stac", "catalog.json"))


def test_a_crate_names_what_is_there(run: RunConfig) -> None:
    folder = Path(run.path())
    crate = ROCrate(str(folder))
    assert crate.name == "A world"
    paths = [entity.id for entity in crate.root_dataset["hasPart"]]
    assert {"product.zarr/", "stac/", "cogs/", "model/forward/weights.safetensors"} <= set(paths)
    assert all((folder / path).exists() for path in paths)
    action = crate.dereference("#inference")
    assert action["result"].id == "product.zarr/"
    assert {entity.id for entity in action["object"]} == {
        "#gebco",
        "#hilda",
        "#koppen",
        "#luh2",
        "stac/world/run.toml",
        "model/forward/weights.safetensors",
    }
    assert action["instrument"]["softwareVersion"] == luray.__version__
    [file] = crate.dereference("#hilda").as_jsonld()["hasPart"]
    file = crate.dereference(file["@id"])
    assert (file["name"], file["identifier"]) == ("2000.tif", "sha256:" + "cd" * 32)
    weights = crate.dereference("model/forward/weights.safetensors")
    assert weights["sha256"] == luray.open_model(run.model_folder("forward"))[1].weights_sha256


def test_the_product_says_what_made_it(run: RunConfig) -> None:
    provenance = luray.open_product(run.product).attrs["provenance"]
    assert provenance["software"]["version"] == luray.__version__
    assert len(provenance["software"]["sha256"]) == 64
    by_name = {source["name"]: source for source in provenance["inputs"]}
    assert by_name["hilda"]["rules"] == ["codes 40-45 read as 44 forest"]
    assert by_name["koppen"]["held_years"]
    assert by_name["luh2"]["caveat"] == "made up"
    assert provenance["models"][0]["fingerprint"] == CARD.fingerprint


def test_the_run_file_runs_elsewhere(
    run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LURAY_INPUTS", str(tmp_path))
    monkeypatch.setenv("LURAY_OUTPUT", "s3://bucket")
    again = luray.load_run(run.path("stac", "world", "run.toml"), unset="kept")
    assert again.output == "s3://bucket/out"
    assert again.sources[2].path == f"{tmp_path}/relief"
    assert again.sources[3].path == "https://host/koppen"
    for key in ("grid", "scenarios", "training", "inference", "model", "tiling", "publish"):
        assert getattr(again, key) == getattr(run, key), key


@pytest.mark.parametrize("name", ["crete/run.toml", "brazil/run.toml", "global/all.toml"])
def test_published_run_files_are_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LURAY_DATA", "LURAY_INPUTS", "LURAY_OUTPUT", "LURAY_CATALOG"):
        monkeypatch.delenv(variable, raising=False)
    root = Path(luray.__file__).parents[1]
    run = luray.load_run(root / "catalogs" / name, unset="kept")
    tables = published_run(
        run.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    )
    again = RunConfig.model_validate_json(json.dumps(tables))
    assert again.model_copy(update={"output": run.output}) == run


def test_publishing_again_changes_no_byte(run: RunConfig) -> None:
    folder = Path(run.path())
    before = contents(folder)
    lost = folder / "cogs/ssp126/2000.tif"
    lost.unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.tif")}
    told: list[tuple[int, int]] = []
    publish(run, progress=lambda done, total: told.append((done, total)))
    assert contents(folder) == before
    assert told[-1] == (4, 4)
    # Only the file that was lost is written again.
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_lost_map_becomes_no_geotiff(run: RunConfig, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run.product, tmp_path / "copy.zarr"))
    lost = next(path for path in (copy / "land_use/c/0/1").rglob("*") if path.is_file())
    lost.unlink()
    with pytest.raises(ValueError, match=r"land_use of \d{4} has \d+ of 6 tiles"):
        write_cogs(read_finished(str(copy)), str(tmp_path / "cogs"), HILDA)
    made = sorted(path.stem for path in (tmp_path / "cogs").rglob("*.tif"))
    assert made == [str(YEARS[0])], "the map before the lost one is whole"


def test_unpublishing_takes_all_that_says_finished(tmp_path: Path) -> None:
    run = write_run(tmp_path / "out")
    publish(run)
    unpublish(run)
    names = {name.split("/")[0] for name in contents(tmp_path / "out")}
    assert not names & {"cogs", "cogs.ledger", "ro-crate-metadata.json"}
    assert not (tmp_path / "out/stac/catalog.json").exists()
    unpublish(run)  # twice is once
    zarr.open_group(run.product, mode="r+", use_consolidated=False)["land_use"][:] = 77
    publish(run)
    with rasterio.open(tmp_path / "out/cogs/ssp126/2000.tif") as image:
        assert (image.read(1) == 77).all()
