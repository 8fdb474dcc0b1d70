"""Any product judged against any maps, by the scores that luray's own are judged by."""

import re

from luray.catalog.finished import read_finished
from luray.catalog.product_maps import product_maps
from luray.core.limits import usable_cpus
from luray.core.progress import Progress, no_progress
from luray.cube.cube import Cube
from luray.evaluation.report import EvaluationReport
from luray.evaluation.skill import Outcome
from luray.product.compared_maps import ComparedMaps
from luray.product.comparison import Comparison
from luray.stages.run_file import load_run
from luray.storage.objects import exists
from luray.storage.places import place_of, public


def compare(
    product: str,
    reference: str,
    *,
    start: int,
    years: str = "",
    folder: str,
    progress: Progress = no_progress,
) -> EvaluationReport:
    """Score the maps of a product against those of a reference, and write the report.

    Parameters
    ----------
    product : str
        Place of a product or a predictor cube, or of a run file for its product.
    reference : str
        Place of a predictor cube or a product, or of a run file for its cube.
    start : int
        Year of the reference's map from which change is counted.
    years : str, optional
        First and last year that are scored, as 2001-2015; by default all years after the start
        that both have.
    folder : str
        Where metrics.json, metrics.csv and metrics.parquet are written.
    progress : callable, optional
        Called with the bands done and in all.

    Raises
    ------
    ValueError
        If one of them has no finished maps, or has lost some, their classes differ, their grids do
        not nest, or a year is missing; the message names both sides.
    """
    from luray.distributed.cluster import cluster  # Ray takes seconds to import
    from luray.distributed.evaluate import compare as compare_with_ray

    comparison = Comparison.of(
        open_maps(_store(product, "product")),
        open_maps(_store(reference, "cube")),
        start=start,
        years=_years(years),
    )
    comparison.product.require_whole(comparison.years)
    comparison.reference.require_whole(comparison.maps)
    with cluster(cpus=usable_cpus()):
        raw, deflickered = compare_with_ray(comparison, progress=progress)

    outcome = Outcome(
        "comparison",
        comparison.direction,
        start,
        raw,
        deflickered,
        comparison.left_out,
        demand_gap="two series of maps are compared without a coarse scenario",
    )
    report = EvaluationReport(
        (outcome,),
        comparison.reference.legend,
        f"maps of {public(comparison.product.url)} against {public(comparison.reference.url)}",
        caveats=_caveats(comparison),
    )
    report.write(place_of(folder))
    return report


def open_maps(url: str) -> ComparedMaps:
    """Open the maps of a finished product, or the observed ones of a predictor cube.

    Raises
    ------
    ValueError
        Where there is neither.
    """
    if not exists(f"{url}/zarr.json"):
        raise ValueError(
            f"{public(url)}: there is no Zarr store, expected a product or a predictor cube; "
            "correct the place"
        )
    if exists(f"{url}/state/zarr.json"):
        return ComparedMaps.of_cube(Cube.open(url))
    return ComparedMaps.of_product(product_maps(read_finished(url), None))


def _store(place: str, of_run: str) -> str:
    """The store at a place; of a run file its product or its cube."""
    if not place.endswith(".toml"):
        return place_of(place).rstrip("/")
    run = load_run(place)
    return run.product if of_run == "product" else run.cube


def _years(text: str) -> tuple[int, ...]:
    """The years of a text such as 2001-2015 or 2001, none for an empty one."""
    if not text:
        return ()
    match = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", text)
    if match is None:
        raise ValueError(f"years {text!r}, expected two years such as 2001-2015; correct them")
    first = int(match[1])
    last = int(match[2] or first)
    low, high = sorted((first, last))
    return tuple(range(low, high + 1))


def _caveats(comparison: Comparison) -> tuple[str, ...]:
    """Say what was done to bring both onto one grid."""
    grid = comparison.grid
    caveats = [
        f"scored on the {grid.n_lat} x {grid.n_lon} cells of {grid.step:g} degrees that both have",
        "change is counted from the reference's map of the start",
    ]
    for name, maps, nesting in (
        ("product", comparison.product, comparison.of_product),
        ("reference", comparison.reference, comparison.of_reference),
    ):
        if maps.caveat:
            caveats.append(f"{name}: {maps.caveat}")
        if nesting.factor > 1:
            side = nesting.factor
            caveats.append(
                f"{name}: the most frequent class of {side} x {side} cells stands for them"
            )
    if comparison.left_out:
        years = ", ".join(map(str, comparison.left_out))
        caveats.append(f"scores: {years} left out, since the reference has a base map there")
    return tuple(caveats)
