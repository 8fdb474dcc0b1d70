"""The size of the U-Net, as a run file gives it."""

from luray.core.config import Config


class UNetConfig(Config):
    """Channels of the first level, doubled at each of `depth` halvings of the resolution."""

    width: int = 16
    depth: int = 3
