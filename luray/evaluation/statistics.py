"""Sufficient statistics of a predicted map: sums over cells from which every score follows.

Maps are uint8 class indices, shape (lat, lon), `OUTSIDE` where there is no land. `initial` is the
map from which a rollout starts; `truth` and `predicted` are the maps of one later (or, backward,
earlier) year.

Areas are rounded to whole m2. A sum of whole numbers below 2^53 is exact in float64 whatever its
order, so tiles that are merged give the same bytes as the whole map. At 0.01 degrees the rounding
is below 1e-6 of a cell, except next to the poles.

Shapes: K classes, N blocks with a change. In (K, K, K) the axes are initial, true, predicted.
"""

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import OUTSIDE
from luray.core.types import F64, U8, Bool
from luray.evaluation.block_sums import BlockSums, block_sums
from luray.evaluation.cell_sums import by_confidence, change_in_blocks, tables
from luray.evaluation.demand_agreement import DEMAND_SUMS, DemandedChange, demand_sums
from luray.evaluation.texture import PACE_SUMS, PAIR_SUMS, change_since, unlike_pairs

RESOLUTIONS = (5, 25)
"""Edges of the blocks, in cells, in which agreement of change is scored besides single cells.

Single cells need no entry: their agreement follows from the table.
"""

PERCENTS = 101
"""Levels of confidence: 0, 1, ... 100 %."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over the cells of one year, all in m2; `+` merges two sets of cells.

    Those after `reliability` are of a map among others, in time or in space. They are nothing where
    that is not known: a score of them is then nan.
    """

    table: F64
    """Area by initial, true and predicted class, shape (K, K, K)."""
    blocks: F64
    """Hits, wrong gain, misses and false alarms in blocks of `RESOLUTIONS` cells, shape (2, 4).

    See `block_change`.
    """
    net_change: F64
    """By class, over blocks of 25 cells, shape (K, 2).

    Columns: |predicted - observed net change| and |observed net change|.
    """
    reliability: F64
    """By confidence 0..100 %, shape (101, 2); zeros where no confidence is known.

    Columns: area, and area where the predicted class is the true one.
    """
    pace: F64 = field(default_factory=lambda: np.zeros(PACE_SUMS))
    """Area that changed since the year before, shape (3,); see `texture.change_since`."""
    pairs: F64 = field(default_factory=lambda: np.zeros(PAIR_SUMS))
    """Neighbouring cells of unlike classes, shape (4,); see `texture.unlike_pairs`."""
    by_block: BlockSums = field(default_factory=BlockSums)
    """Agreement by block of the map; see `luray.evaluation.block_sums`."""
    by_zone: F64 = field(default_factory=lambda: np.zeros((0, 0, 0, 0)))
    """The table of each of Z zones, shape (Z, K, K, K); no zone where none are asked for."""
    demand: F64 = field(default_factory=lambda: np.zeros(DEMAND_SUMS))
    """Change beside that which the coarse scenario demands, shape (3,); see `demand_sums`."""

    @classmethod
    def zeros(cls, n_classes: int, n_zones: int = 0) -> Self:
        """Return the statistics of no cells at all."""
        shape_of_zones = (n_zones, n_classes, n_classes, n_classes) if n_zones else (0, 0, 0, 0)
        return cls(
            table=np.zeros((n_classes, n_classes, n_classes)),
            blocks=np.zeros((len(RESOLUTIONS), 4)),
            net_change=np.zeros((n_classes, 2)),
            reliability=np.zeros((PERCENTS, 2)),
            by_zone=np.zeros(shape_of_zones),
        )

    @property
    def n_classes(self) -> int:
        """Number of classes, K."""
        return len(self.table)

    def __add__(self, other: "Statistics") -> "Statistics":
        if self.n_classes != other.n_classes:
            raise ValueError(
                f"statistics of {self.n_classes} and of {other.n_classes} classes cannot be "
                "merged; evaluate every tile with the same legend"
            )
        if len(self.by_zone) != len(other.by_zone):
            raise ValueError(
                f"statistics of {len(self.by_zone)} and of {len(other.by_zone)} zones cannot be "
                "merged; evaluate every tile with the same evaluation.zones"
            )
        sums = [getattr(self, f.name) + getattr(other, f.name) for f in fields(self)]
        return Statistics(*sums)


@dataclass(frozen=True)
class Zones:
    """Zones of a tile, such as those of the climate."""

    code_HW: NDArray[Any]
    """Code of the zone of each cell; a cell of any other code is in no zone."""
    codes: tuple[int, ...]
    """Codes of the Z zones, fewer than 255."""

    @cached_property
    def number_HW(self) -> U8:
        """Number of the zone of each cell, Z where it is in none."""
        number_HW = np.full(self.code_HW.shape, len(self.codes), np.uint8)
        for number, code in enumerate(self.codes):
            number_HW[self.code_HW == code] = number
        return number_HW


class TwoYears(NamedTuple):
    """Maps of a year and of the one before it in the direction of travel, uint8 class indices."""

    before: U8
    now: U8


def statistics_of_year(
    initial: U8,
    truth: TwoYears,
    predicted: TwoYears,
    *,
    cell_area: F64,
    n_classes: int,
    water: int | None,
    confidence: U8 | None,
    corner: tuple[int, int],
    side: int,
    zones: Zones | None = None,
    demanded: DemandedChange | None = None,
) -> Statistics:
    """Return the statistics of one tile and year among the other tiles and years.

    Parameters
    ----------
    initial, truth, predicted : arrays of uint8, shape (lat + 1, lon + 1)
        Class indices, `OUTSIDE` where there is no land: of the tile as in `tile_statistics`, and of
        the row south of it and the column east of it.
    cell_area : array, shape (lat,)
        Area of a cell of each row of the tile in m2.
    n_classes : int
        Number of classes K of the legend.
    water : int, optional
        Class index of water, which is not scored where it is the true class.
    confidence : array of uint8, shape (lat, lon), or None
        Confidence of the prediction in percent, None where it is not known.
    corner : tuple of int
        Row and column of the tile's first cell in the grid.
    side : int
        Cells along a side of the blocks of `block_sums`.
    zones : Zones, optional
        Zones of the tile, for a table of each.
    demanded : DemandedChange, optional
        What the coarse scenario asks of the tile since the initial map.
    """
    # The row to the south and the column to the east are for pairs of neighbouring cells alone.
    maps = (initial, truth.now, predicted.now)
    tile = (slice(None, -1), slice(None, -1))
    tile_maps = [classes[tile] for classes in maps]
    scored = scored_cells(*maps, water=water)
    scored_before = scored & _known(truth.before, predicted.before)
    demand = np.zeros(DEMAND_SUMS)
    if demanded is not None:
        demand = demand_sums(*tile_maps, demanded=demanded, cell_area=cell_area)
    return replace(
        tile_statistics(
            *tile_maps,
            cell_area=cell_area,
            n_classes=n_classes,
            water=water,
            confidence=confidence,
        ),
        pace=change_since(
            (truth.before[tile], predicted.before[tile]),
            (truth.now[tile], predicted.now[tile]),
            scored=scored_before[tile],
            cell_area=cell_area,
        ),
        pairs=unlike_pairs(*maps, scored=scored, cell_area=cell_area),
        by_block=block_sums(
            *tile_maps,
            scored=scored[tile],
            cell_area=cell_area,
            n_classes=n_classes,
            corner=corner,
            side=side,
        ),
        by_zone=tables_of_zones(*tile_maps, zones=zones, cell_area=cell_area, n_classes=n_classes),
        demand=demand,
    )


def tile_statistics(
    initial: U8,
    truth: U8,
    predicted: U8,
    *,
    cell_area: F64,
    n_classes: int,
    water: int | None,
    confidence: U8 | None = None,
) -> Statistics:
    """Return the statistics of one tile and year, without those among others.

    Parameters
    ----------
    initial, truth, predicted : array of uint8, shape (lat, lon)
        Class indices, `OUTSIDE` where there is no land. The edges of the tile must be multiples of
        25 cells, or end at the grid's edge, for its blocks to be those of the whole map.
    cell_area : array, shape (lat,)
        Area of a cell of each row in m2.
    n_classes : int
        Number of classes K of the legend.
    water : int, optional
        Class index of water. Cells whose true class is water count in the table only, from which
        `metrics` leaves them out.
    confidence : array of uint8, shape (lat, lon), optional
        Confidence of the prediction in percent.

    Raises
    ------
    ValueError
        As `cross_tabulate`, and for a confidence above 100 or of another shape.

    Examples
    --------
    One of two cells of 100 m2 changes from class 0 to 1, and the prediction misses it:

    >>> initial = np.array([[0, 0]], np.uint8)
    >>> truth = np.array([[0, 1]], np.uint8)
    >>> statistics = tile_statistics(
    ...     initial, truth, initial, cell_area=np.array([100.0]), n_classes=2, water=None
    ... )
    >>> float(statistics.table[0, 1, 0])
    100.0
    """
    table = cross_tabulate(initial, truth, predicted, cell_area=cell_area, n_classes=n_classes)

    scored = scored_cells(initial, truth, predicted, water=water)
    parts = []
    for block in RESOLUTIONS:
        block_parts, net_change = block_change(
            initial,
            truth,
            predicted,
            scored=scored,
            cell_area=cell_area,
            n_classes=n_classes,
            block=block,
        )
        parts.append(block_parts)

    reliability = np.zeros((PERCENTS, 2))
    if confidence is not None:
        reliability = _reliability(confidence, truth, predicted, scored, cell_area)

    # The net change that is kept is that of the last, largest blocks.
    return Statistics(table, np.stack(parts), net_change, reliability)


def scored_cells(initial: U8, truth: U8, predicted: U8, *, water: int | None) -> Bool:
    """Return which cells are scored: known in all maps, and not water in truth; same shape."""
    scored = _known(initial, truth, predicted)
    if water is not None:
        scored &= truth != water
    return scored


def cross_tabulate(initial: U8, truth: U8, predicted: U8, *, cell_area: F64, n_classes: int) -> F64:
    """Return the area in m2 by initial, true and predicted class, shape (K, K, K).

    Parameters
    ----------
    initial, truth, predicted : array of uint8, shape (lat, lon)
        Class indices. Cells that are `OUTSIDE` in any of the three are left out.
    cell_area : array, shape (lat,)
        Area of a cell of each row in m2.
    n_classes : int
        Number of classes K of the legend.

    Raises
    ------
    ValueError
        For maps of different shapes, and for a class index beyond the legend.
    """
    n_rows = len(cell_area)
    if not initial.shape == truth.shape == predicted.shape == (n_rows, initial.shape[-1]):
        raise ValueError(
            f"maps of shape {initial.shape}, {truth.shape}, {predicted.shape} and {n_rows} "
            "row areas, expected one shape and one area a row; cut all maps to the same box"
        )
    one_zone_HW = np.broadcast_to(np.zeros(1, np.uint8), initial.shape)
    tables_1JTP, highest = tables(
        initial, truth, predicted, one_zone_HW, np.rint(cell_area), 1, n_classes, OUTSIDE
    )
    for name, index in zip(("initial", "true", "predicted"), highest, strict=True):
        if index >= n_classes:
            raise ValueError(
                f"{name} map has class index {index}, the legend has 0..{n_classes - 1}; encode "
                "the published codes with Legend.encode first"
            )
    table_JTP: F64 = tables_1JTP[0]
    return table_JTP


def tables_of_zones(
    initial: U8, truth: U8, predicted: U8, *, zones: Zones | None, cell_area: F64, n_classes: int
) -> F64:
    """Return the table of `cross_tabulate` for each zone, shape (Z, K, K, K)."""
    if zones is None:
        return Statistics.zeros(n_classes).by_zone
    tables_ZJTP, _ = tables(
        initial,
        truth,
        predicted,
        zones.number_HW,
        np.rint(cell_area),
        len(zones.codes),
        n_classes,
        OUTSIDE,
    )
    return tables_ZJTP


def block_change(
    initial: U8,
    truth: U8,
    predicted: U8,
    *,
    scored: Bool,
    cell_area: F64,
    n_classes: int,
    block: int,
) -> tuple[F64, F64]:
    """Return the agreement of observed and predicted change in blocks of `block` x `block` cells.

    Inside a block place does not count: of the area that began as class j, O_jk was observed to
    become k and P_jk was predicted to, and, summed over all blocks, with j != k and
    O_j = sum_k O_jk, P_j = sum_k P_jk::

        hits         = sum_jk min(O_jk, P_jk)
        wrong gain   = sum_j  min(O_j, P_j) - hits
        misses       = sum_j  max(O_j - P_j, 0)
        false alarms = sum_j  max(P_j - O_j, 0)

    This is the best match that can be reached by moving predicted change among those cells of the
    block that have the same initial class. From blocks to larger blocks made of them, hits cannot
    fall, nor can the sum of the four parts rise, and so the Figure of Merit cannot fall.

    Returns
    -------
    parts : array, shape (4,)
        Hits, wrong gain, misses and false alarms in m2.
    net_change : array, shape (K, 2)
        |predicted - observed| and |observed| net change by class in m2.

    Notes
    -----
    With blocks of one cell these are the four parts of Pontius et al. 2008
    (doi:10.1007/s00168-007-0138-2). Larger blocks follow the idea of Pontius et al. 2011
    (doi:10.1080/00045608.2010.517742): three maps at several resolutions.
    """
    return change_in_blocks(initial, truth, predicted, scored, np.rint(cell_area), block, n_classes)


def _known(*maps: U8) -> Bool:
    """True where no map is `OUTSIDE`, same shape."""
    known: Bool = maps[0] != OUTSIDE
    for classes in maps[1:]:
        known &= classes != OUTSIDE
    return known


def _reliability(confidence: U8, truth: U8, predicted: U8, scored: Bool, cell_area: F64) -> F64:
    """Area, and area predicted right, by confidence in percent, shape (101, 2)."""
    if confidence.shape != scored.shape:
        raise ValueError(
            f"confidence of shape {confidence.shape}, expected {scored.shape}; pass the product's "
            "`confidence` of the same box"
        )
    sums, highest = by_confidence(
        confidence, truth, predicted, scored, np.rint(cell_area), PERCENTS
    )
    if highest:
        raise ValueError(
            f"confidence of {highest}, expected 0..100 percent; pass the product's `confidence`"
        )
    return sums
