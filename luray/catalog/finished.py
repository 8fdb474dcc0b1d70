"""The description of a finished product in the terms of STAC."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pystac
import zarr
from pystac.extensions.classification import Classification
from pystac.extensions.datacube import Dimension, Variable

from luray.core.grid import Grid
from luray.core.legend import Legend, variable_of
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import F64
from luray.product.product_maps import legend_of_flags
from luray.storage.arrays import EPOCH
from luray.storage.objects import read_object
from luray.storage.places import public

FURTHER = ("class_probability", "entropy", "probability", "fraction", "transition", "cell_area")
"""Arrays that a product has where its run asks for members, probabilities or coarse cells."""

AXES = ("scenario", "member", "class", "class_from", "class_to", "probability_year")
"""Dimensions that a product may have beside year, and those of space."""

COARSE = ("coarse_lat", "coarse_lon")
"""Dimensions of space that a product has where it has fractions of coarse cells."""

VERSION_DIGITS = 12
"""Digits of its fingerprint that are the version of a product."""


@dataclass(frozen=True)
class FinishedProduct:
    """The consolidated metadata of a finished product."""

    url: str
    attributes: Mapping[str, Any]
    arrays: Mapping[str, Mapping[str, Any]]
    """Zarr metadata of each array, by its name."""
    grid: Grid
    years: tuple[int, ...]
    origins: tuple[str, ...]
    """Origin of each year: observed, hindcast or forecast."""
    axes: Mapping[str, tuple[Any, ...]]
    """Values along each of `AXES` and `COARSE` that it has."""
    time: TimeSteps = YEARLY
    """Time steps of the maps: where a year has several, each of `years` is one of them."""

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names along dimension `scenario`, empty where it has none."""
        return self.axes.get("scenario", ())

    @property
    def version(self) -> str:
        """The beginning of its fingerprint: equal versions have equal bytes."""
        return str(self.attributes["luray"].get("fingerprint", ""))[:VERSION_DIGITS]

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Provenance, see `provenance_of`; empty in products of earlier versions."""
        provenance: Mapping[str, Any] = self.attributes.get("provenance", {})
        return provenance

    @property
    def interval(self) -> list[datetime]:
        """First and last moment of the years."""
        return [self.moments(self.years[0])[0], self.moments(self.years[-1])[1]]

    def moments(self, step: int) -> tuple[datetime, datetime]:
        """Return the first and the last second of a year, or of another time step."""
        first, last = (date.fromisoformat(day) for day in self.time.dates(step))
        return (
            datetime(first.year, first.month, first.day, tzinfo=UTC),
            datetime(last.year, last.month, last.day, 23, 59, 59, tzinfo=UTC),
        )

    @property
    def bbox(self) -> list[float]:
        """West, south, east, north in degrees.

        The west is greater than the east across the dateline, as GeoJSON has it (RFC 7946, 5.2).
        """
        grid = self.grid
        east = grid.east if grid.east <= 180 else grid.east - 360
        return [round(edge, 9) for edge in (grid.west, grid.south, east, grid.north)]

    @property
    def geometry(self) -> dict[str, Any]:
        """The bounding box as GeoJSON, in two pieces across the dateline."""
        west, south, east, north = self.bbox
        if west < east:
            return {"type": "Polygon", "coordinates": _rectangle(west, south, east, north)}
        pieces = [
            _rectangle(west, south, 180.0, north),
            _rectangle(-180.0, south, east, north),
        ]
        return {"type": "MultiPolygon", "coordinates": pieces}

    @property
    def variable(self) -> str:
        """Name of the array that holds the maps."""
        return variable_of(self.attributes["luray"])

    @cached_property
    def legend(self) -> Legend:
        """Legend of the maps, as their CF attributes tell it."""
        return legend_of_flags(self.arrays[self.variable]["attributes"], variable=self.variable)

    @property
    def classes(self) -> list[Classification]:
        """The classes, from the CF flags of the maps; none of values."""
        if self.legend.scale is not None:
            return []
        flags = self.arrays[self.variable]["attributes"]
        names = flags["flag_meanings"].split()
        colours = flags["flag_colors"].split()
        return [
            Classification.create(
                value, name=name, title=name.replace("_", " "), color_hint=colour[1:].upper()
            )
            for value, name, colour in zip(flags["flag_values"], names, colours, strict=True)
        ]

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """Dimensions of the datacube extension."""
        west, south, east, north = self.bbox
        step = round(self.grid.step, 9)
        first, last = (pystac.utils.datetime_to_str(moment) for moment in self.interval)
        described: dict[str, dict[str, Any]] = {}
        for name in AXES:
            if name in self.axes:
                described[name] = {
                    "type": name,
                    "values": list(self.axes[name]),
                    "description": self.arrays[name]["attributes"]["long_name"],
                }
        if self.time.dimension == "year":
            words = "calendar year; the coordinate holds plain numbers"
        else:
            words = f"{self.arrays['time']['attributes']['long_name']}, in years without leap days"
        described[self.time.dimension] = {
            "type": "temporal",
            "extent": [first, last],
            "step": self.time.duration or None,  # none where it varies
            "description": words,
        }
        described["lat"] = {
            "type": "spatial",
            "axis": "y",
            "extent": [south, north],
            "step": -step,
            "reference_system": 4326,
        }
        described["lon"] = {
            "type": "spatial",
            "axis": "x",
            "extent": [west, east],
            "step": step,
            "reference_system": 4326,
        }
        for name in COARSE:
            if name in self.axes:
                described[name] = _coarse(
                    self.axes[name], axis="y" if name == "coarse_lat" else "x"
                )
        return {name: Dimension.from_dict(fields) for name, fields in described.items()}

    @property
    def names(self) -> list[str]:
        """Names of its arrays, without coordinates."""
        further = [name for name in FURTHER if name in self.arrays]
        return [self.variable, self.legend.quality, "origin", *further]

    @property
    def variables(self) -> dict[str, Variable]:
        """Variables of the datacube extension."""
        described = {}
        scale = self.legend.scale
        for name in self.names:
            array = self.arrays[name]
            fields = {
                "dimensions": list(array["dimension_names"]),
                "type": "data",
                "description": array["attributes"]["long_name"],
                "unit": array["attributes"].get("units", "1"),
            }
            if scale is not None and name == self.variable:
                fields["extent"] = [scale.first, scale.last]
            described[name] = Variable.from_dict(fields)
        return described


def _coarse(centres: Sequence[float], *, axis: Literal["x", "y"]) -> dict[str, Any]:
    """Describe a dimension of coarse cells by their centres."""
    fields: dict[str, Any] = {
        "type": "spatial",
        "axis": axis,
        "extent": sorted([centres[0], centres[-1]]),
        "reference_system": 4326,
        "description": "centres of coarse cells",
    }
    if len(centres) > 1:
        fields["step"] = round((centres[-1] - centres[0]) / (len(centres) - 1), 9)
    return fields


def _rectangle(west: float, south: float, east: float, north: float) -> list[list[list[float]]]:
    """Return the coordinates of a GeoJSON polygon, counter-clockwise."""
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


def read_finished(url: str) -> FinishedProduct:
    """Read what a finished product says of itself.

    Parameters
    ----------
    url : str
        Place of the Zarr store.

    Raises
    ------
    ValueError
        Where there is no product, or one that is not finished.
    """
    shown = public(url)
    root = _root_metadata(url, shown=shown)
    attributes = root.get("attributes", {})
    consolidated = root.get("consolidated_metadata")
    finished = attributes.get("luray", {}).get("finished")
    if finished is not True:
        raise ValueError(
            f"{shown}: expected a finished product, found luray.finished = {json.dumps(finished)}; "
            "run `luray infer`, which resumes it"
        )
    if not consolidated:
        raise ValueError(
            f"{shown}: expected consolidated metadata, found none; run `luray infer`, which "
            "finishes it"
        )
    arrays = consolidated["metadata"]
    time = TimeSteps(attributes["luray"].get("time_step", YEARLY.interval))
    variable = variable_of(attributes["luray"])
    of_values = "scale_factor" in arrays.get(variable, {}).get("attributes", {})
    quality = "spread" if of_values else "confidence"
    needed = (variable, quality, "origin", time.dimension, "lat", "lon")
    missing = [array for array in needed if array not in arrays]
    if missing:
        raise ValueError(
            f"{shown}: expected the arrays of a product, found no {', '.join(missing)}; give the "
            "product, not the predictor cube"
        )

    store: Any = zarr.open_group(url, mode="r", zarr_format=3, use_consolidated=True)
    lat, lon, times = (np.asarray(store[axis][:]) for axis in ("lat", "lon", time.dimension))
    steps = tuple(int(number) for number in times)
    if time.dimension == "time":
        steps = tuple(time.step_at(day, epoch=EPOCH) for day in steps)
    words = arrays["origin"]["attributes"]["flag_meanings"].split()
    axes = {
        axis: tuple(np.asarray(store[axis][:]).tolist())
        for axis in (*AXES, *COARSE)
        if axis in arrays
    }
    return FinishedProduct(
        url,
        attributes,
        arrays,
        _grid(lat, lon, where=shown),
        steps,
        tuple(words[origin] for origin in store["origin"][:]),
        axes,
        time,
    )


def _root_metadata(url: str, *, shown: str) -> dict[str, Any]:
    """Return the metadata of the root group of a Zarr v3 store."""
    text = read_object(f"{url.rstrip('/')}/zarr.json")
    if text is None:
        raise ValueError(
            f"{shown}: found no Zarr store, expected a finished product; run `luray infer` first"
        )
    try:
        root: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{shown}/zarr.json: not JSON ({error}), expected Zarr v3 metadata; the store is "
            "damaged, infer it again"
        ) from None
    return root


def _grid(lat: F64, lon: F64, *, where: str) -> Grid:
    """Return the grid of which these are the cell centres."""
    if lat.size < 2 or lon.size < 2 or lat[0] < lat[-1]:
        raise ValueError(
            f"{where}: found {lat.size} latitudes and {lon.size} longitudes, expected at least 2 "
            "of each, north first; publish a product that luray wrote"
        )
    step = float(lon[-1] - lon[0]) / (lon.size - 1)
    north = float(lat[0]) + step / 2
    west = float(lon[0]) - step / 2
    # Rounding takes away what the division has added.
    return Grid(round(north, 9), round(west, 9), round(step, 12), lat.size, lon.size)
