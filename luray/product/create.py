"""The empty arrays of a product, with their CF attributes; no data yet."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.array import CompressorsLike

from luray.core.arithmetic import ceil_div
from luray.core.grid import Grid
from luray.core.legend import COLOUR_RAMP, NO_VALUE, Legend
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.value_scale import MOST_LEVELS
from luray.product.coarse_cells import CoarseCells
from luray.product.conventions import (
    COARSE_COORDINATES,
    CONVENTIONS,
    Lattice,
    geozarr_attributes,
    pyramid_attributes,
    write_coarse_coordinates,
    write_coordinates,
)
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.overviews import NO_OVERVIEWS, Overviews
from luray.storage.arrays import MAX_CHUNK_CELLS, coordinate, tile_array

ORIGINS = ("observed", "hindcast", "forecast")
"""Where the map of a year can come from; array `origin` holds indices into it."""

OF_CELLS = {"grid_mapping": "crs", "cell_measures": "area: cell_area"}
"""Where CF finds what arrays of cells have in common."""

OF_COARSE_CELLS = {"grid_mapping": "coarse_crs", "cell_measures": "area: coarse_cell_area"}
"""The same of arrays of coarse cells."""

OF_YEARS = {"coordinates": "time"}
"""The same of arrays with the dimension `year`."""

COARSE_DIMENSIONS = ("coarse_lat", "coarse_lon")

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
    overviews: Overviews = NO_OVERVIEWS,
    time: TimeSteps = YEARLY,
) -> None:
    """Create the arrays of a product; a shard is one tile in one year.

    Parameters
    ----------
    url : str
        Place of the store; what is there is replaced.
    grid : Grid
        The run grid.
    years, origins : sequence of int
        Calendar years or time steps, and for each an index into `ORIGINS`.
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
    overviews : Overviews
        Levels of the maps' overviews.
    time : TimeSteps
        Of the maps.
    """
    of_classes = legend.scale is None
    root = zarr.open_group(url, mode="w", zarr_format=3)
    map_lead = {**dims.lead, time.dimension: len(years)}
    comment = (
        "Tiles without land are not stored: they read as ocean, also where the maps have no data."
    )
    if not of_classes:
        comment = "There is no value at sea, and where an observed map has none."
    _create_maps(
        root,
        map_lead,
        shape=grid.shape,
        tile=tile,
        legend=legend,
        comment=comment,
    )
    array = root.create_array(
        "origin",
        data=np.array(origins, np.uint8),
        dimension_names=(time.dimension,),
        chunks=(len(years),),
    )
    array.attrs.update(
        {
            "long_name": f"where the map of a {time.each} comes from",
            "flag_values": [0, 1, 2],
            "flag_meanings": " ".join(ORIGINS),
        }
    )
    _create_sequences(root, dims)
    if dims.members:
        _create_across_members(root, dims, n_years=len(years), grid=grid, tile=tile, legend=legend)
    if dims.probability_years:
        _create_probability(root, dims, grid=grid, tile=tile, legend=legend)
    if dims.members or dims.probability_years or coarse:
        _create_classes(root, "class", legend)
    if coarse:
        _create_fractions(root, map_lead, coarse, tile=tile, legend=legend)
    _create_overviews(
        root,
        overviews,
        map_lead,
        grid=grid,
        years=years,
        tile=tile,
        legend=legend,
        dims=dims,
        time=time,
    )
    more_coordinates = COARSE_COORDINATES if coarse else ()
    write_coordinates(root, Lattice.of(grid), years, more=more_coordinates, time=time)
    geozarr = pyramid_attributes(grid, overviews, "mode" if of_classes else "average")
    root.attrs.update({"Conventions": CONVENTIONS, **geozarr, **attributes})


def _create_maps(
    group: zarr.Group,
    lead: Mapping[str, int],
    *,
    shape: tuple[int, int],
    tile: int,
    legend: Legend,
    comment: str,
) -> None:
    """Create the maps, or a level of their overviews, and their confidence or spread."""
    # Where `time` is a dimension it is a coordinate without being named.
    of_maps = {**OF_CELLS, **OF_YEARS} if "year" in lead else OF_CELLS
    of_values: dict[str, str] = {}
    if legend.scale is not None:
        of_values["ancillary_variables"] = legend.quality
        of_values[COLOUR_RAMP] = " ".join(legend.scale.colours)
    tile_array(
        group,
        legend.variable,
        lead=lead,
        shape=shape,
        tile=tile,
        attributes={
            "long_name": legend.long_name,
            "units": "1",
            "comment": comment,
            **legend.cf_attributes(),
            **of_values,
            **of_maps,
        },
        fill_value=legend.ocean,
    )
    if legend.scale is not None:
        name = legend.scale.standard_name
        tile_array(
            group,
            legend.quality,
            lead=lead,
            shape=shape,
            tile=tile,
            attributes={
                "long_name": f"standard deviation of {legend.long_name}",
                **({"standard_name": f"{name} standard_error"} if name else {}),
                "units": legend.scale.units,
                "comment": "Of a predicted value; observed maps have none.",
                "scale_factor": legend.scale.step,
                "add_offset": 0.0,
                "valid_range": [0, MOST_LEVELS],
                "_FillValue": NO_VALUE,
                **of_maps,
            },
            fill_value=NO_VALUE,
        )
        return
    tile_array(
        group,
        "confidence",
        lead=lead,
        shape=shape,
        tile=tile,
        attributes={
            "long_name": "averaged probability of the class; 100 in observed years, 0 outside land",
            "units": "percent",
            "comment": comment,
            **of_maps,
        },
    )


def _create_sequences(group: zarr.Group, dims: ProductDims) -> None:
    """Create the coordinates of scenarios and members."""
    if dims.scenarios:
        names = np.array(dims.scenarios, np.dtypes.StringDType())
        coordinate(group, "scenario", names, {"long_name": "scenario"})
    if dims.members:
        coordinate(
            group,
            "member",
            np.arange(dims.members, dtype=np.int32),
            {"long_name": "member of the ensemble", "units": "1", "standard_name": "realization"},
        )


def _create_across_members(
    root: zarr.Group, dims: ProductDims, *, n_years: int, grid: Grid, tile: int, legend: Legend
) -> None:
    """Create what the members of a scenario have in common, and their coordinate."""
    lead = {name: length for name, length in dims.lead.items() if name != "member"}
    tile_array(
        root,
        "class_probability",
        lead={**lead, "year": n_years, "class": len(legend)},
        shape=grid.shape,
        tile=tile,
        attributes={
            "long_name": "share of the members that have the class; 0 outside land",
            "units": "percent",
            **OF_CELLS,
            **OF_YEARS,
        },
    )
    tile_array(
        root,
        "entropy",
        lead={**lead, "year": n_years},
        shape=grid.shape,
        tile=tile,
        attributes={
            "long_name": "entropy of the members' classes; 0 where all have one, 100 where every "
            "class is as frequent",
            "units": "percent",
            **OF_CELLS,
            **OF_YEARS,
        },
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
        shape=grid.shape,
        tile=tile,
        attributes={
            "long_name": "averaged probability of the class; 0 outside land",
            "units": "percent",
            **OF_CELLS,
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
            "long_name": f"{legend.long_name} class",
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
        shape=coarse.grid.shape,
        tile=tile // coarse.block,
        attributes={
            "long_name": "share of the coarse cell's area that the class covers",
            "standard_name": "area_fraction",
            "units": "1",
            **OF_COARSE_CELLS,
            **OF_YEARS,
            **geozarr_attributes(Lattice.of(coarse.grid), dimensions=COARSE_DIMENSIONS),
            "comment": "What the classes leave of a cell is ocean, or has no data. NaN in tiles "
            "without land, which are not computed; 0 where a computed tile has no land.",
        },
        fill_value=np.nan,
        dtype="float32",
        compressors=FRACTION_COMPRESSORS,
        cell_dimensions=COARSE_DIMENSIONS,
        classes_of_a_chunk="all",  # of few coarse cells, which compress better together
    )
    tile_array(
        root,
        "transition",
        lead={**lead, "class_from": len(legend), "class_to": len(legend)},
        shape=coarse.grid.shape,
        tile=tile // coarse.block,
        attributes={
            "long_name": "share of the coarse cell's area that goes from one class to another, "
            "between the map of the year before and that of the year",
            "units": "1",
            **OF_COARSE_CELLS,
            **OF_YEARS,
            **geozarr_attributes(Lattice.of(coarse.grid), dimensions=COARSE_DIMENSIONS),
            "comment": "Gross transitions; what stays in its class is not counted, so the "
            "diagonal is 0. NaN in the first year and in tiles without land, which are not "
            "computed.",
        },
        fill_value=np.nan,
        dtype="float32",
        compressors=FRACTION_COMPRESSORS,
        cell_dimensions=COARSE_DIMENSIONS,
        classes_of_a_chunk="all",  # of few coarse cells, which compress better together
    )
    _create_classes(root, "class_from", legend)
    _create_classes(root, "class_to", legend)
    write_coarse_coordinates(root, coarse.grid)


def _create_overviews(
    root: zarr.Group,
    overviews: Overviews,
    map_lead: Mapping[str, int],
    *,
    grid: Grid,
    years: Sequence[int],
    tile: int,
    legend: Legend,
    dims: ProductDims,
    time: TimeSteps,
) -> None:
    """Create a group for each level of the overviews, with coordinates of its own."""
    rule = (
        "the most frequent class, or the mean confidence, of the land in 2 x 2 cells of the level "
        "before. A cell is land where at least half of its cells are."
    )
    if legend.scale is not None:
        rule = (
            "the mean of the values, or of their spread, in 2 x 2 cells of the level before. A "
            "cell has a value where at least half of its cells have one."
        )
    for level in range(1, overviews.levels + 1):
        group = root.create_group(str(level))
        lattice = Lattice.of(grid, level=level)
        written_with_tiles = level in overviews.tile_levels
        # A coarser level is one object a year.
        side = tile // 2**level if written_with_tiles else _whole_side(lattice.shape)
        _create_maps(
            group,
            map_lead,
            shape=lattice.shape,
            tile=side,
            legend=legend,
            comment=f"Level {level} of the overviews: {rule}",
        )
        _create_sequences(group, dims)
        write_coordinates(group, lattice, years, time=time)
        group.attrs.update({"Conventions": CONVENTIONS, **geozarr_attributes(lattice)})


def _whole_side(shape: tuple[int, int]) -> int:
    """Return the side of a square shard that holds a whole level, in whole chunks."""
    return ceil_div(max(shape), MAX_CHUNK_CELLS) * MAX_CHUNK_CELLS
