"""The stage `verify`: every tile-year of the product compared with its receipt."""

from collections.abc import Sequence

from luray.core.progress import Progress, no_progress
from luray.product import repair
from luray.product.trajectories import Unit
from luray.stages.config import RunConfig
from luray.stages.infer import inference_of, unpublish

VERIFIED_AT_ONCE = 64
"""Tile-years that are checked between two calls of the progress callback."""


def damaged(run: RunConfig, *, progress: Progress = no_progress) -> list[Unit]:
    """Find the tile-years of the product that do not match their receipt, or have none.

    Parameters
    ----------
    run : RunConfig
        A run whose product is there, finished or not.
    progress : callable, optional
        Called with the tile-years checked and in all.

    Raises
    ------
    ValueError
        If the product has the layout of another version.
    """
    spec = inference_of(run, run.inference.span, run.product)
    spec.product.require_layout()
    units = list(spec.product.units(spec.geometry.tiles))

    broken: list[Unit] = []
    for first in range(0, len(units), VERIFIED_AT_ONCE):
        progress(first, len(units))
        broken += repair.damaged(spec.product, units[first : first + VERIFIED_AT_ONCE])
    progress(len(units), len(units))
    return broken


def withdraw(run: RunConfig, units: Sequence[Unit]) -> None:
    """Withdraw tile-years, so that the next inference computes them again."""
    unpublish(run)
    spec = inference_of(run, run.inference.span, run.product)
    repair.withdraw(spec.product, units)
