import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.legend import HILDA
from luray.viz.figure import ACCENT, INK, MUTED, axes_at, new_figure, save
from luray.viz.plots import (
    area_by_class,
    confidence_over_time,
    draw_areas,
    draw_confidence,
    skill_by_lead_year,
    spread,
    validation_of_model,
)
from luray.viz.palette import rgb
from luray.viz.view import View, shares
from tests.viz.pictures import COLOURS, GRID, ORIGINS, YEARS, image_of, write_product

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


def drawn(draw, view, path):
    """The inside of axes that `draw` draws on: 400 x 500 pixels."""
    figure = new_figure(8, 4)
    draw(axes_at(figure, 1, 0.5, 500 / 150, 400 / 150), view)
    save(figure, path)
    return image_of(path)[-75 - 400 : -75, 150 : 150 + 500]


def test_layers_are_as_thick_as_the_areas_and_stacked_in_the_order_of_the_legend(product, tmp_path):
    view = View.of(product)
    inside = drawn(draw_areas, view, tmp_path / "a.png")
    column = inside[:, 5]
    expected = shares(view.areas([1998]))[0]
    middles = []
    for code, share in zip(HILDA.codes, expected, strict=True):
        mine = np.flatnonzero((column == COLOURS[int(code)]).all(axis=-1))
        assert mine.size / 400 == pytest.approx(share, abs=0.015)
        middles.append(mine.mean())
    assert middles == sorted(middles, reverse=True), "from the bottom upward"


def test_observed_years_are_lighter_and_the_others_in_the_legends_colours(product, tmp_path):
    inside = drawn(draw_areas, View.of(product), tmp_path / "a.png")
    pure = np.isin(
        inside.astype(int) @ [65536, 256, 1],
        [np.array(c) @ [65536, 256, 1] for c in COLOURS.values()],
    )
    x = (np.array([1998.5, 2000, 2001.5]) - 1998) / 4 * 500
    shares_of_pure = pure[:, x.astype(int)].mean(axis=0)
    assert shares_of_pure[0] > 0.9
    assert shares_of_pure[1] == 0
    assert shares_of_pure[2] > 0.9


def test_confidence_is_drawn_at_its_mean(product, tmp_path):
    inside = drawn(draw_confidence, View.of(product), tmp_path / "c.png")
    for year, percent in ((1998, 40), (2000, 100), (2002, 70)):
        x = np.clip(round((year - 1998) / 4 * 500), 3, 495)
        line = np.flatnonzero((inside[:, x] == rgb(ACCENT)).all(axis=-1))
        assert (1 - line.mean() / 400) * 102 == pytest.approx(percent, abs=2)


def test_the_files_hold_the_charts(product, tmp_path):
    area_by_class(product, tmp_path / "area.png")
    image = image_of(tmp_path / "area.png")
    for code in HILDA.codes:
        assert (image == COLOURS[int(code)]).all(axis=-1).sum() > 2000, f"code {code} has a layer"
    assert not (image == COLOURS[0]).all(axis=-1).any(), "the ocean has none"
    confidence_over_time(product, tmp_path / "confidence.png")
    assert (image_of(tmp_path / "confidence.png") == rgb(ACCENT)).all(axis=-1).sum() > 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["area.png", "confidence.png"]


def test_a_single_year_and_a_sea_can_be_charted(tmp_path):
    for n, code in enumerate((0, 44)):
        opened = write_product(
            tmp_path / f"{n}.zarr",
            np.full((1, *GRID.shape), code, np.uint8),
            grid=GRID,
            years=YEARS[:1],
            origins=ORIGINS[:1],
        )
        for draw in (area_by_class, confidence_over_time):
            draw(opened, tmp_path / "chart.png")
            assert (image_of(tmp_path / "chart.png") != 255).any()


def test_skill_has_a_column_for_each_test_and_the_lines_at_their_values(tmp_path):
    skill_by_lead_year(metrics("forecast"), tmp_path / "one.png")
    skill_by_lead_year(metrics("forecast", "hindcast"), tmp_path / "two.png")
    one, two = image_of(tmp_path / "one.png"), image_of(tmp_path / "two.png")
    assert two.shape[1] > 1.8 * one.shape[1]
    mine = (two == rgb(ACCENT)).all(axis=-1).sum(axis=0)
    half = two.shape[1] // 2
    assert mine[:half].sum() == pytest.approx(mine[half:].sum(), rel=0.02)
    upper = one[: one.shape[0] // 3 + 40, one.shape[1] // 4 : one.shape[1] // 2]
    model = np.flatnonzero((upper == rgb(ACCENT)).all(axis=-1).any(axis=1))
    null = np.flatnonzero((upper == rgb(MUTED)).all(axis=-1).any(axis=1))
    assert model.max() < null.max() - 100, (
        "the model's accuracy of 0.9 lies above persistence's 0.5"
    )
    lower = one[-one.shape[0] // 3 :]
    assert (lower == rgb(INK)).all(axis=-1).sum() > 100, "observed change"


def test_a_score_that_does_not_exist_is_a_gap_and_no_test_an_error(tmp_path):
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
    with pytest.raises(ValueError, match="no test"):
        skill_by_lead_year(metrics(), tmp_path / "none.png")


def test_the_validation_of_a_model_shows_its_points_where_they_are(tmp_path):
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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8).map(sorted))
def test_names_keep_their_order_and_distance(places):
    moved = spread(places, least=0.02, most=0.98, gap=0.1)
    assert (np.diff(moved) >= 0.1 - 1e-9).all()
    assert moved[-1] <= 0.98
    assert moved[0] >= 0.02 - 1e-9
    lone = [p for p in places if 0.02 <= p <= 0.98]
    if len(places) == len(lone) and (np.diff(places) >= 0.1).all():
        np.testing.assert_allclose(moved, places)
