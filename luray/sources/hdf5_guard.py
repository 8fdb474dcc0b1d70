"""Refuse damaged HDF5 files on which HDF5 would go on for ever, or take all memory.

HDF5 keeps texts and references of variable length in global heaps. A heap is a chain of objects,
each of which says by its length where the next one begins. HDF5 (up to 2.0.0 at least) follows an
object without any length to itself, again and again, inside of a call that no signal interrupts.
One flipped bit makes such a chain, and so does a block of zeros in the middle of a heap.

The superblock of a file may name a block about the driver that wrote it. HDF5 takes as many bytes
as that block says, up to 4 GiB, however small the file is.

Format: "HDF5 File Format Specification Version 3.0", II.A Superblock, II.B File Driver Info, III.E
Global Heap.
"""

import io
from collections.abc import Iterator
from typing import Any

from luray.storage.errors import InputError

SUPERBLOCK_BYTES = 48
"""Length of the shortest superblock, that of version 2."""
NO_ADDRESS = 0xFF
"""Each byte of an address that leads nowhere."""

SIGNATURE = b"GCOL"
"""First bytes of a global heap; its version, three empty bytes and its length follow."""
VERSION = 1
HEADER_BYTES = 16
"""Bytes of the header of a heap, and of that of each object in it."""
ALIGNED = 8
"""An object ends at a multiple of this many bytes."""
WRAP = 2**64
"""HDF5 counts bytes modulo this number."""


def require_one_file(head: bytes, *, where: str) -> None:
    """Refuse an HDF5 file whose superblock names a driver: one of several, or a damaged one.

    Parameters
    ----------
    head : bytes
        The first bytes of the file, at least its superblock.
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        Where a driver is named.
    """
    # What is shorter HDF5 refuses by itself. Later versions have a checksum, and name drivers
    # elsewhere.
    if len(head) < SUPERBLOCK_BYTES or head[8] > 1:
        return
    version = head[8]
    address_bytes = head[13]
    # In front are addresses of the beginning, of free space, and of the end.
    start = (24, 28)[version] + 3 * address_bytes
    if any(byte != NO_ADDRESS for byte in head[start : start + address_bytes]):
        raise InputError(
            f"{where}: cannot be read as NetCDF: its superblock names a driver, as those of "
            "several files that make up one do, expected a single file; join them with h5repart, "
            "or if it is one, it is damaged: get it again"
        )


class HeapGuard(io.RawIOBase):
    """A file object of an HDF5 file, which raises InputError where HDF5 would read for ever.

    HDF5 reads the beginning of a heap before it follows the chain. So heaps are looked at when
    their first bytes are read, and other parts of the file cost nothing.

    Parameters
    ----------
    file : file object
        Of the bytes, with `seek`, `tell` and `read`.
    where : str
        The file, for messages.
    """

    def __init__(self, file: Any, *, where: str) -> None:
        super().__init__()
        self._file = file
        self._where = where
        # The superblock says how many bytes a length has, at a place that depends on its version.
        head = self._read_at(0, SUPERBLOCK_BYTES).ljust(SUPERBLOCK_BYTES, b"\0")
        self._length_bytes = head[14] if head[8] < 2 else head[10]
        self._file.seek(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to another place in the file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place in the file."""
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        """Read the bytes from here on, and look at the heaps that begin in them."""
        start = self.tell()
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        for heap_start in self._heaps_in(data, start):
            self._require_end(heap_start)
        self.seek(start + len(data))
        return len(data)

    def _read_at(self, start: int, n_bytes: int) -> bytes:
        self._file.seek(start)
        data: bytes = self._file.read(n_bytes)
        return data

    def _heaps_in(self, data: bytes, start: int) -> Iterator[int]:
        """Yield the places of heaps whose signature ends in bytes that begin at `start`."""
        # The signature may have begun in the bytes before.
        overlap = min(start, len(SIGNATURE) - 1)
        searched = self._read_at(start - overlap, overlap) + data
        place = searched.find(SIGNATURE)
        while place >= 0:
            yield start - overlap + place
            place = searched.find(SIGNATURE, place + 1)

    def _require_end(self, heap_start: int) -> None:
        """Raise InputError unless the chain of a heap comes to an end."""
        header = self._read_at(heap_start, HEADER_BYTES)
        heap_bytes = int.from_bytes(header[8 : 8 + self._length_bytes], "little")
        # HDF5 refuses by itself what is no heap.
        if len(header) < HEADER_BYTES or header[4] != VERSION or heap_bytes > self._file_bytes():
            return
        heap = self._read_at(heap_start, heap_bytes)

        place = HEADER_BYTES
        while place + HEADER_BYTES <= len(heap):
            index = int.from_bytes(heap[place : place + 2], "little")
            length = int.from_bytes(heap[place + 8 : place + 8 + self._length_bytes], "little")
            # Object 0 is the free space at the end, whose length includes its header.
            step = length
            if index > 0:
                step = (HEADER_BYTES + -(-length // ALIGNED) * ALIGNED) % WRAP
            if step == 0:
                raise InputError(
                    f"{self._where}: cannot be read as NetCDF: the global heap at byte "
                    f"{heap_start} has an object without length at byte {heap_start + place}; "
                    "the file is damaged: get it again"
                )
            place += step

    def _file_bytes(self) -> int:
        return self.seek(0, io.SEEK_END)
