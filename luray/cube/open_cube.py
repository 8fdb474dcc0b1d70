"""Opening a predictor cube by its place."""

from luray.cube.cube import Cube
from luray.storage.places import place_of


def open_cube(place: str) -> Cube:
    """Open a finished predictor cube.

    Parameters
    ----------
    place : str
        A local path, or a URL that begins with s3:// or gs://.

    Returns
    -------
    Cube
        Maps, land mask and native forcing and static inputs; read by box and year.

    Raises
    ------
    FileNotFoundError
        If there is no cube, or one that is only half built.

    Examples
    --------
    >>> import luray
    >>> from luray.core.tiling import Box
    >>> cube = luray.open_cube("build/demo/cube.zarr")  # doctest: +SKIP
    >>> classes = cube.state(2000, Box(0, 0, 100, 100))  # doctest: +SKIP
    """
    return Cube.open(place_of(place).rstrip("/"))
