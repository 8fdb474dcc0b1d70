"""The STAC collections of a product: what it is, what it is derived from, under which licences."""

import re
from collections.abc import Mapping, Sequence

import pystac
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.scientific import Publication, ScientificExtension, doi_to_url

from luray.catalog.finished import FinishedProduct
from luray.catalog.origin import add_version

ITEMS = "items.parquet"
"""Name of the file beside a collection that holds all of its items."""

PARQUET = "application/vnd.apache.parquet"
"""Media type of stac-geoparquet."""

KEYWORDS = {
    "land_use": ("land use", "land-use change", "land cover"),
    "land_cover": ("land cover", "land-cover change"),
    "lai": ("leaf area index", "LAI", "vegetation"),
}
"""Keywords of a product by the name of its maps; other maps have their long name."""

FURTHER_KEYWORDS = ("reconstruction", "projection", "luray")

SPDX = r"[A-Za-z][\w.+]*(?:-[\w.+]+)*-\d[\w.+]*"
"""Form of a licence identifier of SPDX with a version, such as CC-BY-4.0."""

DataSet = Mapping[str, str]
"""A data set that a product is made of: `title`, and where they are known `doi`, `licence` and
`caveat`.
"""


def keywords_of(product: FinishedProduct) -> list[str]:
    """Return what a product is found by."""
    of_maps = KEYWORDS.get(product.variable, (product.legend.long_name,))
    return [*of_maps, product.time.adjective, *FURTHER_KEYWORDS]


def product_collection(
    product: FinishedProduct,
    items: Sequence[pystac.Item],
    *,
    name: str,
    title: str,
    description: str,
    sources: Sequence[DataSet],
) -> pystac.Collection:
    """Return the collection of a product, without its items.

    Parameters
    ----------
    product : FinishedProduct
        The product.
    items : sequence of Item
        What the collection will hold.
    name, title, description : str
        For readers; the description gets the sources and caveats.
    sources : sequence of DataSet
        What the product is made of.
    """
    collection = _collection(
        product,
        items,
        name=name,
        title=title,
        description=_described(description, product, sources),
        sources=sources,
    )
    DatacubeExtension.ext(collection, add_if_missing=True).apply(
        product.dimensions, product.variables
    )
    add_version(collection, product.version)
    publications = [
        Publication(source["doi"], source["title"]) for source in sources if source.get("doi")
    ]
    if publications:
        ScientificExtension.ext(collection, add_if_missing=True).apply(publications=publications)
    if "thumbnail" in items[0].assets:
        collection.add_asset("thumbnail", items[0].assets["thumbnail"].clone())
    return collection


def model_collection(
    product: FinishedProduct,
    items: Sequence[pystac.Item],
    *,
    name: str,
    title: str,
    sources: Sequence[DataSet],
) -> pystac.Collection:
    """Return the collection of the models that a product was made with, without its items.

    Parameters are those of `product_collection`.
    """
    return _collection(
        product,
        items,
        name=f"{name}-models",
        title=f"{title}: models",
        description=f"The trained models that {title} was made with.",
        sources=sources,
    )


def _collection(
    product: FinishedProduct,
    items: Sequence[pystac.Item],
    *,
    name: str,
    title: str,
    description: str,
    sources: Sequence[DataSet],
) -> pystac.Collection:
    """Return what both collections have in common."""
    starts = [item.common_metadata.start_datetime for item in items]
    ends = [item.common_metadata.end_datetime for item in items]
    interval = [min(filter(None, starts)), max(filter(None, ends))]
    extent = pystac.Extent(
        pystac.SpatialExtent([product.bbox]), pystac.TemporalExtent([[*interval]])
    )
    provider = pystac.Provider(
        "luray",
        "made this product from the sources below",
        [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.PROCESSOR],
    )
    collection = pystac.Collection(
        name,
        description,
        extent,
        title,
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
        license=licence_of(sources),
        keywords=keywords_of(product),
        providers=[provider],
    )
    collection.add_links(_links(sources))
    assets: dict[str, pystac.Asset] = {}
    for item in items:
        assets.update(item.assets)
    collection.item_assets = {
        key: {"title": asset.title, "type": asset.media_type, "roles": asset.roles}
        for key, asset in assets.items()
    }
    table = pystac.Asset(
        ITEMS, title="All items as stac-geoparquet", media_type=PARQUET, roles=["stac-items"]
    )
    collection.add_asset("items", table)
    return collection


def licence_of(sources: Sequence[DataSet]) -> str:
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
