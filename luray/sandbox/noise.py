"""Smooth random fields, from which the simulated world gets its relief, climate and soils."""

import numpy as np
from scipy import fft

from luray.core.types import F32


def fractal(
    shape: tuple[int, int], rng: np.random.Generator, *, roughness: float, scale: float
) -> F32:
    """Return noise with a power-law spectrum, zero mean and unit spread.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the field.
    rng : numpy.random.Generator
        Gives one normal number for every cell of a larger square.
    roughness : float
        Power falls with frequency to the power of this: 2 is rugged, 4 is smooth.
    scale : float
        Longest wavelength as a share of the longer side of the field.

    Returns
    -------
    array of float32, shape `shape`
    """
    # Noise made with a Fourier transform is periodic: what is east of the last column is the first
    # column. Cut from a square 1.3 times as wide, opposite edges of the field differ.
    longer_side = max(shape)
    side = fft.next_fast_len(int(1.3 * longer_side), real=True)

    cycles_per_cell = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None])
    cycles_per_wave = cycles_per_cell * longer_side * scale
    power = (1 + cycles_per_wave**2) ** (-roughness / 2)
    power[0, 0] = 0  # the constant part, so that the mean is zero

    white = fft.rfft2(rng.standard_normal((side, side), np.float32))
    torus = fft.irfft2(white * np.sqrt(power).astype(np.float32), s=(side, side))
    field = torus[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / field.std(), np.float32)
