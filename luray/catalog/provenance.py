"""Provenance of a product: inputs with hashes, rules, run file, code, weights.

It is collected when a product is created, stored in its attributes, and repeated by the catalog and
the RO-Crate. Nothing of it depends on the machine: the same run gives the same bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import zarr

from luray.core.code_version import code_sha256, version
from luray.cube.cube import Cube
from luray.cube.input_files import shared_names
from luray.model.card import ModelCard
from luray.sources.years import format_years
from luray.storage.objects import accessing
from luray.storage.places import is_local, without_secrets

INPUTS = "${LURAY_INPUTS}"
"""Stands in a published run file for the folders of its inputs."""
OUTPUT = "${LURAY_OUTPUT}"
"""Stands in a published run file for the folder of its output."""


def provenance_of(cube: Cube, run: Mapping[str, Any], cards: Iterable[ModelCard]) -> dict[str, Any]:
    """Describe what a product is made of and by, as JSON.

    Parameters
    ----------
    cube : Cube
        The predictor cube; its groups say which files were read, and what was done to them.
    run : mapping
        The tables of the run file.
    cards : iterable of ModelCard
        One for each direction of travel.

    Returns
    -------
    dict
        `software` (version and sha256 of its modules), `run` (see `published_run`), `cube` (its
        fingerprint), `inputs` (title, DOI, licence, rules, held years, and the hash of each file)
        and `models` (direction, fingerprint and sha256 of the weights).
    """
    models = [
        {
            "direction": card.direction,
            "fingerprint": card.fingerprint,
            "weights_sha256": card.weights_sha256,
        }
        for card in cards
    ]
    return {
        "software": {
            "name": "luray",
            "version": version(),
            "sha256": code_sha256(),
        },
        "run": published_run(run),
        "cube": cube.fingerprint,
        "inputs": _inputs(cube.url),
        "models": models,
    }


def _inputs(cube_url: str) -> list[dict[str, Any]]:
    """Describe the sources of a cube, in the order of their names."""
    with accessing(cube_url):
        root = zarr.open_group(cube_url, mode="r", zarr_format=3)
    about: Any = root.attrs["luray"]
    inputs = []
    for name, path in sorted(about["groups"].items()):
        attributes: Any = dict(root[path].attrs)
        files = dict(attributes["files"])
        # The further scenarios of a source read files of their own.
        for parts in about.get("parts", {}).values():
            for part in parts:
                if part.partition("@")[0] == path:
                    part_attributes: Any = root[part].attrs
                    files |= part_attributes["files"]
        names = shared_names(files)
        inputs.append(
            {
                "name": name,
                **{key: attributes[key] for key in ("title", "doi", "licence", "caveat")},
                "rules": list(attributes["rules"]),
                "held_years": _held_years(attributes["luray"]["held"]),
                "files": {names[place]: identity for place, identity in files.items()},
            }
        )
    return inputs


def _held_years(held: Iterable[tuple[int, int]]) -> dict[str, str]:
    """Return the years that have the values of another year, by that year."""
    years: dict[int, list[int]] = {}
    for year, value_year in held:
        years.setdefault(value_year, []).append(year)
    return {str(value_year): format_years(holding) for value_year, holding in years.items()}


def published_run(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a run file without the places and secrets of this machine.

    Local folders become `${LURAY_INPUTS}/name`, the output `${LURAY_OUTPUT}/name`; addresses lose
    logins and signatures. Who sets the two variables can run it.

    Parameters
    ----------
    tree : mapping
        The tables of a run file, as JSON.

    Examples
    --------
    >>> published_run({"output": "/home/me/runs/crete", "sources": [{"path": "/data/luh2"}]})
    {'output': '${LURAY_OUTPUT}/crete', 'sources': [{'path': '${LURAY_INPUTS}/luh2'}]}
    """
    published: dict[str, Any] = {}
    for key, value in tree.items():
        published[key] = _published(value)
    if "output" in tree:
        published["output"] = f"{OUTPUT}/{_last_name(tree['output'])}"
    return published


def _published(node: Any) -> Any:
    """Return a node of a tree with its places as `published_run` says."""
    if isinstance(node, Mapping):
        return {key: _published(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_published(value) for value in node]
    if not isinstance(node, str):
        return node
    if is_local(node) and node.removeprefix("file://").startswith("/"):
        return f"{INPUTS}/{_last_name(node)}"
    return without_secrets(node)


def _last_name(place: str) -> str:
    return place.rstrip("/").rsplit("/", 1)[-1]
