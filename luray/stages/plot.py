"""The stage `plot`: maps, charts and the animation of a finished product."""

import xarray as xr

from luray.catalog.finished import read_finished
from luray.core.progress import NamedProgress, no_named_progress
from luray.stages.config import RunConfig


def plot(run: RunConfig, *, progress: NamedProgress = no_named_progress) -> dict[str, str]:
    """Draw every picture of a run that its product, its models and its report allow.

    Parameters
    ----------
    run : RunConfig
        A run whose product is finished.
    progress : callable, optional
        Called with pictures done, pictures in all and the name of the next.

    Returns
    -------
    dict of str to str
        Place of each picture by its name.

    Raises
    ------
    ValueError
        If the product is not finished: pictures of half a product would look like those of a whole
        one.
    """
    from luray.viz.gallery import draw_pictures  # matplotlib takes a second to import

    read_finished(run.product)
    reports: dict[str, str] = {
        direction: f"{run.model_folder(direction)}/validation.json" for direction in run.directions
    }
    return draw_pictures(
        xr.open_zarr(run.product),
        run.path("pictures"),
        metrics=run.path("report", "metrics.json"),
        validations=reports,
        progress=progress,
    )
