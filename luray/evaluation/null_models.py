"""Null models of a continuous target: which observed maps they are made of.

All are made of observed maps that lie before the start of a rollout or in the years of training,
never of a map that is scored.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from luray.core.time_steps import TimeSteps
from luray.core.types import Direction

NullModel = Literal[
    "persistence", "seasonal_persistence", "climatology", "class_climatology", "land_climatology"
]
ValueRow = Literal["model"] | NullModel
"""A row of a table of scores.

persistence: the map of the start, in every step. seasonal_persistence: the map of the same step of
the year in the last year before the rollout, where there are several steps a year. climatology: the
mean of a cell in the years of training, by step of the year. class_climatology: the same mean over
all cells of a class; land_climatology: over all land, where no classes are given.
"""


@dataclass(frozen=True)
class NullMaps:
    """The observed maps of the null models of one test, as time steps."""

    time: TimeSteps
    start: int
    seasonal: Mapping[int, int]
    """The map of each scored step of the year for seasonal persistence. Steps of the year that have
    none are left out; it is empty where there is one step a year.
    """
    training: Mapping[int, tuple[int, ...]]
    """The maps of each step of the year for the climatology: of those scored, and of the start."""
    has_classes: bool
    """Whether the climatology of classes is one, or that of all land."""

    @property
    def null_models(self) -> tuple[NullModel, ...]:
        """The null models that there are, in their order."""
        seasonal: tuple[NullModel, ...] = ("seasonal_persistence",) if self.is_seasonal else ()
        by_class: NullModel = "class_climatology" if self.has_classes else "land_climatology"
        return ("persistence", *seasonal, "climatology", by_class)

    @property
    def rows(self) -> tuple[ValueRow, ...]:
        """The model, then the null models."""
        return ("model", *self.null_models)

    @property
    def is_seasonal(self) -> bool:
        """Whether there are several steps a year."""
        return self.time.per_year > 1


def null_maps(
    start: int,
    scored: Sequence[int],
    *,
    direction: Direction,
    observed: Collection[int],
    training_years: tuple[int, int],
    time: TimeSteps,
    has_classes: bool,
) -> NullMaps:
    """Choose the observed maps of the null models.

    Parameters
    ----------
    start : int
        Step of the map that the rollout starts from.
    scored : sequence of int
        Steps that are scored.
    direction : {"forward", "backward"}
        Direction of travel.
    observed : collection of int
        Steps with an observed map.
    training_years : tuple of int
        First and last year of training.
    time : TimeSteps
        Time steps of the maps.
    has_classes : bool
        Whether cells have classes by which a climatology is made.

    Raises
    ------
    ValueError
        If a step of the year has no map in the years of training.

    Examples
    --------
    >>> maps = null_maps(
    ...     TimeSteps("month").step(2004, 11),
    ...     TimeSteps("month").of_years(2005, 2005)[:2],
    ...     direction="forward",
    ...     observed=TimeSteps("month").of_years(2001, 2005),
    ...     training_years=(2003, 2004),
    ...     time=TimeSteps("month"),
    ...     has_classes=False,
    ... )
    >>> [maps.time.label(step) for step in maps.seasonal.values()]
    ['2004-01', '2004-02']
    >>> [maps.time.label(step) for step in maps.training[0]]
    ['2003-01', '2004-01']
    """
    usable = set(observed) - set(scored)
    steps_of_training = time.of_years(*training_years)
    backwards_in_time = -1 if direction == "forward" else 1
    seasonal = {}
    training = {}
    scored_in_year = {time.in_year(step) for step in scored}
    for k in sorted({time.in_year(start), *scored_in_year}):
        of_training = [s for s in steps_of_training if s in usable and time.in_year(s) == k]
        if not of_training:
            first, last = training_years
            step_in_words = "" if time.per_year == 1 else f" like {time.label(time.step(first, k))}"
            raise ValueError(
                f"training.years {first}-{last} have no observed map{step_in_words}, expected one "
                "or more for the climatology that scores are compared with; widen training.years, "
                "or run `luray build` with maps of these years"
            )
        training[k] = tuple(of_training)

        # Back from the start against the direction of travel, to the first year with such a map.
        before = [
            s for s in usable if (s - start) * backwards_in_time >= 0 and time.in_year(s) == k
        ]
        if before and k in scored_in_year and time.per_year > 1:
            seasonal[k] = min(before, key=lambda step: abs(step - start))
    return NullMaps(time, start, seasonal, training, has_classes)
