"""Land-use classes, variables and the base of every configuration.

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
UNKNOWN_CODE = 253
"""What a number that is no code of a legend is looked up as."""


@dataclass(frozen=True)
class LandClass:
    """One class of a legend: published code, CF name (lower case, underscores), colour as #rrggbb."""

    code: int
    name: str
    colour: str


@dataclass(frozen=True)
class Legend:
    """The classes of a land-use product, in model order; index k of the model is `classes[k]`."""

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
        return np.array([c.code for c in self.classes], np.uint8)

    @cached_property
    def _lookup(self) -> U8:
        lookup = np.full(256, UNKNOWN_CODE, np.uint8)
        lookup[self.ocean] = lookup[self.nodata] = OUTSIDE
        for k, code in enumerate(self.codes):
            lookup[code] = k
        for sub, code in self.aliases.items():
            lookup[sub] = lookup[code]
        return lookup

    def index(self, code: int) -> int:
        """Class index of a published code. Raises ValueError for a code outside the legend."""
        k = int(self._lookup[code]) if 0 <= code < self._lookup.size else UNKNOWN_CODE
        if k == UNKNOWN_CODE:
            raise ValueError(f"code {code} is not in legend {self.name}: use one of {self.known()}")
        return k

    def known(self) -> list[int]:
        """Every code that `encode` accepts, ascending."""
        return [int(c) for c in np.flatnonzero(self._lookup != UNKNOWN_CODE)]

    def encode(self, codes: NDArray[Any], *, where: str = "map") -> U8:
        """Class indices of published codes, same shape; ocean and no data become `OUTSIDE`.

        Raises ValueError naming `where`, the unknown codes and their cell counts: a code outside
        the legend is never taken for ocean.
        """
        if codes.dtype != np.uint8:
            with np.errstate(invalid="ignore"):
                exact = codes.astype(np.uint8)
            if not np.array_equal(exact, codes):
                wrong = codes[exact != codes]
                raise ValueError(
                    f"{where}: {wrong.size} values are no class codes (first {wrong.flat[0]}); "
                    "legend "
                    f"{self.name} has {self.known()}"
                )
            codes = exact
        classes: U8 = self._lookup[codes]
        wrong = classes == UNKNOWN_CODE
        if wrong.any():
            unknown, counts = np.unique(codes[wrong], return_counts=True)
            found = ", ".join(f"code {c} ({n} cells)" for c, n in zip(unknown, counts, strict=True))
            raise ValueError(
                f"{where}: {found} not in legend {self.name}, expected {self.known()}; "
                "correct the file or add the code to the legend's crosswalk"
            )
        return classes

    def decode(self, indices: U8) -> U8:
        """Published codes of class indices, same shape; `OUTSIDE` becomes the ocean code."""
        lookup = np.full(256, self.ocean, np.uint8)
        lookup[: len(self)] = self.codes
        codes: U8 = lookup[indices]
        return codes

    def to_attributes(self) -> dict[str, Any]:
        """The legend as JSON, to be stored beside the maps that it is the legend of."""
        attributes = asdict(self)
        attributes["aliases"] = [list(pair) for pair in sorted(self.aliases.items())]
        return attributes

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Self:
        """The legend that `to_attributes` gave."""
        classes = tuple(LandClass(**land_class) for land_class in attributes["classes"])
        aliases = {sub: code for sub, code in attributes["aliases"]}
        return cls(**{**attributes, "classes": classes, "aliases": aliases})

    def cf_attributes(self) -> dict[str, Any]:
        """CF `flag_values`, `flag_meanings` (ocean first) and `flag_colors` of the published codes."""
        return {
            "flag_values": [self.ocean, *(int(c) for c in self.codes)],
            "flag_meanings": " ".join(["ocean", *(c.name for c in self.classes)]),
            "flag_colors": " ".join(["#dceaf5", *(c.colour for c in self.classes)]),
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
"""HILDA+ land use, doi:10.1594/PANGAEA.974335; crop sub-classes 23-24 and forest sub-classes 40-45
merged.
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
