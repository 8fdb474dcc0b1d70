"""Years in the direction of travel."""

from collections.abc import Collection

from luray.core.types import Direction


def years_before(
    year: int,
    years: Collection[int],
    *,
    direction: Direction,
    most: int,
    left_out: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the years that a traveller who stands in a year comes from, the nearest first.

    Parameters
    ----------
    year : int
        The year that the traveller stands in.
    years : collection of int
        Years that have a map.
    direction : {"forward", "backward"}
        Direction of travel: backward, the years before are the later ones.
    most : int
        How many years are wanted.
    left_out : collection of int
        Years whose map is of another kind.

    Returns
    -------
    tuple of int
        At most `most`, without a gap: they end before the first year that has no map, or whose map
        is of another kind.

    Examples
    --------
    >>> years_before(2003, range(2000, 2011), direction="forward", most=5)
    (2002, 2001, 2000)
    >>> years_before(2003, range(2000, 2011), direction="backward", most=5, left_out={2006})
    (2004, 2005)
    """
    step = -1 if direction == "forward" else 1  # against the direction of travel
    passed_years: list[int] = []
    passed = year + step
    while len(passed_years) < most and passed in years and passed not in left_out:
        passed_years.append(passed)
        passed += step
    return tuple(passed_years)
