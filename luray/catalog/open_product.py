"""Opening a finished product, from its store or from the STAC catalog that leads to it."""

import json
from typing import Any

import pystac
import xarray as xr

from luray.catalog.finished import read_finished
from luray.catalog.items import ZARR
from luray.catalog.stac import StoreIO, asset_place, name_of
from luray.storage.places import place_of, public


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
        A level of the overviews has `land_use` and `confidence` alone. The STAC item of a scenario
        gives the maps of that scenario.

        A product of values has their array, decoded to their units with NaN where there is none,
        and `spread`, the standard deviation of predicted ones. Where a year has several maps they
        are over `time`, whose calendar has no leap days, instead of year.

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
    url, scenario = product_place(place)
    product = _opened(url, level, chunks)
    if "scenario" in product.dims and scenario:
        return product.sel(scenario=scenario)
    return product


def product_place(place: str | pystac.Item) -> tuple[str, str]:
    """Return the place of a product's store, finished or not, and the scenario that is meant.

    Parameters
    ----------
    place : str or pystac.Item
        As `open_product` takes it.

    Returns
    -------
    store, scenario : str
        The scenario is that of a STAC item, else empty.

    Raises
    ------
    ValueError, RefusedError
        As `open_product`.
    """
    item = place if isinstance(place, pystac.Item) else None
    if isinstance(place, str):
        place = place_of(place)
        if not place.endswith(".json"):
            return place.rstrip("/"), ""
        document = _document(place)
        if not isinstance(document, pystac.Item):
            return _store_of_catalog(document, place), ""
        item = document

    assert item is not None
    return _store_of(item), item.properties.get("luray:scenario") or ""


def _opened(url: str, level: int, chunks: Any) -> xr.Dataset:
    """Open a store; ValueError for half a product, which looks like a whole one to xarray."""
    finished = read_finished(url)
    levels = finished.attributes["luray"].get("overviews", {}).get("levels", 0)
    if not 0 <= level <= levels:
        raise ValueError(
            f"{public(url)}: there is no level {level}, expected one from 0, the maps, to {levels}"
        )
    group = str(level) if level else None
    product: xr.Dataset = xr.open_zarr(url, group=group, consolidated=True, chunks=chunks)
    if group is not None:
        # What names the maps and their time steps.
        product.attrs["luray"] = finished.attributes["luray"]
    return product


def _document(place: str) -> pystac.STACObject:
    """Read a STAC document. Raises ValueError if it is none."""
    try:
        return pystac.read_file(place, stac_io=StoreIO())
    except FileNotFoundError as error:
        raise ValueError(f"{public(place)}: there is no such STAC document; correct it") from error
    except (json.JSONDecodeError, pystac.STACError, KeyError, TypeError) as error:
        raise ValueError(f"{public(place)}: cannot be read as STAC ({error})") from error


def _store_of_catalog(document: pystac.STACObject, place: str) -> str:
    """Return the one store that the items below a catalog or collection lead to.

    Raises
    ------
    ValueError
        If they lead to none or to several. The items of scenarios lead to the same.
    """
    assert isinstance(document, pystac.Catalog)  # a collection is a catalog
    items = [item for item in document.get_items(recursive=True) if _has_product(item)]
    stores = {_store_of(item) for item in items}
    if len(stores) != 1:
        names = ", ".join(item.id for item in items) or "none"
        raise ValueError(
            f"{public(place)}: expected items of one product, found {names}; give the item's own "
            "place"
        )
    [store] = stores
    return store


def _has_product(item: pystac.Item) -> bool:
    """Return whether an item has a Zarr store among its data."""
    return any(_is_product(asset) for asset in item.assets.values())


def _is_product(asset: pystac.Asset) -> bool:
    """Return whether an asset is a Zarr store of data."""
    return asset.media_type == ZARR and "data" in (asset.roles or ())


def _store_of(item: pystac.Item) -> str:
    """Return the store of an item.

    Raises
    ------
    ValueError
        If the item has no Zarr store among its data, or more than one.
    RefusedError
        If it lies where the item's catalog may not lead.
    """
    stores = [asset for asset in item.assets.values() if _is_product(asset)]
    if len(stores) != 1:
        raise ValueError(
            f"{name_of(item)}: expected one asset of role data and type {ZARR}, found "
            f"{len(stores)}; give the place of the product itself"
        )
    return asset_place(item, stores[0])
