"""Names by which Zarr stores and kerchunk references are recognised.

Nothing is opened here, so that asking needs neither Zarr nor Arrow.
"""

import re

from luray.storage.objects import exists
from luray.storage.places import public

REFERENCES = (".json", ".parquet", ".parq")
"""How names of references end."""

NODES = ("zarr.json", ".zgroup", ".zmetadata")
"""Names of the objects of which a group of Zarr 3 or 2 has at least one."""

FILES = re.compile(r"\.\w{2,5}$")
"""The suffix of a name that is a file's."""


def is_references(url: str) -> bool:
    """Return True for the name of kerchunk references."""
    return public(url).rstrip("/").endswith(REFERENCES)


def is_store(url: str) -> bool:
    """Return True for a Zarr store or kerchunk references.

    The name decides; of a folder without a suffix, its content.
    """
    name = public(url).rstrip("/")
    if is_references(url) or name.endswith(".zarr"):
        return True
    return not FILES.search(name) and any(exists(f"{url.rstrip('/')}/{node}") for node in NODES)
