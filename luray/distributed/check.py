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
    Values,
    cover,
    examine,
    row_bands,
)
from luray.sources.verdict import SourceCheck, judge

SHARES_PER_TASK = 8


@ray.remote(max_retries=3)
def _examine(source: Source, shares: Sequence[tuple[int, RowBand]]) -> Findings:
    return examine(source, shares)


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
    total = sum(len(share.years) for _, shares in placed for share in shares)
    found = {
        i: Findings((Values(),) * len(one.source.variables))
        for i, (one, _) in enumerate(placed)
        if one.source
    }
    tasks: dict[Any, int] = {}
    for i, (one, shares) in enumerate(placed):
        source: Any = ray.put(one.source)
        numbered = list(enumerate(shares))
        tasks |= {
            _examine.remote(source, numbered[k : k + SHARES_PER_TASK]): i
            for k in range(0, len(numbered), SHARES_PER_TASK)
        }
    while tasks:
        report(sum(f.pieces for f in found.values()), total)
        (finished,), _ = ray.wait(list(tasks), num_returns=1)
        try:
            found[tasks.pop(finished)] += ray.get(finished)
        except RayTaskError as error:
            raise error.cause from None
    report(total, total)
    return tuple(judge(one, found.get(i), wanted=wanted) for i, (one, _) in enumerate(placed))


def _place(opened: Opened, grid: Grid) -> tuple[Opened, list[RowBand]]:
    """A source with its shares; refused, without any, where it does not lie over the run grid."""
    if opened.source is None:
        return opened, []
    try:
        return opened, row_bands(opened.source, grid)
    except REFUSALS as error:
        return replace(opened, source=None, fault=f"{opened.name}: {error}"), []
