"""`luray view`: what is shown of a product, and the server that shows it."""

from dataclasses import dataclass
from typing import Any

from luray.explorer.page import page_config
from luray.explorer.server import ExplorerServer, Store
from luray.product.status import status_of
from luray.stages.run_file import load_run
from luray.storage.objects import read_json
from luray.storage.places import public

LOOPBACK = "127.0.0.1"
PORT = 8850
"""Where the page is served, unless that port is taken."""


@dataclass(frozen=True)
class Viewed:
    """A product that is shown."""

    product: str
    cube: str | None
    """The predictor cube that it was made from, where that lies beside it."""
    scenario: str = ""
    """The one that a STAC item is of."""
    unfinished: dict[str, Any] | None = None
    """Progress of a product that is not finished."""
    notes: tuple[str, ...] = ()
    """Notes on what a reader may miss."""


def find_product(place: str, overrides: tuple[str, ...] = ()) -> Viewed:
    """Return what is shown of a place.

    Parameters
    ----------
    place : str
        A product, a run file, or a STAC item, collection or catalog.
    overrides : tuple of str, optional
        Values of the run file as `a.b=value`.

    Raises
    ------
    ValueError
        Where there is no product.
    """
    scenario = ""
    if place.endswith(".toml"):
        url = load_run(place, overrides).product
    else:
        from luray.catalog.open_product import product_place

        url, scenario = product_place(place)
    root = read_json(f"{url.rstrip('/')}/zarr.json")
    if root is None:
        raise ValueError(
            f"{public(url)}: found no Zarr store, expected a product; run `luray infer` first, or "
            "correct the place"
        )
    about = root.get("attributes", {}).get("luray", {})
    if "fingerprint" not in about or "tile" not in about:
        raise ValueError(
            f"{public(url)}: this Zarr store is no product of luray; give a product.zarr, a run "
            "file, or the STAC item that leads to one"
        )

    notes = []
    unfinished = None
    if about.get("finished") is not True:
        status = status_of(url)
        steps = sorted(set(status.years) - set(status.complete))
        missing = steps if status.time.per_year == 1 else list(map(status.time.label, steps))
        done = sum(status.done.values())
        unfinished = {"done": done, "total": status.total, "missing": missing}
        notes.append(
            f"the product is not finished: {done} of {status.total} tile-years are there; "
            "`luray infer` goes on with it"
        )
    if not root.get("attributes", {}).get("multiscales"):
        notes.append(
            "the product has no overviews: where the whole does not fit on the screen, a part is "
            "drawn; set product.overview_cells in the run file for a product that has them"
        )
    return Viewed(url, _cube_of(url, about), scenario, unfinished, tuple(notes))


def _cube_of(product: str, about: dict[str, Any]) -> str | None:
    """Return the cube beside a product if the product was made from it."""
    folder = product.rstrip("/").rpartition("/")[0] or "."
    cube = f"{folder}/cube.zarr"
    try:
        root = read_json(f"{cube}/zarr.json")
    except (OSError, ValueError):  # what cannot be read is not shown
        return None
    fingerprint = (root or {}).get("attributes", {}).get("luray", {}).get("fingerprint")
    return cube if fingerprint is not None and fingerprint == about.get("cube") else None


def make_server(viewed: Viewed, *, host: str = LOOPBACK, port: int | None = None) -> ExplorerServer:
    """Return a server of the page and the product; it answers once `serve_forever` is called.

    Parameters
    ----------
    viewed : Viewed
        What is shown.
    host : str, optional
        Address to listen on; by default that of this machine alone.
    port : int, optional
        By default `PORT`, or a free one where that is taken.

    Raises
    ------
    OSError
        Where the port, or the address, cannot be had.
    """
    stores = {"product": Store(viewed.product)}
    if viewed.cube is not None:
        stores["cube"] = Store(viewed.cube)
    config = page_config(
        product="product",
        cube="cube" if viewed.cube is not None else None,
        unfinished=viewed.unfinished,
    )
    try:
        return ExplorerServer(stores, config=config, host=host, port=PORT if port is None else port)
    except OSError as error:
        if port is None:
            return ExplorerServer(stores, config=config, host=host, port=0)
        raise OSError(
            f"{host}:{port} cannot be listened on ({error.strerror or error}); choose another "
            "--port, or leave it out"
        ) from None


def address_of(server: ExplorerServer, viewed: Viewed) -> str:
    """Return the URL of the page, with the scenario that it begins with."""
    fragment = f"#scenario={viewed.scenario}" if viewed.scenario else ""
    return f"{server.address}{fragment}"
