"""Configuration of what a run publishes beside its product and the catalog."""

from luray.core.config import Config

CRATE = "ro-crate-metadata.json"
"""Name of the file that makes a folder an RO-Crate, as that format has it."""


class PublishConfig(Config):
    """What is published beside the product and its catalog."""

    cogs: bool = False
    """Write a cloud-optimised GeoTIFF of every map, for tools that do not read Zarr, each with a
    STAC item of its own. They take about the room of the maps once more.
    """
