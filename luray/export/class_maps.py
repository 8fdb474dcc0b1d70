"""The class maps as they are, one file a year: cloud-optimised GeoTIFFs, or NetCDF after CF.

Shapes: H W cells of a block of rows.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from luray.core.types import U8
from luray.export.cog import class_tags, write_cog
from luray.export.job import ExportJob
from luray.export.netcdf_files import add_axes, netcdf_file, reading

BLOCK_ROWS = 500
"""Rows of a map that are in memory at once."""

CHUNK_CELLS = 500
"""Side of a NetCDF chunk."""

FIRST_DAY = 1850
"""Year from whose first of January CF's time counts."""


def write_cogs(job: ExportJob) -> None:
    """Write a cloud-optimised GeoTIFF for each year; see `luray.export.cog.write_cog`."""
    done = job.folder.done()
    for number, year in enumerate(job.years):
        job.progress(number, len(job.years), "files")
        name = f"land_use_{year}.tif"
        if name not in done:
            with job.folder.writing(name) as [path]:
                write_cog(
                    str(path),
                    map_blocks(job, year),
                    grid=job.region.fine,
                    legend=job.maps.product.legend,
                    tags={**job.attributes(f"land use {year}"), "year": str(year)},
                )
    job.progress(len(job.years), len(job.years), "files")


def write_netcdf(job: ExportJob) -> None:
    """Write a NetCDF file after CF for each year, compressed in chunks.

    Raises
    ------
    RuntimeError
        If a file does not read back as it was written.
    """
    done = job.folder.done()
    for number, year in enumerate(job.years):
        job.progress(number, len(job.years), "files")
        name = f"land_use_{year}.nc"
        if name not in done:
            with job.folder.writing(name) as [path]:
                checksums = _write_netcdf(path, job, year)
                _check_netcdf(path, checksums, name=name)
    job.progress(len(job.years), len(job.years), "files")


def map_blocks(job: ExportJob, year: int) -> Iterator[U8]:
    """Yield the map of a year in published codes, some rows at a time."""
    box = job.region.box
    for row in range(0, job.region.fine.n_lat, BLOCK_ROWS):
        height = min(BLOCK_ROWS, job.region.fine.n_lat - row)
        yield job.maps.codes(
            year, box._replace(row=box.row + row, height=height, width=job.region.fine.n_lon)
        )


def _write_netcdf(path: Path, job: ExportJob, year: int) -> list[tuple[int, int]]:
    """Write the file of a year; return the number of rows and the checksum of each block."""
    grid = job.region.fine
    legend = job.maps.product.legend
    names = class_tags(legend)
    codes = [legend.ocean, *(int(code) for code in legend.codes), legend.nodata]
    days = (year - FIRST_DAY) * 365.0  # a year of the calendar noleap has 365 days
    attributes = {"Conventions": "CF-1.11", **job.attributes(f"land use {year}")}
    checksums: list[tuple[int, int]] = []
    with netcdf_file(path, attributes) as out:
        out.dimension("time", 1)
        add_axes(out, grid, bounds=("lat_bnds", "lon_bnds"))
        time = {
            "standard_name": "time",
            "long_name": "time",
            "units": f"days since {FIRST_DAY}-01-01",
            "calendar": "noleap",
            "axis": "T",
            "bounds": "time_bnds",
        }
        out.variable("time", ("time",), np.array([days]), time)
        out.variable("time_bnds", ("time", "bounds"), np.array([[days, days + 365]]), {})
        described = {"long_name": "calendar year", "units": "1"}
        out.variable("year", ("time",), np.array([year], np.int32), described)
        crs = {
            "grid_mapping_name": "latitude_longitude",
            "longitude_of_prime_meridian": 0.0,
            "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563,
        }
        out.variable("crs", (), np.array(0, np.int32), crs)
        out.yearly(
            "land_use",
            ("time", "lat", "lon"),
            dtype="uint8",
            chunk=(min(CHUNK_CELLS, grid.n_lat), min(CHUNK_CELLS, grid.n_lon)),
            attributes={
                "long_name": "land use",
                "units": "1",
                "flag_values": np.array(codes, np.uint8),
                "flag_meanings": names["flag_meanings"],
                "grid_mapping": "crs",
                "coordinates": "year",
            },
        )
        row = 0
        for codes_HW in map_blocks(job, year):
            rows = codes_HW.shape[0]
            out.arrays["land_use"][0, row : row + rows] = codes_HW
            checksums.append((rows, zlib.crc32(codes_HW.tobytes())))
            row += rows
    return checksums


def _check_netcdf(path: Path, checksums: list[tuple[int, int]], *, name: str) -> None:
    """Raise RuntimeError unless the file holds what was written."""
    with reading(path) as fields:
        row = 0
        for rows, checksum in checksums:
            codes_HW = np.asarray(fields["land_use"][0, row : row + rows])
            if zlib.crc32(codes_HW.tobytes()) != checksum:
                raise RuntimeError(
                    f"{name}: rows {row} to {row + rows} do not read back as they were written; "
                    "check the disk, and export again"
                )
            row += rows
