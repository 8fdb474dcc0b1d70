"""Cloud-optimised GeoTIFFs: of classes with their colours and names, of values with their scale.

Shapes: H W cells; a block has all columns of some consecutive rows.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp
from rasterio.shutil import copy
from rasterio.windows import Window

from luray.core.grid import Grid
from luray.core.legend import OCEAN_COLOUR, Legend, rgb
from luray.core.types import U8
from luray.export.files import BlockChecksum, check_rows, checksum_of, publishing

BLOCK_CELLS = 512
"""Side of an internal tile."""


def write_cog(
    place: str,
    blocks: Iterable[U8],
    *,
    grid: Grid,
    legend: Legend,
    tags: Mapping[str, str],
) -> None:
    """Write a map as a cloud-optimised GeoTIFF (COG), read back before it gets its name.

    It has the colours of the legend, no data as `legend.nodata`, and overviews of the most frequent
    class ("mode") at factors 2, 4, ... where the map is larger than 512 cells. The tags of its band
    name the classes: `class_22 = cropland`, and in CF's words `flag_values` and `flag_meanings`.

    A map of values has no colours: its band has scale, offset and unit, and overviews of the mean.

    Parameters
    ----------
    place : str
        The file: a local path, s3:// or gs://. What is there is replaced.
    blocks : iterable of uint8 arrays, shape (rows, W)
        The map in published codes, from the north, some rows at a time; `[codes_HW]` for a map that
        is in memory.
    grid : Grid
        Of the map, in degrees (EPSG:4326).
    legend : Legend
        Of the codes.
    tags : mapping of str
        Title, year, source and what else a reader has to know, without local paths or secrets.

    Raises
    ------
    ValueError
        If the blocks are not the rows of the grid.
    RuntimeError
        If the file does not read back as it was written; the final name is left as it was.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from luray.core.legend_files import HILDA
    >>> grid = Grid(north=36, west=23, step=0.01, n_lat=2, n_lon=3)
    >>> codes = np.array([[0, 22, 44], [11, 22, 99]], np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/map.tif"
    ...     write_cog(path, [codes], grid=grid, legend=HILDA, tags={"year": "2000"})
    ...     with rasterio.open(path) as file:
    ...         file.colormap(1)[22]
    (233, 196, 106, 255)
    """
    with publishing(place) as temporary:
        plain = temporary.with_name(f"{temporary.name}.plain.tif")
        try:
            checksums = _write_plain(plain, blocks, grid=grid, legend=legend, tags=tags)
            # The driver needs the whole map before it can write overviews ahead of the data.
            copy(
                plain,
                temporary,
                driver="COG",
                compress="DEFLATE",
                blocksize=BLOCK_CELLS,
                overview_resampling="MODE" if legend.scale is None else "AVERAGE",
                num_threads="1",
            )
        finally:
            plain.unlink(missing_ok=True)
        shown = place.rsplit("/", 1)[-1]
        _check(temporary, checksums, grid=grid, legend=legend, shown=shown)


def _write_plain(
    path: Path, blocks: Iterable[U8], *, grid: Grid, legend: Legend, tags: Mapping[str, str]
) -> list[BlockChecksum]:
    """Write a tiled GeoTIFF; return the checksum of each block."""
    transform = rasterio.Affine(grid.step, 0, grid.west, 0, -grid.step, grid.north)
    checksums: list[BlockChecksum] = []
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=grid.n_lat,
        width=grid.n_lon,
        crs="EPSG:4326",
        transform=transform,
        nodata=legend.nodata,
        tiled=True,
        blockxsize=BLOCK_CELLS,
        blockysize=BLOCK_CELLS,
        compress="DEFLATE",
        bigtiff="IF_SAFER",
    ) as out:
        out.update_tags(**tags)
        out.set_band_description(1, legend.long_name)
        if legend.scale is None:
            out.update_tags(1, **_class_tags(legend))
            out.colorinterp = [ColorInterp.palette]
            out.write_colormap(1, _colours(legend))
        else:
            out.scales = (legend.scale.step,)
            out.offsets = (legend.scale.first,)
            out.units = (legend.scale.units,)

        row = 0
        for codes in blocks:
            rows, cols = codes.shape
            if cols != grid.n_lon or row + rows > grid.n_lat:
                raise ValueError(
                    f"rows {row} to {row + rows} of {cols} cells do not belong to a grid of "
                    f"{grid.n_lat} x {grid.n_lon}; give the rows of the map, from the north"
                )
            out.write(codes, 1, window=Window(0, row, cols, rows))
            checksums.append(checksum_of(codes))
            row += rows
    if row != grid.n_lat:
        raise ValueError(f"got {row} rows, expected {grid.n_lat}; give every row of the map")
    return checksums


def _class_tags(legend: Legend) -> dict[str, str]:
    """Return the names of the classes as tags of a band."""
    flags = legend.cf_attributes()
    codes = flags["flag_values"]
    names = flags["flag_meanings"]
    tags = {f"class_{code}": name for code, name in zip(codes, names.split(), strict=True)}
    tags["flag_values"] = " ".join(map(str, codes))
    tags["flag_meanings"] = names
    return tags


def _colours(legend: Legend) -> dict[int, tuple[int, int, int, int]]:
    """Return red, green, blue and opacity of each code; no data is transparent."""
    colours = {legend.ocean: (*rgb(OCEAN_COLOUR), 255)}
    for land_class in legend.classes:
        colours[land_class.code] = (*rgb(land_class.colour), 255)
    colours[legend.nodata] = (0, 0, 0, 0)
    return colours


def _check(
    path: Path, checksums: list[BlockChecksum], *, grid: Grid, legend: Legend, shown: str
) -> None:
    """Raise RuntimeError unless the file is a COG that holds what was written."""
    with rasterio.open(path) as file:
        layout = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
        if layout != "COG":
            raise RuntimeError(f"{shown}: layout {layout}, expected COG; GDAL is not as expected")
        if max(grid.shape) > BLOCK_CELLS and not file.overviews(1):
            raise RuntimeError(f"{shown}: found no overviews; GDAL is not as expected")
        scale = legend.scale
        if scale is not None and (file.scales, file.offsets) != ((scale.step,), (scale.first,)):
            raise RuntimeError(
                f"{shown}: scale {file.scales} and offset {file.offsets}, expected {scale.step} "
                f"and {scale.first}; GDAL is not as expected"
            )

        def read(row: int, rows: int) -> U8:
            codes: U8 = file.read(1, window=Window(0, row, grid.n_lon, rows))
            return codes

        check_rows(read, checksums, name=shown)
