"""Legends: the classes of a published map, and their codes.

A *legend* maps the codes of a published map to the class indices 0..K-1 that the model sees. Class
maps in memory are uint8 class indices, shape (lat, lon), with `OUTSIDE` where there is no land to
classify (ocean, no data).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.types import U8

OUTSIDE = 255
"""Class index of a cell that is no land: ocean, no data, or beyond the grid."""
NO_DATA = 254
"""Index of a cell beyond what the maps cover, where a product tells it from ocean.

`Legend.decode` gives the no-data code for it. `Legend.encode` takes that for `OUTSIDE`.
"""
OCEAN_FLAG = "ocean"
"""Name of the flag of the sea in CF's attributes."""
NO_DATA_FLAG = "no_data"
"""Name of the flag of cells beyond what the maps cover."""
NOT_LAND = (OCEAN_FLAG, NO_DATA_FLAG)
"""Names of the flags that are no class of land."""
OCEAN_COLOUR = "#dceaf5"

UNKNOWN_CODE = 253
"""Entry of the lookup table for a number that is no code of the legend."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour written #rrggbb.

    Examples
    --------
    >>> rgb("#2d6a4f")
    (45, 106, 79)
    """
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return red, green, blue


@dataclass(frozen=True)
class LandClass:
    """One class of a legend: published code, CF name (lower case, underscores), colour #rrggbb."""

    code: int
    name: str
    colour: str


@dataclass(frozen=True)
class Legend:
    """The classes of a land-use product, in model order; index k of the model is `classes[k]`.

    Examples
    --------
    >>> HILDA.encode(np.array([0, 11, 44, 40], np.uint8)).tolist()
    [255, 0, 3, 3]
    >>> HILDA.index(44)
    3
    """

    name: str
    classes: tuple[LandClass, ...]
    aliases: Mapping[int, int] = field(default_factory=dict)
    """Published sub-codes that are read as one class, such as HILDA+ forest 40-45 as 44."""
    ocean: int = 0
    nodata: int = 99
    water: int | None = None
    """Code of the inland-water class, left out of land scores."""

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def codes(self) -> U8:
        """Published code of each class index, shape (K,)."""
        return np.array([land_class.code for land_class in self.classes], np.uint8)

    @cached_property
    def _lookup(self) -> U8:
        """Class index of every number that a byte can hold, shape (256,)."""
        lookup = np.full(256, UNKNOWN_CODE, np.uint8)
        lookup[self.ocean] = OUTSIDE
        lookup[self.nodata] = OUTSIDE
        for index, code in enumerate(self.codes):
            lookup[code] = index
        # last: the code that a sub-code is read as must have its index
        for sub_code, code in self.aliases.items():
            lookup[sub_code] = lookup[code]
        return lookup

    def index(self, code: int) -> int:
        """Return the class index of a published code.

        Raises
        ------
        ValueError
            For a code outside the legend.
        """
        in_table = 0 <= code < self._lookup.size
        index = int(self._lookup[code]) if in_table else UNKNOWN_CODE
        if index == UNKNOWN_CODE:
            raise ValueError(f"code {code} is not in legend {self.name}: use one of {self.known()}")
        return index

    def known(self) -> list[int]:
        """Return every code that `encode` accepts, ascending."""
        return [int(code) for code in np.flatnonzero(self._lookup != UNKNOWN_CODE)]

    def encode(self, codes: NDArray[Any], *, where: str = "map") -> U8:
        """Turn published codes into class indices.

        Parameters
        ----------
        codes : array
            Any shape and numeric type.
        where : str
            What the codes are from, for the error.

        Returns
        -------
        uint8 array
            Same shape; ocean and no data become `OUTSIDE`.

        Raises
        ------
        ValueError
            Naming `where`, the unknown codes and their cell counts: a code outside the legend is
            never taken for ocean.
        """
        if codes.dtype != np.uint8:
            codes = self._as_bytes(codes, where=where)

        classes: U8 = self._lookup[codes]
        unknown = classes == UNKNOWN_CODE
        if unknown.any():
            values, counts = np.unique(codes[unknown], return_counts=True)
            listed = ", ".join(
                f"code {value} ({count} cells)" for value, count in zip(values, counts, strict=True)
            )
            raise ValueError(
                f"{where}: {listed} not in legend {self.name}, expected {self.known()}; "
                "correct the file or add the code to the legend's crosswalk"
            )
        return classes

    def _as_bytes(self, codes: NDArray[Any], *, where: str) -> U8:
        """Return codes of another type as bytes. Raises ValueError where that changes a value."""
        with np.errstate(invalid="ignore"):  # NaN: it differs from any byte, see below
            as_bytes = codes.astype(np.uint8)
        if not np.array_equal(as_bytes, codes):
            wrong = codes[as_bytes != codes]
            raise ValueError(
                f"{where}: {wrong.size} values are no class codes (first {wrong.flat[0]}); "
                f"legend {self.name} has {self.known()}"
            )
        return as_bytes

    def decode(self, indices: U8) -> U8:
        """Turn class indices into published codes, same shape.

        `OUTSIDE` becomes the ocean code, `NO_DATA` the no-data code.
        """
        lookup = np.full(256, self.ocean, np.uint8)
        lookup[NO_DATA] = self.nodata
        lookup[: len(self)] = self.codes
        codes: U8 = lookup[indices]
        return codes

    def to_attributes(self) -> dict[str, Any]:
        """Return the legend as JSON, to be stored beside the maps that have it."""
        attributes = asdict(self)
        attributes["aliases"] = [list(pair) for pair in sorted(self.aliases.items())]
        return attributes

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Self:
        """Return the legend of which `to_attributes` gave the attributes."""
        classes = tuple(LandClass(**land_class) for land_class in attributes["classes"])
        aliases = dict(attributes["aliases"])
        return cls(**{**attributes, "classes": classes, "aliases": aliases})

    def cf_attributes(self) -> dict[str, Any]:
        """Return CF's `flag_values`, `flag_meanings` and `flag_colors`.

        The ocean comes first, no data last.
        """
        codes = [int(code) for code in self.codes]
        names = [land_class.name for land_class in self.classes]
        colours = [land_class.colour for land_class in self.classes]
        return {
            "flag_values": [self.ocean, *codes, self.nodata],
            "flag_meanings": " ".join([OCEAN_FLAG, *names, NO_DATA_FLAG]),
            "flag_colors": " ".join([OCEAN_COLOUR, *colours, "#eeeeee"]),
        }


HILDA = Legend(
    name="HILDA+",
    classes=(
        LandClass(11, "urban", "#c0392b"),
        LandClass(22, "cropland", "#e9c46a"),
        LandClass(33, "pasture_and_rangeland", "#d9a0c9"),
        LandClass(44, "forest", "#2d6a4f"),
        LandClass(55, "unmanaged_grass_and_shrub", "#a7c957"),
        LandClass(66, "sparse_or_no_vegetation", "#c9bfae"),
        LandClass(77, "water", "#3a7ca5"),
    ),
    aliases={23: 22, 24: 22, 40: 44, 41: 44, 42: 44, 43: 44, 45: 44},
    water=77,
)
"""HILDA+ land use, doi:10.1594/PANGAEA.974335.

Crop sub-classes 23-24 and forest sub-classes 40-45 are merged.
"""

NAMED: Mapping[str, Legend] = {HILDA.name: HILDA}
"""Legends that a store may refer to by their name alone."""


def stored_legend(stored: Mapping[str, Any] | str) -> Legend:
    """Return the legend that a store describes.

    Parameters
    ----------
    stored : mapping or str
        What `Legend.to_attributes` gave; cubes built before that have only the legend's name.

    Raises
    ------
    ValueError
        For a name that no legend has.
    """
    if not isinstance(stored, str):
        return Legend.from_attributes(stored)
    if stored not in NAMED:
        raise ValueError(
            f"the store has the legend {stored!r} without its classes, expected one of "
            f"{list(NAMED)}; build the cube again"
        )
    return NAMED[stored]
