"""Checking the inputs of a run with Ray tasks that read and write nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayTaskError

from luray.core.grid import Grid
from luray.core.progress import Progress, no_progress
from luray.core.types import Role
from luray.sources.base import Source
from luray.sources.check import (
    REFUSALS,
    Findings,
    Opened,
    RowBand,
    cover,
    examine,
    no_findings,
    row_bands,
)
from luray.sources.verdict import SourceCheck, judge

BANDS_PER_TASK = 8


@ray.remote(max_retries=3)
def _examine(source: Source, bands: Sequence[tuple[int, RowBand]]) -> Findings:
    return examine(source, bands)


def check(
    opened: Sequence[Opened],
    *,
    grid: Grid,
    wanted: Mapping[Role, Collection[int]],
    report: Progress = no_progress,
) -> tuple[SourceCheck, ...]:
    """Read every value of every source that is open, and judge each: one that is refused does not
    stop the others.

    `wanted` are the years that a source of a role must have.
    """
    placed = [_place(one, grid) for one in cover(opened, grid)]
    total = sum(len(band.years) for _, bands in placed for band in bands)
    findings = {
        i: no_findings(one.source) for i, (one, _) in enumerate(placed) if one.source is not None
    }
    tasks: dict[Any, int] = {}
    for i, (one, bands) in enumerate(placed):
        source: Any = ray.put(one.source)
        numbered = list(enumerate(bands))
        for first in range(0, len(numbered), BANDS_PER_TASK):
            tasks[_examine.remote(source, numbered[first : first + BANDS_PER_TASK])] = i

    while tasks:
        report(sum(of_source.pieces for of_source in findings.values()), total)
        [finished], _ = ray.wait(list(tasks), num_returns=1)
        try:
            findings[tasks.pop(finished)] += ray.get(finished)
        except RayTaskError as error:
            raise error.cause from None
    report(total, total)
    return tuple(judge(one, findings.get(i), wanted=wanted) for i, (one, _) in enumerate(placed))


def _place(opened: Opened, grid: Grid) -> tuple[Opened, list[RowBand]]:
    """Return a source with its row bands; refused, without any, where it lies beside the run."""
    if opened.source is None:
        return opened, []
    try:
        return opened, row_bands(opened.source, grid)
    except REFUSALS as error:
        return replace(opened, source=None, fault=f"{opened.name}: {error}"), []
