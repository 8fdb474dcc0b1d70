"""The chart of flicker shows shares at their values, and says where nothing changed."""

import numpy as np
import pytest

from luray.core.legend import rgb
from luray.viz.figure import ACCENT
from luray.viz.flicker_plot import flicker_by_decade
from tests.viz.pictures import image_of


def decade(first, predicted, observed=0.4, *, observed_years=None):
    years = [first, first + 9]
    return {
        "years": years,
        "predicted": predicted,
        "observed": observed,
        "observed_years": observed_years or years,
    }


def metrics(product, *tests):
    return {
        "caveats": ["forcing: aggregated target"],
        "product": {"fingerprint": "", "flicker": product},
        "tests": [{"name": f"test {n}", "flicker": flicker} for n, flicker in enumerate(tests)],
    }


def bar_heights(image):
    """Heights in pixels of the bars of the predicted maps, from west to east."""
    blue = (image == rgb(ACCENT)).all(axis=-1)
    blue[: image.shape[0] // 3] = False  # the legend
    heights = blue.sum(axis=0)
    starts = np.flatnonzero((heights[1:] > 0) & (heights[:-1] == 0)) + 2
    return heights[starts]


def test_a_bar_is_as_high_as_its_share(tmp_path):
    flicker = [decade(1990, 0.4), decade(2000, 0.2), decade(2010, 0.1)]
    flicker_by_decade(metrics(flicker), tmp_path / "flicker.png")
    first, second, third = bar_heights(image_of(tmp_path / "flicker.png"))
    assert second == pytest.approx(first / 2, abs=2)
    assert third == pytest.approx(first / 4, abs=2)


def test_product_and_tests_have_a_panel_where_they_have_flicker(tmp_path):
    flicker_by_decade(metrics([decade(1990, 0.2)]), tmp_path / "one.png")
    flicker_by_decade(metrics([decade(1990, 0.2)], [decade(1990, 0.1)], []), tmp_path / "two.png")
    one, two = (image_of(tmp_path / f"{name}.png") for name in ("one", "two"))
    assert len(bar_heights(one)) == 1
    assert len(bar_heights(two)) == 2
    assert two.shape[1] > 1.8 * one.shape[1]


def test_a_decade_without_change_is_no_bar_of_zero(tmp_path):
    for name, share in (("nothing", None), ("zero", 0.0)):
        flicker_by_decade(metrics([decade(1990, share)]), tmp_path / f"{name}.png")
    nothing, zero = (image_of(tmp_path / f"{name}.png") for name in ("nothing", "zero"))
    assert bar_heights(nothing).size == 0
    assert (nothing != zero).any(), "a dash"


def test_observed_maps_of_other_years_are_lighter(tmp_path):
    flicker_by_decade(metrics([decade(1990, 0.2)]), tmp_path / "same.png")
    other = decade(1990, 0.2, observed_years=[1960, 1979])
    flicker_by_decade(metrics([other]), tmp_path / "other.png")
    same, lighter = (image_of(tmp_path / f"{name}.png").mean() for name in ("same", "other"))
    assert lighter > same


def test_metrics_without_flicker_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no flicker"):
        flicker_by_decade(metrics([]), tmp_path / "none.png")
