"""Find the files of a source below a folder, a prefix of an object store, or at an address.

A Zarr store, or kerchunk references in Parquet, is a folder that counts as one file.
"""

import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from luray.sources.base import FilesConfig
from luray.storage.errors import InputError
from luray.storage.places import WEB, is_local, public

log = logging.getLogger(__name__)

DEPTH = 32
"""Levels of folders that are searched below the path of a source."""

LIMIT = 1_000_000
"""Files and folders that are looked at below it."""

STORES = re.compile(r"(.*?\.(?:zarr|parquet|parq))(?:/|$)")
"""Folders that are one file to a source: Zarr stores and kerchunk references in Parquet."""

STANDS_FOR = re.compile(r"\.(?:json|parquet|parq|zarr)$")
"""End that references and copies in Zarr add to the name of the file they stand for."""


def list_files(path: str) -> list[str]:
    """List the files at or below a path or URL, sorted; a Zarr store counts as one.

    Links to folders are followed, each folder being searched once.

    Raises
    ------
    InputError
        Where there is nothing, where access is denied, or where there are more folders than are
        searched.
    """
    from luray.sources.refusals import refusal
    from luray.storage.objects import accessing, filesystem

    nothing = InputError(
        f"{public(path)}: no such file or folder, or it is empty; set `path` to where the files are"
    )
    # `accessing` turns the errors of a store's library into those of the system, `refusal` these
    # into an InputError.
    with refusal(path, "a folder", (OSError,), missing=nothing), accessing(path):
        fs, root = filesystem(path)
        if path.partition("://")[0] in WEB:
            files = [_web_file(fs, path)]
        elif is_local(path):
            files = [path] if _is_one_file(root) else sorted(_below_folder(root))
        elif STORES.fullmatch(root.rstrip("/")) or fs.info(root)["type"] != "directory":
            files = [path]
        else:
            files = [fs.unstrip_protocol(name) for name in sorted(_below_prefix(fs, root))]
    if not files:
        raise nothing
    return files


def _is_one_file(path: str) -> bool:
    """Return True for a file or a Zarr store, False for a folder; OSError where there is none."""
    is_store = bool(STORES.fullmatch(path.rstrip("/")))
    return is_store or not _is_folder(path)


def _is_folder(path: str) -> bool:
    """Return True for a folder, or a link to one; OSError where there is nothing."""
    return stat.S_ISDIR(Path(path).stat().st_mode)


def _web_file(fs: Any, url: str) -> str:
    """Return the URL of a file on a web server. Raises InputError for a page."""
    is_page = fs.info(url)["mimetype"] == "text/html"
    if is_page and not PurePosixPath(public(url)).suffix:
        raise InputError(
            f"{public(url)}: is a web page, expected a file: luray does not search "
            "the pages of web servers for files; give the address of the file, list "
            "several as `assets`, or catalogue them with `luray virtualize` and name "
            "the catalog"
        )
    return url


def _below_prefix(fs: Any, root: str) -> Iterator[str]:
    """Yield the objects below a prefix of an object store."""
    pending = [(root, 0)]
    n_seen = 0
    while pending:
        folder, depth = pending.pop()
        for entry in fs.ls(folder, detail=True):
            n_seen = _count(n_seen, root)
            name = entry["name"].rstrip("/")
            if name == folder.rstrip("/"):
                continue  # the object by which some tools mark a folder
            is_store = STORES.fullmatch(name.rpartition("/")[2])
            if entry["type"] == "directory" and not is_store:
                pending.append((entry["name"], _one_deeper(depth, root, entry["name"])))
            else:
                yield name


def _below_folder(root: str) -> Iterator[str]:
    """Yield the files below a folder of this machine, through links.

    A link to where is searched anyway, up or down, is passed by: the files there are found under
    their own names, and the search goes round in no circle.
    """
    # With each folder its depth, and the real paths of the root and of the links that led to it.
    pending: list[tuple[str, int, tuple[str, ...]]] = [(root, 0, (os.path.realpath(root),))]
    n_seen = 0
    while pending:
        folder, depth, searched = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except PermissionError:
            if folder == root:
                raise
            log.warning("%s is not searched for files: access is denied", folder)
            continue
        for entry in entries:
            n_seen = _count(n_seen, root)
            is_link = entry.is_symlink()
            is_folder, is_file = _kind_of(entry)
            if not is_folder:
                # A link to nothing is yielded too: opening it says where it leads.
                if is_file or is_link:
                    yield entry.path
            elif STORES.fullmatch(entry.name):
                yield entry.path
            elif not is_link:
                pending.append((entry.path, _one_deeper(depth, root, entry.path), searched))
            else:
                target = os.path.realpath(entry.path)
                if not any(_overlap(target, other) for other in searched):
                    deeper = _one_deeper(depth, root, entry.path)
                    pending.append((entry.path, deeper, (*searched, target)))


def _kind_of(entry: "os.DirEntry[str]") -> tuple[bool, bool]:
    """Return whether an entry is a folder and whether it is a file, or links to one."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link in a circle
        return False, False


def _overlap(folder: str, other: str) -> bool:
    """Return whether one of two folders is the other, or lies in it."""
    folder = folder.rstrip("/") + "/"
    other = other.rstrip("/") + "/"
    return folder.startswith(other) or other.startswith(folder)


def _one_deeper(depth: int, root: str, folder: str) -> int:
    """Return the level below. Raises InputError beyond the last one that is searched."""
    if depth == DEPTH:
        raise InputError(
            f"{root}: {folder} lies {DEPTH + 1} levels below, {DEPTH} are searched; "
            "set `path` nearer to the files"
        )
    return depth + 1


def _count(n_seen: int, root: str) -> int:
    """Count one more file or folder. Raises InputError beyond the last one that is looked at."""
    if n_seen == LIMIT:
        raise InputError(
            f"{root}: there are more than {LIMIT} files and folders below; set "
            "`path` nearer to the files"
        )
    return n_seen + 1


def published_name(href: str) -> str:
    """Return the name of the file at a place.

    For references or a Zarr copy it is the name of the file that they stand for.

    Examples
    --------
    >>> published_name("s3://bucket/luh2/states.nc.json")
    's3://bucket/luh2/states.nc'
    """
    return STANDS_FOR.sub("", public(href).replace("\\", "/").rstrip("/"))


def matching(files: FilesConfig, pattern: str) -> list[tuple[str, re.Match[str]]]:
    """Find the files of a source whose name ends as a pattern says.

    Parameters
    ----------
    files : FilesConfig
        Its `assets`, or the files below its `path`.
    pattern : str
        Regular expression of the trailing name, folders included where they matter.

    Returns
    -------
    list of (str, re.Match)
        Place and match of each, sorted by name.
    """
    if files.assets:
        named = [(asset.name, asset.href) for asset in files.assets]
    else:
        named = [(published_name(file), file) for file in list_files(files.path)]
    # At the end of the name, and from the beginning of a folder or file name on.
    regex = re.compile(r"(?:^|/)" + pattern + "$")
    matches = []
    for name, href in sorted(named, key=lambda pair: pair[0]):
        match = regex.search(name)
        if match:
            matches.append((href, match))
    return matches


def only(files: list[str], *, path: str, expected: str) -> str:
    """Return the one file of a list. Raises InputError for none or several.

    `path` is where they were searched for and `expected` what was wanted, for messages.
    """
    if not files:
        raise InputError(f"{path}: found no {expected}; get the file or correct `path`")
    if len(files) > 1:
        raise InputError(
            f"{path}: found {len(files)} files that are {expected} ({', '.join(files)}), expected "
            "one; set `path` to the one to use"
        )
    return files[0]
