"""Input data as their publishers ship them: one file a data set, and what all of them share.

How to add a source:

1. Write `luray/sources/<data set>.py` with a configuration, a subclass of `FilesConfig`, and a
   source, a subclass of `Described`: `gebco.py` is a static example, `isimip.py` a yearly one.
2. The configuration says `kind: Literal["<data set>"]`, `about` (title, DOI, licence, expected
   files), `declared` (its variables) and, where it differs, `native_step`, `place_of` and the other
   answers of `SourceConfig`. `open(request)` checks that files, years, units and grid are there.
3. The source is what `open` returns: it holds paths, no open files, and `read(year, box)` returns
   one year of one box on the native grid. Refuse values that cannot be right with `refuse_cells`.
4. Add the configuration to the tuple below. Nothing else in luray names a source: checks, the
   predictor cube, planning and the model's channels follow from the variables.
5. Describe its files in `catalogs/<data set>/collection.json`, and write
   `tests/sources/test_<data set>.py` with files made by `tests/sources/writers.py`.
   `tests/sources/test_seventh_source.py` has a whole source in thirty lines.
"""

from dataclasses import replace
from typing import Annotated, Any, cast

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.time_steps import YEARLY, TimeSteps
from luray.sources import base
from luray.sources.aggregated import AggregatedConfig
from luray.sources.base import About, Request, Source
from luray.sources.c3s_lai import C3sLaiConfig
from luray.sources.categorical import CategoricalConfig
from luray.sources.cci_lc import CciLcConfig
from luray.sources.climate import ClimateConfig
from luray.sources.climatology import ClimatologyConfig
from luray.sources.gebco import GebcoConfig
from luray.sources.glass import GlassConfig
from luray.sources.hilda import HildaConfig
from luray.sources.isimip import IsimipConfig
from luray.sources.koppen import KoppenConfig
from luray.sources.luh2 import Luh2Config
from luray.sources.mod15 import Mod15Config
from luray.sources.pnnl import PnnlSoilConfig, PnnlTopoConfig
from luray.sources.product import ProductConfig
from luray.sources.registry import OfRegisteredKind, kinds, register
from luray.sources.season import SeasonConfig
from luray.sources.values import ValuesConfig
from luray.storage.errors import InputError

SourceConfig = Annotated[base.SourceConfig, OfRegisteredKind()]
"""A `[[sources]]` table of a run file: the class that is registered for its `kind` checks it."""

for _config_class in (
    Luh2Config,
    HildaConfig,
    IsimipConfig,
    KoppenConfig,
    GebcoConfig,
    PnnlTopoConfig,
    PnnlSoilConfig,
    CategoricalConfig,
    AggregatedConfig,
    CciLcConfig,
    ProductConfig,
    ClimateConfig,
    ClimatologyConfig,
    SeasonConfig,
    ValuesConfig,
    C3sLaiConfig,
    Mod15Config,
    GlassConfig,
):
    register(_config_class)

__all__ = [
    "About",
    "InputError",
    "Request",
    "Source",
    "SourceConfig",
    "kinds",
    "open_source",
    "register",
]


def open_source(
    config: base.SourceConfig,
    *,
    run_years: range,
    scenario: str,
    state: Source | None = None,
    grid: Grid | None = None,
    legend: Legend = HILDA,
    time: TimeSteps = YEARLY,
) -> Source:
    """Open a source for a run: its files, years and variables are checked, no values are read.

    Parameters
    ----------
    config : SourceConfig
        The source as the run file has it.
    run_years : range
        Years of the run.
    scenario : str
        Scenario of the run, as the names of the files have it.
    state : Source, optional
        The open state source, of which a derived source is made.
    grid : Grid, optional
        The run grid, likewise.
    legend : Legend
        That of the run's target.
    time : TimeSteps
        Time steps of the run's target.

    Raises
    ------
    InputError
        Naming the file, year or variable that is lacking or wrong.
    """
    source: Any = config.open(Request(run_years, scenario, state, grid, legend, time))
    limited = replace(source, min_coverage=config.min_coverage, max_missing=config.max_missing)
    return cast(Source, limited)
