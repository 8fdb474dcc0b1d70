"""Charts of skill and of a validation show scores at their values."""

import numpy as np
import pytest

from luray.viz.figure import ACCENT, INK, MUTED
from luray.viz.palette import rgb
from luray.viz.skill_plots import skill_by_lead_year, validation_of_model
from tests.viz.pictures import image_of

LEADS = range(1, 6)


def entry(lead):
    model = {
        "accuracy": 0.9,
        "figure_of_merit": 0.1,
        "figure_of_merit_5": 0.2,
        "figure_of_merit_25": 0.4,
        "predicted_change": 0.01 * lead,
        "observed_change": 0.02 * lead,
    }
    return {
        "year": 2000 + lead,
        "lead": lead,
        "model": model,
        "persistence": {**model, "accuracy": 0.5, "figure_of_merit": None},
    }


def metrics(*names):
    return {
        "caveats": ["forcing: aggregated target"],
        "tests": [
            {
                "name": n,
                "direction": "forward",
                "start_year": 2000,
                "by_lead_year": [entry(x) for x in LEADS],
            }
            for n in names
        ],
    }


def test_skill_has_a_column_for_each_test(tmp_path):
    skill_by_lead_year(metrics("forecast"), tmp_path / "one.png")
    skill_by_lead_year(metrics("forecast", "hindcast"), tmp_path / "two.png")
    one = image_of(tmp_path / "one.png")
    two = image_of(tmp_path / "two.png")
    assert two.shape[1] > 1.8 * one.shape[1]
    accent = (two == rgb(ACCENT)).all(axis=-1).sum(axis=0)
    half = two.shape[1] // 2
    assert accent[:half].sum() == pytest.approx(accent[half:].sum(), rel=0.02)
    upper = one[: one.shape[0] // 3 + 40, one.shape[1] // 4 : one.shape[1] // 2]
    model = np.flatnonzero((upper == rgb(ACCENT)).all(axis=-1).any(axis=1))
    null = np.flatnonzero((upper == rgb(MUTED)).all(axis=-1).any(axis=1))
    assert model.max() < null.max() - 100, (
        "the model's accuracy of 0.9 lies above persistence's 0.5"
    )
    lower = one[-one.shape[0] // 3 :]
    assert (lower == rgb(INK)).all(axis=-1).sum() > 100, "observed change"


def test_a_score_that_does_not_exist_is_a_gap(tmp_path):
    still = metrics("still")
    for lead in still["tests"][0]["by_lead_year"]:
        lead["model"]["figure_of_merit"] = None
    skill_by_lead_year(still, tmp_path / "gap.png")
    skill_by_lead_year(metrics("still"), tmp_path / "whole.png")
    gap, whole = (
        (image_of(tmp_path / f"{n}.png") == rgb(ACCENT)).all(axis=-1).sum()
        for n in ("gap", "whole")
    )
    assert 0 < gap < whole


def test_metrics_without_a_test_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no test"):
        skill_by_lead_year(metrics(), tmp_path / "none.png")


def test_operating_points_lie_where_they_should(tmp_path):
    def point(change, gain):
        return {
            "predicted_over_observed": change,
            "accuracy": 0.9 + gain,
            "persistence": 0.9,
            "figure_of_merit": 0.2,
            "reliability": [{"share": 0.5, "predicted": p, "observed": p} for p in (0.0, 0.5, 1.0)],
        }

    def draw(cautious):
        report = {
            "direction": "forward",
            "held_out": "years",
            "years": [2000, 2009],
            "caveats": ["aggregated"],
            "curve": [point(change / 10, 0.01 - change / 500) for change in range(1, 15)],
            "points": {"cautious": point(*cautious), "unbiased": point(1.0, -0.01)},
        }
        validation_of_model(report, tmp_path / "v.png")
        image = image_of(tmp_path / "v.png")
        panel = image[150:460, 112:500]  # below the title, left of the second panel
        rows, cols = np.nonzero((panel == rgb(ACCENT)).all(axis=-1))
        keep = (cols < 380) & (rows > 40)  # without the legend's marker
        return rows[keep].mean(), cols[keep].mean()

    low, high = draw((0.2, 0.001)), draw((0.6, 0.005))
    assert high[1] > low[1] + 80, "more change lies further right"
    assert high[0] < low[0] - 10, "more accuracy lies higher"
