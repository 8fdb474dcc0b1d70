"""Every picture of a product, in one folder on any store."""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import xarray as xr

from luray.storage.objects import read_object, write_atomically
from luray.viz.animation import animate
from luray.viz.maps import change_map, map_of_year, overview, overview_years
from luray.viz.plots import (
    area_by_class,
    confidence_over_time,
    skill_by_lead_year,
    validation_of_model,
)
from luray.viz.view import View

Progress = Callable[[int, int, str], None]


def draw_pictures(
    product: xr.Dataset,
    folder: str,
    *,
    metrics: str,
    validations: Mapping[str, str],
    progress: Progress,
) -> dict[str, str]:
    """Draw maps, changes, charts and the animation of a product into `folder`; returns their places
    by name.

    Of several scenarios and members the first is drawn, and an overview of each further scenario.
    `metrics` is where the evaluation's metrics.json lies, `validations` where the validation.json
    of each model does; what is not there is not drawn. `progress` is called with the number of
    pictures done, in all, and the name of the next.
    """
    view = View.of(product)
    years = overview_years(view)
    drawings: dict[str, Callable[[Path], None]] = {
        "overview.png": partial(overview, product),
        "area_by_class.png": partial(area_by_class, product),
        "confidence.png": partial(confidence_over_time, product),
        "animation.mp4": partial(animate, product),
    }
    if "scenario" in product.dims:
        drawings |= {
            f"overview_{name}.png": partial(overview, product.isel(scenario=i))
            for i, name in enumerate(product["scenario"].values.tolist())
            if i
        }
    drawings |= {f"map_{year}.png": partial(map_of_year, product, year) for year in years}
    drawings |= {
        f"change_{a}_{b}.png": partial(change_map, product, a, b) for a, b in pairwise(years)
    }
    evaluation = read_object(metrics)
    if evaluation is not None:
        drawings["skill.png"] = partial(skill_by_lead_year, json.loads(evaluation))
    for name, place in validations.items():
        validation = read_object(place)
        if validation is not None:
            drawings[f"validation_{name}.png"] = partial(
                validation_of_model, json.loads(validation)
            )
    with tempfile.TemporaryDirectory() as scratch:
        for done, (name, draw) in enumerate(drawings.items()):
            progress(done, len(drawings), name)
            draw(Path(scratch) / name)
            write_atomically(f"{folder}/{name}", (Path(scratch) / name).read_bytes())
    progress(len(drawings), len(drawings), "")
    return {Path(name).stem: f"{folder}/{name}" for name in drawings}
