"""Which blocks of the grid are held out from training, for validation.

Shapes: R C rows and columns of plots (see `luray.training.change_counts`), B blocks row by row.
"""

import numpy as np

from luray.core.types import I32, I64, Bool

BLOCK_COUNTER = 2**100
"""Counter of the random numbers that choose blocks; no sample has it, see `sample_plan`."""


def hold_out(
    land_RC: I32, change_RC: I64, *, blocks: tuple[int, int], share: float, seed: int
) -> Bool:
    """Choose the blocks that are held out, in quiet and busy places alike.

    The blocks are laid out in a row in order of their change, each as long as its land. Those under
    evenly spaced points are held out, so that a block with little land is rarely chosen.

    Parameters
    ----------
    land_RC : array of int
        Land cells of each plot.
    change_RC : array of int
        Changed cells of each plot.
    blocks : (int, int)
        Rows and columns of blocks. Where the grid has fewer plots, each plot is a block.
    share : float
        Share of the land that is held out, roughly.
    seed : int
        Shifts the points.

    Returns
    -------
    array of bool, shape (R, C)
        Plots of the held-out blocks. At least one block is held out where two have land and the
        share is positive, never the last one.
    """
    block_RC, n_blocks = _block_numbers(land_RC.shape, blocks)
    block = block_RC.ravel()
    land_B = np.bincount(block, land_RC.ravel(), minlength=n_blocks)
    change_B = np.bincount(block, change_RC.ravel(), minlength=n_blocks)

    with_land = np.flatnonzero(land_B)
    if not share or with_land.size < 2:
        return np.zeros(land_RC.shape, np.bool_)

    # Evenly spaced points on blocks in order of change meet quiet and busy ones alike.
    change_rate_B = change_B / np.maximum(land_B, 1)
    by_change = with_land[np.argsort(change_rate_B[with_land], kind="stable")]
    row_of_blocks = land_B[by_change].cumsum()

    # A point falls on a block in proportion to its land, so the block under a point has more land
    # than a mean block: this much on average.
    land = land_B.sum()
    land_under_point = (land_B**2).sum() / land
    n_wanted = max(1, round(share * land / land_under_point))
    n_points = min(n_wanted, by_change.size - 1)

    random = np.random.Generator(np.random.Philox(key=seed, counter=BLOCK_COUNTER))
    points = (np.arange(n_points) + random.random()) / n_points * land
    under_points = np.searchsorted(row_of_blocks, points, side="right")
    return np.isin(block_RC, by_change[under_points])


def _block_numbers(shape: tuple[int, ...], blocks: tuple[int, int]) -> tuple[I64, int]:
    """Number of the block of each plot, (R, C), and how many blocks there are."""
    n_rows, n_cols = shape
    n_block_rows = min(n_rows, blocks[0])
    n_block_cols = min(n_cols, blocks[1])
    block_row_R = np.arange(n_rows) * n_block_rows // n_rows
    block_col_C = np.arange(n_cols) * n_block_cols // n_cols
    return block_row_R[:, None] * n_block_cols + block_col_C, n_block_rows * n_block_cols
