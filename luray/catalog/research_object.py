"""The RO-Crate of a run: one JSON file that makes its output folder a research object.

A repository (Zenodo, PANGAEA) takes the folder as it is: `ro-crate-metadata.json` at its top says
what each part is, from which inputs it was made, by which software and run file, and under which
licences. The format is RO-Crate 1.1 (https://w3id.org/ro/crate/1.1).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from luray.catalog.collection import DataSet, keywords_of, licence_of
from luray.catalog.finished import FinishedProduct
from luray.catalog.items import ZARR
from luray.catalog.origin import lineage
from luray.catalog.publish_config import CRATE
from luray.storage.objects import read_object, write_atomically

RO_CRATE = "1.1"
"""Version of the format: the newest that repositories read."""

SOFTWARE = "#luray"
INFERENCE = "#inference"
"""Ids of the software and of the action that made the product."""


class Part(NamedTuple):
    """A file or folder of the output; a folder's path ends in a slash."""

    path: str
    name: str
    media_type: str = ""
    sha256: str = ""
    """Empty where it is not known."""


def write_crate(
    folder: str,
    product: FinishedProduct,
    *,
    product_path: str,
    title: str,
    description: str,
    sources: Sequence[DataSet],
    parts: Sequence[Part],
    used: Sequence[str] = (),
) -> str:
    """Write the metadata of an output folder, replacing an earlier one.

    Parameters
    ----------
    folder : str
        The folder, a path or URL.
    product : FinishedProduct
        The product in it.
    product_path : str
        Of the product, as seen from the folder.
    title, description : str
        For readers.
    sources : sequence of DataSet
        What the product is made of.
    parts : sequence of Part
        What else the folder holds.
    used : sequence of str
        Paths of those parts that the product was made with.

    Returns
    -------
    str
        Place of the file.
    """
    place = f"{folder.rstrip('/')}/{CRATE}"
    crate = ROCrate(version=RO_CRATE)
    crate.name = title
    crate.description = description
    crate.datePublished = _date_published(place, product.version)
    crate.license = _licence(crate, sources)
    crate.keywords = keywords_of(product)
    first, last = map(product.time.label, (product.years[0], product.years[-1]))
    root = crate.root_dataset
    root["version"] = product.version
    root["temporalCoverage"] = f"{first}/{last}"
    root["spatialCoverage"] = crate.add(_place(crate, product))
    root["abstract"] = lineage(product)

    made = crate.add_dataset(
        dest_path=product_path,
        properties={
            "name": f"{product.legend.title} by {product.time.each}",
            "encodingFormat": ZARR,
            "variableMeasured": product.names,
        },
    )
    files = {part.path: _add_part(crate, part) for part in parts}
    inputs = _add_inputs(crate, product.provenance, sources)
    root["isBasedOn"] = inputs
    crate.add_action(
        _software(crate, product.provenance),
        identifier=INFERENCE,
        object=[*inputs, *(files[path] for path in used)],
        result=made,
        properties={"name": "Inference year by year"},
    )
    document = json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False)
    write_atomically(place, document.encode())
    return place


def _date_published(place: str, version: str) -> str:
    """Return the day on which this version was published first: publishing again changes nothing.

    That is what the earlier file says, or today.
    """
    try:
        graph = json.loads(read_object(place) or b"{}").get("@graph", [])
    except ValueError:  # cut or of another program
        graph = []
    for entity in graph:
        if entity.get("@id") == "./" and entity.get("version") == version:
            return str(entity["datePublished"])
    return datetime.now(UTC).date().isoformat()


def _licence(crate: ROCrate, sources: Sequence[DataSet]) -> Any:
    """Return the licence that all inputs share, or words that say that there are several."""
    licence = licence_of(sources)
    if licence == "other":
        stated = sorted({source.get("licence") or "not stated" for source in sources})
        place = "#licence"
        name = f"Those of the inputs: {', '.join(stated)}"
    else:
        place = f"https://spdx.org/licenses/{licence}.html"
        name = licence
    entity = ContextEntity(crate, place, properties={"@type": "CreativeWork", "name": name})
    return crate.add(entity)


def _place(crate: ROCrate, product: FinishedProduct) -> ContextEntity:
    """Return the bounding box of the product; schema.org wants south, west, north, east."""
    west, south, east, north = product.bbox
    shape = ContextEntity(
        crate,
        "#bbox",
        properties={"@type": "GeoShape", "box": f"{south} {west} {north} {east}"},
    )
    properties = {"@type": "Place", "name": "Grid of the maps", "geo": crate.add(shape)}
    return ContextEntity(crate, "#place", properties=properties)


def _add_part(crate: ROCrate, part: Part) -> Any:
    """Add a file or folder of the output."""
    properties = {"name": part.name}
    if part.media_type:
        properties["encodingFormat"] = part.media_type
    if part.sha256:
        properties["sha256"] = part.sha256
    if part.path.endswith("/"):
        return crate.add_dataset(dest_path=part.path.rstrip("/"), properties=properties)
    return crate.add_file(dest_path=part.path, properties=properties)


def _add_inputs(
    crate: ROCrate, provenance: Mapping[str, Any], sources: Sequence[DataSet]
) -> list[Any]:
    """Add the inputs: with rules and the hash of each file, where the product says them."""
    if "inputs" not in provenance:
        return [_add_input(crate, f"input-{i}", source) for i, source in enumerate(sources)]
    inputs = []
    for source in provenance["inputs"]:
        entity = _add_input(crate, source["name"], source)
        if source["rules"]:
            entity["description"] = "; ".join(source["rules"])
        files = []
        for name, identity in source["files"].items():
            files.append(crate.add(_input_file(crate, source["name"], name, identity)))
        if files:
            entity["hasPart"] = files
        inputs.append(entity)
    return inputs


def _add_input(crate: ROCrate, name: str, source: DataSet) -> Any:
    """Add an input by its DOI; one without has an id of this file."""
    doi = source.get("doi")
    properties: dict[str, Any] = {"@type": "Dataset", "name": source["title"]}
    if source.get("licence"):
        properties["license"] = source["licence"]
    if doi:
        properties["identifier"] = f"https://doi.org/{doi}"
    return crate.add(ContextEntity(crate, f"#{name}", properties=properties))


def _input_file(crate: ROCrate, source: str, name: str, identity: str) -> ContextEntity:
    """Return a file of an input, with what tells it from another.

    RO-Crate calls a file only what is in the folder, which this is not.
    """
    properties = {"@type": "CreativeWork", "name": name, "identifier": identity}
    return ContextEntity(crate, f"#{source}/{quote(name)}", properties=properties)


def _software(crate: ROCrate, provenance: Mapping[str, Any]) -> Any:
    """Add luray, with version and hash where the product says them."""
    properties: dict[str, Any] = {"@type": "SoftwareApplication", "name": "luray"}
    software = provenance.get("software")
    if software:
        properties["softwareVersion"] = software["version"]
        properties["identifier"] = f"sha256:{software['sha256']}"
    return crate.add(ContextEntity(crate, SOFTWARE, properties=properties))
