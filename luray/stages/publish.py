"""The stage `publish`: a static STAC catalog of a finished product."""

from luray.catalog.publish import publish as publish_product
from luray.cube.cube import Cube
from luray.stages.config import RunConfig
from luray.storage.objects import exists


def publish(run: RunConfig) -> str:
    """Publish the finished product of a run, with the pictures and the report that are there.

    Returns
    -------
    str
        Place of the catalog.

    Raises
    ------
    ValueError
        If the product is not finished.
    """
    last_observed = run.inference.observed[1]
    places = {
        "thumbnail": run.path("pictures", f"map_{last_observed}.png"),
        "overview": run.path("pictures", "overview.png"),
        "animation": run.path("pictures", "animation.mp4"),
    }
    report = run.path("report", "metrics.json")
    first, last = run.inference.years
    return publish_product(
        run.product,
        stac_dir=run.path("stac"),
        name=run.name,
        title=run.title or run.name,
        description=f"Annual land use {first}-{last}, made by luray",
        sources=Cube.open(run.cube).sources,
        pictures={key: place for key, place in places.items() if exists(place)},
        report=report if exists(report) else None,
    )
