"""The STAC catalog of a finished product: one collection, one item, relative links.

It is static and self-contained, and written last of all: the item, then the collection, then
`catalog.json`, each as a whole object. Readers who start at `catalog.json` see a finished catalog
or none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

import fsspec
import pystac
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.scientific import Publication, ScientificExtension, doi_to_url
from pystac.extensions.xarray_assets import AssetXarrayAssetsExtension, XarrayAssetsExtension

from luray.catalog.finished import FinishedProduct, read_finished
from luray.catalog.stac import StoreIO, anchor, is_id, relative_href
from luray.storage.objects import read_object, write_atomically
from luray.storage.places import is_local, public

ZARR = "application/vnd.zarr"
"""Media type of a Zarr store; with a `version` parameter, xpystac does not know it."""

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
    ".txt": "text/plain",
    ".pdf": "application/pdf",
}
"""Media types of pictures and reports by the end of their name."""

KEYWORDS = [
    "land use",
    "land-use change",
    "land cover",
    "annual",
    "reconstruction",
    "projection",
    "luray",
]

DOI = r"10\.\d{4,9}/\S+"
SPDX = r"[A-Za-z][\w.+]*(?:-[\w.+]+)*-\d[\w.+]*"
"""Form of a licence identifier of SPDX with a version, such as CC-BY-4.0."""

DataSet = Mapping[str, str]
"""A data set that a product is made of: `title`, and where they are known `doi`, `licence` and
`caveat`.
"""


def publish(
    product_url: str,
    *,
    stac_dir: str,
    name: str,
    title: str,
    description: str,
    sources: Sequence[DataSet],
    pictures: Mapping[str, str],
    report: str | None,
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
        Id of collection and item.
    title, description : str
        For readers; `name` and the title stand in where they are empty.
    sources : sequence of DataSet
        What the product is made of.
    pictures : mapping
        Asset keys (`thumbnail`, `overview`, `animation`, ...) and where the files lie.
    report : str, optional
        Where the evaluation lies.

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
    _check(name, sources, pictures, report)
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

    item = _item(product, name=name, title=title)
    _add_data(item, product, folder=folder)
    if report is not None:
        item.add_asset("report", _file(report, key="report", role="metadata", folder=folder))
    for key, path in pictures.items():
        role = "thumbnail" if key == "thumbnail" else "overview"
        item.add_asset(key, _file(path, key=key, role=role, folder=folder))
    collection = _collection(
        product, item, name=name, title=title, description=description, sources=sources
    )
    catalog = pystac.Catalog(
        f"{name}-catalog", description, title, catalog_type=pystac.CatalogType.SELF_CONTAINED
    )
    catalog.add_child(collection)
    collection.add_item(item)

    # In this order each document leads to what is there already.
    documents: dict[str, pystac.STACObject] = {
        f"{name}/{name}.json": item,
        f"{name}/collection.json": collection,
        "catalog.json": catalog,
    }
    # All hrefs are known before the first is written, as relative links follow from them.
    for place, document in documents.items():
        document.set_self_href(f"{anchor(root)}/{place}")
    for place, document in documents.items():
        document.save_object(
            include_self_link=False, dest_href=f"{root}/{place}", stac_io=StoreIO()
        )
    return f"{public(root)}/catalog.json"


def _check(
    name: str, sources: Iterable[DataSet], pictures: Mapping[str, str], report: str | None
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
        if key in ("data", "metadata", "report"):
            raise ValueError(
                f"picture {key!r} has the name of another asset, expected one of its own such as "
                "overview; rename it"
            )

    files = {f"picture {key!r}": path for key, path in pictures.items()}
    if report:
        files["report"] = report
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


def _file(path: str, *, key: str, role: str, folder: str) -> pystac.Asset:
    """Return the asset of a picture or report; copy a local file beside a remote catalog."""
    if is_local(path) and not is_local(folder):
        copy = f"{folder}/{key}{_suffix(path)}"
        write_atomically(copy, read_object(path) or b"")
        path = copy
    title = key.replace("_", " ").capitalize()
    href = relative_href(path, folder=folder)
    return pystac.Asset(href, title, media_type=MEDIA[_suffix(path)], roles=[role])


def _item(product: FinishedProduct, *, name: str, title: str) -> pystac.Item:
    """Return the item of a product without assets: when, where, how it was made."""
    run = product.attributes["luray"]
    properties = {"title": title, "luray:caveats": list(product.attributes.get("caveats", ()))}
    for key in ("scenario", "scenarios", "members", "seed", "fingerprint"):
        if key in run:
            properties[f"luray:{key}"] = run[key]

    first, last = product.interval
    item = pystac.Item(
        name,
        product.geometry,
        product.bbox,
        None,
        properties,
        start_datetime=first,
        end_datetime=last,
    )
    DatacubeExtension.ext(item, add_if_missing=True).apply(product.dimensions, product.variables)
    return item


def _add_data(item: pystac.Item, product: FinishedProduct, *, folder: str) -> None:
    """Add the store itself, ready for xarray, and its metadata."""
    href = relative_href(product.url.rstrip("/"), folder=folder)
    arrays = ", ".join(product.names)
    data = pystac.Asset(
        href,
        title="Land use by year",
        media_type=ZARR,
        roles=["data"],
        description=f"Zarr v3 group: {arrays}. The classes are those of land_use.",
    )
    item.add_asset("data", data)
    XarrayAssetsExtension.add_to(item)
    AssetXarrayAssetsExtension(data).open_kwargs = {"consolidated": True}
    ClassificationExtension.ext(data, add_if_missing=True).apply(classes=product.classes)
    metadata = pystac.Asset(
        f"{href}/zarr.json",
        title="Metadata of all arrays",
        media_type=pystac.MediaType.JSON,
        roles=["metadata"],
    )
    item.add_asset("metadata", metadata)


def _collection(
    product: FinishedProduct,
    item: pystac.Item,
    *,
    name: str,
    title: str,
    description: str,
    sources: Sequence[DataSet],
) -> pystac.Collection:
    """Return the collection: what it is, what it is derived from, and under which licences."""
    extent = pystac.Extent(
        pystac.SpatialExtent([product.bbox]), pystac.TemporalExtent([[*product.interval]])
    )
    provider = pystac.Provider(
        "luray",
        "made this product from the sources below",
        [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.PROCESSOR],
    )
    collection = pystac.Collection(
        name,
        _described(description, product, sources),
        extent,
        title,
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
        license=_licence(sources),
        keywords=list(KEYWORDS),
        providers=[provider],
    )
    DatacubeExtension.ext(collection, add_if_missing=True).apply(
        product.dimensions, product.variables
    )
    publications = [
        Publication(source["doi"], source["title"]) for source in sources if source.get("doi")
    ]
    if publications:
        ScientificExtension.ext(collection, add_if_missing=True).apply(publications=publications)
    collection.add_links(_links(sources))
    collection.item_assets = {
        key: {"title": asset.title, "type": asset.media_type, "roles": asset.roles}
        for key, asset in item.assets.items()
    }
    if "thumbnail" in item.assets:
        collection.add_asset("thumbnail", item.assets["thumbnail"].clone())
    return collection


def _licence(sources: Sequence[DataSet]) -> str:
    """Return the licence that all sources share, "other" where they do not."""
    licences = {source["licence"] for source in sources if source.get("licence")}
    if len(licences) != 1:
        return "other"
    [common] = licences
    return common if re.fullmatch(SPDX, common) else "other"


def _links(sources: Sequence[DataSet]) -> list[pystac.Link]:
    """Return links to the sources and their licences, each once."""
    links = []
    for source in sources:
        if source.get("doi"):
            target = doi_to_url(source["doi"])
            rel = pystac.RelType.DERIVED_FROM
            links.append(pystac.Link(rel, target, pystac.MediaType.HTML, source["title"]))
    for licence in sorted({source.get("licence", "") for source in sources}):
        if re.fullmatch(SPDX, licence):
            target = f"https://spdx.org/licenses/{licence}.html"
            rel = pystac.RelType.LICENSE
            links.append(pystac.Link(rel, target, pystac.MediaType.HTML, licence))
    return links


def _described(description: str, product: FinishedProduct, sources: Sequence[DataSet]) -> str:
    """Return the description with its sources and caveats, in CommonMark."""
    paragraphs = [description]
    if sources:
        lines = "\n".join(f"- {_cited(source)}" for source in sources)
        paragraphs.append(f"Sources:\n\n{lines}")
    stated = [source["caveat"] for source in sources if source.get("caveat")]
    caveats = dict.fromkeys([*product.attributes.get("caveats", ()), *stated])
    if caveats:
        lines = "\n".join(f"- {caveat}" for caveat in caveats)
        paragraphs.append(f"Caveats:\n\n{lines}")
    return "\n\n".join(paragraphs)


def _cited(source: DataSet) -> str:
    """Return title, DOI and licence of a source, as far as they are known."""
    parts = [source["title"]]
    if source.get("doi"):
        parts.append(f"doi:{source['doi']}")
    if source.get("licence"):
        parts.append(f"licence {source['licence']}")
    return ", ".join(parts)
