"""The findings of an evaluation in sentences.

Everything is taken from `EvaluationReport.to_dict()`, which is what metrics.json holds.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from luray.evaluation.significance import Verdict

Metrics = Mapping[str, Any]
"""Contents of metrics.json, or a part of it."""

OPENINGS: dict[Verdict, str] = {
    "better": "Better than persistence",
    "worse": "Worse than persistence",
    "cannot be told": "Cannot be told from persistence",
}

MARKS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "cannot be told": "○"}
"""Signs beside the verdicts, so that none is told by its colour alone."""

DASH = "–"
"""Stands in a table where a number is not known; a sentence below says why."""

NOT_COMPARED: Metrics = {"verdict": "cannot be told", "low": None}
"""Takes the place of a comparison that the metrics do not have."""


class Finding(NamedTuple):
    """The finding in a period of one test."""

    period: str
    verdict: Verdict
    opening: str
    sentence: str

    @property
    def mark(self) -> str:
        """Sign of the verdict."""
        return MARKS[self.verdict]


class LeadYear(NamedTuple):
    """The finding in one lead year."""

    year: int
    lead: int
    verdict: Verdict
    gain: str
    interval: str
    figure_of_merit: str
    change: str

    @property
    def mark(self) -> str:
        """Sign of the verdict."""
        return MARKS[self.verdict]


def heading(test: Metrics) -> str:
    """Return the heading of a test, such as "forecast: 2001 to 2014 from the map of 2000"."""
    years = [entry["year"] for entry in test["by_lead_year"]]
    return f"{test['name']}: {years[0]} to {years[-1]} from the map of {test['start_year']}"


def findings(test: Metrics) -> list[Finding]:
    """Return what was found in the first year, and in the mean of the years where there are more.

    Parameters
    ----------
    test : mapping
        One of the tests of the metrics.
    """
    years = test["mean_years"]
    paragraphs = [_finding(test, "first_year", str(test["first_year"]))]
    if len(years) > 1:
        paragraphs.append(_finding(test, "mean", f"mean of {years[0]} to {years[-1]}"))
    return paragraphs


def _finding(test: Metrics, key: str, period: str) -> Finding:
    model = test["rows"]["model"][key]
    null = test["rows"]["persistence"][key]
    compared = test["against_persistence"]
    gain = compared[key]["accuracy_gain"] if compared else NOT_COMPARED
    verdict: Verdict = gain["verdict"]

    right = (
        f"{_percent(model['accuracy'])} of the land is right, {_percent(null['accuracy'])} where "
        "nothing changes"
    )
    if gain["low"] is None:
        certainty = "there are too few places to tell how certain the difference is"
    else:
        certainty = (
            f"the difference is {_points(gain['estimate'])} percentage points "
            f"({_points(gain['low'])} to {_points(gain['high'])} with 95 % confidence)"
        )
    sentence = f"{right}; {certainty}. {_amount(model)}"
    return Finding(period, verdict, OPENINGS[verdict], sentence)


def _amount(scores: Metrics) -> str:
    """Say how much change is predicted, and how much of it is where it was observed."""
    if not scores["observed_change"]:
        return "No change was observed, so there is none to be found."
    ratio = scores["change_ratio"]
    merit = scores["figure_of_merit"]
    amount = f"It predicts {ratio:.2f} times the change that was observed"
    if merit is None:
        return f"{amount}."
    return f"{amount}; of all change, predicted or observed, {_percent(merit)} is in both."


def lead_years(test: Metrics) -> list[LeadYear]:
    """Return the verdict, the gain with its interval, and the change of each lead year."""
    rows = []
    for entry in test["by_lead_year"]:
        model = entry["model"]
        compared = entry.get("against_persistence")
        gain = compared["accuracy_gain"] if compared else NOT_COMPARED
        interval = DASH
        if gain["low"] is not None:
            interval = f"{_points(gain['low'])} to {_points(gain['high'])}"
        estimate = model["accuracy"] - entry["persistence"]["accuracy"]
        rows.append(
            LeadYear(
                entry["year"],
                entry["lead"],
                gain["verdict"],
                _points(estimate),
                interval,
                _number(model["figure_of_merit"], 3),
                _number(model["change_ratio"], 2),
            )
        )
    return rows


def gap_of_years(test: Metrics) -> str:
    """Say why the table by lead year has dashes, "" where it has none."""
    reasons = []
    still = [e["year"] for e in test["by_lead_year"] if e["model"]["change_ratio"] is None]
    if still:
        reasons.append(f"no land changed to {', '.join(map(str, still))}")
    rows = lead_years(test)
    if any(row.interval == DASH for row in rows):
        reasons.append("an interval needs more places")
    return f"{DASH}: cannot be told, since {', and '.join(reasons)}." if reasons else ""


def gap_of_scores(test: Metrics) -> str:
    """Say why the table of scores has dashes, "" where it has none."""
    periods = ("first_year", "mean")
    reasons = []

    model = test["rows"]["model"]
    if None in [model[period]["change_accuracy"] for period in periods]:
        still = "" if model["mean"]["observed_change"] == 0 else " in the first year"
        reasons.append(f"no land changed{still}")

    intervals: list[Metrics] = []
    if test["against_persistence"]:
        for period in periods:
            intervals.extend(test["against_persistence"][period].values())
    # Where nothing changed at all, that is the reason, and more places would not help.
    changed = bool(model["mean"]["observed_change"])
    if changed and any(interval["low"] is None for interval in intervals):
        reasons.append("an interval needs more places with change")
    return f"{DASH}: cannot be told, since {', and '.join(reasons)}." if reasons else ""


def noise(test: Metrics) -> str:
    """Say how much of the gain is knowledge of the maps' noise, "" where that is not known."""
    gain = test["gain_from_noise"]
    if gain is None:
        return ""
    first = _more_or_less(gain["first_year"])
    mean = _more_or_less(gain["mean"])
    return (
        "Against maps without their flicker (A, B, A within two years) the gain is "
        f"{first} in the first year and {mean} in the mean: what is lost is knowledge of the "
        "maps' noise."
    )


def _more_or_less(lost: float) -> str:
    """Say by how many percentage points a gain is smaller, or larger."""
    return f"{abs(100 * lost):.2f} percentage points {'smaller' if lost >= 0 else 'larger'}"


def demand(test: Metrics) -> str:
    """Say how far the maps follow the coarse scenario, or why that cannot be told."""
    mean = test["rows"]["model"]["mean"]
    if mean["demand_error"] is None:
        reason = test["demand_unknown"] or "these years have no values of it"
        return f"How far the maps follow the coarse scenario cannot be told: {reason}."
    return (
        "By coarse cell the net change misses what the coarse scenario demands by "
        f"{_percent(mean['demand_error'])} of it; that of the observed maps misses it by "
        f"{_percent(mean['observed_demand_error'])}, and no change at all by 100 %."
    )


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def _points(share: float) -> str:
    """A difference of shares in percentage points, with a real minus sign; none has no sign."""
    points = f"{100 * share:+.2f}"
    return points[1:] if float(points) == 0 else points.replace("-", "\N{MINUS SIGN}")


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:.{digits}f}"
