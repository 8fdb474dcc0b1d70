"""The stages of a run file, each resumable and each usable alone: what the commands and the jobs call."""

import json
from collections.abc import Sequence

import luray.distributed.build
import luray.distributed.check
import luray.distributed.evaluate
import luray.distributed.infer
import luray.distributed.train
from luray.catalog.read import find_assets
from luray.config import RolloutTest, RunConfig
from luray.cube.build import BuildPlan, plan_build
from luray.cube.check import REFUSALS, CheckReport, Opened
from luray.cube.create import ONE_MAP, Several
from luray.cube.lease import Lease, leased
from luray.cube.ledger import fingerprint_of
from luray.cube.product import Product, Span, TileYear
from luray.cube.regions import Cube
from luray.cube.scenario import Scenario
from luray.cube.tileyear import Geometry, Run
from luray.demand import Shortfall
from luray.distributed import Report, silent
from luray.distributed.train import Progress, Training, unwatched
from luray.evaluation.report import Outcome
from luray.evaluation.report import Report as EvaluationReport
from luray.evaluation.scored_years import ScoredYears, scored_years
from luray.model.calibration import OperatingPoint
from luray.model.checkpoint import check_fits, read_card
from luray.schema import Direction, Role
from luray.sources import Source, SourceConfig, open_source
from luray.storage import exists, read_object, remove

VERIFIED_AT_ONCE = 64
"""Tile-years checked between two reports of progress."""


def plan_cube(run: RunConfig) -> BuildPlan:
    """Open every source of a run, which checks its files and years, and plan the cube.

    Raises ValueError naming the file or key at fault, OSError when inputs or output are out of reach.
    """
    exists(run.cube)  # where nothing can be written, no input is read
    sources: list[Source] = []
    parts: list[Source] = []
    for config in _derived_last(run):
        sources.append(_open(run, config, sources))
        for name in _other_scenarios(run, config):
            part = _open(run, config, sources, scenario=name).part(name, first=sources[-1])
            parts += [part] if part else []
    return plan_build(run.cube, grid=run.grid.grid, tiling=run.tiles, sources=[*sources, *parts],
                      scenarios=_several(run))


def opened_sources(run: RunConfig) -> list[Opened]:
    """Every source of a run, open or with the reason why it was refused; that does not keep others from opening.

    After each come its parts of the run's other scenarios, where they have any.
    """
    opened: list[Opened] = []
    for config in _derived_last(run):
        earlier = [one.source for one in opened if one.source is not None]
        first = None
        try:
            first = _open(run, config, earlier)
        except REFUSALS as error:
            opened.append(Opened(config, fault=str(error)))
        else:
            opened.append(Opened(config, first))
        for name in _other_scenarios(run, config):
            try:
                part = _open(run, config, earlier, scenario=name).part(name, first=first)
            except REFUSALS as error:
                opened.append(Opened(config, fault=str(error), scenario=name))
            else:
                opened += [Opened(config, part, scenario=name)] if part else []
    return opened


def _other_scenarios(run: RunConfig, config: SourceConfig) -> tuple[str, ...]:
    """Scenarios beside the first for which a source is opened again."""
    return run.scenario_names[1:] if config.by_scenario else ()


def _several(run: RunConfig) -> tuple[str, ...]:
    """Scenarios of a run where there are several: the cube of one is the same with and without the dimension."""
    return run.scenario_names if len(run.scenario_names) > 1 else ()


def _derived_last(run: RunConfig) -> list[SourceConfig]:
    """Sources in the order in which they are opened: those that are derived from the state after it."""
    return sorted(run.sources, key=lambda c: c.kind == "aggregated")


def _open(run: RunConfig, config: SourceConfig, earlier: Sequence[Source], *, scenario: str = "") -> Source:
    """A source as a scenario has it, the run's first unless one is named."""
    if config.kind != "aggregated" and config.collection and run.catalog:
        years = None if config.holds else run.years
        assets = find_assets(run.catalog, config.collection, years=years)
        config = config.model_copy(update={"assets": assets})
    state = next((s for s in earlier if s.role == "state"), None)
    return open_source(config, run_years=run.years, scenario=scenario or run.scenario_names[0], state=state,
                       grid=run.grid.grid)


def check(run: RunConfig, *, report: Report = silent) -> CheckReport:
    """Read every value of every source once and judge each variable; nothing is written.

    Raises ValueError where the run has not exactly one state source.
    """
    states = [c.kind for c in run.sources if c.declared[0].role == "state"]
    if len(states) != 1:
        raise ValueError(f"a run needs exactly one state source, found {states or 'none'}; correct [[sources]]")
    first, last = run.training.years
    maps = {*run.inference.span.copied, *range(first, last + 1), *(test.start for test in run.evaluation.tests)}
    wanted: dict[Role, set[int]] = {"state": maps, "forcing": set(run.years), "static": set()}
    return CheckReport(run.name, luray.distributed.check.check(opened_sources(run), grid=run.grid.grid, wanted=wanted,
                                                               report=report))


def build(plan: BuildPlan, *, report: Report = silent) -> None:
    """Build the predictor cube of `plan_cube`, or what is missing of it."""
    luray.distributed.build.build(plan, report=report)


def open_cube(run: RunConfig) -> Cube:
    """The finished cube of a run, in the view of its first scenario, whose inputs of the past are those of all.

    Raises ValueError when it was built on another grid or for other scenarios, or lacks years of forcing.
    """
    cube = Cube.open(run.cube)
    if cube.grid != run.grid.grid:
        raise ValueError(f"{run.cube} was built on {cube.grid}, the run file has {run.grid.grid}; run `luray build`")
    if tuple(cube.scenarios) != _several(run):
        raise ValueError(f"{run.cube} was built for scenarios {list(cube.scenarios) or 'of which there is one'}, the "
                         f"run file has {list(run.scenario_names)}; run `luray build`")
    for layer in cube.forcing:
        lacking = sorted(set(run.years) - set(layer.steps))
        if lacking:
            raise ValueError(f"{run.cube}: {layer.path} has no values for {lacking[0]}-{lacking[-1]}, which the run "
                             "needs; run `luray build`")
    return cube


def trainings(run: RunConfig) -> list[Training]:
    """The training of each direction that the run travels in."""
    cube = open_cube(run)
    return [Training(cube, run.tiles, run.model, run.training, d, run.model_folder(d)) for d in run.directions]


def train(run: RunConfig, *, restart: bool = False, report: Progress = unwatched) -> list[Direction]:
    """Train the model of every direction that is not trained yet; returns those directions.

    `restart` discards models and checkpoints of other trainings first, without it they are refused.
    """
    return luray.distributed.train.train(trainings(run), restart=restart, report=report)


def asked_of(run: RunConfig) -> Several:
    """Dimensions that the product of a run has beside year, lat and lon."""
    return Several(run.scenarios or (), run.inference.members or 0, run.inference.probabilities)


def rollout_of(run: RunConfig, span: Span, url: str, *, point: OperatingPoint | None = None,
               several: Several | None = None) -> Run:
    """The inference of a span of years into `url`, at the operating point of the run or another.

    `several` are scenarios, members and kept probabilities, those that the run asks for unless others are given.
    Raises FileNotFoundError without a model, ValueError for a model of other inputs.
    """
    cube, point = open_cube(run), point or run.inference.operating_point
    cards = {}
    for direction in span.chains:
        card = read_card(run.model_folder(direction))
        if card is None:
            raise FileNotFoundError(f"{run.model_folder(direction)}: no trained {direction} model; run `luray train`")
        check_fits(card, cube.features, legend=cube.legend.name, direction=direction)
        cards[direction] = card.weights_sha256, card.points[point]
    tiling, strength = run.inference_tiles, run.demand.strength
    scenario = Scenario.of(cube, tile=tiling.tile) if strength else None
    first, seed = run.scenario_names[0], run.inference.seed
    several = asked_of(run) if several is None else several
    asked = () if several == ONE_MAP else ((*several, seed if several.members else None),)
    fingerprint = fingerprint_of(cube.fingerprint, cards, tiling.window, tiling.stride, tiling.tile, run.blending.taper,
                                 span.first, span.last, span.observed, first, strength, *asked)
    product = Product(url, span, tiling, fingerprint, first, several, seed)
    folders: dict[Direction, str] = {d: run.model_folder(d) for d in cards}
    return Run(cube, product, Geometry.of(cube, tiling), folders, run.blending.taper, run.inference.batch,
               run.inference.threads, point, scenario, strength)


def infer(run: RunConfig, *, restart: bool = False, from_year: int | None = None, report: Report = silent) -> Shortfall:
    """Compute the product of a run, or what is missing of it.

    `restart` deletes an earlier product first; `from_year` withdraws its maps from a predicted year on, in the
    direction of travel, so that they are computed again. Returns what the computed maps miss of the scenario's demand.
    Raises HeldError while another job writes the product, ValueError for a `from_year` that is not predicted.
    """
    plan = rollout_of(run, run.inference.span, run.product)
    redone = [] if from_year is None else plan.product.span.from_year(from_year)
    with leased(run.product) as lease:
        if restart:
            _unpublish(run)
            plan.product.remove()
        _create(run, plan, run.title or run.name)
        if redone:
            _unpublish(run)
            plan.product.withdraw(list(plan.product.units(plan.geometry.tiles, redone)))
        return _roll_out(run, plan, lease, report=report)


def is_of_another_run(run: RunConfig) -> bool:
    """True when the product at the run's place was made by another model, cube or span."""
    return rollout_of(run, run.inference.span, run.product).product.is_of_another_run


def evaluate(run: RunConfig, *, report: Report = silent) -> EvaluationReport:
    """Score every test of a run, rolling out first those that the product does not hold, and write the report.

    Of several scenarios the first is scored, of several members the first: a map like any that the product has.
    Raises ValueError when the run has no tests or a test begins where there is no map.
    """
    if not run.evaluation.tests:
        raise ValueError("the run file has no [[evaluation.tests]]; add one with name, start and stop")
    outcomes, plan, scored = [], None, {}
    for test in run.evaluation.tests:
        plan = _tested(run, test)
        chosen = _scored_years(run, test, plan.cube)
        url, scored[test.name] = plan.product.url, _identity_of_scores(plan, chosen)
        if url != run.product and plan.product.is_of_another_run:
            plan.product.remove()  # a rollout of an earlier model is nobody's result
        with leased(url) as lease:
            _create(run, plan, f"{run.title or run.name}: test {test.name}")
            _roll_out(run, plan, lease, report=report)
        raw, calm = luray.distributed.evaluate.evaluate(plan, chosen.maps, scored=chosen.scored, report=report)
        outcomes.append(Outcome(test.name, test.direction, test.start, raw, calm, chosen.left_out))
    assert plan
    model = (f"U-Net of width {run.model.width} and depth {run.model.depth}, trained on "
             f"{run.training.years[0]}-{run.training.years[1]}, {run.training.steps} steps")
    caveats = (*plan.cube.caveats, *_scored(run), *_left_out(outcomes, plan.cube))
    written = EvaluationReport(tuple(outcomes), plan.cube.legend, model, caveats, scored, plan.cube.rules)
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
    """Years of a test with a map, and those of them that are scored. Raises ValueError where there is none."""
    way = 1 if test.direction == "forward" else -1
    years = tuple(y for y in range(test.start, test.stop + way, way) if y in cube.years)
    if years[:1] != (test.start,) or len(years) < 2:
        raise ValueError(f"evaluation test {test.name!r}: the cube has maps of {cube.years[0]}-{cube.years[-1]}, "
                         f"expected {test.start} and the years after it")
    base_maps = cube.other_kind if run.evaluation.leave_out == "base maps" else {}
    try:
        return scored_years(years, base_maps=base_maps)
    except ValueError as error:
        raise ValueError(f"evaluation test {test.name!r}: {error}") from error


def _identity_of_scores(plan: Run, chosen: ScoredYears) -> str:
    """What tells the scores of a test from others: the rollout, and the years that are left out."""
    without = f" without {', '.join(map(str, chosen.left_out))}" if chosen.left_out else ""
    return plan.product.fingerprint + without


def _left_out(outcomes: Sequence[Outcome], cube: Cube) -> list[str]:
    """Which years are not scored and why, in words."""
    left_out = sorted({year for outcome in outcomes for year in outcome.left_out})
    if not left_out:
        return []
    why = "; ".join(f"{year} is {words}" for year, words in cube.other_kind.items() if year in left_out)
    said = f"scores: {', '.join(map(str, left_out))} left out, since {why}"
    if any(outcome.scores_beyond for outcome in outcomes):
        said += "; later years are still compared with a start before it"
    return [said]


def _tested(run: RunConfig, test: RolloutTest) -> Run:
    """The rollout of a test: the product itself where that begins and ends as the test does."""
    span, url, asked = test.span, run.path("evaluation", f"{test.name}.zarr"), asked_of(run)
    several = Several(members=min(1, asked.members))
    product, point = run.inference.span, test.operating_point or run.inference.operating_point
    if (test.start == product.observed[test.direction == "forward"] and test.stop in product.years
            and point == run.inference.operating_point):
        span, url, several = product, run.product, asked
    return rollout_of(run, span, url, point=point, several=several)


def _scored(run: RunConfig) -> list[str]:
    """Which of several scenarios and members the scores are of, in words."""
    said, members = [], run.inference.members
    if run.scenarios:
        said.append(f"scores: of scenario {run.scenarios[0]}, of {len(run.scenarios)}")
    if members:
        said.append(f"scores: of member 0 of {members}, whose classes are drawn from the probabilities; the likeliest "
                    "classes would agree with more cells")
    return said


def damaged(run: RunConfig, *, report: Report = silent) -> list[TileYear]:
    """Tile-years of the product whose bytes do not match their receipt, or that have none."""
    plan = rollout_of(run, run.inference.span, run.product)
    units = list(plan.product.units(plan.geometry.tiles))
    found = []
    for i in range(0, len(units), VERIFIED_AT_ONCE):
        report(i, len(units))
        found += plan.product.damaged(units[i : i + VERIFIED_AT_ONCE])
    report(len(units), len(units))
    return found


def withdraw(run: RunConfig, units: Sequence[TileYear]) -> None:
    """Withdraw tile-years, so that the next inference computes them again."""
    _unpublish(run)
    rollout_of(run, run.inference.span, run.product).product.withdraw(units)


def _unpublish(run: RunConfig) -> None:
    """Take the catalog from the readers, before what it points at."""
    remove(run.path("stac", "catalog.json"))


def _create(run: RunConfig, plan: Run, title: str) -> None:
    plan.product.create(plan.cube, title=title, models=plan.models,
                        tiles=len(plan.geometry.tiles))


def _roll_out(run: RunConfig, plan: Run, lease: Lease, *, report: Report) -> Shortfall:
    return luray.distributed.infer.infer(plan, workers=run.inference.workers, device=run.inference.device,
                                         years_in_flight=run.inference.years_in_flight, lease=lease, report=report)
