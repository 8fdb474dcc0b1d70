"""Parts common to all STAC catalogs that luray writes: whole objects on any store, and hrefs."""

import re
from typing import Any
from urllib.parse import urlsplit

import fsspec
import pystac
from pystac.utils import make_relative_href

from luray.storage.objects import read_object, write_atomically
from luray.storage.places import is_local, public
from luray.storage.trust import require_within

ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""Form of the id of a collection, which names its folder, too."""


class StoreIO(pystac.StacIO):
    """Reads and writes STAC on any store that fsspec knows, by whole objects."""

    def read_text(self, source: pystac.link.HREF, *args: Any, **kwargs: Any) -> str:
        """Return the text of an object. Raises FileNotFoundError."""
        data = read_object(str(source))
        if data is None:
            raise FileNotFoundError(public(str(source)))
        return data.decode()

    def write_text(self, dest: pystac.link.HREF, txt: str, *args: Any, **kwargs: Any) -> None:
        """Write an object, whole or not at all."""
        write_atomically(str(dest), txt.encode())


def is_id(name: str) -> bool:
    """Return whether a name may be the id of a collection."""
    return re.fullmatch(ID, name) is not None


def anchor(path: str) -> str:
    """Return a place that hrefs can be relative to.

    It is an absolute local path, or a URL without credentials: what is written into a catalog holds
    no secrets.
    """
    return str(fsspec.core.url_to_fs(path)[1]) if is_local(path) else public(path)


def relative_href(target: str, *, folder: str) -> str:
    """Return a place as seen from a folder: relative on one store, otherwise a URL.

    Examples
    --------
    >>> relative_href("s3://bucket/product.zarr", folder="s3://bucket/stac/world")
    '../../product.zarr'
    >>> relative_href("gs://other/product.zarr", folder="s3://bucket/stac/world")
    'gs://other/product.zarr'
    """
    return make_relative_href(anchor(target), anchor(folder), start_is_dir=True)


def name_of(item: pystac.Item) -> str:
    """Return how a message names an item."""
    return public(item.get_self_href() or f"the STAC item {item.id}")


def asset_place(item: pystac.Item, asset: pystac.Asset) -> str:
    """Return where an asset lies, if the item may lead there.

    Raises
    ------
    ValueError
        For an asset without an absolute place.
    RefusedError
        If it lies on another host or bucket than its remote item, and is not allowed.
    """
    place = asset.get_absolute_href()
    if place is None:
        raise ValueError(
            f"{name_of(item)}: the asset {asset.title!r} has the relative href {asset.href}, "
            "expected an absolute one, or an item with a place; give the place of the item"
        )
    catalog = item.get_self_href() or ""
    if is_local(catalog):
        return place  # a catalog on the reader's own disk may lead anywhere
    parts = urlsplit(catalog)
    return require_within(place, [f"{parts.scheme}://{parts.netloc}/"], led_by=name_of(item))
