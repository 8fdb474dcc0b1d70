"""PNNL 1 km land surface parameters (Li et al. 2024): topography and soil, 1/120 degree.

Files are found by the variables in them, because their names differ between the releases. Shapes: Z
layers, H W box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

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
from luray.sources.encoding import encoding_of_netcdf, turned
from luray.sources.layout import require_lattice, shared_grid
from luray.sources.netcdf import NetcdfFile, inspect_netcdf, open_netcdf, unpack
from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError

F64 = NDArray[np.float64]


def _static(name: str, units: str, long_name: str, scale: float = 1.0) -> Variable:
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


STEP = 1 / 120

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

FEWEST_OF_ONE, FEWEST_OF_BOTH = 100, 10
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

SOIL_VARIABLES = tuple(
    _static(f"{name}_{top}_{bottom}cm", units, f"{long_name}, {top}-{bottom} cm", scale)
    for name, units, long_name, scale in (
        ("sand", "%", "sand", 100.0),
        ("clay", "%", "clay", 100.0),
        ("organic", "kg m-3", "organic matter", 50.0),
    )
    for top, bottom in DEPTHS_CM
)

SOIL_FIELDS = tuple(name for name in SOIL for _ in DEPTHS_CM)
"""Published variable of each of `SOIL_VARIABLES`."""


class Layering(NamedTuple):
    """A published set of layers: lower edges, and the depths that models give for them, in cm."""

    of: str
    bottoms_cm: tuple[float, ...]
    nodes_cm: tuple[float, ...]


LAYERINGS: Mapping[int, Layering] = {
    10: Layering(
        "ELM",
        (1.75, 4.51, 9.06, 16.55, 28.91, 49.29, 82.89, 138.28, 229.61, 380.19),
        (0.71, 2.79, 6.23, 11.89, 21.22, 36.61, 61.98, 103.80, 172.76, 286.46),
    ),
    6: Layering("SoilGrids", (5, 15, 30, 60, 100, 200), (2.5, 10, 22.5, 45, 80, 150)),
}
"""The published layers by their number: the first 10 of the 15 of ELM and CLM, 6 of SoilGrids.

The Readme of the data gives these edges. The tenth of ELM ends half way to the eleventh, at 380 cm.
"""

SAME_DEPTH = 0.02, 0.3
"""How far a depth may miss a published one: a share of it, and cm (axes are rounded)."""

BOTTOM_WORDS = ("bottom", "lower edge", "lower boundary", "lower interface")
"""What an axis of lower edges is called."""


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
        """The source; see `open_pnnl_topo`."""
        return open_pnnl_topo(self)


class PnnlSoilConfig(FilesConfig):
    """Where PNNL's soil is.

    The published folder holds every variable in `layers` = 10 (of ELM) and 6 (of SoilGrids), of
    which one is read.
    `layer_bottoms_cm` gives the lower edges of the layers, over what the file says.
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
                "given, "
                "expected one lower edge a layer; correct one of them"
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
        """The source; see `open_pnnl_soil`."""
        return open_pnnl_soil(self)


@dataclass(frozen=True, kw_only=True)
class _Pnnl(Described):
    parameters: Mapping[str, Parameter]
    holders: Mapping[str, NetcdfFile]
    """File of each published variable."""
    conversions: Mapping[str, Conversion]
    """What turns each published variable into its unit."""

    def _values(self, name: str, box: Box) -> F32:
        """A published variable in its unit, shape (..., height, width), NaN where missing."""
        file, wanted = self.holders[name], self.parameters[name]
        [raw] = file.read((name,), box)
        values: F32 = self.conversions[name](unpack(raw, file.variables[name]))
        for layer_HW in values.reshape(-1, *box.shape):
            refuse_cells(
                (layer_HW < wanted.low - 1e-3) | (layer_HW > wanted.high + 1e-3),
                layer_HW,
                grid=self.grid,
                box=box,
                where=f"{file.url}, {name}",
                found="are out of range",
                expected=f"{wanted.low:g} to {wanted.high:g} {wanted.units} or a declared missing value; "
                "check its units and fill attributes",
            )
        return values


@dataclass(frozen=True, kw_only=True)
class PnnlTopo(_Pnnl):
    """Elevation, its spread, slope, aspect as sine and cosine, sky view and terrain configuration."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Topography, shape (7, height, width), float32; see `Source.read`."""
        fields: list[F32] = []
        for name in TOPOGRAPHY:
            values = self._values(name, box)
            fields += (
                [values]
                if name != "ASPECT"
                else [np.sin(np.radians(values)), np.cos(np.radians(values))]
            )
        return np.stack(fields).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class PnnlSoil(_Pnnl):
    """Sand, clay and organic matter, each as the mean over 0-30 and 30-100 cm."""

    edges_cm: tuple[float, ...]
    """Edges of the layers, from 0 down."""

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Soil, shape (6, height, width), float32; see `Source.read`."""
        values = {name: self._values(name, box) for name in SOIL}
        self._refuse_fractions({name: values[name] for name in TEXTURE})
        means = []
        for name in SOIL:
            for top, bottom in DEPTHS_CM:
                means.append(depth_mean(values[name], self.edges_cm, top=top, bottom=bottom))
        return np.stack(means)

    def _refuse_fractions(self, texture: Mapping[str, F32]) -> None:
        """Raise InputError for fractions that are said to be percent; no range tells them apart.

        Zeros do not count: some files have them where there is no soil.
        """
        positive = {name: values[values > 0] for name, values in texture.items()}
        small = [name for name, values in positive.items() if values.size and values.max() <= 1]
        if len(small) == len(positive):
            enough = sum(values.size for values in positive.values()) >= FEWEST_OF_BOTH
        else:
            enough = any(positive[name].size >= FEWEST_OF_ONE for name in small)
        if not enough:
            return

        name = max(small, key=lambda name: positive[name].size)
        raise InputError(
            f"{self.holders[name].url}, {name}: all {positive[name].size} positive values are at "
            "most "
            f"{positive[name].max():.3g} %, which no soil is; expected percent. If they are "
            "fractions, "
            "set the units attribute to 1"
        )


def depth_mean(values_ZHW: F32, edges_cm: tuple[float, ...], *, top: float, bottom: float) -> F32:
    """Mean over a range of depths, layers weighted by their share of it, shape (H, W); missing
    layers do not count.
    """
    edges = np.array(edges_cm)
    overlap_Z = (np.minimum(edges[1:], bottom) - np.maximum(edges[:-1], top)).clip(0)
    known = np.isfinite(values_ZHW)
    weight_HW = np.einsum("z,zhw->hw", overlap_Z, known)
    total_HW = np.einsum("z,zhw->hw", overlap_Z, np.where(known, values_ZHW, 0))
    with np.errstate(invalid="ignore"):
        mean_HW: F32 = (total_HW / weight_HW).astype(np.float32)
    return mean_HW


def open_pnnl_topo(config: PnnlTopoConfig) -> Source:
    """PNNL topography. Raises InputError for variables that are lacking, there twice, in other
    units or off lattice.
    """
    holders = _holders(config, TOPOGRAPHY)
    for name, file in holders.items():
        _require_dims(file, name, 2)
    conversions = _conversions(holders, TOPOGRAPHY)
    rules = ("aspect turned to its sine and cosine", *_unit_rules(conversions, TOPOGRAPHY))
    return PnnlTopo(
        name="pnnl_topo",
        about=TOPO_ABOUT,
        variables=TOPO_VARIABLES,
        parameters=TOPOGRAPHY,
        conversions=conversions,
        stored=_stored(holders, TOPO_FIELDS),
        **_common(holders, rules),
    )


def open_pnnl_soil(config: PnnlSoilConfig) -> Source:
    """PNNL soil. Raises InputError as `open_pnnl_topo`, and where the depths of the layers cannot
    be told.
    """
    holders = _holders(config, SOIL, n_layers=config.n_layers)
    told = [_edges(file, name, config) for name, file in holders.items()]
    edges_cm, origin = told[0]
    if not all(_alike(edges, edges_cm) for edges, _ in told):
        raise InputError(
            f"{config.where}: {', '.join(SOIL)} have different layers, expected the same for all"
        )
    conversions = _conversions(holders, SOIL)
    rules = (
        f"{len(edges_cm) - 1} layers ({origin}) reduced to depth-weighted 0-30 cm and 30-100 cm",
        *_unit_rules(conversions, SOIL),
    )
    return PnnlSoil(
        name="pnnl_soil",
        about=SOIL_ABOUT,
        variables=SOIL_VARIABLES,
        parameters=SOIL,
        edges_cm=edges_cm,
        conversions=conversions,
        stored=_stored(holders, SOIL_FIELDS),
        **_common(holders, rules),
    )


def _holders(
    config: FilesConfig, wanted: Mapping[str, Parameter], *, n_layers: int | None = None
) -> dict[str, NetcdfFile]:
    """The file of each variable, of those with `n_layers` layers where a number is given."""
    held: dict[str, list[NetcdfFile]] = {name: [] for name in wanted}
    for url, _ in matching(config, r"[^/]+\.nc4?"):
        with open_netcdf(url) as data:
            names = [name for name in wanted if name in data.variables]
        if not names:
            continue
        file = inspect_netcdf(url)
        file.require(*names)
        for name in names:
            held[name].append(file)

    lacking = [name for name, files in held.items() if not files]
    if lacking:
        raise InputError(
            f"{config.where}: no NetCDF file holds {', '.join(lacking)}, expected "
            f"{', '.join(wanted)} "
            "(PNNL land surface parameters); get the files or correct `path`"
        )
    return {name: _one_of(files, name, config, n_layers=n_layers) for name, files in held.items()}


def _one_of(
    files: Sequence[NetcdfFile], name: str, config: FilesConfig, *, n_layers: int | None
) -> NetcdfFile:
    """The one file to read a variable from.

    Raises InputError for several, or none with the layers asked for.
    """
    if len(files) == 1:
        return files[0]
    layers = {file.url: _layer_count(file, name) for file in files}
    listed = " and in ".join(f"{url} ({n} layers)" if n > 1 else url for url, n in layers.items())
    fitting = [file for file in files if n_layers in (None, layers[file.url])]
    if not fitting:
        raise InputError(
            f"{config.where}: {name} is in {listed}, expected {n_layers} layers as the run file "
            "says; "
            "correct `layers` or `layer_bottoms_cm`, or get the files"
        )
    if len(fitting) == 1:
        return fitting[0]

    numbers = sorted({layers[file.url] for file in fitting}, reverse=True)
    known = [f"`layers = {n}`" for n in numbers if n in LAYERINGS]
    if len(numbers) > 1 and known:
        raise InputError(
            f"{config.where}: {name} is in {listed}, expected one number of layers; set "
            f"{' or '.join(known)} in this source of the run file"
        )
    raise InputError(
        f"{config.where}: {name} is in {listed}, expected one of them; set `path` to the one to use"
    )


def _layer_count(file: NetcdfFile, name: str) -> int:
    """Length of all dimensions of a variable beside latitude and longitude."""
    with open_netcdf(file.url) as data:
        sizes = dict(data[name].sizes)
    return int(np.prod([n for dim, n in sizes.items() if dim not in file.axes]))


def _require_dims(file: NetcdfFile, name: str, n: int) -> str:
    """Name of the layer dimension, empty for two dimensions."""
    others = [d for d in file.variables[name].dims if d not in file.axes]
    if len(others) != n - 2:
        raise InputError(
            f"{file.url}: {name} has dimensions {file.variables[name].dims}, expected "
            f"{'(layer, lat, lon)' if n == 3 else '(lat, lon)'}"
        )
    return others[0] if others else ""


Edges = tuple[float, ...]
"""Edges of layers in cm, from 0 down."""


def _edges(file: NetcdfFile, name: str, config: PnnlSoilConfig) -> tuple[Edges, str]:
    """Edges of the layers, and how they are known: run file, file's axis, or their number."""
    n, depths = _depths(file, _require_dims(file, name, 3))
    if config.layers not in (None, n):
        raise InputError(
            f"{file.url}: {name} has {n} layers, expected layers = {config.layers} as the run file "
            "says; "
            "correct `layers` or get the files"
        )
    if config.layer_bottoms_cm:
        edges, origin = (0.0, *map(float, config.layer_bottoms_cm)), "lower edges from the run file"
    elif depths:
        edges, origin = _agreed(depths, where=f"{file.url}, {name}"), "depths from the file"
    elif n in LAYERINGS:
        edges, origin = (0.0, *map(float, LAYERINGS[n].bottoms_cm)), f"depths of {LAYERINGS[n].of}"
    else:
        edges, origin = (0.0,), ""

    if (
        len(edges) != n + 1
        or any(b <= a for a, b in pairwise(edges))
        or edges[-1] < DEPTHS_CM[-1][0]
    ):
        raise InputError(
            f"{file.url}: {name} has {n} layers, known lower edges {list(edges[1:])} cm; expected "
            "one a "
            "layer, downwards, past 30 cm: set `layer_bottoms_cm` in the run file"
        )
    return edges, origin


class LayerAxis(NamedTuple):
    """What a file says of the depths of its layers in one variable."""

    name: str
    values: tuple[Any, ...]
    edges: Edges | None
    """None where the depths cannot be told."""


def _agreed(axes: Sequence[LayerAxis], *, where: str) -> Edges:
    """The edges that the axes of a file give.

    Raises InputError where none can be told, or two differ.
    """
    told = [axis.edges for axis in axes if axis.edges is not None]
    if told and all(_alike(edges, told[0]) for edges in told):
        return told[0]
    found = ", ".join(f"{axis.name} = {list(axis.values)}" for axis in axes)
    expected = " or ".join(
        f"{list(layering.bottoms_cm)} cm ({layering.of})" for layering in LAYERINGS.values()
    )
    fault = "which differ" if told else "which may be edges or nodes"
    raise InputError(
        f"{where}: the layers lie at {found}, {fault}; expected lower edges that are known, "
        f"{expected}, "
        "or called bottom: set `layer_bottoms_cm` in the run file"
    )


def _depths(file: NetcdfFile, layer: str) -> tuple[int, list[LayerAxis]]:
    """Number of layers, and what each axis along them says of their edges.

    An axis that only numbers the layers says nothing and is left out, as is one that is no depth.
    """
    with open_netcdf(file.url) as data:
        n = int(data.sizes[layer])
        along = {str(k): v.values for k, v in data.variables.items() if v.dims == (layer,)}
        bounds = {
            str(k): v.values
            for k, v in data.variables.items()
            if v.dims[:1] == (layer,) and v.shape == (n, 2)
        }

    axes: list[LayerAxis] = []
    for name, values in along.items():
        field = file.variables[name]
        numbers = values.astype(float) if values.dtype.kind in "iuf" else np.full(n, np.nan)
        own_bounds = bounds.get(str(field.attrs.get("bounds", "")))
        to_cm = _to_cm(field.units)
        if to_cm and own_bounds is not None:
            edges = _edges_of_bounds(own_bounds.astype(float) * to_cm)
        elif to_cm:
            edges = _edges_of_axis(numbers * to_cm, says_bottom=_says_bottom(field.attrs))
        elif name == layer and not _is_index(numbers):
            scales = (
                (1, 100) if field.units.lower() in ("", "1") else ()
            )  # cm or m, where no unit is declared
            told = [_edges_of_axis(numbers * scale, says_bottom=False) for scale in scales]
            edges = next((known for known in told if known is not None), None)
        else:
            continue
        axes.append(LayerAxis(name, tuple(values.tolist()), edges))
    return n, axes


def _to_cm(units: str) -> float:
    """Centimetres of a unit of length, 0 for any other or none."""
    try:
        return conversion(units, "cm", where="layer").factor if units else 0.0
    except InputError:
        return 0.0


def _says_bottom(attrs: Mapping[str, Any]) -> bool:
    texts = " ".join(
        str(attrs.get(key, "")) for key in ("long_name", "standard_name", "description", "comment")
    )
    return any(word in texts.lower() for word in BOTTOM_WORDS)


def _is_index(axis: F64) -> bool:
    """True for 0, 1, 2 ... or 1, 2, 3 ..., which number the layers."""
    return np.array_equal(axis - axis[0], np.arange(axis.size)) and axis[0] in (0, 1)


def _edges_of_axis(depths_cm: F64, *, says_bottom: bool) -> Edges | None:
    """Edges of layers from an axis of depths, None where they cannot be told.

    Lower edges and nodes look alike, so only published ones are believed, or what the file calls
    lower edges.
    """
    if (depths_cm <= 0).all():
        depths_cm = -depths_cm  # counted upwards
    layering = LAYERINGS.get(depths_cm.size)
    is_node = layering is not None and _same(depths_cm, layering.nodes_cm)
    if layering is not None and not says_bottom and is_node:
        if layering.of != "ELM":
            return (0.0, *layering.bottoms_cm)
        middle = (
            depths_cm[1:] + depths_cm[:-1]
        ) / 2  # the definition of the edges between ELM's nodes
        return (0.0, *middle.tolist(), layering.bottoms_cm[-1])
    is_bottom = layering is not None and _same(depths_cm, layering.bottoms_cm)
    if is_bottom or (says_bottom and not is_node):
        return (0.0, *depths_cm.tolist())
    return None


def _same(depths_cm: F64, published_cm: Sequence[float]) -> bool:
    """True for published depths.

    The last is given differently and lies below what is read: it only has to follow.
    """
    return _alike(depths_cm[:-1], published_cm[:-1]) and bool(depths_cm[-1] > depths_cm[-2])


def _alike(depths_cm: Sequence[float] | F64, others_cm: Sequence[float]) -> bool:
    """True for as many depths that differ by rounding only."""
    share, cm = SAME_DEPTH
    return len(depths_cm) == len(others_cm) and np.allclose(
        depths_cm, others_cm, rtol=share, atol=cm
    )


def _edges_of_bounds(bounds_cm: F64) -> Edges | None:
    """Edges from the CF bounds of an axis, shape (layers, 2).

    None unless they follow each other from 0 down.
    """
    upper, lower = np.abs(bounds_cm).min(axis=1), np.abs(bounds_cm).max(axis=1)
    if upper[0] != 0 or not np.allclose(upper[1:], lower[:-1]):
        return None
    return (0.0, *lower.tolist())


def _conversions(
    holders: Mapping[str, NetcdfFile], wanted: Mapping[str, Parameter]
) -> dict[str, Conversion]:
    """What turns each variable into its unit.

    Raises InputError for one in a unit of another kind.
    """
    conversions = {}
    for name, file in holders.items():
        units = file.variables[name].units
        conversions[name] = conversion(units, wanted[name].units, where=f"{file.url}: {name}")
    return conversions


def _unit_rules(
    conversions: Mapping[str, Conversion], wanted: Mapping[str, Parameter]
) -> tuple[str, ...]:
    bare = [
        f"{name} in {wanted[name].units}"
        for name, conversion in conversions.items()
        if not conversion.declared and wanted[name].units != "1"
    ]
    rules = [f"units not declared, taken as: {', '.join(bare)}"] if bare else []
    for name, turned_by in conversions.items():
        if turned_by.changes:
            rules.append(f"{name}: {turned_by.rule}")
    return tuple(rules)


def _stored(holders: Mapping[str, NetcdfFile], names: Sequence[str]) -> tuple[Encoding, ...]:
    """How the published variable of each variable is in its file."""
    return tuple(encoding_of_netcdf(name, [holders[name]]) for name in names)


def _common(holders: Mapping[str, NetcdfFile], rules: tuple[str, ...]) -> dict[str, Any]:
    used = list({file.url: file for file in holders.values()}.values())
    grid = shared_grid(used)
    require_lattice(grid, where=used[0].url)
    files = tuple(f.url for f in used)
    return {
        "grid": grid,
        "years": (),
        "files": files,
        "holders": holders,
        "rules": (*rules, "NaN read as missing, as declared values are", *turned(used)),
    }
