"""A run on S3 and on GCS, inputs and outputs, is that on the local disk to the byte."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pystac
import pytest

from luray.catalog.stac import StoreIO
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import demo_run, write_sandbox
from tests.distributed.all_stages import OPTIONS
from tests.gcs import GcsBucket
from tests.s3 import Bucket

SECRET = "planted/8ghQ+secretSECRETsecret"
STORES = ["s3", "gs"]
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Runs:
    """What the same run left on the disk and on the stores, and what it printed there."""

    local: Path
    outputs: dict[str, str]
    objects: dict[str, dict[str, bytes]]
    """Every object below the output on each store, by its key."""
    printed: str

    def said(self, store: str) -> list[tuple[str, int, str]]:
        """Command, exit code and what was printed of each command."""
        parts = re.split(r"== (\S+) ([\w -]+) exit (\d), \S+ s\n", self.printed)
        found = zip(parts[1::4], parts[2::4], parts[3::4], parts[0::4], strict=False)
        return [
            (verb, int(code), text)
            for output, verb, code, text in found
            if output == self.outputs[store]
        ]


@pytest.fixture(scope="module")
def runs(s3: Bucket, gcs: GcsBucket, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The three runs, in one process that has the endpoints from the run files only."""
    root = tmp_path_factory.mktemp("stores")
    world = write_sandbox(
        root / "world", SandboxConfig(height=100, width=150, first_map=2000, last_map=2006)
    )
    files = {
        "s3": fsspec.filesystem("s3", endpoint_url=s3.endpoint, skip_instance_cache=True),
        "gs": gcs.files,
    }
    places = {"local": str(root / "local"), "s3": f"{s3.url}/stores", "gs": f"{gcs.url}/stores"}
    storage = (
        f'[storage.s3]\nendpoint_url = "{s3.endpoint}"\n'
        f'[storage.gs]\nendpoint_url = "{gcs.endpoint}"\nanonymous = true\n'
    )
    for name, place in places.items():
        text = demo_run().read_text().replace('"build/demo/world', f'"{place}/world')
        (root / f"{name}.toml").write_text(
            f"{text.replace('build/demo', f'{place}/run')}\n{storage}"
        )
    done = python(
        "tests.distributed.all_stages", str(world), *(str(root / f"{name}.toml") for name in places)
    )
    assert done.returncode == 0, done.stderr + done.stdout
    outputs = {name: f"{place}/run" for name, place in places.items()}
    objects = {name: everything(fs, outputs[name].split("://")[1]) for name, fs in files.items()}
    return Runs(root / "local/run", outputs, objects, done.stdout + done.stderr)


def python(*command: str) -> subprocess.CompletedProcess[str]:
    """A module in a process that has a secret key and no endpoint in its environment."""
    removed = ("LURAY_STORAGE", "AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST")
    env = {k: v for k, v in os.environ.items() if k not in removed} | {
        "AWS_SECRET_ACCESS_KEY": SECRET
    }
    return subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT, env=env
    )


def everything(fs: Any, folder: str) -> dict[str, bytes]:
    """Every object, one after another: hundreds at once can leave a small server waiting for
    itself.
    """
    return {path.removeprefix(f"{folder}/"): fs.cat_file(path) for path in fs.find(folder)}


@pytest.mark.parametrize("store", STORES)
def test_models_product_pictures_and_cube_are_those_of_the_local_run(
    runs: Runs, store: str
) -> None:
    stored = runs.objects[store]
    expected = {
        p.relative_to(runs.local).as_posix(): p for p in runs.local.rglob("*") if p.is_file()
    }

    def named(
        keys: Any,
    ) -> set[str]:  # without the fingerprints of the run, which know its inputs by their place
        return {re.sub(r"/[0-9a-f]{16}\b", "/", key) for key in keys}

    assert named(stored) == named(expected)
    data = [
        key
        for key in stored
        if "/c/" in key or key.endswith((".safetensors", ".png", ".mp4", ".csv"))
    ]
    assert {key.split("/")[0] for key in data} >= {
        "cube.zarr",
        "product.zarr",
        "model",
        "pictures",
        "report",
    }
    different = [key for key in data if stored[key] != expected[key].read_bytes()]
    cards = [key for key in stored if key.endswith("card.json")]
    computed_by = {
        key: [json.loads(card)["training"]["computed_by"] for card in (stored[key], local)]
        for key in cards
        for local in [expected[key].read_bytes()]
    }
    assert different == [], f"workers and threads there and here: {computed_by}"


@pytest.mark.parametrize("store", STORES)
def test_every_command_does_its_part_and_a_second_inference_nothing(runs: Runs, store: str) -> None:
    said = runs.said(store)
    assert [(verb, code) for verb, code, _ in said] == [
        ("build", 0),
        ("train", 0),
        ("infer", 0),
        ("infer", 0),
        ("evaluate", 0),
        ("plot", 0),
        ("publish", 0),
        ("verify", 0),
        ("verify", 1),
        ("verify --repair", 1),
        ("infer", 0),
        ("verify", 0),
        ("publish", 0),
    ]
    steps = [re.findall(r"infer: (\d+)/14", text) for verb, _, text in said if verb == "infer"]
    assert (steps[0][0], steps[1], steps[2][0]) == ("0", ["14"], "11"), (
        "all, nothing, and what was withdrawn"
    )
    assert f"== {runs.outputs[store]} interrupted, goes on after step 2" in runs.printed


def test_damage_is_named_on_every_store(runs: Runs) -> None:
    errors = re.findall(r"damaged: year (\d+), tile (\S+)", runs.printed)
    assert errors == [("2001", "0.0"), ("2003", "0.0"), ("2005", "0.0")] * 4, (
        "three shards, twice, on two stores"
    )


@pytest.mark.parametrize("store", STORES)
def test_the_published_catalog_leads_to_the_product_on_its_store(runs: Runs, store: str) -> None:
    catalog = pystac.Catalog.from_file(
        f"{runs.outputs[store]}/stac/catalog.json", stac_io=StoreIO()
    )
    [item] = [i for i in catalog.get_items(recursive=True) if "data" in i.assets]
    href = item.assets["data"].get_absolute_href()
    assert href == f"{runs.outputs[store]}/product.zarr"
    for key in ("thumbnail", "overview", "animation", "report"):
        assert (
            item.assets[key].get_absolute_href().removeprefix(f"{runs.outputs[store]}/")
            in runs.objects[store]
        ), key
    assert f"predictor cube: {runs.outputs[store]}/cube.zarr" in runs.printed


def test_no_secret_is_printed_or_stored(runs: Runs) -> None:
    assert SECRET not in runs.printed
    for store in STORES:
        assert [key for key, data in runs.objects[store].items() if SECRET.encode() in data] == []
    assert [
        p for p in runs.local.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()
    ] == []


def test_a_command_that_is_not_let_in_names_the_place_and_deletes_nothing(
    runs: Runs, s3: Bucket
) -> None:
    file, before = str(runs.local.parents[1] / "s3.toml"), s3.keys()
    with s3.locked():
        done = python("luray.cli", "verify", file, "--repair", *OPTIONS)
    assert done.returncode == 1
    # verification begins with what was published
    place = f"{runs.outputs['s3']}/publication.sha256"
    assert done.stderr.startswith(f"error: {place}: Forbidden; credentials come from the env")
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert s3.keys() == before
