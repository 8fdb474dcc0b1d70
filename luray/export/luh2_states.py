"""States and transitions of LUH2 from fractions and gross transitions of classes.

A class has a *group* of states that it can be: cropland has five. The area of each group, and what
goes from group to group, are those of the maps. Within a group the states share by weights, those
of the forcing in that cell and year. Three rules make states and transitions close exactly:

1. *Primary land never comes back.* A primary state of the next year has its share by weight, but at
   most what is left of it; secondary states of the group take the rest.
2. *Who gives.* What leaves a group leaves its states in proportion to their areas. State s keeps
   `left[s] = area[s] * (1 - out[g] / area[g])`.
3. *Who takes.* The state of next year lacks `next[s] - left[s]`, or has too much. What enters the
   group goes to the states that lack area, in proportion to what they lack. What some have too much
   goes to the same states in the same proportion: it is the least area that has to change hands
   within the group, and it is a transition like any other. From primary to secondary land of the
   same kind it is what LUH2 calls wood harvest (`primf_harv`, `primn_harv`).

So for every state: area(t) + what it takes - what it gives = area(t + 1).

LUH2's ice and water (`icwtr`) do not change with time. It is what is no land in the maps, and the
least water that a coarse cell has in the years of the export; water beyond that counts as
non-forested natural land. Water that only moves within the cell, so that more leaves that land than
it has, is passed on from where it came to where it goes.

Shapes: K classes; G groups; S states; Y X coarse cells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.types import F64
from luray.export.coarse_maps import CoarseWork, water_index
from luray.export.luh2_shares import Group, StateWeights

PRIMARY = {"primf": "secdf", "primn": "secdn"}
"""Primary states, and the secondary state of the same kind."""

HARVEST = {("primf", "secdf"): "primf_harv", ("primn", "secdn"): "primn_harv"}
"""Changes within natural land that LUH2 names otherwise than `A_to_B`."""

NATURAL = "secdn"
"""The state whose group takes up water that is not there in all years."""

LAND_TOLERANCE = 1e-9
"""Share of a cell by which its land may differ between years, by rounding."""


class Transfer(NamedTuple):
    """What goes from state to state between two years, given by its factors."""

    group_of_state: tuple[int, ...]
    transition_GGYX: F64
    """From group to group; the diagonal is 0."""
    gives_SYX: F64
    """Share of what leaves its group that leaves each state."""
    takes_SYX: F64
    """Share of what enters its group that enters each state."""
    surplus_SYX: F64
    """Area of each state that other states of its group take."""

    def area(self, origin: int, target: int) -> F64:
        """Return the area that goes from one state to another, as share of the cell, (Y, X)."""
        g, h = self.group_of_state[origin], self.group_of_state[target]
        if g == h:
            leaves_YX = self.surplus_SYX[origin]
        else:
            leaves_YX = self.transition_GGYX[g, h] * self.gives_SYX[origin]
        return np.asarray(leaves_YX * self.takes_SYX[target])


class StateYear(NamedTuple):
    """States of a year, and how they came about."""

    year: int
    states_SYX: F64
    transfer: Transfer | None
    """From the year before; None in the first one."""


@dataclass
class Fallback:
    """Where the weights say nothing of a class that the maps have: counted, to be said."""

    cell_years: int = 0
    area: float = 0.0
    """Square metres, summed over the years."""
    total_area: float = 0.0
    """Of all land, summed over the years."""

    @property
    def words(self) -> str:
        """What happened, for the attributes of a file."""
        share = self.area / self.total_area if self.total_area else 0.0
        return (
            f"in {self.cell_years} cell-years, with {100 * share:.3f} % of the land, the weights "
            "have nothing of a class of the maps: the class has the shares of the whole region "
            "that year, or where that has none, too, its state of catalogs/crosswalks/luh2.toml"
        )


@dataclass
class StateMaps:
    """States and transitions of an export, walked through year by year."""

    work: CoarseWork
    groups: tuple[Group, ...]
    weights: StateWeights
    fallback: Fallback = field(default_factory=Fallback)

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states."""
        return self.weights.states

    def walk(self) -> Iterator[StateYear]:
        """Yield the years in order; each state depends on that of the year before."""
        self.fallback = Fallback()
        water_YX = self.lasting_water()
        coarse = self.work.source.region.coarse
        before: StateYear | None = None
        area_before_GYX = np.zeros(0)
        for year in self.work.years:
            area_GYX = self._group_areas(year, water_YX)
            share_SYX = self._shares(year, area_GYX, coarse)
            if before is None:
                state_year = StateYear(year, self._spread(share_SYX, area_GYX), None)
            else:
                transition_GGYX = around_full_groups(self._group_transitions(year), area_before_GYX)
                left_SYX, gives_SYX = self._left(
                    before.states_SYX, area_before_GYX, transition_GGYX
                )
                states_SYX = self._next(share_SYX, area_GYX, left_SYX)
                transfer = self._transfer(states_SYX, left_SYX, gives_SYX, transition_GGYX)
                state_year = StateYear(year, states_SYX, transfer)
            yield state_year
            before, area_before_GYX = state_year, area_GYX

    def ice_and_water(self) -> F64:
        """Return what is no land in any year, as share of the cell, shape (Y, X).

        Raises
        ------
        ValueError
            If the maps' land changes from year to year.
        """
        water_YX = self.lasting_water()
        first_YX = self._group_areas(self.work.years[0], water_YX).sum(axis=0)
        for year in self.work.years[1:]:
            land_YX = self._group_areas(year, water_YX).sum(axis=0)
            worst = float(np.abs(land_YX - first_YX).max())
            if worst > LAND_TOLERANCE:
                raise ValueError(
                    f"the land of {year} differs from that of {self.work.years[0]} by up to "
                    f"{worst:.2g} of a coarse cell, expected the same cells; the product is "
                    "damaged: run `luray verify`"
                )
        return np.asarray(1 - first_YX).clip(0, 1)

    def lasting_water(self) -> F64:
        """Return the least water of each coarse cell in the years of the export, shape (Y, X)."""
        return self.work.least(water_index(self._legend))

    @property
    def _legend(self) -> Legend:
        return self.work.source.maps.product.legend

    def _members(self) -> list[list[int]]:
        """Class indices of each group; water is with other natural land."""
        water = water_index(self._legend)
        members = []
        for group in self.groups:
            takes_water = water is not None and NATURAL in [self.states[s] for s in group.states]
            members.append(
                [*group.classes, *([water] if takes_water and water is not None else [])]
            )
        return members

    def _group_areas(self, year: int, water_YX: F64) -> F64:
        """Share of the cell of each group, shape (G, Y, X)."""
        fraction_KYX = self.work.fraction(year)
        area_GYX = np.stack([fraction_KYX[classes].sum(axis=0) for classes in self._members()])
        natural = [NATURAL in [self.states[s] for s in group.states] for group in self.groups]
        area_GYX[natural.index(True)] -= water_YX
        # the least water is subtracted from sums of floats that have it
        return np.asarray(area_GYX).clip(0)

    def _group_transitions(self, year: int) -> F64:
        """Share of the cell that went from group to group since the year before, (G, G, Y, X)."""
        transition_KKYX = self.work.transition(year)
        members = self._members()
        shape = (len(members), len(members), *transition_KKYX.shape[2:])
        transition_GGYX = np.zeros(shape)
        for g, origins in enumerate(members):
            for h, targets in enumerate(members):
                if g != h:
                    between = transition_KKYX[np.ix_(origins, targets)]
                    transition_GGYX[g, h] = between.sum(axis=(0, 1))
        return transition_GGYX

    def _shares(self, year: int, area_GYX: F64, coarse: Grid) -> F64:
        """Share of its group that each state has by weight, shape (S, Y, X)."""
        weights_SYX = self.weights.weights(year)
        row_area = coarse.cell_area[:, None]
        share_SYX = np.zeros_like(weights_SYX)
        self.fallback.total_area += float((area_GYX.sum(axis=0) * row_area).sum())
        for group, area_YX in zip(self.groups, area_GYX, strict=True):
            members = list(group.states)
            group_SYX = weights_SYX[members]
            total_YX = group_SYX.sum(axis=0)

            region_S = group_SYX.sum(axis=(1, 2))
            if region_S.sum() == 0:
                region_S = np.array([float(s == group.default) for s in members])
            neutral_S11 = (region_S / region_S.sum())[:, None, None]

            is_known = total_YX > 0
            own_SYX = np.divide(group_SYX, total_YX, out=np.zeros_like(group_SYX), where=is_known)
            share_SYX[members] = np.where(is_known, own_SYX, neutral_S11)
            replaced = ~is_known & (area_YX > 0)
            self.fallback.cell_years += int(replaced.sum())
            self.fallback.area += float((area_YX * row_area)[replaced].sum())
        return share_SYX

    def _spread(self, share_SYX: F64, area_GYX: F64) -> F64:
        """Areas of the states by their shares of the groups, shape (S, Y, X)."""
        return share_SYX * area_GYX[list(self._group_of_state())]

    def _left(self, states_SYX: F64, area_GYX: F64, transition_GGYX: F64) -> tuple[F64, F64]:
        """What each state keeps, and its share of what leaves its group (rule 2)."""
        out_GYX = transition_GGYX.sum(axis=1)
        area_of_state_SYX = area_GYX[list(self._group_of_state())]
        out_of_state_SYX = out_GYX[list(self._group_of_state())]
        gives_SYX = np.divide(
            states_SYX,
            area_of_state_SYX,
            out=np.zeros_like(states_SYX),
            where=area_of_state_SYX > 0,
        )
        left_SYX = states_SYX - gives_SYX * out_of_state_SYX
        return left_SYX.clip(0), gives_SYX

    def _next(self, share_SYX: F64, area_GYX: F64, left_SYX: F64) -> F64:
        """Areas of the next year's states (rule 1), shape (S, Y, X)."""
        states_SYX = self._spread(share_SYX, area_GYX)
        for group, area_YX in zip(self.groups, area_GYX, strict=True):
            primary = [s for s in group.states if self.states[s] in PRIMARY]
            if not primary:
                continue
            others = [s for s in group.states if s not in primary]
            states_SYX[primary] = np.minimum(states_SYX[primary], left_SYX[primary])

            rest_YX = area_YX - states_SYX[primary].sum(axis=0)
            weight_SYX = share_SYX[others]
            total_YX = weight_SYX.sum(axis=0)
            secondary = self.states.index(PRIMARY[self.states[primary[0]]])
            alone_S11 = np.array([float(s == secondary) for s in others])[:, None, None]
            portion_SYX = np.divide(
                weight_SYX, total_YX, out=np.zeros_like(weight_SYX), where=total_YX > 0
            )
            portion_SYX = np.where(total_YX > 0, portion_SYX, alone_S11)
            states_SYX[others] = portion_SYX * rest_YX.clip(0)
        return states_SYX

    def _transfer(
        self, states_SYX: F64, left_SYX: F64, gives_SYX: F64, transition_GGYX: F64
    ) -> Transfer:
        """What goes from state to state (rule 3)."""
        lacks_SYX = (states_SYX - left_SYX).clip(0)
        surplus_SYX = (left_SYX - states_SYX).clip(0)
        takes_SYX = np.zeros_like(lacks_SYX)
        for group in self.groups:
            members = list(group.states)
            total_YX = lacks_SYX[members].sum(axis=0)
            takes_SYX[members] = np.divide(
                lacks_SYX[members],
                total_YX,
                out=np.zeros_like(lacks_SYX[members]),
                where=total_YX > 0,
            )
        return Transfer(self._group_of_state(), transition_GGYX, gives_SYX, takes_SYX, surplus_SYX)

    def _group_of_state(self) -> tuple[int, ...]:
        """Number of the group of each state."""
        numbers = {s: g for g, group in enumerate(self.groups) for s in group.states}
        return tuple(numbers[s] for s in range(len(self.states)))


def around_full_groups(transition_GGYX: F64, area_GYX: F64) -> F64:
    """Lead what leaves a group beyond its area around it.

    Parameters
    ----------
    transition_GGYX : array, shape (G, G, Y, X)
        From group to group; the diagonal is 0.
    area_GYX : array, shape (G, Y, X)
        Of the groups before.

    Returns
    -------
    array, shape (G, G, Y, X)
        Nothing gives more than it has, and every group gains on balance what it did. The excess
        goes from the groups that it came from, in proportion, straight to those that it goes to;
        what would return to its own group stays there.
    """
    led_GGYX = transition_GGYX.copy()
    for group, area_YX in enumerate(area_GYX):
        into_GYX = led_GGYX[:, group].copy()
        out_GYX = led_GGYX[group].copy()
        total_in_YX = into_GYX.sum(axis=0)
        total_out_YX = out_GYX.sum(axis=0)
        excess_YX = (total_out_YX - area_YX).clip(0)
        if not excess_YX.any():
            continue
        zeros = np.zeros_like(excess_YX)
        part_in_YX = np.divide(excess_YX, total_in_YX, out=zeros.copy(), where=total_in_YX > 0)
        part_out_YX = np.divide(excess_YX, total_out_YX, out=zeros, where=total_out_YX > 0)
        led_GGYX[:, group] -= into_GYX * part_in_YX
        led_GGYX[group] -= out_GYX * part_out_YX
        led_GGYX += into_GYX[:, None] * part_in_YX * (out_GYX / total_out_YX.clip(1e-300))[None]
        for own in range(len(area_GYX)):
            led_GGYX[own, own] = 0
    return led_GGYX.clip(0)


def transition_names(states: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the transitions that LUH2 has, by name, with the positions of both states.

    Nothing becomes primary land, and primary land that becomes secondary land of the same kind is
    wood harvest: of 12 states there are 108 transitions, and two harvests.

    Examples
    --------
    >>> names = transition_names(["primf", "primn", "secdf", "urban"])
    >>> list(names)[:4]
    ['primf_to_urban', 'primn_to_secdf', 'primn_to_urban', 'secdf_to_urban']
    >>> list(names)[4:]
    ['urban_to_secdf', 'primf_harv']
    """
    names: dict[str, tuple[int, int]] = {}
    harvests: dict[str, tuple[int, int]] = {}
    for i, origin in enumerate(states):
        for j, target in enumerate(states):
            if i == j or target in PRIMARY:
                continue
            if (origin, target) in HARVEST:
                harvests[HARVEST[origin, target]] = (i, j)
            else:
                names[f"{origin}_to_{target}"] = (i, j)
    return {**names, **harvests}
