"""The report of an evaluation: its numbers, and the files metrics.json, .csv and .parquet.

Every form of the report repeats the caveats. A score that does not exist (nan) is null in JSON and
empty in CSV. The form on screen is `luray.cli.score_tables`.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import parquet

from luray.core.legend import Legend
from luray.core.legend_files import HILDA
from luray.evaluation.flicker import WITHIN, DecadeFlicker, FlickerByYear, by_decade
from luray.evaluation.long_format import long_table
from luray.evaluation.metrics import ClassChange, change_by_class
from luray.evaluation.report_entries import (
    CSV_COLUMNS,
    block_entry,
    csv_line_of_decade,
    csv_lines_of_skill,
    decade_entry,
    skill_entry,
)
from luray.evaluation.significance import FEWEST_BLOCKS, LEVEL, RESAMPLES
from luray.evaluation.skill import Outcome, Skill, Truth, skill_of
from luray.storage.objects import write_atomically

Period = Literal["first_year", "mean"]

PUBLISHED: dict[Period, dict[str, float]] = {
    "first_year": {
        "accuracy": 0.8826,
        "macro_f1": 0.8072,
        "weighted_f1": 0.8802,
        "mean_iou": 0.6983,
        "change_accuracy": 0.4796,
        "change_macro_f1": 0.3182,
        "change_weighted_f1": 0.4818,
        "change_mean_iou": 0.2089,
    },
    "mean": {
        "accuracy": 0.8270,
        "macro_f1": 0.7110,
        "weighted_f1": 0.8156,
        "mean_iou": 0.5894,
        "change_accuracy": 0.4513,
        "change_macro_f1": 0.2661,
        "change_weighted_f1": 0.4175,
        "change_mean_iou": 0.1748,
    },
}
"""The published model's scores: of the first year, and the mean of 15 years.

They rest on other data than any run's: a U-Net, 80k samples 1960-2000, 8 epochs, tested 2001-2015.
"""

DEFINITIONS = {
    "cells": (
        "land whose true class is not water, weighted by area; changed cells differ in truth from "
        "the initial map"
    ),
    "persistence": "the null model: the initial map in every year",
    "last change": (
        "a null model: every year, land changes class at the rates of the last year before the "
        "start, in cells drawn at random; expected scores, null where they cannot be known"
    ),
    "random place": (
        "a null model that is told what changes and not where: the observed change of each class "
        "to each other one, in cells drawn at random; expected scores"
    ),
    "classes": (
        "water, and classes absent from truth and prediction, are left out of macro F1 and mean IoU"
    ),
    "figure_of_merit": (
        "hits / (hits + wrong gain + misses + false alarms); _5 and _25 in blocks of so many cells"
    ),
    "change_by_class": "area gained and lost since the initial map, water included",
    "predicted_change, observed_change": (
        "share of the land that differs from the initial map; change_ratio: the first over the "
        "second"
    ),
    "net_change_error": (
        "sum of |predicted - observed| over sum of |observed| net change by class, blocks of 25 "
        "cells"
    ),
    "demand_error, observed_demand_error": (
        "sum of |predicted - demanded| over sum of |demanded| net change since the start, by group "
        "of classes in the cells of the coarse scenario, and the same of the observed change; 1 "
        "for persistence; null where demand_unknown says why it cannot be told"
    ),
    "by_class, transitions": (
        "scores of each class, and of the changes from each class to each other one since the "
        "initial map; figure_of_merit: of the land that becomes the class, what is observed and "
        "predicted to over what is either"
    ),
    "by_zone": (
        "scores that follow from the areas by class; null: those of blocks, texture, confidence "
        "and demand, which are of all land alone"
    ),
    "p_change": (
        "Brier score and reliability of the model's probability of change, one year ahead, on "
        "cells that were held out of training; null where the model has no validation"
    ),
    "brier, calibration_error": "of the confidence as the probability that the class is right",
    "deflickered": "scores against truth in which A -> B -> A within two years is removed",
    "gain_from_noise": (
        "accuracy minus that of persistence against the maps as published, less the same against "
        "de-flickered ones: the part of the gain that is knowledge of the maps' noise"
    ),
    "against_persistence": (
        f"{LEVEL:.0%} intervals from {RESAMPLES} resamples of blocks of the map, the same for "
        "model and persistence; _gain: a score minus that of persistence; the Figure of Merit and "
        "scores of changed cells cannot be below those of persistence, which are 0; null with "
        f"fewer than {FEWEST_BLOCKS} blocks, and where a score does not exist in some resample"
    ),
    "change_per_year": (
        "share of the land that differs from the map of the year before, in the direction of travel"
    ),
    "patch_width": "mean way in cells along a row or a column to another class",
    "by_block": (
        "Figure of Merit by block of the map, over the years of the mean; null where nothing "
        "changes and nothing is predicted to"
    ),
    "flicker": (
        f"share of the changes from a year to the next that are undone, A -> B -> A, within "
        f"{WITHIN} years, by area; observed maps of the same years, or else of observed_years"
    ),
}
"""Definitions of the names in the files, for their readers."""


@dataclass(frozen=True)
class EvaluationReport:
    """Outcomes of one or several tests of a model, with what a reader has to know beside them."""

    outcomes: tuple[Outcome, ...]
    legend: Legend
    model: str
    """Description of the model: architecture, training years, device."""
    caveats: tuple[str, ...] = ()
    scored: Mapping[str, str] = field(default_factory=dict)
    """Fingerprint of the rollout that each test scored."""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Corrections that were made to the data of each source, in words."""
    observed_flicker: FlickerByYear = field(default_factory=dict)
    """Flicker of all observed maps."""
    product_flicker: FlickerByYear = field(default_factory=dict)
    """Flicker of the predicted maps of the product."""
    product: str = ""
    """Fingerprint of that product, empty where it was not finished."""

    def __post_init__(self) -> None:
        names = [outcome.name for outcome in self.outcomes]
        if len(set(names)) < len(names):
            raise ValueError(f"tests named {names}, expected each name once; rename a test")

    @property
    def water(self) -> int | None:
        """Class index that is left out of land scores."""
        return None if self.legend.water is None else self.legend.index(self.legend.water)

    @cached_property
    def skills(self) -> dict[tuple[str, Truth], Skill]:
        """Skill by test and truth."""
        skills: dict[tuple[str, Truth], Skill] = {}
        for outcome in self.outcomes:
            skills[outcome.name, "raw"] = skill_of(outcome, outcome.tally, water=self.water)
            if outcome.deflickered is not None and outcome.deflickered.years:
                skills[outcome.name, "deflickered"] = skill_of(
                    outcome, outcome.deflickered, water=self.water
                )
        return skills

    def skills_of(self, outcome: Outcome) -> dict[Truth, Skill]:
        """Return the skill of one test by truth."""
        skills = self.skills.items()
        return {truth: skill for (name, truth), skill in skills if name == outcome.name}

    def gain_from_noise(self, outcome: Outcome) -> dict[Period, float] | None:
        """Return how much of the gain over persistence is knowledge of the maps' noise.

        It is the gain in accuracy against the maps as published minus that against de-flickered
        ones; None for a test that has no scores against these.
        """
        skills = self.skills_of(outcome)
        if "deflickered" not in skills:
            return None
        raw = skills["raw"]
        deflickered = skills["deflickered"]
        return {
            "first_year": raw.first_gain - deflickered.first_gain,
            "mean": raw.mean_gain - deflickered.mean_gain,
        }

    def flicker_of(self, outcome: Outcome) -> tuple[DecadeFlicker, ...]:
        """Return the flicker of the predicted maps of one test beside that of the observed ones."""
        return by_decade(outcome.flicker, self.observed_flicker)

    @property
    def flicker_of_product(self) -> tuple[DecadeFlicker, ...]:
        """The flicker of the product's predicted maps beside that of the observed ones."""
        return by_decade(self.product_flicker, self.observed_flicker)

    def class_change(self, outcome: Outcome, year: int) -> ClassChange:
        """Return gains and losses by class from the initial map to one year, m2."""
        return change_by_class(outcome.tally.years[year].table)

    @property
    def published(self) -> Mapping[Period, Mapping[str, float]]:
        """Return `PUBLISHED`, which is of land use: of another target there is none."""
        return PUBLISHED if self.legend == HILDA else {}

    def to_dict(self) -> dict[str, Any]:
        """Return everything in the report, ready for JSON."""
        return {
            "model": self.model,
            "legend": self.legend.name,
            "caveats": list(self.caveats),
            "scored": dict(self.scored),
            "inputs": {name: list(rules) for name, rules in self.inputs.items()},
            "definitions": DEFINITIONS,
            "published_on_other_data": self.published,
            "product": {
                "fingerprint": self.product,
                "flicker": [decade_entry(decade) for decade in self.flicker_of_product],
            },
            "tests": [self._test_entry(outcome) for outcome in self.outcomes],
        }

    def _test_entry(self, outcome: Outcome) -> dict[str, Any]:
        skills = self.skills_of(outcome)
        entries = {
            truth: skill_entry(skill, outcome, self._class_names) for truth, skill in skills.items()
        }
        years = sorted(outcome.tally.years, key=outcome.lead)
        change_by_class = [self._class_entry(outcome, year) for year in years]
        flicker = [decade_entry(decade) for decade in self.flicker_of(outcome)]
        blocks_of_years = [outcome.tally.years[year].by_block for year in skills["raw"].mean_years]
        left_out = {"left_out": list(outcome.left_out)} if outcome.left_out else {}
        return {
            "name": outcome.name,
            "direction": outcome.direction,
            "start_year": outcome.start_year,
            **left_out,
            **entries["raw"],
            "change_by_class": change_by_class,
            "deflickered": entries.get("deflickered"),
            "gain_from_noise": self.gain_from_noise(outcome),
            "demand_unknown": outcome.demand_unknown or None,
            "p_change": outcome.p_change,
            "flicker": flicker,
            "by_block": block_entry(blocks_of_years),
        }

    @property
    def _class_names(self) -> list[str]:
        return [land_class.name for land_class in self.legend.classes]

    def _class_entry(self, outcome: Outcome, year: int) -> dict[str, Any]:
        entry: dict[str, Any] = {"year": year, "lead": outcome.lead(year)}
        for key, area in asdict(self.class_change(outcome, year)).items():
            entry[f"{key}_m2"] = dict(zip(self._class_names, area.tolist(), strict=True))
        return entry

    def to_csv(self) -> str:
        """Return one line for each test, truth, row and year, and for each mean and decade."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [*CSV_COLUMNS, "caveats"], restval="", lineterminator="\n")
        writer.writeheader()
        caveats = "; ".join(self.caveats)
        for line in self._csv_lines():
            writer.writerow({**line, "caveats": caveats})
        return text.getvalue()

    def _csv_lines(self) -> Iterator[dict[str, Any]]:
        for outcome in self.outcomes:
            for truth, skill in self.skills_of(outcome).items():
                for line in csv_lines_of_skill(skill, outcome):
                    yield {"test": outcome.name, "truth": truth, **line}
            for decade in self.flicker_of(outcome):
                yield {"test": outcome.name, "row": "model", **csv_line_of_decade(decade)}
        for decade in self.flicker_of_product:
            yield {"row": "product", **csv_line_of_decade(decade)}

    def to_parquet(self) -> bytes:
        """Return every number as a row of a long table, see `luray.evaluation.long_format`."""
        sink = pa.BufferOutputStream()
        parquet.write_table(long_table(self.skills, self.outcomes, self.legend), sink)
        return bytes(sink.getvalue())

    def write(self, folder: str | Path) -> tuple[str, str, str]:
        """Write the report; returns the places of its files, each written whole or not at all.

        metrics.json is for readers of one report, metrics.csv for spreadsheets, metrics.parquet for
        the next program. The first stands for all, so it is written last.
        """
        base = str(folder).rstrip("/")
        places = (f"{base}/metrics.json", f"{base}/metrics.csv", f"{base}/metrics.parquet")
        json_text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_atomically(places[2], self.to_parquet())
        write_atomically(places[1], self.to_csv().encode())
        write_atomically(places[0], json_text.encode())
        return places
