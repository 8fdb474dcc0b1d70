"""Codes, names and colours of a product's maps, from their CF attributes.

Maps of values have a level for each code, in the colours of their scale.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from luray.core.legend import (
    NO_DATA_FLAG,
    NO_VALUE,
    NO_VALUE_COLOUR,
    NOT_LAND,
    OCEAN_FLAG,
    rgb,
    variable_of,
)
from luray.core.types import U8
from luray.core.value_scale import ValueScale
from luray.product.product_maps import legend_of_flags

UNKNOWN = "#8d99a6"
"""Colour of a code that the product's flags do not name."""

FLAGS = ("flag_values", "flag_meanings", "flag_colors")


@dataclass(frozen=True)
class Palette:
    """Codes, names and colours (#rrggbb) of the flags of the maps, in the order of the legend."""

    variable: str
    """Name of the maps in the product."""
    long_name: str
    """Subject of the maps, such as land use."""
    codes: tuple[int, ...]
    names: tuple[str, ...]
    colours: tuple[str, ...]
    scale: ValueScale | None = None
    """What the levels stand for, in maps of values; their codes are the levels."""

    @classmethod
    def of(cls, product: xr.Dataset) -> "Palette":
        """Read the palette of a product.

        Raises
        ------
        ValueError
            If the CF attributes are missing, or their lengths differ.
        """
        variable = variable_of(product.attrs.get("luray", {}))
        attributes = product[variable].attrs if variable in product else {}
        # xarray keeps the packing of what it has decoded apart.
        packing = product[variable].encoding if variable in product else {}
        if "flag_values" not in attributes and "scale_factor" in {**packing, **attributes}:
            return cls._of_values({**packing, **attributes}, variable)
        missing = [name for name in FLAGS if name not in attributes]
        if missing:
            raise ValueError(
                f"the dataset has no {variable} with {', '.join(missing)}, expected a luray "
                "product; open one with luray.open_product"
            )
        codes = tuple(int(code) for code in np.atleast_1d(attributes["flag_values"]))
        names = tuple(attributes["flag_meanings"].split())
        colours = tuple(attributes["flag_colors"].split())
        if not len(codes) == len(names) == len(colours):
            raise ValueError(
                f"{variable} has {len(codes)} flag_values, {len(names)} flag_meanings and "
                f"{len(colours)} flag_colors, expected as many of each; publish the product again"
            )
        long_name = str(attributes.get("long_name", variable.replace("_", " ")))
        return cls(variable, long_name, codes, names, colours)

    @classmethod
    def _of_values(cls, packing: Mapping[str, Any], variable: str) -> "Palette":
        """Return the palette of maps of values."""
        legend = legend_of_flags(packing, variable=variable)
        levels = legend.classes
        return cls(
            variable,
            legend.long_name,
            (*(level.code for level in levels), NO_VALUE),
            (*(level.name for level in levels), NO_DATA_FLAG),
            (*(level.colour for level in levels), NO_VALUE_COLOUR),
            legend.scale,
        )

    @cached_property
    def land(self) -> tuple[int, ...]:
        """Positions of the K classes of land."""
        return tuple(k for k, name in enumerate(self.names) if name not in NOT_LAND)

    @cached_property
    def land_codes(self) -> tuple[int, ...]:
        """Codes of the K classes of land."""
        return tuple(self.codes[k] for k in self.land)

    @property
    def ocean(self) -> str:
        """Colour of the ocean, or of cells without a value."""
        if self.scale is not None:
            return NO_VALUE_COLOUR
        return self.colours[self.names.index(OCEAN_FLAG)] if OCEAN_FLAG in self.names else UNKNOWN

    @cached_property
    def rgb(self) -> U8:
        """Colour of every code, shape (256, 3)."""
        table = np.tile(np.array(rgb(UNKNOWN), np.uint8), (256, 1))
        for code, colour in zip(self.codes, self.colours, strict=True):
            table[code] = rgb(colour)
        return table

    def label(self, k: int) -> str:
        """Return the name of a flag as a reader expects it, without underscores."""
        return self.names[k].replace("_", " ")
