"""Opening a finished product, from its store or from the STAC catalog that leads to it."""

import json
from typing import Any
from urllib.parse import urlsplit

import pystac
import xarray as xr

from luray.catalog.finished import read_finished
from luray.catalog.publish import ZARR
from luray.catalog.stac import StoreIO
from luray.storage.places import is_local, place_of, public
from luray.storage.trust import require_within


def open_product(place: str | pystac.Item, *, level: int = 0, chunks: Any = None) -> xr.Dataset:
    """Open a finished product as an xarray Dataset whose arrays are read when they are used.

    Parameters
    ----------
    place : str or pystac.Item
        The product's Zarr store, or a STAC item, collection or catalog (a `.json`) that leads to
        it: a local path, or a URL that begins with s3://, gs:// or https://. A STAC item that was
        found otherwise, such as by pystac-client, is taken as it is.
    level : int, optional
        0 for the maps. Level 1 has half of their resolution, level 2 a quarter, and so on: a large
        product is drawn faster from its overviews.
    chunks : optional
        As in `xarray.open_zarr`: None reads lazily without dask; `{}` makes dask arrays with the
        chunks of the store.

    Returns
    -------
    xarray.Dataset
        `land_use` (published class codes, with their names in the attributes), `confidence` in
        percent and `origin` (observed, hindcast or forecast) over year, lat and lon, and over
        scenario and member where the product has them. `fraction` and `transition` are the shares
        of coarse cells that classes cover, and that go from class to class since the year before.
        A level of the overviews has `land_use` and `confidence` alone.

    Raises
    ------
    ValueError
        If there is no product, if it is not finished, if it has no such level, or if a catalog
        leads to none or to several.
    RefusedError
        If a remote catalog leads to another host or bucket, or to a local file, and `storage.allow`
        of the run in use does not have that place.

    Examples
    --------
    >>> import luray
    >>> product = luray.open_product("build/demo/product.zarr")  # doctest: +SKIP
    >>> product.land_use.sel(year=2050).plot()  # doctest: +SKIP
    >>> quarter = luray.open_product("s3://maps/globe/product.zarr", level=2)  # doctest: +SKIP
    """
    if isinstance(place, pystac.Item):
        url = _data_of(place, named=place.get_self_href() or f"the STAC item {place.id}")
    else:
        place = place_of(place)
        url = _data_of_catalog(place) if place.endswith(".json") else place.rstrip("/")

    finished = read_finished(url)  # half a product looks like a whole one to xarray
    levels = finished.attributes["luray"].get("overviews", {}).get("levels", 0)
    if not 0 <= level <= levels:
        raise ValueError(
            f"{public(url)}: there is no level {level}, expected one from 0, the maps, to {levels}"
        )
    group = str(level) if level else None
    product: xr.Dataset = xr.open_zarr(url, group=group, consolidated=True, chunks=chunks)
    return product


def _data_of_catalog(place: str) -> str:
    """Return the store that a STAC item, or the one item below a collection or catalog, leads to.

    Raises
    ------
    ValueError
        If the document is no STAC, or has no item or several with a product.
    """
    try:
        document = pystac.read_file(place, stac_io=StoreIO())
    except FileNotFoundError as error:
        raise ValueError(f"{public(place)}: there is no such STAC document; correct it") from error
    except (json.JSONDecodeError, pystac.STACError, KeyError, TypeError) as error:
        raise ValueError(f"{public(place)}: cannot be read as STAC ({error})") from error

    if isinstance(document, pystac.Item):
        return _data_of(document, named=public(place))

    assert isinstance(document, pystac.Catalog)  # a collection is a catalog
    items = [item for item in document.get_items(recursive=True) if _has_product(item)]
    if len(items) != 1:
        names = ", ".join(item.id for item in items) or "none"
        raise ValueError(
            f"{public(place)}: expected one item with a product, found {names}; give the "
            "item's own place"
        )
    return _data_of(items[0], named=public(place))


def _has_product(item: pystac.Item) -> bool:
    """Tell whether an item has a Zarr store among its data."""
    return any(_is_product(asset) for asset in item.assets.values())


def _is_product(asset: pystac.Asset) -> bool:
    """Tell whether an asset is a Zarr store of data."""
    return asset.media_type == ZARR and "data" in (asset.roles or ())


def _data_of(item: pystac.Item, *, named: str) -> str:
    """Return the store of an item.

    Raises
    ------
    ValueError
        If the item has no Zarr store among its data, or more than one.
    RefusedError
        If it lies where the item's catalog may not lead.
    """
    hrefs = [asset.get_absolute_href() for asset in item.assets.values() if _is_product(asset)]
    if len(hrefs) != 1 or hrefs[0] is None:
        raise ValueError(
            f"{named}: expected one asset of role data and type {ZARR}, found {len(hrefs)}; give "
            "the place of the product itself"
        )

    catalog = item.get_self_href() or ""
    if is_local(catalog):
        return hrefs[0]  # a catalog on the reader's own disk may lead anywhere
    parts = urlsplit(catalog)
    return require_within(hrefs[0], [f"{parts.scheme}://{parts.netloc}/"], led_by=named)
