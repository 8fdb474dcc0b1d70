"""`luray view` of a product on a store: S3, Google's storage, the web; by its place, run file or STAC."""

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import xarray as xr

import luray
from luray.explorer.page import write_page
from luray.stages.view import find_product
from luray.storage.trust import RefusedError
from tests.catalog.test_publish import forget_s3
from tests.catalog.test_publish import run as publish
from tests.explorer.conftest import explorer_at, serving
from tests.explorer.small_world import LAND_TILES, write_empty_product
from tests.explorer.test_explorer import LINES, assert_drawn, hide
from tests.gcs import GcsBucket
from tests.machine import patience
from tests.s3 import Bucket
from tests.web import Site, serve_site

Put = Callable[[str, bytes], Any]
MAPS = ("land_use", "confidence", "class_probability", "fraction", "transition", "entropy")


def copy(world: Path, put: Put, folder: str) -> None:
    """Put product and cube of the small world below a folder of a store.

    Of the maps those of the first scenario and member alone, which are enough to be drawn.
    """
    for store in ("product.zarr", "cube.zarr"):
        for path in (world / store).rglob("*"):
            name = str(path.relative_to(world))
            of_others = "/c/" in name and "/c/0/0/" not in name and store == "product.zarr"
            is_axis = "/year/" in name or "/origin/" in name or "/scenario/" in name
            if path.is_file() and not path.is_symlink() and (is_axis or not of_others):
                put(f"{folder}/{name}", path.read_bytes())


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve_site(tmp_path_factory.mktemp("web") / "site") as site:
        yield site


STORES = {"s3": "s3", "gs": "gcs", "http": "web"}
"""Fixture of each kind of store."""


@pytest.fixture(scope="module", params=STORES)
def place(request: pytest.FixtureRequest, world: Path) -> Iterator[str]:
    """Place of the folder that has both, on each kind of store."""
    store: Bucket | GcsBucket | Site = request.getfixturevalue(STORES[request.param])
    copy(world, store.put, "out")
    yield f"{store.url}/out"
    if request.param == "s3":
        forget_s3()


@pytest.fixture(scope="module")
def product(world: Path) -> xr.Dataset:
    return luray.open_product(str(world / "product.zarr"))


def test_a_product_on_a_store_is_drawn(browser: Any, place: str, product: xr.Dataset) -> None:
    viewed = find_product(f"{place}/product.zarr")
    assert viewed.cube == f"{place}/cube.zarr", "the cube beside it has the demand"
    with (
        serving(f"{place}/product.zarr") as server,
        explorer_at(browser, f"{server.address}#map=6.2/47/4&year=2010") as explorer,
    ):
        explorer.page.wait_for_function("window.explorer.maplibre.getLayer('coast')")
        for line in LINES:
            hide(explorer, line)
        assert_drawn(explorer, product.land_use.sel(scenario="ssp126", member=0, year=2010).load())
        explorer.set("{cell: {lat: 47.3, lon: 3.6}}")
        explorer.page.wait_for_function("window.explorer.cellSeries")
        explorer.page.wait_for_function(
            "document.querySelectorAll('.demand tbody td').length === 4"
        )


def put_metadata(world: Path, put: Put, folder: str) -> None:
    """Put what the product says of itself below a folder of a store, without its maps."""
    for path in (world / "product.zarr").rglob("*"):
        name = str(path.relative_to(world))
        is_map = any(f"/{array}/c/" in name for array in MAPS)
        if path.is_file() and not path.is_symlink() and not is_map:
            put(f"{folder}/{name}", path.read_bytes())


def get(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=patience(30))
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def test_ranges_of_a_store_are_those_of_its_files(place: str, world: Path) -> None:
    whole = (world / "product.zarr/land_use/c/0/0/0/0/0").read_bytes()
    path = "/product/land_use/c/0/0/0/0/0"
    with serving(f"{place}/product.zarr") as server:
        assert get(server.address, path)[2] == whole
        for asked, part in (
            ("bytes=3-11", whole[3:12]),
            ("bytes=5-", whole[5:]),
            ("bytes=-7", whole[-7:]),
            (f"bytes=2-{2 * len(whole)}", whole[2:]),
        ):
            status, headers, body = get(server.address, path, Range=asked)
            assert (status, body) == (206, part), asked
            assert headers["content-length"] == str(len(part))
        no_land = "/product/land_use/c/0/0/0/1/2"
        assert get(server.address, no_land)[0] == 404
        assert get(server.address, no_land, **{"X-Absent": "204"})[0] == 204


def test_a_run_file_leads_to_the_product_on_its_store(
    s3: Bucket, world: Path, tmp_path: Path
) -> None:
    s3.put("of_run/product.zarr/zarr.json", (world / "product.zarr/zarr.json").read_bytes())
    file = tmp_path / "RUN.toml"
    file.write_text(
        f"""name = "small"
output = "{s3.url}/of_run"
[grid]
north = 49.0
west = 1.0
step = 0.05
shape = [80, 120]
[[sources]]
kind = "luh2"
path = "{tmp_path}"
[training]
years = [1996, 2000]
[inference]
years = [1990, 2014]
observed = [1996, 2005]
"""
    )
    viewed = find_product(str(file))
    assert viewed.product == f"{s3.url}/of_run/product.zarr"
    moved = find_product(str(file), (f"output={world}",))
    assert moved.product == str(world / "product.zarr")
    forget_s3()


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_stac_leads_to_the_product(kind: str, request: pytest.FixtureRequest, world: Path) -> None:
    store: Bucket | GcsBucket = request.getfixturevalue("s3" if kind == "s3" else "gcs")
    put_metadata(world, store.put, "published")
    product = f"{store.url}/published/product.zarr"
    catalog = publish(product, stac_dir=f"{store.url}/published/stac")
    whole = find_product(catalog)
    assert (whole.product, whole.scenario) == (product, "")
    item = item_of(store, "ssp585")
    alone = find_product(item)
    assert (alone.product, alone.scenario) == (product, "ssp585")
    if kind == "s3":
        forget_s3()


def item_of(store: Bucket | GcsBucket, scenario: str) -> str:
    """Place of the item of a scenario, as its collection links it."""
    folder = "published/stac"
    catalog = json.loads(store.get(f"{folder}/catalog.json"))
    [child] = [link["href"] for link in catalog["links"] if link["rel"] == "child"]
    collection = f"{folder}/{child.removeprefix('./')}"
    links = json.loads(store.get(collection))["links"]
    items = [link["href"] for link in links if link["rel"] == "item" and scenario in link["href"]]
    return f"{store.url}/{collection.rpartition('/')[0]}/{items[0].removeprefix('./')}"


def test_a_remote_catalog_leads_to_no_other_place(s3: Bucket, world: Path) -> None:
    put_metadata(world, s3.put, "published")
    publish(f"{s3.url}/published/product.zarr", stac_dir=f"{s3.url}/published/stac")
    place = item_of(s3, "ssp126")
    key = place.removeprefix(f"{s3.url}/")
    item = json.loads(s3.get(key))
    item["assets"]["data"]["href"] = f"file://{world}/product.zarr"
    s3.put(key, json.dumps(item).encode())
    with pytest.raises(RefusedError, match=r"storage\.allow"):
        find_product(place)
    forget_s3()


def test_what_does_not_answer_is_named(s3: Bucket, site: Site, world: Path) -> None:
    put_metadata(world, s3.put, "out")
    with s3.locked(), pytest.raises(OSError, match=r"s3://luray-tests/out"):
        find_product(f"{s3.url}/out/product.zarr")
    forget_s3()
    with pytest.raises(ValueError, match="found no Zarr store, expected a product"):
        find_product(f"{site.url}/nothing.zarr")
    with pytest.raises(ValueError, match="there is no such STAC document"):
        find_product(f"{site.url}/catalog.json")


def test_a_store_that_goes_away_is_no_missing_tile(s3: Bucket, world: Path, tmp_path: Path) -> None:
    """Browsers are told that the store did not answer; a 404 would be drawn as ocean."""
    put_metadata(world, s3.put, "out")
    with serving(f"{s3.url}/out/product.zarr") as server, s3.locked():
        status, _, body = get(server.address, "/product/land_use/c/0/0/0/0/0")
    assert status == 502
    assert b"s3://luray-tests/out" in body
    forget_s3()


def test_a_remote_product_that_is_not_finished(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_empty_product(tmp_path / "product.zarr", finished=False, members=0)
    store = request.getfixturevalue(STORES[place.split(":")[0]])
    put_metadata(tmp_path, store.put, "half")
    viewed = find_product(f"{store.url}/half/product.zarr")
    assert viewed.unfinished is not None
    assert "not finished" in viewed.notes[0]


def test_a_bucket_is_a_site(browser: Any, world: Path, s3: Bucket, product: xr.Dataset) -> None:
    copy(world, s3.put, "site")
    assert not list((world / "product.zarr/land_use/c").glob("*/*/*/1/2")), "a tile without land"
    write_page(f"{s3.url}/site/explorer", product="../product.zarr", tiles=LAND_TILES)
    kept = s3.client.head_object(Bucket=s3.name, Key="site/explorer/index.html")
    assert kept["ContentType"].startswith("text/html")
    everybody_reads = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{s3.name}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [everybody_reads]}
    s3.client.put_bucket_policy(Bucket=s3.name, Policy=json.dumps(policy))

    link = f"{s3.endpoint}/{s3.name}/site/explorer/index.html#map=6.2/47/4&year=2010"
    with explorer_at(browser, link) as explorer:
        explorer.page.wait_for_function("window.explorer.maplibre.getLayer('coast')")
        for line in LINES:
            hide(explorer, line)
        assert_drawn(explorer, product.land_use.sel(scenario="ssp126", member=0, year=2010).load())
