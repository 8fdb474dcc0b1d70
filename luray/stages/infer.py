"""The stage `infer`: the product, or what is missing of it."""

from luray.core.progress import Progress, no_progress
from luray.core.types import Direction
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.demand import Shortfall
from luray.engine.geometry import Geometry
from luray.engine.spec import InferenceSpec
from luray.model.calibration import OperatingPoint
from luray.model.checkpoint import check_fits, read_card
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.stages.build import cube_of_run
from luray.stages.config import RunConfig
from luray.storage.lease import Lease, leased
from luray.storage.objects import remove
from luray.storage.receipts import fingerprint_of


def asked_of(run: RunConfig) -> ProductDims:
    """Dimensions that the product of a run has beside year, lat and lon."""
    return ProductDims(run.scenarios or (), run.inference.members or 0, run.inference.probabilities)


def rollout_of(
    run: RunConfig,
    span: Span,
    url: str,
    *,
    point: OperatingPoint | None = None,
    dims: ProductDims | None = None,
) -> InferenceSpec:
    """The inference of a span of years into `url`, at the operating point of the run or another.

    `dims` are scenarios, members and kept probabilities, those that the run asks for unless
    others are given. Raises FileNotFoundError without a model, ValueError for a model of other
    inputs.
    """
    cube, point = cube_of_run(run), point or run.inference.operating_point
    cards = {}
    for direction in span.chains:
        card = read_card(run.model_folder(direction))
        if card is None:
            raise FileNotFoundError(
                f"{run.model_folder(direction)}: no trained {direction} model; run `luray train`"
            )
        check_fits(card, cube.features, legend=cube.legend.name, direction=direction)
        cards[direction] = card.weights_sha256, card.points[point]
    tiling, strength = run.inference_tiles, run.demand.strength
    scenario = CoarseDemand.of(cube, tile=tiling.tile) if strength else None
    first, seed = run.scenario_names[0], run.inference.seed
    dims = asked_of(run) if dims is None else dims
    asked = () if dims == ONE_MAP else ((*dims, seed if dims.members else None),)
    fingerprint = fingerprint_of(
        cube.fingerprint,
        cards,
        tiling.window,
        tiling.stride,
        tiling.tile,
        run.blending.taper,
        span.first,
        span.last,
        span.observed,
        first,
        strength,
        *asked,
    )
    product = Product(url, span, tiling, fingerprint, first, dims, seed)
    folders: dict[Direction, str] = {d: run.model_folder(d) for d in cards}
    return InferenceSpec(
        cube,
        product,
        Geometry.of(cube, tiling),
        folders,
        run.blending.taper,
        run.inference.batch,
        run.inference.threads,
        point,
        scenario,
        strength,
    )


def infer(
    run: RunConfig,
    *,
    restart: bool = False,
    from_year: int | None = None,
    progress: Progress = no_progress,
) -> Shortfall:
    """Compute the product of a run, or what is missing of it.

    `restart` deletes an earlier product first; `from_year` withdraws its maps from a predicted year
    on, in the direction of travel, so that they are computed again. Returns what the computed maps
    miss of the scenario's demand. Raises HeldError while another job writes the product, ValueError
    for a `from_year` that is not predicted.
    """
    plan = rollout_of(run, run.inference.span, run.product)
    redone = [] if from_year is None else plan.product.span.from_year(from_year)
    with leased(run.product) as lease:
        if restart:
            unpublish(run)
            plan.product.remove()
        create_product_of(plan, run.title or run.name)
        if redone:
            unpublish(run)
            plan.product.withdraw(list(plan.product.units(plan.geometry.tiles, redone)))
        return roll_out(run, plan, lease, progress=progress)


def is_of_another_run(run: RunConfig) -> bool:
    """True when the product at the run's place was made by another model, cube or span."""
    return rollout_of(run, run.inference.span, run.product).product.is_of_another_run


def unpublish(run: RunConfig) -> None:
    """Take the catalog from the readers, before what it points at."""
    remove(run.path("stac", "catalog.json"))


def create_product_of(plan: InferenceSpec, title: str) -> None:
    """Create the empty product of a plan, or find it as an earlier run left it."""
    plan.product.create(plan.cube, title=title, models=plan.models, tiles=len(plan.geometry.tiles))


def roll_out(run: RunConfig, plan: InferenceSpec, lease: Lease, *, progress: Progress) -> Shortfall:
    """Compute every tile-year of a plan that has no receipt, with the workers of the run."""
    from luray.distributed.infer import infer as infer_with_ray  # Ray takes seconds to import

    return infer_with_ray(
        plan,
        workers=run.inference.workers,
        device=run.inference.device,
        years_in_flight=run.inference.years_in_flight,
        lease=lease,
        report=progress,
    )
