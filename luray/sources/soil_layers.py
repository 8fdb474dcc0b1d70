"""The depths of soil layers: what a file says of them, and means over ranges of depth.

Files give lower edges, nodes (the depths inside the layers at which a model computes), bounds, or
no more than numbers. Edges and nodes look alike, so only published ones and those that the file
names are believed; all else is refused rather than guessed.

Shapes: Z layers, H W box.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from luray.core.types import F32, F64
from luray.sources.netcdf import NetcdfFile
from luray.sources.units import conversion
from luray.storage.errors import InputError

Edges = tuple[float, ...]
"""Edges of layers in cm, from 0 down: one more than there are layers."""


class Layering(NamedTuple):
    """A published set of layers: lower edges, and the depths that models give for them, in cm."""

    name: str
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

The Readme of PNNL's data gives these edges. The tenth of ELM ends half way to the eleventh, at
380 cm.
"""

RELATIVE_ROUNDING = 0.02
ROUNDING_CM = 0.3
"""How far a depth may miss a published one: a share of it, and cm. Axes are rounded."""

BOTTOM_WORDS = ("bottom", "lower edge", "lower boundary", "lower interface")
"""Words by which an axis of lower edges is recognised."""


def depth_mean(values_ZHW: F32, edges_cm: Edges, *, top: float, bottom: float) -> F32:
    """Average over a range of depths.

    Parameters
    ----------
    values_ZHW : array of float32, shape (Z, H, W)
        Values of the layers; NaN is missing and does not count.
    edges_cm : tuple of float
        Z + 1 edges of the layers in cm, from 0 down.
    top, bottom : float
        The range in cm.

    Returns
    -------
    array of float32, shape (H, W)
        Layers are weighted by their share of the range; NaN where none has a value.

    Examples
    --------
    >>> sand_ZHW = np.array([20, 40], np.float32).reshape(2, 1, 1)
    >>> depth_mean(sand_ZHW, (0, 10, 100), top=0, bottom=40).item()
    35.0
    """
    # How much of the range lies in each layer, in cm; 0 for layers outside it.
    edges = np.array(edges_cm)
    upper_Z = np.maximum(edges[:-1], top)
    lower_Z = np.minimum(edges[1:], bottom)
    overlap_Z = (lower_Z - upper_Z).clip(0)

    # A layer without a value has no weight in that cell.
    known_ZHW = np.isfinite(values_ZHW)
    weight_HW = np.einsum("z,zhw->hw", overlap_Z, known_ZHW)
    total_HW = np.einsum("z,zhw->hw", overlap_Z, np.where(known_ZHW, values_ZHW, 0))
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: missing
        mean_HW: F32 = (total_HW / weight_HW).astype(np.float32)
    return mean_HW


def layer_edges(
    file: NetcdfFile,
    variable: str,
    *,
    n_layers: int | None,
    bottoms_cm: tuple[float, ...],
    reaching_cm: float,
) -> tuple[Edges, str]:
    """Find the edges of the layers of a variable.

    Parameters
    ----------
    file : NetcdfFile
        The file of the variable.
    variable : str
        Its name.
    n_layers : int or None
        The number of layers that the run file names, if any.
    bottoms_cm : tuple of float
        Lower edges from the run file, which win over the file's; empty for none.
    reaching_cm : float
        Depth that the layers must reach.

    Returns
    -------
    edges : tuple of float
        In cm, from 0 down.
    origin : str
        How they are known, in words: from the run file, from the file, or by their number.

    Raises
    ------
    InputError
        For another number of layers, and where the depths cannot be told.
    """
    n, axes = _layer_axes(file, _layer_dimension(file, variable))
    if n_layers not in (None, n):
        raise InputError(
            f"{file.url}: {variable} has {n} layers, expected layers = {n_layers} as the run file "
            "says; correct `layers` or get the files"
        )

    edges: Edges = (0.0,)
    origin = ""
    if bottoms_cm:
        edges = _from_surface(bottoms_cm)
        origin = "lower edges from the run file"
    elif axes:
        edges = _agreed(axes, where=f"{file.url}, {variable}")
        origin = "depths from the file"
    elif n in LAYERINGS:
        edges = _from_surface(LAYERINGS[n].bottoms_cm)
        origin = f"depths of {LAYERINGS[n].name}"

    is_one_a_layer = len(edges) == n + 1
    goes_down = all(upper < lower for upper, lower in pairwise(edges))
    if not (is_one_a_layer and goes_down and edges[-1] >= reaching_cm):
        raise InputError(
            f"{file.url}: {variable} has {n} layers, known lower edges {list(edges[1:])} cm; "
            f"expected one a layer, downwards, past {reaching_cm:g} cm: set `layer_bottoms_cm` in "
            "the run file"
        )
    return edges, origin


def same_depths(depths_cm: Sequence[float] | F64, others_cm: Sequence[float]) -> bool:
    """Return whether these are as many depths, which differ by rounding only.

    Examples
    --------
    >>> same_depths((0, 5.0, 15.1), (0, 5, 15)), same_depths((0, 5), (0, 5, 15))
    (True, False)
    """
    return len(depths_cm) == len(others_cm) and np.allclose(
        depths_cm, others_cm, rtol=RELATIVE_ROUNDING, atol=ROUNDING_CM
    )


def layer_count(file: NetcdfFile, variable: str) -> int:
    """Return the length of all dimensions of a variable beside latitude and longitude."""
    from luray.sources.netcdf_reader import open_netcdf

    with open_netcdf(file.url) as data:
        sizes = dict(data[variable].sizes)
    return int(np.prod([n for dim, n in sizes.items() if dim not in file.axes]))


def _layer_dimension(file: NetcdfFile, variable: str) -> str:
    """The one dimension of a variable beside latitude and longitude."""
    dims = file.variables[variable].dims
    layer_dims = [dim for dim in dims if dim not in file.axes]
    if len(layer_dims) != 1:
        raise InputError(
            f"{file.url}: {variable} has dimensions {dims}, expected (layer, lat, lon)"
        )
    return layer_dims[0]


def _from_surface(bottoms_cm: Sequence[float]) -> Edges:
    return (0.0, *map(float, bottoms_cm))


class LayerAxis(NamedTuple):
    """Depths of layers that a file gives in one variable."""

    name: str
    values: tuple[Any, ...]
    edges: Edges | None
    """None where the depths cannot be told."""


def _agreed(axes: Sequence[LayerAxis], *, where: str) -> Edges:
    """The edges that the axes of a file give.

    Raises InputError where none can be told, or two differ.
    """
    edges_of_axes = [axis.edges for axis in axes if axis.edges is not None]
    if edges_of_axes and all(same_depths(edges, edges_of_axes[0]) for edges in edges_of_axes):
        return edges_of_axes[0]

    listed = ", ".join(f"{axis.name} = {list(axis.values)}" for axis in axes)
    expected = " or ".join(
        f"{list(layering.bottoms_cm)} cm ({layering.name})" for layering in LAYERINGS.values()
    )
    fault = "which differ" if edges_of_axes else "which may be edges or nodes"
    raise InputError(
        f"{where}: the layers lie at {listed}, {fault}; expected lower edges that are known, "
        f"{expected}, or called bottom: set `layer_bottoms_cm` in the run file"
    )


def _layer_axes(file: NetcdfFile, dimension: str) -> tuple[int, list[LayerAxis]]:
    """Number of layers, and what each axis along them says of their edges.

    An axis that only numbers the layers says nothing and is left out, as is one that is no depth.
    """
    from luray.sources.netcdf_reader import open_netcdf

    values_of_axis = {}
    bounds_of_axis = {}
    with open_netcdf(file.url) as data:
        n = int(data.sizes[dimension])
        for name, variable in data.variables.items():
            if variable.dims == (dimension,):
                values_of_axis[str(name)] = variable.values
            elif variable.dims[:1] == (dimension,) and variable.shape == (n, 2):
                bounds_of_axis[str(name)] = variable.values

    axes: list[LayerAxis] = []
    for name, values in values_of_axis.items():
        field = file.variables[name]
        depths = values.astype(float) if values.dtype.kind in "iuf" else np.full(n, np.nan)
        bounds = bounds_of_axis.get(str(field.attrs.get("bounds", "")))
        to_cm = _to_cm(field.units)
        if to_cm and bounds is not None:
            edges = _edges_of_bounds(bounds.astype(float) * to_cm)
        elif to_cm:
            edges = _edges_of_axis(depths * to_cm, says_bottom=_says_bottom(field.attrs))
        elif name == dimension and not _is_index(depths):
            is_bare = field.units.lower() in ("", "1")
            edges = _edges_of_bare_axis(depths) if is_bare else None
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
    """Whether the attributes of an axis call it one of lower edges."""
    keys = ("long_name", "standard_name", "description", "comment")
    text = " ".join(str(attrs.get(key, "")) for key in keys).lower()
    return any(word in text for word in BOTTOM_WORDS)


def _is_index(axis: F64) -> bool:
    """True for 0, 1, 2 ... or 1, 2, 3 ..., which number the layers."""
    return np.array_equal(axis - axis[0], np.arange(axis.size)) and axis[0] in (0, 1)


def _edges_of_bare_axis(depths: F64) -> Edges | None:
    """Edges from an axis without a unit: published depths in cm, else in m."""
    in_cm = _edges_of_axis(depths, says_bottom=False)
    if in_cm is not None:
        return in_cm
    return _edges_of_axis(depths * 100, says_bottom=False)


def _edges_of_axis(depths_cm: F64, *, says_bottom: bool) -> Edges | None:
    """Edges of layers from an axis of depths, None where they cannot be told.

    Lower edges and nodes look alike, so only published ones are believed, or what the file calls
    lower edges.
    """
    if (depths_cm <= 0).all():
        depths_cm = -depths_cm  # counted upwards
    layering = LAYERINGS.get(depths_cm.size)
    are_nodes = layering is not None and _is_published(depths_cm, layering.nodes_cm)
    are_bottoms = layering is not None and _is_published(depths_cm, layering.bottoms_cm)

    if layering is not None and are_nodes and not says_bottom:
        if layering.name != "ELM":
            return _from_surface(layering.bottoms_cm)
        # ELM defines the edge between two layers as the middle of their nodes.
        middles = (depths_cm[1:] + depths_cm[:-1]) / 2
        return _from_surface([*middles.tolist(), layering.bottoms_cm[-1]])
    if are_bottoms or (says_bottom and not are_nodes):
        return _from_surface(depths_cm.tolist())
    return None


def _is_published(depths_cm: F64, published_cm: Sequence[float]) -> bool:
    """Whether these are published depths.

    The last is given differently and lies below what is read: it only has to follow.
    """
    return same_depths(depths_cm[:-1], published_cm[:-1]) and bool(depths_cm[-1] > depths_cm[-2])


def _edges_of_bounds(bounds_cm: F64) -> Edges | None:
    """Edges from the CF bounds of an axis, shape (layers, 2).

    None unless they follow each other from 0 down.
    """
    upper = np.abs(bounds_cm).min(axis=1)
    lower = np.abs(bounds_cm).max(axis=1)
    if upper[0] != 0 or not np.allclose(upper[1:], lower[:-1]):
        return None
    return _from_surface(lower.tolist())
