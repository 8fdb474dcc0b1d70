"""A tally: statistics by year, which merge.

Tiles, workers and years may arrive in any order and any grouping.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from luray.evaluation.block_sums import BlockSums
from luray.evaluation.flicker import Flicker, FlickerByYear
from luray.evaluation.statistics import Statistics

ARRAYS = tuple(f.name for f in fields(Statistics) if f.name != "by_block")
"""Fields of the statistics that are arrays of one shape for all tiles."""


@dataclass(frozen=True, eq=False)
class Tally:
    """Statistics of each year of a rollout, summed over the cells counted so far.

    `+` is associative and commutative to the last bit (areas are whole m2), and `Tally()` is its
    zero.

    Examples
    --------
    >>> a = Tally({2001: Statistics.zeros(3)})
    >>> b = Tally({2001: Statistics.zeros(3), 2002: Statistics.zeros(3)})
    >>> sorted((a + b).years)
    [2001, 2002]
    >>> Tally.from_json(a.to_json()) == a
    True
    """

    years: Mapping[int, Statistics] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        return merge([self, other])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> str:
        """Return the tally as JSON text, from which `from_json` reads the same sums exactly."""
        entries = {}
        for year in sorted(self.years):
            statistics = self.years[year]
            entry = {name: getattr(statistics, name).tolist() for name in ARRAYS}
            entries[str(year)] = entry | {"by_block": statistics.by_block.to_dict()}
        return json.dumps(entries)

    @classmethod
    def from_json(cls, text: str) -> "Tally":
        """Return the tally of a text that `to_json` wrote.

        Raises
        ------
        ValueError
            For any other text.
        """
        try:
            return cls({int(year): _statistics(entry) for year, entry in json.loads(text).items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"no tally ({error}), expected the text of Tally.to_json; evaluate again"
            ) from error


def merge(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies, year by year.

    Raises
    ------
    ValueError
        If they count different numbers of classes.
    """
    years: dict[int, Statistics] = {}
    for tally in tallies:
        for year, statistics in tally.years.items():
            years[year] = years[year] + statistics if year in years else statistics
    return Tally(years)


def merge_flicker(parts: Iterable[FlickerByYear]) -> dict[int, Flicker]:
    """Return the sum of the flicker of tiles, year by year."""
    years: dict[int, Flicker] = {}
    for part in parts:
        for year, flicker in part.items():
            years[year] = years.get(year, Flicker()) + flicker
    return years


def _statistics(entry: Mapping[str, Any]) -> Statistics:
    """Statistics of one year of the JSON text; its table says how many classes there are."""
    arrays = {name: np.asarray(entry[name], np.float64) for name in ARRAYS}
    if not arrays["by_zone"].size:  # JSON keeps no shape of nothing
        arrays["by_zone"] = np.zeros((0, 0, 0, 0))
    statistics = Statistics(**arrays, by_block=BlockSums.from_dict(entry["by_block"]))
    expected = Statistics.zeros(statistics.n_classes, len(statistics.by_zone))
    for name in ARRAYS:
        shape = getattr(statistics, name).shape
        expected_shape = getattr(expected, name).shape
        if shape != expected_shape:
            raise ValueError(f"{name} has shape {shape}, expected {expected_shape}")
    return statistics
