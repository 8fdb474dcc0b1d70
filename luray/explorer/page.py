"""The built page, and how it is put beside a product."""

import json
import math
import posixpath
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from luray.core.tiling import Tile, Tiling
from luray.storage.objects import write_atomically

FOLDER = Path(__file__).parent / "page"
"""Where the build lies; see `build.mjs`."""
CONFIG = "explorer.json"
"""Name of the file beside the page that tells it where the product is."""
INDEX = "index.html"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
"""Media types of the files that a browser loads, by the end of their name."""

BUILD_RECORD = "sources.sha256"
"""Name of the file that says which sources the page was built from; no browser needs it."""


@cache
def page_files() -> dict[str, bytes]:
    """Return the files of the page by name.

    Raises
    ------
    FileNotFoundError
        Where the page was not built.
    """
    if not (FOLDER / INDEX).is_file():
        raise FileNotFoundError(
            f"{FOLDER}: the explorer's page is not built; run `make explorer`, or install luray "
            "from a wheel"
        )
    paths = sorted(path for path in FOLDER.iterdir() if path.name != BUILD_RECORD)
    return {path.name: path.read_bytes() for path in paths}


def media_type(name: str) -> str:
    """Return the media type of a file of the page."""
    return MEDIA_TYPES[posixpath.splitext(name)[1]]


def land_tiles(tiling: Tiling, tiles: Sequence[Tile]) -> dict[str, Any]:
    """Describe which tiles have land, as the page takes it.

    Other tiles are not stored. A page that knows them asks for none of those, which a bucket would
    answer with an error.

    Parameters
    ----------
    tiling : Tiling
        Of the product.
    tiles : sequence of Tile
        Those with land.
    """
    return {
        "rows": math.ceil(tiling.n_lat / tiling.tile),
        "cols": math.ceil(tiling.n_lon / tiling.tile),
        "land": [list(tile) for tile in tiles],
    }


def page_config(
    *,
    product: str,
    cube: str | None = None,
    tiles: dict[str, Any] | None = None,
    unfinished: dict[str, Any] | None = None,
) -> bytes:
    """Return what the page reads first.

    Parameters
    ----------
    product, cube : str
        Places of the product and of its predictor cube as seen from the page; None without a cube.
    tiles : dict, optional
        Tiles that are stored, see `land_tiles`; without them the page asks for all.
    unfinished : dict, optional
        Of a product that is not finished: `done` and `total` tile-years, and the `missing` years.
    """
    config: dict[str, Any] = {"product": f"{product.rstrip('/')}/"}
    if cube is not None:
        config["cube"] = f"{cube.rstrip('/')}/"
    if tiles is not None:
        config["tiles"] = tiles
    if unfinished is not None:
        config["unfinished"] = unfinished
    return json.dumps(config, indent=1).encode()


def write_page(
    folder: str, *, product: str, cube: str | None = None, tiles: dict[str, Any] | None = None
) -> str:
    """Write the page into a folder on any store, so that a web server or bucket shows the product.

    Parameters
    ----------
    folder : str
        A path or URL.
    product, cube : str
        Places of the product and of its cube as seen from the folder.
    tiles : dict, optional
        Tiles that are stored, see `land_tiles`.

    Returns
    -------
    str
        Place of `index.html`, which is written last.
    """
    folder = folder.rstrip("/")
    files = page_files()
    config = page_config(product=product, cube=cube, tiles=tiles)
    write_atomically(f"{folder}/{CONFIG}", config, media_type=media_type(CONFIG))
    for name in sorted(files, key=lambda name: name == INDEX):
        write_atomically(f"{folder}/{name}", files[name], media_type=media_type(name))
    return f"{folder}/{INDEX}"
