"""A training sample by name: a window and its years, a few bytes that travel instead of arrays."""

from typing import NamedTuple

from luray.core.tiling import Box


class SampleWindow(NamedTuple):
    """A window, and consecutive years in the direction of travel."""

    box: Box
    """It may lie off the window lattice, and reach past the grid."""
    years: tuple[int, ...]
    """First the year of the prior, then those that are predicted."""
    symmetry: int = 0
    """Which symmetry of a square the window is seen in, 0 to 7; see `sample_reader.unturned`."""
    older_years: tuple[int | None, ...] = ()
    """Years of the maps that are remembered beside the prior, newest first; None where no map is.
    """
