"""Whether a rollout is better than persistence: a bootstrap over blocks of the map.

Cells that lie together are right or wrong together, so a map has far fewer independent observations
than cells. Blocks of cells are drawn instead, with replacement, and every score is computed anew
from the blocks that were drawn. One draw serves the model, persistence and all years alike: what
differs between places is in both sides of a difference, and falls out of it.

Five sums of each block and year are all that this needs. They are whole m2 and belong to cells, so
those of tiles add up to those of the whole map, whatever the tiles are.

Shapes: N blocks with scored land, Y years, R resamples, H W cells of a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from luray.core.types import F64, I64, U8, Bool
from luray.evaluation.cell_sums import change_by_block

RESAMPLES = 1000
"""Draws of blocks."""

LEVEL = 0.95
"""Confidence of the intervals."""

BLOCKS_ALONG = 30
"""Fewest blocks along the shorter side of a grid, where coarse cells are small enough for that."""

FEWEST_BLOCKS = 10
"""Blocks with land below which there is no interval: too few places to tell anything."""

SUMS = 5
LAND, HITS, WRONG_GAIN, MISSES, FALSE_ALARMS = range(SUMS)
"""Columns of the sums. The last four are those of `metrics.change_parts`."""
CHANGE_PARTS = slice(HITS, None)
"""The last four columns."""

Verdict = Literal["better", "worse", "cannot be told"]


def block_side(shape: tuple[int, int], *, coarse: int) -> int:
    """Return the cells along a side of a block.

    Cells of one coarse cell see the same forcing and err together, so a block is whole coarse
    cells. It is as many of them as leave `BLOCKS_ALONG` blocks along the shorter side of the grid,
    and at least one.

    Parameters
    ----------
    shape : tuple of int
        (n_lat, n_lon) of the fine grid.
    coarse : int
        Cells along a side of the coarsest forcing's cell.

    Examples
    --------
    The globe at 0.01 degrees with population at 0.5 degrees, and a region of 1 x 3 degrees with
    forcing at 0.25 degrees:

    >>> block_side((18000, 36000), coarse=50)
    600
    >>> block_side((100, 325), coarse=25)
    25
    """
    return coarse * max(1, min(shape) // BLOCKS_ALONG // coarse)


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over the scored cells of one year, block by block; `+` merges two sets of cells.

    `BlockSums()` is the zero: no block.
    """

    side: int = 0
    """Cells along a side of a block; blocks are counted from the grid's corner."""
    places_N2: I64 = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """Row and column of each block, in ascending order."""
    sums_N5: F64 = field(default_factory=lambda: np.zeros((0, SUMS)))
    """Scored land, hits, wrong gain, misses and false alarms in m2."""

    def __add__(self, other: "BlockSums") -> "BlockSums":
        if not self.side or not other.side:
            return self if self.side else other
        if self.side != other.side:
            raise ValueError(
                f"blocks of {self.side} and of {other.side} cells cannot be merged; evaluate every "
                "tile with the same blocks"
            )
        places_N2, sums_NY5 = _aligned([self, other])
        return BlockSums(self.side, places_N2, sums_NY5.sum(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the sums ready for JSON."""
        return {
            "side": self.side,
            "places": self.places_N2.tolist(),
            "sums": self.sums_N5.tolist(),
        }

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> "BlockSums":
        """Return the sums of which `to_dict` gave the entry.

        Raises
        ------
        ValueError
            If places and sums are not of the same blocks.
        """
        places_N2 = np.asarray(entry["places"], np.int64).reshape(-1, 2)
        sums_N5 = np.asarray(entry["sums"], np.float64).reshape(-1, SUMS)
        if len(places_N2) != len(sums_N5):
            raise ValueError(f"{len(places_N2)} places of blocks, expected {len(sums_N5)}")
        return cls(int(entry["side"]), places_N2, sums_N5)

    def of_persistence(self) -> "BlockSums":
        """Return the sums of the null model, which misses all that was observed to change."""
        sums_N5 = np.zeros_like(self.sums_N5)
        sums_N5[:, LAND] = self.sums_N5[:, LAND]
        sums_N5[:, MISSES] = self.sums_N5[:, [HITS, WRONG_GAIN, MISSES]].sum(axis=1)
        return BlockSums(self.side, self.places_N2, sums_N5)


def block_sums(
    initial: U8,
    truth: U8,
    predicted: U8,
    *,
    scored: Bool,
    cell_area: F64,
    corner: tuple[int, int],
    side: int,
) -> BlockSums:
    """Sum up one tile and year by blocks; a tile may hold parts of blocks.

    Parameters
    ----------
    initial, truth, predicted : array of uint8, shape (H, W)
        Class indices.
    scored : bool array, shape (H, W)
        Cells that count, see `statistics.scored_cells`.
    cell_area : array, shape (H,)
        Area of a cell of each row in m2.
    corner : tuple of int
        Row and column of the tile's first cell in the grid.
    side : int
        Cells along a side of a block, see `block_side`.

    Examples
    --------
    Two blocks of 2 x 2 cells of 100 m2, in one of which a change is foreseen:

    >>> initial = np.zeros((2, 4), np.uint8)
    >>> truth = np.array([[0, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    >>> sums = block_sums(
    ...     initial,
    ...     truth,
    ...     truth,
    ...     scored=initial == 0,
    ...     cell_area=np.full(2, 100.0),
    ...     corner=(0, 0),
    ...     side=2,
    ... )
    >>> sums.sums_N5[:, [LAND, HITS]].tolist()
    [[400.0, 100.0], [400.0, 0.0]]
    """
    n_rows, n_cols = scored.shape

    # Blocks that the tile touches, and that of each of its rows and columns among them.
    first_row = corner[0] // side
    first_col = corner[1] // side
    block_row_H = (corner[0] + np.arange(n_rows)) // side - first_row
    block_col_W = (corner[1] + np.arange(n_cols)) // side - first_col
    sums = change_by_block(
        initial, truth, predicted, scored, np.rint(cell_area), block_row_H, block_col_W
    )
    block_row_N, block_col_N = np.nonzero(sums[..., LAND])
    places_N2 = np.stack([first_row + block_row_N, first_col + block_col_N], axis=1)
    return BlockSums(side, places_N2, sums[block_row_N, block_col_N])


class Interval(NamedTuple):
    """A score with its 95 % interval; nan where it cannot be computed."""

    estimate: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Whether a difference to persistence is significant."""
        if self.low > 0:
            return "better"
        if self.high < 0:
            return "worse"
        return "cannot be told"


class Comparison(NamedTuple):
    """A rollout compared with persistence, in one year or the mean of several."""

    accuracy_gain: Interval
    """Accuracy minus that of persistence: (hits - false alarms) / land."""
    figure_of_merit: Interval
    """Persistence has 0, and none is lower: it shows how good a rollout is, not whether."""


@dataclass(frozen=True)
class Significance:
    """A rollout compared with persistence, year by year and in the mean."""

    side: int
    """Cells along a side of a block."""
    n_blocks: int
    """Blocks with scored land."""
    by_year: tuple[Comparison, ...]
    mean: Comparison


def significance(
    years: Sequence[BlockSums], *, n_mean: int, resamples: int = RESAMPLES, seed: int = 0
) -> Significance:
    """Compare a rollout with persistence, with intervals from resampled blocks.

    Parameters
    ----------
    years : sequence of BlockSums
        Of the whole map in each year, in the direction of travel.
    n_mean : int
        Years from the first that the mean covers. As in `metrics.mean_scores`, a year in which a
        score does not exist does not count for it.
    resamples : int
        Draws of as many blocks as there are.
    seed : int
        Key of the random numbers, which depend on nothing else but the number of blocks.

    Returns
    -------
    Significance
        Intervals are nan with fewer than `FEWEST_BLOCKS` blocks, and for a score that does not
        exist in some of the resamples, as a Figure of Merit where few blocks have a change.

    Notes
    -----
    The intervals are percentiles of the resamples. With few blocks these are too narrow: their
    variance lacks the factor n / (n - 1), and their tails are those of a normal distribution where
    Student's would be right. They are widened as Hesterberg 2015 does
    (doi:10.1080/00031305.2015.1089789, "expanded percentile interval").
    """
    places_N2, sums_NY5 = _aligned(years)
    n_blocks = len(places_N2)

    # All blocks once, which gives the scores themselves, then the resamples.
    times_drawn_RN = np.ones((1, n_blocks))
    if n_blocks >= FEWEST_BLOCKS:
        resampled_RN = _times_drawn(n_blocks, resamples=resamples, seed=seed)
        times_drawn_RN = np.concatenate([times_drawn_RN, resampled_RN])

    # Each resample's sums are those of its blocks, as often as they were drawn: one product of
    # matrices. Of whole numbers below 2^53 it is exact, and the same on every machine.
    sums_of_blocks = sums_NY5.reshape(n_blocks, len(years) * SUMS)
    sums_RY5 = (times_drawn_RN @ sums_of_blocks).reshape(-1, len(years), SUMS)

    land_RY = sums_RY5[..., LAND]
    hits_RY = sums_RY5[..., HITS]
    gain_RY = _ratio(hits_RY - sums_RY5[..., FALSE_ALARMS], land_RY)
    figure_of_merit_RY = _ratio(hits_RY, sums_RY5[..., HITS:].sum(axis=-1))

    # For each of the two scores: an interval of each year, and one of the mean at the end.
    intervals = []
    for scores_RY in (gain_RY, figure_of_merit_RY):
        mean_R = _mean_over_years(scores_RY[:, :n_mean])
        columns = [*scores_RY.T, mean_R]
        intervals.append([_interval(scores_R, n_blocks) for scores_R in columns])
    gain_intervals, merit_intervals = intervals
    *by_year, mean = map(Comparison, gain_intervals, merit_intervals)
    return Significance(years[0].side, n_blocks, tuple(by_year), mean)


def _aligned(years: Sequence[BlockSums]) -> tuple[I64, F64]:
    """Places of the blocks of any year, and the sums of each year in all of them, (N, Y, 5)."""
    stacked = np.concatenate([year.places_N2 for year in years])
    places_N2, number = np.unique(stacked, axis=0, return_inverse=True)
    sums_NY5 = np.zeros((len(places_N2), len(years), SUMS))
    first = 0
    for y, year in enumerate(years):
        last = first + len(year.places_N2)
        sums_NY5[number[first:last], y] = year.sums_N5
        first = last
    return places_N2, sums_NY5


def _times_drawn(n_blocks: int, *, resamples: int, seed: int) -> F64:
    """Number of times that each resample draws each block, shape (R, N)."""
    # A counter-based generator, and whole numbers only: the same draws on every machine. 32 random
    # bits times the number of blocks, over 2^32, are the number of a block.
    n_draws = resamples * n_blocks
    words = np.random.Philox(key=seed).random_raw(n_draws)
    high_halves = words >> np.uint64(32)
    scaled = high_halves * np.uint64(n_blocks)
    block = (scaled >> np.uint64(32)).astype(np.int64)

    # Each resample counts its blocks in bins of its own.
    resample = np.repeat(np.arange(resamples), n_blocks)
    bin_of_draw = resample * n_blocks + block
    times_drawn = np.bincount(bin_of_draw, minlength=n_draws)
    return times_drawn.reshape(resamples, n_blocks).astype(np.float64)


def _ratio(part: F64, total: F64) -> F64:
    """Part over total, nan for a total of zero."""
    ratio: F64 = np.divide(part, total, out=np.full_like(part, np.nan), where=total > 0)
    return ratio


def _mean_over_years(scores_RY: F64) -> F64:
    """Mean of the scores of each resample that are not nan, nan where there is none."""
    exists_RY = ~np.isnan(scores_RY)
    sums_R = scores_RY.sum(axis=1, where=exists_RY)
    n_existing_R = exists_RY.sum(axis=1).astype(np.float64)
    return _ratio(sums_R, n_existing_R)


def _interval(scores_R: F64, n_blocks: int) -> Interval:
    """The interval of a score, of which the first is the score itself."""
    estimate = float(scores_R[0])
    resampled = scores_R[1:]
    if not resampled.size or np.isnan(resampled).any():
        return Interval(estimate, np.nan, np.nan)

    # Imported here, as a worker that counts cells draws no intervals.
    from scipy.special import ndtr, stdtrit

    # Hesterberg's expanded percentiles: Student's quantile, widened, as a share of the normal
    # distribution; see the notes of `significance`.
    tail = (1 - LEVEL) / 2
    deviations = stdtrit(n_blocks - 1, tail) * np.sqrt(n_blocks / (n_blocks - 1))
    widened_tail = ndtr(deviations)
    low, high = np.quantile(resampled, [widened_tail, 1 - widened_tail])
    return Interval(estimate, float(low), float(high))
