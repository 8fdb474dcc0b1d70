"""The cube of inputs on S3, found in a STAC API and read through kerchunk references, is that of
the local files.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pystac
import zarr

from luray.catalog.virtualize import virtualize
from luray.sandbox.write import demo_run
from luray.storage.objects import configure, read_object
from luray.storage.references import load_references
from luray.storage.trust import StorageConfig, configured
from tests.distributed.conftest import SETTINGS, Place
from tests.s3 import Bucket
from tests.stac_api import serve_stac

CATALOGS = Path(__file__).parents[2] / "catalogs"
COLLECTIONS = {
    "hilda": "hilda",
    "luh2": "luh2",
    "isimip": "isimip-population",
    "koppen": "koppen-geiger",
    "gebco": "gebco",
    "pnnl": "pnnl",
}
"""Folder of the sandbox, and the collection that describes it."""


def test_a_cube_of_references_on_s3_found_in_an_api_is_that_of_local_files(
    place: Place, s3: Bucket, tmp_path: Path
) -> None:
    for path in sorted(place.world.rglob("*")):
        if path.is_file() and path.relative_to(place.world).parts[0] in COLLECTIONS:
            s3.put(f"cube/inputs/{path.relative_to(place.world)}", path.read_bytes())
    for folder, name in COLLECTIONS.items():
        virtualize(
            [f"{s3.url}/cube/inputs/{folder}"],
            collection=str(CATALOGS / name / "collection.json"),
            output=f"{s3.url}/cube/stac",
        )
    spoil_other_years(s3)
    items, collections = catalogued(s3)
    with serve_stac(tmp_path, items, collections) as api:
        kinds = ("hilda", "luh2", "isimip", "koppen", "gebco", "pnnl", "pnnl")
        sources = [
            f
            for i, kind in enumerate(kinds)
            for f in (f"sources.{i}.path=", f"sources.{i}.collection={COLLECTIONS[kind]}")
        ]
        settings = [
            *SETTINGS,
            *sources,
            f"catalog.url={api}",
            f"output={tmp_path}/run",
            f'storage.allow=["{s3.url}/"]',
            f"storage.s3.endpoint_url={s3.endpoint}",
        ]
        luray_build(settings)
    expected, built = (
        zarr.open_group(place.cube, mode="r"),
        zarr.open_group(f"{tmp_path}/run/cube.zarr", mode="r"),
    )
    arrays = {
        path: node
        for path, node in expected.members(max_depth=None)
        if isinstance(node, zarr.Array)
    }
    assert {
        path for path, node in built.members(max_depth=None) if isinstance(node, zarr.Array)
    } == set(arrays)
    assert any("luh2" in path for path in arrays)
    for path, array in arrays.items():
        np.testing.assert_array_equal(array[...], built[path][...], err_msg=path, strict=True)
        assert dict(array.attrs) == dict(built[path].attrs), path


def spoil_other_years(s3: Bucket) -> None:
    """Overwrite on S3 every chunk of LUH2 before the run's years, and the variables that are no
    area: who reads more than the run needs cannot decode what it reads.
    """
    before = configured()
    configure(StorageConfig(allow=(f"{s3.url}/cube/inputs/",)))
    try:
        parts = load_references(f"{s3.url}/cube/stac/luh2/states/states.nc.parquet").parts
    finally:
        configure(before)
    data, spoilt = bytearray(s3.get("cube/inputs/luh2/states.nc")), 0
    for key, part in parts.items():
        name, _, index = key.rpartition("/")
        if isinstance(part, bytes) or index.count(".") != 2:
            continue
        if name in ("secma", "secmb") or int(index.split(".")[0]) + 850 < 1996:
            _, offset, length = part
            data[offset : offset + length] = b"\xff" * length
            spoilt += 1
    assert spoilt > 12 * 1100
    s3.put("cube/inputs/luh2/states.nc", bytes(data))


def catalogued(s3: Bucket) -> tuple[list[dict], list[dict]]:
    """Items and collections of the static catalog on S3, as an API would hold them: with absolute
    addresses.
    """
    stored = s3.keys()
    keys = [key for key in stored if key.startswith("cube/stac/") and key.endswith(".json")]
    documents = {
        key: json.loads(read_object(f"{s3.url}/{key}"))
        for key in keys
        if not key.endswith("catalog.json")
    }
    collections = [d for d in documents.values() if d["type"] == "Collection"]
    items = [d for d in documents.values() if d["type"] == "Feature"]
    for key, item in documents.items():
        for asset in item.get("assets", {}).values():
            asset["href"] = pystac.utils.make_absolute_href(asset["href"], f"{s3.url}/{key}")
        item["links"] = []
    assert {c["id"] for c in collections} == set(COLLECTIONS.values())
    return items, collections


def luray_build(settings: list[str]) -> None:
    """`luray build` with a cluster of its own, whose workers have the environment of this test."""
    command = [sys.executable, "-m", "luray.cli", "build", str(demo_run())]
    done = subprocess.run(
        [*command, *(a for s in settings for a in ("--set", s))],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "LURAY_STORAGE"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
