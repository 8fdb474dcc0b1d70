"""The stage `evaluate`: rollouts over years that training has not seen, scored against the maps."""

import json
from collections.abc import Sequence

from luray.core.progress import Progress, no_progress
from luray.cube.cube import Cube
from luray.engine.spec import InferenceSpec
from luray.evaluation.report import EvaluationReport as EvaluationReport
from luray.evaluation.report import Outcome
from luray.evaluation.scored_years import ScoredYears, scored_years
from luray.product.dimensions import ProductDims
from luray.stages.config import RolloutTest, RunConfig
from luray.stages.infer import asked_of, create_product_of, roll_out, rollout_of
from luray.storage.lease import leased
from luray.storage.objects import read_object


def evaluate(run: RunConfig, *, progress: Progress = no_progress) -> EvaluationReport:
    """Score every test of a run, rolling out first those that the product does not hold, and write
    the report.

    Of several scenarios the first is scored, of several members the first: a map like any that the
    product has. Raises ValueError when the run has no tests or a test begins where there is no map.
    """
    if not run.evaluation.tests:
        raise ValueError(
            "the run file has no [[evaluation.tests]]; add one with name, start and stop"
        )
    from luray.distributed.evaluate import (
        evaluate as evaluate_with_ray,
    )  # Ray takes seconds to import

    outcomes, plan, scored = [], None, {}
    for test in run.evaluation.tests:
        plan = _tested(run, test)
        chosen = _scored_years(run, test, plan.cube)
        url, scored[test.name] = plan.product.url, _identity_of_scores(plan, chosen)
        if url != run.product and plan.product.is_of_another_run:
            plan.product.remove()  # a rollout of an earlier model is nobody's result
        with leased(url) as lease:
            create_product_of(plan, f"{run.title or run.name}: test {test.name}")
            roll_out(run, plan, lease, progress=progress)
        raw, calm = evaluate_with_ray(plan, chosen.maps, scored=chosen.scored, report=progress)
        outcomes.append(Outcome(test.name, test.direction, test.start, raw, calm, chosen.left_out))
    assert plan
    model = (
        f"U-Net of width {run.model.width} and depth {run.model.depth}, trained on "
        f"{run.training.years[0]}-{run.training.years[1]}, {run.training.steps} steps"
    )
    caveats = (*plan.cube.caveats, *_scored(run), *_left_out(outcomes, plan.cube))
    written = EvaluationReport(
        tuple(outcomes), plan.cube.legend, model, caveats, scored, plan.cube.rules
    )
    written.write(run.path("report"))
    return written


def is_evaluated(run: RunConfig) -> bool:
    """True when the report scores every test of the run, as the models now there roll it out."""
    try:
        found = json.loads(read_object(run.path("report", "metrics.json")) or b"{}").get("scored")
    except ValueError:  # spoilt, and to be written anew
        return False
    expected = {}
    for test in run.evaluation.tests:
        plan = _tested(run, test)
        expected[test.name] = _identity_of_scores(plan, _scored_years(run, test, plan.cube))
    return bool(found == expected)


def _scored_years(run: RunConfig, test: RolloutTest, cube: Cube) -> ScoredYears:
    """Years of a test with a map, and those of them that are scored. Raises ValueError where there
    is none.
    """
    way = 1 if test.direction == "forward" else -1
    years = tuple(y for y in range(test.start, test.stop + way, way) if y in cube.years)
    if years[:1] != (test.start,) or len(years) < 2:
        raise ValueError(
            f"evaluation test {test.name!r}: the cube has maps of "
            f"{cube.years[0]}-{cube.years[-1]}, "
            f"expected {test.start} and the years after it"
        )
    base_maps = cube.other_kind if run.evaluation.leave_out == "base maps" else {}
    try:
        return scored_years(years, base_maps=base_maps)
    except ValueError as error:
        raise ValueError(f"evaluation test {test.name!r}: {error}") from error


def _identity_of_scores(plan: InferenceSpec, chosen: ScoredYears) -> str:
    """What tells the scores of a test from others: the rollout, and the years that are left out."""
    without = f" without {', '.join(map(str, chosen.left_out))}" if chosen.left_out else ""
    return plan.product.fingerprint + without


def _left_out(outcomes: Sequence[Outcome], cube: Cube) -> list[str]:
    """Which years are not scored and why, in words."""
    left_out = sorted({year for outcome in outcomes for year in outcome.left_out})
    if not left_out:
        return []
    why = "; ".join(
        f"{year} is {words}" for year, words in cube.other_kind.items() if year in left_out
    )
    said = f"scores: {', '.join(map(str, left_out))} left out, since {why}"
    if any(outcome.scores_beyond for outcome in outcomes):
        said += "; later years are still compared with a start before it"
    return [said]


def _tested(run: RunConfig, test: RolloutTest) -> InferenceSpec:
    """The rollout of a test: the product itself where that begins and ends as the test does."""
    span, url, asked = test.span, run.path("evaluation", f"{test.name}.zarr"), asked_of(run)
    dims = ProductDims(members=min(1, asked.members))
    product, point = run.inference.span, test.operating_point or run.inference.operating_point
    if (
        test.start == product.observed[test.direction == "forward"]
        and test.stop in product.years
        and point == run.inference.operating_point
    ):
        span, url, dims = product, run.product, asked
    return rollout_of(run, span, url, point=point, dims=dims)


def _scored(run: RunConfig) -> list[str]:
    """Which of several scenarios and members the scores are of, in words."""
    said, members = [], run.inference.members
    if run.scenarios:
        said.append(f"scores: of scenario {run.scenarios[0]}, of {len(run.scenarios)}")
    if members:
        said.append(
            f"scores: of member 0 of {members}, whose classes are drawn from the probabilities; "
            "the likeliest "
            "classes would agree with more cells"
        )
    return said
