"""TO BE WRITTEN."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import HILDA, Legend
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.storage.arrays import _coordinate, coordinates, tile_array

ORIGINS = ("observed", "hindcast", "forecast")


def create_product(
    url: str,
    *,
    grid: Grid,
    years: Sequence[int],
    origins: Sequence[int],
    tile: int,
    attributes: Mapping[str, Any],
    legend: Legend = HILDA,
    dims: ProductDims = ONE_MAP,
) -> None:
    """The product: `land_use`, `confidence`, `origin`, with CF attributes; one shard a tile and
    year, no data yet.

    `dims` adds leading dimensions, and arrays across them. `attributes` are written last: a
    store without them is half created.
    """
    root = zarr.open_group(url, mode="w", zarr_format=3)
    lead, year = dims.lead, {"year": len(years)}
    tile_array(
        root,
        "land_use",
        lead={**lead, **year},
        grid=grid,
        tile=tile,
        attributes={"long_name": "land use", "units": "1", **legend.cf_attributes()},
    )
    tile_array(
        root,
        "confidence",
        lead={**lead, **year},
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
    _create_several(root, dims, year=year, grid=grid, tile=tile, legend=legend)
    root.attrs.update({"Conventions": "CF-1.11", **attributes})


def _create_several(
    root: zarr.Group,
    dims: ProductDims,
    *,
    year: Mapping[str, int],
    grid: Grid,
    tile: int,
    legend: Legend,
) -> None:
    """Arrays and coordinates of the dimensions that are asked for."""
    lead, classes, (names, members, kept) = dims.lead, {"class": len(legend)}, dims
    across = {name: n for name, n in lead.items() if name != "member"}
    if members:
        tile_array(
            root,
            "class_probability",
            lead={**across, **year, **classes},
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
            lead={**across, **year},
            grid=grid,
            tile=tile,
            attributes={
                "long_name": "entropy of the members' classes; 0 where all have one, 100 where "
                "every "
                "class is as frequent",
                "units": "percent",
            },
        )
        _coordinate(
            root,
            "member",
            np.arange(members, dtype=np.int32),
            {"long_name": "member of the ensemble", "units": "1", "standard_name": "realization"},
        )
    if kept:
        tile_array(
            root,
            "probability",
            lead={**lead, "probability_year": len(kept), **classes},
            grid=grid,
            tile=tile,
            attributes={
                "long_name": "averaged probability of the class; 0 outside land",
                "units": "percent",
            },
        )
        _coordinate(
            root,
            "probability_year",
            np.array(kept, np.int32),
            {"long_name": "calendar year", "units": "1"},
        )
    if names:
        _coordinate(
            root, "scenario", np.array(names, np.dtypes.StringDType()), {"long_name": "scenario"}
        )
    if members or kept:
        _coordinate(
            root,
            "class",
            legend.codes,
            {
                "long_name": "land use class",
                "flag_values": [int(code) for code in legend.codes],
                "flag_meanings": " ".join(c.name for c in legend.classes),
            },
        )
