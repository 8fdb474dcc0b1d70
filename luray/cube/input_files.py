"""The identity of input files: a hash, an ETag, or size and time.

They enter the fingerprint of a cube, so that a build goes on only with the files it began with.
"""

import hashlib
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

from luray.sources.base import Source
from luray.storage.objects import filesystem
from luray.storage.places import is_local, public
from luray.storage.receipts import fingerprint_of
from luray.storage.references import targets
from luray.storage.store_names import is_references, is_store


class InputFile(NamedTuple):
    """Identity of an input file, which changes with its content, and its size in bytes."""

    identity: str
    size: int


def identify_all(sources: Sequence[Source]) -> dict[str, dict[str, InputFile]]:
    """Identify every file of every source.

    Returns
    -------
    dict of str to dict of str to InputFile
        For the name of each source, its files by their place.
    """
    # Sources may share a file, which is identified once.
    places = dict.fromkeys(chain.from_iterable(source.files for source in sources))
    # Hashing waits for the disk as well as for the processor, so several files are read at a time.
    with ThreadPoolExecutor() as pool:
        files = dict(zip(places, pool.map(identify, places), strict=True))

    files_of_source = {}
    for source in sources:
        files_of_source[source.name] = {place: files[place] for place in source.files}
    return files_of_source


def identify(place: str) -> InputFile:
    """Identify an input file.

    Parameters
    ----------
    place : str
        A file, a Zarr store or kerchunk references, local or a URL.

    Returns
    -------
    InputFile
        The sha256 of a local file; the ETag of a remote one, or its size and time where the store
        has no ETag. A Zarr store is known by all of its objects, references by themselves and the
        files behind them.
    """
    if is_references(place):
        referenced_files = [identify(target) for target in targets(place)]
        return _together([_below(place), *referenced_files])
    if is_store(place):
        return _below(place)
    fs, path = filesystem(place)
    return _identity(fs, path, fs.info(path), local=is_local(place))


def _below(place: str) -> InputFile:
    """Return every object below a place as one file, or the object at it."""
    fs, folder = filesystem(place)
    local = is_local(place)
    objects = sorted(fs.find(folder, detail=True).items())
    return _together(_identity(fs, path, info, local=local) for path, info in objects)


def _identity(fs: Any, path: str, info: Mapping[str, Any], *, local: bool) -> InputFile:
    """Return the identity of one object from its content, or from what the store says of it."""
    size = int(info.get("size") or 0)
    if local:
        with fs.open(path, "rb") as file:
            return InputFile("sha256:" + hashlib.file_digest(file, "sha256").hexdigest(), size)

    # To hash a remote file it would have to be downloaded. Stores name its version in their own
    # way; where one has no ETag, size and time of the last change have to do.
    version = info.get("ETag") or info.get("etag") or f"{size}:{info.get('mtime')}"
    return InputFile(str(version), size)


def _together(files: Iterable[InputFile]) -> InputFile:
    """Return several files as one."""
    objects = list(files)
    identity = fingerprint_of([file.identity for file in objects])
    return InputFile(f"of {len(objects)} objects: {identity}", sum(file.size for file in objects))


def shared_names(places: Iterable[str]) -> dict[str, str]:
    """Return names of files that may be shown to everybody.

    Local files are named as seen from the folder that holds them all, which tells them apart and
    says nothing of this machine. URLs lose logins, queries and fragments.

    Parameters
    ----------
    places : iterable of str
        Paths and URLs of the files of one source.

    Returns
    -------
    dict of str to str
        The name of each place. Names have names of their own: themselves.

    Examples
    --------
    >>> shared_names(["/data/koppen/1991_2020/map.tif", "/data/koppen/2041_2070/map.tif"]).values()
    dict_values(['1991_2020/map.tif', '2041_2070/map.tif'])
    >>> shared_names(["https://user:word@host/states.nc?signature=abc"]).values()
    dict_values(['https://host/states.nc'])
    """
    places = list(places)
    absolute = [place for place in places if is_local(place) and place.startswith("/")]
    folder = posixpath.commonpath([posixpath.dirname(place) for place in absolute] or ["/"])
    names = {place: public(place) for place in places}
    for place in absolute:
        names[place] = posixpath.relpath(place, folder)
    return names
