"""The empty arrays of a product, with their CF attributes; no data yet."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.storage.arrays import coordinate, coordinates, tile_array

ORIGINS = ("observed", "hindcast", "forecast")
"""Where the map of a year can come from; array `origin` holds indices into it."""


def create_product(
    url: str,
    *,
    grid: Grid,
    years: Sequence[int],
    origins: Sequence[int],
    tile: int,
    attributes: Mapping[str, Any],
    legend: Legend,
    dims: ProductDims = ONE_MAP,
) -> None:
    """Create the arrays of a product; a shard is one tile in one year.

    Parameters
    ----------
    url : str
        Place of the store; what is there is replaced.
    grid : Grid
        The run grid.
    years, origins : sequence of int
        Calendar years, and for each an index into `ORIGINS`.
    tile : int
        Cells along a side of a tile.
    attributes : mapping
        Of the store. They are written last: a store without them is half created.
    legend : Legend
        Of the maps, which hold its codes.
    dims : ProductDims
        Further dimensions, with the arrays across them.
    """
    root = zarr.open_group(url, mode="w", zarr_format=3)
    map_lead = {**dims.lead, "year": len(years)}
    tile_array(
        root,
        "land_use",
        lead=map_lead,
        grid=grid,
        tile=tile,
        attributes={"long_name": "land use", "units": "1", **legend.cf_attributes()},
        fill_value=legend.ocean,
    )
    tile_array(
        root,
        "confidence",
        lead=map_lead,
        grid=grid,
        tile=tile,
        attributes={
            "long_name": "averaged probability of the class; 100 in observed years, 0 outside land",
            "units": "percent",
        },
    )
    array = root.create_array(
        "origin", data=np.array(origins, np.uint8), dimension_names=("year",), chunks=(len(years),)
    )
    array.attrs.update(
        {
            "long_name": "where the map of a year comes from",
            "flag_values": [0, 1, 2],
            "flag_meanings": " ".join(ORIGINS),
        }
    )
    coordinates(root, grid, years)

    if dims.members:
        _create_across_members(root, dims, n_years=len(years), grid=grid, tile=tile, legend=legend)
    if dims.probability_years:
        _create_probability(root, dims, grid=grid, tile=tile, legend=legend)
    if dims.scenarios:
        names = np.array(dims.scenarios, np.dtypes.StringDType())
        coordinate(root, "scenario", names, {"long_name": "scenario"})
    if dims.members or dims.probability_years:
        _create_classes(root, legend)
    root.attrs.update({"Conventions": "CF-1.11", **attributes})


def _create_across_members(
    root: zarr.Group, dims: ProductDims, *, n_years: int, grid: Grid, tile: int, legend: Legend
) -> None:
    """Create what the members of a scenario have in common, and their coordinate."""
    lead = {name: length for name, length in dims.lead.items() if name != "member"}
    tile_array(
        root,
        "class_probability",
        lead={**lead, "year": n_years, "class": len(legend)},
        grid=grid,
        tile=tile,
        attributes={
            "long_name": "share of the members that have the class; 0 outside land",
            "units": "percent",
        },
    )
    tile_array(
        root,
        "entropy",
        lead={**lead, "year": n_years},
        grid=grid,
        tile=tile,
        attributes={
            "long_name": "entropy of the members' classes; 0 where all have one, 100 where every "
            "class is as frequent",
            "units": "percent",
        },
    )
    coordinate(
        root,
        "member",
        np.arange(dims.members, dtype=np.int32),
        {"long_name": "member of the ensemble", "units": "1", "standard_name": "realization"},
    )


def _create_probability(
    root: zarr.Group, dims: ProductDims, *, grid: Grid, tile: int, legend: Legend
) -> None:
    """Create the probabilities of all classes in some years, and the coordinate of these years."""
    years = dims.probability_years
    tile_array(
        root,
        "probability",
        lead={**dims.lead, "probability_year": len(years), "class": len(legend)},
        grid=grid,
        tile=tile,
        attributes={
            "long_name": "averaged probability of the class; 0 outside land",
            "units": "percent",
        },
    )
    coordinate(
        root,
        "probability_year",
        np.array(years, np.int32),
        {"long_name": "calendar year", "units": "1"},
    )


def _create_classes(root: zarr.Group, legend: Legend) -> None:
    """Create the coordinate of the class dimension: the published codes."""
    coordinate(
        root,
        "class",
        legend.codes,
        {
            "long_name": "land use class",
            "flag_values": [int(code) for code in legend.codes],
            "flag_meanings": " ".join(land_class.name for land_class in legend.classes),
        },
    )
