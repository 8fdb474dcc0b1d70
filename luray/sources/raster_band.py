"""A band of a GeoTIFF."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RasterBand:
    """One band of data, as the file describes it."""

    number: int
    """Counted from 1."""
    dtype: str
    nodata: float | None
    description: str
    units: str
    masked: bool
    """Whether a mask inside or beside the file says which cells are missing."""
    scale: float = 1.0
    offset: float = 0.0
    """Packing: a value is the stored number times `scale`, plus `offset`."""
