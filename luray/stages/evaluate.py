"""The stage `evaluate`: rollouts over years that training has not seen, scored against the maps."""

import json
from collections.abc import Sequence
from typing import Any

from luray.core.progress import Progress, no_progress
from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.engine.coarse_demand import why_not_demanded
from luray.engine.spec import InferenceSpec
from luray.evaluation.evaluation_years import EvaluationYears, evaluation_years
from luray.evaluation.null_models import null_maps
from luray.evaluation.report import DEFINITIONS, EvaluationReport
from luray.evaluation.skill import Outcome
from luray.evaluation.value_report import VALUE_DEFINITIONS, ValueReport
from luray.evaluation.value_skill import ValueOutcome
from luray.product.dimensions import ProductDims
from luray.product.value_scoring import ValueMaps
from luray.stages.build import cube_of_run
from luray.stages.config import RolloutTest, RunConfig
from luray.stages.infer import compute, create_empty_product, inference_of, product_dims
from luray.storage.lease import leased
from luray.storage.objects import read_json, read_object


def evaluate(run: RunConfig, *, progress: Progress = no_progress) -> EvaluationReport | ValueReport:
    """Score every test of a run and write the report.

    Tests that the product does not hold are rolled out first. Of several scenarios the first is
    scored, of several members the first: a map like any other of the product. The flicker of a
    finished product of classes is reported beside its tests; values are compared with several null
    models.

    Parameters
    ----------
    run : RunConfig
        A run with tests, whose models are trained.
    progress : callable, optional
        Called with the tile-years, then with the tiles, done and in all, for each test; then with
        the tiles whose observed maps, and those of the product, are looked at for flicker.

    Returns
    -------
    EvaluationReport or ValueReport
        Scores by test and lead year, as they are written to `report/` of the output.

    Raises
    ------
    ValueError
        If the run has no tests, a test begins where there is no map, or `evaluation.zones` is no
        categorical variable of the cube.
    """
    if not run.tests:
        raise ValueError(
            "the run file has no [[evaluation.tests]]; add one with name, start and stop"
        )
    if run.target.kind == "continuous":
        return _evaluate_values(run, progress=progress)
    return _evaluate_classes(run, progress=progress)


def _evaluate_classes(run: RunConfig, *, progress: Progress) -> EvaluationReport:
    """Score the tests of a run of classes, see `evaluate`."""
    from luray.distributed.evaluate import evaluate as evaluate_with_ray  # Ray: seconds to import
    from luray.distributed.evaluate import flicker_of_maps

    # A wrong name is an error before anything is rolled out.
    zone_names = _zone_names(run, cube_of_run(run))
    outcomes: list[Outcome] = []
    identities: dict[str, str] = {}
    memory_caveats: dict[str, None] = {}  # in order, each once
    for test in run.tests:
        spec = rollout_of(run, test)
        years = _years_of(run, test, spec.cube)
        _roll_out(run, test, spec, progress=progress)

        tallies = evaluate_with_ray(
            spec,
            years.maps,
            scored=years.scored,
            travelled=test.span.chains[test.direction],
            year_before=_year_before(test, spec.cube),
            zones=run.evaluation.zones,
            progress=progress,
        )
        demand_gap = why_not_demanded(
            spec.cube, tile=spec.product.tiling.tile, start=years.maps[0], years=years.scored
        )
        outcome = Outcome(
            test.name,
            test.direction,
            test.start,
            tally=tallies.as_published,
            deflickered=tallies.deflickered,
            left_out=years.left_out,
            flicker=tallies.flicker,
            last_change=tallies.last_change,
            zones=zone_names,
            demand_gap=demand_gap,
            p_change=_p_change(run, test),
        )
        outcomes.append(outcome)
        identities[test.name] = _identity_of_scores(run, spec, years)
        memory_caveats.update(dict.fromkeys(spec.caveats))

    # Maps of another kind than the rest differ from their neighbours for reasons that are no change
    # of the land: no flicker is taken from them.
    cube = spec.cube
    observed_years = tuple(year for year in cube.years if year not in cube.other_kind)
    finished = finished_product(run)
    predicted_chains = tuple(finished.product.span.chains.values()) if finished else ()
    flicker = flicker_of_maps(
        finished or spec, observed=observed_years, chains=predicted_chains, progress=progress
    )

    caveats = (*cube.caveats, *memory_caveats, *_scored_map(run), *_left_out(outcomes, cube))
    report = EvaluationReport(
        tuple(outcomes),
        cube.legend,
        _model_in_words(run),
        caveats=caveats,
        scored=identities,
        inputs=cube.rules,
        observed_flicker=flicker.observed,
        product_flicker=flicker.predicted,
        product=finished.product.fingerprint if finished else "",
    )
    report.write(run.path("report"))
    return report


def _evaluate_values(run: RunConfig, *, progress: Progress) -> ValueReport:
    """Score the tests of a run of values, see `evaluate`."""
    from luray.distributed.evaluate import evaluate_values  # Ray: seconds to import

    cube = cube_of_run(run)
    zone_names = _zone_names(run, cube)
    # Tests that cannot be scored are an error before anything is rolled out.
    specs = [rollout_of(run, test) for test in run.tests]
    years_of_tests = [_years_of(run, test, cube) for test in run.tests]
    maps_of_tests = []
    for test, spec, years in zip(run.tests, specs, years_of_tests, strict=True):
        maps_of_tests.append(_maps_of(run, test, spec, years))

    outcomes: list[ValueOutcome] = []
    identities: dict[str, str] = {}
    memory_caveats: dict[str, None] = {}  # in order, each once
    for test, spec, years, maps in zip(
        run.tests, specs, years_of_tests, maps_of_tests, strict=True
    ):
        _roll_out(run, test, spec, progress=progress)
        tally = evaluate_values(maps, spec.geometry.tiles, progress=progress)
        outcome = ValueOutcome(
            test.name, test.direction, maps.nulls, tally, zone_names, left_out=years.left_out
        )
        outcomes.append(outcome)
        identities[test.name] = _identity_of_scores(run, spec, years)
        memory_caveats.update(dict.fromkeys(spec.caveats))

    finished = finished_product(run)
    report = ValueReport(
        tuple(outcomes),
        cube.legend,
        run.time,
        _model_in_words(run),
        caveats=(*cube.caveats, *memory_caveats, *_scored_map(run), *_left_out(outcomes, cube)),
        scored=identities,
        inputs=cube.rules,
        product=finished.product.fingerprint if finished else "",
    )
    report.write(run.path("report"))
    return report


def _maps_of(
    run: RunConfig, test: RolloutTest, spec: InferenceSpec, years: EvaluationYears
) -> ValueMaps:
    """Return the maps that a test of values scores, and those of its null models."""
    cube = spec.cube
    nulls = null_maps(
        test.start,
        years.scored,
        direction=test.direction,
        observed=[step for step in cube.years if step not in cube.other_kind],
        training_years=run.training.years,
        time=run.time,
        has_classes=bool(run.evaluation.zones),
    )
    return ValueMaps(cube, spec.product, years.scored, nulls, run.evaluation.zones)


def _roll_out(
    run: RunConfig, test: RolloutTest, spec: InferenceSpec, *, progress: Progress
) -> None:
    """Compute the rollout of a test as far as it is not there."""
    product = spec.product
    if product.url != run.product and product.is_of_another_run:
        product.remove()  # nobody's result: a rollout by an earlier model
    with leased(product.url) as lease:
        create_empty_product(spec, f"{run.title or run.name}: test {test.name}")
        compute(run, spec, lease, progress=progress)


def _model_in_words(run: RunConfig) -> str:
    """Describe the models of a run for the head of the report."""
    first, last = run.training.years
    history = run.unet.history
    return (
        f"U-Net of width {run.model.width} and depth {run.model.depth} that remembers "
        f"{history} {'map' if history == 1 else 'maps'}, trained on "
        f"{first}-{last}, {run.training.steps} steps"
    )


def is_evaluated(run: RunConfig) -> bool:
    """Return whether the report scores every test as the present models roll it out.

    A report of an earlier version, which has other scores, does not.
    """
    text = read_object(run.path("report", "metrics.json")) or b"{}"
    try:
        report = json.loads(text)
    except ValueError:  # a damaged report is written anew
        return False
    definitions = VALUE_DEFINITIONS if run.target.kind == "continuous" else DEFINITIONS
    if report.get("definitions") != definitions:
        return False

    identities = {}
    for test in run.tests:
        spec = rollout_of(run, test)
        years = _years_of(run, test, spec.cube)
        identities[test.name] = _identity_of_scores(run, spec, years)
    finished = finished_product(run)
    product = finished.product.fingerprint if finished else ""
    return bool(report["scored"] == identities and report["product"]["fingerprint"] == product)


def finished_product(run: RunConfig) -> InferenceSpec | None:
    """Describe the inference of the product, None where it is not finished."""
    try:
        spec = inference_of(run, run.span, run.product)
    except FileNotFoundError:  # a direction that no test travels may have no model yet
        return None
    return spec if spec.product.is_finished else None


def rollout_of(run: RunConfig, test: RolloutTest) -> InferenceSpec:
    """Describe the rollout of a test: the product itself where that begins and ends as it does."""
    product_span = run.span
    product_point = run.inference.operating_point
    point = test.operating_point or product_point
    product_start = product_span.observed[1 if test.direction == "forward" else 0]

    in_product = test.start == product_start and test.stop in product_span.years
    if in_product and point == product_point:
        return inference_of(run, product_span, run.product)

    dims = ProductDims(members=min(1, product_dims(run).members))
    url = run.path("evaluation", f"{test.name}.zarr")
    return inference_of(run, test.span, url, point=point, dims=dims, companions="none")


def _years_of(run: RunConfig, test: RolloutTest, cube: Cube) -> EvaluationYears:
    """Return the years of a test that have a map, and those of them that are scored.

    Raises ValueError where there is none.
    """
    step = 1 if test.direction == "forward" else -1
    travelled = range(test.start, test.stop + step, step)
    years = tuple(year for year in travelled if year in cube.years)
    label = cube.time.label
    if years[:1] != (test.start,) or len(years) < 2:
        raise ValueError(
            f"evaluation test {test.name!r}: the cube has maps of "
            f"{label(cube.years[0])}-{label(cube.years[-1])}, expected {label(test.start)} and the "
            "years after it"
        )

    try:
        return evaluation_years(years, base_maps=cube.other_kind)
    except ValueError as error:
        raise ValueError(f"evaluation test {test.name!r}: {error}") from error


def _zone_names(run: RunConfig, cube: Cube) -> tuple[str, ...]:
    """Names of the zones by which a run is scored, such as "climate 3"."""
    name = run.evaluation.zones
    if not name:
        return ()
    variable, _ = cube.categories(name, cube.years[0], Box(0, 0, 1, 1))
    return tuple(f"{name} {code}" for code in variable.categories)


def _p_change(run: RunConfig, test: RolloutTest) -> dict[str, Any] | None:
    """Reliability of the probability of change of a test's model, None where it is not known."""
    validation = read_json(f"{run.model_folder(test.direction)}/validation.json")
    if validation is None:
        return None
    point = validation["points"][test.operating_point or run.inference.operating_point]
    if not all("from" in entry for entry in point["reliability"]):
        return None  # of an earlier version
    return {
        "cells": validation["cells"],
        "brier": point["brier"],
        "reliability": point["reliability"],
    }


def _year_before(test: RolloutTest, cube: Cube) -> int | None:
    """Return the year before the start of a test in its direction, None where it has no map."""
    years = cube.years_before(test.start, direction=test.direction, most=1)
    return years[0] if years else None


def _identity_of_scores(run: RunConfig, spec: InferenceSpec, years: EvaluationYears) -> str:
    """Return what tells the scores of a test from others.

    That is the rollout, zones, years left out, and of values the years of the climatology.
    """
    identity = spec.product.fingerprint
    if run.evaluation.zones:
        identity += f" by {run.evaluation.zones}"
    if years.left_out:
        identity += f" without {', '.join(map(str, years.left_out))}"
    if run.target.kind == "continuous":
        first, last = run.training.years
        identity += f" beside {first}-{last}"
    return identity


def _left_out(outcomes: Sequence[Outcome | ValueOutcome], cube: Cube) -> list[str]:
    """Say which years are not scored and why."""
    years = sorted(set().union(*[outcome.left_out for outcome in outcomes]))
    if not years:
        return []
    label = cube.time.label
    reasons = [
        f"{label(year)} is {kind}" for year, kind in cube.other_kind.items() if year in years
    ]
    sentence = f"scores: {', '.join(map(label, years))} left out, since {'; '.join(reasons)}"
    past_left_out = [isinstance(o, Outcome) and o.scores_past_left_out for o in outcomes]
    if any(past_left_out):
        sentence += "; later years are still compared with a start before it"
    return [sentence]


def _scored_map(run: RunConfig) -> list[str]:
    """Say which of several scenarios and members the scores are of."""
    sentences = []
    if run.scenarios:
        sentences.append(f"scores: of scenario {run.scenarios[0]}, of {len(run.scenarios)}")
    members = run.inference.members
    if members:
        sentences.append(
            f"scores: of member 0 of {members}, whose classes are drawn from the probabilities; "
            "the likeliest classes would agree with more cells"
        )
    return sentences
