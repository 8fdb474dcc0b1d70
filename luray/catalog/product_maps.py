"""The maps of a finished product, from what its metadata say."""

from luray.catalog.finished import FinishedProduct
from luray.cube.cube import Cube
from luray.product.product_maps import ProductMaps
from luray.storage.places import public


def product_maps(finished: FinishedProduct, cube: Cube | None) -> ProductMaps:
    """Return the maps of a finished product.

    Parameters
    ----------
    finished : FinishedProduct
    cube : Cube, optional
        What it was made from, which names the legend.

    Raises
    ------
    ValueError
        If the product was made from another cube.
    """
    about = finished.attributes["luray"]
    if cube is not None and about["cube"] != cube.fingerprint:
        raise ValueError(
            f"{public(finished.url)} was made from cube {about['cube'][:12]}, the run has "
            f"{cube.fingerprint[:12]}; infer the product again, or give the run file that it is of"
        )
    return ProductMaps(
        finished.url,
        finished.grid,
        finished.years,
        cube.legend if cube is not None else finished.legend,
        fingerprint=about["fingerprint"],
        n_tiles=int(about["tiles"]),
        title=str(finished.attributes.get("title", finished.legend.long_name)),
        scenarios=tuple(str(name) for name in finished.axes.get("scenario", ())),
        members=len(finished.axes.get("member", ())),
        caveats=tuple(finished.attributes.get("caveats", ())),
        scenario=str(about.get("scenario", "")),
        time=finished.time,
    )
