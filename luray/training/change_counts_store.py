"""The change counts of a cube on disk: one object beside the cube, written whole.

It is `<cube>.change_counts/<fingerprint>.npz`; another cube, plot or zone has another one.
"""

import io
import zipfile
from collections.abc import Iterable

import numpy as np

from luray.core.tiling import Tiling
from luray.cube.cube import Cube
from luray.storage.objects import read_object, write_atomically
from luray.storage.receipts import fingerprint_of
from luray.training.change_counts import ChangeCounts, TileCounts, count_tile, plot_size
from luray.training.sampling_config import SamplingConfig

FORMAT = 1


def change_counts_path(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> str:
    """Return where the counts of a cube are stored."""
    fingerprint = fingerprint_of(
        "change counts",
        FORMAT,
        cube.fingerprint,
        tiling.shape,
        plot_size(cube, tiling, sampling),
        sampling.zone,
    )
    return f"{cube.url.rstrip('/')}.change_counts/{fingerprint[:16]}.npz"


def read_change_counts(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> ChangeCounts | None:
    """Read the stored counts, None when there are none.

    Raises
    ------
    ValueError
        If the object is damaged; it names the object.
    """
    path = change_counts_path(cube, tiling, sampling)
    data = read_object(path)
    if data is None:
        return None

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return ChangeCounts(
                years=tuple(arrays["years"].tolist()),
                plot=int(arrays["plot"]),
                land_RC=arrays["land"],
                changed_YRC=arrays["changed"],
                cells_YK=arrays["cells"],
                zone_RC=arrays["zone"],
            )
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is damaged or holds no change counts ({error}); delete it, the cube is "
            "counted again"
        ) from error


def write_change_counts(
    cube: Cube, tiling: Tiling, sampling: SamplingConfig, parts: Iterable[TileCounts | None]
) -> ChangeCounts:
    """Put the counts of all tiles together, in any order, and store them as one object."""
    counts = ChangeCounts.from_tiles(
        (part for part in parts if part is not None),
        years=cube.years,
        plot=plot_size(cube, tiling, sampling),
        tiling=tiling,
        n_classes=len(cube.legend),
    )
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        years=np.array(counts.years),
        plot=counts.plot,
        land=counts.land_RC,
        changed=counts.changed_YRC,
        cells=counts.cells_YK,
        zone=counts.zone_RC,
    )
    write_atomically(change_counts_path(cube, tiling, sampling), buffer.getvalue())
    return counts


def read_or_count_changes(cube: Cube, tiling: Tiling, sampling: SamplingConfig) -> ChangeCounts:
    """Return the stored counts of a cube; without them count it here, tile after tile, and store.

    `luray.distributed.change_counts` counts the tiles of a large cube on a cluster.

    Raises
    ------
    ValueError
        If `sampling.zone` is no categorical variable of the cube.
    """
    stored = read_change_counts(cube, tiling, sampling)
    if stored is not None:
        return stored

    parts = (count_tile(cube, tiling, tile, sampling) for tile in tiling.tiles())
    return write_change_counts(cube, tiling, sampling, parts)
