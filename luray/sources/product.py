"""A run's product as a forcing of another run: the class of each cell, year by year.

Land cover follows land use, so a run that predicts land cover takes the maps of one that predicted
land use, of the year and scenario, on their own grid::

    [[sources]]
    kind = "product"
    name = "land_use_run"
    path = "build/land-use/product.zarr"
    legend = "hilda"

Shapes: H W box.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from luray.core.legend import Legend, variable_of
from luray.core.legend_files import read_legend
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    FilesConfig,
    Request,
    Source,
    held_years,
    recode,
    state_variable,
)
from luray.sources.layout import layout_of_axes
from luray.sources.years import format_years
from luray.storage.errors import InputError
from luray.storage.objects import accessing, filesystem, read_object
from luray.storage.places import public

FORECAST = "forecast"
"""Word of `origin` for years that depend on the scenario."""

ABOUT = About(
    title="Product of another run of luray",
    doi="",
    licence="as its sources",
    url="",
    files=("product.zarr",),
    values="codes of the legend that the run file names; finished, with every year of the run",
)


class ProductConfig(FilesConfig):
    """Where the product is, and which legend its maps must have."""

    about: ClassVar[About] = ABOUT
    by_scenario: ClassVar[bool] = True
    reads_other_years: ClassVar[bool] = True

    kind: Literal["product"]
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Group of the cube: a run may have several products."""
    legend: str = "hilda"
    """Legend of its maps, as in `target.legend`."""
    member: int | None = Field(None, ge=0)
    """Member of an ensemble; needed where the product has several."""

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a collection, and for a legend of values or that is not there."""
        if not self.path:
            raise ValueError(f"source {self.name}: a product needs a `path`, that of its store")
        if "${" not in self.legend and read_legend(self.legend).scale is not None:
            raise ValueError(
                f"source {self.name}: the legend {self.legend!r} is one of values, expected one of "
                "classes, which a product as a forcing has; set `legend` to that of the product"
            )

    @property
    def label(self) -> str:
        """The name: a run may have several sources of this kind."""
        return self.name

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The class of each cell."""
        return (_variable(read_legend(self.legend)),)

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year and scenario: which years do not depend on it, the product knows."""
        return year, scenario

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_product_maps`."""
        return open_product_maps(self, run_years=request.run_years, scenario=request.scenario)


@dataclass(frozen=True, kw_only=True)
class ProductMaps(Described):
    """Codes of the classes of a product's maps."""

    url: str
    maps_legend: Legend
    index: Mapping[int, tuple[int, ...]]
    """Place of each year's map along the dimensions before the cells."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the codes of one year, shape (1, H, W), uint8; see `Source.read`.

        Ocean and no data are codes, too, and none of the variable's categories.
        """
        assert year is not None
        legend = self.maps_legend
        cells = box.slices(origin=Box(0, 0, 0, 0))
        with accessing(self.url):
            codes_HW = np.asarray(self._maps[(*self.index[year], *cells)])
        # The codes are luray's own: the table is there to refuse any other.
        class_codes = [int(code) for code in legend.codes]
        expected_codes = [legend.ocean, *class_codes, legend.nodata]
        codes_HW = recode(
            codes_HW,
            {code: code for code in expected_codes},
            where=f"{public(self.url)} {year}",
            legend=legend.name,
            missing=legend.nodata,
        )
        return codes_HW[None]

    @cached_property
    def _maps(self) -> Any:
        from luray.storage.zarr_inputs import open_group

        return open_group(self.url)[self.maps_legend.variable]

    def __getstate__(self) -> dict[str, Any]:
        # An open array stays behind: each process has its own.
        return {name: value for name, value in self.__dict__.items() if name != "_maps"}


def _variable(legend: Legend) -> Variable:
    return replace(state_variable(legend), role="forcing")


def open_product_maps(config: ProductConfig, *, run_years: range, scenario: str) -> Source:
    """Open the maps of a finished product for a run.

    Parameters
    ----------
    config : ProductConfig
        Where the product is.
    run_years : range
        Years of the run, all of which the product must have.
    scenario : str
        Of the run. It matters where the run has years that the product forecasts.

    Raises
    ------
    InputError
        For a store that is no product, one that is not finished, has another legend, lacks years,
        the scenario or the member, or has lost maps.
    """
    url = config.path
    where = public(url)
    root = _finished_root(url)
    about: Mapping[str, Any] = root["attributes"]["luray"]
    legend = read_legend(config.legend)
    arrays = root["consolidated_metadata"]["metadata"]
    _require_legend(arrays, about, legend, where=where)

    from luray.storage.zarr_inputs import open_group

    with accessing(url):
        group: Any = open_group(url)
        axes = {name: np.asarray(group[name][:]) for name in ("lat", "lon", "year", "origin")}
        names: list[str] = []
        if "scenario" in arrays:
            names = [str(name) for name in group["scenario"][:]]
    years = [int(year) for year in axes["year"]]
    lacking = sorted(set(run_years) - set(years))
    if lacking:
        raise InputError(
            f"{where}: has the years {format_years(years)}, the run needs "
            f"{format_years(lacking)}, too; infer them there, or shorten the years of this run"
        )

    # Only the years that the product forecasts depend on its scenario.
    origin_words = arrays["origin"]["attributes"]["flag_meanings"].split()
    forecast = set()
    for year, origin in zip(years, axes["origin"], strict=True):
        if origin_words[int(origin)] == FORECAST:
            forecast.add(year)
    lead = _lead(config, arrays[legend.variable], about, names, scenario, forecast & set(run_years))
    index = {year: (*lead, years.index(year)) for year in run_years}
    _require_shards(url, legend.variable, index, tiles=int(about["tiles"]))

    # Years that no scenario decides are the same in all, and are stored once.
    places = {year: (scenario if year in forecast else "", year) for year in run_years}
    layout = layout_of_axes(axes["lat"].astype(float), axes["lon"].astype(float), where=where)
    title = str(root["attributes"].get("title", ABOUT.title))
    return ProductMaps(
        name=config.label,
        about=About(title, "", ABOUT.licence, "", ABOUT.files, ABOUT.values),
        grid=layout.grid,
        variables=(_variable(legend),),
        years=tuple(run_years),
        rules=(
            f"maps of {legend.long_name} of product {str(about['fingerprint'])[:12]}, codes of "
            f"{legend.name}",
        ),
        caveat=_caveat(root["attributes"].get("caveats", ()), title),
        files=(url,),
        held=held_years(places),
        places=places,
        url=url,
        maps_legend=legend,
        index=index,
    )


def _finished_root(url: str) -> dict[str, Any]:
    """Return the root metadata of a finished product. Raises InputError for anything else."""
    where = public(url)
    text = read_object(f"{url.rstrip('/')}/zarr.json")
    if text is None:
        raise InputError(
            f"{where}: found no Zarr store, expected the finished product of another run; run "
            "`luray run` with its run file first"
        )
    try:
        root: dict[str, Any] = json.loads(text)
        about = root["attributes"]["luray"]
        finished = about["finished"] is True and root.get("consolidated_metadata") is not None
        _ = about["tiles"], about["fingerprint"]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{where}: is no product of luray, expected one; set `path` to the product.zarr of "
            "another run"
        ) from None
    if not finished:
        raise InputError(
            f"{where}: the product is not finished, expected a finished one; run `luray infer` "
            "with its run file, which resumes it"
        )
    return root


def _require_legend(
    arrays: Mapping[str, Any], about: Mapping[str, Any], legend: Legend, *, where: str
) -> None:
    """Raise InputError unless the maps have the legend that the run file names."""
    variable = variable_of(about)
    attributes = arrays.get(variable, {}).get("attributes", {})
    expected = legend.cf_attributes()
    for flag in ("flag_values", "flag_meanings"):
        if variable != legend.variable or attributes.get(flag) != expected[flag]:
            raise InputError(
                f"{where}: has maps {variable} with {flag} {attributes.get(flag)}, expected "
                f"{legend.variable} with {expected[flag]}, the legend {legend.name}; set `legend` "
                "to that of the product"
            )


def _lead(
    config: ProductConfig,
    array: Mapping[str, Any],
    about: Mapping[str, Any],
    names: Sequence[str],
    scenario: str,
    forecast: set[int],
) -> tuple[int, ...]:
    """Return the place of the run's maps along scenario and member.

    `names` are those of dimension `scenario`; `forecast` are years of the run that depend on it.
    """
    where = public(config.path)
    dimensions = array["dimension_names"]
    lead = []
    scenarios = list(names) if names else [str(about.get("scenario", ""))]
    if forecast and scenario not in scenarios:
        raise InputError(
            f"{where}: has the scenario {', '.join(scenarios)}, the run needs {scenario} for "
            f"{format_years(forecast)}; infer that scenario there, or correct this run's"
        )
    if names:
        lead.append(names.index(scenario) if scenario in names else 0)

    if "member" in dimensions:
        members = array["shape"][dimensions.index("member")]
        member = config.member
        if member is None and members == 1:
            member = 0
        if member is None or member >= members:
            raise InputError(
                f"{where}: has the members 0 to {members - 1}, the run file names "
                f"{config.member}; set `member` of this source to one of them"
            )
        lead.append(member)
    elif config.member is not None:
        raise InputError(f"{where}: has no members; leave out `member` of this source")
    return tuple(lead)


def _require_shards(
    url: str, variable: str, index: Mapping[int, tuple[int, ...]], *, tiles: int
) -> None:
    """Raise InputError for years of which maps are lost: they would be read as ocean."""
    fs, path = filesystem(url)
    for year, place in index.items():
        folder = "/".join([path.rstrip("/"), variable, "c", *map(str, place)])
        with accessing(url):
            n_shards = len(fs.find(folder))
        if n_shards != tiles:
            raise InputError(
                f"{public(url)}: {variable} of {year} has {n_shards} of {tiles} tiles, the others "
                "are lost; run `luray verify --repair` with the run file of that product"
            )


def _caveat(caveats: Sequence[str], title: str) -> str:
    """Return what the product's readers have to know, in a sentence; empty where it is nothing."""
    return f"{title}: {'; '.join(map(str, caveats))}" if caveats else ""
