"""Maps of values as NetCDF after CF: a file a year, with all of its time steps.

Shapes: H W cells of a block of rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import NO_VALUE, Legend
from luray.core.types import U8
from luray.core.value_scale import MOST_LEVELS, ValueScale
from luray.export.class_maps import BLOCK_ROWS, CHUNK_CELLS
from luray.export.files import BlockChecksum, check_rows, checksum_of
from luray.export.job import ExportJob
from luray.export.leaf_area_maps import LEAF_AREA_INDEX
from luray.export.netcdf_files import CRS, NetcdfWriter, add_axes, add_steps, netcdf_file, reading
from luray.product.create import ORIGINS

FILL = np.float32(9.969209968386869e36)
"""Missing value of float32 in NetCDF."""


def write_packed(job: ExportJob) -> None:
    """Write a NetCDF file a year with the packed values of the product, and their spread.

    Raises
    ------
    RuntimeError
        If a file does not read back as it was written.
    """
    legend = job.maps.product.legend
    _write(job, Layout(legend, legend.variable, "packed"))


def write_cf_lai(job: ExportJob) -> None:
    """Write a NetCDF file a year with the leaf area index `lai` in float32, and its spread.

    Raises
    ------
    ValueError
        For a product of another quantity.
    RuntimeError
        If a file does not read back as it was written.
    """
    legend = job.maps.product.legend
    assert legend.scale is not None
    if legend.scale.standard_name != LEAF_AREA_INDEX:
        raise ValueError(
            f"--format cf-lai has the leaf area index, and this product has {legend.long_name}; "
            "choose --format netcdf"
        )
    _write(job, Layout(legend, "lai", "float32"))


@dataclass(frozen=True)
class Layout:
    """How values stand in a file."""

    legend: Legend
    name: str
    """Of the variable."""
    packing: str
    """`packed`, as the product has them, or `float32`."""

    @property
    def scale(self) -> ValueScale:
        """The scale of the values."""
        assert self.legend.scale is not None
        return self.legend.scale

    @property
    def spread(self) -> str:
        """Name of the variable with the spread."""
        return f"{self.name}_spread"

    @property
    def stored(self) -> tuple[str, Any]:
        """The dtype of the values in the file, and what stands for none."""
        return ("uint8", np.uint8(NO_VALUE)) if self.packing == "packed" else ("float32", FILL)

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of the values, or of their spread."""
        is_spread = name == self.spread
        scale = self.scale
        standard_name = scale.standard_name
        long_name = self.legend.long_name
        if is_spread:
            standard_name = f"{standard_name} standard_error" if standard_name else ""
            long_name = f"standard deviation of {long_name}"
        attributes: dict[str, Any] = {"long_name": long_name, "units": scale.units}
        if standard_name:
            attributes["standard_name"] = standard_name
        if is_spread:
            attributes["comment"] = "Of a predicted value; observed maps have none."
        else:
            attributes["ancillary_variables"] = f"{self.spread} origin"
            attributes["comment"] = "A value stands for its whole time step."
        attributes |= {"cell_methods": "area: mean", "grid_mapping": "crs"}

        first = 0.0 if is_spread else scale.first
        last_level = MOST_LEVELS if is_spread else scale.levels - 1
        if self.packing == "packed":
            attributes |= {"scale_factor": scale.step, "add_offset": first}
            attributes["valid_range"] = np.array([0, last_level], np.uint8)
        else:
            # as wide as what float32 has rounded
            ends = np.array([first, first + scale.step * last_level], np.float32)
            attributes["valid_range"] = ends
        return attributes

    def encode(self, name: str, levels: U8) -> NDArray[Any]:
        """Return the bytes of a product as they stand in the file."""
        if self.packing == "packed":
            return levels
        first = 0.0 if name == self.spread else self.scale.first
        values = (first + self.scale.step * levels.astype(np.float64)).astype(np.float32)
        return np.where(levels == NO_VALUE, FILL, values)

    def decode(self, name: str, values: NDArray[Any]) -> U8:
        """Return what stands in a file as bytes of the product."""
        if self.packing == "packed":
            return values
        first = 0.0 if name == self.spread else self.scale.first
        missing = values == FILL
        levels = np.rint((np.where(missing, first, values) - first) / self.scale.step)
        return np.where(missing, NO_VALUE, levels).astype(np.uint8)


Checksums = dict[tuple[str, int], list[BlockChecksum]]
"""Of the blocks of each variable at each time step."""


def _write(job: ExportJob, layout: Layout) -> None:
    """Write the file of each year that lacks, and read it back."""
    for year, steps, name in job.missing_years(f"{layout.name}_{{year}}.nc"):
        with job.folder.writing(name) as [path]:
            checksums = _write_year(path, job, layout, year, steps)
            _check_year(path, layout, checksums, name=name)


def _write_year(
    path: Path, job: ExportJob, layout: Layout, year: int, steps: Sequence[int]
) -> Checksums:
    """Write the file of a year; return the checksums of its blocks."""
    grid = job.region.fine
    attributes = {"Conventions": "CF-1.11", **job.attributes(f"{layout.legend.long_name} {year}")}
    checksums: Checksums = {}
    with netcdf_file(path, attributes) as out:
        out.dimension("time", len(steps))
        add_axes(out, grid, bounds=("lat_bnds", "lon_bnds"))
        add_steps(out, job.maps.product.time, steps)
        out.variable("crs", (), np.array(0, np.int32), CRS)
        _add_origin(out, job, steps)
        dtype, fill = layout.stored
        for name in (layout.name, layout.spread):
            out.yearly(
                name,
                ("time", "lat", "lon"),
                dtype=dtype,
                chunk=(min(CHUNK_CELLS, grid.n_lat), min(CHUNK_CELLS, grid.n_lon)),
                attributes=layout.attributes(name),
                fill=fill,
            )
            for position, step in enumerate(steps):
                found = checksums.setdefault((name, position), [])
                row = 0
                for levels_HW in _blocks(job, step, is_spread=name == layout.spread):
                    rows = levels_HW.shape[0]
                    out.arrays[name][position, row : row + rows] = layout.encode(name, levels_HW)
                    found.append(checksum_of(levels_HW))
                    row += rows
    return checksums


def _blocks(job: ExportJob, step: int, *, is_spread: bool) -> Iterator[U8]:
    """Yield the levels of a step, or the steps of their spread, some rows at a time."""
    box = job.region.box
    read = job.maps.spread if is_spread else job.maps.codes
    for row in range(0, job.region.fine.n_lat, BLOCK_ROWS):
        height = min(BLOCK_ROWS, job.region.fine.n_lat - row)
        part = box._replace(row=box.row + row, height=height, width=job.region.fine.n_lon)
        yield read(step, part)


def _add_origin(out: NetcdfWriter, job: ExportJob, steps: Sequence[int]) -> None:
    """Add where the map of each step comes from."""
    origins = np.array([job.maps.origin(step) for step in steps], np.uint8)
    attributes = {
        "long_name": "where a map comes from",
        "flag_values": np.arange(len(ORIGINS), dtype=np.uint8),
        "flag_meanings": " ".join(ORIGINS),
    }
    out.variable("origin", ("time",), origins, attributes)


def _check_year(path: Path, layout: Layout, checksums: Checksums, *, name: str) -> None:
    """Raise RuntimeError unless the file holds what was written."""
    with reading(path) as fields:
        for (variable, position), expected in checksums.items():
            maps = fields[variable]

            def read(row: int, rows: int, *, maps: Any = maps, position: int = position) -> U8:
                values = np.asarray(maps[position, row : row + rows])
                return layout.decode(maps.name.rsplit("/", 1)[-1], values)

            check_rows(read, expected, name=name)
