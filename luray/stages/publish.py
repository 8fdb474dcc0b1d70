"""The stage `publish`: a static STAC catalog of a finished product, and its RO-Crate."""

from collections.abc import Iterable, Mapping, Sequence

from luray.catalog.finished import FinishedProduct, read_finished
from luray.catalog.model_item import SAFETENSORS, TrainedModel
from luray.catalog.publish import MEDIA, RUN_FILE
from luray.catalog.publish import publish as publish_product
from luray.catalog.publish_config import CRATE
from luray.catalog.research_object import Part, write_crate
from luray.core.crash_points import crash_point
from luray.core.progress import Progress, no_progress
from luray.cube.cube import Cube
from luray.cube.land import tiles_with_land
from luray.explorer.page import land_tiles, write_page
from luray.model.card import read_card
from luray.stages.cogs import write_cogs
from luray.stages.config import RunConfig
from luray.storage.lease import leased
from luray.storage.objects import exists, filesystem

EXPLORER = "explorer"
"""Folder of the web page that shows the product."""


def publish(run: RunConfig, *, progress: Progress = no_progress) -> str:
    """Publish the finished product of a run, with the pictures, report and models that are there.

    The output folder becomes a research object: `ro-crate-metadata.json` at its top says what each
    part is and what the product was made of, so that a repository takes the folder as it is.

    Parameters
    ----------
    run : RunConfig
        A run whose product is finished.
    progress : callable, optional
        Called with the GeoTIFFs written and in all, where the run asks for them.

    Returns
    -------
    str
        Place of the catalog.

    Raises
    ------
    ValueError
        If the product is not finished.
    HeldError
        While another job writes the product.
    """
    # Nobody changes the product while it is described and copied.
    with leased(run.product):
        return _publish(run, progress=progress)


def _publish(run: RunConfig, *, progress: Progress) -> str:
    run.publication.remove()
    product = read_finished(run.product)
    cube = Cube.open(run.cube)
    title = run.title or run.name
    first, last = run.inference.years
    maps_of = f"{run.time.adjective.capitalize()} {product.legend.long_name}"
    description = f"{maps_of} {first}-{last}, made by luray"
    pictures = _pictures(run)
    models = _models(run, product)
    maps = write_cogs(product, run.cogs, cube.legend, progress=progress) if run.publish.cogs else []
    crash_point("before publication")
    place = publish_product(
        run.product,
        stac_dir=run.path("stac"),
        name=run.name,
        title=title,
        description=description,
        sources=cube.sources,
        pictures=pictures,
        reports=_reports(run),
        maps=maps,
        models=models,
    )

    write_page(
        run.path(EXPLORER),
        product=_beside(run, run.product),
        cube=_beside(run, run.cube),
        tiles=land_tiles(run.tiles, tiles_with_land(cube, run.tiles)),
    )
    parts = [*_parts(run, pictures), *_model_parts(run, models)]
    used = [part.path for part in parts if part.media_type in (SAFETENSORS, "application/toml")]
    write_crate(
        run.path(),
        product,
        product_path=_inside(run, run.product),
        title=title,
        description=description,
        sources=cube.sources,
        parts=parts,
        used=used,
    )
    run.publication.write(_published(run))
    return place


def _published(run: RunConfig) -> list[str]:
    """Return the names of what is published, below the output."""
    names = [CRATE]
    for folder in (run.path("stac"), run.cogs):
        fs, path = filesystem(folder)
        output_path = path.removesuffix(_inside(run, folder))
        names += [file.removeprefix(output_path) for file in fs.find(path)]
    return names


def _pictures(run: RunConfig) -> dict[str, str]:
    """Return the pictures of a catalog that are there."""
    # Of several maps a year the one of its middle is drawn, see `overview_years`.
    middle = run.time.step(run.inference.observed[1], run.time.per_year // 2)
    last_observed = run.time.label(middle)
    places = {
        "thumbnail": run.path("pictures", f"map_{last_observed}.png"),
        "overview": run.path("pictures", "overview.png"),
        "animation": run.path("pictures", "animation.mp4"),
    }
    return {key: place for key, place in places.items() if exists(place)}


def _reports(run: RunConfig) -> dict[str, str]:
    """Return the files of the evaluation that are there, by their keys in a catalog."""
    places = {
        "report": run.path("report", "metrics.json"),
        "report_page": run.path("report", "report.html"),
        "metrics": run.path("report", "metrics.parquet"),
    }
    return {key: place for key, place in places.items() if exists(place)}


def _models(run: RunConfig, product: FinishedProduct) -> list[TrainedModel]:
    """Return the models of a run that the product was made with."""
    made_with: Mapping[str, str] = product.attributes["luray"]["models"]
    models = []
    for direction in run.directions:
        folder = run.model_folder(direction)
        card = read_card(folder)
        # The model of a test's direction, or one that was trained since, made nothing of it.
        if card is not None and card.fingerprint == made_with.get(direction):
            models.append(TrainedModel(folder, card, run.training.years))
    return models


def _parts(run: RunConfig, pictures: Mapping[str, str]) -> Iterable[Part]:
    """Yield what an output folder holds beside the product and the models."""
    yield Part("stac/", "STAC catalog; begin at catalog.json")
    yield Part(f"{EXPLORER}/", "Web page that shows the product; begin at index.html")
    run_file = run.path("stac", run.name, RUN_FILE)
    if exists(run_file):
        yield Part(_inside(run, run_file), "Run file", "application/toml")
    for place in _reports(run).values():
        media_type = MEDIA[f".{place.rpartition('.')[2]}"]
        yield Part(_inside(run, place), "Evaluation on held-out years", media_type)
    for key, place in pictures.items():
        yield Part(_inside(run, place), f"Picture: {key}", MEDIA[f".{place.rpartition('.')[2]}"])
    if run.publish.cogs:
        yield Part("cogs/", "Cloud-optimised GeoTIFFs, one a map")
    yield Part("cube.zarr/", "Predictor cube: the inputs, each on its native grid")


def _model_parts(run: RunConfig, models: Sequence[TrainedModel]) -> Iterable[Part]:
    """Yield the files of models."""
    for folder, card, _ in models:
        inside = _inside(run, folder)
        yield Part(
            f"{inside}/weights.safetensors",
            f"Weights of the {card.direction} model",
            SAFETENSORS,
            card.weights_sha256,
        )
        yield Part(f"{inside}/card.json", f"Card of the {card.direction} model", MEDIA[".json"])


def _beside(run: RunConfig, place: str) -> str:
    """Return a place of the output as seen from the explorer's folder."""
    return f"../{_inside(run, place)}"


def _inside(run: RunConfig, place: str) -> str:
    """Return a place of the output as seen from its folder."""
    return place.removeprefix(f"{run.path()}/")
