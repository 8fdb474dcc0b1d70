"""Koeppen-Geiger climate zones (Beck et al. 2018, 2023): a map a period, and a scenario to come.

2023 has four periods from 1901 to 2020 and two from 2041 to 2099; 2018 has 1980-2016 and, of
RCP8.5, 2071-2100. Both number the zones alike.

The model sees the main group, A to E as 1 to 5: 30 zones would be 30 channels, many of them empty
in training.

Shapes: H W box.
"""

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray
from pydantic import Field

from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import About, Described, FilesConfig, Request, Source, held_years, recode
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_raster, rules_of_files
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.mosaic import require_one_band
from luray.sources.raster import RasterFile, inspect_raster
from luray.sources.years import format_years, hold_rules
from luray.storage.errors import InputError

STEP = 0.01
"""Cell size in degrees of the finest maps of 2023."""

Period = tuple[int, int]
"""First and last year of a map."""

PERIODS = ((1901, 1930), (1931, 1960), (1961, 1990), (1991, 2020), (2041, 2070), (2071, 2099))
"""First and last year of each map of 2023."""

FIRST_FUTURE = 2041
"""From here on there is a map a scenario."""

GROUP_ZONES = (range(1, 4), range(4, 8), range(8, 17), range(17, 29), range(29, 31))
"""Zones of each main group, A to E."""

GROUPS: dict[int, int] = {0: 0}
"""Main group of each zone: A tropical 1, B arid 2, C temperate 3, D cold 4, E polar 5; 0 none."""
for _group, _zones in enumerate(GROUP_ZONES, start=1):
    GROUPS.update(dict.fromkeys(_zones, _group))

PATTERN = r"(\d{4})[-_](\d{4})/(?:(ssp\d+)/)?koppen_geiger_(\d+p\d+)\.tif"
"""Names of 2023: first and last year, scenario (none in the past), cell size."""

PATTERN_2018 = r"Beck_KG_V1_(present|future)_(\d+p\d+)\.tif"
"""Names of 2018: which of the two maps, cell size. The maps of confidence are not read."""

PERIODS_2018 = {"present": (1980, 2016), "future": (2071, 2100)}
"""First and last year of each map of 2018."""

MapKey = tuple[int, int, str]
"""First year, last year and scenario of a map; the scenario is empty in the past."""

Maps = dict[MapKey, dict[str, str]]
"""URLs of maps by what they are of, then by cell size."""

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
    """Names of its files, for messages."""
    pattern: str
    periods: tuple[Period, ...]
    future: frozenset[Period]
    """Periods of which there is a map a scenario."""
    held: frozenset[int]
    """Years without a map that hold one unless a run says otherwise."""

    def read_name(self, match: re.Match[str]) -> tuple[MapKey, str]:
        """Return what a file is of, and its cell size, from its name."""
        if self.pattern == PATTERN:
            return (int(match[1]), int(match[2]), match[3] or ""), match[4]
        first, last = PERIODS_2018[match[1]]
        return (first, last, "rcp85" if match[1] == "future" else ""), match[2]

    def scenario_of(self, scenario: str) -> str:
        """Return the scenario whose maps serve a run's: of 2018, RCP8.5 stands for SSP5-8.5."""
        if self.pattern == PATTERN_2018 and scenario == "ssp585":
            return "rcp85"
        return scenario

    def key(self, period: Period, scenario: str) -> MapKey:
        """Return what the map of a period is of, in a run's scenario."""
        first, last = period
        return first, last, self.scenario_of(scenario) if period in self.future else ""


EDITIONS = (
    Edition(
        name="Beck et al. 2023",
        about=ABOUT,
        file="koppen_geiger_0p01.tif",
        pattern=PATTERN,
        periods=PERIODS,
        future=frozenset(period for period in PERIODS if period[0] >= FIRST_FUTURE),
        held=frozenset({*range(1850, 1901), *range(2021, 2041), 2100}),
    ),
    Edition(
        name="Beck et al. 2018",
        about=ABOUT_2018,
        file="Beck_KG_V1_present_0p0083.tif, Beck_KG_V1_future_0p0083.tif",
        pattern=PATTERN_2018,
        periods=tuple(PERIODS_2018.values()),
        future=frozenset({PERIODS_2018["future"]}),
        held=frozenset(),
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
    reads_other_years: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    native_step: ClassVar[float | None] = STEP

    kind: Literal["koppen"]
    scenario: str = ""
    max_held_years: int | None = Field(default=None, ge=0)

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The main group."""
        return (CLIMATE,)

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the period of 2023 that serves a year, and the scenario of one to come."""
        period = period_of(year)
        return period, scenario if period[0] >= FIRST_FUTURE else ""

    def open(self, request: Request) -> Source:
        """Return the source for a run; see `open_koppen`."""
        return open_koppen(self, run_years=request.run_years, scenario=request.scenario)


@dataclass(frozen=True, kw_only=True)
class Koppen(Described):
    """Main climate group of each year, held between the published periods."""

    steps: Mapping[int, RasterFile]
    """The map of each year of the run."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the main groups 0..5 of one year, shape (1, H, W), uint8; see `Source.read`."""
        assert year is not None
        file = self.steps[year]
        groups_HW = recode(
            file.read(box),
            GROUPS,
            where=file.url,
            legend="Koeppen-Geiger zones 1-30",
            nodata=file.bands[0].nodata,
            missing=0,
        )
        return groups_HW[None]


def period_of(year: int, periods: Sequence[Period] = PERIODS) -> Period:
    """Return the period whose map serves a year: its own, else the one before, else the first.

    Examples
    --------
    >>> period_of(2030), period_of(1850)
    ((1991, 2020), (1901, 1930))
    """
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
    map_scenario = config.scenario or scenario
    edition, maps = _find_maps(config)
    period_of_year = _periods(edition, maps, config, run_years, map_scenario)

    # All periods of a run are read at one resolution, as they share a grid: the finest of all.
    periods = sorted(set(period_of_year.values()))
    cell_sizes = [set(maps[edition.key(period, map_scenario)]) for period in periods]
    shared_sizes = set.intersection(*cell_sizes)
    if not shared_sizes:
        raise InputError(
            f"{config.where}: the maps of {len(periods)} periods have no resolution in common; get "
            "one for all"
        )
    finest = min(shared_sizes, key=lambda size: float(size.replace("p", ".")))  # 0p01 is 0.01

    raster_of_period = {}
    for period in periods:
        url = maps[edition.key(period, map_scenario)][finest]
        raster_of_period[period] = inspect_raster(url)
    rasters = list(raster_of_period.values())
    for raster in rasters:
        require_one_band(raster)
    grid = shared_grid(rasters)
    require_lattice(grid, where=rasters[0].url)

    held = {}
    for year, (first, last) in period_of_year.items():
        if not first <= year <= last:
            held[year] = f"the map of {first}-{last}"
    rules = ["zones 1-30 read as main groups: A 1, B 2, C 3, D 4, E 5", *hold_rules(held)]
    reads_future = any(period in edition.future for period in periods)
    if reads_future and edition.scenario_of(map_scenario) != scenario:
        rules.append(f"maps of {edition.scenario_of(map_scenario)} read for scenario {scenario}")

    steps = {year: raster_of_period[period] for year, period in period_of_year.items()}
    return Koppen(
        name=config.label,
        about=edition.about,
        grid=grid,
        variables=(CLIMATE,),
        years=tuple(run_years),
        rules=(*rules, *rules_of_files(rasters)),
        files=tuple(raster.url for raster in rasters),
        encodings=(encoding_of_raster(rasters),),
        held=held_years(period_of_year),
        places={year: raster.url for year, raster in steps.items()},
        steps=steps,
    )


def _find_maps(config: KoppenConfig) -> tuple[Edition, Maps]:
    """The edition whose maps are there, and its maps.

    Raises InputError for maps of two editions and for a map that is there twice.
    """
    editions: list[tuple[Edition, Maps]] = []
    for edition in EDITIONS:
        maps = _maps_of(edition, config)
        if maps:
            editions.append((edition, maps))
    if len(editions) > 1:
        names = " and ".join(edition.name for edition, _ in editions)
        raise InputError(
            f"{config.where}: found maps of {names}, expected those of one edition; set `path` to "
            "its folder"
        )
    return editions[0] if editions else (EDITIONS[0], {})


def _maps_of(edition: Edition, config: KoppenConfig) -> Maps:
    """The maps of an edition that are there. Raises InputError for one that is there twice."""
    maps: Maps = {}
    for url, match in matching(config, edition.pattern):
        key, cell_size = edition.read_name(match)
        urls = maps.setdefault(key, {})
        if cell_size in urls:
            raise InputError(
                f"{config.where}: {urls[cell_size]} and {url} are maps of one period, "
                "expected one; set `path` to the folder of one edition"
            )
        urls[cell_size] = url
    return maps


def _periods(
    edition: Edition, maps: Maps, config: KoppenConfig, run_years: range, scenario: str
) -> dict[int, Period]:
    """The period whose map serves each year of the run. Raises InputError where none may."""
    available = [period for period in edition.periods if edition.key(period, scenario) in maps]
    held: set[int] = set()
    lacking: set[Period] = set()
    period_of_year = {}
    for year in run_years:
        published = period_of(year, edition.periods)
        is_within = published[0] <= year <= published[1]
        if published in available and is_within:
            period_of_year[year] = published
            continue

        # The year lies between the periods, or the map of its period is not there.
        held.add(year)
        if published not in available:
            lacking.add(published)
        if available:
            period_of_year[year] = period_of(year, available)

    # By default the years that the publisher leaves out may hold a map, and no others; a run file
    # that names a number means any years.
    most = config.max_held_years
    may_hold = not lacking and held <= edition.held
    if most is not None:
        may_hold = bool(available) and len(held) <= most
    if may_hold:
        return period_of_year
    if lacking:
        raise _no_map(edition, lacking, scenario, maps, where=config.where)

    if most is None:
        beyond = held - edition.held
        allowed = format_years(edition.held) or "none"
    else:
        beyond = held
        allowed = f"{most} of them"
    periods = ", ".join(f"{first}-{last}" for first, last in edition.periods)
    raise InputError(
        f"{config.where}: years {format_years(beyond)} lie in no period of {edition.name} "
        f"({periods}), expected years that hold another map: at most {allowed}; shorten the run's "
        f"years, or set max_held_years = {len(held)}"
    )


def _no_map(
    edition: Edition, lacking: Collection[Period], scenario: str, maps: Maps, *, where: str
) -> InputError:
    keys = [edition.key(period, scenario) for period in sorted(lacking)]
    return InputError(
        f"{where}: no Koeppen-Geiger map ({edition.file}) for {_names(keys)}; maps there: "
        f"{_names(sorted(maps)) or 'none'}; get them or correct the scenario"
    )


def _names(keys: Iterable[MapKey]) -> str:
    """Maps in words, as their folders are named: 2041_2070/ssp245."""
    names = []
    for first, last, scenario in keys:
        names.append(f"{first}_{last}/{scenario}" if scenario else f"{first}_{last}")
    return ", ".join(names)
