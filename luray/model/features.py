"""What the model sees: the channels of its input and their order.

This module is the one place that knows the order of the channels. Whoever needs to find a group
or a variable in the input asks `Features.slices`, `Features.forcing_slices` or
`Features.static_slices`.

Nothing here needs torch, so that a cube can be built and read without it. The input as tensors is
in `luray.model.model_input`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.compiled import compiled
from luray.core.types import F32, I16, I64
from luray.core.value_scale import ValueScale
from luray.core.variable import Variable

UNKNOWN = 254
"""Class of a land cell in a map that is hidden from the model there."""

CHANGE_SCALE = 0.05
"""Change of a scaled forcing in one year that the model sees as 1/2; see `changes`."""

LEVEL_EPSILON = 1e-6
"""Added to the level that a relative change is divided by, so that no change from 0 to 0 is 0."""


def scaled(values: NDArray[Any], variable: Variable) -> F32:
    """Return one variable as the model sees it.

    Parameters
    ----------
    values : array, shape (lat, lon)
        In the unit of the variable; NaN is missing.
    variable : Variable
        How the model sees it: scaled, or one-hot over its categories.

    Returns
    -------
    array, float32, shape (channels, lat, lon)
        Missing values are 0.

    Examples
    --------
    >>> people = Variable("people", "forcing", "km-2", "people", scale=4.0)
    >>> scaled(np.array([[8.0, np.nan]]), people)
    array([[[2., 0.]]], dtype=float32)
    """
    if variable.categories:
        categories = np.array(variable.categories, values.dtype)
        one_hot: F32 = (values == categories[:, None, None]).astype(np.float32)
        return one_hot

    level: F32 = values.astype(np.float32)
    if variable.transform == "log1p":
        np.log1p(level, out=level)
    level /= np.float32(variable.scale)
    level[np.isnan(level)] = 0
    return level[None]


def category(codes: NDArray[Any], variable: Variable) -> I16:
    """Return the position of each code among a variable's categories, -1 where it is none of them.

    It says the same as the one-hot channels of `scaled` in a fraction of the memory.

    Examples
    --------
    >>> zone = Variable("zone", "forcing", "1", "zone", dtype="uint8", categories=(3, 1))
    >>> category(np.array([1, 3, 7], np.uint8), zone)
    array([ 1,  0, -1], dtype=int16)
    """
    positions = np.full(codes.shape, -1, np.int16)
    categories = np.array(variable.categories, codes.dtype)
    _find_positions(codes.reshape(-1), categories, positions.reshape(-1))
    return positions


@compiled
def _find_positions(codes: NDArray[Any], categories: NDArray[Any], positions: I16) -> None:
    for i in range(len(codes)):
        for n in range(len(categories)):
            if codes[i] == categories[n]:
                positions[i] = n
                break


class ChannelGroups(NamedTuple):
    """Where each group of channels lies in the input; the fields have the order of the input."""

    prior: slice
    """One-hot class of the prior map, K channels; all 0 where the class is `UNKNOWN`. Of values two
    channels: the value as the model sees it, and 1 where it is known.
    """
    land: slice
    """1 on land, one channel."""
    lags: slice
    """The same two channels of each older map that a model of values is shown, see
    `Features.lags`. Empty for classes, as the six groups that follow are for values.
    """
    shares: slice
    """Share of each class in the last maps, K channels; see `luray.model.memory`. This group and
    the next four are empty where the model sees one map alone.
    """
    last_other: slice
    """One-hot class of the newest map that differs from the prior, K channels."""
    age: slice
    """For how many maps the class of the prior goes back, one channel."""
    past_changes: slice
    """Changes from map to map, one channel."""
    known: slice
    """How many of the last maps are known, one channel."""
    last_share: slice
    """Change and relative change of the coarse share of the last other class, two channels."""
    own_share: slice
    """Change and relative change of the coarse share of the prior's class, two channels; see
    `Features.share_groups`. This group and the one before are empty where no forcing is a share.
    """
    levels: slice
    """Forcing of the year, L channels."""
    changes: slice
    """Change of each continuous level since the prior year, D channels."""
    relative_changes: slice
    """The same change relative to the level, D channels."""
    static: slice
    """What does not change with the year, S channels."""


class ForcingSlices(NamedTuple):
    """Where one forcing variable lies in the input.

    The changes of a categorical variable are empty slices: a difference of codes means nothing.
    """

    levels: slice
    changes: slice
    relative_changes: slice


@dataclass(frozen=True)
class Features:
    """Layout of the model input for K classes and the given forcing and static variables.

    A model of values has a scale, and `n_classes` is 0.

    Examples
    --------
    >>> zone = Variable("zone", "forcing", "1", "zone", categories=(3, 1))
    >>> people = Variable("people", "forcing", "km-2", "people")
    >>> height = Variable("height", "static", "m", "height")
    >>> features = Features(2, (zone, people), (height,))
    >>> features.names[features.slices.levels]
    ('zone=3', 'zone=1', 'people')
    >>> features.names[features.slices.static]
    ('height',)
    """

    n_classes: int
    forcing: tuple[Variable, ...]
    static: tuple[Variable, ...]
    history: int = 1
    """N, maps that a cell is remembered in; see `luray.model.memory`."""
    codes: tuple[int, ...] = ()
    """Published code of each class, by which forcing that is a share of it is known."""
    scale: ValueScale | None = None
    """Scale of the values of a continuous target."""
    per_year: int = 1
    """Maps of a year."""

    @property
    def n_heads(self) -> int:
        """What the network gives of a cell: K logits and a bonus, or a value and its spread."""
        return self.n_classes + 1 if self.scale is None else 2

    @property
    def n_sums(self) -> int:
        """What is added up of a cell: K probabilities, or weight, value and spread."""
        return self.n_classes if self.scale is None else 3

    @property
    def lags(self) -> tuple[int, ...]:
        """How many maps before the prior each older map lies that a model of values is shown.

        Of a map a year all that it remembers. Where there are several a year, the two maps before
        the prior, the map of the same time last year, and the one before that, which tells how
        unusual the prior is.
        """
        if self.scale is None:
            return ()
        if self.per_year == 1:
            return tuple(range(1, self.history))
        wanted = {1, 2, self.per_year - 1, self.per_year}
        return tuple(lag for lag in sorted(wanted) if lag < self.history)

    def remembering(self, history: int) -> "Features":
        """Return the layout for a model that remembers so many maps."""
        return replace(self, history=history)

    @cached_property
    def slices(self) -> ChannelGroups:
        """Where each group of channels lies in the input."""
        n_levels = sum(v.channels for v in self.forcing)
        n_continuous = sum(v.channels for v in self.forcing if not v.categories)
        n_static = sum(v.channels for v in self.static)
        n_share = 2 if self.share_groups else 0
        memory = (0, 0, 0, 0, 0, 0)
        if self.history > 1 and self.scale is None:
            memory = (self.n_classes, self.n_classes, 1, 1, 1, n_share)
        n_prior = self.n_classes if self.scale is None else 2
        of_maps = (n_prior, 1, 2 * len(self.lags), *memory, n_share)
        widths = (*of_maps, n_levels, n_continuous, n_continuous, n_static)
        return ChannelGroups(*_consecutive(0, widths))

    @property
    def memory(self) -> slice:
        """Where everything that is remembered lies in the input: M channels."""
        return slice(self.slices.shares.start, self.slices.last_share.stop)

    @cached_property
    def share_groups(self) -> tuple[tuple[int, ...], ...]:
        """Level channels that make up the coarse share of a group of classes, for each group.

        How much of its class a coarse cell loses says most about whether a cell changes, and how
        much it gains about what it becomes. A convolution adds its inputs, and cannot look up the
        change of the class that a cell happens to have. So a cell is shown that change by itself.
        """
        return tuple(map(tuple, self._levels_of_codes.values()))

    @cached_property
    def group_of_class(self) -> I64:
        """Which of `share_groups` each class belongs to, -1 for none, shape (K,)."""
        group_K = np.full(self.n_classes, -1, np.int64)
        for group, codes in enumerate(self._levels_of_codes):
            for code in codes:
                if code in self.codes:
                    group_K[self.codes.index(code)] = group
        return group_K

    @cached_property
    def _levels_of_codes(self) -> dict[tuple[int, ...], list[int]]:
        """Level channels by the codes that they are a share of, if the legend has one of these."""
        levels = _consecutive(0, [v.channels for v in self.forcing])
        of_codes: dict[tuple[int, ...], list[int]] = {}
        for variable, level in zip(self.forcing, levels, strict=True):
            if set(variable.classes) & set(self.codes):
                of_codes.setdefault(variable.classes, []).append(level.start)
        return of_codes

    @cached_property
    def forcing_slices(self) -> tuple[ForcingSlices, ...]:
        """Where each forcing variable lies in the input, in the order of `forcing`."""
        groups = self.slices
        n_levels = [v.channels for v in self.forcing]
        n_changes = [0 if v.categories else v.channels for v in self.forcing]
        levels = _consecutive(groups.levels.start, n_levels)
        absolute = _consecutive(groups.changes.start, n_changes)
        relative = _consecutive(groups.relative_changes.start, n_changes)
        return tuple(map(ForcingSlices, levels, absolute, relative))

    @cached_property
    def static_slices(self) -> tuple[slice, ...]:
        """Where each static variable lies in the input, in the order of `static`."""
        widths = [v.channels for v in self.static]
        return tuple(_consecutive(self.slices.static.start, widths))

    @cached_property
    def continuous_levels(self) -> I64:
        """Which of the level channels are continuous: they also enter as change, shape (D,)."""
        is_continuous = []
        for variable in self.forcing:
            is_continuous += [not variable.categories] * variable.channels
        return np.flatnonzero(is_continuous)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of every input channel, in order."""
        levels = _level_names(self.forcing)
        continuous = [levels[i] for i in self.continuous_levels]
        classes = range(self.n_classes)
        maps = f"of {self.history} maps"

        def share_names(whose: str) -> list[str]:
            kinds = ("change", "relative change") if self.share_groups else ()
            return [f"{kind} of the share of the {whose}" for kind in kinds]

        memory = {
            "shares": [f"share {maps}={k}" for k in classes],
            "last_other": [f"last other {maps}={k}" for k in classes],
            "age": [f"age {maps}"],
            "past_changes": [f"changes {maps}"],
            "known": [f"known {maps}"],
            "last_share": share_names("last other class"),
        }
        prior = [f"prior={k}" for k in classes]
        lags: list[str] = []
        if self.scale is not None:
            scale = self.scale
            what = f"{scale.transform} of {scale.first:g}-{scale.last:g} {scale.units}"
            prior = [f"prior value, {what}", "prior is known"]
            for lag in self.lags:
                lags += [f"value {lag} before, {what}", f"value {lag} before is known"]
        if self.history == 1 or self.scale is not None:
            memory = {group: [] for group in memory}
        names = {
            "prior": prior,
            "land": ["land"],
            "lags": lags,
            **memory,
            "own_share": share_names("own class"),
            "levels": levels,
            "changes": [f"change of {name}" for name in continuous],
            "relative_changes": [f"relative change of {name}" for name in continuous],
            "static": _level_names(self.static),
        }
        in_order: list[str] = []
        for group in ChannelGroups._fields:
            in_order += names[group]
        return tuple(in_order)

    @property
    def n_channels(self) -> int:
        """C, channels of the model input."""
        return int(self.slices.static.stop)


def _consecutive(first: int, widths: Iterable[int]) -> list[slice]:
    """Return slices of some widths, one behind the other, beginning at `first`."""
    edges = list(accumulate(widths, initial=first))
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _level_names(variables: Iterable[Variable]) -> list[str]:
    names = []
    for variable in variables:
        if variable.categories:
            names += [f"{variable.name}={code}" for code in variable.categories]
        else:
            names.append(variable.name)
    return names


def changes(now: Any, prior: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Return how a forcing changed since the prior year, as the model sees it.

    The change x is seen as x / (|x| + `CHANGE_SCALE`), between -1 and 1: a model is not led astray
    by changes larger than those that it was trained on. The relative change is x over the larger
    of both levels: of a share that falls the part that is lost, of one that rises the part that is
    new.

    Parameters
    ----------
    now, prior : arrays of `xp`, any shape
        Scaled levels of the year and of the prior year.
    xp : module
        `numpy` or `torch`.

    Returns
    -------
    change, relative_change : arrays of `xp`
        Of the shape of `now`.

    Examples
    --------
    >>> change, relative = changes(np.array([0.25]), np.array([0.5]), np)
    >>> change.round(2), relative.round(2)
    (array([-0.83]), array([-0.5]))
    """
    change = now - prior
    absolute = change / (xp.abs(change) + CHANGE_SCALE)
    relative = change / (xp.maximum(xp.abs(now), xp.abs(prior)) + LEVEL_EPSILON)
    return absolute, relative
