"""Headers of many NetCDF files that differ in their times alone, as the maps of a series do.

To read a header through xarray takes tens of milliseconds, and a series of dekads has thousands. A
file whose raw header equals that of the one before it is described as that one is, with its own
times; any other is read as usual.
"""

from dataclasses import dataclass, field, replace

from luray.sources.netcdf import NetcdfFile, inspect_netcdf


@dataclass
class SeriesInspector:
    """Inspects files one after another; see `inspect_netcdf`, which gives the same."""

    _file: NetcdfFile | None = field(default=None, init=False)
    """The last file that was read as usual, None before the first."""
    _header: tuple[object, ...] | None = field(default=None, init=False)
    """Its raw header, None where it has none that could be compared."""

    def inspect(self, url: str) -> NetcdfFile:
        """Read from a file's header and axes what it holds and how it lies.

        Raises InputError as `inspect_netcdf` does.
        """
        from luray.sources.netcdf_reader import raw_header

        like = self._file
        if like is not None and self._header is not None:
            found = raw_header(url, time_axis=like.time_axis)
            if found is not None and found.structure == self._header:
                return replace(like, url=url, times=found.times)

        file = inspect_netcdf(url)
        self._file = file
        self._header = None
        # Time bounds are values, too: files that have some are read as usual.
        if file.time_bounds is None:
            found = raw_header(url, time_axis=file.time_axis)
            self._header = None if found is None else found.structure
        return file
