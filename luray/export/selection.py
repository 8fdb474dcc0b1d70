"""What is exported: a region of whole coarse cells, years, and the grid of the coarse cells."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from luray.core.grid import ALIGNMENT, Grid
from luray.core.tiling import Box
from luray.product.fractions import coarse_grid


@dataclass(frozen=True)
class Region:
    """A rectangle of a product's grid."""

    box: Box
    """Fine cells; it may reach past the southern and eastern edge of the product."""
    fine: Grid
    """Of these cells, as far as the product reaches."""
    coarse: Grid
    """Coarse cells over it."""

    @property
    def block(self) -> int:
        """Fine cells along a side of a coarse cell."""
        return round(self.coarse.step / self.fine.step)


def region_of(
    product: Grid, *, step: float, bounds: tuple[float, float, float, float] | None = None
) -> Region:
    """Return the region of a product, in whole coarse cells.

    Parameters
    ----------
    product : Grid
        Of the product.
    step : float
        Size of a coarse cell in degrees; that of the product's own cells for maps as they are.
    bounds : tuple of float, optional
        West, south, east and north in degrees; by default the whole product.

    Raises
    ------
    ValueError
        For coarse cells that do not nest, bounds that are no edges of coarse cells, and bounds
        outside of the product.

    Examples
    --------
    >>> crete = Grid(north=35.75, west=23.25, step=0.01, n_lat=100, n_lon=325)
    >>> region_of(crete, step=0.25, bounds=(23.5, 35.0, 24.5, 35.5)).coarse.shape
    (2, 4)
    """
    # the product's own cells nest wherever it begins
    whole = product if step == product.step else coarse_grid(product, step)
    rows, cols = (0, whole.n_lat), (0, whole.n_lon)
    if bounds is not None:
        west, south, east, north = bounds
        _require_inside(product, whole, bounds)
        rows = _edges(whole.north - north, whole.north - south, step=step, names=("north", "south"))
        cols = _edges(west - whole.west, east - whole.west, step=step, names=("west", "east"))

    block = round(step / product.step)
    n_lat, n_lon = rows[1] - rows[0], cols[1] - cols[0]
    coarse = Grid(
        round(whole.north - rows[0] * step, 9),
        round(whole.west + cols[0] * step, 9),
        step,
        n_lat,
        n_lon,
    )
    box = Box(rows[0] * block, cols[0] * block, n_lat * block, n_lon * block)
    inside = box.clip(product.shape)
    assert inside is not None  # the bounds are inside
    fine = Grid(coarse.north, coarse.west, product.step, inside.height, inside.width)
    return Region(box, fine, coarse)


def _require_inside(product: Grid, whole: Grid, bounds: tuple[float, float, float, float]) -> None:
    """Raise ValueError for bounds outside of the product, or in the wrong order."""
    west, south, east, north = bounds
    tolerance = ALIGNMENT * product.step
    reach = (whole.west, whole.south, whole.east, whole.north)
    shown = ",".join(f"{edge:g}" for edge in reach)
    if not (west < east and south < north):
        raise ValueError(
            f"--region {west:g},{south:g},{east:g},{north:g} has no area, expected "
            "west,south,east,north in degrees; write the smaller longitude and latitude first"
        )
    is_inside = west >= reach[0] - tolerance and south >= reach[1] - tolerance
    is_inside = is_inside and east <= reach[2] + tolerance and north <= reach[3] + tolerance
    if not is_inside:
        raise ValueError(
            f"--region {west:g},{south:g},{east:g},{north:g} reaches out of the product, which "
            f"covers {shown}; choose a region within"
        )


def _edges(first: float, last: float, *, step: float, names: tuple[str, str]) -> tuple[int, int]:
    """Return the numbers of the coarse edges at two distances from the first of all.

    Raises ValueError for a distance that is no whole number of coarse cells.
    """
    numbers = []
    for distance, name in zip((first, last), names, strict=True):
        number = distance / step
        if abs(number - round(number)) > ALIGNMENT:
            raise ValueError(
                f"--region: its {name} edge lies {number - int(number):.3f} of a coarse cell "
                f"behind an edge of the grid of {step:g} degrees; expected whole cells, choose an "
                "edge of one"
            )
        numbers.append(round(number))
    return numbers[0], numbers[1]


def parse_bounds(text: str) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a text of four numbers.

    Examples
    --------
    >>> parse_bounds("23.5,35,24.5,35.5")
    (23.5, 35.0, 24.5, 35.5)
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--region {text!r} is no region, expected west,south,east,north in degrees, such as "
            "--region=-10,35,30,60"
        ) from None
    return west, south, east, north


def parse_years(text: str | None, available: Sequence[int]) -> tuple[int, ...]:
    """Return the years that a text names, ascending: `1990`, `1850-2100`, or `1900,1950,2000`.

    Raises
    ------
    ValueError
        For another text, and for years that are not `available`.

    Examples
    --------
    >>> parse_years("1990-1992,2000", range(1980, 2001))
    (1990, 1991, 1992, 2000)
    """
    if text is None:
        return tuple(available)
    years: set[int] = set()
    for part in text.split(","):
        matched = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part)
        if matched is None or (matched[2] and int(matched[2]) < int(matched[1])):
            raise ValueError(
                f"--years {text!r} are no years, expected such as 1850-2100 or 1900,1950,2000; "
                "correct it"
            )
        years.update(range(int(matched[1]), int(matched[2] or matched[1]) + 1))

    absent = sorted(years - set(available))
    if absent:
        raise ValueError(
            f"--years {text}: the product has no {absent[0]}"
            f"{f' and {len(absent) - 1} more of them' if len(absent) > 1 else ''}, expected years "
            f"of {available[0]}-{available[-1]}; correct it"
        )
    return tuple(sorted(years))


def require_consecutive(years: Sequence[int], *, form: str) -> None:
    """Raise ValueError unless the years are two or more in a row: a transition joins two maps."""
    gaps = [after for before, after in pairwise(years) if after != before + 1]
    if len(years) < 2 or gaps:
        found = f"a gap before {gaps[0]}" if gaps else f"the year {years[0]} alone"
        raise ValueError(
            f"--format {form} has the transitions from each year to the next, expected two or more "
            f"years in a row, found {found}; choose such as --years {years[0]}-{years[-1] + 1}"
        )
