"""The two interfaces of a source of input, and the checks that all sources share.

A run file configures a source: `SourceConfig`, of which `FilesConfig` is the base. Opening it gives
a `Source`, of which `Described` is the base. It serves one group of variables of one role, on its
native grid, as the publisher ships it.

Shapes: H W box.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from luray.core.config import Config
from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import U8, Bool, Role
from luray.core.variable import Variable
from luray.storage.errors import InputError
from luray.storage.places import OptionalPlace, Place


@dataclass(frozen=True)
class About:
    """Where a source comes from and which files are expected, as its publisher names them."""

    title: str
    doi: str
    licence: str
    url: str
    files: tuple[str, ...]
    values: str = ""
    """Requirements on the files: cell size and units, or codes."""
    ranges: Mapping[str, str] = field(default_factory=dict)
    """Range of each variable by its name, in words; under an empty name that of all others."""


@dataclass(frozen=True)
class Encoding:
    """Encoding of a variable in its file, before any correction."""

    name: str
    """Name in the file, or the band."""
    dtype: str
    units: str
    """Units that the file declares, empty where it declares none."""
    fills: tuple[float, ...]
    """Values that the file declares missing."""
    orientation: str
    """The row that is first, and the convention of longitudes."""
    rules: tuple[str, ...]
    """Corrections that bring it onto luray's grids, in words."""


class Asset(Config):
    """One input file: its published name and where it is."""

    name: str
    """As its publisher gives it, folders included where they matter."""
    href: Place
    """A local path or URL of a NetCDF or GeoTIFF file, a Zarr store, or kerchunk references."""


MIN_COVERAGE = 0.5
MAX_MISSING = 0.01


class SourceConfig(Protocol):
    """A source before any of its files is open: one `[[sources]]` table of a run file.

    Whatever luray has to know of one source in particular is asked here, so that no code outside
    a source's own file names it. Configurations are frozen pydantic models; those of files derive
    from `FilesConfig`, which answers most of this. `Source` is what `open` returns.
    """

    about: ClassVar[About]
    """The publisher's description of the data, for all runs."""
    by_scenario: ClassVar[bool]
    """True where the scenario decides which files are read."""
    reads_other_years: ClassVar[bool]
    """True where files of other years than the run's serve it, so that a catalog is not filtered
    by year.
    """
    is_derived: ClassVar[bool]
    """True for a source that is computed from the state source, which is opened before it."""

    @property
    def kind(self) -> str:
        """The word by which a run file names this kind of source."""

    @property
    def label(self) -> str:
        """Name of the source in the run, and of its group in the cube: `Source.name`."""

    @property
    def described(self) -> About:
        """Description of the data in this run: `about`, or what the run file says."""

    @property
    def wanted(self) -> str:
        """Expected files, their place and their publisher, in words."""

    @property
    def path(self) -> str:
        """Folder or file of the inputs that the run file names, local or not, else empty."""

    @property
    def collection(self) -> str:
        """Collection of the run's catalog that the inputs are taken from, else empty."""

    @property
    def where(self) -> str:
        """The place of the inputs in words, for messages; empty for a source without files."""

    @property
    def min_coverage(self) -> float:
        """See `FilesConfig.min_coverage`."""

    @property
    def max_missing(self) -> float:
        """See `FilesConfig.max_missing`."""

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The variables as far as they are known before a file is open, all of one role.

        Those of a run that predicts land use; of another target see `declared_for`.
        """

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return the same in a run whose maps have a legend.

        Raises ValueError for a source that cannot be part of such a run.
        """

    def native_grid(self, run_grid: Grid) -> Grid:
        """Return the whole grid on which the source is published, as far as it is known."""

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return what is read in a year: equal for years and scenarios that share the values.

        The counterpart of `Source.places` before any file is open, for planning.
        """

    def values_a_year(self, time: TimeSteps) -> int:
        """Return how many values a year it has in a run with these time steps.

        The counterpart of `Source.per_year` before any file is open, for planning.
        """

    def open(self, request: "Request") -> "Source":
        """Return the source for a run. Raises InputError naming the file and what is wrong."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields set; every pydantic model has it."""


class WithoutFilesConfig(Config):
    """A source that has no files: what it reads is computed, or made from the maps.

    Each subclass is a `SourceConfig`: it sets `about`, `label`, `is_derived`, `wanted` and `kind`,
    and defines `declared`, `native_grid`, `place_of` and `open`.
    """

    about: ClassVar[About]
    by_scenario: ClassVar[bool] = False
    reads_other_years: ClassVar[bool] = False
    path: ClassVar[str] = ""
    collection: ClassVar[str] = ""
    where: ClassVar[str] = ""
    min_coverage: ClassVar[float] = MIN_COVERAGE
    max_missing: ClassVar[float] = MAX_MISSING

    @property
    def described(self) -> About:
        """The description of the data."""
        return self.about

    def values_a_year(self, time: TimeSteps) -> int:
        """Return one for each time step: it is computed for each."""
        return time.per_year


class FilesConfig(Config):
    """Where the files of a source are: a folder or file, or a collection of the run's STAC catalog.

    `assets` lists files one by one; `luray.catalog.read` fills it in for a collection. Each
    subclass is a `SourceConfig`: it sets `about` and `kind`, defines `declared` and `open`, and
    overrides those of the other answers that are not so for its data.
    """

    about: ClassVar[About]
    by_scenario: ClassVar[bool] = False
    reads_other_years: ClassVar[bool] = False
    is_derived: ClassVar[bool] = False
    native_step: ClassVar[float | None] = None
    """Cell size in degrees as published, None where it is that of the run grid."""

    kind: str = ""
    """The word by which a run file names the source: a subclass narrows it to one `Literal`."""
    path: OptionalPlace = ""
    collection: str = ""
    assets: Annotated[tuple[Asset, ...], Field(strict=False)] = ()
    min_coverage: float = Field(default=MIN_COVERAGE, ge=0, le=1)
    """Share of the run's land that the files must reach (of the run grid, for the maps themselves).
    What lies beyond them is missing, and says so.
    """
    max_missing: float = Field(default=MAX_MISSING, ge=0, le=1)
    """Share of the land that may lack a value in some years though it has one in others. Of the
    maps such cells are left out of every year.
    """

    @property
    def label(self) -> str:
        """The kind: a run has one source of it."""
        return self.kind

    @property
    def described(self) -> About:
        """The publisher's description."""
        return self.about

    @property
    def where(self) -> str:
        """The place in words, for messages."""
        return self.path or (f"collection {self.collection}" if self.collection else "assets")

    @property
    def wanted(self) -> str:
        """The files by their published names, the place, and the publisher's title and address."""
        origin = ", ".join(filter(None, (self.about.title, self.about.url or self.about.doi)))
        return f"{', '.join(self.about.files)} in {self.where} ({origin})"

    def native_grid(self, run_grid: Grid) -> Grid:
        """Return the global grid of `native_step`."""
        step = self.native_step or run_grid.step
        return Grid(90, -180, step, round(180 / step), round(360 / step))

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the year: each has values of its own, the same for all scenarios."""
        return year

    def values_a_year(self, time: TimeSteps) -> int:
        """Return 1: most data are annual."""
        return 1

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return `declared`, which subclasses define: the target matters to few sources."""
        declared: tuple[Variable, ...] = self.declared  # type: ignore[attr-defined]
        return declared

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.path) + bool(self.collection or self.assets) != 1:
            raise ValueError(
                "expected either `path`, a folder or file, or `collection`, a collection of the "
                "run's [catalog]; give one of them"
            )
        return self


class Source(Protocol):
    """One open group of input variables of one role, on its native grid.

    Rows run from north to south and longitudes from -180 to 180, however the files have them. A
    source holds paths, never open files, so that it can travel to a worker.
    """

    @property
    def name(self) -> str:
        """Group of the cube, such as luh2, hilda or pnnl_soil: `SourceConfig.label`."""

    @property
    def about(self) -> About:
        """Title, DOI, licence and where to get it."""

    @property
    def grid(self) -> Grid:
        """Native grid."""

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Variables in the order in which `read` returns them; all of one role."""

    @property
    def role(self) -> Role:
        """Role of its variables."""

    @property
    def years(self) -> tuple[int, ...]:
        """Years of the run that it serves, ascending; empty for a static source.

        Of a source with several values a year these are time steps, see `per_year`.
        """

    @property
    def per_year(self) -> int:
        """Time steps of a year: its `years` are steps of `core.time_steps` where it is not 1."""

    @property
    def held(self) -> Mapping[int, int]:
        """Years that read the values of an earlier year of the run, with that year.

        They are stored once; see `held_years`.
        """

    @property
    def places(self) -> Mapping[int, object]:
        """File and time index that are read in each year of a source that depends on the scenario.

        Empty for all other sources.
        """

    @property
    def other_kind(self) -> Mapping[int, str]:
        """Years whose map is of another kind than the others', and what kind, in words.

        Change into and out of such a map is no change of the land: training and scores leave it
        out, and the memory of a cell ends before it.
        """

    @property
    def legend(self) -> Legend:
        """Classes of the maps of a state source, and of the codes that it returns."""

    @property
    def scenario(self) -> str:
        """The scenario that a `part` belongs to, else empty."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Everything that is done to the data, in words; complete once the source is open."""

    @property
    def caveat(self) -> str:
        """A sentence that every report must repeat, or an empty string."""

    @property
    def files(self) -> tuple[str, ...]:
        """Files or URLs that are read."""

    @property
    def min_coverage(self) -> float:
        """Share of the run's land that it must reach; see `FilesConfig.min_coverage`."""

    @property
    def max_missing(self) -> float:
        """Share of the land that some of its years may lack; see `FilesConfig.max_missing`."""

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """Encoding of each of `variables`; empty for a source without files of its own."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Read the values of one year.

        Parameters
        ----------
        year : int or None
            One of `years`; None for a static source.
        box : Box
            Cells of `grid`, all of them inside it. Nothing outside is read.

        Returns
        -------
        array, shape (variable, height, width), in the stored dtype
            NaN is missing. A state source returns uint8 codes of `legend`, among them its codes of
            ocean and of no data.

        Raises
        ------
        InputError
            Naming file, year and cell for values that are refused.
        """

    def part(self, scenario: str, *, first: "Source | None") -> "Source | None":
        """Return what this source of a scenario has beside that of the run's first scenario.

        Parameters
        ----------
        scenario : str
            The scenario that this source was opened for.
        first : Source or None
            The same source of the run's first scenario; None where it could not be opened.

        Returns
        -------
        Source or None
            Named `<name>@<scenario>`, with the years in which it reads other values than `first`:
            all of them where that is None. None where there are no such years.

        Raises
        ------
        InputError
            Where the two differ in grid or variables.
        """


@dataclass(frozen=True, kw_only=True)
class Described:
    """The part of a source that is known once it is open; see `Source`."""

    name: str
    about: About
    grid: Grid
    variables: tuple[Variable, ...]
    years: tuple[int, ...]
    rules: tuple[str, ...]
    files: tuple[str, ...]
    encodings: tuple[Encoding, ...] = ()
    per_year: int = 1
    held: Mapping[int, int] = field(default_factory=dict)
    places: Mapping[int, object] = field(default_factory=dict)
    other_kind: Mapping[int, str] = field(default_factory=dict)
    legend: Legend = HILDA
    scenario: str = ""
    caveat: str = ""
    min_coverage: float = MIN_COVERAGE
    max_missing: float = MAX_MISSING

    @property
    def role(self) -> Role:
        """Role of all its variables."""
        return self.variables[0].role

    def part(self, scenario: str, *, first: Source | None) -> Self | None:
        """Return what a scenario has beside the run's first; see `Source.part`."""
        if first is not None and (first.grid, first.variables) != (self.grid, self.variables):
            raise InputError(
                f"{self.files[0]}: {self.name} of scenario {scenario} has the variables "
                f"{[v.name for v in self.variables]} on {self.grid}, expected those of the run's "
                f"first scenario, {[v.name for v in first.variables]} on {first.grid}; get files "
                "of one edition"
            )
        first_places: Mapping[int, object] = {} if first is None else first.places
        first_files = () if first is None else first.files

        # Only the years that this scenario reads from another place are stored beside the first's.
        years = [year for year, place in self.places.items() if first_places.get(year) != place]
        if not years:
            return None
        places = {year: self.places[year] for year in years}
        return replace(
            self,
            name=f"{self.name}@{scenario}",
            scenario=scenario,
            years=tuple(sorted(years)),
            places=places,
            held=held_years(places),
            files=tuple(file for file in self.files if file not in first_files),
        )


def held_years(places: Mapping[int, object]) -> dict[int, int]:
    """Return the years that read the same place as an earlier one, with the first that reads it.

    Parameters
    ----------
    places : mapping
        What is read in each year, such as a file and a time index.

    Examples
    --------
    >>> held_years({2000: ("a.nc", 0), 2001: ("a.nc", 0), 2002: ("a.nc", 1)})
    {2001: 2000}
    """
    first_year_of: dict[object, int] = {}
    held = {}
    for year, place in sorted(places.items()):
        first_year = first_year_of.setdefault(place, year)
        if first_year != year:
            held[year] = first_year
    return held


def wanted_files(where: str, pattern: str, *publisher: str) -> str:
    """Say which files a source wants that the run file describes: their place, pattern and origin.

    Examples
    --------
    >>> wanted_files("maps", "lai_{date}.tif", "Leaf area", ""), wanted_files("maps", "*.tif")
    ('maps/lai_{date}.tif (Leaf area)', 'maps/*.tif (your own)')
    """
    origin = ", ".join(filter(None, publisher)) or "your own"
    return f"{where}/{pattern} ({origin})"


@dataclass(frozen=True)
class Request:
    """Request of a run to every source: its years, its scenario, and the state source."""

    run_years: range
    scenario: str
    state: Source | None = None
    """The state source, for sources that are derived from it."""
    grid: Grid | None = None
    """The run grid, likewise."""
    legend: Legend = HILDA
    """Legend of the run's target."""
    time: TimeSteps = YEARLY
    """Time steps of the run's target."""


def state_variable(legend: Legend) -> Variable:
    """Return the one variable of a state source, whose values are codes of its legend."""
    scale = legend.scale
    return Variable(
        name=legend.variable,
        role="state",
        units="1" if scale is None else scale.units,
        long_name=f"{legend.long_name} class" if scale is None else legend.long_name,
        dtype="uint8",
        categories=tuple(int(code) for code in legend.codes),
    )


STATE = state_variable(HILDA)
"""The one variable of maps in HILDA+ codes."""


def require_target(published: Legend, target: Legend, *, source: str) -> None:
    """Raise ValueError unless the maps of a source have the legend of a run's target."""
    if published != target:
        raise ValueError(
            f"source {source} has maps of {published.name}, and the run's target has the legend "
            f"{target.name}; set target.legend, or take a source of that legend (kind "
            "'categorical' reads any maps by a crosswalk)"
        )


class MapsConfig(FilesConfig):
    """Where published maps of one legend are, which become the state of a run.

    Each subclass sets `maps_legend` beside what `FilesConfig` asks for.
    """

    maps_legend: ClassVar[Legend]

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The map."""
        return (state_variable(self.maps_legend),)

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return the map; ValueError in a run that predicts other classes."""
        require_target(self.maps_legend, legend, source=self.label)
        return self.declared


def legend_table(legend: Legend) -> dict[int, int]:
    """Return the code that each published code of a legend is read as.

    Sub-codes become that of their class; ocean and no data stay as they are.

    Examples
    --------
    >>> table = legend_table(HILDA)
    >>> table[45], table[44], table[0], table[99]
    (44, 44, 0, 99)
    """
    table = {legend.ocean: legend.ocean, legend.nodata: legend.nodata}
    for code in legend.known():
        if code not in table:
            table[code] = int(legend.codes[legend.index(code)])
    return table


def recode(
    raw: NDArray[Any],
    table: Mapping[int, int],
    *,
    where: str,
    legend: str,
    nodata: float | None = None,
    missing: int = HILDA.nodata,
) -> U8:
    """Translate the codes of a categorical map with a crosswalk.

    Parameters
    ----------
    raw : array or masked array
        Codes as the file has them, any dtype and shape; masked cells are missing.
    table : mapping
        The crosswalk: code to return for each code of the file.
    where : str
        The file, for messages.
    legend : str
        What the codes are of, for messages.
    nodata : float, optional
        The file's no-data value: its cells are missing, unless the table has a meaning for it.
    missing : int
        Code that is returned for missing cells.

    Returns
    -------
    array of uint8, same shape

    Raises
    ------
    InputError
        Naming the codes that the table lacks and their cell counts.

    Examples
    --------
    >>> recode(np.array([[1, 2, -1]]), {1: 11, 2: 22}, where="a.tif", legend="mine", nodata=-1)
    array([[11, 22, 99]], dtype=uint8)
    """
    values = np.ma.getdata(raw)
    is_empty: Bool = np.array(np.ma.getmaskarray(raw))
    if nodata is not None and nodata not in table:
        is_empty |= equals(values, nodata)

    codes = values
    if values.dtype != np.uint8:
        codes = _whole_codes(values, is_empty, where=where, legend=legend)

    # One look-up a cell; -1 stands for codes that the table lacks.
    lookup = np.full(256, -1, np.int16)
    for code, target in table.items():
        lookup[code] = target
    targets = np.where(is_empty, np.int16(missing), lookup[codes])

    is_unknown = targets < 0
    if is_unknown.any():
        unknown, counts = np.unique(codes[is_unknown], return_counts=True)
        listed = ", ".join(f"code {c} ({n} cells)" for c, n in zip(unknown, counts, strict=True))
        raise InputError(
            f"{where}: {listed} not in {legend}, expected {sorted(table)}; correct the file or add "
            "the code to the crosswalk"
        )
    return targets.astype(np.uint8)


def equals(raw: NDArray[Any], value: float) -> Bool:
    """Find where an array holds a value that a file declares; NaN equals NaN.

    They are compared in the array's own precision: a file of float32 may declare 1e20 in float64.

    Examples
    --------
    >>> equals(np.array([1e20, 2], np.float32), 1e20)
    array([ True, False])
    """
    if np.isnan(value):
        return np.asarray(np.isnan(raw))
    in_own_precision = raw.dtype.type(value) if raw.dtype.kind == "f" else value
    return np.asarray(raw == in_own_precision)


def _whole_codes(raw: NDArray[Any], empty: Bool, *, where: str, legend: str) -> U8:
    """Return codes of any number type as bytes, 0 where they are empty."""
    is_code = np.isfinite(raw) & (raw >= 0) & (raw <= 255) & (np.floor(raw) == raw)
    is_allowed = empty | is_code
    if not is_allowed.all():
        wrong = raw[~is_allowed]
        raise InputError(
            f"{where}: {wrong.size} cells hold values that are no class codes (first "
            f"{wrong.flat[0]}), expected whole codes of {legend}; correct the file or declare its "
            "no-data value"
        )
    return np.where(empty, 0, raw).astype(np.uint8)


def refuse_cells(
    bad_HW: Bool,
    values_HW: NDArray[Any],
    *,
    grid: Grid,
    box: Box,
    where: str,
    found: str,
    expected: str,
) -> None:
    """Raise InputError if any cell of a box is bad, naming the count and the worst cell.

    Parameters
    ----------
    bad_HW : array of bool, shape (height, width)
        The cells that are refused.
    values_HW : array, same shape
        Ranks them: the largest absolute value is the worst, NaN and infinity before any number.
    grid : Grid
        The source's grid, which gives the latitude and longitude of the worst cell.
    box : Box
        The cells of it that were read.
    where, found, expected : str
        The file, what is wrong and what was expected, for the message.
    """
    if not bad_HW.any():
        return
    magnitude_HW = np.nan_to_num(np.abs(values_HW.astype(np.float64)), nan=np.inf)
    rank_HW = np.where(bad_HW, magnitude_HW, -1)
    row, col = np.unravel_index(int(rank_HW.argmax()), bad_HW.shape)
    lat = grid.lat[box.row + row]
    lon = grid.lon[box.col + col]
    raise InputError(
        f"{where}: {int(bad_HW.sum())} cells {found}, worst {values_HW[row, col]:.6g} at latitude "
        f"{lat:.4f}, longitude {lon:.4f}; expected {expected}"
    )
