"""TO BE WRITTEN."""

import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from luray.sources.base import FilesConfig
from luray.sources.refusals import refusal
from luray.storage.errors import InputError
from luray.storage.objects import accessing, filesystem
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
    """Files at or below a path or URL, sorted; a Zarr store counts as one.

    Links to folders are followed, each folder being searched once. Raises InputError where there is
    nothing, where access is denied, or where there are more folders than are searched.
    """
    nothing = InputError(
        f"{public(path)}: no such file or folder, or it is empty; set `path` to where the files are"
    )
    with refusal(path, "a folder", (OSError,), missing=nothing), accessing(path):
        fs, root = filesystem(path)
        if path.partition("://")[0] in WEB:
            found = [_web_file(fs, path)]
        elif is_local(path):
            found = [path] if _is_one_file(root) else sorted(_below_folder(root))
        elif STORES.fullmatch(root.rstrip("/")) or fs.info(root)["type"] != "directory":
            found = [path]
        else:
            found = [fs.unstrip_protocol(file) for file in sorted(_below_prefix(fs, root))]
    if not found:
        raise nothing
    return found


def _is_one_file(path: str) -> bool:
    """True for a file or a Zarr store, False for a folder. Raises OSError where there is neither."""
    one = bool(STORES.fullmatch(path.rstrip("/")))
    return one or not _is_folder(path)


def _is_folder(path: str) -> bool:
    """True for a folder, or a link to one. Raises OSError where there is nothing."""
    return stat.S_ISDIR(Path(path).stat().st_mode)


def _web_file(fs: Any, url: str) -> str:
    """The URL of a file on a web server. Raises InputError for a page."""
    page = fs.info(url)["mimetype"] == "text/html"
    if page and not PurePosixPath(public(url)).suffix:
        raise InputError(
            f"{public(url)}: is a web page, expected a file: luray does not search "
            "the pages of web servers for files; give the address of the file, list "
            "several as `assets`, or catalogue them with `luray virtualize` and name "
            "the catalog"
        )
    return url


def _below_prefix(fs: Any, root: str) -> Iterator[str]:
    """Objects below a prefix of an object store."""
    pending, seen = [(root, 0)], 0
    while pending:
        folder, depth = pending.pop()
        for entry in fs.ls(folder, detail=True):
            name = entry["name"]
            seen = _counted(seen, root)
            if name.rstrip("/") == folder.rstrip(
                "/"
            ):  # the object by which some tools mark a folder
                continue
            if entry["type"] == "directory" and not STORES.fullmatch(
                name.rstrip("/").rsplit("/", 1)[-1]
            ):
                pending.append((name, _deeper(depth, root, name)))
            else:
                yield name.rstrip("/")


def _below_folder(root: str) -> Iterator[str]:
    """Files below a folder of this machine, through links.

    A link that leads to where is searched anyway, up or down, is passed by: the files there are
    found under their own names, and nothing goes round in a circle.
    """
    pending: list[tuple[str, int, tuple[str, ...]]] = [(root, 0, (os.path.realpath(root),))]
    seen = 0
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
            seen = _counted(seen, root)
            linked = entry.is_symlink()
            try:
                folder_or_link_to_one, file = entry.is_dir(), entry.is_file()
            except OSError:  # a link in a circle
                folder_or_link_to_one = file = False
            if not folder_or_link_to_one:
                if file or linked:  # a link to nothing is told when it is opened
                    yield entry.path
            elif STORES.fullmatch(entry.name):
                yield entry.path
            elif not linked:
                pending.append((entry.path, _deeper(depth, root, entry.path), searched))
            else:
                target = os.path.realpath(entry.path)
                if not any(_overlap(target, other) for other in searched):
                    pending.append(
                        (entry.path, _deeper(depth, root, entry.path), (*searched, target))
                    )


def _overlap(folder: str, other: str) -> bool:
    """True where one of two folders is the other, or lies in it."""
    shorter, longer = sorted((folder.rstrip("/") + "/", other.rstrip("/") + "/"), key=len)
    return longer.startswith(shorter)


def _deeper(depth: int, root: str, folder: str) -> int:
    """The level below. Raises InputError beyond the last one that is searched."""
    if depth == DEPTH:
        raise InputError(
            f"{root}: {folder} lies {DEPTH + 1} levels below, {DEPTH} are searched; "
            "set `path` nearer to the files"
        )
    return depth + 1


def _counted(seen: int, root: str) -> int:
    """One more file or folder. Raises InputError beyond the last one that is looked at."""
    if seen == LIMIT:
        raise InputError(
            f"{root}: there are more than {LIMIT} files and folders below; set "
            "`path` nearer to the files"
        )
    return seen + 1


def published_name(href: str) -> str:
    """Name of the file at a place, or of the file that references or a Zarr copy at this place
    stand for.
    """
    return STANDS_FOR.sub("", public(href).replace("\\", "/").rstrip("/"))


def matching(files: FilesConfig, pattern: str) -> list[tuple[str, re.Match[str]]]:
    """Places of a source's files whose trailing name matches a regular expression, with the match,
    sorted by name.
    """
    if files.assets:
        named = [(asset.name, asset.href) for asset in files.assets]
    else:
        named = [(published_name(file), file) for file in list_files(files.path)]
    regex = re.compile(r"(?:^|/)" + pattern + "$")
    matches = [(href, regex.search(name)) for name, href in sorted(named, key=lambda pair: pair[0])]
    return [(href, match) for href, match in matches if match]


def only(files: list[str], *, path: str, expected: str) -> str:
    """The one file that was found. Raises InputError for none or several."""
    if not files:
        raise InputError(f"{path}: found no {expected}; get the file or correct `path`")
    if len(files) > 1:
        raise InputError(
            f"{path}: found {len(files)} files that are {expected} ({', '.join(files)}), expected "
            "one; "
            "set `path` to the one to use"
        )
    return files[0]
