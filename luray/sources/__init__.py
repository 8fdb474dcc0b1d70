"""Input data as their publishers ship them; a new source is one more file here and one line in
`SourceConfig`.
"""

from dataclasses import replace
from typing import Annotated, Any, cast, get_args

from pydantic import Field

from luray.core.grid import Grid
from luray.sources.aggregated import AggregatedConfig
from luray.sources.base import About, Request, Source
from luray.sources.categorical import CategoricalConfig
from luray.sources.gebco import GebcoConfig
from luray.sources.hilda import HildaConfig
from luray.sources.isimip import IsimipConfig
from luray.sources.koppen import KoppenConfig
from luray.sources.luh2 import Luh2Config
from luray.sources.pnnl import PnnlSoilConfig, PnnlTopoConfig
from luray.storage.errors import InputError

SourceConfig = Annotated[
    Luh2Config
    | HildaConfig
    | IsimipConfig
    | KoppenConfig
    | GebcoConfig
    | PnnlTopoConfig
    | PnnlSoilConfig
    | CategoricalConfig
    | AggregatedConfig,
    Field(discriminator="kind"),
]
"""Configuration of one source, told apart by `kind`; each has `about` and `open`."""

__all__ = [
    "About",
    "InputError",
    "Request",
    "Source",
    "SourceConfig",
    "about_of",
    "kinds",
    "open_source",
]


def kinds() -> dict[str, About]:
    """Every kind of source that a run file may name, with its description."""
    members = get_args(get_args(SourceConfig)[0])
    return {get_args(member.model_fields["kind"].annotation)[0]: member.about for member in members}


def about_of(config: SourceConfig) -> About:
    """Where the data of a source come from: its publisher's, or what the run file says."""
    return config.described if config.kind == "categorical" else config.about


def open_source(
    config: SourceConfig,
    *,
    run_years: range,
    scenario: str,
    state: Source | None = None,
    grid: Grid | None = None,
) -> Source:
    """The source of a config for a run, checked but not read: all files, years and variables are
    there.

    `state` and `grid` (the run grid) are what a derived source is made of. Raises InputError naming
    what is lacking.
    """
    source: Any = config.open(Request(run_years, scenario, state, grid))
    if config.kind == "aggregated":
        return cast(Source, source)
    limits = {"min_coverage": config.min_coverage, "max_missing": config.max_missing}
    return cast(Source, replace(source, **limits))
