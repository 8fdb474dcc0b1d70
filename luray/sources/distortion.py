"""Distortions of aggregated class shares: smoothed, late, scrambled, biased, unchanging.

Shares that are aggregated from the maps agree with them perfectly, as no scenario does. A
distortion takes that from them step by step, so that skill can be shown over the quality of the
forcing. It is a function of its settings, the maps and the place of a block: the random numbers of
a block are those of its row and column, and other years are read as they are needed.

Shapes: K classes, G groups of classes, N numbers, H W blocks.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from luray.core.config import Config
from luray.core.legend_files import HILDA
from luray.core.random import random_key, random_rows
from luray.core.tiling import Box
from luray.core.types import F64, I64
from luray.sources.luh2 import STATES

PASTURE = [HILDA.index(code) for code in STATES["range"].codes]
"""Class indices of what LUH2 calls pasture and rangeland."""

UNMANAGED = [HILDA.index(code) for code in STATES["primn"].codes]
"""Class indices of what LUH2 calls non-forested land: its rangeland blurs with it."""


class DistortConfig(Config):
    """Distortions of the shares of a block, applied in the order of the keys; none by default."""

    smooth_space: int = Field(default=1, ge=1)
    """Blocks along a side of the square whose land is taken together, an odd number: a block has
    the shares of the square around it.
    """
    smooth_years: int = Field(default=1, ge=1)
    """Years that are taken together, an odd number: those around a year, as far as there are maps.
    """
    lag: int = Field(default=0, ge=0)
    """Years by which the shares are late. Where there is no map so early, the first one holds."""
    scramble: float = Field(default=0, ge=0, le=1)
    """Share by which pasture and unmanaged land exchange their shares of a block, at most: each
    block draws its own between 0 and this, for all years. With 1 nothing says which of the two a
    block has.
    """
    bias: float = Field(default=0, ge=0, le=1)
    """Error of each group of classes, at most: its shares of a block are multiplied by a factor
    between 1 - bias and 1 + bias that the block draws, for all years; then all are scaled so that
    they sum as before. Water keeps its share.
    """
    changing_blocks: float = Field(default=1, ge=0, le=1)
    """Share of the blocks that change at all; the others, drawn by block, have the shares of
    `fixed_year` in all years. With 0 the forcing says nothing about change.
    """
    fixed_year: int | None = None
    """The year whose shares hold in blocks that do not change. One of the years of training: the
    shares of a test year would tell what is to be predicted.
    """
    seed: int = Field(default=0, ge=0)
    """Another seed draws other numbers for every block."""

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a mean that is not centred, and for blocks fixed to no year."""
        for key in ("smooth_space", "smooth_years"):
            side = getattr(self, key)
            if side % 2 == 0:
                raise ValueError(
                    f"{key} is {side}, expected an odd number, so that as much lies on one side "
                    f"as on the other; set {side - 1} or {side + 1}"
                )
        if self.changing_blocks < 1 and self.fixed_year is None:
            raise ValueError(
                f"changing_blocks is {self.changing_blocks} and no year is given whose shares the "
                "other blocks have; set fixed_year to one of the years of training"
            )

    @property
    def margin(self) -> int:
        """Blocks that are read on every side of a box."""
        return self.smooth_space // 2

    def years_read(self, year: int, years: Sequence[int]) -> tuple[int, ...]:
        """Return the years whose maps are taken together for a year.

        Parameters
        ----------
        year : int
            One of `years`.
        years : sequence of int
            Years that have a map, ascending.

        Examples
        --------
        >>> late = DistortConfig(smooth_years=3, lag=2)
        >>> late.years_read(2005, range(2000, 2010))
        (2002, 2003, 2004)
        >>> late.years_read(2001, range(2000, 2010))
        (2000, 2001)
        """
        # The latest map that is old enough, and those around it.
        old_enough = [map_year for map_year in years if map_year <= year - self.lag]
        centre = old_enough[-1] if old_enough else years[0]
        reach = self.smooth_years // 2
        return tuple(map_year for map_year in years if abs(map_year - centre) <= reach)

    @property
    def words(self) -> tuple[str, ...]:
        """The distortions in words, in their order; empty where there are none.

        All values are in it, so that the rules of a cube tell one distortion from another.

        Examples
        --------
        >>> DistortConfig(smooth_years=5, lag=3).words
        ('smoothed over 5 years', '3 years late')
        """
        words = []
        if self.smooth_space > 1:
            words.append(f"smoothed over {self.smooth_space} x {self.smooth_space} blocks")
        if self.smooth_years > 1:
            words.append(f"smoothed over {self.smooth_years} years")
        if self.lag:
            words.append(f"{self.lag} {'year' if self.lag == 1 else 'years'} late")
        if self.scramble:
            words.append(f"pasture and unmanaged land exchanged by up to {self.scramble}")
        if self.bias:
            words.append(f"each class group off by up to {self.bias} of its share")
        if self.changing_blocks == 0:
            words.append(f"without change: those of {self.fixed_year} in all years")
        elif self.changing_blocks < 1:
            words.append(
                f"those of {self.fixed_year} in all years in all but {self.changing_blocks} of the "
                "blocks"
            )
        if self.scramble or self.bias or 0 < self.changing_blocks < 1:
            words.append(f"seed {self.seed}")
        return tuple(words)


def pooled_shares(counts_KHW: I64, *, side: int) -> F64:
    """Return the shares of the classes in the land of a square of blocks around each block.

    Parameters
    ----------
    counts_KHW : array of int64
        Land cells of each class in each block, with `side // 2` more blocks around those that are
        wanted; 0 beyond the grid.
    side : int
        Blocks along a side of the square, an odd number.

    Returns
    -------
    array of float64, without the blocks around
        0 in a block that has no land itself.

    Examples
    --------
    >>> counts = np.array([[[0, 0, 0], [0, 1, 3], [0, 0, 0]], [[0, 0, 0], [0, 3, 1], [0, 0, 0]]])
    >>> pooled_shares(counts, side=3)[:, 0, 0].tolist()
    [0.5, 0.5]
    """
    # Counts are whole numbers: their sum is exact, in whatever pieces the blocks are read.
    squares = sliding_window_view(counts_KHW, (side, side), axis=(1, 2))
    pooled_KHW = squares.sum(axis=(-2, -1))

    # A block without land gets none from its neighbours.
    margin = side // 2
    n_rows, n_columns = pooled_KHW.shape[1:]
    centres_KHW = counts_KHW[:, margin : margin + n_rows, margin : margin + n_columns]
    has_land_HW = centres_KHW.sum(axis=0) > 0
    pooled_KHW = np.where(has_land_HW, pooled_KHW, 0)

    # Where there is no land at all, 0 / 1 is 0.
    land_HW = pooled_KHW.sum(axis=0)
    shares_KHW: F64 = pooled_KHW / np.maximum(land_HW, 1)
    return shares_KHW


def scrambled(shares_KHW: F64, config: DistortConfig, box: Box) -> F64:
    """Return shares of HILDA+ in which pasture and unmanaged land have exchanged some of theirs.

    What a block has of both together stays. Unmanaged classes keep their proportions; in a block
    that had none of them, the first one takes what comes.

    Parameters
    ----------
    shares_KHW : array of float64
        Shares of the blocks of a box.
    config : DistortConfig
        How much is exchanged.
    box : Box
        Which blocks these are.
    """
    exchanged_HW = config.scramble * block_noise("scramble", config.seed, 1, box)[0]
    pasture_HW = _sum(shares_KHW[PASTURE])
    unmanaged_HW = _sum(shares_KHW[UNMANAGED])
    to_pasture_HW = exchanged_HW * (unmanaged_HW - pasture_HW)

    result_KHW = shares_KHW.copy()
    result_KHW[PASTURE] = _with_sum(shares_KHW[PASTURE], pasture_HW + to_pasture_HW)
    result_KHW[UNMANAGED] = _with_sum(shares_KHW[UNMANAGED], unmanaged_HW - to_pasture_HW)
    return result_KHW


def biased(
    shares_KHW: F64, config: DistortConfig, box: Box, *, groups: Sequence[tuple[int, ...]]
) -> F64:
    """Return shares of which each group is too large or too small, the same way in all years.

    They sum as before. Parameters as in `scrambled`; `groups` has the codes of the group of each
    class, none for a class that keeps its share.
    """
    distinct = list(dict.fromkeys(group for group in groups if group))
    noise_GHW = block_noise("bias", config.seed, len(distinct), box)
    factor_GHW = 1 + config.bias * (2 * noise_GHW - 1)

    result_KHW = shares_KHW.copy()
    grouped = [k for k, group in enumerate(groups) if group]
    for k in grouped:
        result_KHW[k] *= factor_GHW[distinct.index(groups[k])]

    # Scaled back to their sum. No factor is 0, as no random number is, so that the sum of biased
    # shares is 0 only where there was nothing.
    total_HW = _sum(shares_KHW[grouped])
    biased_total_HW = _sum(result_KHW[grouped])
    result_KHW[grouped] *= total_HW / np.where(biased_total_HW > 0, biased_total_HW, 1)
    return result_KHW


def fixed_where_drawn(shares_KHW: F64, fixed_KHW: F64, config: DistortConfig, box: Box) -> F64:
    """Return the shares of a year in blocks that change, and `fixed_KHW` in the others.

    Blocks that change with some `changing_blocks` do so with a larger one, too. Parameters as in
    `scrambled`.
    """
    changes_HW = block_noise("change", config.seed, 1, box)[0] < config.changing_blocks
    return np.where(changes_HW, shares_KHW, fixed_KHW)


def block_noise(name: str, seed: int, n_numbers: int, box: Box) -> F64:
    """Draw numbers between 0 and 1, neither of them included, for each block of a box.

    Parameters
    ----------
    name : str
        What they are for: another name has other numbers.
    seed : int
        Seed of the distortion.
    n_numbers : int
        Numbers that a block needs, N.
    box : Box
        The blocks; those of another box that are the same have the same numbers.

    Returns
    -------
    array of float64, shape (N, H, W)
    """
    noise_NHW = np.empty((n_numbers, *box.shape))
    rows = random_rows(random_key("distort", name, seed), n_numbers, year=0, box=box)
    for row, numbers_WB in enumerate(rows):
        numbers_NW = numbers_WB[:, :n_numbers].T  # blocks of numbers are drawn, some too many
        noise_NHW[:, row] = (numbers_NW + 0.5) * 2.0**-32  # neither 0 nor 1
    return noise_NHW


def _with_sum(shares_KHW: F64, total_HW: F64) -> F64:
    """Scale the shares of a group so that they sum to `total_HW`."""
    present_HW = _sum(shares_KHW)
    scaled_KHW = shares_KHW * (total_HW / np.where(present_HW > 0, present_HW, 1))
    # What cannot be scaled, as there is nothing, goes to the first class.
    scaled_KHW[0] = np.where(present_HW > 0, scaled_KHW[0], total_HW)
    return scaled_KHW


def _sum(shares_KHW: Iterable[F64]) -> F64:
    """Sum over the classes, one after the other.

    NumPy's own sum takes another order for a single block than for many, and rounds otherwise.
    """
    classes = iter(shares_KHW)
    total_HW = next(classes).copy()
    for share_HW in classes:
        total_HW += share_HW
    return total_HW
