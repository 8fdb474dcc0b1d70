"""What a file is, by its first bytes: so that a message can say what was given in place of it."""

import re
from typing import NamedTuple

HEAD = 1024
"""Bytes of a file that are looked at: the mark of a tar archive lies furthest in, at 257."""


class Form(NamedTuple):
    """A file format: its name, and what to do with a file of it where another was expected."""

    name: str
    advice: str


NETCDF_3 = "NetCDF-3"
NETCDF_4 = "NetCDF-4 (HDF5)"
TIFF = "GeoTIFF"

AGAIN = "get the file again"
NAMED = (
    "set `path` or `pattern` to the file that is meant, or give it the end of its name that it has"
)
LOGIN = (
    "open the address in a browser: it asks for a login, or leads to a page about the file; get "
    "the file itself and give its path, or put the login into ~/.netrc"
)


def _unpack(command: str) -> str:
    return f"unpack it with `{command}`, and set `path` to what comes out"


FORMS = (
    (rb"\x89HDF\r\n\x1a\n", Form(NETCDF_4, NAMED)),
    (rb"CDF[\x01\x02]", Form(NETCDF_3, NAMED)),
    (
        rb"CDF\x05",
        Form(
            "CDF-5 (NetCDF-3 with 64-bit data)",
            "convert it with `nccopy -k nc4 {name} converted.nc`, and set `path` to that",
        ),
    ),
    (rb"(?:II[*+]\x00|MM\x00[*+])", Form(TIFF, NAMED)),
    (
        rb"\x0e\x03\x13\x01",
        Form("HDF4", "convert it with `h4toh5` or `gdal_translate`, and set `path` to that"),
    ),
    (
        rb"GRIB",
        Form(
            "GRIB", "convert it with `cdo -f nc4 copy {name} converted.nc`, and set `path` to that"
        ),
    ),
    (rb"BUFR", Form("BUFR", "convert it to NetCDF, and set `path` to that")),
    (rb"\x1f\x8b", Form("packed with gzip", _unpack("gzip -dc {name} > unpacked{end}"))),
    (rb"\x1f[\x9d\xa0]", Form("packed with compress", _unpack("gzip -dc {name} > unpacked{end}"))),
    (rb"BZh[1-9]", Form("packed with bzip2", _unpack("bzip2 -dc {name} > unpacked{end}"))),
    (rb"\xfd7zXZ\x00", Form("packed with xz", _unpack("xz -dc {name} > unpacked{end}"))),
    (rb"\x28\xb5\x2f\xfd", Form("packed with zstd", _unpack("zstd -dc {name} > unpacked{end}"))),
    (rb"\x04\x22\x4d\x18", Form("packed with lz4", _unpack("lz4 -dc {name} > unpacked{end}"))),
    (
        rb"PK(?:\x03\x04|\x05\x06|\x07\x08)",
        Form("a ZIP archive", _unpack("unzip {name} -d unpacked")),
    ),
    (rb"7z\xbc\xaf\x27\x1c", Form("a 7z archive", _unpack("7z x {name}"))),
    (rb"Rar!\x1a\x07", Form("a RAR archive", _unpack("unrar x {name}"))),
    (rb"(?s:.{257})ustar", Form("a tar archive", _unpack("tar -xf {name}"))),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        Form("a pointer of Git LFS, not the file itself", "get the file with `git lfs pull`"),
    ),
    (
        rb"(?:\.\./)*(?:\.git/annex|/annex)/objects/",
        Form("a pointer of git-annex, not the file itself", "get the file with `git annex get`"),
    ),
    (
        rb"(?:\xef\xbb\xbf)?\s*(?:<!--(?s:.*?)-->\s*)*(?:<\?xml[^>]*>\s*)?"
        rb"(?i:<!doctype html|<html|<head|<script|<title)",
        Form("a web page (HTML)", LOGIN),
    ),
    (rb"(?:\xef\xbb\xbf)?\s*<", Form("an XML document, such as the error of a server", LOGIN)),
    (
        rb"(?:\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[]",
        Form(
            "a JSON document",
            "set `path` to the file that is meant; the name of "
            "references ends in .json or .parquet",
        ),
    ),
    (rb"%PDF-", Form("a PDF document", NAMED)),
    (rb"\x89PNG\r\n\x1a\n", Form("a PNG picture, which has no coordinates", "get the data file")),
    (rb"\xff\xd8\xff", Form("a JPEG picture, which has no coordinates", "get the data file")),
    (
        rb"(?i:ncols\s)",
        Form("an ASCII grid", "convert it with `gdal_translate -of GTiff {name} converted.tif`"),
    ),
    (
        rb"PAR1",
        Form(
            "a Parquet file",
            "set `path` to the folder of references that it is part of, if it is one",
        ),
    ),
    (rb"SIMPLE  =", Form("FITS", "convert it to GeoTIFF, and set `path` to that")),
    (
        rb"\x00+\Z",
        Form("zeros from its beginning on", f"a download or copy of it broke off: {AGAIN}"),
    ),
)
"""Formats by the bytes that they begin with, the first that matches."""


def form_of(head: bytes) -> Form:
    """The format of a file that begins with these bytes: `HEAD` of them, or all that there are."""
    if not head:
        return Form("empty", f"a download or copy of it broke off, or the disk was full: {AGAIN}")
    for mark, form in FORMS:
        if re.match(mark, head):
            return form
    if _is_text(head):
        line = head.decode(errors="replace").strip().splitlines() or [""]
        return Form(
            f"a text ({line[0][:60]!r})", "look at it: it may be the message of a server; " + AGAIN
        )
    return Form(f"no format that luray knows (it begins with {head[:8]!r})", AGAIN)


def _is_text(head: bytes) -> bool:
    """True for bytes that are letters, signs and line ends only."""
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]", head)
