"""The empty arrays of a product, with their CF attributes; no data yet."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.product.coarse_cells import CoarseCells
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.storage.arrays import coordinate, coordinates, tile_array

ORIGINS = ("observed", "hindcast", "forecast")
"""Where the map of a year can come from; array `origin` holds indices into it."""

FRACTION_COMPRESSORS: CompressorsLike = (
    BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"),
    Crc32cCodec(),
)
"""How fractions and transitions are compressed."""


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
    coarse: CoarseCells | None = None,
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
    coarse : CoarseCells, optional
        Those that have fractions and transitions.
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
    if dims.members or dims.probability_years or coarse:
        _create_classes(root, "class", legend)
    if coarse:
        _create_fractions(root, map_lead, coarse, tile=tile, legend=legend)
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


def _create_classes(root: zarr.Group, dimension: str, legend: Legend) -> None:
    """Create the coordinate of a class dimension: the published codes."""
    coordinate(
        root,
        dimension,
        legend.codes,
        {
            "long_name": "land use class",
            "flag_values": [int(code) for code in legend.codes],
            "flag_meanings": " ".join(land_class.name for land_class in legend.classes),
        },
    )


def _create_fractions(
    root: zarr.Group, lead: Mapping[str, int], coarse: CoarseCells, *, tile: int, legend: Legend
) -> None:
    """Create the fractions and transitions of coarse cells, and their coordinates."""
    tile_array(
        root,
        "fraction",
        lead={**lead, "class": len(legend)},
        grid=coarse.grid,
        tile=tile // coarse.block,
        attributes={
            "long_name": "share of the coarse cell's area that the class covers",
            "standard_name": "area_fraction",
            "units": "1",
            "comment": "What the classes leave of a cell is ocean, or has no data. NaN in tiles "
            "without land, which are not computed; 0 where a computed tile has no land.",
        },
        fill_value=np.nan,
        dtype="float32",
        compressors=FRACTION_COMPRESSORS,
        cell_dimensions=("coarse_lat", "coarse_lon"),
    )
    tile_array(
        root,
        "transition",
        lead={**lead, "class_from": len(legend), "class_to": len(legend)},
        grid=coarse.grid,
        tile=tile // coarse.block,
        attributes={
            "long_name": "share of the coarse cell's area that goes from one class to another, "
            "between the map of the year before and that of the year",
            "units": "1",
            "comment": "Gross transitions; what stays in its class is not counted, so the "
            "diagonal is 0. NaN in the first year and in tiles without land, which are not "
            "computed.",
        },
        fill_value=np.nan,
        dtype="float32",
        compressors=FRACTION_COMPRESSORS,
        cell_dimensions=("coarse_lat", "coarse_lon"),
    )
    _create_classes(root, "class_from", legend)
    _create_classes(root, "class_to", legend)
    # Without `axis` and `standard_name`: readers that look for the axes of a whole dataset find
    # those of the maps alone.
    lat_attributes = {"units": "degrees_north", "long_name": "latitude of coarse cells"}
    coordinate(root, "coarse_lat", coarse.grid.lat, lat_attributes)
    lon_attributes = {"units": "degrees_east", "long_name": "longitude of coarse cells"}
    coordinate(root, "coarse_lon", coarse.grid.lon, lon_attributes)
