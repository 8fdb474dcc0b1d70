"""Foreign bytes, mutated: every parser gives a value or an error that names the place.

A case is a valid document with a few random edits: of its bytes, or of the tree that it is.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.read import find_assets
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.model.card import ModelCard
from luray.model.checkpoint import load_model, save_model
from luray.model.operating_point import NO_CALIBRATION
from luray.model.unet_config import UNetConfig
from luray.sandbox.write import demo_run
from luray.sources.netcdf import inspect_netcdf
from luray.sources.raster import inspect_raster
from luray.stages.run_file import load_run
from luray.storage.checksums import Checksums
from luray.storage.lease import Lease
from luray.storage.receipts import Ledger
from luray.storage.references import load_references
from tests.sources.writers import axes, write_nc, write_tif
from tests.worlds import FEATURES, random_model

GRID = Grid(50, 10, 1, 6, 8)
NAMED_ERRORS = (ValueError, OSError)
"""What users are shown in one line; anything else is a crash."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


class Parser(NamedTuple):
    """A reader of foreign bytes."""

    name: str
    valid: bytes
    """A document that it reads."""
    read: Callable[[Path, bytes], Any]
    """Write the bytes below a folder, and read them as luray does."""
    is_json: bool = False


@st.composite
def edited(draw: st.DrawFn, valid: bytes) -> bytes:
    """The bytes of a document with one to four edits."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        edit = draw(st.sampled_from(["flip", "insert", "delete", "cut", "fill"]))
        if edit == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif edit == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif edit == "delete":
            del data[at : at + draw(st.integers(1, 16))]
        elif edit == "cut":
            del data[at:]
        else:
            length = draw(st.integers(1, 8))
            data[at : at + length] = draw(st.sampled_from([b"\x00", b"\xff", b"\x7f"])) * length
    return bytes(data)


@st.composite
def replanted(draw: st.DrawFn, valid: bytes) -> bytes:
    """A JSON document of which one or two nodes are replaced, removed or renamed."""
    tree = json.loads(valid)
    for _ in range(draw(st.integers(1, 2))):
        nodes = list(_nodes(tree))
        if not nodes:
            break
        parent, key = draw(st.sampled_from(nodes))
        edit = draw(st.sampled_from(["replace", "remove", "rename"]))
        if edit == "replace" or isinstance(parent, list):
            parent[key] = draw(TREES)
        else:
            value = parent.pop(key)
            if edit == "rename":
                parent[draw(st.text(max_size=8))] = value
    return json.dumps(tree).encode()


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree, as its parent and key."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield tree, key
        if isinstance(value, dict | list):
            yield from _nodes(value)


def cases(parser: Parser) -> st.SearchStrategy[bytes]:
    """The strategy of a parser's documents."""
    if parser.is_json:
        return edited(parser.valid) | replanted(parser.valid)
    return edited(parser.valid)


def fuzz(parser: Parser, folder: Path, *, examples: int, seed: int | None = None) -> "Tally":
    """Read edited documents; fail on an error that is not named, or that does not name the place."""
    tally = Tally(0, 0)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(parser))
    def check(data: bytes) -> None:
        nonlocal tally
        message = ""
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                parser.read(folder, data)
        except NAMED_ERRORS as error:
            message = str(error) or repr(error)
        names = not message or parser.name.split()[0] in message or str(folder) in message
        assert names, f"an error that does not name the file: {message}"
        refused = bool(message)
        tally = Tally(tally.read + 1, tally.refused + refused)

    if seed is not None:
        from hypothesis import seed as seeded

        check = seeded(seed)(check)
    check()
    return tally


class Tally(NamedTuple):
    """Documents that were read, and how many of them were refused."""

    read: int
    refused: int


# Readers


def _run_file(folder: Path, data: bytes) -> None:
    place = folder / "run.toml"
    place.write_bytes(data)
    load_run(place)


def _receipt(folder: Path, data: bytes) -> None:
    ledger = Ledger(str(folder / "p.zarr"), "f" * 64)
    place = Path(ledger.folder) / "2001/0.0.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    assert isinstance(ledger.sha256("2001/0.0"), str)
    ledger.facts("2001/0.0")


def _lease(folder: Path, data: bytes) -> None:
    lease = Lease(str(folder / "p.zarr"))
    Path(lease.place).write_bytes(data)
    found = lease.found()
    assert found is None or isinstance(found["holder"], str)


def _checksums(folder: Path, data: bytes) -> None:
    checksums = Checksums(str(folder / "p.sha256"), str(folder / "inside"))
    Path(checksums.place).write_bytes(data)
    for name in checksums.damaged() or ():
        assert ".." not in Path(name).parts, name


def _references(folder: Path, data: bytes) -> None:
    place = folder / "references.json"
    place.write_bytes(data)
    found = load_references(str(place))
    for target in found.targets:
        assert Path(target).resolve().is_relative_to(folder.resolve()), target


def _item(folder: Path, data: bytes) -> None:
    write_catalog(folder)
    (folder / "item.json").write_bytes(data)
    assets = find_assets(CatalogConfig(url=str(folder / "catalog.json")), "inputs")
    for asset in assets:
        assert Path(asset.href).resolve().is_relative_to(folder.resolve()), asset


def _geotiff(folder: Path, data: bytes) -> None:
    place = folder / "map.tif"
    place.write_bytes(data)
    raster = inspect_raster(str(place))
    raster.read(_corner(raster.layout.grid), band=raster.bands[0].number)


def _netcdf(folder: Path, data: bytes) -> None:
    place = folder / "values.nc"
    place.write_bytes(data)
    file = inspect_netcdf(str(place))
    if "v" in file.variables:
        file.read(("v",), _corner(file.layout.grid), time=0)


def _corner(grid: Grid) -> Box:
    """A few cells of a grid."""
    return Box(0, 0, min(4, grid.n_lat), min(4, grid.n_lon))


def _weights(folder: Path, data: bytes) -> None:
    write_model(folder)
    (folder / "weights.safetensors").write_bytes(data)
    load_model(str(folder))


def _card(folder: Path, data: bytes) -> None:
    write_model(folder)
    (folder / "card.json").write_bytes(data)
    load_model(str(folder))


# Valid documents


def write_model(folder: Path) -> None:
    """Write a small model, unless it is there."""
    if not (folder / "whole").exists():
        card = ModelCard(
            "forward",
            "legend",
            (11, 22, 33, 44),
            FEATURES.names,
            UNetConfig(width=4, depth=2, history=1),
            {},
            "fingerprint",
            {},
            points={"cautious": NO_CALIBRATION, "unbiased": NO_CALIBRATION},
        )
        save_model(random_model(), card, str(folder / "whole"))
    for file in (folder / "whole").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


def write_catalog(folder: Path) -> None:
    """Write a static catalog of one collection with one item."""
    common = {"stac_version": "1.0.0", "description": "d"}
    item = {"rel": "item", "href": "./item.json"}
    child = {"rel": "child", "href": "./collection.json"}
    (folder / "catalog.json").write_text(
        json.dumps({"type": "Catalog", "id": "c", "links": [child], **common})
    )
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    collection = {"type": "Collection", "id": "inputs", "license": "x", "extent": extent}
    (folder / "collection.json").write_text(json.dumps({**collection, "links": [item], **common}))


def parsers(folder: Path) -> list[Parser]:
    """Every parser, with a valid document each, which are made in a folder."""
    folder.mkdir(exist_ok=True)
    field = np.arange(48, dtype=np.float32).reshape(6, 8)
    netcdf = write_nc(
        folder / "v.nc",
        {
            **axes(GRID),
            "time": (("time",), np.arange(2.0), {"units": "years since 2000-01-01"}),
            "v": (("time", "lat", "lon"), np.stack([field, field]), {"units": "1"}),
        },
    )
    tif = write_tif(folder / "m.tif", field.astype(np.uint8), north=50, west=10, step=1)
    write_model(folder)
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "i",
        "collection": "inputs",
        "geometry": None,
        "properties": {"datetime": "2000-01-01T00:00:00Z"},
        "links": [{"rel": "self", "href": "./item.json"}],
        "assets": {
            "data": {"href": "./values.nc", "roles": ["data"], "type": "application/netcdf"}
        },
    }
    references = {
        "version": 1,
        "refs": {
            ".zgroup": '{"zarr_format": 2}',
            "v/.zarray": {"shape": [4], "chunks": [2], "dtype": "<f4", "zarr_format": 2},
            "v/0": ["values.nc", 0, 8],
            "v/1": "base64:AAAAAAAAAAA=",
        },
    }
    lease = {**Lease("p.zarr").about}
    receipt = {"key": "2001/0.0", "sha256": "0" * 64, "facts": {"by_year": {"2001": 3}}}
    sums = Checksums(str(folder / "v.sha256"), str(folder))
    sums.write(["v.nc", "m.tif"])
    return [
        Parser("run.toml", demo_run().read_bytes(), _run_file),
        Parser("item.json of STAC", json.dumps(item).encode(), _item, is_json=True),
        Parser("references.json", json.dumps(references).encode(), _references, is_json=True),
        Parser("receipt", json.dumps(receipt).encode(), _receipt, is_json=True),
        Parser("lease", json.dumps(lease).encode(), _lease, is_json=True),
        Parser("p.sha256", (folder / "v.sha256").read_bytes(), _checksums),
        Parser("map.tif", tif.read_bytes(), _geotiff),
        Parser("values.nc", netcdf.read_bytes(), _netcdf),
        Parser("weights.safetensors", (folder / "weights.safetensors").read_bytes(), _weights),
        Parser("card.json", (folder / "card.json").read_bytes(), _card, is_json=True),
    ]
