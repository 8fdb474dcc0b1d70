"""Every picture of a product, in one folder on any store."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import xarray as xr

from luray.core.progress import NamedProgress
from luray.storage.objects import read_json, write_atomically
from luray.viz.animation import animate
from luray.viz.flicker_plot import flicker_by_decade, flicker_panels
from luray.viz.maps import change_map, map_of_year, overview, overview_years
from luray.viz.plots import area_by_class, confidence_over_time, mean_over_time
from luray.viz.skill_plots import skill_by_lead_year, validation_of_model
from luray.viz.value_skill_plots import value_skill, value_validation
from luray.viz.view import View

Drawing = Callable[[Path], None]
"""Draws a picture into a file."""


def draw_pictures(
    product: xr.Dataset,
    folder: str,
    *,
    metrics: str,
    validations: Mapping[str, str],
    progress: NamedProgress,
) -> dict[str, str]:
    """Draw maps, changes, charts and the animation of a product.

    Of several scenarios and members the first is drawn, and an overview of each further scenario.

    Parameters
    ----------
    product : xarray.Dataset
        A finished product.
    folder : str
        Place of the pictures, on any store.
    metrics : str
        Place of the evaluation's metrics.json; without it there is no picture of the skill.
    validations : mapping of str to str
        Place of each model's validation.json, by the name of the model; what is not there is not
        drawn.
    progress : callable
        Called with pictures done, pictures in all and the name of the next.

    Returns
    -------
    dict of str to str
        Place of each picture by its name.
    """
    drawings: dict[str, Drawing] = {
        **dict(_pictures_of_product(product)),
        **dict(_pictures_of_skill(metrics, validations)),
    }

    places = {}
    with tempfile.TemporaryDirectory() as scratch:
        for done, (name, draw) in enumerate(drawings.items()):
            progress(done, len(drawings), name)
            file = Path(scratch) / name
            draw(file)
            place = f"{folder}/{name}"
            write_atomically(place, file.read_bytes())
            places[file.stem] = place
    progress(len(drawings), len(drawings), "")
    return places


def _pictures_of_product(product: xr.Dataset) -> Iterator[tuple[str, Drawing]]:
    """File name and drawing of each picture that the product alone allows."""
    view = View.of(product)
    yield "overview.png", partial(overview, product)
    if view.palette.scale is None:
        yield "area_by_class.png", partial(area_by_class, product)
        yield "confidence.png", partial(confidence_over_time, product)
    else:
        yield "mean.png", partial(mean_over_time, product)
        yield "spread.png", partial(confidence_over_time, product)
    yield "animation.mp4", partial(animate, product)

    if "scenario" in product.dims:
        _, *further_scenarios = product["scenario"].values.tolist()
        for scenario in further_scenarios:
            yield f"overview_{scenario}.png", partial(overview, product.sel(scenario=scenario))

    years = overview_years(view)
    label = view.time.label
    for year in years:
        yield f"map_{label(year)}.png", partial(map_of_year, product, year)
    for earlier, later in pairwise(years):
        name = f"change_{label(earlier)}_{label(later)}.png"
        yield name, partial(change_map, product, earlier, later)


def _pictures_of_skill(
    metrics: str, validations: Mapping[str, str]
) -> Iterator[tuple[str, Drawing]]:
    """File name and drawing of each picture of an evaluation or a validation that is there."""
    evaluation = read_json(metrics)
    if evaluation is not None:
        if "product" not in evaluation:
            raise ValueError(
                f"{metrics}: a report of an earlier version, expected one with flicker; run "
                "luray evaluate again"
            )
        if evaluation.get("kind") == "continuous":
            yield "skill.png", partial(value_skill, evaluation)
        else:
            yield "skill.png", partial(skill_by_lead_year, evaluation)
            if flicker_panels(evaluation):
                yield "flicker.png", partial(flicker_by_decade, evaluation)
    for name, place in validations.items():
        validation = read_json(place)
        if validation is not None:
            # Of values the validation says their unit.
            draw = value_validation if "units" in validation else validation_of_model
            yield f"validation_{name}.png", partial(draw, validation)
