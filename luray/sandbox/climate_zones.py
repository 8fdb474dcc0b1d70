"""Koeppen-Geiger climate zones of the simulated world."""

import numpy as np

from luray.core.types import U8, Bool
from luray.sandbox.terrain import Terrain

# Numbers of the zones in the legend of Beck et al. (2018). Temperate and continental zones come in
# threes: hot, warm and cold summer.
DESERT_HOT = 4
STEPPE_HOT = 6
TEMPERATE_DRY_SUMMER = 8
TEMPERATE = 14
CONTINENTAL_DRY_SUMMER = 17
CONTINENTAL = 25
TUNDRA = 29
ICE = 30


def koeppen(terrain: Terrain, *, warming: float) -> U8:
    """Return the Koeppen-Geiger classes of a climate that is warmer than that of the terrain.

    A year is taken as a cosine whose range grows inland; summers are dry in the warm, dry part of
    the world.

    Parameters
    ----------
    terrain : Terrain
    warming : float
        K above the middle of the 20th century.

    Returns
    -------
    array of uint8, shape (lat, lon)
        Classes 1-30 of Beck et al. (2018), doi:10.1038/sdata.2018.214; 0 at sea.
    """
    mean = terrain.temperature + warming
    inland = 1 - np.exp(-terrain.coast / (0.4 * max(terrain.land.shape)))
    swing = 7.0 + 4.0 * inland
    warmest = mean + swing
    coldest = mean - swing
    dry_summer: Bool = (terrain.rain < 760) & (warmest > 18)

    # rain in mm below which it is too dry for trees: more where it falls in summer
    threshold = 20 * mean + np.where(dry_summer, 0, 140)

    month = np.arange(12) / 12 * 2 * np.pi
    monthly = mean[..., None] - swing[..., None] * np.cos(month)
    warm_months = (monthly >= 10).sum(-1)
    cool_summer = np.where(warm_months >= 4, 1, 2)
    summer = np.where(warmest >= 22, 0, cool_summer)

    temperate = np.where(dry_summer, TEMPERATE_DRY_SUMMER, TEMPERATE) + summer
    continental = np.where(dry_summer, CONTINENTAL_DRY_SUMMER, CONTINENTAL) + summer
    zone = np.where(coldest > 0, temperate, continental)

    # The later rules win: arid before temperate, polar before all.
    cold_variant = np.where(mean >= 18, 0, 1)
    arid = np.where(
        terrain.rain < threshold / 2, DESERT_HOT + cold_variant, STEPPE_HOT + cold_variant
    )
    zone = np.where(terrain.rain < threshold, arid, zone)
    polar = np.where(warmest < 0, ICE, TUNDRA)
    zone = np.where(warmest < 10, polar, zone)

    return np.where(terrain.land, zone, 0).astype(np.uint8)
