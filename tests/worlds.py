"""Small worlds in memory for the core: fields over a grid, and U-Nets with random weights."""

from dataclasses import dataclass

import numpy as np

from luray.core.legend import OUTSIDE
from luray.core.variable import Variable
from luray.cube.region import resampling_groups
from luray.engine.stem import Stem
from luray.model.features import Features
from luray.model.unet_config import UNetConfig
from luray.sandbox import random_model as models
from tests import reference

K = 4
FORCING = (
    Variable("crop", "forcing", "1", "crop", classes=(22,)),
    Variable("zone", "forcing", "1", "zone", categories=(1, 2)),
)
STATIC = (Variable("height", "static", "m", "height"),)
FEATURES = Features(K, FORCING, STATIC, codes=(11, 22, 33, 44))
REMEMBERING = FEATURES.remembering(4)
"""The same inputs, and what cells remember of the last four maps."""


@dataclass
class ArrayFields:
    """Fields held as whole arrays, (year, L, lat, lon) and (S, lat, lon)."""

    first_year: int
    levels: np.ndarray
    fixed: np.ndarray
    periodic: bool

    def forcing(self, year, box):
        return self._cut(self.levels[year - self.first_year], box)

    def static(self, box):
        return self._cut(self.fixed, box)

    def _cut(self, array, box):
        n_lat, n_lon = array.shape[1:]
        rows = np.clip(np.arange(box.row, box.row + box.height), 0, n_lat - 1)
        cols = np.arange(box.col, box.col + box.width)
        cols = cols % n_lon if self.periodic else np.clip(cols, 0, n_lon - 1)
        return array[:, rows[:, None], cols]

    def rolled(self, columns):
        """The same world turned to the east."""
        levels = np.roll(self.levels, columns, -1)
        fixed = np.roll(self.fixed, columns, -1)
        return ArrayFields(self.first_year, levels, fixed, self.periodic)


@dataclass
class SlowWindowInputs:
    """A `WindowInputs` that computes the first layer the slow way.

    Levels and statics come from `ArrayFields` or a `Region`.
    """

    given: object
    stem: Stem
    groups: tuple = tuple((v,) for v in FORCING)
    fixed: tuple = STATIC

    @classmethod
    def of(cls, region, stem):
        """The same inputs that a cube gives."""
        return cls(
            region,
            stem,
            tuple(
                some
                for layer in region.cube.forcing
                for some, _ in resampling_groups(layer, range(len(layer.variables)))
            ),
            region.cube.features.static,
        )

    def write_first_layer(self, out_HWO, maps_HW, box, *, year, prior_year):
        now, before = self.given.forcing(year, box), self.given.forcing(prior_year, box)
        out_HWO[:] = reference.first_layer(
            self.stem.weights_TCO,
            self.stem.bias_O,
            self.stem.features,
            maps_HW,
            now,
            before,
            self.given.static(box),
            self.groups,
            self.fixed,
        )


@dataclass
class World:
    initial: np.ndarray
    older: list
    land: np.ndarray
    fields: ArrayFields


def world(shape, *, periodic, first_year=2000, years=4, seed=0, share=0.6):
    """A random world: land in lumps of 5 x 5 cells, so that some windows have none."""
    random = np.random.default_rng(seed)
    n_lumps = (-(-shape[0] // 5), -(-shape[1] // 5))
    lumps = np.kron(random.random(n_lumps) < share, np.ones((5, 5)))
    land = lumps[: shape[0], : shape[1]] > 0
    land[shape[0] // 2, shape[1] // 2] = True
    land[0, 0] = True

    initial = np.where(land, random.integers(0, K, shape), OUTSIDE).astype(np.uint8)
    restless = random.random(shape) < 0.4
    older = []
    for _ in range(2):  # maps before the initial one, newest first
        classes = np.where(land & restless, random.integers(0, K, shape), initial)
        older.append(classes.astype(np.uint8))
    levels = random.random((years, 3, *shape)).astype(np.float32)
    fixed = random.normal(size=(1, *shape)).astype(np.float32)
    return World(initial, older, land, ArrayFields(first_year, levels, fixed, periodic))


def random_model(*, seed=0, width=4, depth=2, features=FEATURES, bonus=0.5):
    """A U-Net with random weights and batch-norm statistics whose maps change from year to year."""
    return models.random_model(
        features, UNetConfig(width=width, depth=depth), seed=seed, bonus=bonus
    )
