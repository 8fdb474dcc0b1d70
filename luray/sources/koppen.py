"""Koeppen-Geiger climate zones (Beck et al. 2018, 2023): a map a period, and a scenario to come.

2023 has four periods from 1901 to 2020 and two from 2041 to 2099; 2018 has 1980-2016 and, of
RCP8.5, 2071-2100. Both number the zones alike.

The model sees the main group, A to E as 1 to 5: 30 zones would be 30 channels, many of them empty
in training.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import Field

from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import About, Described, FilesConfig, Request, Source, held_years, recode
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_raster, turned
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.mosaic import require_one_band
from luray.sources.raster import RasterFile, inspect_raster
from luray.sources.years import hold_rules, span
from luray.storage.errors import InputError

Period = tuple[int, int]
"""First and last year of a map."""

PERIODS = ((1901, 1930), (1931, 1960), (1961, 1990), (1991, 2020), (2041, 2070), (2071, 2099))
"""First and last year of each map of 2023."""

FIRST_FUTURE = 2041
"""From here on there is a map a scenario."""

GROUPS: dict[int, int] = {
    0: 0,
    **{
        zone: group
        for group, zones in enumerate(
            (range(1, 4), range(4, 8), range(8, 17), range(17, 29), range(29, 31)), start=1
        )
        for zone in zones
    },
}
"""Main group of each zone: A tropical 1, B arid 2, C temperate 3, D cold 4, E polar 5; 0 none."""

PATTERN = r"(\d{4})[-_](\d{4})/(?:(ssp\d+)/)?koppen_geiger_(\d+p\d+)\.tif"
"""Names of 2023: first and last year, scenario (none in the past), cell size."""

PATTERN_2018 = r"Beck_KG_V1_(present|future)_(\d+p\d+)\.tif"
"""Names of 2018: which of the two maps, cell size. The maps of confidence are not read."""

PERIODS_2018 = {"present": (1980, 2016), "future": (2071, 2100)}

Maps = dict[tuple[int, int, str], dict[str, str]]
"""Files by first year, last year and scenario (empty in the past), then by cell size."""


ABOUT = About(
    title="Koeppen-Geiger climate classification maps, 1901-2099",
    doi="10.6084/m9.figshare.21789074",
    licence="CC-BY-4.0",
    url="https://www.gloh2o.org/koppen/ (Beck et al. 2023: "
    "https://doi.org/10.1038/s41597-023-02549-6)",
    files=(
        "{period}/koppen_geiger_0p01.tif for 1901_1930 1931_1960 1961_1990 1991_2020",
        "{period}/{ssp}/koppen_geiger_0p01.tif for 2041_2070 2071_2099",
        "Beck et al. 2018: Beck_KG_V1_present_0p0083.tif (1980-2016), "
        "Beck_KG_V1_future_0p0083.tif (2071-2100)",
    ),
    values="zones 1-30, 0 no data, one map a period; years between the periods hold the map "
    "before them",
)

ABOUT_2018 = replace(
    ABOUT,
    title="Koeppen-Geiger climate classification maps, 1980-2016 and 2071-2100",
    doi="10.6084/m9.figshare.6396959",
    url="https://www.gloh2o.org/koppen/ (Beck et al. 2018: https://doi.org/10.1038/sdata.2018.214)",
)


@dataclass(frozen=True)
class Edition:
    """A release of the maps."""

    name: str
    about: About
    file: str
    pattern: str
    periods: tuple[Period, ...]
    future: frozenset[Period]
    """Periods of which there is a map a scenario."""
    held: frozenset[int]
    """Years without a map that hold one unless a run says otherwise."""

    def read_name(self, match: re.Match[str]) -> tuple[Period, str, str]:
        """Period, scenario and cell size in the name of a file."""
        if self.pattern == PATTERN:
            return (int(match[1]), int(match[2])), match[3] or "", match[4]
        scenario = "rcp85" if match[1] == "future" else ""
        return PERIODS_2018[match[1]], scenario, match[2]

    def scenario_of(self, scenario: str) -> str:
        """The scenario whose maps serve a run's: of 2018 there is RCP8.5 alone, for SSP5-8.5."""
        if self.pattern == PATTERN_2018 and scenario == "ssp585":
            return "rcp85"
        return scenario


EDITIONS = (
    Edition(
        "Beck et al. 2023",
        ABOUT,
        "koppen_geiger_0p01.tif",
        PATTERN,
        PERIODS,
        frozenset(period for period in PERIODS if period[0] >= FIRST_FUTURE),
        frozenset({*range(1850, 1901), *range(2021, 2041), 2100}),
    ),
    Edition(
        "Beck et al. 2018",
        ABOUT_2018,
        "Beck_KG_V1_present_0p0083.tif, Beck_KG_V1_future_0p0083.tif",
        PATTERN_2018,
        tuple(PERIODS_2018.values()),
        frozenset({PERIODS_2018["future"]}),
        frozenset(),
    ),
)

CLIMATE = Variable(
    name="climate_group",
    role="forcing",
    units="1",
    long_name="Koeppen-Geiger main group (1 A .. 5 E)",
    dtype="uint8",
    categories=(1, 2, 3, 4, 5),
)


class KoppenConfig(FilesConfig):
    """Where the maps are, whose future is read, and which years hold a map of other years.

    Of several cell sizes the finest is taken. `scenario` overrides the run's. `max_held_years` is
    how many years of the run, which no map is of, may hold the map before them, or else the first.
    Unset, these are the years that the maps of 2023 leave out, 1850-1900, 2021-2040 and 2100; of
    2018 none.
    """

    about: ClassVar[About] = ABOUT
    holds: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    kind: Literal["koppen"]
    scenario: str = ""
    max_held_years: int | None = Field(default=None, ge=0)

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The main group."""
        return (CLIMATE,)

    def open(self, request: Request) -> Source:
        """The source for a run; see `open_koppen`."""
        return open_koppen(self, run_years=request.run_years, scenario=request.scenario)


@dataclass(frozen=True, kw_only=True)
class Koppen(Described):
    """Main climate group of each year, held between the published periods."""

    steps: Mapping[int, RasterFile]
    """The map of each year of the run."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Main groups 0..5 of one year, shape (1, height, width), uint8; see `Source.read`."""
        assert year is not None
        file = self.steps[year]
        return recode(
            file.read(box),
            GROUPS,
            where=file.url,
            legend="Koeppen-Geiger zones 1-30",
            nodata=file.bands[0].nodata,
            missing=0,
        )[None]


def period_of(year: int, periods: Sequence[Period] = PERIODS) -> Period:
    """The period whose map serves a year: its own, else the one before it, else the first."""
    return max((period for period in periods if period[0] <= year), default=periods[0])


def open_koppen(config: KoppenConfig, *, run_years: range, scenario: str) -> Source:
    """Open the climate zones of a run: the map of each year's period, or of the one before it.

    Parameters
    ----------
    config : KoppenConfig
        Where the maps are, and which years may hold one of other years.
    run_years : range
        Years of the run.
    scenario : str
        The run's scenario, of which the maps of the future are; `config.scenario` overrides it.

    Raises
    ------
    InputError
        Naming periods and scenarios whose maps are lacking or there twice, or years between the
        periods that are more than may be held.
    """
    wanted = config.scenario or scenario
    edition, found = _find_maps(config)
    available = _available(edition, found, wanted)
    period_of_year = _periods(edition, available, config, run_years, wanted, found)

    needed = {period: available[period] for period in sorted(set(period_of_year.values()))}
    resolutions = set.intersection(*(set(files) for files in needed.values()))
    if not resolutions:
        raise InputError(
            f"{config.where}: the maps of {len(needed)} periods have no resolution in common; get "
            "one for all"
        )
    finest = min(resolutions, key=lambda name: float(name.replace("p", ".")))
    maps = {period: inspect_raster(files[finest]) for period, files in needed.items()}
    used = list(maps.values())
    for file in used:
        require_one_band(file)
    grid = shared_grid(used)
    require_lattice(grid, where=used[0].url)

    held = {}
    for year, (first, last) in period_of_year.items():
        if not first <= year <= last:
            held[year] = f"the map of {first}-{last}"
    rules = ["zones 1-30 read as main groups: A 1, B 2, C 3, D 4, E 5", *hold_rules(held)]
    future = [period for period in needed if period in edition.future]
    if future and edition.scenario_of(wanted) != scenario:
        rules.append(f"maps of {edition.scenario_of(wanted)} read for scenario {scenario}")
    return Koppen(
        name="koppen",
        about=edition.about,
        grid=grid,
        variables=(CLIMATE,),
        years=tuple(run_years),
        rules=(*rules, *turned(used)),
        files=tuple(file.url for file in used),
        stored=(encoding_of_raster(used),),
        held=held_years(period_of_year),
        places={year: maps[period].url for year, period in period_of_year.items()},
        steps={year: maps[period] for year, period in period_of_year.items()},
    )


def _find_maps(config: KoppenConfig) -> tuple[Edition, Maps]:
    """The edition whose maps are there, and its maps.

    Raises InputError for maps of two editions and for a map that is there twice.
    """
    editions: list[tuple[Edition, Maps]] = []
    for edition in EDITIONS:
        maps: Maps = {}
        for url, match in matching(config, edition.pattern):
            period, of_scenario, resolution = edition.read_name(match)
            files = maps.setdefault((*period, of_scenario), {})
            if resolution in files:
                raise InputError(
                    f"{config.where}: {files[resolution]} and {url} are maps of one period, "
                    "expected one; set `path` to the folder of one edition"
                )
            files[resolution] = url
        if maps:
            editions.append((edition, maps))
    if len(editions) > 1:
        names = " and ".join(edition.name for edition, _ in editions)
        raise InputError(
            f"{config.where}: found maps of {names}, expected those of one edition; set `path` to "
            "its folder"
        )
    return editions[0] if editions else (EDITIONS[0], {})


def _available(edition: Edition, found: Maps, scenario: str) -> dict[Period, dict[str, str]]:
    """Maps by period for a scenario, then by resolution."""
    available = {}
    for period in edition.periods:
        own = edition.scenario_of(scenario) if period in edition.future else ""
        files = found.get((*period, own))
        if files:
            available[period] = files
    return available


def _periods(
    edition: Edition,
    available: Collection[Period],
    config: KoppenConfig,
    run_years: range,
    scenario: str,
    found: Maps,
) -> dict[int, Period]:
    """The period whose map serves each year of the run. Raises InputError where none may."""
    held = []
    lacking = set()
    period_of_year = {}
    for year in run_years:
        published = period_of(year, edition.periods)
        within = published[0] <= year <= published[1]
        if published in available and within:
            period_of_year[year] = published
            continue
        held.append(year)
        if within or published not in available:
            lacking.add(published)
        if available:
            period_of_year[year] = period_of(year, sorted(available))

    most = config.max_held_years
    may_hold = not lacking and set(held) <= edition.held
    if most is not None:
        may_hold = bool(available) and len(held) <= most
    if may_hold:
        return period_of_year
    if lacking:
        raise _no_map(edition, lacking, scenario, found, path=config.where)

    beyond = set(held) if most is not None else set(held) - edition.held
    allowed = f"{most} of them" if most is not None else span(edition.held) or "none"
    periods = ", ".join(f"{first}-{last}" for first, last in edition.periods)
    raise InputError(
        f"{config.where}: years {span(beyond)} lie in no period of {edition.name} ({periods}), "
        f"expected years that hold another map: at most {allowed}; shorten the run's years, or set "
        f"max_held_years = {len(held)}"
    )


def _no_map(
    edition: Edition, lacking: Collection[Period], scenario: str, found: Maps, *, path: str
) -> InputError:
    keys = []
    for period in sorted(lacking):
        own = edition.scenario_of(scenario) if period in edition.future else ""
        keys.append((*period, own))
    return InputError(
        f"{path}: no Koeppen-Geiger map ({edition.file}) for {_names(keys)}; maps there: "
        f"{_names(sorted(found)) or 'none'}; get them or correct the scenario"
    )


def _names(keys: Iterable[tuple[int, int, str]]) -> str:
    names = []
    for first, last, scenario in keys:
        names.append(f"{first}_{last}/{scenario}" if scenario else f"{first}_{last}")
    return ", ".join(names)
