"""How a class is shared out among the states of LUH2: by the forcing, or by assumption.

Shapes: S states; Y X coarse cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from luray.core.grid import ALIGNMENT, Grid
from luray.core.legend import Legend
from luray.core.tiling import Box
from luray.core.types import F64
from luray.cube.cube import Cube, Layer
from luray.sources.luh2 import OPTIONAL, STATES


class StateWeights(Protocol):
    """How much of each state a coarse cell has; only the proportions within a class count."""

    @property
    def states(self) -> tuple[str, ...]:
        """Names, S of them, in the order of `luray.sources.luh2.STATES`."""

    @property
    def words(self) -> str:
        """Where the weights come from, for the attributes of a file."""

    def weights(self, year: int) -> F64:
        """Return the weight of each state in a year, 0 where it has none, shape (S, Y, X)."""


@dataclass(frozen=True)
class Group:
    """Classes that LUH2 cannot tell apart, and the states that they are shared out among."""

    classes: tuple[int, ...]
    """Class indices of the legend."""
    states: tuple[int, ...]
    """Positions among the states."""
    default: int
    """Position of the state that stands for all where nothing is known of the others."""


def groups_of(
    legend: Legend, states: Sequence[str], defaults: Mapping[str, str]
) -> tuple[Group, ...]:
    """Return the groups of a legend's classes, in the order of the states.

    Parameters
    ----------
    legend : Legend
        Of the maps. Its water is in no group.
    states : sequence of str
        Names of LUH2's states.
    defaults : mapping of str to str
        State that stands for each code, from the crosswalk.

    Raises
    ------
    ValueError
        For a class that is no state of LUH2, and a default that is no state of its class.
    """
    codes = [int(code) for code in legend.codes]
    unknown = [
        f"{land_class.code} {land_class.name}"
        for land_class in legend.classes
        if land_class.code != legend.water
        and not any(land_class.code in STATES[state].codes for state in states)
    ]
    if unknown:
        raise ValueError(
            f"the legend {legend.name} has classes that are no states of LUH2: "
            f"{', '.join(unknown)}; expected codes of HILDA+, see luray.sources.luh2.STATES"
        )

    groups = []
    for state_codes in dict.fromkeys(STATES[state].codes for state in states):
        members = tuple(i for i, state in enumerate(states) if STATES[state].codes == state_codes)
        classes = tuple(codes.index(code) for code in state_codes if code in codes)
        default = defaults[str(state_codes[0])]
        if default not in [states[i] for i in members]:
            raise ValueError(
                f"catalogs/crosswalks/luh2.toml: {default!r} stands for code {state_codes[0]}, "
                f"expected one of {', '.join(states[i] for i in members)}; correct it"
            )
        groups.append(Group(classes, members, list(states).index(default)))
    return tuple(groups)


@dataclass(frozen=True)
class DefaultWeights:
    """One state stands for each class: an assumption, for want of a forcing that tells more."""

    states: tuple[str, ...]
    groups: tuple[Group, ...]
    shape: tuple[int, int]

    @property
    def words(self) -> str:
        """What is assumed."""
        names = ", ".join(self.states[group.default] for group in self.groups)
        return (
            "an assumption: one state stands for each class, as no LUH2 or LUH3 is at hand "
            f"({names}; catalogs/crosswalks/luh2.toml); the other states are 0"
        )

    def weights(self, year: int) -> F64:
        """Return 1 for the states that stand for a class, whatever the year; see `StateWeights`."""
        weights_SYX = np.zeros((len(self.states), *self.shape))
        weights_SYX[[group.default for group in self.groups]] = 1
        return weights_SYX


@dataclass(frozen=True)
class ForcingWeights:
    """The states of the LUH2 or LUH3 that drove the product, from its cube."""

    cube: Cube
    layer: Layer
    coarse: Grid
    states: tuple[str, ...]
    merged: Mapping[str, str]
    """States of the forcing that count as another one."""

    @property
    def words(self) -> str:
        """Which forcing it is."""
        version = "LUH3" if any(v.name in OPTIONAL for v in self.layer.variables) else "LUH2"
        merged = "".join(f"; {state} counts as {into}" for state, into in self.merged.items())
        return f"each coarse cell's own shares of the forcing ({version}) of that year{merged}"

    def weights(self, year: int) -> F64:
        """Return the area of each state in square metres; see `StateWeights`.

        Raises ValueError for a year that the forcing lacks.
        """
        native = self.layer.grid
        factor = round(self.coarse.step / native.step)
        n_lat, n_lon = self.coarse.shape
        over_region = Grid(
            self.coarse.north, self.coarse.west, native.step, n_lat * factor, n_lon * factor
        )
        box = Box(*native.offset_of(over_region), *over_region.shape)

        n_variables = len(self.layer.variables)
        area_VHW = np.zeros((n_variables, *box.shape))
        inside = box.clip(native.shape)
        if inside is not None:
            rows, cols = inside.slices(origin=Box(0, 0, 0, 0))
            values = self.cube.native(self.layer, self.layer.lead(year), ([rows], [cols]))
            row_area = native.cell_area[rows][:, None]
            area_VHW[(slice(None), *inside.slices(origin=box))] = np.nan_to_num(values) * row_area
        blocks_VYbXb = area_VHW.reshape(n_variables, n_lat, factor, n_lon, factor)
        area_VYX = blocks_VYbXb.sum(axis=(2, 4))

        weights_SYX = np.zeros((len(self.states), n_lat, n_lon))
        for variable, area_YX in zip(self.layer.variables, area_VYX, strict=True):
            name = self.merged.get(variable.name, variable.name)
            if name in self.states:
                weights_SYX[self.states.index(name)] += area_YX
        return weights_SYX


def layer_of_states(cube: Cube) -> Layer | None:
    """Return the forcing of a cube that has LUH2's states, None where it has none."""
    required = {state for state in STATES if state not in OPTIONAL}
    for layer in cube.forcing:
        if required <= {variable.name for variable in layer.variables}:
            return layer
    return None


def forcing_weights(
    cube: Cube, layer: Layer, coarse: Grid, *, optional: Sequence[str] = OPTIONAL
) -> ForcingWeights:
    """Return the weights that a cube's forcing gives on a coarse grid.

    Parameters
    ----------
    cube : Cube
        As the scenario sees it.
    layer : Layer
        Of LUH2's states.
    coarse : Grid
        Of the export.
    optional : sequence of str
        States that only LUH3 has, and that the format has, too; others count as `secdf`.

    Raises
    ------
    ValueError
        If the forcing's cells do not nest in the coarse ones.
    """
    factor = coarse.step / layer.grid.step
    if round(factor) < 1 or abs(factor - round(factor)) > ALIGNMENT:
        raise ValueError(
            f"coarse cells of {coarse.step:g} degrees are {factor:.3f} cells of the forcing, which "
            f"has {layer.grid.step:g} degrees; choose a whole multiple of it with --grid"
        )
    names = [variable.name for variable in layer.variables]
    states = [
        state for state in STATES if state not in OPTIONAL or (state in names and state in optional)
    ]
    merged = {name: "secdf" for name in names if name in OPTIONAL and name not in states}
    return ForcingWeights(cube, layer, coarse, tuple(states), merged)
