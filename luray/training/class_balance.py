"""Classes of the training maps: which ones are absent, and how much a rare one weighs.

Shapes: K classes.
"""

from collections.abc import Collection, Sequence

import numpy as np

from luray.core.legend import Legend
from luray.core.types import F32, I64
from luray.training.change_counts import ChangeCounts


def require_classes(
    change_counts: ChangeCounts,
    legend: Legend,
    *,
    years: tuple[int, int],
    left_out: Collection[int] = (),
) -> None:
    """Refuse training years whose maps lack a class that the maps of other years have.

    Parameters
    ----------
    change_counts : ChangeCounts
        Cells of each class in each year of the cube.
    legend : Legend
        Names of the classes.
    years : (int, int)
        First and last map of the training.
    left_out : collection of int
        Years among them that do not count.

    Raises
    ------
    ValueError
        If a class is absent; it names them.
    """
    in_training_K = change_counts.cells_in(*years, left_out=left_out)
    in_cube_K = change_counts.cells_YK.sum(axis=0)
    absent_K = (in_cube_K > 0) & (in_training_K == 0)
    if not absent_K.any():
        return

    absent = [legend.classes[k] for k in np.flatnonzero(absent_K)]
    names = ", ".join(f"{c.code} ({c.name})" for c in absent)
    raise ValueError(
        f"class {names} is in maps of the cube but in none of training.years "
        f"{years[0]}-{years[1]}: a model would never predict it; widen training.years, or set "
        'training.sampling.absent_classes = "accept"'
    )


def class_weights(cells_K: Sequence[int] | I64, *, balance: float) -> F32:
    """Return the weight of each class in the loss, shape (K,).

    Parameters
    ----------
    cells_K : sequence of int
        Cells of each class.
    balance : float
        Power of the rarity: a weight is frequency ** -balance, 1 on average over the cells. A class
        without cells has 1.

    Examples
    --------
    >>> class_weights([900, 100], balance=1.0)
    array([0.5555556, 5.       ], dtype=float32)
    """
    count_K = np.asarray(cells_K, np.float64)
    has_cells_K = count_K > 0
    rarity_K = np.where(has_cells_K, count_K, 1) ** -balance
    to_mean_1 = count_K.sum() / max((count_K * rarity_K).sum(), 1e-12)
    weight_K = np.where(has_cells_K, rarity_K * to_mean_1, 1)
    return weight_K.astype(np.float32)
