"""Legends: the classes of a published map, and their codes.

A *legend* maps the codes of a published map to the class indices 0..K-1 that the model sees. Class
maps in memory are uint8 class indices, shape (lat, lon), with `OUTSIDE` where there is no land to
classify (ocean, no data).

A legend is all there is to a target: it also names the variable that holds the maps. Those of
luray's own are in `luray.core.legend_files`; any other is a TOML file beside a run file.

The maps of a *continuous* target hold values, not classes. Its legend has a scale
(`luray.core.value_scale`), and a "class" for each of its levels, in their order: so whatever
stores, cuts out or paints class maps does the same with values.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.types import U8
from luray.core.value_scale import ValueScale, require_scale

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

MOST_CLASSES = 64
"""Classes of a legend at most.

Maps of indices would have room for 253. The first layer looks up three neighbours at a time, in a
table of (K + 2)^3 rows (`luray.engine.stem`): about 50 MB for 64 classes and 16 channels.
"""

NO_VALUE = 255
"""Byte of a map of values where there is none, at sea or for want of data."""
NO_VALUE_COLOUR = "#e9ecee"
"""Colour of the same."""

COLOUR_RAMP = "colour_ramp"
"""Attribute of an array of values: its colours from the lowest value to the highest, #rrggbb."""

VARIABLE = "land_use"
LONG_NAME = "land use"
"""Subject of a legend that names none."""

TARGET = "target"
"""Attribute of a product, below `luray`, that names the array of its maps if it is not `VARIABLE`.
"""

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Pattern of the names of classes and variables: CF separates flag meanings by blanks."""

TAKEN_NAMES = frozenset(
    (
        *("confidence", "spread", "origin", "probability", "class_probability", "entropy"),
        *("fraction", "transition", "class", "class_from", "class_to", "cell_area"),
        *("crs", "coarse_crs", "coarse_cell_area", "coarse_lat", "coarse_lon"),
        *("year", "probability_year", "time", "lat", "lon", "scenario", "member", "land"),
    )
)
"""Arrays that a cube or a product has beside its maps, after which no target can be called."""


def variable_of(about: Mapping[str, Any]) -> str:
    """Return the name of the array that holds the maps of a product.

    Parameters
    ----------
    about : mapping
        The product's attribute `luray`.

    Examples
    --------
    >>> variable_of({"target": "land_cover"}), variable_of({})
    ('land_cover', 'land_use')
    """
    return str(about.get(TARGET, VARIABLE))


def capitalised(words: str) -> str:
    """Return words with a capital letter first, the others as they are.

    Examples
    --------
    >>> capitalised("land cover of the EU")
    'Land cover of the EU'
    """
    return words[:1].upper() + words[1:]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour written #rrggbb.

    Examples
    --------
    >>> rgb("#2d6a4f")
    (45, 106, 79)
    """
    red, green, blue = bytes.fromhex(colour.lstrip("#"))
    return red, green, blue


def colour_between(colours: Sequence[str], position: float) -> str:
    """Return the colour at a position between the first (0) and the last (1) of evenly spaced ones.

    Examples
    --------
    >>> colour_between(["#000000", "#ffffff"], 0.5)
    '#808080'
    """
    at = position * (len(colours) - 1)
    before = min(int(at), len(colours) - 2)
    weight = at - before
    low, high = rgb(colours[before]), rgb(colours[before + 1])
    mixed = [int(a * (1 - weight) + b * weight + 0.5) for a, b in zip(low, high, strict=True)]
    return "#" + bytes(mixed).hex()


@dataclass(frozen=True)
class LandClass:
    """One class of a legend: published code, CF name (lower case, underscores), colour #rrggbb."""

    code: int
    name: str
    colour: str


@dataclass(frozen=True)
class Legend:
    """The classes of a product's maps, in model order; index k of the model is `classes[k]`.

    Examples
    --------
    >>> from luray.core.legend_files import HILDA
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
    variable: str = VARIABLE
    """Name of the variable that holds the maps, in the cube and in the product."""
    long_name: str = LONG_NAME
    """Subject of the maps, in words."""
    scale: ValueScale | None = None
    """What the levels stand for, in the legend of a continuous target."""

    @classmethod
    def of_values(cls, name: str, scale: ValueScale, *, variable: str, long_name: str) -> Self:
        """Return the legend of a continuous target: a class for each level of its scale."""
        require_scale(scale, where=f"legend {name}")
        levels = tuple(
            LandClass(
                level, f"level_{level}", colour_between(scale.colours, level / (scale.levels - 1))
            )
            for level in range(scale.levels)
        )
        return cls(
            name,
            levels,
            ocean=NO_VALUE,
            nodata=NO_VALUE,
            variable=variable,
            long_name=long_name,
            scale=scale,
        )

    def __post_init__(self) -> None:
        _check(self)

    @property
    def quality(self) -> Literal["confidence", "spread"]:
        """Name of the array that says how sure the maps are: of classes their averaged probability.

        Of values their standard deviation.
        """
        return "confidence" if self.scale is None else "spread"

    @property
    def title(self) -> str:
        """Subject of the maps, capitalised as in a title: `Land use`."""
        return capitalised(self.long_name)

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

        classes = _looked_up(codes, self._lookup)
        unknown = classes == UNKNOWN_CODE
        if unknown.any():
            values, counts = np.unique(codes[unknown], return_counts=True)
            listed = ", ".join(
                f"code {value} ({count} cells)" for value, count in zip(values, counts, strict=True)
            )
            if self.scale is not None:
                raise ValueError(
                    f"{where}: {listed} not on the scale of legend {self.name}, expected levels "
                    f"from 0 to {len(self) - 1}, or {NO_VALUE} for no value; correct the file"
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

    def decode(self, indices: U8, *, where: str = "map") -> U8:
        """Turn class indices into published codes, same shape.

        `OUTSIDE` becomes the ocean code, `NO_DATA` the no-data code.

        Raises
        ------
        ValueError
            Naming `where`, and the numbers that are no class or level: they are never taken for
            ocean.
        """
        beyond = (indices >= len(self)) & (indices < NO_DATA)
        if beyond.any():
            values, counts = np.unique(indices[beyond], return_counts=True)
            listed = ", ".join(
                f"{value} ({count} cells)" for value, count in zip(values, counts, strict=True)
            )
            noun = "classes" if self.scale is None else "levels"
            raise ValueError(
                f"{where}: {listed} are no {noun} of legend {self.name}, expected 0 to "
                f"{len(self) - 1}, {NO_DATA} or {OUTSIDE}; the maps are damaged, make them again"
            )
        lookup = np.full(256, self.ocean, np.uint8)
        lookup[NO_DATA] = self.nodata
        lookup[: len(self)] = self.codes
        return _looked_up(indices, lookup)

    def to_attributes(self) -> dict[str, Any]:
        """Return the legend as JSON, to be stored beside the maps that have it.

        Land use goes without its name, as it did when there was no other target.
        """
        if self.scale is not None:
            # The classes follow from the scale.
            return {
                "name": self.name,
                "variable": self.variable,
                "long_name": self.long_name,
                "scale": {**asdict(self.scale), "colours": list(self.scale.colours)},
            }
        attributes = asdict(self)
        del attributes["scale"]
        attributes["aliases"] = [list(pair) for pair in sorted(self.aliases.items())]
        for name, usual in (("variable", VARIABLE), ("long_name", LONG_NAME)):
            if attributes[name] == usual:
                del attributes[name]
        return attributes

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Self:
        """Return the legend of which `to_attributes` gave the attributes."""
        if "scale" in attributes:
            scale = attributes["scale"]
            return cls.of_values(
                attributes["name"],
                ValueScale(**{**scale, "colours": tuple(scale["colours"])}),
                variable=attributes["variable"],
                long_name=attributes["long_name"],
            )
        classes = tuple(LandClass(**land_class) for land_class in attributes["classes"])
        aliases = dict(attributes["aliases"])
        return cls(**{**attributes, "classes": classes, "aliases": aliases})

    def cf_attributes(self) -> dict[str, Any]:
        """Return CF's description of the codes.

        Of classes `flag_values`, `flag_meanings` and `flag_colors`, the ocean first, no data last;
        of values their packing, unit and range, in packed numbers as CF wants it.
        """
        if self.scale is not None:
            name = {"standard_name": self.scale.standard_name} if self.scale.standard_name else {}
            return {
                **name,
                "units": self.scale.units,
                "scale_factor": self.scale.step,
                "add_offset": self.scale.first,
                "valid_range": [0, self.scale.levels - 1],
                "_FillValue": NO_VALUE,
            }
        codes = [int(code) for code in self.codes]
        names = [land_class.name for land_class in self.classes]
        colours = [land_class.colour for land_class in self.classes]
        return {
            "flag_values": [self.ocean, *codes, self.nodata],
            "flag_meanings": " ".join([OCEAN_FLAG, *names, NO_DATA_FLAG]),
            "flag_colors": " ".join([OCEAN_COLOUR, *colours, "#eeeeee"]),
        }


def _looked_up(values: U8, lookup: U8) -> U8:
    """Return the entry of a table of 256 for every value, same shape.

    `lookup[values]` gives the same in four times the time: it makes an index of 8 bytes of each.
    """
    found = bytearray(np.ascontiguousarray(values)).translate(lookup.tobytes())
    return np.frombuffer(found, np.uint8).reshape(values.shape)


def _check(legend: Legend) -> None:
    """Raise ValueError for a legend that no map could have."""
    where = f"legend {legend.name}"
    if len(legend) > MOST_CLASSES and legend.scale is None:
        raise ValueError(
            f"{where} has {len(legend)} classes, expected at most {MOST_CLASSES}; merge some"
        )

    codes = [land_class.code for land_class in legend.classes]
    not_land = {legend.ocean, legend.nodata} if legend.scale else (legend.ocean, legend.nodata)
    all_codes = [*codes, *legend.aliases, *not_land]
    beyond = [code for code in all_codes if not 0 <= code <= 255]
    if beyond:
        raise ValueError(f"{where} has the codes {beyond}, expected 0 to 255: maps hold bytes")
    twice = sorted({code for code in all_codes if all_codes.count(code) > 1})
    if twice:
        raise ValueError(
            f"{where} has the codes {twice} twice, expected each once among classes, aliases, "
            "ocean and nodata; correct one of them"
        )
    # Sub-codes and water stand for a class: it has to be among the classes.
    targets = set(legend.aliases.values())
    if legend.water is not None:
        targets.add(legend.water)
    lost = sorted(code for code in targets if code not in codes)
    if lost:
        raise ValueError(
            f"{where}: aliases and water lead to {lost}, which are no class, expected some of "
            f"{codes}"
        )

    names = [land_class.name for land_class in legend.classes]
    wrong = [name for name in names if not NAME.fullmatch(name) or name in NOT_LAND]
    wrong += sorted({name for name in names if names.count(name) > 1})
    if wrong:
        raise ValueError(
            f"{where} has the class names {wrong}, expected lower case, digits and underscores, "
            f"each once, and neither of {' and '.join(NOT_LAND)}"
        )
    if not NAME.fullmatch(legend.variable) or legend.variable in TAKEN_NAMES:
        raise ValueError(
            f"{where}: variable {legend.variable!r} cannot name the maps, expected lower case, "
            "digits and underscores, and no other array of a product"
        )
    for land_class in legend.classes:
        if not re.fullmatch("#[0-9a-fA-F]{6}", land_class.colour):
            raise ValueError(
                f"{where}: class {land_class.code} has the colour {land_class.colour!r}, expected "
                "#rrggbb such as #2d6a4f"
            )
