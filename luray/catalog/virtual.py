"""`luray virtualize`: NetCDF where it lies becomes readable chunk by chunk, and is found through
STAC.

Each NetCDF file gets kerchunk references, which say where its chunks are; each file gets an item.
Nothing is copied. Written in this order, each whole or not at all: references, item, collection,
`catalog.json`; what is up to date is left as it is.
"""

import asyncio
import base64
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pystac
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.parsers import HDFParser, NetCDF3Parser

from luray.catalog.publish import anchor, relative_href
from luray.core.grid import Grid
from luray.sources.discover import list_files
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.storage.errors import InputError
from luray.storage.objects import exists, filesystem, read_object, remove, write_atomically
from luray.storage.places import PlaceError, is_local, place_of, public
from luray.storage.zarr_inputs import quiet

KINDS = {".nc": "netcdf", ".nc4": "netcdf", ".cdf": "netcdf", ".tif": "geotiff", ".tiff": "geotiff"}
"""What is catalogued, by the end of its name."""

FORMATS = {"parquet": "application/vnd.apache.parquet", "json": pystac.MediaType.JSON}
"""Formats of references, with their media types."""

MEDIA = {"netcdf": "application/netcdf", "geotiff": pystac.MediaType.GEOTIFF}
YEAR = r"(?<!\d)(?:8[5-9]\d|9\d\d|1\d{3}|2[01]\d\d)(?!\d)"
"""A year in a file's name."""

CHUNK = 2**22
"""Bytes into which uncompressed arrays are divided: a file that is one chunk could only be read
whole.
"""

STRUCTURE = ("root", "parent", "self", "item", "child")
"""Links of a collection that are the catalog's, not its own."""

RECORDS = 100_000
"""References a Parquet file."""


@dataclass(frozen=True)
class Entry:
    """A file to catalogue: where it is, and its name from the folder that was given."""

    url: str
    name: str

    @property
    def kind(self) -> str:
        """What it is, by its suffix."""
        return KINDS[PurePosixPath(self.name).suffix.lower()]

    @property
    def id(self) -> str:
        """Id of its item."""
        return re.sub(
            r"[^A-Za-z0-9._-]", "-", str(PurePosixPath(self.name).with_suffix("")).replace("/", "-")
        )

    @property
    def version(self) -> str:
        """What tells it from an earlier file of this name: its ETag, or size and time."""
        fs, path = filesystem(self.url)
        info = fs.info(path)
        return str(
            info.get("ETag") or info.get("etag") or f"{info.get('size')}:{info.get('mtime')}"
        ).strip('"')


def virtualize(
    urls: Sequence[str],
    *,
    collection: str,
    output: str,
    format: str = "parquet",
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> str:
    """Catalogue files and folders in `output`, with references for NetCDF; returns the URL of
    `catalog.json`.

    `collection` is the description: a STAC collection, local or a URL, whose items these become. An
    earlier catalog in `output` is extended. Raises ValueError naming the file for one that cannot
    be read or virtualised.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r}, expected {' or '.join(FORMATS)}")
    urls = [_place(url, "URL") for url in urls]
    collection, output = _place(collection, "--collection"), _place(output, "--output")
    described = _description(collection)
    root, name = output.rstrip("/"), str(described["id"])
    sources = _sources(urls, output=output)
    known = _known(f"{root}/{name}/collection.json")
    for done, source in enumerate(sources):
        progress(done, len(sources), source.name)
        _catalogue(source, described, folder=f"{root}/{name}/{source.id}", format=format)
    items = sorted({*known, *(f"./{source.id}/{source.id}.json" for source in sources)})
    links = [
        *(
            {"rel": rel, "href": "../catalog.json", "type": pystac.MediaType.JSON}
            for rel in ("root", "parent")
        ),
        *({"rel": "item", "href": href, "type": pystac.MediaType.GEOJSON} for href in items),
    ]
    own = [link for link in described.get("links", []) if link["rel"] not in STRUCTURE]
    _write(f"{root}/{name}/collection.json", {**described, "links": [*links, *own]})
    _extend(f"{root}/catalog.json", described)
    progress(len(sources), len(sources), "")
    return f"{public(root)}/catalog.json"


def places(urls: Sequence[str], *, output: str) -> list[str]:
    """Folders that the run file must allow so that what a catalog in `output` names can be read."""
    urls, output = [_place(url, "URL") for url in urls], _place(output, "--output")
    folders = {
        public(url if _is_folder(url) else url.rsplit("/", 1)[0]).rstrip("/") + "/" for url in urls
    }
    inside = public(output).rstrip("/") + "/"
    return sorted(folder for folder in folders if not folder.startswith(inside))


def _place(text: str, key: str) -> str:
    """A place of the command line, normalised. Raises PlaceError naming the argument."""
    try:
        return place_of(text)
    except PlaceError as error:
        raise PlaceError(f"{key}: {error}") from None


def _is_folder(url: str) -> bool:
    return PurePosixPath(public(url)).suffix.lower() not in KINDS


def _description(place: str) -> dict[str, Any]:
    text = read_object(place)
    if text is None:
        raise ValueError(
            f"{public(place)}: there is no such file, expected a STAC collection; catalogs/ has "
            "one for "
            "each input"
        )
    try:
        found: Any = json.loads(text)
        pystac.Collection.from_dict(found)
    except (ValueError, KeyError, TypeError, pystac.STACTypeError) as error:
        raise ValueError(
            f"{public(place)}: no STAC collection ({error}); give a collection.json such as those "
            "of "
            "catalogs/"
        ) from None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(found["id"])):
        raise ValueError(
            f"{public(place)}: id {found['id']!r} must be letters, digits, dots, dashes; it names "
            "a "
            "folder"
        )
    return dict(found)


def _sources(urls: Sequence[str], *, output: str) -> list[Entry]:
    """The NetCDF and GeoTIFF files at the given places, without those of the catalog itself. Raises
    ValueError.
    """
    found: dict[str, Entry] = {}
    for url in urls:
        if "://" in url and public(url) != url:
            raise ValueError(
                f"{public(url)}: the URL holds credentials or a signature, which references would "
                "give "
                "away; give the plain URL and let the environment hold the credentials"
            )
        if not _is_folder(url):
            files = [(url, url.rsplit("/", 1)[-1])]
        else:
            base = anchor(url).rstrip("/") + "/"
            files = [(file, anchor(file).removeprefix(base)) for file in list_files(url)]
        for file, name in files:
            if _is_folder(file) or anchor(file).startswith(anchor(output).rstrip("/") + "/"):
                continue
            source = Entry(str(Path(file).resolve()) if is_local(file) else file, name)
            if found.setdefault(source.id, source).url != source.url:
                raise ValueError(
                    f"{found[source.id].url} and {source.url} would both be item {source.id!r}; "
                    "give them "
                    "different names or catalogue them as two collections"
                )
    if not found:
        raise ValueError(
            f"{', '.join(map(public, urls))}: found no NetCDF or GeoTIFF files "
            f"({', '.join(KINDS)}); "
            "correct the place"
        )
    return [found[key] for key in sorted(found)]


def _catalogue(source: Entry, described: dict[str, Any], *, folder: str, format: str) -> None:
    """References and item of one file, unless they are there for this very file."""
    place, version = f"{folder}/{source.id}.json", source.version
    references = f"{folder}/{PurePosixPath(source.name).name}.{format}"
    earlier = json.loads(read_object(place) or b"{}")
    done = earlier.get("properties", {}).get("luray:version") == version
    if done and (
        source.kind == "geotiff"
        or (
            references.rsplit("/", 1)[-1] in json.dumps(earlier.get("assets"))
            and exists(references)
        )
    ):
        return
    try:
        item = _item(source, described)
        if source.kind == "netcdf":
            write_references(virtual_references(source.url), references)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise ValueError(f"{source.url}: there is no such file; correct the URL") from error
    item.properties["luray:version"] = version
    data = pystac.Asset(
        relative_href(source.url, folder=folder),
        media_type=MEDIA[source.kind],
        roles=["data"],
        extra_fields={"luray:file": source.name},
    )
    item.add_asset("data", data)
    if source.kind == "netcdf":
        item.add_asset(
            "references",
            pystac.Asset(
                f"./{references.rsplit('/', 1)[-1]}",
                "kerchunk references",
                media_type=FORMATS[format],
                roles=["data"],
                extra_fields={"luray:file": source.name},
            ),
        )
    links = [
        {"rel": rel, "href": href, "type": pystac.MediaType.JSON}
        for rel, href in (
            ("root", "../../catalog.json"),
            ("parent", "../collection.json"),
            ("collection", "../collection.json"),
        )
    ]
    _write(place, {**item.to_dict(include_self_link=False), "links": links})


def _item(source: Entry, described: dict[str, Any]) -> pystac.Item:
    """The item of a file, without assets: where it lies on the globe, and which years it holds."""
    if source.kind == "netcdf":
        file = inspect_netcdf(source.url)
        grid, years = file.layout.grid, file.years if file.time_axis else ()
    else:
        grid, years = inspect_raster(source.url).layout.grid, _years_in(source.name)
    bbox = [round(edge, 9) for edge in (grid.west, grid.south, grid.east, grid.north)]
    if years:
        start = datetime(min(years), 1, 1, tzinfo=UTC)
        stop = datetime(max(years), 12, 31, 23, 59, 59, tzinfo=UTC)
    else:
        start, stop = _extent(described)
    title = PurePosixPath(source.name).name
    return pystac.Item(
        source.id,
        _polygon(grid),
        bbox,
        None,
        {"title": title},
        start_datetime=start,
        end_datetime=stop,
        collection=str(described["id"]),
    )


def _years_in(name: str) -> tuple[int, ...]:
    """Years that a file's name holds, or else those of the folder it is in."""
    path = PurePosixPath(name)
    return next(
        (
            tuple(map(int, years))
            for part in (path.name, *reversed(path.parts[:-1]))
            if (years := re.findall(YEAR, part))
        ),
        (),
    )


def _extent(described: dict[str, Any]) -> tuple[datetime, datetime]:
    """First and last moment of a collection; an open end is this year's."""
    [first, last] = described["extent"]["temporal"]["interval"][0]
    start = pystac.utils.str_to_datetime(first) if first else datetime(1, 1, 1, tzinfo=UTC)
    return start, pystac.utils.str_to_datetime(last) if last else datetime(9999, 12, 31, tzinfo=UTC)


def _polygon(grid: Grid) -> dict[str, Any]:
    west, south, east, north = (
        round(edge, 9) for edge in (grid.west, grid.south, grid.east, grid.north)
    )
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _known(place: str) -> list[str]:
    """Items of a collection that is there already."""
    found = json.loads(read_object(place) or b"{}")
    return [link["href"] for link in found.get("links", []) if link["rel"] == "item"]


def _extend(place: str, described: dict[str, Any]) -> None:
    """A catalog with a link to the collection, beside those that it has."""
    catalog = json.loads(read_object(place) or b"null") or {
        "type": "Catalog",
        "id": "luray-inputs",
        "stac_version": described["stac_version"],
        "title": "Inputs of luray",
        "description": "Data sets that luray reads where they lie.",
        "links": [{"rel": "root", "href": "./catalog.json", "type": pystac.MediaType.JSON}],
    }
    child = {
        "rel": "child",
        "href": f"./{described['id']}/collection.json",
        "type": pystac.MediaType.JSON,
        "title": described.get("title", described["id"]),
    }
    links = [link for link in catalog["links"] if link["href"] != child["href"]]
    _write(place, {**catalog, "links": [*links, child]})


def _write(place: str, stac: dict[str, Any]) -> None:
    """Write a document unless it is there already."""
    text = (json.dumps(stac, indent=2, ensure_ascii=False) + "\n").encode()
    if read_object(place) != text:
        write_atomically(place, text)


class _Files:
    """The files of one store as VirtualiZarr wants them, through luray's own file systems and their
    options.
    """

    def __init__(self, base: str) -> None:
        self.base = base

    def open(self, path: str) -> Any:
        """An open file."""
        fs, inner = filesystem(self.base + path)
        return fs.open(inner, "rb")

    def get(self, path: str) -> bytes:
        """A whole file."""
        fs, inner = filesystem(self.base + path)
        return bytes(fs.cat_file(inner))

    async def get_range_async(self, path: str, *, start: int, end: int) -> bytes:
        """Bytes `start` to `end`."""
        fs, inner = filesystem(self.base + path)
        return bytes(await asyncio.to_thread(fs.cat_file, inner, start=start, end=end))


def _open_in(files: Any, path: str) -> Any:
    return files.open(path)


def virtual_references(url: str) -> dict[str, Any]:
    """kerchunk references of a NetCDF file, by key. Raises InputError where the file cannot be
    described so.
    """
    place = f"file://{url}" if is_local(url) else url
    scheme, host = re.findall(r"^(\w+)://([^/]*)", place)[0]
    base = f"{scheme}://{host}/" if host else "/"
    registry: Any = ObjectStoreRegistry({f"{scheme}://{host}": _Files(base)})
    try:
        parser = (
            HDFParser(reader_factory=_open_in) if _magic(url) == b"\x89HDF" else NetCDF3Parser()
        )
        with quiet():
            data = parser(place, registry).to_virtual_dataset(
                loadable_variables=[], decode_times=False
            )
            refs: dict[str, Any] = data.vz.to_kerchunk(None, format="dict")["refs"]
    except (ValueError, TypeError, KeyError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{url}: cannot be described by references ({error}); leave it out and name the file "
            "itself "
            "in the run file, or write it as NetCDF-4"
        ) from error
    for name in [key.removesuffix("/.zarray") for key in refs if key.endswith("/.zarray")]:
        _declare_fill(refs, name)
        _divide(refs, name)
    return refs


def _magic(url: str) -> bytes:
    fs, path = filesystem(url)
    return bytes(fs.cat_file(path, start=0, end=4))


def _declare_fill(refs: dict[str, Any], name: str) -> None:
    """Keep the declared missing value where Zarr 2 has it, and no other.

    VirtualiZarr takes HDF5's fill value, 0 in most files, which xarray would then read as missing.
    """
    array, attributes = json.loads(refs[f"{name}/.zarray"]), json.loads(refs[f"{name}/.zattrs"])
    if attributes.pop("_FillValue", None) is None:
        array["fill_value"] = None
    refs[f"{name}/.zarray"], refs[f"{name}/.zattrs"] = json.dumps(array), json.dumps(attributes)


def _divide(refs: dict[str, Any], name: str) -> None:
    """Divide the one chunk of an uncompressed array, which can be read from anywhere, into even
    pieces of few bytes.
    """
    array = json.loads(refs[f"{name}/.zarray"])
    shape, whole = array["shape"], refs.get(f"{name}/{'.'.join('0' for _ in array['shape'])}")
    item = np.dtype(array["dtype"]).itemsize
    size = math.prod(shape) * item
    plain = array["order"] == "C" and not array["filters"] and not array["compressor"]
    if (
        not plain
        or array["chunks"] != shape
        or size <= CHUNK
        or not isinstance(whole, list)
        or whole[2] != size
    ):
        return
    axis = next(i for i in range(len(shape)) if math.prod(shape[i + 1 :]) * item <= CHUNK)
    row = math.prod(shape[axis + 1 :]) * item
    step = max(d for d in range(1, shape[axis] + 1) if shape[axis] % d == 0 and d * row <= CHUNK)
    array["chunks"] = [1] * axis + [step] + shape[axis + 1 :]
    counts = [n // chunk for n, chunk in zip(shape, array["chunks"], strict=True)]
    for number, index in enumerate(np.ndindex(*counts)):
        refs[f"{name}/{'.'.join(map(str, index))}"] = [
            whole[0],
            whole[1] + number * step * row,
            step * row,
        ]
    refs[f"{name}/.zarray"] = json.dumps(array)


def write_references(refs: Mapping[str, Any], place: str) -> None:
    """Write references as JSON or, where the place ends in .parquet, as a folder whose index is
    written last.
    """
    if not place.endswith(".parquet"):
        write_atomically(place, json.dumps({"version": 1, "refs": refs}).encode())
        return
    remove(place)
    for name in [key.removesuffix("/.zarray") for key in refs if key.endswith("/.zarray")]:
        array = json.loads(refs[f"{name}/.zarray"])
        counts = [
            math.ceil(n / chunk) for n, chunk in zip(array["shape"], array["chunks"], strict=True)
        ] or [1]
        chunks = [refs.get(f"{name}/{'.'.join(map(str, index))}") for index in np.ndindex(*counts)]
        for record in range(math.ceil(len(chunks) / RECORDS)):
            part = chunks[record * RECORDS : (record + 1) * RECORDS]
            write_atomically(f"{place}/{name}/refs.{record}.parq", _parquet(part))
    metadata = {
        key: json.loads(value)
        for key, value in refs.items()
        if key.rsplit("/", 1)[-1].startswith(".z")
    }
    index = {"metadata": metadata, "record_size": RECORDS}
    write_atomically(f"{place}/.zmetadata", json.dumps(index).encode())


def _parquet(chunks: Sequence[Any]) -> bytes:
    """References of chunks in order, None for one that is not there, as kerchunk's Parquet file."""
    ranges = [chunk if isinstance(chunk, list) else [None, 0, 0] for chunk in chunks]
    columns: dict[str, Any] = {
        "path": pyarrow.array([r[0] for r in ranges], pyarrow.string()).dictionary_encode(),
        "offset": pyarrow.array([r[1] for r in ranges], pyarrow.int64()),
        "size": pyarrow.array([r[2] for r in ranges], pyarrow.int64()),
    }
    if any(isinstance(chunk, str) for chunk in chunks):
        columns["raw"] = pyarrow.array(
            [_bytes(c) if isinstance(c, str) else None for c in chunks], pyarrow.binary()
        )
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file, compression="zstd")
    return file.getvalue()


def _bytes(value: str) -> bytes:
    return (
        base64.b64decode(value.removeprefix("base64:"))
        if value.startswith("base64:")
        else value.encode()
    )
