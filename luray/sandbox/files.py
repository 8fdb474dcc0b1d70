"""NetCDF files and GeoTIFFs of made-up data, each of which says so.

Every file is written under a temporary name and renamed, so that a name that exists is a whole
file.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import rasterio
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.types import U8

NOTICE = (
    "Simulated by the luray sandbox. Not real data: "
    "the file only has the form of the published one."
)

Attributes = Mapping[str, Any]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path that takes the name of `path` when the block ends without an error.

    A name that exists is a whole file, even where writing was interrupted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    if path.is_dir():
        shutil.rmtree(path)
    partial.replace(path)


class NetCDF:
    """A netCDF-4 file on a regular grid with axes `lat` and `lon`, filled variable by variable.

    The order in which axes and variables are added is the order in the file.
    """

    def __init__(self, path: Path, grid: Grid, *, title: str, ascending: bool = False) -> None:
        self.file = h5netcdf.File(path, "w")
        self.file.attrs.update({"title": title, "comment": NOTICE, "Conventions": "CF-1.6"})
        self.axis(
            "lat",
            grid.lat[::-1] if ascending else grid.lat,
            units="degrees_north",
            long_name="latitude",
            standard_name="latitude",
            axis="Y",
        )
        self.axis(
            "lon",
            grid.lon,
            units="degrees_east",
            long_name="longitude",
            standard_name="longitude",
            axis="X",
        )

    def axis(self, name: str, values: NDArray[Any], **attributes: Any) -> None:
        """Add a dimension and its coordinate variable."""
        self.file.dimensions[name] = len(values)
        self.variable(name, (name,), values, attributes)

    def variable(
        self,
        name: str,
        dimensions: tuple[str, ...],
        values: NDArray[Any],
        attributes: Attributes,
        *,
        fill: Any = None,
    ) -> None:
        """Add a variable, compressed in chunks of one map; `fill` is written as `_FillValue`."""
        packing: dict[str, Any] = {}
        if len(dimensions) > 1:
            chunks = (1,) * (values.ndim - 2) + values.shape[-2:]
            packing = {
                "chunks": chunks,
                "compression": "gzip",
                "compression_opts": 1,
                "shuffle": True,
            }
        variable = self.file.create_variable(
            name, dimensions, values.dtype, fillvalue=fill, **packing
        )
        variable[...] = values
        variable.attrs.update(attributes)


@contextmanager
def netcdf(path: Path, grid: Grid, *, title: str, ascending: bool = False) -> Iterator[NetCDF]:
    """Write a netCDF file that appears under its name when the block ends.

    Latitudes descend unless `ascending`.
    """
    with replacing(path) as partial:
        out = NetCDF(partial, grid, title=title, ascending=ascending)
        with out.file:
            yield out


def write_copy(path: Path, template: Path, values: Mapping[str, NDArray[Any]]) -> None:
    """Write a copy of a netCDF file with other values of some variables, of the same shapes."""
    with replacing(path) as partial:
        shutil.copyfile(template, partial)
        with h5py.File(partial, "r+") as file:
            for name, new_values in values.items():
                file[name][...] = new_values


def write_geotiff(path: Path, codes: U8, grid: Grid, *, nodata: int | None = None) -> None:
    """Write a single-band uint8 GeoTIFF in EPSG:4326, codes of shape (lat, lon)."""
    transform = rasterio.Affine(grid.step, 0, grid.west, 0, -grid.step, grid.north)
    with (
        replacing(path) as partial,
        rasterio.open(
            partial,
            "w",
            driver="GTiff",
            dtype="uint8",
            count=1,
            height=codes.shape[0],
            width=codes.shape[1],
            crs="EPSG:4326",
            transform=transform,
            nodata=nodata,
            compress="deflate",
        ) as out,
    ):
        out.write(codes, 1)
        out.update_tags(comment=NOTICE)
