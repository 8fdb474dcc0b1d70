"""Inputs from STAC: the assets of a collection, in a static catalog or an API.

Documents are read as plain JSON and their links followed here, within what may be read: pystac
follows links of old items on its own.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pystac.utils import make_absolute_href
from pystac_client import Client, ConformanceClasses
from pystac_client.warnings import PystacClientWarning

from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.reader import CatalogError, CatalogReader, reading
from luray.sources.base import Asset
from luray.sources.discover import published_name
from luray.sources.years import format_years
from luray.storage.places import PlaceError, place_of, public
from luray.storage.store_names import is_references
from luray.storage.trust import require_within

FILES = (".nc", ".nc4", ".cdf", ".tif", ".tiff")
"""Ends of the names of NetCDF and GeoTIFF files."""

MEDIA = {
    "zarr": r"application/(?:vnd\.|x-)?(?:vnd\+)?zarr\b",
    "file": r"application/(?:x-)?(?:netcdf|hdf5?)\b|image/tiff\b",
}
"""Media types of what is read; references have no type of their own."""

CHEAPEST_FIRST = ("zarr", "references", "file")
"""Kinds of assets in the order of what it costs to read them."""


@dataclass(frozen=True)
class ListedAsset:
    """An asset as its catalog has it."""

    owner: str
    """Item or collection, in words."""
    href: str
    name: str
    """Of the published file."""
    roles: tuple[str, ...]
    kind: str
    """One of `CHEAPEST_FIRST`; empty for what is not read."""
    years: tuple[int, int]
    """First and last."""


def find_assets(
    catalog: CatalogConfig, collection: str, *, years: range | None = None
) -> tuple[Asset, ...]:
    """Return the assets of a collection that a run can read.

    Of several assets of an item that stand for one file, the cheapest to read is taken: Zarr, then
    references, then the file.

    Parameters
    ----------
    catalog : CatalogConfig
        A static catalog or an API, and the role of the assets.
    collection : str
        Id of the collection.
    years : range, optional
        Years of which an asset must hold any; all assets by default.

    Returns
    -------
    tuple of Asset
        By name.

    Raises
    ------
    CatalogError
        For a catalog that cannot be read, has no such collection, or nothing of these years and
        this role.
    RefusedError
        Where it leads outside its root and those that the run allows.
    """
    with reading(catalog):
        reader = CatalogReader(catalog)
        with reader.session, warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            client = Client.open(catalog.place, stac_io=reader)
            if client.conforms_to(ConformanceClasses.ITEM_SEARCH):
                listed = list(_listed_by_api(client, reader, collection, years))
            else:
                listed = list(_listed_by_files(reader, collection))

    assets = []
    for asset in _usable(listed, catalog, collection, years):
        led_by = f"{asset.owner} of catalog {public(catalog.url)}"
        require_within(asset.href, [catalog.root], led_by=led_by)
        try:
            href = place_of(asset.href)
        except PlaceError as error:
            raise CatalogError(f"{led_by}: {error}") from None
        # What is opened is judged, too: a file URL may hide a step upwards behind percent codes.
        href = require_within(href, [catalog.root], led_by=led_by)
        assets.append(Asset(name=asset.name, href=href))
    return tuple(sorted(assets, key=lambda asset: (asset.name, asset.href)))


def _listed_by_api(
    client: Client, reader: CatalogReader, name: str, years: range | None
) -> Iterator[ListedAsset]:
    """Yield the assets of a collection in an API, and of its items in these years."""
    collection = client.get_collection(name)
    if collection is None:
        raise _unknown(name, (other.id for other in client.get_collections()))
    root = reader.catalog.root
    described = collection.to_dict(include_self_link=True, transform_hrefs=False)
    yield from _assets(described, base=_self(described) or root, owner=f"collection {name!r}")

    when = f"{years[0]:04d}-01-01T00:00:00Z/{years[-1]:04d}-12-31T23:59:59Z" if years else None
    for item in client.search(collections=[name], datetime=when).items_as_dicts():
        # Not every API heeds the search.
        if item.get("collection") == name:
            yield from _assets(item, base=_self(item) or root, owner=f"item {item['id']!r}")


def _listed_by_files(reader: CatalogReader, name: str) -> Iterator[ListedAsset]:
    """Yield the assets of a collection in a static catalog, and of all items below it."""
    collections: dict[str, tuple[str, dict[str, Any]]] = {}
    for href, document in _walk(reader, reader.catalog.place):
        if document.get("type") == "Collection":
            collections[str(document["id"])] = href, document
        if name in collections:
            break
    if name not in collections:
        raise _unknown(name, collections)

    # The collection's own assets first, then those of the items that it and its children link to.
    place, collection = collections[name]
    yield from _assets(collection, base=place, owner=f"collection {name!r}")
    for below, document in _walk(reader, place):
        for base, item in _items(reader, document, below):
            if item.get("collection", name) == name:
                yield from _assets(item, base=base, owner=f"item {item['id']!r}")


def _items(
    reader: CatalogReader, document: dict[str, Any], place: str
) -> list[tuple[str, dict[str, Any]]]:
    """Return the items that a document links to, each with the place that its hrefs start from.

    Some catalogs link to pages of items as an API has them.
    """
    items: list[tuple[str, dict[str, Any]]] = []
    for href in _links(document, "items", place):
        for page in reader.get_pages(href):
            # An item of an API says itself where it is; its page has another address.
            items.extend((_self(item) or place, item) for item in page["features"])
    items.extend((href, reader.document(href)) for href in _links(document, "item", place))
    return items


def _walk(reader: CatalogReader, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a catalog and those below it, with their places, each once."""
    seen = {place}
    pending = [place]
    while pending:
        href = pending.pop(0)
        document = reader.document(href)
        yield href, document
        for child in _links(document, "child", href):
            if child not in seen:
                seen.add(child)
                pending.append(child)


def _links(document: dict[str, Any], rel: str, place: str) -> list[str]:
    """Return the absolute targets of a document's links of one kind."""
    return [
        make_absolute_href(str(link["href"]), place)
        for link in document.get("links", ())
        if link["rel"] == rel
    ]


def _self(document: dict[str, Any]) -> str:
    """Return where a document says that it is, empty where it does not."""
    for link in document.get("links", ()):
        if link["rel"] == "self":
            return str(link["href"])
    return ""


def _assets(document: dict[str, Any], *, base: str, owner: str) -> Iterator[ListedAsset]:
    """Yield the assets of an item or collection; their own dates win over its."""
    extent = document.get("extent", {}).get("temporal", {}).get("interval", [[None, None]])[0]
    common = document.get("properties") or {"start_datetime": extent[0], "end_datetime": extent[1]}
    for asset in document.get("assets", {}).values():
        href = make_absolute_href(str(asset["href"]), base)
        dates = dict(common)
        for key in ("datetime", "start_datetime", "end_datetime"):
            if key in asset:
                dates[key] = asset[key]
        yield ListedAsset(
            owner,
            href,
            name=str(asset.get("luray:file") or published_name(href)),
            roles=_roles(asset),
            kind=_kind(href, str(asset.get("type") or "")),
            years=_years(dates, owner),
        )


def _roles(asset: dict[str, Any]) -> tuple[str, ...]:
    """Return the roles of an asset; none where they are no list."""
    roles = asset.get("roles")
    return tuple(map(str, roles)) if isinstance(roles, list) else ()


def _kind(href: str, media: str) -> str:
    """Return how an asset is read, by its media type or the end of its name."""
    end = PurePosixPath(public(href).rstrip("/")).suffix.lower()
    if end == ".zarr" or re.match(MEDIA["zarr"], media):
        return "zarr"
    if is_references(href):
        return "references"
    return "file" if end in FILES or re.match(MEDIA["file"], media) else ""


def _years(dates: dict[str, Any], owner: str) -> tuple[int, int]:
    """Return the first and last year of dates, which may lack either end."""
    first, last = (
        (dates.get(key) or dates.get("datetime")) for key in ("start_datetime", "end_datetime")
    )
    return _year(first, 0, owner), _year(last, 9999, owner)


def _year(moment: Any, default: int, owner: str) -> int:
    """Return the year of a date, the default for an open end."""
    if not moment:
        return default
    year = re.match(r"([+-]?\d{4,})(?:-|$)", str(moment))
    if year is None:
        raise CatalogError(
            f"{owner} has the date {moment!r}, expected one such as 1850-01-01T00:00:00Z; correct "
            "it"
        )
    return int(year[1])


def _unknown(name: str, known: Iterable[str]) -> CatalogError:
    return CatalogError(
        f"has no collection {name!r}, found {', '.join(sorted(known)) or 'none'}; correct the "
        "`collection` of the source"
    )


def _usable(
    listed: Sequence[ListedAsset], catalog: CatalogConfig, collection: str, years: range | None
) -> list[ListedAsset]:
    """Return what the run can use, each file once.

    Raises CatalogError where nothing is left, saying what each filter left out.
    """
    reasons = []
    usable = list(listed)

    if years is not None:
        outside = [asset for asset in usable if not _overlaps(asset.years, years)]
        usable = [asset for asset in usable if _overlaps(asset.years, years)]
        if outside:
            spans = sorted({f"{asset.years[0]}-{asset.years[1]}" for asset in outside})
            reasons.append(
                f"{len(outside)} hold no year of the run's {format_years(years)} "
                f"(they hold {', '.join(spans)})"
            )

    if catalog.role:
        others = [asset for asset in usable if catalog.role not in asset.roles]
        usable = [asset for asset in usable if catalog.role in asset.roles]
        if others:
            roles = sorted({role for asset in others for role in asset.roles})
            reasons.append(
                f"{len(others)} have not the role {catalog.role!r} "
                f"(their roles: {', '.join(roles) or 'none'})"
            )

    unread = [asset for asset in usable if not asset.kind]
    usable = [asset for asset in usable if asset.kind]
    if unread:
        names = sorted({PurePosixPath(public(asset.href)).name for asset in unread})
        reasons.append(
            f"{len(unread)} are no Zarr, NetCDF, GeoTIFF or references ({', '.join(names[:5])})"
        )

    if not usable:
        why = "; ".join(reasons) or "it has no items"
        raise CatalogError(
            f"catalog {public(catalog.url)}: collection {collection!r} has {len(listed)} assets, "
            f"none that the run can use: {why}; add items with `luray virtualize`, or correct "
            "`catalog.role` or the run's years"
        )
    return _cheapest(usable)


def _overlaps(held: tuple[int, int], years: range) -> bool:
    """Return whether any of the years lies between a first and a last one."""
    return held[0] <= years[-1] and held[1] >= years[0]


def _cheapest(listed: Sequence[ListedAsset]) -> list[ListedAsset]:
    """Return the cheapest of the assets of an item that stand for one file."""
    chosen: list[ListedAsset] = []
    for asset in sorted(listed, key=lambda a: CHEAPEST_FIRST.index(a.kind)):
        known = [other.name for other in chosen if other.owner == asset.owner]
        if not any(_is_one_file(asset.name, name) for name in known):
            chosen.append(asset)
    return chosen


def _is_one_file(name: str, other: str) -> bool:
    """Return whether two names are of one file, of which one may have more folders before it."""
    return name == other or name.endswith(f"/{other}") or other.endswith(f"/{name}")
