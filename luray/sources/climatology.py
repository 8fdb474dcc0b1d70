"""The climatology of each cell as a forcing: its mean value at the same time of the year.

A model of values that is shown its own maps step after step can drift away from what is usual. Of a
cell's usual year it learns only through the noise and gaps of single maps. This source tells it::

    [[sources]]
    kind = "climatology"
    years = [1990, 2012]

The years are those of the training: maps that the model is scored on must not be among them.

Shapes: H W box.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.core.tiling import Box
from luray.core.time_steps import TimeSteps
from luray.core.value_scale import ValueScale
from luray.core.variable import Variable
from luray.sources.base import (
    About,
    Described,
    Request,
    Source,
    WithoutFilesConfig,
    held_years,
)
from luray.sources.state_maps import classes_on_run_grid
from luray.storage.errors import InputError

ABOUT = About(
    title="Climatology: mean of the maps at the same time of the year",
    doi="",
    licence="",
    url="",
    files=("none: made from the maps",),
    values="the mean of the known values of each cell; missing where no year has one",
)


class ClimatologyConfig(WithoutFilesConfig):
    """Years of the mean.

    A `SourceConfig` without files: what it reads are the maps of the state source.
    """

    about: ClassVar[About] = ABOUT
    label: ClassVar[str] = "climatology"
    is_derived: ClassVar[bool] = True
    wanted: ClassVar[str] = "no files of its own, made from the maps"
    max_missing: ClassVar[float] = 1.0

    kind: Literal["climatology"]
    years: tuple[int, int]
    """First and last year of the mean: those of the training."""

    @property
    def declared(self) -> tuple[Variable, ...]:
        """The mean, as far as it is known without the target."""
        return (_variable(HILDA),)

    def declared_for(self, legend: Legend) -> tuple[Variable, ...]:
        """Return the mean in the unit of a target. Raises ValueError for one of classes."""
        _scale_of(legend)
        return (_variable(legend),)

    def native_grid(self, run_grid: Grid) -> Grid:
        """Return the run grid, which has the cells of the maps."""
        return run_grid

    def place_of(self, year: int, scenario: str) -> Hashable:
        """Return the same for all years: the mean is over fixed ones."""
        return ""

    def open(self, request: Request) -> Source:
        """Return the climatology of a run.

        Raises
        ------
        ValueError
            For a target of classes, and where the request lacks the state source or the run grid.
        InputError
            Where the maps lack any of the years.
        """
        _scale_of(request.legend)
        state = request.state
        if state is None or request.grid is None:
            raise ValueError(
                "source climatology is made from the maps of the state source on the run grid, "
                "which are not open; correct the state source first"
            )
        request.grid.offset_of(state.grid)  # refuses another lattice
        time = request.time
        of_mean = time.of_years(*self.years)
        if not of_mean or not set(of_mean) <= set(state.years):
            first, last = (time.label(state.years[i]) for i in (0, -1))
            raise InputError(
                f"source climatology: years {list(self.years)}, expected ascending years that all "
                f"have maps, of {first} to {last}; correct `years`"
            )
        run_years = request.run_years
        steps = time.of_years(run_years.start, run_years.stop - 1)
        return Climatology(
            name=self.label,
            about=ABOUT,
            grid=request.grid,
            variables=(_variable(request.legend),),
            years=tuple(steps),
            per_year=time.per_year,
            # Every year has the same values: those of the first are stored.
            held=held_years({step: time.in_year(step) for step in steps}),
            rules=(
                f"mean of the known values of {state.name} in {self.years[0]}-{self.years[1]}, at "
                "the same time of the year",
            ),
            files=state.files,
            state=state,
            of_mean=of_mean,
            time=time,
        )


def _scale_of(legend: Legend) -> ValueScale:
    """Return the scale of a target. Raises ValueError for one of classes."""
    if legend.scale is None:
        raise ValueError(
            f"source climatology is for values, and the run's target has the classes of "
            f"{legend.name}; remove the source"
        )
    return legend.scale


def _variable(legend: Legend) -> Variable:
    """Return the one variable, seen much as the model sees the maps themselves."""
    scale = legend.scale
    if scale is None:
        return Variable("climatology", "forcing", "1", "climatology")
    # log(1 + x) tells small values apart, as the square root does that maps are seen by.
    of_small_values = scale.transform == "sqrt" and scale.first >= 0
    largest = max(abs(scale.first), abs(scale.last))
    return Variable(
        "climatology",
        "forcing",
        scale.units,
        f"mean {legend.long_name} at the time of the year",
        transform="log1p" if of_small_values else "linear",
        scale=float(np.log1p(largest)) if of_small_values else largest,
    )


@dataclass(frozen=True, kw_only=True)
class Climatology(Described):
    """Mean value of each cell at a time of the year."""

    state: Source
    of_mean: range
    """Time steps of the mean."""
    time: TimeSteps

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        """Return the mean at the time of the year of a step, (1, H, W); see `Source.read`."""
        assert year is not None
        scale = _scale_of(self.state.legend)
        # Levels are whole numbers, so their sum does not depend on its order.
        sum_HW = np.zeros(box.shape, np.int64)
        n_known_HW = np.zeros(box.shape, np.int64)
        for step in self.of_mean:
            if self.time.in_year(step) != self.time.in_year(year):
                continue
            levels_HW = classes_on_run_grid(self.state, self.grid, step, box)
            is_known_HW = levels_HW < scale.levels
            sum_HW += np.where(is_known_HW, levels_HW, 0)
            n_known_HW += is_known_HW

        with np.errstate(invalid="ignore"):  # 0 / 0: no value in any year
            mean_level_HW = sum_HW / n_known_HW
        mean_HW = scale.first + scale.step * mean_level_HW
        return mean_HW.astype(np.float32)[None]
