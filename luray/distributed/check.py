"""Checking the inputs of a run with Ray tasks that read everything and write nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayTaskError

from luray.core.grid import Grid
from luray.core.progress import Progress, no_progress
from luray.core.time_steps import YEARLY, TimeSteps
from luray.core.types import Role
from luray.sources.base import Source
from luray.sources.check import (
    REFUSALS,
    Findings,
    OpenedSource,
    RowBand,
    Values,
    cover,
    examine,
    row_bands,
)
from luray.sources.verdict import SourceCheck, judge

BANDS_PER_TASK = 8
"""Bands of rows that one task reads: enough to outweigh the start of a task."""


@ray.remote(max_retries=3)
def _examine(source: Source, bands: Sequence[tuple[int, RowBand]]) -> Findings:
    return examine(source, bands)


def check(
    opened: Sequence[OpenedSource],
    *,
    grid: Grid,
    wanted: Mapping[Role, Collection[int]],
    time: TimeSteps = YEARLY,
    progress: Progress = no_progress,
) -> tuple[SourceCheck, ...]:
    """Read every value of every source that is open, and judge each source.

    Parameters
    ----------
    opened : sequence of OpenedSource
        Sources, or why they were refused. One that is refused does not stop the others.
    grid : Grid
        The run grid.
    wanted : mapping
        Years that a source of each role must have; time steps with several maps a year.
    time : TimeSteps
        Time steps of the run.
    progress : callable
        Called with the years of bands that are read and in all.

    Returns
    -------
    tuple of SourceCheck
        In the order of `opened`.
    """
    placed = [_place(source, grid) for source in cover(opened, grid)]

    # Findings of each source by its number: nothing found yet.
    total = 0
    findings: dict[int, Findings] = {}
    for i, (opened_source, bands) in enumerate(placed):
        total += sum(len(band.years) for band in bands)
        if opened_source.source:
            findings[i] = Findings((Values(),) * len(opened_source.source.variables))

    tasks: dict[Any, int] = {}
    for i, (opened_source, bands) in enumerate(placed):
        source_ref: Any = ray.put(opened_source.source)
        # Numbered, so that the first of several faults is the same whichever task ends first.
        numbered = list(enumerate(bands))
        for first in range(0, len(numbered), BANDS_PER_TASK):
            task = _examine.remote(source_ref, numbered[first : first + BANDS_PER_TASK])
            tasks[task] = i

    while tasks:
        progress(sum(finding.pieces for finding in findings.values()), total)
        (finished,), _ = ray.wait(list(tasks), num_returns=1)
        try:
            findings[tasks.pop(finished)] += ray.get(finished)
        except RayTaskError as error:
            raise error.cause from None
    progress(total, total)

    checks = []
    for i, (opened_source, _) in enumerate(placed):
        checks.append(judge(opened_source, findings.get(i), wanted=wanted, time=time))
    return tuple(checks)


def _place(opened: OpenedSource, grid: Grid) -> tuple[OpenedSource, list[RowBand]]:
    """Return a source with its bands of rows.

    One that does not lie over the run grid is refused, without any bands.
    """
    if opened.source is None:
        return opened, []
    try:
        return opened, row_bands(opened.source, grid)
    except REFUSALS as error:
        return replace(opened, source=None, fault=f"{opened.name}: {error}"), []
