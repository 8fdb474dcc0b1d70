"""Codes, names and colours of a product's maps, from their CF attributes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from luray.core.legend import NOT_LAND, OCEAN_FLAG, rgb, variable_of
from luray.core.types import U8

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
        """Colour of the ocean."""
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
