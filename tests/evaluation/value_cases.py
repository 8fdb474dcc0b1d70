"""Outcomes of tests of values, from random maps in which a model is better than the null models."""

import numpy as np

from luray.core.legend_files import read_legend
from luray.core.time_steps import TimeSteps
from luray.evaluation.null_models import null_maps
from luray.evaluation.value_skill import ValueOutcome
from luray.evaluation.value_sums import PARTS, value_sums

LAI = read_legend("lai")
MONTHS = TimeSteps("month")
SHAPE = (24, 24)


def value_outcome(
    name,
    *,
    years=1,
    direction="forward",
    zones=(),
    time="month",
    seed=0,
    error=2.0,
    spread=2,
    side=4,
):
    """An outcome of `years` from the end of 2003, or backward from its beginning.

    `error` is that of the model in levels; null models err by 8.
    """
    time = TimeSteps(time)
    random = np.random.default_rng(seed)
    n_steps = years * time.per_year
    start = time.step(2003, time.per_year - 1 if direction == "forward" else 0)
    towards = 1 if direction == "forward" else -1
    scored = tuple(start + towards * lead for lead in range(1, n_steps + 1))
    nulls = null_maps(
        start,
        scored,
        direction=direction,
        observed=time.of_years(1990, 2010),
        training_years=(2003, 2003) if direction == "backward" else (2001, 2003),
        time=time,
        has_classes=bool(zones),
    )
    zone = random.integers(0, len(zones) + 1, SHAPE).astype(np.uint8)
    base = random.uniform(30, 90, SHAPE)
    tally = {}
    for step in scored:
        season = 10 * np.sin(2 * np.pi * time.in_year(step) / time.per_year)
        truth = base + season + random.normal(0, 8, SHAPE)
        model = truth + random.normal(0, error, SHAPE)
        rows = [model, base, *[base + season] * (len(nulls.rows) - 2)]
        parts = np.rint(np.stack([truth, *rows]).clip(0) * PARTS).astype(np.int16)
        tally[step] = value_sums(
            parts[0],
            parts[1:],
            parts[-2],
            spread_HW=np.full(SHAPE, spread, np.uint8),
            zone_HW=zone,
            n_zones=len(zones),
            cell_area=np.full(SHAPE[0], 1e6),
            corner=(0, 0),
            side=side,
        )
    return ValueOutcome(name, direction, nulls, tally, zones)
