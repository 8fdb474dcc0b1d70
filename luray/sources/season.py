"""The season as a forcing: the sine and cosine of the time of the year. It has no files.

The same everywhere, so it lies on a few cells that span the globe::

    [[sources]]
    kind = "season"

Shapes: H W box.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    Request,
    Source,
    WithoutFilesConfig,
    held_years,
)
from luray.sources.time_steps import middle_of_year
from luray.storage.errors import InputError

GRID = Grid(90, -180, 30, 6, 12)
"""Cells that are as large as they can be: the value is the same in all."""

VARIABLES = tuple(
    Variable(
        name=f"season_{name}",
        role="forcing",
        units="1",
        long_name=f"{long_name} of the time of the year, a whole turn from January to January",
    )
    for name, long_name in (("sin", "sine"), ("cos", "cosine"))
)

ABOUT = About(
    title="Season: sine and cosine of the time of the year",
    doi="",
    licence="",
    url="",
    files=("none: computed",),
    values="the middle of each time step in its year",
    ranges={"": "-1..1"},
)


class SeasonConfig(WithoutFilesConfig):
    """The season. A `SourceConfig` without files, in which there is nothing to set."""

    about: ClassVar[About] = ABOUT
    label: ClassVar[str] = "season"
    is_derived: ClassVar[bool] = False
    wanted: ClassVar[str] = "no files, computed from the dates"
    declared: ClassVar[tuple[Variable, ...]] = VARIABLES

    kind: Literal["season"]

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return sine and cosine, for any target."""
        return VARIABLES

    def native_grid(self, run_grid: Grid) -> Grid:
        """Return the few cells of the globe."""
        return GRID

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the same for all years: every year has the same seasons."""
        return ""

    def open(self, request: Request) -> Source:
        """Return the season of a run's time steps.

        Raises InputError for a run of whole years, which have no season.
        """
        time = request.time
        if time.per_year == 1:
            raise InputError(
                "source season: the run has a map a year (target.time_step = 'year'), expected "
                "several, which have a season; remove the source"
            )
        run_years = request.run_years
        steps = time.of_years(run_years.start, run_years.stop - 1)
        return Season(
            name=self.label,
            about=ABOUT,
            grid=GRID,
            variables=VARIABLES,
            years=tuple(steps),
            per_year=time.per_year,
            # Every year has the same values: those of the first are stored.
            held=held_years({step: time.in_year(step) for step in steps}),
            rules=("computed from the middle of each time step",),
            files=(),
            time=time,
        )


@dataclass(frozen=True, kw_only=True)
class Season(Described):
    """Sine and cosine of the time of the year."""

    time: TimeSteps

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return sine and cosine in a time step, shape (2, H, W); see `Source.read`."""
        assert year is not None
        angle = 2 * np.pi * middle_of_year(year, self.time)
        values = np.array([np.sin(angle), np.cos(angle)], np.float32)
        return np.broadcast_to(values[:, None, None], (2, *box.shape)).copy()
