"""The emulator: land use of a region, year by year, while another model runs."""

from luray.emulator.config import EmulatorConfig
from luray.emulator.land_surface import LandSurface

__all__ = ["EmulatorConfig", "LandSurface"]
