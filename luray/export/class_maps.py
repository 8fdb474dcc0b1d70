"""The maps as they are, one file a map: cloud-optimised GeoTIFFs, or of classes NetCDF after CF.

Shapes: H W cells of a block of rows.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from luray.core.types import U8
from luray.export.cog import write_cog
from luray.export.files import BlockChecksum, check_rows, checksum_of
from luray.export.job import ExportJob
from luray.export.netcdf_files import CRS, add_axes, add_time, netcdf_file, reading

BLOCK_ROWS = 500
"""Rows of a map that are in memory at once."""

CHUNK_CELLS = 500
"""Side of a NetCDF chunk."""


def write_cogs(job: ExportJob) -> None:
    """Write a cloud-optimised GeoTIFF for each map; see `luray.export.cog.write_cog`."""
    legend = job.maps.product.legend
    time = job.maps.product.time
    for year, name in job.missing_files(f"{legend.variable}_{{year}}.tif"):
        with job.folder.writing(name) as [path]:
            write_cog(
                str(path),
                map_blocks(job, year),
                grid=job.region.fine,
                legend=legend,
                tags={
                    **job.attributes(f"{legend.long_name} {time.label(year)}"),
                    "year": str(time.year(year)),
                    **({"dates": "/".join(time.dates(year))} if time.per_year > 1 else {}),
                },
            )


def write_netcdf(job: ExportJob) -> None:
    """Write a NetCDF file after CF for each year, compressed in chunks.

    Raises
    ------
    RuntimeError
        If a file does not read back as it was written.
    """
    variable = job.maps.product.legend.variable
    for year, name in job.missing_files(f"{variable}_{{year}}.nc"):
        with job.folder.writing(name) as [path]:
            checksums = _write_netcdf(path, job, year)
            _check_netcdf(path, checksums, name=name, variable=variable)


def map_blocks(job: ExportJob, year: int) -> Iterator[U8]:
    """Yield the map of a year in published codes, some rows at a time."""
    box = job.region.box
    for row in range(0, job.region.fine.n_lat, BLOCK_ROWS):
        height = min(BLOCK_ROWS, job.region.fine.n_lat - row)
        yield job.maps.codes(
            year, box._replace(row=box.row + row, height=height, width=job.region.fine.n_lon)
        )


def _write_netcdf(path: Path, job: ExportJob, year: int) -> list[BlockChecksum]:
    """Write the file of a year; return the checksum of each block."""
    grid = job.region.fine
    legend = job.maps.product.legend
    flags = legend.cf_attributes()
    attributes = {"Conventions": "CF-1.11", **job.attributes(f"{legend.long_name} {year}")}
    checksums: list[BlockChecksum] = []
    with netcdf_file(path, attributes) as out:
        out.dimension("time", 1)
        add_axes(out, grid, bounds=("lat_bnds", "lon_bnds"))
        add_time(out, year, dimensions=("time",))
        out.variable("crs", (), np.array(0, np.int32), CRS)
        out.yearly(
            legend.variable,
            ("time", "lat", "lon"),
            dtype="uint8",
            chunk=(min(CHUNK_CELLS, grid.n_lat), min(CHUNK_CELLS, grid.n_lon)),
            attributes={
                "long_name": legend.long_name,
                "units": "1",
                "flag_values": np.array(flags["flag_values"], np.uint8),
                "flag_meanings": flags["flag_meanings"],
                "grid_mapping": "crs",
                "coordinates": "year",
            },
        )
        row = 0
        for codes_HW in map_blocks(job, year):
            rows = codes_HW.shape[0]
            out.arrays[legend.variable][0, row : row + rows] = codes_HW
            checksums.append(checksum_of(codes_HW))
            row += rows
    return checksums


def _check_netcdf(path: Path, checksums: list[BlockChecksum], *, name: str, variable: str) -> None:
    """Raise RuntimeError unless the file holds what was written."""
    with reading(path) as fields:
        maps = fields[variable]

        def read(row: int, rows: int) -> U8:
            return np.asarray(maps[0, row : row + rows])

        check_rows(read, checksums, name=name)
