"""The STAC items of a product: one a scenario, and one a map that there is a file of."""

from typing import Any, NamedTuple

import pystac
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.datacube import DatacubeExtension, Dimension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension, Sampling
from pystac.extensions.render import Render, RenderExtension
from pystac.extensions.xarray_assets import AssetXarrayAssetsExtension, XarrayAssetsExtension

from luray.catalog.finished import FinishedProduct
from luray.catalog.origin import add_processing, add_projection, add_version
from luray.catalog.stac import relative_href
from luray.core.legend import colour_between

ZARR = "application/vnd.zarr"
"""Media type of a Zarr store; with a `version` parameter, xpystac does not know it."""


class MapFile(NamedTuple):
    """A cloud-optimised GeoTIFF (COG) of the map of one year."""

    place: str
    year: int
    """Or another time step of the product."""
    scenario: str = ""
    """Empty in a product without scenarios."""
    member: int | None = None
    """None in a product without members."""
    nodata: int = 99


def scenario_items(
    product: FinishedProduct, *, name: str, title: str, folder: str
) -> list[pystac.Item]:
    """Return an item for each scenario, or one for a product without that dimension.

    All lead to the one store, which holds every scenario.

    Parameters
    ----------
    product : FinishedProduct
        The product.
    name : str
        Id of its collection. It is the item's, too, or the beginning of it: `world-ssp126`.
    title : str
        For readers.
    folder : str
        Where the items will lie: hrefs are relative to it.
    """
    if not product.scenarios:
        return [_scenario_item(product, name=name, title=title, folder=folder, scenario="")]
    items = []
    for scenario in product.scenarios:
        item = _scenario_item(
            product,
            name=f"{name}-{scenario}",
            title=f"{title}, {scenario}",
            folder=folder,
            scenario=scenario,
        )
        items.append(item)
    return items


def _scenario_item(
    product: FinishedProduct, *, name: str, title: str, folder: str, scenario: str
) -> pystac.Item:
    """Return the item of a scenario: when, where, how it was made, and the store itself."""
    run = product.attributes["luray"]
    properties = {"title": title, "luray:caveats": list(product.attributes.get("caveats", ()))}
    for key in ("scenario", "scenarios", "members", "seed", "fingerprint"):
        if key in run:
            properties[f"luray:{key}"] = run[key]
    if scenario:
        properties["luray:scenario"] = scenario

    first, last = product.interval
    item = pystac.Item(
        name,
        product.geometry,
        product.bbox,
        None,
        properties,
        start_datetime=first,
        end_datetime=last,
    )
    DatacubeExtension.ext(item, add_if_missing=True).apply(
        _dimensions(product, scenario), product.variables
    )
    add_projection(item, product.grid)
    add_version(item, product.version)
    add_processing(item, product)
    _add_store(item, product, folder=folder, scenario=scenario)
    _add_render(item, product, asset="data")
    return item


def _dimensions(product: FinishedProduct, scenario: str) -> dict[str, Dimension]:
    """Return the dimensions of the product, `scenario` with the one value of an item."""
    dimensions = product.dimensions
    if scenario:
        fields = dimensions["scenario"].to_dict() | {"values": [scenario]}
        dimensions["scenario"] = Dimension.from_dict(fields)
    return dimensions


def _add_store(item: pystac.Item, product: FinishedProduct, *, folder: str, scenario: str) -> None:
    """Add the store itself, ready for xarray, and its metadata."""
    href = relative_href(product.url.rstrip("/"), folder=folder)
    arrays = ", ".join(product.names)
    description = f"Zarr v3 group: {arrays}. The classes are those of {product.variable}."
    if product.legend.scale is not None:
        description = (
            f"Zarr v3 group: {arrays}. {product.variable} is packed as CF has it: readers of CF "
            f"give values in {product.legend.scale.units}."
        )
    if scenario:
        description += f' It holds all scenarios: take `.sel(scenario="{scenario}")`.'
    data = pystac.Asset(
        href,
        title=f"{product.legend.title} by {product.time.each}",
        media_type=ZARR,
        roles=["data"],
        description=description,
    )
    item.add_asset("data", data)
    XarrayAssetsExtension.add_to(item)
    AssetXarrayAssetsExtension(data).open_kwargs = {"consolidated": True}
    if product.classes:
        ClassificationExtension.ext(data, add_if_missing=True).apply(classes=product.classes)
    metadata = pystac.Asset(
        f"{href}/zarr.json",
        title="Metadata of all arrays",
        media_type=pystac.MediaType.JSON,
        roles=["metadata"],
    )
    item.add_asset("metadata", metadata)


def map_item(
    product: FinishedProduct, file: MapFile, *, name: str, title: str, folder: str
) -> pystac.Item:
    """Return the item of the map of one year or step, as a file that tools without Zarr open.

    Parameters
    ----------
    product : FinishedProduct
        What the map is part of.
    file : MapFile
        The file, and which map it holds.
    name, title, folder : str
        As for `scenario_items`; the id is `world-ssp126-m3-2050`.
    """
    member = "" if file.member is None else f"m{file.member}"
    label = product.time.label(file.year)
    parts = [part for part in (file.scenario, member, label) if part]
    properties: dict[str, Any] = {
        "title": ", ".join([title, *parts]),
        "luray:origin": product.origins[product.years.index(file.year)],
    }
    if file.scenario:
        properties["luray:scenario"] = file.scenario
    if file.member is not None:
        properties["luray:member"] = file.member

    first, last = product.moments(file.year)
    item = pystac.Item(
        "-".join([name, *parts]),
        product.geometry,
        product.bbox,
        # A search by time that knows no intervals finds the year by its first day.
        first,
        properties,
        start_datetime=first,
        end_datetime=last,
    )
    add_projection(item, product.grid)
    add_version(item, product.version)
    add_processing(item, product)
    scale = product.legend.scale
    description = "Class codes with their colours; overviews have the most frequent class."
    if scale is not None:
        description = f"Packed values, in {scale.units} by scale and offset; overviews have means."
    image = pystac.Asset(
        relative_href(file.place, folder=folder),
        title=f"{product.legend.title} in {label}",
        media_type=pystac.MediaType.COG,
        roles=["data"],
        description=description,
    )
    item.add_asset(product.variable, image)
    band = RasterBand.create(
        data_type=DataType.UINT8, nodata=file.nodata, sampling=Sampling.AREA, unit="1"
    )
    if scale is not None:
        band.unit = scale.units
        band.scale = scale.step
        band.offset = scale.first
    RasterExtension.ext(image, add_if_missing=True).apply([band])
    if product.classes:
        ClassificationExtension.ext(image, add_if_missing=True).apply(classes=product.classes)
    if scale is None:
        # Colours of values are 256 numbers: the item of the store has them, not that of every map.
        _add_render(item, product, asset=product.variable)
    return item


def _add_render(
    item: pystac.Item,
    product: FinishedProduct,
    *,
    asset: str,
) -> None:
    """Say in which colours a map of an asset is drawn.

    Classes have theirs by code, and sea and missing cells none. Values, which readers of CF give in
    their unit, are scaled from the ends of their scale to 0..255, and have the colours of their
    legend over that.
    """
    legend = product.legend
    scale = legend.scale
    if scale is None:
        colours = {str(land_class.code): land_class.colour for land_class in legend.classes}
        resampling = "mode"
    else:
        colours = {
            str(number): colour_between(scale.colours, number / 255) for number in range(256)
        }
        resampling = "average"
    render = Render.create(
        assets=[asset],
        title=legend.title,
        rescale=[[scale.first, scale.last]] if scale is not None else None,
        nodata=legend.nodata,
        colormap=colours,
        resampling=resampling,
    )
    RenderExtension.ext(item, add_if_missing=True).apply({legend.variable: render})
