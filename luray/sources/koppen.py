"""Koeppen-Geiger climate zones (Beck et al. 2018, 2023): one map a period, and a scenario in the future.

The model sees the main group, A to E as 1 to 5: 30 zones would be 30 channels, many of them empty in training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from luray.schema import Variable
from luray.sources.base import About, Described, FilesConfig, InputError, Request, Source, held_years, recode
from luray.sources.files import matching, shared_grid
from luray.sources.layout import require_lattice
from luray.sources.raster import RasterFile, inspect_raster, require_one_band
from luray.sources.stored import stored_raster, turned
from luray.sources.years import span
from luray.windows import Box

PERIODS = ((1901, 1930), (1931, 1960), (1961, 1990), (1991, 2020), (2041, 2070), (2071, 2099))
"""First and last year of each map."""

FIRST_FUTURE = 2041
"""From here on there is a map a scenario."""

GROUPS: dict[int, int] = {0: 0, **{zone: group for group, zones in enumerate(
    (range(1, 4), range(4, 8), range(8, 17), range(17, 29), range(29, 31)), start=1) for zone in zones}}
"""Main group of each zone: A tropical 1, B arid 2, C temperate 3, D cold 4, E polar 5; 0 is no data."""

PATTERN = r"(\d{4})_(\d{4})/(?:(ssp\d+)/)?koppen_geiger_(\d+p\d+)\.tif"

CLIMATE = Variable(name="climate_group", role="forcing", units="1", long_name="Koeppen-Geiger main group (1 A .. 5 E)",
                   dtype="uint8", categories=(1, 2, 3, 4, 5))

ABOUT = About(
    title="Koeppen-Geiger climate classification maps, 1901-2099",
    doi="10.6084/m9.figshare.21789074",
    licence="CC-BY-4.0",
    url="https://www.gloh2o.org/koppen/ (Beck et al. 2023: https://doi.org/10.1038/s41597-023-02549-6)",
    files=("{period}/koppen_geiger_0p01.tif for 1901_1930 1931_1960 1961_1990 1991_2020",
           "{period}/{ssp}/koppen_geiger_0p01.tif for 2041_2070 2071_2099"),
    values="zones 1-30, 0 no data, one map a period; years between the periods hold the map before them",
)


class KoppenConfig(FilesConfig):
    """Where the folders of the periods are; of several resolutions the finest is taken."""

    about: ClassVar[About] = ABOUT
    holds: ClassVar[bool] = True
    by_scenario: ClassVar[bool] = True
    kind: Literal["koppen"]

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
        return recode(file.read(box), GROUPS, where=file.url, legend="Koeppen-Geiger zones 1-30",
                      nodata=file.bands[0].nodata, missing=0)[None]


def period_of(year: int) -> tuple[int, int]:
    """The published period whose map serves a year: its own, else the one before it, else the first."""
    return max((p for p in PERIODS if p[0] <= year), default=PERIODS[0])


def open_koppen(config: KoppenConfig, *, run_years: range, scenario: str) -> Source:
    """Climate zones for a run. Raises InputError naming the periods and scenarios whose maps are lacking."""
    found = _maps(config)
    needed = {p: found.get((*p, scenario if p[0] >= FIRST_FUTURE else ""), {}) for p in
              sorted({period_of(y) for y in run_years})}
    lacking = [f"{a}_{b}" + (f"/{scenario}" if a >= FIRST_FUTURE else "")
               for (a, b), files in needed.items() if not files]
    if lacking:
        there = ", ".join(f"{a}_{b}" + (f"/{s}" if s else "") for a, b, s in sorted(found)) or "none"
        raise InputError(f"{config.where}: no Koeppen-Geiger map (koppen_geiger_0p01.tif) for {', '.join(lacking)}; "
                         f"maps there: {there}; get them or correct the scenario")
    common = set.intersection(*(set(files) for files in needed.values()))
    if not common:
        raise InputError(f"{config.where}: the maps of {len(needed)} periods have no resolution in common; get one for "
                         "all")
    finest = min(common, key=lambda name: float(name.replace("p", ".")))
    maps = {period: inspect_raster(files[finest]) for period, files in needed.items()}
    used = list(maps.values())
    for file in used:
        require_one_band(file)
    grid = shared_grid(used)
    require_lattice(grid, where=used[0].url)
    return Koppen(name="koppen", about=ABOUT, grid=grid, variables=(CLIMATE,), years=tuple(run_years),
                  rules=_rules(run_years, used), files=tuple(f.url for f in used),
                  stored=(stored_raster(used),), held=held_years({y: period_of(y) for y in run_years}),
                  places={y: maps[period_of(y)].url for y in run_years},
                  steps={y: maps[period_of(y)] for y in run_years})


def _maps(config: KoppenConfig) -> dict[tuple[int, int, str], dict[str, str]]:
    """Files by first year, last year and scenario (empty in the past), then by resolution. Raises for a map twice."""
    found: dict[tuple[int, int, str], dict[str, str]] = {}
    for file, m in matching(config, PATTERN):
        there = found.setdefault((int(m[1]), int(m[2]), m[3] or ""), {})
        if m[4] in there:
            raise InputError(f"{config.where}: {there[m[4]]} and {file} are maps of one period, expected one; set "
                             "`path` to the folder of one edition")
        there[m[4]] = file
    return found


def _rules(run_years: range, used: list[RasterFile]) -> tuple[str, ...]:
    held: dict[tuple[int, int], list[int]] = {}
    for year in run_years:
        first, last = period_of(year)
        if not first <= year <= last:
            held.setdefault((first, last), []).append(year)
    return (
        "zones 1-30 read as main groups: A 1, B 2, C 3, D 4, E 5",
        *(f"years {span(years)} hold the map of {first}-{last}" for (first, last), years in held.items()),
        *turned(used),
    )
