"""A tally: statistics by year, which merge.

Tiles, workers and years may arrive in any order and any grouping.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from luray.evaluation.statistics import Statistics


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
            entries[str(year)] = {
                f.name: getattr(statistics, f.name).tolist() for f in fields(Statistics)
            }
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


def _statistics(entry: Mapping[str, Any]) -> Statistics:
    """Statistics of one year of the JSON text; its table says how many classes there are."""
    statistics = Statistics(*(np.asarray(entry[f.name], np.float64) for f in fields(Statistics)))
    expected = Statistics.zeros(statistics.n_classes)
    for f in fields(Statistics):
        shape = getattr(statistics, f.name).shape
        expected_shape = getattr(expected, f.name).shape
        if shape != expected_shape:
            raise ValueError(f"{f.name} has shape {shape}, expected {expected_shape}")
    return statistics
