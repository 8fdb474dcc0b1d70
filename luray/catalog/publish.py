"""The STAC catalog of a finished product: its collection, and that of its models, relative links.

It is static and self-contained, and written last of all: the items, then the collections, then
`catalog.json`, each as a whole object. Readers who start at `catalog.json` see a finished catalog
or none.
"""

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import fsspec
import pystac
import rustac
import tomli_w

from luray.catalog.collection import ITEMS, DataSet, model_collection, product_collection
from luray.catalog.finished import FinishedProduct, read_finished
from luray.catalog.items import MapFile, map_item, scenario_items
from luray.catalog.model_item import TrainedModel, model_item
from luray.catalog.stac import StoreIO, anchor, is_id, relative_href
from luray.storage.objects import read_object, write_atomically
from luray.storage.places import is_local, public

RUN_FILE = "run.toml"
"""Name of the run file beside the collection."""

MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".json": "application/json",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".html": "text/html",
    ".parquet": "application/vnd.apache.parquet",
    ".txt": "text/plain",
    ".pdf": "application/pdf",
}
"""Media types of pictures and reports by the end of their name."""

DOI = r"10\.\d{4,9}/\S+"

REPORTS = ("report", "report_page", "metrics")
"""Keys of the assets of an evaluation: its numbers, the page to read, and the long table."""

TAKEN = ("data", "metadata", *REPORTS, "run", "items", "land_use", "land_cover")
"""Keys of assets that no picture can have."""


class _Branch(NamedTuple):
    """A collection and its items, and the folder in the catalog that holds them."""

    folder: str
    collection: pystac.Collection
    items: list[pystac.Item]


def publish(
    product_url: str,
    *,
    stac_dir: str,
    name: str,
    title: str,
    description: str,
    sources: Sequence[DataSet],
    pictures: Mapping[str, str],
    reports: Mapping[str, str],
    maps: Sequence[MapFile] = (),
    models: Sequence[TrainedModel] = (),
) -> str:
    """Write the catalog of a finished product, replacing an earlier one.

    All places may be local or any fsspec URL. Links are relative where both ends lie on one store;
    local pictures and reports are copied beside a remote catalog.

    Parameters
    ----------
    product_url : str
        Place of the Zarr store.
    stac_dir : str
        Folder of the catalog.
    name : str
        Id of the collection, and of its item, or the beginning of the ids of its items.
    title, description : str
        For readers; `name` and the title stand in where they are empty.
    sources : sequence of DataSet
        What the product is made of.
    pictures : mapping
        Asset keys (`thumbnail`, `overview`, `animation`, ...) and where the files lie.
    reports : mapping
        Asset keys of `REPORTS`, and where the files of the evaluation lie.
    maps : sequence of MapFile, optional
        Files of single maps; each gets an item.
    models : sequence of TrainedModel, optional
        The models that the product was made with; they get a collection of their own.

    Returns
    -------
    str
        The URL of `catalog.json`.

    Raises
    ------
    ValueError
        For a product that is missing or unfinished, or local with a remote catalog, for files that
        are not there, and for a source that is not described well. Nothing is written then.
    """
    _check(name, sources, pictures, reports)
    product = read_finished(product_url)
    if is_local(product_url) and not is_local(stac_dir):
        raise ValueError(
            f"{product_url}: the product is local, expected it where readers of {public(stac_dir)} "
            "reach it; copy the product to that store, or publish to a local folder"
        )
    root = stac_dir.rstrip("/")
    folder = f"{root}/{name}"
    title = title or name
    description = description or title

    items = scenario_items(product, name=name, title=title, folder=folder)
    _add_files(items, product, folder=folder, pictures=pictures, reports=reports)
    for file in maps:
        items.append(map_item(product, file, name=name, title=title, folder=folder))
    collection = product_collection(
        product, items, name=name, title=title, description=description, sources=sources
    )
    branches = [_Branch(name, collection, items)]

    if models:
        folder = f"{root}/{name}-models"
        items = [
            model_item(model, product, name=name, title=title, folder=folder) for model in models
        ]
        collection = model_collection(product, items, name=name, title=title, sources=sources)
        branches.append(_Branch(f"{name}-models", collection, items))

    catalog = pystac.Catalog(
        f"{name}-catalog", description, title, catalog_type=pystac.CatalogType.SELF_CONTAINED
    )
    _write(catalog, branches, root=root)
    return f"{public(root)}/catalog.json"


def _write(catalog: pystac.Catalog, branches: Sequence[_Branch], *, root: str) -> None:
    """Write a catalog: items first, `catalog.json` last.

    In this order each document leads to what is there already.
    """
    items: dict[str, pystac.STACObject] = {}
    collections: dict[str, pystac.STACObject] = {}
    for folder, collection, its_items in branches:
        catalog.add_child(collection)
        collection.add_items(its_items)
        items |= {f"{folder}/{item.id}.json": item for item in its_items}
        collections[f"{folder}/collection.json"] = collection
    documents = {**items, **collections, "catalog.json": catalog}

    # All hrefs are known before the first is written, as relative links follow from them.
    for place, document in documents.items():
        document.set_self_href(f"{anchor(root)}/{place}")
    for place, item in items.items():
        item.save_object(include_self_link=False, dest_href=f"{root}/{place}", stac_io=StoreIO())
    for folder, _, its_items in branches:
        _write_table(its_items, f"{root}/{folder}/{ITEMS}")
    for place, document in (*collections.items(), ("catalog.json", catalog)):
        document.save_object(
            include_self_link=False, dest_href=f"{root}/{place}", stac_io=StoreIO()
        )


def _write_table(items: Iterable[pystac.Item], place: str) -> None:
    """Write items as stac-geoparquet, which lies beside them: their relative hrefs hold there."""
    documents = [item.to_dict(include_self_link=False) for item in items]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / ITEMS
        rustac.write_sync(str(table), documents)
        write_atomically(place, table.read_bytes())


def _check(
    name: str, sources: Iterable[DataSet], pictures: Mapping[str, str], reports: Mapping[str, str]
) -> None:
    """Raise ValueError for anything that would make a wrong catalog."""
    if not is_id(name):
        raise ValueError(
            f"name {name!r} must be letters, digits, dots, dashes; it names the collection and its "
            "folder"
        )
    for source in sources:
        if not source.get("title"):
            raise ValueError(f"source {dict(source)} has no title; name the data set")
        if source.get("doi") and not re.fullmatch(DOI, source["doi"]):
            raise ValueError(
                f"source {source['title']!r} has doi {source['doi']!r}, expected a bare DOI such "
                "as 10.1594/PANGAEA.921846; correct it or leave it empty"
            )
    for key in pictures:
        if key in TAKEN:
            raise ValueError(
                f"picture {key!r} has the name of another asset, expected one of its own such as "
                "overview; rename it"
            )

    assert set(reports) <= set(REPORTS)
    files = {f"picture {key!r}": path for key, path in pictures.items()} | dict(reports)
    for label, path in files.items():
        fs, inner = fsspec.core.url_to_fs(path)
        if not fs.isfile(inner):
            raise ValueError(
                f"{public(path)}: {label} is not there, expected a file; make it first or leave it "
                "out"
            )
        if _suffix(path) not in MEDIA:
            raise ValueError(
                f"{public(path)}: {label} ends in {_suffix(path)!r}, expected one of "
                f"{', '.join(MEDIA)}"
            )


def _suffix(path: str) -> str:
    return PurePosixPath(public(path)).suffix.lower()


def _add_files(
    items: Iterable[pystac.Item],
    product: FinishedProduct,
    *,
    folder: str,
    pictures: Mapping[str, str],
    reports: Mapping[str, str],
) -> None:
    """Add pictures, reports and run file to the items of the scenarios, which share them."""
    assets: dict[str, pystac.Asset] = {}
    for key, path in reports.items():
        assets[key] = _file(path, key=key, role="metadata", folder=folder)
    for key, path in pictures.items():
        role = "thumbnail" if key == "thumbnail" else "overview"
        assets[key] = _file(path, key=key, role=role, folder=folder)
    if "run" in product.provenance:
        write_atomically(f"{folder}/{RUN_FILE}", run_file_of(product).encode())
        assets["run"] = pystac.Asset(
            RUN_FILE,
            title="Run file",
            description="Makes the product again: set LURAY_INPUTS and LURAY_OUTPUT to folders of "
            "yours, and call `luray run run.toml`.",
            media_type="application/toml",
            roles=["metadata"],
        )
    for item in items:
        for key, asset in assets.items():
            item.add_asset(key, asset.clone())


def run_file_of(product: FinishedProduct) -> str:
    """Return the run file that a product was made with, as TOML.

    Its places are named by variables, see `published_run`.
    """
    return tomli_w.dumps(product.provenance["run"])


def _file(path: str, *, key: str, role: str, folder: str) -> pystac.Asset:
    """Return the asset of a picture or report; copy a local file beside a remote catalog."""
    if is_local(path) and not is_local(folder):
        copy = f"{folder}/{key}{_suffix(path)}"
        write_atomically(copy, read_object(path) or b"")
        path = copy
    title = key.replace("_", " ").capitalize()
    href = relative_href(path, folder=folder)
    return pystac.Asset(href, title, media_type=MEDIA[_suffix(path)], roles=[role])
