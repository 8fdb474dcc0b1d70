"""The STAC catalog of a finished product: one collection, one item, relative links.

It is static and self-contained, and written last of all: the item, then the collection, then
`catalog.json`, each as a whole object. Readers who start at `catalog.json` see a finished catalog
or none.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import fsspec
import numpy as np
import pystac
import zarr
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.datacube import DatacubeExtension, Dimension, Variable
from pystac.extensions.scientific import Publication, ScientificExtension, doi_to_url
from pystac.extensions.xarray_assets import AssetXarrayAssetsExtension, XarrayAssetsExtension
from pystac.utils import make_relative_href

from luray.core.grid import Grid
from luray.storage.objects import read_object, write_atomically
from luray.storage.places import is_local, public

VARIABLES = ("land_use", "confidence", "origin")
"""The arrays that make a store a product of luray."""

FURTHER = ("class_probability", "entropy", "probability")
"""Arrays that a product has where its run asks for members or probabilities."""

AXES = ("scenario", "member", "class", "probability_year")
"""Dimensions that a product may have beside year, lat and lon."""

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

DOI = r"10\.\d{4,9}/\S+"
SPDX = r"[A-Za-z][\w.+]*(?:-[\w.+]+)*-\d[\w.+]*"
"""Form of a licence identifier of SPDX with a version, such as CC-BY-4.0."""

Reference = Mapping[str, str]
"""A data set that a product is made of: `title`, and where they are known `doi`, `licence` and
`caveat`.
"""


class StoreIO(pystac.StacIO):
    """Reads and writes STAC on any store that fsspec knows, by whole objects."""

    def read_text(self, source: pystac.link.HREF, *args: Any, **kwargs: Any) -> str:
        """The text of an object. Raises FileNotFoundError."""
        data = read_object(str(source))
        if data is None:
            raise FileNotFoundError(public(str(source)))
        return data.decode()

    def write_text(self, dest: pystac.link.HREF, txt: str, *args: Any, **kwargs: Any) -> None:
        """Write an object, whole or not at all."""
        write_atomically(str(dest), txt.encode())


@dataclass(frozen=True)
class Finished:
    """What the consolidated metadata of a finished product says."""

    url: str
    attributes: Mapping[str, Any]
    arrays: Mapping[str, Mapping[str, Any]]
    """Zarr metadata of each array, by its name."""
    grid: Grid
    years: tuple[int, ...]
    axes: Mapping[str, tuple[Any, ...]]
    """Values along each of `AXES` that it has."""

    @property
    def interval(self) -> list[datetime]:
        """First and last moment of the years."""
        return [
            datetime(self.years[0], 1, 1, tzinfo=UTC),
            datetime(self.years[-1], 12, 31, 23, 59, 59, tzinfo=UTC),
        ]

    @property
    def bbox(self) -> list[float]:
        """West, south, east, north in degrees; the west is greater than the east across the
        dateline.
        """
        grid = self.grid
        east = grid.east if grid.east <= 180 else grid.east - 360
        return [round(edge, 9) for edge in (grid.west, grid.south, east, grid.north)]

    @property
    def geometry(self) -> dict[str, Any]:
        """The bounding box as GeoJSON, in two pieces across the dateline."""
        west, south, east, north = self.bbox
        spans = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
        rings = [[[[w, south], [e, south], [e, north], [w, north], [w, south]]] for w, e in spans]
        return (
            {"type": "Polygon", "coordinates": rings[0]}
            if len(rings) == 1
            else {"type": "MultiPolygon", "coordinates": rings}
        )

    @property
    def classes(self) -> list[Classification]:
        """The land-use classes, from the CF flags of `land_use`."""
        flags = self.arrays["land_use"]["attributes"]
        return [
            Classification.create(
                value, name=name, title=name.replace("_", " "), color_hint=colour[1:].upper()
            )
            for value, name, colour in zip(
                flags["flag_values"],
                flags["flag_meanings"].split(),
                flags["flag_colors"].split(),
                strict=True,
            )
        ]

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """Dimensions of the datacube extension."""
        west, south, east, north = self.bbox
        step = round(self.grid.step, 9)
        first, last = (pystac.utils.datetime_to_str(moment) for moment in self.interval)
        further = {
            name: Dimension.from_dict(
                {
                    "type": name,
                    "values": list(values),
                    "description": self.arrays[name]["attributes"]["long_name"],
                }
            )
            for name, values in self.axes.items()
        }
        return {
            **further,
            "year": Dimension.from_dict(
                {
                    "type": "temporal",
                    "extent": [first, last],
                    "step": "P1Y",
                    "description": "calendar year; the coordinate holds plain numbers",
                }
            ),
            "lat": Dimension.from_dict(
                {
                    "type": "spatial",
                    "axis": "y",
                    "extent": [south, north],
                    "step": -step,
                    "reference_system": 4326,
                }
            ),
            "lon": Dimension.from_dict(
                {
                    "type": "spatial",
                    "axis": "x",
                    "extent": [west, east],
                    "step": step,
                    "reference_system": 4326,
                }
            ),
        }

    @property
    def names(self) -> list[str]:
        """Names of its arrays."""
        return [*VARIABLES, *(name for name in FURTHER if name in self.arrays)]

    @property
    def variables(self) -> dict[str, Variable]:
        """Variables of the datacube extension."""
        described = {}
        for name in self.names:
            array = self.arrays[name]
            unit = array["attributes"].get("units", "1")
            described[name] = Variable.from_dict(
                {
                    "dimensions": list(array["dimension_names"]),
                    "type": "data",
                    "description": array["attributes"]["long_name"],
                    "unit": unit,
                }
            )
        return described


def publish(
    product_url: str,
    *,
    stac_dir: str,
    name: str,
    title: str,
    description: str,
    sources: Sequence[Reference],
    pictures: Mapping[str, str],
    report: str | None,
) -> str:
    """Write the catalog of a finished product into `stac_dir`, replacing an earlier one; returns
    its URL.

    `name` is the id of collection and item; `pictures` are asset keys (`thumbnail`, `overview`,
    `animation`, ...) and where the files lie; `report` is the evaluation. All places may be local
    or any fsspec URL. Links are relative where both ends lie on one store; local pictures and
    reports are copied beside a remote catalog. Raises ValueError for a product that is missing or
    unfinished, or local with a remote catalog, for files that are not there, and for a source that
    is not described well; nothing is written then.
    """
    _check(name, sources, pictures, report)
    product = read_finished(product_url)
    root, folder = stac_dir.rstrip("/"), f"{stac_dir.rstrip('/')}/{name}"
    if is_local(product_url) and not is_local(stac_dir):
        raise ValueError(
            f"{product_url}: the product is local, expected it where readers of {public(stac_dir)} "
            "reach "
            "it; copy the product to that store, or publish to a local folder"
        )
    item = _item(product, name=name, title=title or name)
    _add_data(item, product, folder=folder)
    if report is not None:
        item.add_asset("report", _file(report, key="report", role="metadata", folder=folder))
    for key, path in pictures.items():
        role = "thumbnail" if key == "thumbnail" else "overview"
        item.add_asset(key, _file(path, key=key, role=role, folder=folder))
    collection = _collection(
        product,
        item,
        name=name,
        title=title or name,
        description=description or title or name,
        sources=sources,
    )
    catalog = pystac.Catalog(
        f"{name}-catalog",
        description or title or name,
        title or name,
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    catalog.add_child(collection)
    collection.add_item(item)
    places = {
        f"{name}/{name}.json": item,
        f"{name}/collection.json": collection,
        "catalog.json": catalog,
    }
    for place, stac in places.items():
        stac.set_self_href(f"{anchor(root)}/{place}")
    for place, stac in places.items():
        stac.save_object(include_self_link=False, dest_href=f"{root}/{place}", stac_io=StoreIO())
    return f"{public(root)}/catalog.json"


def read_finished(url: str) -> Finished:
    """What a product says of itself. Raises ValueError where there is none, or one that is not
    finished.
    """
    shown = public(url)
    text = read_object(f"{url.rstrip('/')}/zarr.json")
    if text is None:
        raise ValueError(
            f"{shown}: found no Zarr store, expected a finished product; run `luray infer` first"
        )
    try:
        root = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{shown}/zarr.json: not JSON ({error}), expected Zarr v3 metadata; the store is "
            "damaged, "
            "infer it again"
        ) from None
    attributes, consolidated = root.get("attributes", {}), root.get("consolidated_metadata")
    finished = attributes.get("luray", {}).get("finished")
    if finished is not True:
        raise ValueError(
            f"{shown}: expected a finished product, found luray.finished = {json.dumps(finished)}; "
            "run "
            "`luray infer`, which resumes it"
        )
    if not consolidated:
        raise ValueError(
            f"{shown}: expected consolidated metadata, found none; run `luray infer`, which "
            "finishes it"
        )
    arrays = consolidated["metadata"]
    missing = [array for array in (*VARIABLES, "year", "lat", "lon") if array not in arrays]
    if missing:
        raise ValueError(
            f"{shown}: expected the arrays of a product, found no {', '.join(missing)}; give the "
            "product, not the predictor cube"
        )
    store: Any = zarr.open_group(url, mode="r", zarr_format=3, use_consolidated=True)
    lat, lon, years = (np.asarray(store[axis][:]) for axis in ("lat", "lon", "year"))
    axes = {axis: tuple(np.asarray(store[axis][:]).tolist()) for axis in AXES if axis in arrays}
    return Finished(
        url,
        attributes,
        arrays,
        _grid(lat, lon, where=shown),
        tuple(int(year) for year in years),
        axes,
    )


def _grid(lat: Any, lon: Any, *, where: str) -> Grid:
    if lat.size < 2 or lon.size < 2 or lat[0] < lat[-1]:
        raise ValueError(
            f"{where}: found {lat.size} latitudes and {lon.size} longitudes, expected at least 2 "
            "of each, "
            "north first; publish a product that luray wrote"
        )
    step = float(lon[-1] - lon[0]) / (lon.size - 1)
    north, west = float(lat[0]) + step / 2, float(lon[0]) - step / 2
    return Grid(round(north, 9), round(west, 9), round(step, 12), lat.size, lon.size)


def _check(
    name: str, sources: Iterable[Reference], pictures: Mapping[str, str], report: str | None
) -> None:
    """Raise ValueError for anything that would make a wrong catalog."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
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
                "as "
                "10.1594/PANGAEA.921846; correct it or leave it empty"
            )
    for key in pictures:
        if key in ("data", "metadata", "report"):
            raise ValueError(
                f"picture {key!r} has the name of another asset, expected one of its own such as "
                "overview; rename it"
            )
    files = {
        **{f"picture {key!r}": path for key, path in pictures.items()},
        **({"report": report} if report else {}),
    }
    for what, path in files.items():
        fs, inner = fsspec.core.url_to_fs(path)
        if not fs.isfile(inner):
            raise ValueError(
                f"{public(path)}: {what} is not there, expected a file; make it first or leave it "
                "out"
            )
        if _suffix(path) not in MEDIA:
            raise ValueError(
                f"{public(path)}: {what} ends in {_suffix(path)!r}, expected one of "
                f"{', '.join(MEDIA)}"
            )


def _suffix(path: str) -> str:
    return PurePosixPath(public(path)).suffix.lower()


def anchor(path: str) -> str:
    """A place that hrefs can be relative to: an absolute local path, or a URL without credentials."""
    return str(fsspec.core.url_to_fs(path)[1]) if is_local(path) else public(path)


def relative_href(target: str, *, folder: str) -> str:
    """A place as seen from a folder: relative on one store, otherwise a URL."""
    return make_relative_href(anchor(target), anchor(folder), start_is_dir=True)


def _file(path: str, *, key: str, role: str, folder: str) -> pystac.Asset:
    """The asset of a picture or report; a local file is copied beside a remote catalog."""
    if is_local(path) and not is_local(folder):
        copy = f"{folder}/{key}{_suffix(path)}"
        write_atomically(copy, read_object(path) or b"")
        path = copy
    title = key.replace("_", " ").capitalize()
    return pystac.Asset(
        relative_href(path, folder=folder), title, media_type=MEDIA[_suffix(path)], roles=[role]
    )


def _item(product: Finished, *, name: str, title: str) -> pystac.Item:
    """The item of a product, without assets: when, where, how it was made."""
    first, last = product.interval
    run = product.attributes["luray"]
    about = {
        f"luray:{key}": run[key]
        for key in ("scenario", "scenarios", "members", "seed", "fingerprint")
        if key in run
    }
    properties = {
        "title": title,
        "luray:caveats": list(product.attributes.get("caveats", ())),
        **about,
    }
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


def _add_data(item: pystac.Item, product: Finished, *, folder: str) -> None:
    """The store itself, ready for xarray, and its metadata."""
    href = relative_href(product.url.rstrip("/"), folder=folder)
    data = pystac.Asset(
        href,
        title="Land use by year",
        media_type=ZARR,
        roles=["data"],
        description=f"Zarr v3 group: {', '.join(product.names)}. The classes are those of land_use.",
    )
    item.add_asset("data", data)
    XarrayAssetsExtension.add_to(item)
    AssetXarrayAssetsExtension(data).open_kwargs = {"consolidated": True}
    ClassificationExtension.ext(data, add_if_missing=True).apply(classes=product.classes)
    item.add_asset(
        "metadata",
        pystac.Asset(
            f"{href}/zarr.json",
            title="Metadata of all arrays",
            media_type=pystac.MediaType.JSON,
            roles=["metadata"],
        ),
    )


def _collection(
    product: Finished,
    item: pystac.Item,
    *,
    name: str,
    title: str,
    description: str,
    sources: Sequence[Reference],
) -> pystac.Collection:
    """The collection: what it is, what it is derived from, and under which licences."""
    extent = pystac.Extent(
        pystac.SpatialExtent([product.bbox]), pystac.TemporalExtent([[*product.interval]])
    )
    provider = pystac.Provider(
        "luray",
        "made this product from the sources below",
        [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.PROCESSOR],
    )
    licences = sorted({source["licence"] for source in sources if source.get("licence")})
    common = licences[0] if len(licences) == 1 and re.fullmatch(SPDX, licences[0]) else "other"
    keywords = [
        "land use",
        "land-use change",
        "land cover",
        "annual",
        "reconstruction",
        "projection",
        "luray",
    ]
    collection = pystac.Collection(
        name,
        _described(description, product, sources),
        extent,
        title,
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
        license=common,
        keywords=keywords,
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


def _links(sources: Sequence[Reference]) -> list[pystac.Link]:
    """Links to the sources and their licences, each once."""
    links = [
        pystac.Link(
            pystac.RelType.DERIVED_FROM,
            doi_to_url(source["doi"]),
            pystac.MediaType.HTML,
            source["title"],
        )
        for source in sources
        if source.get("doi")
    ]
    for licence in sorted({source.get("licence", "") for source in sources}):
        if re.fullmatch(SPDX, licence):
            target = f"https://spdx.org/licenses/{licence}.html"
            links.append(
                pystac.Link(pystac.RelType.LICENSE, target, pystac.MediaType.HTML, licence)
            )
    return links


def _described(description: str, product: Finished, sources: Sequence[Reference]) -> str:
    """The description with its sources and caveats, in CommonMark."""
    parts = [description]
    if sources:
        parts.append(
            "Sources:\n\n"
            + "\n".join(
                "- "
                + ", ".join(
                    part
                    for part in (
                        source["title"],
                        source.get("doi") and f"doi:{source['doi']}",
                        source.get("licence") and f"licence {source['licence']}",
                    )
                    if part
                )
                for source in sources
            )
        )
    stated = [source["caveat"] for source in sources if source.get("caveat")]
    caveats = dict.fromkeys([*product.attributes.get("caveats", ()), *stated])
    if caveats:
        parts.append("Caveats:\n\n" + "\n".join(f"- {caveat}" for caveat in caveats))
    return "\n\n".join(parts)
