"""The stage `infer`: the product, or what is missing of it."""

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from luray.catalog.provenance import provenance_of
from luray.catalog.publish_config import CRATE
from luray.core.limits import memory_limit
from luray.core.progress import Progress, no_progress
from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.engine.coarse_demand import CoarseDemand
from luray.engine.demand import Shortfall
from luray.engine.geometry import Geometry
from luray.engine.spec import InferenceSpec
from luray.model.card import ModelCard, check_fits, read_card
from luray.model.operating_point import OperatingPoint
from luray.product.dimensions import ONE_MAP, ProductDims
from luray.product.layout import LAYOUT
from luray.product.overviews import NO_OVERVIEWS
from luray.product.repair import withdraw
from luray.product.store import Product
from luray.product.trajectories import Span
from luray.stages.build import cube_of_run
from luray.stages.config import RunConfig
from luray.storage.lease import Lease, leased
from luray.storage.objects import remove
from luray.storage.receipts import Ledger, fingerprint_of

log = logging.getLogger(__name__)


def infer(
    run: RunConfig,
    *,
    restart: bool = False,
    from_year: int | None = None,
    progress: Progress = no_progress,
) -> Shortfall:
    """Compute the product of a run, or what is missing of it.

    Parameters
    ----------
    run : RunConfig
        A run whose cube is built and whose models are trained.
    restart : bool, optional
        Delete the product that is there first, whatever run it belongs to.
    from_year : int, optional
        A predicted year: its maps, and those after it in the direction of travel, are withdrawn
        and computed again.
    progress : callable, optional
        Called with the tile-years done and in all.

    Returns
    -------
    Shortfall
        What the maps that were computed miss of the scenario's demand.

    Raises
    ------
    HeldError
        While another job writes the product.
    ValueError
        If `from_year` is not predicted, the product belongs to another run, or the workers could
        need more memory than this machine has.
    """
    spec = inference_of(run, run.span, run.product)
    years = [] if from_year is None else spec.product.from_year(from_year)
    require_memory_for(run, spec)
    require_precision_for(run)

    with leased(run.product) as lease:
        if restart:
            unpublish(run)
            spec.product.remove()
        for caveat in run.product_caveats:
            log.warning("%s", caveat)
        create_empty_product(
            spec,
            run.title or run.name,
            caveats=run.product_caveats,
            provenance=_provenance(run, spec),
        )
        if years:
            unpublish(run)
            withdrawn = spec.product.units(spec.geometry.tiles, years)
            withdraw(spec.product, list(withdrawn))
        return compute(run, spec, lease, progress=progress)


def require_memory_for(run: RunConfig, spec: InferenceSpec) -> None:
    """Raise ValueError where the workers of a run could need more memory than this machine has.

    The machines of a cluster that is joined are not looked at: Ray places the workers there.
    """
    if "RAY_ADDRESS" in os.environ:
        return

    # Only an inference needs torch and the engine; stages that read its settings do not wait.
    import torch

    from luray.planning.memory import require_memory, worker_bound

    on_cpu = run.inference.device == "cpu" or not torch.cuda.is_available()
    require_memory(
        worker_bound(spec, run.model, on_cpu=on_cpu),
        fewest=run.inference.workers.min,
        most=run.inference.workers.max,
        limit=memory_limit(),
    )


def require_precision_for(run: RunConfig) -> None:
    """Raise ValueError where this machine's CPU lacks the precision of a run.

    Every worker looks for itself; here it is known before a product is touched. The machines of a
    cluster that is joined are not looked at.
    """
    if run.inference.precision == "float32" or "RAY_ADDRESS" in os.environ:
        return
    from luray.engine.precision import require_bfloat16  # torch takes long to import

    require_bfloat16()


def is_of_another_run(run: RunConfig) -> bool:
    """Return whether the product at the run's place was made by another model, cube or span."""
    return inference_of(run, run.span, run.product).product.is_of_another_run


def product_dims(run: RunConfig) -> ProductDims:
    """Return the dimensions that the product of a run has beside year, lat and lon."""
    return ProductDims(run.scenarios or (), run.inference.members or 0, run.inference.probabilities)


def inference_of(
    run: RunConfig,
    span: Span,
    url: str,
    *,
    point: OperatingPoint | None = None,
    dims: ProductDims | None = None,
    companions: Literal["all", "none"] = "all",
) -> InferenceSpec:
    """Describe the inference of a span of years into the product at `url`.

    Parameters
    ----------
    run : RunConfig
        A run whose cube is built and whose models are trained.
    span : Span
        The years of the product.
    url : str
        Where the product is, or will be.
    point : str, optional
        The operating point, that of the run unless given.
    dims : ProductDims, optional
        Scenarios, members and years whose probabilities are kept, those of the run unless given.
    companions : {"all", "none"}, optional
        Whether the product has what follows from its maps: fractions, transitions and overviews.

    Raises
    ------
    FileNotFoundError
        If there is no cube, or no trained model for a direction of the span.
    ValueError
        If a model was trained for other inputs.
    """
    cube = cube_of_run(run)
    if point is None:
        point = run.inference.operating_point
    if dims is None:
        dims = product_dims(run)

    cards = {direction: _card(run, cube, direction) for direction in span.chains}
    tiling = run.inference_tiles
    first_scenario = run.scenario_names[0]
    strength = run.demand.strength
    seed = run.inference.seed

    coarse = run.coarse_cells if companions == "all" else None
    overviews = run.overviews if companions == "all" else NO_OVERVIEWS

    # Whatever decides a byte of the product, its layout included.
    precision = run.inference.precision
    precision_parts = () if precision == "float32" else (precision,)
    models = {
        direction: (card.weights_sha256, card.points[point]) for direction, card in cards.items()
    }
    # Products of one map a year keep the fingerprint that they had before there were others.
    further: tuple[Any, ...] = ()
    if dims != ONE_MAP:
        seed_of_draws = seed if dims.members else None
        further = ((*dims, seed_of_draws),)
    layout = (
        LAYOUT,
        coarse.grid.step if coarse else None,
        overviews.levels,
        overviews.of_tiles,
        cube.tells_no_data,
    )
    fingerprint = fingerprint_of(
        cube.fingerprint,
        models,
        tiling.window,
        tiling.stride,
        tiling.tile,
        run.blending.taper,
        span.first,
        span.last,
        span.observed,
        first_scenario,
        strength,
        *further,
        layout,
        *precision_parts,
    )

    product = Product(
        url,
        span,
        tiling,
        fingerprint,
        first_scenario,
        dims,
        seed,
        legend=cube.legend,
        coarse=coarse,
        overviews=overviews,
        precision=precision,
        time=cube.time,
    )
    folders: dict[Direction, str] = {direction: run.model_folder(direction) for direction in cards}
    demand = CoarseDemand.of(cube, tile=tiling.tile) if strength else None
    return InferenceSpec(
        cube,
        product,
        Geometry.of(cube, tiling),
        folders,
        run.blending.taper,
        run.inference.batch,
        run.inference.threads,
        point,
        demand,
        strength,
        run.unet.history,
        precision,
    )


def _card(run: RunConfig, cube: Cube, direction: Direction) -> ModelCard:
    """Return the card of a trained model; raise unless it fits the cube."""
    folder = run.model_folder(direction)
    card = read_card(folder)
    if card is None:
        raise FileNotFoundError(f"{folder}: no trained {direction} model; run `luray train`")
    features = cube.features.remembering(run.unet.history)
    check_fits(card, features, legend=cube.legend.name, direction=direction)
    return card


def _provenance(run: RunConfig, spec: InferenceSpec) -> dict[str, Any]:
    """Describe what the product of a run is made of and by."""
    tables = run.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    cards = [_card(run, spec.cube, direction) for direction in spec.product.span.chains]
    return provenance_of(spec.cube, tables, cards)


def create_empty_product(
    spec: InferenceSpec,
    title: str,
    *,
    caveats: tuple[str, ...] = (),
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Create the store of a product, or find it as an earlier run left it.

    `caveats` are what readers must know beside the caveats of the inference.
    """
    described = _described(spec, title, caveats=caveats, provenance=provenance)
    spec.product.create(spec.cube, **described)


def restore_metadata(run: RunConfig, names: Iterable[str]) -> None:
    """Write damaged metadata and coordinates of a run's product again; see `Product.restore`."""
    spec = inference_of(run, run.span, run.product)
    described = _described(
        spec,
        run.title or run.name,
        caveats=run.product_caveats,
        provenance=_provenance(run, spec),
    )
    spec.product.restore(names, spec.cube, spec.product.attributes(spec.cube, **described))


def _described(
    spec: InferenceSpec,
    title: str,
    *,
    caveats: tuple[str, ...],
    provenance: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what the attributes of a product say, as arguments of `Product.create`."""
    return {
        "title": title,
        "models": spec.models,
        "tiles": len(spec.geometry.tiles),
        "caveats": (*spec.caveats, *caveats),
        "provenance": provenance or {},
    }


def compute(run: RunConfig, spec: InferenceSpec, lease: Lease, *, progress: Progress) -> Shortfall:
    """Compute every tile-year that has no receipt, with the workers of the run."""
    from luray.distributed.infer import infer as infer_with_ray  # Ray takes seconds to import

    return infer_with_ray(
        spec,
        workers=run.inference.workers,
        device=run.inference.device,
        years_in_flight=run.inference.years_in_flight,
        lease=lease,
        progress=progress,
    )


def unpublish(run: RunConfig) -> None:
    """Take from its readers what says that the product is finished, before the product changes.

    That is the catalog first, then the RO-Crate, then the files of single maps: copies of what is
    about to change.
    """
    run.publication.remove()
    remove(run.path("stac", "catalog.json"))
    remove(run.path(CRATE))
    Ledger(run.cogs, "").forget()
    remove(run.cogs)
