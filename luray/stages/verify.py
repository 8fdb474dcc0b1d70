"""The stage `verify`: all that a product holds compared with what was noted when it was written.

Tile-years, with their fractions, transitions and overviews, have receipts. Metadata, coordinates
and the publication have checksums.
"""

from collections.abc import Sequence

from luray.core.progress import Progress, no_progress
from luray.product import repair
from luray.product.trajectories import Unit
from luray.stages.config import RunConfig
from luray.stages.infer import inference_of, restore_metadata, unpublish

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
    spec = inference_of(run, run.span, run.product)
    spec.product.require_layout()
    units = list(spec.product.units(spec.geometry.tiles))

    broken: list[Unit] = []
    for first in range(0, len(units), VERIFIED_AT_ONCE):
        progress(first, len(units))
        broken += repair.damaged(spec.product, units[first : first + VERIFIED_AT_ONCE])
    progress(len(units), len(units))
    return broken


def damaged_metadata(run: RunConfig) -> list[str]:
    """Find the metadata and coordinates of the product that are not as they were when it finished.

    They are compared before tile-years are read through them.
    """
    return inference_of(run, run.span, run.product).product.damaged_metadata()


def damaged_publication(run: RunConfig) -> list[str]:
    """Find what was published of the product and is not as it was: names below the output."""
    return run.publication.damaged() or []


def restore(run: RunConfig, names: Sequence[str]) -> None:
    """Write metadata and coordinates again; `luray infer` then finishes the product."""
    unpublish(run)
    restore_metadata(run, names)


def withdraw(run: RunConfig, units: Sequence[Unit]) -> None:
    """Withdraw tile-years, so that the next inference computes them again."""
    unpublish(run)
    spec = inference_of(run, run.span, run.product)
    repair.withdraw(spec.product, units)
