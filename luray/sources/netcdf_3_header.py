"""Refuse NetCDF-3 files whose header names more bytes than there are.

SciPy makes room for as many as a damaged header says, up to 16 GiB, before it reads one of them.

Format: NetCDF Classic Format Specification, in the User's Guide of netCDF-C. Everything in a header
is padded to four bytes and has its numbers big-endian.
"""

import io
from typing import Any

from luray.storage.errors import InputError

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8}
"""Bytes of a value by the number of its type: byte, char, short, int, float, double."""

NUMBER_BYTES = 4
OFFSET_BYTES = {1: 4, 2: 8}
"""Bytes of the place of a variable, by the version of the format."""


def require_whole_header(file: Any, *, where: str) -> None:
    """Raise InputError unless all that a NetCDF-3 header names is in the file.

    Parameters
    ----------
    file : file object
        Of the bytes, with `seek` and `read`.
    where : str
        The file, for messages.
    """
    header = _Header(file, where)
    version = header.read(NUMBER_BYTES)[-1]
    header.skip(NUMBER_BYTES)  # number of records

    for _ in range(header.read_list_length()):
        header.skip_name()
        header.skip(NUMBER_BYTES)  # length of the dimension
    _skip_attributes(header)
    for _ in range(header.read_list_length()):
        header.skip_name()
        n_dims = header.read_number()
        header.skip(n_dims * NUMBER_BYTES)
        _skip_attributes(header)
        header.skip(2 * NUMBER_BYTES)  # type, and bytes of its values
        header.skip(OFFSET_BYTES[version])


def _skip_attributes(header: "_Header") -> None:
    for _ in range(header.read_list_length()):
        header.skip_name()
        value_bytes = TYPE_BYTES.get(header.read_number(), 0)
        header.skip(header.read_number() * value_bytes)


class _Header:
    """A header that is read from its beginning."""

    def __init__(self, file: Any, where: str) -> None:
        self._file = file
        self._where = where
        self._file_bytes = file.seek(0, io.SEEK_END)
        self._place = 0

    def read(self, n_bytes: int) -> bytes:
        """Read some bytes. Raises InputError where the file has not as many."""
        start = self._place
        self.skip(n_bytes)
        self._file.seek(start)
        data: bytes = self._file.read(n_bytes)
        return data

    def skip(self, n_bytes: int) -> None:
        """Go on behind some bytes and their padding. Raises InputError as `read` does."""
        padded = -(-n_bytes // NUMBER_BYTES) * NUMBER_BYTES
        if self._place + padded > self._file_bytes:
            raise InputError(
                f"{self._where}: cannot be read as NetCDF: its header names {n_bytes} bytes from "
                f"byte {self._place} on, and the file has {self._file_bytes}; it may be truncated: "
                "get it again"
            )
        self._place += padded

    def read_number(self) -> int:
        return int.from_bytes(self.read(NUMBER_BYTES), "big")

    def read_list_length(self) -> int:
        """Read how many dimensions, attributes or variables follow."""
        self.skip(NUMBER_BYTES)  # mark of the kind of list
        return self.read_number()

    def skip_name(self) -> None:
        self.skip(self.read_number())
