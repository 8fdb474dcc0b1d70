"""The kinds of objects that a product holds, and damage to one of each."""

from pathlib import Path
from typing import NamedTuple

TILE = "year 2006, tile 1.1"
"""The tile-year whose shards are damaged; its year lies at index 7 of the small world's product."""


class Kind(NamedTuple):
    """One object, what `luray verify` says when it is damaged, and what else is made again."""

    name: str
    place: str
    damaged: str
    redone: tuple[str, ...] = ()


def of_tile(array: str, *, classes: str = "") -> Kind:
    """A shard of the damaged tile-year."""
    return Kind(array, f"product.zarr/{array}/c/7/{classes}1/1", TILE, SHARDS)


SHARDS = (
    "product.zarr/land_use/c/7/1/1",
    "product.zarr/confidence/c/7/1/1",
    "product.zarr/1/land_use/c/7/1/1",
    "product.zarr/1/confidence/c/7/1/1",
    "product.zarr/fraction/c/7/0/1/1",
    "product.zarr/transition/c/7/0/0/1/1",
    "product.zarr/2/land_use/c/7/0/0",
    "product.zarr/2/confidence/c/7/0/0",
)
"""All that is computed again with the tile-year: its shards, and the coarser overview of its year."""

OF_EACH_KIND = (
    of_tile("land_use"),
    of_tile("confidence"),
    of_tile("fraction", classes="0/"),
    of_tile("transition", classes="0/0/"),
    of_tile("1/land_use"),
    Kind(
        "coarser overview",
        "product.zarr/2/confidence/c/7/0/0",
        "year 2006, coarser overviews",
        SHARDS[-2:],
    ),
    Kind("root metadata", "product.zarr/zarr.json", "metadata, zarr.json"),
    Kind("array metadata", "product.zarr/land_use/zarr.json", "metadata, land_use/zarr.json"),
    Kind("overview metadata", "product.zarr/1/zarr.json", "metadata, 1/zarr.json"),
    Kind("coordinate", "product.zarr/lat/c/0", "metadata, lat/c/0"),
    Kind("origin", "product.zarr/origin/c/0", "metadata, origin/c/0"),
    Kind("checksums", "product.zarr.sha256", "metadata, product.zarr.sha256"),
    Kind("catalog", "stac/catalog.json", "publication, stac/catalog.json"),
    Kind("crate", "ro-crate-metadata.json", "publication, ro-crate-metadata.json"),
)

KINDS = {kind.name: kind for kind in OF_EACH_KIND}
"""The kinds by their name."""


def flip(place: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(bytes(data))
