"""Cloud-optimised GeoTIFFs (COGs) of the maps of a finished product, one a map.

A file is done when it has a receipt: an interrupted call goes on with the next one.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from luray.catalog.finished import FinishedProduct
from luray.catalog.items import MapFile
from luray.catalog.product_maps import product_maps
from luray.core.legend import Legend
from luray.core.progress import Progress, no_progress
from luray.core.tiling import Box
from luray.core.types import U8
from luray.export.cog import write_cog
from luray.storage.objects import exists
from luray.storage.receipts import Ledger


def write_cogs(
    product: FinishedProduct,
    folder: str,
    legend: Legend,
    *,
    progress: Progress = no_progress,
) -> list[MapFile]:
    """Write the file of each map of a product that has none yet.

    Parameters
    ----------
    product : FinishedProduct
        The product.
    folder : str
        Where the files go: `2000.tif`, or `ssp126/m3/2000.tif`; `2000-07.tif` of a month.
    legend : Legend
        Of the maps.
    progress : callable, optional
        Called with the files done and in all.

    Returns
    -------
    list of MapFile
        All files, by scenario, member and year.
    """
    ledger = Ledger(folder, product.attributes["luray"]["fingerprint"])
    done = ledger.done()
    maps = list(_maps(product, folder, nodata=legend.nodata))
    for n_done, file in enumerate(maps):
        progress(n_done, len(maps))
        key = _key(product, file)
        # A file may be deleted by hand, its receipt with the whole folder only.
        if key in done and exists(file.place):
            continue
        sha256 = hashlib.sha256()
        write_cog(
            file.place,
            _rows(product, file, sha256),
            grid=product.grid,
            legend=legend,
            tags=_tags(product, file),
        )
        ledger.record(key, sha256.hexdigest())
    progress(len(maps), len(maps))
    return maps


def _maps(product: FinishedProduct, folder: str, *, nodata: int) -> Iterator[MapFile]:
    """Yield every map of a product, with the place of its file."""
    members = product.axes.get("member", (None,))
    for scenario in product.scenarios or ("",):
        for member in members:
            for year in product.years:
                file = MapFile("", year, scenario, member, nodata)
                yield file._replace(place=f"{folder}/{_key(product, file)}.tif")


def _key(product: FinishedProduct, file: MapFile) -> str:
    """Return the name of a map: `2000`, or `ssp126/m3/2000`."""
    member = "" if file.member is None else f"m{file.member}"
    label = product.time.label(file.year)
    return "/".join(part for part in (file.scenario, member, label) if part)


def _rows(product: FinishedProduct, file: MapFile, sha256: Any) -> Iterator[U8]:
    """Yield the map from the north, one row of tiles at a time, and add it to a hash."""
    maps = product_maps(product, None).series(scenario=file.scenario or None, member=file.member)
    maps.require_whole([file.year])
    rows = product.attributes["luray"]["tile"]
    n_lat, n_lon = product.grid.shape
    for first in range(0, n_lat, rows):
        codes_HW = maps.codes(file.year, Box(first, 0, min(rows, n_lat - first), n_lon))
        sha256.update(codes_HW)
        yield codes_HW


def _tags(product: FinishedProduct, file: MapFile) -> dict[str, str]:
    """Return what the file says of itself."""
    tags = {
        "TITLE": f"{product.attributes['title']}, {_key(product, file)}",
        "YEAR": str(product.time.year(file.year)),
        "ORIGIN": product.origins[product.years.index(file.year)],
        "CAVEATS": "; ".join(product.attributes.get("caveats", ())),
        "FINGERPRINT": product.attributes["luray"]["fingerprint"],
    }
    if product.time.per_year > 1:
        first, last = product.time.dates(file.year)
        tags["DATES"] = f"{first}/{last}"
    if file.scenario:
        tags["SCENARIO"] = file.scenario
    if file.member is not None:
        tags["MEMBER"] = str(file.member)
    return tags
