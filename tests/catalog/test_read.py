"""Inputs from STAC: what is found in static catalogs and APIs, and what a catalog cannot make luray
open.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.read import find_assets
from luray.catalog.reader import CatalogError
from luray.storage.trust import RefusedError
from tests.stac_api import serve_stac

RUN = range(1850, 2101)


def asset(href, *, roles=("data",), **more):
    return {"href": href, "roles": list(roles), **more}


def item(
    name,
    assets,
    *,
    years=("0850", "2015"),
    moment=None,
    collection="luh2",
    links=(),
    version="1.1.0",
):
    dates = {
        "datetime": None,
        "start_datetime": f"{years[0]}-01-01T00:00:00Z",
        "end_datetime": f"{years[1]}-12-31T23:59:59Z",
    }
    return {
        "type": "Feature",
        "stac_version": version,
        "id": name,
        "collection": collection,
        "geometry": None,
        "properties": {"datetime": moment} if moment else dates,
        "links": list(links),
        "assets": assets,
    }


def collection(
    name, *, links=(), assets=None, interval=("0850-01-01T00:00:00Z", "2100-12-31T23:59:59Z")
):
    return {
        "type": "Collection",
        "id": name,
        "stac_version": "1.1.0",
        "description": name,
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [list(interval)]},
        },
        "links": list(links),
        **({"assets": assets} if assets else {}),
    }


def link(rel, href):
    return {
        "rel": rel,
        "href": href,
        "type": "application/json" if rel != "item" else "application/geo+json",
    }


def static(items, *, assets=None, links=(), name="luh2"):
    """Documents of a static catalog by their place."""
    return {
        "stac/catalog.json": {
            "type": "Catalog",
            "id": "c",
            "stac_version": "1.1.0",
            "description": "c",
            "links": [
                link("root", "./catalog.json"),
                link("child", "./other/collection.json"),
                link("child", f"./{name}/collection.json"),
                *links,
            ],
        },
        "stac/other/collection.json": collection("other", links=[link("root", "../catalog.json")]),
        f"stac/{name}/collection.json": collection(
            name,
            assets=assets,
            links=[
                link("root", "../catalog.json"),
                *(link("item", f"./{i['id']}/{i['id']}.json") for i in items),
            ],
        ),
        **{f"stac/{name}/{i['id']}/{i['id']}.json": i for i in items},
    }


class Folder:
    """A folder of this machine, filled as the servers are."""

    def __init__(self, path: Path) -> None:
        self.url, self.path = str(path), path

    def put(self, name: str, data: bytes) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_bytes(data)


def publish(store, documents):
    for name, document in documents.items():
        store.put(name, json.dumps(document).encode())
    return CatalogConfig(url=f"{store.url}/stac/catalog.json")


@pytest.fixture(params=["local", "s3", "gcs", "web"])
def store(request, tmp_path):
    if request.param == "local":
        return Folder(tmp_path)
    return request.getfixturevalue({"s3": "s3", "gcs": "gcs", "web": "site"}[request.param])


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def found(catalog, name="luh2", years=RUN):
    return {a.name: a.href for a in find_assets(catalog, name, years=years)}


def test_static_catalog_on_any_store(store):
    history = item(
        "states",
        {
            "data": asset("../../data/states.nc"),
            "preview": asset("./preview.png", roles=["overview"]),
        },
    )
    future = item("future", {"data": asset("../../data/future.nc")}, years=("2015", "2100"))
    catalog = publish(
        store,
        static([history, future], assets={"static": asset("../data/staticData_quarterdeg.nc")}),
    )
    root = f"{store.url}/stac/data"
    names = {n: f"{root}/{n}" for n in ("states.nc", "future.nc", "staticData_quarterdeg.nc")}
    assert {name.rsplit("/", 1)[-1]: href for name, href in found(catalog).items()} == names
    past = {names["states.nc"], names["staticData_quarterdeg.nc"]}
    assert set(found(catalog, years=range(1900, 2000)).values()) == past
    assert set(found(catalog, years=None).values()) == set(names.values())
    if not store.url.startswith("http"):
        assert found(CatalogConfig(url=f"{store.url}/stac")) == found(catalog)


def test_api_is_searched_by_collection_and_years(tmp_path, allow):
    items = [
        item("a", {"data": asset("s3://b/states.nc")}),
        item("n", {"data": asset("s3://b/now.nc")}, moment="2001-06-01T00:00:00Z"),
        item("b", {"data": asset("s3://b/future.nc")}, years=("2015", "2100")),
        item("o", {"data": asset("s3://b/elsewhere.nc")}, collection="other"),
    ]
    with serve_stac(tmp_path, items, [collection("luh2"), collection("other")]) as api:
        catalog = CatalogConfig(url=api)
        with pytest.raises(
            RefusedError, match=r"item '.' of catalog .* leads to s3://b/.*allow = \[\"s3://b/\"\]"
        ):
            found(catalog)
        allow("s3://b/")
        assert sorted(found(catalog).values()) == [
            "s3://b/future.nc",
            "s3://b/now.nc",
            "s3://b/states.nc",
        ]
        assert sorted(found(catalog, years=range(850, 900)).values()) == ["s3://b/states.nc"]
        assert sorted(found(catalog, years=range(2001, 2002)).values()) == [
            "s3://b/now.nc",
            "s3://b/states.nc",
        ]
        with pytest.raises(CatalogError, match=r"no collection 'luh3', found luh2, other"):
            found(catalog, "luh3")
        with pytest.raises(CatalogError, match=r"no items"):
            found(catalog, years=range(100, 200))


def test_cheapest_asset_of_a_file_is_taken(folder):
    named = {"luray:file": "states.nc"}
    copies = {
        "data": asset("./in/states.nc"),
        "references": asset("./states.nc.parquet", **named),
        "zarr": asset("./states.nc.zarr", **named),
    }
    periods = {p: asset(f"./{p}/koppen_geiger_0p01.tif") for p in ("1901_1930", "1931_1960")}
    for kept in ("zarr", "references", "data"):
        catalog = publish(folder, static([item("i", {**copies, **periods})]))
        hrefs = sorted(
            href.removeprefix(f"{folder.url}/stac/luh2/i/") for href in found(catalog).values()
        )
        assert hrefs == sorted(
            [copies[kept]["href"][2:], *(p["href"][2:] for p in periods.values())]
        )
        del copies[kept]


@pytest.mark.parametrize(
    ("media", "href", "kept"),
    [
        ("application/vnd.zarr; version=3", "./store", True),
        ("application/vnd+zarr", "./store", True),
        ("application/netcdf", "./file?x=1", True),
        ("application/x-netcdf", "./file", True),
        ("", "./a.nc4", True),
        ("image/tiff; application=geotiff; profile=cloud-optimized", "./cog", True),
        ("", "./a.TIF", True),
        ("application/json", "./refs.json", True),
        ("", "./refs.parq/", True),
        ("image/png", "./a.png", False),
        ("text/csv", "./a.csv", False),
        ("", "./a", False),
    ],
)
def test_kinds_of_assets_that_are_read(folder, media, href, kept):
    catalog = publish(
        folder, static([item("i", {"x": asset(href, type=media), "always": asset("./always.nc")})])
    )
    assert len(found(catalog)) == 1 + kept


def test_error_says_what_filters_left_out(folder):
    assets = {
        "old": asset(
            "./old.nc", start_datetime="0850-01-01T00:00:00Z", end_datetime="0900-01-01T00:00:00Z"
        ),
        "report": asset("./report.nc", roles=["metadata"]),
        "table": asset("./table.csv"),
    }
    catalog = publish(folder, static([item("i", assets)]))
    with pytest.raises(CatalogError) as caught:
        found(catalog)
    assert (
        "collection 'luh2' has 3 assets, none that the run can use: 1 hold no year of the run's "
        "1850-2100 (they hold 850-900); 1 have not the role 'data' (their roles: metadata); 1 are "
        "no Zarr, NetCDF, GeoTIFF or references (table.csv)"
    ) in str(caught.value)
    assert list(found(catalog.model_copy(update={"role": "metadata"}))) == [
        f"{folder.url}/stac/luh2/i/report.nc"
    ]
    assert len(found(catalog.model_copy(update={"role": ""}), years=None)) == 2
    with pytest.raises(CatalogError, match=r"collection 'other' has 0 assets.*it has no items"):
        found(catalog, "other")
    with pytest.raises(CatalogError, match="no collection 'nope', found luh2, other"):
        found(catalog, "nope")


@pytest.mark.parametrize(
    "content",
    [b"<html>", b"[]", b'{"type": "Collection"}', b'{"type": "Catalog", "id": "x"}', None],
)
def test_unreadable_catalog_hides_secrets(site, content):
    if content is not None:
        site.put("stac/catalog.json", content)
    with pytest.raises(
        CatalogError, match=r"^catalog http.*/stac/catalog\.json: cannot be read as STAC"
    ) as caught:
        found(CatalogConfig(url=f"{site.url}/stac/catalog.json?sig=hunter2"))
    assert "hunter2" not in str(caught.value)


def test_wrong_date_names_the_item(folder):
    with pytest.raises(
        CatalogError, match=r"item 'i' has the date 'now-01-01T00:00:00Z', expected one such as"
    ):
        found(publish(folder, static([item("i", {"d": asset("./a.nc")}, years=("now", "2000"))])))


def test_circle_of_catalogs_ends(folder):
    documents = static([item("i", {"d": asset("./a.nc")})], links=[link("child", "./catalog.json")])
    documents["stac/luh2/collection.json"]["links"].append(link("child", "../catalog.json"))
    assert len(found(publish(folder, documents))) == 1


OUTSIDE = [
    "file:///etc/hostname",
    "../../../../secret.nc",
    "http://169.254.169.254/x.nc",
    "http://127.0.0.1:9/x.nc",
    "http://localhost:9/x.nc",
    "s3://elsewhere/x.nc",
    "{root}/../x.nc",
    "{root}::file:///etc/x.nc",
    "http://u@127.0.0.1:9/x.nc",
]


@pytest.mark.parametrize(
    ("where", "href"),
    [
        *(("local", href) for href in OUTSIDE),
        *(("web", href) for href in OUTSIDE),
        ("web", "{root}/%2e%2e/x.nc"),
        ("web", "{root}/%252e%252e/x.nc"),
    ],
)
def test_assets_outside_are_refused(tmp_path, site, where, href):
    store = site if where == "web" else Folder(tmp_path)
    outside = asset(href.replace("{root}", f"{store.url}/stac"), type="application/netcdf")
    catalog = publish(store, static([item("i", {"d": outside})]))
    with pytest.raises(
        RefusedError, match=r"item 'i' of catalog .* leads to .*(storage\.allow|different places)"
    ):
        found(catalog)


@pytest.mark.parametrize("rel", ["child", "item"])
def test_links_outside_are_not_followed(tmp_path, site, rel):
    asked = []

    class Victim(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Victim)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    inside = f"http://127.0.0.1:{server.server_port}/meta-data"
    try:
        for href in (
            inside,
            inside.replace("127.0.0.1", "localhost"),
            "file:///etc/hostname",
            "../../../etc/x.json",
        ):
            documents = static([item("i", {"d": asset("./a.nc")})])
            place = "stac/catalog.json" if rel == "child" else "stac/luh2/collection.json"
            documents[place]["links"].insert(0, link(rel, href))
            with pytest.raises(RefusedError, match=r"a link of catalog .* leads to"):
                found(publish(site, documents))
        site.redirects["/stac/luh2/collection.json"] = inside
        with pytest.raises(RefusedError, match=r"a redirect of catalog .* leads to"):
            found(publish(site, static([])))
        site.redirects.clear()
        # pystac follows these of its own accord: the root of a document, the collection of an old
        # item
        for version in ("1.1.0", "0.8.1"):
            links = [link(r, inside) for r in ("root", "parent", "collection", "self", "license")]
            documents = static([item("i", {"d": asset("./a.nc")}, links=links, version=version)])
            for name in ("stac/luh2/collection.json", "stac/catalog.json"):
                documents[name]["links"] += [link(r, inside) for r in ("root", "parent", "self")]
            assert list(found(publish(site, documents)).values()) == [
                f"{site.url}/stac/luh2/i/a.nc"
            ]
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_pages_outside_are_not_followed(site):
    root = f"{site.url}/api"
    conforms = [
        "https://api.stacspec.org/v1.0.0/core",
        "https://api.stacspec.org/v1.0.0/collections",
    ]
    site.put(
        "api/catalog.json",
        json.dumps(
            {
                "type": "Catalog",
                "id": "c",
                "stac_version": "1.1.0",
                "description": "c",
                "conformsTo": conforms,
                "links": [link("child", f"{root}/luh2.json")],
            }
        ).encode(),
    )
    site.put(
        "api/luh2.json",
        json.dumps(collection("luh2", links=[link("items", f"{root}/items.json")])).encode(),
    )
    one = item("i", {"d": asset("./a.nc")}, links=[link("self", f"{root}/i")])
    page = {"type": "FeatureCollection", "features": [one], "links": []}
    site.put("api/items.json", json.dumps(page).encode())
    catalog = CatalogConfig(url=f"{root}/catalog.json")
    assert list(found(catalog).values()) == [f"{root}/a.nc"]
    page["links"] = [link("next", "http://127.0.0.1:9/next")]
    site.put("api/items.json", json.dumps(page).encode())
    with pytest.raises(
        RefusedError, match=r"a link of catalog .* leads to http://127.0.0.1:9/next"
    ):
        found(catalog)


def test_signature_reaches_file_but_no_message(site, folder):
    signed = "https://elsewhere.example/states.nc?X-Amz-Signature=hunter2"
    with pytest.raises(RefusedError) as caught:
        found(publish(folder, static([item("i", {"d": asset(signed)})])))
    assert "hunter2" not in str(caught.value)
    catalog = publish(
        site, static([item("i", {"d": asset(f"{site.url}/stac/states.nc?sig=hunter2")})])
    )
    assert found(catalog) == {
        f"{site.url}/stac/states.nc": f"{site.url}/stac/states.nc?sig=hunter2"
    }
