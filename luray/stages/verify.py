"""The stage `verify`: every tile-year of the product compared with its receipt."""

from collections.abc import Sequence

from luray.core.progress import Progress, no_progress
from luray.product.trajectories import TileYear
from luray.stages.config import RunConfig
from luray.stages.infer import rollout_of, unpublish

VERIFIED_AT_ONCE = 64
"""Tile-years checked between two reports of progress."""


def damaged(run: RunConfig, *, progress: Progress = no_progress) -> list[TileYear]:
    """Tile-years of the product whose bytes do not match their receipt, or that have none."""
    plan = rollout_of(run, run.inference.span, run.product)
    units = list(plan.product.units(plan.geometry.tiles))
    found = []
    for i in range(0, len(units), VERIFIED_AT_ONCE):
        progress(i, len(units))
        found += plan.product.damaged(units[i : i + VERIFIED_AT_ONCE])
    progress(len(units), len(units))
    return found


def withdraw(run: RunConfig, units: Sequence[TileYear]) -> None:
    """Withdraw tile-years, so that the next inference computes them again."""
    unpublish(run)
    rollout_of(run, run.inference.span, run.product).product.withdraw(units)
