"""Inputs from STAC: the assets of a collection, in a static catalog or an API."""


from luray.schema import Config
from luray.sources.base import Asset


class CatalogConfig(Config):
    """The STAC catalog of a run's inputs: a `catalog.json` on any store, or the address of a STAC API."""

    url: str
    role: str = "data"
    """Role of the assets that are read."""


def find_assets(catalog: CatalogConfig, collection: str, *, years: range | None = None) -> tuple[Asset, ...]:
    """Assets of a collection that hold any of `years` (all when None), by name."""
    raise NotImplementedError
