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
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import OUTSIDE
from luray.core.types import F64, U8, Bool
from luray.evaluation.demand_agreement import DEMAND_SUMS, DemandedChange, demand_sums
from luray.evaluation.significance import BlockSums, block_sums
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
    """What changed since the year before, shape (3,); see `texture.change_since`."""
    pairs: F64 = field(default_factory=lambda: np.zeros(PAIR_SUMS))
    """Neighbouring cells of unlike classes, shape (4,); see `texture.unlike_pairs`."""
    by_block: BlockSums = field(default_factory=BlockSums)
    """Agreement of change by block of the map; see `luray.evaluation.significance`."""
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
        return Statistics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Zones(NamedTuple):
    """Zones of a tile, such as those of the climate."""

    code_HW: NDArray[Any]
    """Code of the zone of each cell; a cell of any other code is in no zone."""
    codes: tuple[int, ...]
    """Codes of the Z zones."""


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
        Cells along a side of the blocks of `significance`.
    zones : Zones, optional
        Zones of the tile, for a table of each.
    demanded : DemandedChange, optional
        What the coarse scenario asks of the tile since the initial map.
    """
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
            *tile_maps, scored=scored[tile], cell_area=cell_area, corner=corner, side=side
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
    maps = (initial, truth, predicted)
    scored_maps = [np.where(scored, classes, OUTSIDE).astype(np.uint8) for classes in maps]

    parts = []
    for block in RESOLUTIONS:
        block_parts, net_change = block_change(
            *scored_maps, cell_area=cell_area, n_classes=n_classes, block=block
        )
        parts.append(block_parts)

    reliability = np.zeros((PERCENTS, 2))
    if confidence is not None:
        reliability = _reliability(confidence, truth == predicted, scored, cell_area)

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
    known = _known(initial, truth, predicted)
    for name, classes in (("initial", initial), ("true", truth), ("predicted", predicted)):
        highest = int(classes.max(where=known, initial=0))
        if highest >= n_classes:
            raise ValueError(
                f"{name} map has class index {highest}, the legend has 0..{n_classes - 1}; encode "
                "the published codes with Legend.encode first"
            )

    # Counting cells by row first keeps the counts whole; one product with the rows' areas follows.
    row = np.arange(n_rows)[:, None]
    bin_of_cell = ((row * n_classes + initial) * n_classes + truth) * n_classes + predicted
    n_bins = n_classes**3
    counts = np.bincount(bin_of_cell[known], minlength=n_rows * n_bins).reshape(n_rows, n_bins)
    table: F64 = np.rint(cell_area) @ counts.astype(np.float64)
    return table.reshape(n_classes, n_classes, n_classes)


def tables_of_zones(
    initial: U8, truth: U8, predicted: U8, *, zones: Zones | None, cell_area: F64, n_classes: int
) -> F64:
    """Return the table of `cross_tabulate` for each zone, shape (Z, K, K, K)."""
    if zones is None:
        return Statistics.zeros(n_classes).by_zone
    n_zones = len(zones.codes)
    zone_HW = np.full(initial.shape, n_zones)
    for zone, code in enumerate(zones.codes):
        zone_HW[zones.code_HW == code] = zone

    row, col = np.nonzero(_known(initial, truth, predicted) & (zone_HW < n_zones))
    bin_of_cell = zone_HW[row, col]
    for classes in (initial, truth, predicted):
        bin_of_cell = bin_of_cell * n_classes + classes[row, col]
    shape = (n_zones, n_classes, n_classes, n_classes)
    sums = np.bincount(bin_of_cell, weights=np.rint(cell_area)[row], minlength=prod(shape))
    return sums.astype(np.float64).reshape(shape)


def block_change(
    initial: U8, truth: U8, predicted: U8, *, cell_area: F64, n_classes: int, block: int
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
    changed = (truth != initial) | (predicted != initial)
    changed &= _known(initial, truth, predicted)
    row, column = np.nonzero(changed)
    area = np.rint(cell_area)[row]

    # Only blocks with a change are numbered: most of a map never changes.
    blocks_across = initial.shape[1] // block + 1
    block_on_map = (row // block) * blocks_across + column // block
    _, block_of_cell = np.unique(block_on_map, return_inverse=True)
    n_blocks = int(block_of_cell.max(initial=-1)) + 1

    def transitions(after: U8) -> F64:
        """Area that became another class, shape (N, K, K): block, initial class, later class."""
        bin_of_cell = (block_of_cell * n_classes + initial[changed]) * n_classes + after[changed]
        n_bins = n_blocks * n_classes**2
        sums = np.bincount(bin_of_cell, weights=area, minlength=n_bins).astype(np.float64)
        sums_NKK = sums.reshape(n_blocks, n_classes, n_classes)
        diagonal = np.arange(n_classes)
        sums_NKK[:, diagonal, diagonal] = 0
        return sums_NKK

    observed_NKK = transitions(truth)
    predicted_NKK = transitions(predicted)
    observed_loss_NK = observed_NKK.sum(axis=2)
    predicted_loss_NK = predicted_NKK.sum(axis=2)

    hits = np.minimum(observed_NKK, predicted_NKK).sum()
    changed_in_both = np.minimum(observed_loss_NK, predicted_loss_NK).sum()
    wrong_gain = changed_in_both - hits
    misses = observed_loss_NK.sum() - changed_in_both
    false_alarms = predicted_loss_NK.sum() - changed_in_both
    parts = np.array([hits, wrong_gain, misses, false_alarms])

    observed_net_NK = observed_NKK.sum(axis=1) - observed_loss_NK
    predicted_net_NK = predicted_NKK.sum(axis=1) - predicted_loss_NK
    error_K = np.abs(predicted_net_NK - observed_net_NK).sum(axis=0)
    observed_K = np.abs(observed_net_NK).sum(axis=0)
    return parts, np.stack([error_K, observed_K], axis=1)


def _known(*maps: U8) -> Bool:
    """True where no map is `OUTSIDE`, same shape."""
    known: Bool = np.logical_and.reduce([classes != OUTSIDE for classes in maps])
    return known


def _reliability(confidence: U8, right: Bool, scored: Bool, cell_area: F64) -> F64:
    """Area, and area predicted right, by confidence in percent, shape (101, 2)."""
    if confidence.shape != scored.shape or confidence.max(where=scored, initial=0) > 100:
        raise ValueError(
            f"confidence of shape {confidence.shape}, maximum {confidence.max(initial=0)}, "
            f"expected {scored.shape} and 0..100 percent; pass the product's `confidence` of the "
            "same box"
        )
    area_by_row = np.rint(cell_area)[:, None]
    area: F64 = np.broadcast_to(area_by_row, scored.shape)[scored]
    percent = confidence[scored]
    total = np.bincount(percent, weights=area, minlength=PERCENTS)
    total_right = np.bincount(percent, weights=area * right[scored], minlength=PERCENTS)
    return np.stack([total, total_right], axis=1).astype(np.float64)
