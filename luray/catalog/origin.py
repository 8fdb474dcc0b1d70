"""Version, place and provenance, which every STAC object of a product has.

These are the extensions version, processing and projection.
"""

from typing import Any

import pystac
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.version import CollectionVersionExtension, ItemVersionExtension

from luray.catalog.finished import FinishedProduct
from luray.core.grid import Grid

PROCESSING = "https://stac-extensions.github.io/processing/v1.1.0/schema.json"
"""Schema of the processing extension, which pystac has no class for."""

LEVEL = "L4"
"""Processing level of what a model makes of observations."""


def add_version(thing: pystac.Item | pystac.Collection, version: str) -> None:
    """Add the version extension, where a version is known."""
    if not version:
        return
    if isinstance(thing, pystac.Item):
        ItemVersionExtension.ext(thing, add_if_missing=True).apply(version=version)
    else:
        CollectionVersionExtension.ext(thing, add_if_missing=True).apply(version=version)


def add_processing(item: pystac.Item, product: FinishedProduct) -> None:
    """Add the processing extension: by which software, from which inputs, with which weights."""
    provenance = product.provenance
    item.stac_extensions.append(PROCESSING)
    item.properties["processing:level"] = LEVEL
    item.properties["processing:lineage"] = lineage(product)
    if "software" in provenance:
        software = provenance["software"]
        item.properties["processing:software"] = {software["name"]: software["version"]}
        item.properties["luray:code_sha256"] = software["sha256"]
    weights = {m["direction"]: m["weights_sha256"] for m in provenance.get("models", ())}
    if weights:
        item.properties["luray:weights_sha256"] = weights


def lineage(product: FinishedProduct) -> str:
    """Say in CommonMark which inputs a product was made of, and by which rules."""
    walk = "year by year" if product.time.per_year == 1 else "step by step"
    maps = product.time.adjective.capitalize()
    lines = [f"{maps} maps by a U-Net that walks {walk} from observed maps."]
    for source in product.provenance.get("inputs", ()):
        rules = "; ".join([*source["rules"], *_held(source)])
        if not rules:
            lines.append(f"- {source['title']}")
            continue

        n_files = len(source["files"])
        plural = "s" if n_files > 1 else ""
        files = f" ({n_files} file{plural})" if n_files else ""
        lines.append(f"- {source['title']}{files}: {rules}")
    return "\n".join(lines)


def _held(source: dict[str, Any]) -> list[str]:
    """Say which years have the values of another one."""
    held: dict[str, str] = source["held_years"]
    return [f"{years} have the values of {year}" for year, years in held.items()]


def add_projection(item: pystac.Item, grid: Grid) -> None:
    """Add the projection extension: the grid of the maps, in degrees on WGS 84."""
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    projection.apply(
        code="EPSG:4326",
        shape=list(grid.shape),
        transform=[grid.step, 0.0, grid.west, 0.0, -grid.step, grid.north],
    )
