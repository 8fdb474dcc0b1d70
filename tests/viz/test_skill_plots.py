"""Charts of skill and of a validation show scores at their values."""

import numpy as np
import pytest

from luray.core.legend import rgb
from luray.viz.figure import ACCENT, INK, MUTED
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
        "predicted_change_per_year": 0.01,
        "observed_change_per_year": 0.02,
        "predicted_patch_width": 6.0,
        "observed_patch_width": 4.0,
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
    n_rows = 5
    upper = one[: one.shape[0] // n_rows + 40, one.shape[1] // 4 : one.shape[1] // 2]
    model = np.flatnonzero((upper == rgb(ACCENT)).all(axis=-1).any(axis=1))
    null = np.flatnonzero((upper == rgb(MUTED)).all(axis=-1).any(axis=1))
    assert model.max() < null.max() - 100, (
        "the model's accuracy of 0.9 lies above persistence's 0.5"
    )
    lower = one[-one.shape[0] // n_rows :]
    assert (lower == rgb(INK)).all(axis=-1).sum() > 100, "observed width"


def test_an_interval_is_a_band_around_its_line(tmp_path):
    compared = metrics("forecast")
    for each in compared["tests"][0]["by_lead_year"]:
        each["against_persistence"] = {
            "accuracy_gain": {"estimate": 0.4, "low": 0.3, "high": 0.45},
            "figure_of_merit": {"estimate": 0.1, "low": None, "high": None},
        }
    skill_by_lead_year(compared, tmp_path / "band.png")
    skill_by_lead_year(metrics("forecast"), tmp_path / "none.png")
    with_band, without = (image_of(tmp_path / f"{name}.png") for name in ("band", "none"))

    def middle_column(image):
        """What stands between persistence's 0.5 and the model's 0.9 in the upper panel."""
        column = image[: image.shape[0] // 5, image.shape[1] // 2].astype(int)
        return (column[:, 2] - column[:, 0] > 15) & (column.min(axis=1) > 180)

    assert middle_column(with_band).sum() > 40, "light blue"
    assert middle_column(without).sum() < 10


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


def validation(points, *, curve=range(16)):
    """A report whose Figure of Merit rises, and whose accuracy falls, with the predicted change."""

    def at(change):
        return {
            "predicted_over_observed": change,
            "accuracy": 0.9 - 0.02 * change,
            "persistence": 0.9,
            "figure_of_merit": 0.2 * change,
            "reliability": [{"share": 1.0, "predicted": 0.5, "observed": 0.5}],
        }

    return {
        "direction": "forward",
        "held_out": "years",
        "years": [2000, 2009],
        "caveats": ["aggregated"],
        "curve": [at(change / 10) for change in curve],
        "points": {name: at(change) for name, change in points.items()},
    }


def dark_line(image):
    """Columns of the first panel that the bold part of the curve crosses."""
    panel = image[150:455, 115:590]
    return np.flatnonzero((panel == rgb(MUTED)).all(axis=-1).any(axis=0))


def test_the_curve_is_bold_between_the_operating_points(tmp_path):
    validation_of_model(validation({"cautious": 0.3, "unbiased": 1.0}), tmp_path / "v.png")
    columns = dark_line(image_of(tmp_path / "v.png"))
    width = 480  # of 1.5 times the observed change
    assert columns.min() == pytest.approx(0.3 / 1.5 * width, abs=15)
    assert columns.max() == pytest.approx(1.0 / 1.5 * width, abs=15)


def test_the_curve_reaches_points_that_it_has_no_entry_for(tmp_path):
    """Reports of earlier versions list biases that may end before an operating point."""
    points = {"cautious": 0.0, "unbiased": 1.0}
    validation_of_model(validation(points, curve=range(3, 6)), tmp_path / "short.png")
    columns = dark_line(image_of(tmp_path / "short.png"))
    assert columns.max() > 0.9 / 1.5 * 480


def test_far_ends_of_the_curve_do_not_flatten_it(tmp_path):
    points = {"cautious": 0.3, "unbiased": 1.0}
    validation_of_model(validation(points), tmp_path / "near.png")
    validation_of_model(validation(points, curve=range(100)), tmp_path / "far.png")
    near, far = (image_of(tmp_path / f"{name}.png") for name in ("near", "far"))
    assert (near == far).all()
