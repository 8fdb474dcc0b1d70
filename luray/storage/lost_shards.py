"""Maps of a finished product of which a shard is lost: readers of Zarr would take it for ocean."""

from collections.abc import Iterable

from luray.storage.errors import InputError
from luray.storage.objects import accessing, filesystem
from luray.storage.places import public


def require_shards(
    url: str, variable: str, maps: Iterable[tuple[str, tuple[int, ...]]], *, n_tiles: int
) -> None:
    """Raise InputError unless maps of classes have all of their shards.

    A tile has land in every year or in none, so each map has as many shards as the product has
    tiles. A copy of a product that was interrupted lacks some.

    Parameters
    ----------
    url : str
        The product.
    variable : str
        Name of its maps.
    maps : iterable of (str, tuple of int)
        What to call each map, and its place along the dimensions before latitude.
    n_tiles : int
        Tiles with land.
    """
    fs, path = filesystem(url)
    for label, place in maps:
        folder = "/".join([path.rstrip("/"), variable, "c", *map(str, place)])
        with accessing(url):
            n_shards = len(fs.find(folder))
        if n_shards != n_tiles:
            raise InputError(
                f"{public(url)}: {variable} of {label} has {n_shards} of {n_tiles} tiles, the "
                "others are lost; run `luray verify --repair` with the run file of that product, "
                "or copy the product again"
            )
