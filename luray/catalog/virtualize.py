"""`luray virtualize`: files where they lie become a STAC catalog that a run reads.

Each file gets an item, and each NetCDF file kerchunk references, which make it readable chunk by
chunk. Nothing is copied. The order of writes is references, item, collection, `catalog.json`, so
that whatever a reader finds leads to something that is there. What is up to date is left as it is.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pystac

from luray.catalog.reference_writer import virtual_references, write_references
from luray.catalog.stac import anchor, is_id, relative_href
from luray.core.grid import Grid
from luray.sources.discover import list_files
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from luray.storage.objects import exists, filesystem, read_object, write_atomically
from luray.storage.places import PlaceError, is_local, place_of, public

KINDS = {".nc": "netcdf", ".nc4": "netcdf", ".cdf": "netcdf", ".tif": "geotiff", ".tiff": "geotiff"}
"""Kinds of files that are catalogued, by the end of their name."""

FORMATS = {"parquet": "application/vnd.apache.parquet", "json": pystac.MediaType.JSON}
"""Formats of references, with their media types."""

MEDIA = {"netcdf": "application/netcdf", "geotiff": pystac.MediaType.GEOTIFF}
YEAR = r"(?<!\d)(?:8[5-9]\d|9\d\d|1\d{3}|2[01]\d\d)(?!\d)"
"""A year in a file's name."""

STRUCTURE = ("root", "parent", "self", "item", "child")
"""Links of a collection that are the catalog's, not its own."""


@dataclass(frozen=True)
class Entry:
    """A file to catalogue: where it is, and its name from the folder that was given."""

    url: str
    name: str

    @property
    def kind(self) -> str:
        """Kind of the file, by the end of its name."""
        return KINDS[PurePosixPath(self.name).suffix.lower()]

    @property
    def id(self) -> str:
        """Id of its item."""
        stem = str(PurePosixPath(self.name).with_suffix(""))
        return re.sub(r"[^A-Za-z0-9._-]", "-", stem.replace("/", "-"))

    @property
    def version(self) -> str:
        """Identity that differs from an earlier file of this name: its ETag, or size and time."""
        fs, path = filesystem(self.url)
        info = fs.info(path)
        size_and_time = f"{info.get('size')}:{info.get('mtime')}"
        return str(info.get("ETag") or info.get("etag") or size_and_time).strip('"')


def virtualize(
    urls: Sequence[str],
    *,
    collection: str,
    output: str,
    format: str = "parquet",
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> str:
    """Catalogue files and folders in `output`, with references for NetCDF.

    Parameters
    ----------
    urls : sequence of str
        Files and folders, local or on a store.
    collection : str
        A STAC collection, local or a URL, whose items the files become.
    output : str
        Folder of the catalog; an earlier one is extended.
    format : str
        Of the references, parquet or json.
    progress : callable
        Called with the files done, the files in all, and the name of the next.

    Returns
    -------
    str
        The URL of `catalog.json`.

    Raises
    ------
    ValueError
        Naming the file for one that cannot be read or described by references.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}, expected {' or '.join(FORMATS)}")
    urls = [_place(url, "URL") for url in urls]
    root = _place(output, "--output").rstrip("/")
    description = _description(_place(collection, "--collection"))
    entries = _entries(urls, output=root)

    catalog = _catalog(f"{root}/catalog.json")
    described = _collection(description, catalog, root=root)
    for done, entry in enumerate(entries):
        progress(done, len(entries), entry.name)
        _write_entry(entry, described, folder=f"{root}/{described.id}/{entry.id}", format=format)

    item_hrefs = {f"./{entry.id}/{entry.id}.json" for entry in entries}
    item_hrefs.update(_item_hrefs(f"{root}/{described.id}/collection.json"))
    for href in sorted(item_hrefs):
        described.add_link(pystac.Link(pystac.RelType.ITEM, href, pystac.MediaType.GEOJSON))
    _write(f"{root}/{described.id}/collection.json", described)
    _write(f"{root}/catalog.json", catalog)
    progress(len(entries), len(entries), "")
    return f"{public(root)}/catalog.json"


def places(urls: Sequence[str], *, output: str) -> list[str]:
    """Return the folders that a run file must allow, so that what the catalog names can be read.

    What lies below the catalog itself is always allowed.
    """
    urls = [_place(url, "URL") for url in urls]
    inside = public(_place(output, "--output")).rstrip("/") + "/"
    folders = set()
    for url in urls:
        folder = url if _is_folder(url) else url.rsplit("/", 1)[0]
        folders.add(public(folder).rstrip("/") + "/")
    return sorted(folder for folder in folders if not folder.startswith(inside))


def _place(text: str, key: str) -> str:
    """Return a place of the command line, normalised. Raises PlaceError naming the argument."""
    try:
        return place_of(text)
    except PlaceError as error:
        raise PlaceError(f"{key}: {error}") from None


def _is_folder(url: str) -> bool:
    return PurePosixPath(public(url)).suffix.lower() not in KINDS


def _description(place: str) -> pystac.Collection:
    """Return the collection at a place, checked, without the links of the catalog it is in."""
    text = read_object(place)
    if text is None:
        raise ValueError(
            f"{public(place)}: there is no such file, expected a STAC collection; catalogs/ has "
            "one for each input"
        )
    try:
        description = pystac.Collection.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError, pystac.STACTypeError) as error:
        raise ValueError(
            f"{public(place)}: no STAC collection ({error}); give a collection.json such as those "
            "of catalogs/"
        ) from None
    if not is_id(str(description.id)):
        raise ValueError(
            f"{public(place)}: id {description.id!r} must be letters, digits, dots, dashes; it "
            "names a folder"
        )
    for rel in STRUCTURE:
        description.clear_links(rel)
    return description


def _catalog(place: str) -> pystac.Catalog:
    """Return the catalog at a place, or a new one."""
    earlier = json.loads(read_object(place) or b"null")
    catalog = pystac.Catalog(
        "luray-inputs", "Data sets that luray reads where they lie.", "Inputs of luray"
    )
    if earlier:
        catalog = pystac.Catalog.from_dict(earlier)
    catalog.catalog_type = pystac.CatalogType.SELF_CONTAINED
    # Without these two pystac would fetch the root that the document names.
    catalog.set_self_href(anchor(place))
    catalog.set_root(catalog)
    return catalog


def _collection(
    description: pystac.Collection, catalog: pystac.Catalog, *, root: str
) -> pystac.Collection:
    """Make a collection a child of the catalog, in place of an earlier one of its id."""
    href = f"./{description.id}/collection.json"
    catalog.links = [link for link in catalog.links if link.target != href]
    description.catalog_type = pystac.CatalogType.SELF_CONTAINED
    catalog.add_child(description, set_parent=False)
    description.set_self_href(f"{anchor(root)}/{description.id}/collection.json")
    description.set_root(catalog)
    description.set_parent(catalog)
    return description


def _entries(urls: Sequence[str], *, output: str) -> list[Entry]:
    """Return the NetCDF and GeoTIFF files at some places, without those of the catalog itself.

    Raises ValueError for a URL with a secret, for two files of one id, and where there is none.
    """
    entries: dict[str, Entry] = {}
    for url in urls:
        if "://" in url and public(url) != url:
            raise ValueError(
                f"{public(url)}: the URL holds credentials or a signature, which references would "
                "give away; give the plain URL and let the environment hold the credentials"
            )
        for file, name in _files(url):
            if _is_folder(file) or anchor(file).startswith(anchor(output).rstrip("/") + "/"):
                continue
            entry = Entry(str(Path(file).resolve()) if is_local(file) else file, name)
            other = entries.setdefault(entry.id, entry)
            if other.url != entry.url:
                raise ValueError(
                    f"{other.url} and {entry.url} would both be item {entry.id!r}; give them "
                    "different names or catalogue them as two collections"
                )
    if not entries:
        raise ValueError(
            f"{', '.join(map(public, urls))}: found no NetCDF or GeoTIFF files "
            f"({', '.join(KINDS)}); correct the place"
        )
    return [entries[entry_id] for entry_id in sorted(entries)]


def _files(url: str) -> Iterator[tuple[str, str]]:
    """Yield a file, or every file below a folder, with its name from there."""
    if not _is_folder(url):
        yield url, url.rsplit("/", 1)[-1]
        return
    base = anchor(url).rstrip("/") + "/"
    for file in list_files(url):
        yield file, anchor(file).removeprefix(base)


def _write_entry(entry: Entry, collection: pystac.Collection, *, folder: str, format: str) -> None:
    """Write references and item of one file, unless they are there for this very file."""
    place = f"{folder}/{entry.id}.json"
    references = f"{folder}/{PurePosixPath(entry.name).name}.{format}"
    version = entry.version
    if _is_up_to_date(entry, place, references, version=version):
        return

    try:
        item = _item(entry, collection)
        if entry.kind == "netcdf":
            write_references(virtual_references(entry.url), references)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"{entry.url}: there is no such file; correct the URL") from error

    item.properties["luray:version"] = version
    data = pystac.Asset(
        relative_href(entry.url, folder=folder),
        media_type=MEDIA[entry.kind],
        roles=["data"],
        extra_fields={"luray:file": entry.name},
    )
    item.add_asset("data", data)
    if entry.kind == "netcdf":
        asset = pystac.Asset(
            f"./{references.rsplit('/', 1)[-1]}",
            "kerchunk references",
            media_type=FORMATS[format],
            roles=["data"],
            extra_fields={"luray:file": entry.name},
        )
        item.add_asset("references", asset)

    item.set_self_href(f"{anchor(folder)}/{entry.id}.json")
    item.set_root(collection.get_root())
    item.set_parent(collection)
    item.set_collection(collection)
    _write(place, item)


def _is_up_to_date(entry: Entry, place: str, references: str, *, version: str) -> bool:
    """Return whether the item of a file is there for this version, with its references."""
    earlier = json.loads(read_object(place) or b"{}")
    if earlier.get("properties", {}).get("luray:version") != version:
        return False
    if entry.kind == "geotiff":
        return True
    # The references may have been written in another format.
    is_named = references.rsplit("/", 1)[-1] in json.dumps(earlier.get("assets"))
    return is_named and exists(references)


def _item(entry: Entry, collection: pystac.Collection) -> pystac.Item:
    """Return the item of a file without assets: where it lies, and which years it holds."""
    if entry.kind == "netcdf":
        file = inspect_netcdf(entry.url)
        grid = file.layout.grid
        years = tuple(file.years) if file.time_axis else ()
    else:
        grid = inspect_raster(entry.url).layout.grid
        years = _years_in(entry.name)

    if years:
        start = datetime(min(years), 1, 1, tzinfo=UTC)
        stop = datetime(max(years), 12, 31, 23, 59, 59, tzinfo=UTC)
    else:
        start, stop = _extent(collection)
    return pystac.Item(
        entry.id,
        _polygon(grid),
        _bbox(grid),
        None,
        {"title": PurePosixPath(entry.name).name},
        start_datetime=start,
        end_datetime=stop,
    )


def _years_in(name: str) -> tuple[int, ...]:
    """Return the years that a file's name holds, or else those of the nearest folder with any."""
    path = PurePosixPath(name)
    for part in (path.name, *reversed(path.parts[:-1])):
        years = re.findall(YEAR, part)
        if years:
            return tuple(map(int, years))
    return ()


def _extent(collection: pystac.Collection) -> tuple[datetime, datetime]:
    """Return the first and last moment of a collection; an open end is far away."""
    [first, last] = collection.extent.temporal.intervals[0]
    return (
        first or datetime(1, 1, 1, tzinfo=UTC),
        last or datetime(9999, 12, 31, tzinfo=UTC),
    )


def _bbox(grid: Grid) -> list[float]:
    """Return west, south, east, north in degrees."""
    return [round(edge, 9) for edge in (grid.west, grid.south, grid.east, grid.north)]


def _polygon(grid: Grid) -> dict[str, Any]:
    """Return the bounding box as GeoJSON."""
    west, south, east, north = _bbox(grid)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _item_hrefs(place: str) -> list[str]:
    """Return the items of a collection that is there already."""
    earlier = json.loads(read_object(place) or b"{}")
    return [link["href"] for link in earlier.get("links", []) if link["rel"] == "item"]


def _write(place: str, stac: pystac.STACObject) -> None:
    """Write a document unless it is there already, word for word."""
    document = stac.to_dict(include_self_link=False)
    text = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    if read_object(place) != text:
        write_atomically(place, text)
