"""Inputs from STAC: the assets of a collection, in a static catalog or an API.

A catalog is somebody else's text. Whatever it names, documents as well as files, is opened only
below its own root or a root that the run file allows; its JSON is read as plain data, for pystac
follows links of old items on its own.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin

import pystac
import requests
from pystac.utils import make_absolute_href
from pystac_client import Client, ConformanceClasses
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import PystacClientWarning

from luray.core.config import Config
from luray.sources.base import Asset
from luray.sources.discover import published_name
from luray.sources.file_formats import HEAD_BYTES, identify_format
from luray.sources.years import span
from luray.storage.objects import read_object
from luray.storage.places import WEB, Place, PlaceError, is_local, place_of, public
from luray.storage.references import is_references
from luray.storage.trust import RefusedError, require_within
from luray.storage.web import AbsentError, TrustingAdapter, WebError, fetch_text

FILES = (".nc", ".nc4", ".cdf", ".tif", ".tiff")
"""Ends of the names of NetCDF and GeoTIFF files."""

MEDIA = {
    "zarr": r"application/(?:vnd\.|x-)?(?:vnd\+)?zarr\b",
    "file": r"application/(?:x-)?(?:netcdf|hdf5?)\b|image/tiff\b",
}
"""Media types of what is read; references have no type of their own."""

LIMIT = 100_000
"""Documents of a catalog that are read at most: links can go round in a circle of ever new names.
"""


class CatalogError(ValueError):
    """A catalog that cannot be read or does not have what the run wants: says what it has, and what
    to do.
    """


class CatalogConfig(Config):
    """The STAC catalog of a run's inputs: a `catalog.json` on any store, or the address of a STAC
    API.
    """

    url: Place
    role: str = "data"
    """Role of the assets that are read; empty for all."""

    @property
    def place(self) -> str:
        """Where reading begins: an absolute path or a URL."""
        url = str(Path(self.url).resolve()) if is_local(self.url) else self.url
        whole = public(url).endswith(".json") or url.startswith(("http://", "https://"))
        return url if whole else f"{url.rstrip('/')}/catalog.json"

    @property
    def root(self) -> str:
        """The folder of a static catalog, or an API: below it lies what the catalog may name."""
        place = public(self.place)
        return place.rsplit("/", 1)[0] + "/" if place.endswith(".json") else place.rstrip("/") + "/"


@dataclass(frozen=True)
class _Found:
    """An asset as its catalog has it: of which item or collection, where, what, and of which years."""

    owner: str
    href: str
    name: str
    roles: tuple[str, ...]
    kind: str
    """`zarr`, `references` or `file`, the cheapest to read first; empty for what is not read."""
    years: tuple[int, int]


def find_assets(
    catalog: CatalogConfig, collection: str, *, years: range | None = None
) -> tuple[Asset, ...]:
    """Assets of a collection that hold any of `years` (all when None), by name.

    Of several assets of an item that stand for one file, the cheapest to read is taken: Zarr, then
    references, then the file. Raises CatalogError for a catalog that cannot be read, has no such
    collection, or nothing of these years and this role; RefusedError where it leads outside its
    root and those that the run allows.
    """
    with _reading(catalog):
        reader = _Reader(catalog)
        with reader.session, warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            client = Client.open(catalog.place, stac_io=reader)
            search = client.conforms_to(ConformanceClasses.ITEM_SEARCH)
            held = list(
                _of_api(client, reader, collection, years)
                if search
                else _of_files(reader, collection)
            )
    assets = []
    for found in _filter(held, catalog, collection, years):
        led_by = f"{found.owner} of catalog {public(catalog.url)}"
        require_within(found.href, [catalog.root], led_by=led_by)
        try:
            href = place_of(found.href)
        except PlaceError as error:
            raise CatalogError(f"{led_by}: {error}") from None
        # what is opened is judged, too: a file URL may hide a step upwards behind percent codes
        assets.append(
            Asset(name=found.name, href=require_within(href, [catalog.root], led_by=led_by))
        )
    return tuple(sorted(assets, key=lambda asset: (asset.name, asset.href)))


class _Reader(StacApiIO):
    """Reads the documents of a catalog from any store, and none outside."""

    def __init__(self, catalog: CatalogConfig) -> None:
        super().__init__(max_retries=None)
        self.catalog, self.documents = catalog, 0
        self.session.hooks["response"].append(self._check_redirect)
        for scheme in WEB:
            self.session.mount(f"{scheme}://", TrustingAdapter())

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of a document of a web server or API. Raises WebError, and APIError where there
        is none.
        """
        method = (method or "GET").upper()
        sent = {"params": parameters} if method == "GET" else {"json": parameters}
        try:
            data = fetch_text(self.session, method, href, headers=headers, **sent)
        except AbsentError as error:
            absent = APIError(str(error))
            absent.status_code = (
                404  # by which pystac-client knows that an API has no such collection
            )
            raise absent from error
        return _text(data, href)

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """The text of a document. Raises RefusedError for one outside, FileNotFoundError where
        there is none.
        """
        href = str(source.get_href() if isinstance(source, pystac.Link) else source)
        self._require(href, "a link")
        self.documents += 1
        if self.documents > LIMIT:
            raise CatalogError(
                f"more than {LIMIT} documents, expected the inputs of a run; give a smaller catalog"
            )
        if href.startswith(("http://", "https://")):
            return super().read_text(source, *args, **kwargs)
        data = read_object(href)
        if data is None:
            raise FileNotFoundError(f"{public(href)} is not there")
        return _text(data, href)

    def document(self, href: str) -> dict[str, Any]:
        """A document as plain JSON."""
        found = self.read_json(href)
        if not isinstance(found, dict):
            raise CatalogError(
                f"{public(href)} is a JSON {type(found).__name__}, expected an object"
            )
        return found

    def _require(self, href: str, what: str) -> None:
        require_within(
            href, [self.catalog.root], led_by=f"{what} of catalog {public(self.catalog.url)}"
        )

    def _check_redirect(self, response: requests.Response, *_: Any, **__: Any) -> None:
        target = self.session.get_redirect_target(response)
        try:
            self._require(urljoin(response.url, target or ""), "a redirect")
        except RefusedError:
            response.close()
            raise


def _text(data: bytes, href: str) -> str:
    """The text of a document. Raises ValueError for a page, a picture, or what is packed or empty."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text.lstrip().startswith(("{", "[")):
        file_format = identify_format(data[:HEAD_BYTES])
        name = PurePosixPath(public(href)).name
        raise ValueError(
            f"{public(href)} is {file_format.name}, expected JSON; "
            f"{file_format.advice.format(name=name, end='.json')}"
        )
    return text


@contextmanager
def _reading(catalog: CatalogConfig) -> Iterator[None]:
    where = f"catalog {public(catalog.url)}"
    try:
        yield
    except Exception as error:  # every store and pystac raise errors of their own kind
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, RefusedError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, RefusedError):
            raise cause from None
        if isinstance(error, WebError):
            raise CatalogError(f"{where}: cannot be read as STAC ({error})") from error
        shown = re.sub(
            r"\w+://[^\s'\"]+", lambda match: public(match[0]), str(error) or type(error).__name__
        )
        hint = (
            ""
            if isinstance(error, CatalogError)
            else "; give the url of a catalog.json or of a STAC API"
        )
        raise CatalogError(
            f"{where}: {shown if not hint else f'cannot be read as STAC ({shown})'}{hint}"
        ) from error


def _of_api(client: Client, reader: _Reader, name: str, years: range | None) -> Iterator[_Found]:
    """Assets of a collection in an API, and of its items in these years."""
    collection = client.get_collection(name)
    if collection is None:
        raise _unknown(name, (found.id for found in client.get_collections()))
    described = collection.to_dict(include_self_link=True, transform_hrefs=False)
    yield from _assets(
        described, base=_self(described) or reader.catalog.root, owner=f"collection {name!r}"
    )
    when = f"{years[0]:04d}-01-01T00:00:00Z/{years[-1]:04d}-12-31T23:59:59Z" if years else None
    for item in client.search(collections=[name], datetime=when).items_as_dicts():
        if item.get("collection") == name:
            yield from _assets(
                item, base=_self(item) or reader.catalog.root, owner=f"item {item['id']!r}"
            )


def _of_files(reader: _Reader, name: str) -> Iterator[_Found]:
    """Assets of a collection in a static catalog, and of all items below it."""
    named: dict[str, tuple[str, dict[str, Any]]] = {}
    for href, part in _walk(reader, reader.catalog.place):
        if part.get("type") == "Collection":
            named[str(part["id"])] = href, part
        if name in named:
            break
    if name not in named:
        raise _unknown(name, named)
    place, document = named[name]
    yield from _assets(document, base=place, owner=f"collection {name!r}")
    for below, part in _walk(reader, place):
        pages = [page for href in _links(part, "items", below) for page in reader.get_pages(href)]
        items = [(_self(item) or below, item) for page in pages for item in page["features"]]
        items += [(href, reader.document(href)) for href in _links(part, "item", below)]
        for base, item in items:
            if item.get("collection", name) == name:
                yield from _assets(item, base=base, owner=f"item {item['id']!r}")


def _walk(reader: _Reader, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A catalog and those below it, with their places, each once."""
    seen, pending = {place}, [place]
    while pending:
        href = pending.pop(0)
        document = reader.document(href)
        yield href, document
        fresh = [child for child in _links(document, "child", href) if child not in seen]
        seen.update(fresh)
        pending += dict.fromkeys(fresh)


def _links(document: dict[str, Any], rel: str, place: str) -> list[str]:
    return [
        make_absolute_href(str(link["href"]), place)
        for link in document.get("links", ())
        if link["rel"] == rel
    ]


def _self(document: dict[str, Any]) -> str:
    return next(
        (str(link["href"]) for link in document.get("links", ()) if link["rel"] == "self"), ""
    )


def _assets(document: dict[str, Any], *, base: str, owner: str) -> Iterator[_Found]:
    """Assets of an item or collection; their own dates win over its."""
    extent = document.get("extent", {}).get("temporal", {}).get("interval", [[None, None]])[0]
    given = document.get("properties") or {"start_datetime": extent[0], "end_datetime": extent[1]}
    for asset in document.get("assets", {}).values():
        href = make_absolute_href(str(asset["href"]), base)
        dates = {
            **given,
            **{
                key: asset[key]
                for key in ("datetime", "start_datetime", "end_datetime")
                if key in asset
            },
        }
        name = str(asset.get("luray:file") or published_name(href))
        yield _Found(
            owner,
            href,
            name,
            tuple(asset.get("roles") or ()),
            _kind(href, str(asset.get("type") or "")),
            _years(dates, owner),
        )


def _kind(href: str, media: str) -> str:
    """How an asset is read, by its media type or the end of its name."""
    end = PurePosixPath(public(href).rstrip("/")).suffix.lower()
    if end == ".zarr" or re.match(MEDIA["zarr"], media):
        return "zarr"
    if is_references(href):
        return "references"
    return "file" if end in FILES or re.match(MEDIA["file"], media) else ""


def _years(dates: dict[str, Any], owner: str) -> tuple[int, int]:
    """First and last year of dates, which may lack either end."""
    first, last = (
        (dates.get(key) or dates.get("datetime")) for key in ("start_datetime", "end_datetime")
    )
    return _year(first, 0, owner), _year(last, 9999, owner)


def _year(moment: Any, default: int, owner: str) -> int:
    found = re.match(r"([+-]?\d{4,})(?:-|$)", str(moment)) if moment else None
    if moment and found is None:
        raise CatalogError(
            f"{owner} has the date {moment!r}, expected one such as 1850-01-01T00:00:00Z; correct "
            "it"
        )
    return int(found[1]) if found else default


def _unknown(name: str, there: Iterable[str]) -> CatalogError:
    return CatalogError(
        f"has no collection {name!r}, found {', '.join(sorted(there)) or 'none'}; correct the "
        "`collection` of the source"
    )


def _filter(
    held: list[_Found], catalog: CatalogConfig, collection: str, years: range | None
) -> list[_Found]:
    """What the run can use. Raises CatalogError, saying what each filter left out, where nothing is
    left.
    """

    def meets(found: _Found) -> bool:
        return years is None or (found.years[0] <= years[-1] and found.years[1] >= years[0])

    tests: list[tuple[Callable[[_Found], bool], Callable[[list[_Found]], str]]] = [
        (
            meets,
            lambda out: (
                f"{len(out)} hold no year of the run's {span(years or ())} (they hold "
                f"{', '.join(sorted({f'{f.years[0]}-{f.years[1]}' for f in out}))})"
            ),
        ),
        (
            lambda f: not catalog.role or catalog.role in f.roles,
            lambda out: (
                f"{len(out)} have not the role {catalog.role!r} (their roles: "
                f"{', '.join(sorted({r for f in out for r in f.roles})) or 'none'})"
            ),
        ),
        (
            lambda f: bool(f.kind),
            lambda out: (
                f"{len(out)} are no Zarr, NetCDF, GeoTIFF or references "
                f"({', '.join(sorted({PurePosixPath(public(f.href)).name for f in out})[:5])})"
            ),
        ),
    ]
    left, reasons = held, []
    for passes, says in tests:
        out = [found for found in left if not passes(found)]
        left = [found for found in left if passes(found)]
        reasons += [says(out)] if out else []
    if not left:
        why = "; ".join(reasons) or "it has no items"
        raise CatalogError(
            f"catalog {public(catalog.url)}: collection {collection!r} has {len(held)} assets, "
            "none "
            f"that the run can use: {why}; add items with `luray virtualize`, or correct "
            "`catalog.role` "
            "or the run's years"
        )
    return _cheapest(left)


def _cheapest(held: list[_Found]) -> list[_Found]:
    """Of the assets of an item that stand for one file, the one that is cheapest to read."""
    kept: list[_Found] = []
    for found in sorted(held, key=lambda f: ("zarr", "references", "file").index(f.kind)):
        if not any(found.owner == k.owner and _same(found.name, k.name) for k in kept):
            kept.append(found)
    return kept


def _same(name: str, other: str) -> bool:
    """True for two names of one file, of which one may have more folders before it."""
    return name == other or name.endswith(f"/{other}") or other.endswith(f"/{name}")
