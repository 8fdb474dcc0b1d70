import gc
import json
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pystac
import pystac_client
import pytest
import xarray as xr
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.render import RenderExtension
from pystac.extensions.scientific import ScientificExtension
from pystac_client.warnings import PystacClientWarning

from luray.catalog.finished import read_finished
from luray.catalog.publish import publish
from luray.catalog.stac import StoreIO
from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.product.create import create_product
from luray.product.dimensions import ProductDims
from luray.storage.arrays import consolidate
from luray.storage.places import public
from tests.catalog.extension_schemas import validate
from tests.s3 import Bucket

GRID = Grid(36.0, 23.0, 0.01, 40, 60)
YEARS = range(1998, 2003)
ORIGINS = (1, 0, 0, 2, 2)
HILDA_V1 = {"title": "HILDA+ v1", "doi": "10.1594/PANGAEA.921846", "licence": "CC-BY-4.0"}
AGGREGATED = {"title": "Aggregated fractions", "doi": "", "licence": "", "caveat": "an upper bound"}


def maps() -> np.ndarray:
    return np.random.default_rng(7).choice(
        np.array([0, *HILDA.codes], np.uint8), (len(YEARS), *GRID.shape)
    )


def write_product(
    url: str, *, grid: Grid = GRID, finished: bool = True, consolidated: bool = True
) -> str:
    """A product as `infer` leaves it; with a finished one, the land use is `maps()`."""
    create_product(
        url,
        grid=grid,
        years=YEARS,
        origins=ORIGINS,
        tile=20,
        legend=HILDA,
        attributes={
            "title": "A world",
            "caveats": ["forcing: aggregated target"],
            "luray": {"finished": False, "fingerprint": "ab12", "scenario": "ssp245"},
        },
    )
    root = zarr.open_group(url, mode="r+", use_consolidated=False)
    if grid == GRID:
        root["land_use"][:] = maps()
    root.attrs["luray"] = {**root.attrs["luray"], "finished": finished}
    if consolidated:
        consolidate(url)
    return url


def run(product: str, stac_dir: str, **changes: Any) -> str:
    options: dict[str, Any] = {
        "name": "world",
        "title": "A world",
        "description": "Land use of a world.",
        "sources": [HILDA_V1, AGGREGATED],
        "pictures": {},
        "reports": {},
        **changes,
    }
    return publish(product, stac_dir=stac_dir, **options)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def load(url: str) -> tuple[pystac.Catalog, pystac.Collection, pystac.Item]:
    catalog = pystac.Catalog.from_file(url, stac_io=StoreIO())
    collection = next(iter(catalog.get_collections()))
    return catalog, collection, next(iter(collection.get_items()))


@pytest.fixture
def product(tmp_path: Path) -> str:
    return write_product(str(tmp_path / "out/product.zarr"))


@pytest.fixture
def published(product: str, tmp_path: Path) -> str:
    """A catalog with a thumbnail, an animation and a report, beside the product."""
    out = tmp_path / "out"
    for name in (
        "pictures/map.png",
        "pictures/years.mp4",
        "report/metrics.json",
        "report/report.html",
    ):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(name.encode())
    return run(
        product,
        str(out / "stac"),
        reports={
            "report": str(out / "report/metrics.json"),
            "report_page": str(out / "report/report.html"),
        },
        pictures={
            "thumbnail": str(out / "pictures/map.png"),
            "animation": str(out / "pictures/years.mp4"),
        },
    )


def test_catalog_is_valid_with_relative_links(published: str, tmp_path: Path) -> None:
    assert published == str(tmp_path / "out/stac/catalog.json")
    stac = tmp_path / "out/stac"
    assert files_below(stac) == [
        "catalog.json",
        "world/collection.json",
        "world/items.parquet",
        "world/world.json",
    ]
    for path in stac.rglob("*.json"):
        text = path.read_text()
        validate(json.loads(text))
        assert str(tmp_path) not in text
        assert '"rel": "self"' not in text
        for link in json.loads(text)["links"]:
            if link["rel"] in ("root", "parent", "child", "item", "collection"):
                assert (path.parent / link["href"]).is_file(), link


def test_collection_describes_the_product(published: str) -> None:
    _, collection, _ = load(published)
    assert collection.id == "world"
    assert collection.extent.spatial.bboxes == [[23.0, 35.6, 23.6, 36.0]]
    [[first, last]] = collection.extent.temporal.intervals
    assert (first.isoformat(), last.isoformat()) == (
        "1998-01-01T00:00:00+00:00",
        "2002-12-31T23:59:59+00:00",
    )
    cube = DatacubeExtension.ext(collection)
    assert {name: dimension.dim_type for name, dimension in cube.dimensions.items()} == {
        "year": "temporal",
        "lat": "spatial",
        "lon": "spatial",
    }
    assert cube.dimensions["lat"].to_dict()["extent"] == [35.6, 36.0]
    assert cube.dimensions["lon"].to_dict()["step"] == 0.01
    assert {name: variable.dimensions for name, variable in cube.variables.items()} == {
        "land_use": ["year", "lat", "lon"],
        "confidence": ["year", "lat", "lon"],
        "origin": ["year"],
        "cell_area": ["lat"],
    }
    assert cube.variables["confidence"].unit == "percent"
    assert [p.doi for p in ScientificExtension.ext(collection).publications] == [HILDA_V1["doi"]]
    assert [link.href for link in collection.get_links("derived_from")] == [
        f"https://doi.org/{HILDA_V1['doi']}"
    ]
    assert collection.license == "CC-BY-4.0"
    assert [link.href for link in collection.get_links("license")] == [
        "https://spdx.org/licenses/CC-BY-4.0.html"
    ]
    assert "land use" in collection.keywords
    assert collection.providers[0].name == "luray"
    for sentence in (
        "Land use of a world.",
        "Aggregated fractions",
        "an upper bound",
        "forcing: aggregated target",
    ):
        assert sentence in collection.description


def test_item_leads_to_data_report_pictures(published: str, tmp_path: Path) -> None:
    _, collection, item = load(published)
    assert item.bbox == [23.0, 35.6, 23.6, 36.0]
    assert item.properties["luray:scenario"] == "ssp245"
    assert item.properties["luray:caveats"] == ["forcing: aggregated target"]
    assert {
        key: (asset.href, asset.media_type, asset.roles) for key, asset in item.assets.items()
    } == {
        "data": ("../../product.zarr", "application/vnd.zarr", ["data"]),
        "metadata": ("../../product.zarr/zarr.json", "application/json", ["metadata"]),
        "report": ("../../report/metrics.json", "application/json", ["metadata"]),
        "report_page": ("../../report/report.html", "text/html", ["metadata"]),
        "thumbnail": ("../../pictures/map.png", "image/png", ["thumbnail"]),
        "animation": ("../../pictures/years.mp4", "video/mp4", ["overview"]),
    }
    assert set(collection.item_assets) == set(item.assets)
    for asset in (*item.assets.values(), *collection.assets.values()):
        assert Path(asset.get_absolute_href()).exists(), asset.href
    classes = ClassificationExtension.ext(item.assets["data"]).classes
    assert [(c.value, c.name, f"#{c.color_hint.lower()}") for c in classes[1:-1]] == [
        (c.code, c.name, c.colour) for c in HILDA.classes
    ]
    assert (classes[0].name, classes[-1].name) == ("ocean", "no_data")


def test_item_says_the_colours_of_its_classes(published: str) -> None:
    _, _, item = load(published)
    [(name, render)] = RenderExtension.ext(item).renders.items()
    assert (name, render.assets, render.rescale) == ("land_use", ["data"], None)
    assert render.colormap == {str(c.code): c.colour for c in HILDA.classes}
    assert (render.nodata, render.resampling) == (HILDA.nodata, "mode")


def test_scenarios_and_members_are_dimensions(tmp_path: Path) -> None:
    url, dims = str(tmp_path / "product.zarr"), ProductDims(("ssp126", "ssp585"), 3, (2002,))
    create_product(
        url,
        grid=GRID,
        years=YEARS,
        origins=ORIGINS,
        tile=20,
        dims=dims,
        legend=HILDA,
        attributes={
            "luray": {
                "finished": True,
                "scenarios": list(dims.scenarios),
                "members": 3,
                "seed": 1,
            }
        },
    )
    consolidate(url)
    catalog = run(url, str(tmp_path / "stac"))
    for path in (tmp_path / "stac").rglob("*.json"):
        validate(json.loads(path.read_text()))
    _, collection, _ = load(catalog)
    first, second = collection.get_items()
    assert (first.id, second.id) == ("world-ssp126", "world-ssp585")
    for item, scenario in ((first, "ssp126"), (second, "ssp585")):
        assert (item.properties["luray:scenarios"], item.properties["luray:members"]) == (
            ["ssp126", "ssp585"],
            3,
        )
        assert item.properties["luray:scenario"] == scenario
        data = item.assets["data"]
        assert Path(data.get_absolute_href()).resolve() == Path(url).resolve()
        assert "class_probability, entropy, probability" in data.description
        assert f'.sel(scenario="{scenario}")' in data.description
    scenarios = ((first, ["ssp126"]), (second, ["ssp585"]), (collection, ["ssp126", "ssp585"]))
    for stac, described in scenarios:
        cube = DatacubeExtension.ext(stac)
        values = {name: cube.dimensions[name].to_dict().get("values") for name in cube.dimensions}
        assert values == {
            "scenario": described,
            "member": [0, 1, 2],
            "year": None,
            "lat": None,
            "lon": None,
            "class": [int(code) for code in HILDA.codes],
            "probability_year": [2002],
        }
        assert cube.dimensions["scenario"].dim_type == "scenario"
        assert {name: variable.dimensions for name, variable in cube.variables.items()} == {
            "land_use": ["scenario", "member", "year", "lat", "lon"],
            "confidence": ["scenario", "member", "year", "lat", "lon"],
            "origin": ["year"],
            "cell_area": ["lat"],
            "class_probability": ["scenario", "year", "class", "lat", "lon"],
            "entropy": ["scenario", "year", "lat", "lon"],
            "probability": ["scenario", "member", "probability_year", "class", "lat", "lon"],
        }


class Handler(SimpleHTTPRequestHandler):
    """Serves files and byte ranges, as object stores do."""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def send_head(self) -> Any:
        path = Path(self.translate_path(self.path))
        if "Range" not in self.headers or not path.is_file():
            return super().send_head()
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        data = path.read_bytes()
        part = data[int(first) : int(last) + 1 if last else None] if first else data[-int(last) :]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        return BytesIO(part)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """URL of an HTTP server on loopback that serves `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def check_opens(asset: pystac.Asset) -> None:
    """The asset opens with xarray as it says, and holds `maps()`."""
    with xr.open_dataset(
        asset.get_absolute_href(), engine="zarr", **asset.extra_fields["xarray:open_kwargs"]
    ) as data:
        assert data.sizes == {"year": len(YEARS), "lat": 40, "lon": 60, "bnds": 2}
        np.testing.assert_array_equal(data["land_use"], maps())
        np.testing.assert_array_equal(data["origin"], ORIGINS)


def check_client(url: str) -> None:
    """pystac-client finds the item from the catalog's URL, and its data."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", PystacClientWarning
        )  # it says that a static catalog is no API
        [item] = pystac_client.Client.open(url).get_items(recursive=True)
    assert item.id == "world"
    assert item.get_collection().id == "world"
    check_opens(item.assets["data"])


def test_xarray_opens_what_pystac_finds(published: str) -> None:
    check_opens(load(published)[2].assets["data"])


def test_pystac_client_reads_from_a_path(published: str) -> None:
    check_client(published)


def test_pystac_client_reads_over_http(published: str, web: str) -> None:
    check_client(f"{web}/out/stac/catalog.json")


def test_relative_output_gives_same_hrefs(
    product: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("out/product.zarr", "out/stac/") == "out/stac/catalog.json"
    assert load("out/stac/catalog.json")[2].assets["data"].href == "../../product.zarr"


def test_publishing_again_repeats_bytes(product: str, tmp_path: Path) -> None:
    stac = tmp_path / "stac"

    def contents() -> dict[str, bytes]:
        return {name: (stac / name).read_bytes() for name in files_below(stac)}

    run(product, str(stac))
    first = contents()
    run(product, str(stac))
    assert contents() == first
    run(product, str(stac), title="Another world", name="other")
    catalog, collection, item = load(str(stac / "catalog.json"))
    assert (catalog.title, collection.title) == ("Another world", "Another world")
    assert (collection.id, item.id) == ("other", "other")
    assert len(list(catalog.get_items(recursive=True))) == 1


class JournalFileSystem(MemoryFileSystem):
    """A store in memory that remembers what was written, and goes down before one object if told
    so.
    """

    protocol = "journal"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    written: ClassVar[list[str]] = []
    down_at = ""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if self.down_at and path.endswith(self.down_at):
            raise OSError(f"store went down before {path}")
        self.written.append(path)
        super().pipe_file(path, value, mode, **kwargs)


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> type[JournalFileSystem]:
    fsspec.register_implementation("journal", JournalFileSystem, clobber=True)
    for name, fresh in (("store", {}), ("pseudo_dirs", [""]), ("written", []), ("down_at", "")):
        monkeypatch.setattr(JournalFileSystem, name, fresh)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    return JournalFileSystem


def test_catalog_is_written_last(journal: type[JournalFileSystem], tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(b"picture")
    product = write_product("memory://world/product.zarr")
    run(product, "journal://site/stac", pictures={"thumbnail": str(tmp_path / "map.png")})
    assert [path.removeprefix("journal://site/stac/") for path in journal.written] == [
        "world/thumbnail.png",
        "world/world.json",
        "world/items.parquet",
        "world/collection.json",
        "catalog.json",
    ]


@pytest.mark.parametrize("place", ["world.json", "collection.json", "catalog.json"])
def test_interruption_leaves_no_half_catalog(
    journal: type[JournalFileSystem], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    product = write_product("memory://world/product.zarr")
    monkeypatch.setattr(journal, "down_at", place)
    with pytest.raises(OSError, match="went down"):
        run(product, "journal://site/stac")
    with pytest.raises(FileNotFoundError):
        load("journal://site/stac/catalog.json")
    monkeypatch.setattr(journal, "down_at", "")
    run(product, "journal://site/stac")
    monkeypatch.setattr(journal, "down_at", place)
    with pytest.raises(OSError, match="went down"):
        run(product, "journal://site/stac", title="Another world")
    catalog, collection, item = load("journal://site/stac/catalog.json")
    assert catalog.title == "A world"
    assert (collection.id, item.id) == ("world", "world")


def test_no_href_holds_a_secret(journal: type[JournalFileSystem]) -> None:
    product = write_product("memory://user:hunter2@world/product.zarr")
    url = run(product, "journal://user:hunter2@site/stac")
    assert url == "journal://site/stac/catalog.json"
    published = [bytes(file.getbuffer()) for file in journal.store.values()]
    assert len(published) == 4
    assert not any(b"hunter2" in data or b"user" in data for data in published)
    assert any(b'"href": "memory://world/product.zarr"' in data for data in published)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/product.zarr", "s3://bucket/product.zarr"),
        ("https://user:p@ss@host/a/b?X-Amz-Signature=abc#frag", "https://host/a/b"),
        ("gs://bucket/a@b.zarr", "gs://bucket/a@b.zarr"),
        ("simplecache::s3://key:secret@bucket/a", "simplecache::s3://bucket/a"),
        ("folder/odd?name#1", "folder/odd?name#1"),
    ],
)
def test_public_urls(url: str, shown: str) -> None:
    assert public(url) == shown


def test_geometry_is_cut_at_the_dateline(tmp_path: Path) -> None:
    product = write_product(str(tmp_path / "fiji.zarr"), grid=Grid(-16.0, 177.0, 0.1, 40, 60))
    item = load(run(product, str(tmp_path / "stac")))[2]
    assert item.bbox == [177.0, -20.0, -177.0, -16.0]
    assert [
        [min(x for x, _ in ring), max(x for x, _ in ring)]
        for [ring] in item.geometry["coordinates"]
    ] == [[177.0, 180.0], [-180.0, -177.0]]
    validate(item.to_dict())


@pytest.mark.parametrize(
    ("licences", "expected", "links"),
    [
        (["CC-BY-4.0", "CC-BY-4.0", ""], "CC-BY-4.0", 1),
        (["CC-BY-4.0", "CC-BY-SA-4.0"], "other", 2),
        (["CC-BY-4.0", "public domain"], "other", 1),
        (["as the state source"], "other", 0),
        ([], "other", 0),
    ],
)
def test_shared_licence_is_the_products(
    product: str, tmp_path: Path, licences: list[str], expected: str, links: int
) -> None:
    sources = [{"title": f"source {n}", "licence": licence} for n, licence in enumerate(licences)]
    collection = load(run(product, str(tmp_path / "stac"), sources=sources))[1]
    assert collection.license == expected
    assert len(collection.get_links("license")) == links
    assert not ScientificExtension.has_extension(collection)
    validate(collection.to_dict())


def test_unfinished_product_is_refused(tmp_path: Path) -> None:
    faults = {"never.zarr": "found no Zarr store.*luray infer"}
    write_product(str(tmp_path / "running.zarr"), finished=False)
    faults["running.zarr"] = r"found luray\.finished = false.*luray infer"
    write_product(str(tmp_path / "bare.zarr"), consolidated=False)
    faults["bare.zarr"] = "expected consolidated metadata, found none"
    write_product(str(tmp_path / "cut.zarr"))
    metadata = tmp_path / "cut.zarr/zarr.json"
    metadata.write_bytes(metadata.read_bytes()[:300])
    faults["cut.zarr"] = "not JSON.*damaged"
    cube = zarr.open_group(
        str(tmp_path / "cube.zarr"), mode="w", attributes={"luray": {"finished": True}}
    )
    cube.create_array("land_use", shape=(1,), dtype="uint8")
    consolidate(str(tmp_path / "cube.zarr"))
    faults["cube.zarr"] = "found no confidence, origin, year, lat, lon"
    for name, message in faults.items():
        with pytest.raises(ValueError, match=rf"{name}.*{message}"):
            run(str(tmp_path / name), str(tmp_path / "stac"))
    assert not (tmp_path / "stac").exists()


def test_wrong_catalog_is_refused_unwritten(product: str, tmp_path: Path) -> None:
    (tmp_path / "map.bmp").write_bytes(b"picture")
    (tmp_path / "map.png").write_bytes(b"picture")
    for changes, message in (
        ({"name": "../world"}, "name '../world' must be letters"),
        ({"name": ""}, "name '' must be letters"),
        ({"sources": [{"title": "", "doi": "10.1594/PANGAEA.921846"}]}, "has no title"),
        (
            {"sources": [{**HILDA_V1, "doi": "https://doi.org/10.1594/X"}]},
            r"'HILDA\+ v1'.*expected a bare DOI",
        ),
        (
            {"pictures": {"overview": str(tmp_path / "none.png")}},
            "none.png: picture 'overview' is not there",
        ),
        ({"pictures": {"overview": str(tmp_path)}}, "picture 'overview' is not there"),
        (
            {"pictures": {"overview": str(tmp_path / "map.bmp")}},
            "ends in '.bmp', expected one of .png",
        ),
        (
            {"pictures": {"data": str(tmp_path / "map.png")}},
            "picture 'data' has the name of another asset",
        ),
        (
            {"reports": {"report": str(tmp_path / "metrics.json")}},
            "metrics.json: report is not there",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            run(product, str(tmp_path / "stac"), **changes)
    with pytest.raises(ValueError, match=r"the product is local.*copy the product"):
        run(product, "memory://stac")
    assert not (tmp_path / "stac").exists()


def test_extent_is_that_of_the_cells(product: str) -> None:
    found = read_finished(product)
    assert found.years == tuple(YEARS)
    assert (found.grid.north, found.grid.west, found.grid.shape) == (36.0, 23.0, (40, 60))
    assert found.grid.step == pytest.approx(0.01, abs=1e-12)


def forget_s3() -> None:
    """Drop the file systems of a server that goes away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # zarr leaves its sessions open
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        gc.collect()


@pytest.fixture
def bucket(s3: Bucket) -> Iterator[Bucket]:
    """A bucket whose file systems are closed quietly."""
    yield s3
    forget_s3()


def test_catalog_on_s3_copies_pictures(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(b"picture")
    product = write_product(f"{bucket.url}/out/product.zarr")
    url = run(product, f"{bucket.url}/out/stac", pictures={"thumbnail": str(tmp_path / "map.png")})
    assert url == f"{bucket.url}/out/stac/catalog.json"
    stored = bucket.keys()
    keys = sorted(key for key in stored if key.startswith("out/stac/"))
    assert keys == [
        f"out/stac/{name}"
        for name in (
            "catalog.json",
            "world/collection.json",
            "world/items.parquet",
            "world/thumbnail.png",
            "world/world.json",
        )
    ]
    for key in keys:
        assert not any(word in bucket.get(key) for word in (b"127.0.0.1", str(tmp_path).encode()))
    _, collection, item = load(url)
    assert item.assets["data"].href == "../../product.zarr"
    for stac in (item, collection):
        assert (
            stac.assets["thumbnail"].get_absolute_href()
            == f"{bucket.url}/out/stac/world/thumbnail.png"
        )
    check_opens(item.assets["data"])
    local = load(run(product, str(tmp_path / "stac")))[2]
    assert local.assets["data"].href == product
    check_opens(local.assets["data"])
