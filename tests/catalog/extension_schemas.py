"""Validation of STAC against its schemas and those of its extensions, without a network."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pystac.validation import validate_dict
from pystac.validation.stac_validator import JsonSchemaSTACValidator

SCHEMAS = Path(__file__).parent / "schemas"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
SITE = "https://stac-extensions.github.io"

PROJJSON = [f"https://proj.org/schemas/v0.{minor}/projjson.schema.json" for minor in (4, 7)]
"""Named by schemas for keys that luray does not write."""


@cache
def validator() -> JsonSchemaSTACValidator:
    """A validator that knows the core schemas and those in `schemas`."""
    known = JsonSchemaSTACValidator()
    for path in SCHEMAS.glob("*.json"):
        name, _, version = path.stem.rpartition("-")
        known.schema_cache[f"{SITE}/{name}/{version}/schema.json"] = json.loads(path.read_text())
    # The schema of mlm names this version for the form of a class, which is the same in both.
    newer = known.schema_cache[f"{SITE}/classification/v2.0.0/schema.json"]
    known.schema_cache[f"{SITE}/classification/v1.1.0/schema.json"] = newer
    for address in PROJJSON:
        known.schema_cache[address] = {"$schema": DRAFT_7, "not": {}}
    return known


def validate(document: dict[str, Any]) -> None:
    """Raise unless a document fits the core and every extension that it declares."""
    used = {key.partition(":")[0] for key in _keys(document) if ":" in key}
    declared = {address.split("/")[3] for address in document.get("stac_extensions", ())}
    prefixes = {"cube": "datacube", "proj": "projection", "sci": "scientific"}
    prefixes |= {"xarray": "xarray-assets"}
    lacking = {prefixes.get(prefix, prefix) for prefix in used} - declared - {"luray"}
    assert not lacking, f"{document['id']} uses {lacking} and does not declare it"
    validate_dict(document, validator=validator())


def _keys(node: Any) -> set[str]:
    """All keys of objects, however deep."""
    if isinstance(node, list):
        return set().union(*map(_keys, node)) if node else set()
    if isinstance(node, dict):
        return set(node).union(*map(_keys, node.values()))
    return set()
