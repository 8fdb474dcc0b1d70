"""PNNL 1 km land surface parameters (Li et al. 2024): topography and soil, 1/120 degree.

Files are found by the variables in them, because their names differ between the releases. Shapes: Z layers, H W box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Setting

from luray.schema import F32, Variable
from luray.sources.base import About, Described, FilesConfig, InputError, Request, Source, Stored, refuse_cells
from luray.sources.files import Field, NetcdfFile, inspect_netcdf, matching, open_netcdf, shared_grid, unpack
from luray.sources.layout import require_lattice
from luray.sources.stored import stored_netcdf, turned
from luray.windows import Box

F64 = NDArray[np.float64]

DEGREES = ("degrees", "degree", "deg")
RADIANS = ("radian", "radians", "rad")
METRES = ("m", "metre", "metres", "meter", "meters")
NO_UNIT = ("1", "-", "unitless", "dimensionless", "none")


def _static(name: str, units: str, long_name: str, scale: float = 1.0) -> Variable:
    return Variable(name=name, role="static", units=units, long_name=long_name, resampling="bilinear", scale=scale)


@dataclass(frozen=True)
class Parameter:
    """A published variable: the units it may be in (none declared counts as the first) and the values it may have."""

    units: tuple[str, ...]
    low: float
    high: float


TOPOGRAPHY: Mapping[str, Parameter] = {
    "ELEVATION": Parameter(METRES, -12000, 9000),
    "STDEV_ELEV": Parameter(METRES, 0, 9000),
    "SLOPE": Parameter((*DEGREES, *RADIANS), 0, 90),
    "ASPECT": Parameter((*DEGREES, *RADIANS), -360, 360),
    "SKY_VIEW_FACTOR": Parameter(NO_UNIT, 0, 2),
    "TERRAIN_CONFIG": Parameter(NO_UNIT, -1, 2),
}

SOIL: Mapping[str, Parameter] = {
    "PCT_SAND": Parameter(("%", "percent", "per cent"), 0, 100),
    "PCT_CLAY": Parameter(("%", "percent", "per cent"), 0, 100),
    "ORGANIC": Parameter(("kg/m3", "kg m-3", "kg m^-3", "kg/m^3"), 0, 1000),
}

TOPO_FIELDS = ("ELEVATION", "STDEV_ELEV", "SLOPE", "ASPECT", "ASPECT", "SKY_VIEW_FACTOR", "TERRAIN_CONFIG")
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

SOIL_VARIABLES = tuple(
    _static(f"{name}_{top}_{bottom}cm", units, f"{long_name}, {top}-{bottom} cm", scale)
    for name, units, long_name, scale in (("sand", "%", "sand", 100.0), ("clay", "%", "clay", 100.0),
                                          ("organic", "kg m-3", "organic matter", 50.0))
    for top, bottom in DEPTHS_CM)

SOIL_FIELDS = tuple(name for name in SOIL for _ in DEPTHS_CM)
"""Published variable of each of `SOIL_VARIABLES`."""

LAYERS_CM: Mapping[int, tuple[float, ...]] = {
    10: (1.75, 4.51, 9.06, 16.55, 28.91, 49.29, 82.89, 138.28, 229.61, 343.31),
    6: (5, 15, 30, 60, 100, 200),
}
"""Lower edges of the layers by their number, where the file does not say: 10 of ELM and CLM, 6 of SoilGrids."""



def _ranges(variables: Sequence[Variable], fields: Sequence[str], published: Mapping[str, Parameter]) -> dict[str, str]:
    """Range of each variable, that of the published variable which it is made of."""
    parts = {v.name: published[field] for v, field in zip(variables, fields, strict=True)}
    return {name: f"{p.low:g}..{p.high:g}{'' if p.units is NO_UNIT else f' {p.units[0]}'}" for name, p in parts.items()}


TOPO_ABOUT = About(
    title="PNNL global 1 km land surface parameters: topography",
    doi="10.25584/PNNLDH/1986308",
    licence="other",
    url="https://doi.org/10.25584/PNNLDH/1986308",
    files=("any NetCDF with " + " ".join(TOPOGRAPHY),),
    values="1/120 degrees; missing values declared",
    ranges=_ranges(TOPO_VARIABLES, TOPO_FIELDS, TOPOGRAPHY) | {"aspect_sin": "-1..1", "aspect_cos": "-1..1"},
)
SOIL_ABOUT = replace(TOPO_ABOUT, title="PNNL global 1 km land surface parameters: soil",
                     files=("any NetCDF with " + " ".join(SOIL) + " (layer, lat, lon)",),
                     values="1/120 degrees; layers from the surface down past 30 cm; missing values declared",
                     ranges=_ranges(SOIL_VARIABLES, SOIL_FIELDS, SOIL))


class PnnlTopoConfig(FilesConfig):
    """Where PNNL's topography is: a folder or a file."""

    about: ClassVar[About] = TOPO_ABOUT
    holds: ClassVar[bool] = True
    kind: Literal["pnnl_topo"]

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Topography."""
        return TOPO_VARIABLES

    def open(self, request: Request) -> Source:
        """The source; see `open_pnnl_topo`."""
        return open_pnnl_topo(self)


class PnnlSoilConfig(FilesConfig):
    """Where PNNL's soil is; `layer_bottoms_cm` gives the depths of the layers, over what the file says."""

    about: ClassVar[About] = SOIL_ABOUT
    holds: ClassVar[bool] = True
    kind: Literal["pnnl_soil"]
    layer_bottoms_cm: Annotated[tuple[float, ...], Setting(strict=False)] = ()

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Soil."""
        return SOIL_VARIABLES

    def open(self, request: Request) -> Source:
        """The source; see `open_pnnl_soil`."""
        return open_pnnl_soil(self)


@dataclass(frozen=True, kw_only=True)
class _Pnnl(Described):
    parameters: Mapping[str, Parameter]
    holders: Mapping[str, NetcdfFile]
    """File of each published variable."""

    def _values(self, name: str, box: Box) -> F32:
        """A published variable in its first unit, shape (..., height, width), NaN where missing."""
        file, wanted = self.holders[name], self.parameters[name]
        field = file.variables[name]
        [raw] = file.read((name,), box)
        values = unpack(raw, field)
        if field.units.lower() in RADIANS:
            values = np.degrees(values)
        for layer_HW in values.reshape(-1, *box.shape):
            refuse_cells((layer_HW < wanted.low - 1e-3) | (layer_HW > wanted.high + 1e-3), layer_HW, grid=self.grid,
                         box=box, where=f"{file.url}, {name}", found="are out of range",
                         expected=f"{wanted.low:g} to {wanted.high:g} {wanted.units[0]} or a declared missing value; "
                                  "check its units and fill attributes")
        return values


@dataclass(frozen=True, kw_only=True)
class PnnlTopo(_Pnnl):
    """Elevation, its spread, slope, aspect as sine and cosine, sky view and terrain configuration."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Topography, shape (7, height, width), float32; see `Source.read`."""
        fields: list[F32] = []
        for name in TOPOGRAPHY:
            values = self._values(name, box)
            fields += [values] if name != "ASPECT" else [np.sin(np.radians(values)), np.cos(np.radians(values))]
        return np.stack(fields).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PnnlSoil(_Pnnl):
    """Sand, clay and organic matter, each as the mean over 0-30 and 30-100 cm."""

    edges_cm: tuple[float, ...]
    """Edges of the layers, from 0 down."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Soil, shape (6, height, width), float32; see `Source.read`."""
        means = [depth_mean(self._values(name, box), self.edges_cm, top=top, bottom=bottom)
                 for name in SOIL for top, bottom in DEPTHS_CM]
        return np.stack(means)


def depth_mean(values_ZHW: F32, edges_cm: tuple[float, ...], *, top: float, bottom: float) -> F32:
    """Mean over a range of depths, layers weighted by their share of it, shape (H, W); missing layers do not count."""
    edges = np.array(edges_cm)
    overlap_Z = (np.minimum(edges[1:], bottom) - np.maximum(edges[:-1], top)).clip(0)
    known = np.isfinite(values_ZHW)
    weight_HW = np.einsum("z,zhw->hw", overlap_Z, known)
    total_HW = np.einsum("z,zhw->hw", overlap_Z, np.where(known, values_ZHW, 0))
    with np.errstate(invalid="ignore"):
        mean_HW: F32 = (total_HW / weight_HW).astype(np.float32)
    return mean_HW


def open_pnnl_topo(config: PnnlTopoConfig) -> Source:
    """PNNL topography. Raises InputError for variables that are lacking, there twice, in other units or off lattice."""
    holders = _holders(config, TOPOGRAPHY)
    for name, file in holders.items():
        _require_dims(file, name, 2)
    return PnnlTopo(name="pnnl_topo", about=TOPO_ABOUT, variables=TOPO_VARIABLES, parameters=TOPOGRAPHY,
                    stored=_stored(holders, TOPO_FIELDS),
                    **_common(holders, ("aspect turned to its sine and cosine", *_unit_rules(holders, TOPOGRAPHY))))


def open_pnnl_soil(config: PnnlSoilConfig) -> Source:
    """PNNL soil. Raises InputError as `open_pnnl_topo`, and where the depths of the layers cannot be told."""
    holders = _holders(config, SOIL)
    layers = {(_require_dims(file, name, 3), _edges(file, name, config)) for name, file in holders.items()}
    if len(layers) != 1:
        raise InputError(f"{config.where}: {', '.join(SOIL)} have different layers, expected the same for all")
    [(_, (edges_cm, origin))] = layers
    rule = f"{len(edges_cm) - 1} layers ({origin}) reduced to depth-weighted 0-30 cm and 30-100 cm"
    return PnnlSoil(name="pnnl_soil", about=SOIL_ABOUT, variables=SOIL_VARIABLES, parameters=SOIL, edges_cm=edges_cm,
                    stored=_stored(holders, SOIL_FIELDS), **_common(holders, (rule, *_unit_rules(holders, SOIL))))


def _holders(config: FilesConfig, wanted: Mapping[str, Parameter]) -> dict[str, NetcdfFile]:
    """The file that holds each variable."""
    holders: dict[str, NetcdfFile] = {}
    for url, _ in matching(config, r"[^/]+\.nc4?"):
        with open_netcdf(url) as data:
            held = [name for name in wanted if name in data.variables]
        if not held:
            continue
        file = inspect_netcdf(url)
        file.require(*held)
        for name in held:
            if name in holders:
                raise InputError(f"{config.where}: {name} is in {holders[name].url} and in {url}, expected one of "
                                 "them; set `path` to the one to use")
            holders[name] = file
    lacking = [name for name in wanted if name not in holders]
    if lacking:
        raise InputError(f"{config.where}: no NetCDF file holds {', '.join(lacking)}, expected {', '.join(wanted)} "
                         "(PNNL land surface parameters); get the files or correct `path`")
    for name, file in holders.items():
        units = file.variables[name].units
        if units and units.lower() not in wanted[name].units:
            raise InputError(f"{file.url}: {name} is in {units!r}, expected {' or '.join(wanted[name].units)}; correct "
                             "the units attribute or convert the values")
    return {name: holders[name] for name in wanted}


def _require_dims(file: NetcdfFile, name: str, n: int) -> str:
    """Name of the layer dimension, empty for two dimensions."""
    others = [d for d in file.variables[name].dims if d not in file.axes]
    if len(others) != n - 2:
        raise InputError(f"{file.url}: {name} has dimensions {file.variables[name].dims}, expected "
                         f"{'(layer, lat, lon)' if n == 3 else '(lat, lon)'}")
    return others[0] if others else ""


def _edges(file: NetcdfFile, name: str, config: PnnlSoilConfig) -> tuple[tuple[float, ...], str]:
    """Edges of the layers in cm from 0 down, and how they are known: the run file, the file's axis, or their number."""
    layer = _require_dims(file, name, 3)
    with open_netcdf(file.url) as data:
        n = int(data.sizes[layer])
        axis = data[layer].values.astype(float) if layer in data.variables else None
    bottoms, origin = config.layer_bottoms_cm, "lower edges from the run file"
    field = file.variables.get(layer)
    if not bottoms and axis is not None and field is not None and field.units.lower() in ("cm", *METRES):
        bottoms, origin = _bottoms(axis * (1 if field.units.lower() == "cm" else 100), field), "depths from the file"
    if not bottoms:
        bottoms, origin = LAYERS_CM.get(n, ()), {10: "depths of ELM", 6: "depths of SoilGrids"}.get(n, "")
    edges = (0.0, *(float(b) for b in bottoms))
    if len(bottoms) != n or any(b <= a for a, b in pairwise(edges)) or edges[-1] < DEPTHS_CM[-1][0]:
        raise InputError(f"{file.url}: {name} has {n} layers, known lower edges {list(bottoms)} cm; expected one a "
                         "layer, downwards, past 30 cm: set `layer_bottoms_cm` in the run file")
    return edges, origin


def _bottoms(depths_cm: F64, field: Field) -> tuple[float, ...]:
    """Lower edges of layers from an axis of depths: the edges themselves where it says so, else midway of the nodes."""
    if "bottom" in str(field.attrs.get("long_name", "")).lower():
        return tuple(depths_cm.tolist())
    middle = (depths_cm[1:] + depths_cm[:-1]) / 2
    last = depths_cm[-1] + (depths_cm[-1] - depths_cm[-2]) / 2 if len(depths_cm) > 1 else 2 * depths_cm[-1]
    return (*middle.tolist(), float(last))


def _unit_rules(holders: Mapping[str, NetcdfFile], wanted: Mapping[str, Parameter]) -> tuple[str, ...]:
    units = {name: holders[name].variables[name].units.lower() for name in wanted}
    bare = [f"{name} in {wanted[name].units[0]}" for name, unit in units.items()
            if not unit and wanted[name].units is not NO_UNIT]
    turned = [name for name, unit in units.items() if unit in RADIANS]
    return (*([f"units not declared, taken as: {', '.join(bare)}"] if bare else []),
            *([f"{', '.join(turned)} turned from radians to degrees"] if turned else []))


def _stored(holders: Mapping[str, NetcdfFile], names: Sequence[str]) -> tuple[Stored, ...]:
    """How the published variable of each variable is in its file."""
    return tuple(stored_netcdf(name, [holders[name]]) for name in names)


def _common(holders: Mapping[str, NetcdfFile], rules: tuple[str, ...]) -> dict[str, Any]:
    used = list({file.url: file for file in holders.values()}.values())
    grid = shared_grid(used)
    require_lattice(grid, where=used[0].url)
    files = tuple(f.url for f in used)
    return {"grid": grid, "years": (), "files": files, "holders": holders,
            "rules": (*rules, "NaN read as missing, as declared values are", *turned(used))}
