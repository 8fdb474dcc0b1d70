"""Per-tile sufficient statistics of a predicted map: sums over cells from which every score
follows.

Maps are uint8 class indices, shape (lat, lon), `OUTSIDE` where there is no land. `initial` is the
map a rollout starts from, `truth` and `predicted` are the maps of one later (or, backward, earlier)
year. Shapes: K classes, N blocks.

Areas are rounded to whole m2. A sum of whole numbers below 2^53 is exact in float64 whatever its
order, so merged tiles give the same bytes as the whole map; at 0.01 deg the rounding is below 1e-6
of a cell except next to the poles.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import OUTSIDE
from luray.core.types import U8, Bool

F64 = NDArray[np.float64]

RESOLUTIONS = (5, 25)
"""Edge of the blocks, in cells, in which agreement of change is also judged; 1 follows from the
cross table.
"""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over the cells of one year, all in m2; `+` merges two sets of cells."""

    table: F64
    """Area by initial, true and predicted class, shape (K, K, K)."""
    blocks: F64
    """Hits, wrong gain, misses and false alarms in blocks of `RESOLUTIONS` cells, shape (2, 4); see
    `block_change`.
    """
    net_change: F64
    """By class, over blocks of 25 cells: |predicted - observed net change| and |observed net
    change|, shape (K, 2).
    """
    reliability: F64
    """By confidence 0..100 %: area, and area where the winning class is the true one, shape (101,
    2); 0 if unknown.
    """

    @classmethod
    def zeros(cls, n_classes: int) -> Self:
        """The statistics of no cells at all."""
        k = n_classes
        return cls(
            np.zeros((k, k, k)),
            np.zeros((len(RESOLUTIONS), 4)),
            np.zeros((k, 2)),
            np.zeros((101, 2)),
        )

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.table)

    def __add__(self, other: "Statistics") -> "Statistics":
        if self.n_classes != other.n_classes:
            raise ValueError(
                f"statistics of {self.n_classes} and of {other.n_classes} classes cannot be "
                "merged; "
                "evaluate every tile with the same legend"
            )
        return Statistics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


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
    """Statistics of one tile and year.

    `cell_area` in m2, shape (lat,); `water` is the class index whose true cells are left out of all
    but the table (the table keeps them, `metrics` leaves them out); `confidence` in percent. The
    tile's size must be a multiple of 25 cells, or end at the grid's edge, for its blocks to be
    those of the whole map. Raises ValueError as `cross_tabulate`, and for a confidence above 100 or
    of another shape.
    """
    table = cross_tabulate(initial, truth, predicted, cell_area=cell_area, n_classes=n_classes)
    judged = _known(initial, truth, predicted)
    if water is not None:
        judged &= truth != water
    maps = [np.where(judged, m, OUTSIDE).astype(np.uint8) for m in (initial, truth, predicted)]
    changes = [
        block_change(*maps, cell_area=cell_area, n_classes=n_classes, block=r) for r in RESOLUTIONS
    ]
    reliability = np.zeros((101, 2))
    if confidence is not None:
        reliability = _reliability(confidence, truth == predicted, judged, cell_area)
    return Statistics(
        table, np.stack([change for change, _ in changes]), changes[-1][1], reliability
    )


def cross_tabulate(initial: U8, truth: U8, predicted: U8, *, cell_area: F64, n_classes: int) -> F64:
    """Area in m2 by initial, true and predicted class, shape (K, K, K).

    `cell_area` in m2, shape (lat,). Cells that are `OUTSIDE` in any of the three maps are left out.
    Raises ValueError for maps of different shapes and for a class index beyond the legend.
    """
    if not initial.shape == truth.shape == predicted.shape == (len(cell_area), initial.shape[-1]):
        raise ValueError(
            f"maps of shape {initial.shape}, {truth.shape}, {predicted.shape} and {len(cell_area)} "
            "row "
            "areas, expected one shape and one area a row; cut all maps to the same box"
        )
    known = _known(initial, truth, predicted)
    k = n_classes
    for name, classes in (("initial", initial), ("true", truth), ("predicted", predicted)):
        highest = int(classes.max(where=known, initial=0))
        if highest >= k:
            raise ValueError(
                f"{name} map has class index {highest}, the legend has 0..{k - 1}; encode the "
                "published "
                "codes with Legend.encode first"
            )
    row = np.arange(len(cell_area))[:, None]
    cell = ((row * k + initial) * k + truth) * k + predicted
    counts = np.bincount(cell[known], minlength=len(cell_area) * k**3).reshape(len(cell_area), k**3)
    table: F64 = np.rint(cell_area) @ counts.astype(np.float64)
    return table.reshape(k, k, k)


def block_change(
    initial: U8, truth: U8, predicted: U8, *, cell_area: F64, n_classes: int, block: int
) -> tuple[F64, F64]:
    """Agreement of observed and predicted change in blocks of `block` x `block` cells, summed over
    the blocks.

    Returns (4,): hits, wrong gain, misses, false alarms, and (K, 2): |predicted - observed| and
    |observed| net change by class; in m2. Inside a block place does not count: of the area that
    began as class j, O_jk was seen to become k and P_jk was predicted to, and

        hits = sum_jk min(O_jk, P_jk)          wrong gain = sum_j min(O_j, P_j) - hits misses =
        sum_j max(O_j - P_j, 0)       false alarms = sum_j max(P_j - O_j, 0),    j != k, O_j = sum_k
        O_jk

    which is the best match that moving predicted change among the block's cells of one initial
    class can reach. With blocks of one cell these are the four parts of Pontius et al. 2008
    (doi:10.1007/s00168-007-0138-2); larger blocks follow the idea of Pontius et al. 2011
    (doi:10.1080/00045608.2010.517742), three maps at several resolutions. From blocks to larger
    blocks made of them hits cannot fall, nor the sum of the four parts rise, and so the Figure of
    Merit cannot fall.
    """
    changed = _known(initial, truth, predicted) & ((truth != initial) | (predicted != initial))
    row, col = np.nonzero(changed)
    area = np.rint(cell_area)[row]
    _, where = np.unique(
        (row // block) * (initial.shape[1] // block + 1) + col // block, return_inverse=True
    )
    n_blocks = int(where.max(initial=-1)) + 1

    def transitions(after: U8) -> F64:
        cell = (where * n_classes + initial[changed]) * n_classes + after[changed]
        sums = np.bincount(cell, weights=area, minlength=n_blocks * n_classes**2).astype(np.float64)
        sums_NKK = sums.reshape(n_blocks, n_classes, n_classes)
        sums_NKK[:, np.arange(n_classes), np.arange(n_classes)] = 0
        return sums_NKK

    observed_NKK, predicted_NKK = transitions(truth), transitions(predicted)
    observed_NK, predicted_NK = observed_NKK.sum(axis=2), predicted_NKK.sum(axis=2)
    hits = np.minimum(observed_NKK, predicted_NKK).sum()
    both = np.minimum(observed_NK, predicted_NK).sum()
    parts = np.array([hits, both - hits, observed_NK.sum() - both, predicted_NK.sum() - both])
    net_observed = observed_NKK.sum(axis=1) - observed_NK
    net_predicted = predicted_NKK.sum(axis=1) - predicted_NK
    net = np.stack(
        [np.abs(net_predicted - net_observed).sum(axis=0), np.abs(net_observed).sum(axis=0)], axis=1
    )
    return parts, net


def deflicker(maps: NDArray[Any], *, within: int = 2) -> NDArray[Any]:
    """Maps without A -> B -> A, same shape (year, lat, lon) and dtype: consecutive years of codes
    or class indices.

    A cell that leaves class A and is A again at most `within` years after it was last A keeps A in
    between; with 2, a class that lasts one year. The years are scanned in order and each is
    compared with the de-flickered year before, so A B A B A B ends as A A A A A B, and nothing is
    left to remove. The first map never changes, nor the last. Raises ValueError when `maps` has no
    year axis.
    """
    if maps.ndim != 3:
        raise ValueError(
            f"maps of shape {maps.shape}, expected (year, lat, lon); stack the yearly maps"
        )
    calm = maps.copy()
    for year in range(1, len(maps)):
        before = calm[year - 1]
        returns = np.zeros(before.shape, bool)
        for later in range(year + 1, min(year + within, len(maps))):
            returns |= maps[later] == before
        calm[year] = np.where(returns, before, maps[year])
    return calm


def _known(*maps: U8) -> Bool:
    known: Bool = np.logical_and.reduce([m != OUTSIDE for m in maps])
    return known


def _reliability(confidence: U8, right: Bool, judged: Bool, cell_area: F64) -> F64:
    if confidence.shape != judged.shape or confidence.max(where=judged, initial=0) > 100:
        raise ValueError(
            f"confidence of shape {confidence.shape}, maximum {confidence.max(initial=0)}, "
            "expected "
            f"{judged.shape} and 0..100 percent; pass the product's `confidence` of the same box"
        )
    area = np.broadcast_to(np.rint(cell_area)[:, None], judged.shape)[judged]
    level, right = confidence[judged], right[judged]
    sums = [np.bincount(level, weights=weights, minlength=101) for weights in (area, area * right)]
    return np.stack(sums, axis=1).astype(np.float64)
