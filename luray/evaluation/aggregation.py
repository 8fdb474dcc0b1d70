"""A mergeable tally: year -> statistics. Tiles, workers and years may arrive in any order and any
grouping.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from luray.evaluation.statistics import Statistics


@dataclass(frozen=True, eq=False)
class Tally:
    """Statistics of each year of a rollout, summed over the cells seen so far.

    `+` is associative and commutative to the last bit (areas are whole m2), and `Tally()` is its
    zero.
    """

    years: Mapping[int, Statistics] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        return merge([self, other])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def to_json(self) -> str:
        """JSON text; `from_json` gives back the same sums exactly."""
        return json.dumps(
            {
                str(year): {
                    f.name: getattr(self.years[year], f.name).tolist() for f in fields(Statistics)
                }
                for year in sorted(self.years)
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Tally":
        """The tally of a text that `to_json` wrote. Raises ValueError for anything else."""
        try:
            return cls({int(year): _statistics(entry) for year, entry in json.loads(text).items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"no tally ({error}), expected the text of Tally.to_json; evaluate again"
            ) from error


def merge(tallies: Iterable[Tally]) -> Tally:
    """Sum of tallies, year by year. Raises ValueError when they count different numbers of classes."""
    years: dict[int, Statistics] = {}
    for tally in tallies:
        for year, statistics in tally.years.items():
            years[year] = years[year] + statistics if year in years else statistics
    return Tally(years)


def _statistics(entry: Mapping[str, Any]) -> Statistics:
    found = Statistics(*(np.asarray(entry[f.name], np.float64) for f in fields(Statistics)))
    expected = Statistics.zeros(len(found.table))
    for f in fields(Statistics):
        got, want = getattr(found, f.name).shape, getattr(expected, f.name).shape
        if got != want:
            raise ValueError(f"{f.name} has shape {got}, expected {want}")
    return found
