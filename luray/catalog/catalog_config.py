"""Where the STAC catalog of a run's inputs is."""

from pathlib import Path

from luray.core.config import Config
from luray.storage.places import Place, is_local, public


class CatalogConfig(Config):
    """The STAC catalog of a run's inputs: a `catalog.json` on any store, or the URL of an API."""

    url: Place
    role: str = "data"
    """Role of the assets that are read; empty for all."""

    @property
    def place(self) -> str:
        """Where reading begins: an absolute path or a URL."""
        url = str(Path(self.url).resolve()) if is_local(self.url) else self.url
        whole = public(url).endswith(".json") or url.startswith(("http://", "https://"))
        return url if whole else f"{url.rstrip('/')}/catalog.json"

    @property
    def root(self) -> str:
        """The folder of a static catalog, or an API: below it lies what the catalog may name."""
        place = public(self.place)
        folder = place.rsplit("/", 1)[0] if place.endswith(".json") else place.rstrip("/")
        return f"{folder}/"
