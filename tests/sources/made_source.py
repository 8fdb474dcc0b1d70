"""Sources made for tests, whose values tell where they were read."""

from dataclasses import dataclass

import numpy as np

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import About, Described
from luray.storage.errors import InputError

NATIVE = Grid(50, 10, 1, 10, 15)
COARSE = Variable("a", "forcing", "1", "a"), Variable("b", "forcing", "km-2", "b", dtype="float32")


@dataclass(frozen=True, kw_only=True)
class MadeSource(Described):
    """A source whose values are the year plus the number of the cell, and that refuses some cells."""

    refusals: tuple[tuple[int | None, int, str], ...] = ()
    """Year, row and message of each cell that is refused."""

    def read(self, year, box):
        for refused_year, row, message in self.refusals:
            if refused_year == year and box.row <= row < box.row + box.height:
                raise InputError(message)
        cells = np.arange(self.grid.n_lat * self.grid.n_lon, dtype=np.float32).reshape(
            self.grid.shape
        )
        part = cells[box.slices(origin=Box(0, 0, 0, 0))] + (year or 0)
        return np.stack([part.astype(variable.dtype) for variable in self.variables])


def make_source(
    variables=COARSE, *, grid=NATIVE, years=(2000, 2001), refusals=(), name="luh2", **options
):
    return MadeSource(
        name=name,
        about=About("t", "", "", "", ()),
        grid=grid,
        variables=variables,
        years=years,
        rules=("r",),
        files=("f.nc",),
        refusals=refusals,
        **options,
    )
