"""File formats by their first bytes.

They decide which library reads a file. Where a file is none that luray reads, its format lets a
message say what was given, and what to do with it.
"""

import re
from typing import NamedTuple

HEAD_BYTES = 1024
"""Bytes of a file that are looked at: the mark of a tar archive lies furthest in, at 257."""


class FileFormat(NamedTuple):
    """A file format, and what to do with a file of it where another was expected."""

    name: str
    advice: str
    """In words; `{name}` and `{end}` stand for the file's name and its ending."""


NETCDF_3 = "NetCDF-3"
NETCDF_4 = "NetCDF-4 (HDF5)"
TIFF = "GeoTIFF"

GET_AGAIN = "get the file again"
CHOOSE_ANOTHER = (
    "set `path` or `pattern` to the file that is meant, or give it the end of its name that it has"
)
LOG_IN = (
    "open the address in a browser: it asks for a login, or leads to a page about the file; get "
    "the file itself and give its path, or put the login into ~/.netrc"
)


def _unpack(command: str) -> str:
    return f"unpack it with `{command}`, and set `path` to what comes out"


FORMATS = (
    (rb"\x89HDF\r\n\x1a\n", FileFormat(NETCDF_4, CHOOSE_ANOTHER)),
    (rb"CDF[\x01\x02]", FileFormat(NETCDF_3, CHOOSE_ANOTHER)),
    (
        rb"CDF\x05",
        FileFormat(
            "CDF-5 (NetCDF-3 with 64-bit data)",
            "convert it with `nccopy -k nc4 {name} converted.nc`, and set `path` to that",
        ),
    ),
    (rb"(?:II[*+]\x00|MM\x00[*+])", FileFormat(TIFF, CHOOSE_ANOTHER)),
    (
        rb"\x0e\x03\x13\x01",
        FileFormat("HDF4", "convert it with `h4toh5` or `gdal_translate`, and set `path` to that"),
    ),
    (
        rb"GRIB",
        FileFormat(
            "GRIB", "convert it with `cdo -f nc4 copy {name} converted.nc`, and set `path` to that"
        ),
    ),
    (rb"BUFR", FileFormat("BUFR", "convert it to NetCDF, and set `path` to that")),
    (rb"\x1f\x8b", FileFormat("packed with gzip", _unpack("gzip -dc {name} > unpacked{end}"))),
    (
        rb"\x1f[\x9d\xa0]",
        FileFormat("packed with compress", _unpack("gzip -dc {name} > unpacked{end}")),
    ),
    (rb"BZh[1-9]", FileFormat("packed with bzip2", _unpack("bzip2 -dc {name} > unpacked{end}"))),
    (rb"\xfd7zXZ\x00", FileFormat("packed with xz", _unpack("xz -dc {name} > unpacked{end}"))),
    (
        rb"\x28\xb5\x2f\xfd",
        FileFormat("packed with zstd", _unpack("zstd -dc {name} > unpacked{end}")),
    ),
    (
        rb"\x04\x22\x4d\x18",
        FileFormat("packed with lz4", _unpack("lz4 -dc {name} > unpacked{end}")),
    ),
    (
        rb"PK(?:\x03\x04|\x05\x06|\x07\x08)",
        FileFormat("a ZIP archive", _unpack("unzip {name} -d unpacked")),
    ),
    (rb"7z\xbc\xaf\x27\x1c", FileFormat("a 7z archive", _unpack("7z x {name}"))),
    (rb"Rar!\x1a\x07", FileFormat("a RAR archive", _unpack("unrar x {name}"))),
    (rb"(?s:.{257})ustar", FileFormat("a tar archive", _unpack("tar -xf {name}"))),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        FileFormat("a pointer of Git LFS, not the file itself", "get the file with `git lfs pull`"),
    ),
    (
        rb"(?:\.\./)*(?:\.git/annex|/annex)/objects/",
        FileFormat(
            "a pointer of git-annex, not the file itself", "get the file with `git annex get`"
        ),
    ),
    (
        rb"(?:\xef\xbb\xbf)?\s*(?:<!--(?s:.*?)-->\s*)*(?:<\?xml[^>]*>\s*)?"
        rb"(?i:<!doctype html|<html|<head|<script|<title)",
        FileFormat("a web page (HTML)", LOG_IN),
    ),
    (
        rb"(?:\xef\xbb\xbf)?\s*<",
        FileFormat("an XML document, such as the error of a server", LOG_IN),
    ),
    (
        rb"(?:\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[]",
        FileFormat(
            "a JSON document",
            "set `path` to the file that is meant; the name of "
            "references ends in .json or .parquet",
        ),
    ),
    (rb"%PDF-", FileFormat("a PDF document", CHOOSE_ANOTHER)),
    (
        rb"\x89PNG\r\n\x1a\n",
        FileFormat("a PNG picture, which has no coordinates", "get the data file"),
    ),
    (rb"\xff\xd8\xff", FileFormat("a JPEG picture, which has no coordinates", "get the data file")),
    (
        rb"(?i:ncols\s)",
        FileFormat(
            "an ASCII grid", "convert it with `gdal_translate -of GTiff {name} converted.tif`"
        ),
    ),
    (
        rb"PAR1",
        FileFormat(
            "a Parquet file",
            "set `path` to the folder of references that it is part of, if it is one",
        ),
    ),
    (rb"SIMPLE  =", FileFormat("FITS", "convert it to GeoTIFF, and set `path` to that")),
    (
        rb"\x00+\Z",
        FileFormat(
            "zeros from its beginning on", f"a download or copy of it broke off: {GET_AGAIN}"
        ),
    ),
)
"""Formats by a regular expression of their first bytes.

The first that matches counts, so that HTML comes before XML, and anything else before zeros.
"""


def identify_format(head: bytes) -> FileFormat:
    """Identify the format of a file by its first bytes.

    Parameters
    ----------
    head : bytes
        The first `HEAD_BYTES` of the file, or all that there are.

    Returns
    -------
    FileFormat
        Also for an empty file, a text, and bytes that are none of `FORMATS`.

    Examples
    --------
    >>> identify_format(b"CDF\\x01").name
    'NetCDF-3'
    >>> identify_format(b"Error: please log in").name
    "a text ('Error: please log in')"
    """
    if not head:
        return FileFormat(
            "empty", f"a download or copy of it broke off, or the disk was full: {GET_AGAIN}"
        )
    for first_bytes, file_format in FORMATS:
        if re.match(first_bytes, head):
            return file_format
    if _is_text(head):
        lines = head.decode(errors="replace").strip().splitlines()
        first_line = lines[0][:60] if lines else ""
        return FileFormat(
            f"a text ({first_line!r})",
            f"look at it: it may be the message of a server; {GET_AGAIN}",
        )
    return FileFormat(f"no format that luray knows (it begins with {head[:8]!r})", GET_AGAIN)


def _is_text(head: bytes) -> bool:
    """Return whether bytes are letters, signs and line ends only."""
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]", head)
