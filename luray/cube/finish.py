"""The end of a build: gaps are judged, tiles with land noted, sources described.

The metadata is consolidated last of all.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import zarr

from luray.core.tiling import Tile
from luray.core.time_steps import YEARLY
from luray.cube.build import opened
from luray.cube.input_files import shared_names
from luray.cube.land import note_tiles
from luray.cube.plan import FORMAT, BuildPlan, group_of
from luray.sources.base import Source
from luray.sources.coverage import cut
from luray.sources.presence import Presence, presence_rule
from luray.sources.time_steps import PER_YEAR
from luray.storage.arrays import consolidate
from luray.storage.objects import accessing

RECEIPTS_AT_ONCE = 16
"""Receipts read beside each other: each waits for the store, not for the processor."""


def finish(plan: BuildPlan) -> None:
    """Note the tiles with land, describe the sources and consolidate.

    Consolidated metadata is the mark by which `Cube.open` knows a finished cube, so it is written
    last.

    Raises
    ------
    ValueError
        Naming the years of a source that lack more than `Source.max_missing` of what others have.
    """
    gaps = {source.name: gap_rules(plan, source) for source in plan.sources}
    with accessing(plan.url):
        root = opened(plan.url)
        note_tiles(root["state/land"], _with_land(plan))
        _describe(plan, root, gaps)
        consolidate(plan.url)


def gap_rules(plan: BuildPlan, source: Source) -> tuple[str, ...]:
    """Return what the years of a source lack, in words, from the receipts of its pieces."""
    if not source.years:
        return ()
    pieces = plan.land() if source is plan.state else plan.values(source)
    presence = Presence()
    with ThreadPoolExecutor(RECEIPTS_AT_ONCE) as pool:
        for facts in pool.map(plan.ledger.facts, [piece.key for piece in pieces]):
            # JSON has made texts of the years.
            by_year = {int(year): n for year, n in facts["by_year"].items()}
            presence += Presence(by_year, facts["ever"], facts["always"])
    rule = presence_rule(
        presence,
        name=source.name,
        max_missing=source.max_missing,
        time=PER_YEAR[source.per_year],
        cells="left out" if source.legend.scale is None else "kept",
    )
    return (rule,) if rule else ()


def _with_land(plan: BuildPlan) -> list[Tile]:
    """Return the tiles that have land, from the receipts of the mask: no shard is read again."""
    tiles = []
    # Where values lack at times, land is what has one at some time; see `luray.cube.build`.
    cells = "always" if plan.state.legend.scale is None else "ever"
    for piece in plan.land():
        if plan.ledger.facts(piece.key)[cells]:
            row = piece.box.row // plan.tiling.tile
            col = piece.box.col // plan.tiling.tile
            tiles.append(Tile(row, col))
    return tiles


def _describe(plan: BuildPlan, root: zarr.Group, gaps: Mapping[str, tuple[str, ...]]) -> None:
    """Write what the sources are, and which group of the cube is whose."""
    groups: dict[str, str] = {}
    parts: dict[str, list[str]] = {scenario: [] for scenario in plan.scenarios}
    for source in plan.sources:
        path = group_of(source)
        if source.scenario:
            parts[source.scenario].append(path)
        else:
            groups[source.name] = path
        root[path].attrs.update(_attributes(plan, source, gaps[source.name]))

    about: dict[str, Any] = {
        "format": FORMAT,
        "grid": asdict(plan.grid),
        "legend": plan.state.legend.to_attributes(),
        "groups": groups,
        "fingerprint": plan.fingerprint,
    }
    if plan.time != YEARLY:
        about["time_step"] = plan.time.interval
    if plan.scenarios:
        about["scenarios"] = list(plan.scenarios)
        about["parts"] = parts
    root.attrs["luray"] = about


def _attributes(plan: BuildPlan, source: Source, gaps: tuple[str, ...]) -> dict[str, Any]:
    """Return the attributes of a source's group."""
    native = source.grid if source is plan.state else cut(source.grid, plan.grid)[0]
    files = plan.files[source.name]
    names = shared_names(files)
    described: dict[str, Any] = {
        "role": source.role,
        "grid": asdict(native),
        "years": list(source.years),
        "held": [list(pair) for pair in sorted(source.held.items())],
    }
    if source.per_year != 1:
        described["per_year"] = source.per_year
    if source.other_kind:
        described["other_kind"] = [list(pair) for pair in sorted(source.other_kind.items())]
    described["variables"] = [asdict(variable) for variable in source.variables]
    return {
        "title": source.about.title,
        "doi": source.about.doi,
        "licence": source.about.licence,
        "caveat": source.caveat,
        "rules": [*source.rules, *gaps],
        "files": {names[place]: file.identity for place, file in files.items()},
        "luray": described,
    }
