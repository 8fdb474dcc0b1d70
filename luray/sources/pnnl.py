"""PNNL 1 km land surface parameters (Li et al. 2024): topography and soil, 1/120 degree.

Files are found by the variables in them, because their names differ between the releases.

Shapes: H W box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from luray.core.tiling import Box
from luray.core.types import F32
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    Encoding,
    FilesConfig,
    Request,
    Source,
    refuse_cells,
)
from luray.sources.discover import matching
from luray.sources.encoding import encoding_of_netcdf, rules_of_files
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, unpack
from luray.sources.soil_layers import (
    LAYERINGS,
    Edges,
    depth_mean,
    layer_count,
    layer_edges,
    same_depths,
)
from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError

STEP = 1 / 120
"""Cell size in degrees: 30 arcsec."""


def _static(name: str, units: str, long_name: str, scale: float = 1.0) -> Variable:
    """A continuous static variable."""
    return Variable(
        name=name,
        role="static",
        units=units,
        long_name=long_name,
        resampling="bilinear",
        scale=scale,
    )


@dataclass(frozen=True)
class Parameter:
    """A published variable: its unit (none declared counts as this one) and the values it may have.

    The values are as narrow as the land is, so that a fill value which a file does not declare
    (-9999, -32768, 32767, 1e20, and 255 where it is none) is refused.
    """

    units: str
    low: float
    high: float


TOPOGRAPHY: Mapping[str, Parameter] = {
    # The lowest dry land is the shore of the Dead Sea, 430 m below the sea.
    "ELEVATION": Parameter("m", -500, 9000),
    "STDEV_ELEV": Parameter("m", 0, 3000),
    "SLOPE": Parameter("degrees", 0, 90),
    "ASPECT": Parameter("degrees", -180, 360),
    "SKY_VIEW_FACTOR": Parameter("1", 0, 2),
    "TERRAIN_CONFIG": Parameter("1", -1, 2),
}

SOIL: Mapping[str, Parameter] = {
    "PCT_SAND": Parameter("%", 0, 100),
    "PCT_CLAY": Parameter("%", 0, 100),
    "ORGANIC": Parameter("kg/m3", 0, 1000),
}

TEXTURE = ("PCT_SAND", "PCT_CLAY")
"""Shares of the soil; with silt they are all of it."""

FEWEST_OF_ONE = 100
FEWEST_OF_BOTH = 10
"""Values that tell percent from fractions.

Of 100 values of sand or clay, or of 10 of both, one is above 1 % in any soil.
"""

TOPO_FIELDS = (
    "ELEVATION",
    "STDEV_ELEV",
    "SLOPE",
    "ASPECT",
    "ASPECT",
    "SKY_VIEW_FACTOR",
    "TERRAIN_CONFIG",
)
"""Published variable of each of `TOPO_VARIABLES`."""

TOPO_VARIABLES = (
    _static("mean_elevation", "m", "mean elevation of the 1 km cell", 1000.0),
    _static("elevation_spread", "m", "standard deviation of elevation in the 1 km cell", 100.0),
    _static("slope", "degrees", "slope", 10.0),
    _static("aspect_sin", "1", "sine of the aspect: 1 faces east"),
    _static("aspect_cos", "1", "cosine of the aspect: 1 faces north"),
    _static("sky_view", "1", "sky view factor"),
    _static("terrain_configuration", "1", "terrain configuration factor"),
)

DEPTHS_CM = ((0, 30), (30, 100))
"""Depths over which the soil layers are averaged."""


def _at_depths(name: str, units: str, long_name: str, scale: float) -> list[Variable]:
    """Return a soil variable over each range of depths."""
    variables = []
    for top, bottom in DEPTHS_CM:
        depths = f"{long_name}, {top}-{bottom} cm"
        variables.append(_static(f"{name}_{top}_{bottom}cm", units, depths, scale))
    return variables


SOIL_VARIABLES = (
    *_at_depths("sand", "%", "sand", 100.0),
    *_at_depths("clay", "%", "clay", 100.0),
    *_at_depths("organic", "kg m-3", "organic matter", 50.0),
)
"""Each published variable at each range of depths, in the order in which `PnnlSoil` reads them."""

SOIL_FIELDS = tuple(name for name in SOIL for _ in DEPTHS_CM)
"""Published variable of each of `SOIL_VARIABLES`."""


def _ranges(
    variables: Sequence[Variable], fields: Sequence[str], published: Mapping[str, Parameter]
) -> dict[str, str]:
    """Range of each variable, that of the published variable which it is made of."""
    ranges = {}
    for variable, name in zip(variables, fields, strict=True):
        parameter = published[name]
        unit = "" if parameter.units == "1" else f" {parameter.units}"
        ranges[variable.name] = f"{parameter.low:g}..{parameter.high:g}{unit}"
    return ranges


TOPO_ABOUT = About(
    title="PNNL global 1 km land surface parameters: topography",
    doi="10.25584/PNNLDH/1986308",
    licence="other",
    url="https://doi.org/10.25584/PNNLDH/1986308",
    files=("any NetCDF with " + " ".join(TOPOGRAPHY),),
    values="1/120 degrees; missing values declared",
    ranges=_ranges(TOPO_VARIABLES, TOPO_FIELDS, TOPOGRAPHY)
    | {"aspect_sin": "-1..1", "aspect_cos": "-1..1"},
)
SOIL_ABOUT = replace(
    TOPO_ABOUT,
    title="PNNL global 1 km land surface parameters: soil",
    files=("any NetCDF with " + " ".join(SOIL) + " (layer, lat, lon)",),
    values="1/120 degrees; layers from the surface down past 30 cm; missing values declared",
    ranges=_ranges(SOIL_VARIABLES, SOIL_FIELDS, SOIL),
)


class PnnlTopoConfig(FilesConfig):
    """Where PNNL's topography is: a folder or a file."""

    about: ClassVar[About] = TOPO_ABOUT
    reads_other_years: ClassVar[bool] = True
    native_step: ClassVar[float | None] = STEP

    kind: Literal["pnnl_topo"]

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Topography."""
        return TOPO_VARIABLES

    def open(self, request: Request) -> Source:
        """Return the source; see `open_pnnl_topo`."""
        return open_pnnl_topo(self)


class PnnlSoilConfig(FilesConfig):
    """Where PNNL's soil is.

    The published folder holds every variable in `layers` = 10 (of ELM) and 6 (of SoilGrids), of
    which one is read. `layer_bottoms_cm` gives the lower edges of the layers, over what the file
    says.
    """

    about: ClassVar[About] = SOIL_ABOUT
    reads_other_years: ClassVar[bool] = True
    native_step: ClassVar[float | None] = STEP

    kind: Literal["pnnl_soil"]
    layers: Literal[10, 6] | None = None
    layer_bottoms_cm: Annotated[tuple[float, ...], Setting(strict=False)] = ()

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError where the two settings contradict each other."""
        if self.layers and self.layer_bottoms_cm and len(self.layer_bottoms_cm) != self.layers:
            raise ValueError(
                f"layers = {self.layers} and {len(self.layer_bottoms_cm)} layer_bottoms_cm are "
                "given, expected one lower edge a layer; correct one of them"
            )

    @property
    def n_layers(self) -> int | None:
        """Layers of the files to read, None where any number will do."""
        return self.layers or len(self.layer_bottoms_cm) or None

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Soil."""
        return SOIL_VARIABLES

    def open(self, request: Request) -> Source:
        """Return the source; see `open_pnnl_soil`."""
        return open_pnnl_soil(self)


@dataclass(frozen=True, kw_only=True)
class _Pnnl(Described):
    parameters: Mapping[str, Parameter]
    file_of: Mapping[str, NetcdfFile]
    """File of each published variable."""
    conversions: Mapping[str, Conversion]
    """Conversion of each published variable into its unit."""

    def _values(self, name: str, box: Box) -> F32:
        """A published variable in its unit, shape (..., H, W), NaN where missing."""
        file = self.file_of[name]
        parameter = self.parameters[name]
        [raw] = file.read((name,), box)
        values: F32 = self.conversions[name](unpack(raw, file.variables[name]))
        for layer_HW in values.reshape(-1, *box.shape):
            refuse_cells(
                (layer_HW < parameter.low - 1e-3) | (layer_HW > parameter.high + 1e-3),
                layer_HW,
                grid=self.grid,
                box=box,
                where=f"{file.url}, {name}",
                found="are out of range",
                expected=f"{parameter.low:g} to {parameter.high:g} {parameter.units} or a "
                "declared missing value; check its units and fill attributes",
            )
        return values


@dataclass(frozen=True, kw_only=True)
class PnnlTopo(_Pnnl):
    """Elevation, its spread, slope, aspect (sine and cosine), sky view, terrain configuration."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the topography, shape (7, H, W), float32; see `Source.read`."""
        fields: list[F32] = []
        for name in TOPOGRAPHY:
            values_HW = self._values(name, box)
            # An angle cannot be interpolated: halfway between 350 and 10 degrees is not 180.
            if name == "ASPECT":
                aspect_HW = np.radians(values_HW)
                fields += [np.sin(aspect_HW), np.cos(aspect_HW)]
            else:
                fields.append(values_HW)
        return np.stack(fields).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PnnlSoil(_Pnnl):
    """Sand, clay and organic matter, each as the mean over 0-30 and 30-100 cm."""

    edges_cm: Edges
    """Edges of the layers, from 0 down."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the soil, shape (6, H, W), float32; see `Source.read`."""
        layers = {name: self._values(name, box) for name in SOIL}
        self._refuse_fractions({name: layers[name] for name in TEXTURE})
        means = []
        for name in SOIL:
            for top, bottom in DEPTHS_CM:
                means.append(depth_mean(layers[name], self.edges_cm, top=top, bottom=bottom))
        return np.stack(means)

    def _refuse_fractions(self, texture: Mapping[str, F32]) -> None:
        """Raise InputError for fractions that are said to be percent; no range tells them apart.

        Zeros do not count: some files have them where there is no soil.
        """
        positive = {name: values[values > 0] for name, values in texture.items()}
        small = [name for name, values in positive.items() if values.size and values.max() <= 1]
        if len(small) == len(positive):
            is_certain = sum(values.size for values in positive.values()) >= FEWEST_OF_BOTH
        else:
            is_certain = any(positive[name].size >= FEWEST_OF_ONE for name in small)
        if not is_certain:
            return

        name = max(small, key=lambda name: positive[name].size)
        raise InputError(
            f"{self.file_of[name].url}, {name}: all {positive[name].size} positive values are at "
            f"most {positive[name].max():.3g} %, which no soil is; expected percent. If they are "
            "fractions, set the units attribute to 1"
        )


def open_pnnl_topo(config: PnnlTopoConfig) -> Source:
    """Open the topography of PNNL.

    Raises
    ------
    InputError
        For variables that are lacking, there twice, in other units or off the lattice.
    """
    file_of = _find_files(config, TOPOGRAPHY)
    for name, file in file_of.items():
        dims = file.variables[name].dims
        if any(dim not in file.axes for dim in dims):
            raise InputError(f"{file.url}: {name} has dimensions {dims}, expected (lat, lon)")
    conversions = _conversions(file_of, TOPOGRAPHY)
    rules = ("aspect turned to its sine and cosine", *_unit_rules(conversions, TOPOGRAPHY))
    return PnnlTopo(
        name=config.label,
        about=TOPO_ABOUT,
        variables=TOPO_VARIABLES,
        parameters=TOPOGRAPHY,
        conversions=conversions,
        encodings=_encodings(file_of, TOPO_FIELDS),
        **_described(file_of, rules),
    )


def open_pnnl_soil(config: PnnlSoilConfig) -> Source:
    """Open the soil of PNNL.

    Raises
    ------
    InputError
        As `open_pnnl_topo`, and where the depths of the layers cannot be told.
    """
    file_of = _find_files(config, SOIL, n_layers=config.n_layers)
    edges_of = {}
    for name, file in file_of.items():
        edges_of[name] = layer_edges(
            file,
            name,
            n_layers=config.layers,
            bottoms_cm=config.layer_bottoms_cm,
            reaching_cm=DEPTHS_CM[-1][0],
        )
    edges_cm, origin = next(iter(edges_of.values()))
    if not all(same_depths(edges, edges_cm) for edges, _ in edges_of.values()):
        raise InputError(
            f"{config.where}: {', '.join(SOIL)} have different layers, expected the same for all; "
            "get them of one set of layers"
        )
    conversions = _conversions(file_of, SOIL)
    rules = (
        f"{len(edges_cm) - 1} layers ({origin}) reduced to depth-weighted 0-30 cm and 30-100 cm",
        *_unit_rules(conversions, SOIL),
    )
    return PnnlSoil(
        name=config.label,
        about=SOIL_ABOUT,
        variables=SOIL_VARIABLES,
        parameters=SOIL,
        edges_cm=edges_cm,
        conversions=conversions,
        encodings=_encodings(file_of, SOIL_FIELDS),
        **_described(file_of, rules),
    )


def _find_files(
    config: FilesConfig, parameters: Mapping[str, Parameter], *, n_layers: int | None = None
) -> dict[str, NetcdfFile]:
    """The file of each variable, of those with `n_layers` layers where a number is given.

    Names of files differ between the releases, so every NetCDF file is looked into.
    """
    from luray.sources.netcdf_reader import open_netcdf

    files_of: dict[str, list[NetcdfFile]] = {name: [] for name in parameters}
    for url, _ in matching(config, r"[^/]+\.nc4?"):
        with open_netcdf(url) as data:
            names = [name for name in parameters if name in data.variables]
        if not names:
            continue
        file = inspect_netcdf(url)
        file.require(*names)
        for name in names:
            files_of[name].append(file)

    lacking = [name for name, files in files_of.items() if not files]
    if lacking:
        raise InputError(
            f"{config.where}: no NetCDF file holds {', '.join(lacking)}, expected "
            f"{', '.join(parameters)} (PNNL land surface parameters); get the files or correct "
            "`path`"
        )
    return {
        name: _one_of(files, name, config, n_layers=n_layers) for name, files in files_of.items()
    }


def _one_of(
    files: Sequence[NetcdfFile], name: str, config: FilesConfig, *, n_layers: int | None
) -> NetcdfFile:
    """The one file to read a variable from.

    Raises InputError for several, or none with the layers asked for.
    """
    if len(files) == 1:
        return files[0]
    layers = {file.url: layer_count(file, name) for file in files}
    listed = " and in ".join(f"{url} ({n} layers)" if n > 1 else url for url, n in layers.items())
    fitting = [file for file in files if n_layers in (None, layers[file.url])]
    if not fitting:
        raise InputError(
            f"{config.where}: {name} is in {listed}, expected {n_layers} layers as the run file "
            "says; correct `layers` or `layer_bottoms_cm`, or get the files"
        )
    if len(fitting) == 1:
        return fitting[0]

    numbers = sorted({layers[file.url] for file in fitting}, reverse=True)
    settings = [f"`layers = {n}`" for n in numbers if n in LAYERINGS]
    if len(numbers) > 1 and settings:
        raise InputError(
            f"{config.where}: {name} is in {listed}, expected one number of layers; set "
            f"{' or '.join(settings)} in this source of the run file"
        )
    raise InputError(
        f"{config.where}: {name} is in {listed}, expected one of them; set `path` to the one to use"
    )


def _conversions(
    file_of: Mapping[str, NetcdfFile], parameters: Mapping[str, Parameter]
) -> dict[str, Conversion]:
    """Conversion of each variable into its unit.

    Raises InputError for one in a unit of another kind.
    """
    conversions = {}
    for name, file in file_of.items():
        units = file.variables[name].units
        conversions[name] = conversion(units, parameters[name].units, where=f"{file.url}: {name}")
    return conversions


def _unit_rules(
    conversions: Mapping[str, Conversion], parameters: Mapping[str, Parameter]
) -> tuple[str, ...]:
    """Units that were assumed, and those that were converted, in words."""
    assumed = []
    changed = []
    for name, to_unit in conversions.items():
        units = parameters[name].units
        if not to_unit.declared and units != "1":
            assumed.append(f"{name} in {units}")
        if to_unit.changes:
            changed.append(f"{name}: {to_unit.rule}")
    if assumed:
        return (f"units not declared, taken as: {', '.join(assumed)}", *changed)
    return tuple(changed)


def _encodings(file_of: Mapping[str, NetcdfFile], names: Sequence[str]) -> tuple[Encoding, ...]:
    """Encoding of the published variable behind each variable."""
    return tuple(encoding_of_netcdf(name, [file_of[name]]) for name in names)


def _described(file_of: Mapping[str, NetcdfFile], rules: tuple[str, ...]) -> dict[str, Any]:
    """Fields of a source that topography and soil fill in alike."""
    files = list({file.url: file for file in file_of.values()}.values())
    grid = shared_grid(files)
    require_lattice(grid, where=files[0].url)
    return {
        "grid": grid,
        "years": (),
        "files": tuple(file.url for file in files),
        "file_of": file_of,
        "rules": (*rules, "NaN read as missing, as declared values are", *rules_of_files(files)),
    }
