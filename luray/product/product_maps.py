"""The maps of a finished product, as those read them who do not write it.

Shapes: H W cells of a box.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend import (
    COLOUR_RAMP,
    LONG_NAME,
    NO_DATA_FLAG,
    NO_VALUE,
    NOT_LAND,
    OCEAN_FLAG,
    VARIABLE,
    LandClass,
    Legend,
)
from luray.core.legend_files import own_legends, own_scales
from luray.core.tiling import Box
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import U8
from luray.core.value_scale import ValueScale
from luray.storage.lost_shards import require_shards
from luray.storage.objects import accessing

UNNAMED = "the product's own"
"""Name of a legend that is none of luray's own."""


@dataclass(frozen=True)
class ProductMaps:
    """A finished product, its years, and the places of its scenarios and members."""

    url: str
    grid: Grid
    years: tuple[int, ...]
    legend: Legend
    fingerprint: str
    n_tiles: int
    """Tiles with land."""
    title: str
    scenarios: tuple[str, ...] = ()
    """Names along dimension `scenario`, empty where the product lacks it."""
    members: int = 0
    """Length of dimension `member`, 0 where the product lacks it."""
    caveats: tuple[str, ...] = ()
    scenario: str = ""
    """Name of its only scenario, where it says it."""
    time: TimeSteps = YEARLY
    """Time steps of the maps: where a year has several, each of `years` is one of them."""

    def series(self, *, scenario: str | None = None, member: int | None = None) -> "MapSeries":
        """Return one of the product's sequences of maps.

        Parameters
        ----------
        scenario : str, optional
            One of `scenarios`; needed where there are several.
        member : int, optional
            Needed where there are several.

        Raises
        ------
        ValueError
            For a scenario or member that the product lacks, or that it has to be told.
        """
        index: list[int] = []
        name = self.scenario
        if self.scenarios:
            if scenario is None and len(self.scenarios) > 1:
                raise ValueError(
                    f"the product has the scenarios {', '.join(self.scenarios)}; name one with "
                    "--scenario"
                )
            name = scenario or self.scenarios[0]
            if name not in self.scenarios:
                raise ValueError(
                    f"the product has no scenario {name!r}, expected one of "
                    f"{', '.join(self.scenarios)}; correct --scenario"
                )
            index.append(self.scenarios.index(name))
        elif scenario is not None and scenario != self.scenario:
            raise ValueError(
                f"the product is of the one scenario {self.scenario!r}, not {scenario!r}; leave "
                "out --scenario"
            )

        if self.members:
            if member is None and self.members > 1:
                raise ValueError(
                    f"the product has the members 0 to {self.members - 1}; name one with --member"
                )
            member = member or 0
            if not 0 <= member < self.members:
                raise ValueError(
                    f"the product has no member {member}, expected 0 to {self.members - 1}; "
                    "correct --member"
                )
            index.append(member)
        elif member is not None:
            raise ValueError("the product has no members; leave out --member")
        return MapSeries(self, tuple(index), name, member)


@dataclass(frozen=True)
class MapSeries:
    """The maps of one scenario and member, year by year."""

    product: ProductMaps
    index: tuple[int, ...]
    """Position along the dimensions before the year."""
    scenario: str
    member: int | None

    def require_whole(self, years: Iterable[int]) -> None:
        """Raise InputError where a shard of the maps of some years is lost.

        It would be read as ocean. Of values it is read as missing, as where nothing was observed.
        """
        product = self.product
        if product.legend.scale is not None:
            return
        maps = (
            (product.time.label(year), (*self.index, product.years.index(year))) for year in years
        )
        require_shards(product.url, product.legend.variable, maps, n_tiles=product.n_tiles)

    def codes(self, year: int, box: Box) -> U8:
        """Return published codes in a box of the product's grid, shape (H, W).

        The box may reach past the southern and eastern edge, where the legend's no data stands.
        """
        product = self.product
        codes_HW = np.full(box.shape, product.legend.nodata, np.uint8)
        inside = box.clip(product.grid.shape)
        if inside is not None:
            rows, cols = inside.slices(origin=Box(0, 0, 0, 0))
            position = (*self.index, product.years.index(year), rows, cols)
            with accessing(product.url):
                codes_HW[inside.slices(origin=box)] = self._maps[position]
        return codes_HW

    def classes(self, year: int, box: Box) -> U8:
        """Return class indices in a box, `OUTSIDE` off land and beyond the grid, shape (H, W)."""
        where = f"the map of {self.product.time.label(year)}"
        return self.product.legend.encode(self.codes(year, box), where=where)

    def spread(self, year: int, box: Box) -> U8:
        """Return the spread of values in a box, in steps of their scale, shape (H, W).

        `NO_VALUE` where there is none.
        """
        product = self.product
        assert product.legend.scale is not None, "classes have no spread"
        spread_HW = np.full(box.shape, NO_VALUE, np.uint8)
        inside = box.clip(product.grid.shape)
        if inside is not None:
            rows, cols = inside.slices(origin=Box(0, 0, 0, 0))
            position = (*self.index, product.years.index(year), rows, cols)
            with accessing(product.url):
                spread_HW[inside.slices(origin=box)] = self._root[product.legend.quality][position]
        return spread_HW

    def origin(self, year: int) -> int:
        """Return where the map of a year comes from, an index into `create.ORIGINS`."""
        with accessing(self.product.url):
            return int(self._root["origin"][self.product.years.index(year)])

    @cached_property
    def _root(self) -> Any:
        with accessing(self.product.url):
            return zarr.open_group(self.product.url, mode="r", zarr_format=3, use_consolidated=True)

    @cached_property
    def _maps(self) -> Any:
        with accessing(self.product.url):
            return self._root[self.product.legend.variable]


def legend_of_flags(flags: Mapping[str, Any], *, variable: str = VARIABLE) -> Legend:
    """Return the legend that the CF attributes of the maps describe.

    It is one of luray's own where these classes are its classes, with the same codes and names, or
    this is its scale.
    """
    if "flag_values" not in flags and "scale_factor" in flags:
        return _legend_of_packing(flags, variable=variable)
    names: Sequence[str] = flags["flag_meanings"].split()
    colours: Sequence[str] = flags["flag_colors"].split()
    code_of = dict(zip(names, flags["flag_values"], strict=True))

    land_classes = []
    for name, colour in zip(names, colours, strict=True):
        if name not in NOT_LAND:
            land_classes.append(LandClass(int(code_of[name]), name, colour))
    classes = tuple(land_classes)

    for legend in own_legends():
        same_classes = _codes_and_names(legend.classes) == _codes_and_names(classes)
        if legend.variable == variable and same_classes:
            return legend

    # Some readers need a code for missing data: one that no class has.
    used_codes = {int(code) for code in flags["flag_values"]}
    free_codes = set(range(256)) - used_codes - {254, 255}
    nodata = code_of.get(NO_DATA_FLAG, max(free_codes))
    return Legend(
        name=UNNAMED,
        classes=classes,
        ocean=int(code_of[OCEAN_FLAG]),
        nodata=int(nodata),
        water=code_of.get("water"),
        variable=variable,
        long_name=str(flags.get("long_name", LONG_NAME)),
    )


def _legend_of_packing(packing: Mapping[str, Any], *, variable: str) -> Legend:
    """Return the legend of values that the CF attributes of the maps describe."""
    first_level, last_level = packing["valid_range"]
    scale = ValueScale(
        units=str(packing["units"]),
        first=float(packing["add_offset"]),
        step=float(packing["scale_factor"]),
        levels=int(last_level) - int(first_level) + 1,
        standard_name=str(packing.get("standard_name", "")),
    )
    colours = str(packing.get(COLOUR_RAMP, "")).split()
    if colours:
        scale = replace(scale, colours=tuple(colours))
    for legend in own_scales():
        assert legend.scale is not None
        # How a model sees the values is not said of the maps.
        if legend.variable == variable and replace(legend.scale, transform="linear") == scale:
            return legend
    long_name = str(packing.get("long_name", LONG_NAME))
    return Legend.of_values(UNNAMED, scale, variable=variable, long_name=long_name)


def _codes_and_names(classes: Sequence[LandClass]) -> list[tuple[int, str]]:
    return [(land_class.code, land_class.name) for land_class in classes]
