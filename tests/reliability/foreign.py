"""Everything that parses foreign bytes: how it is called, and a valid document for it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.read import find_assets
from luray.catalog.reference_writer import write_references
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
from luray.training.checkpoint import Checkpoint
from tests.sources.writers import axes, write_nc, write_tif
from tests.training.toys import recipe_of, trainer_of
from tests.worlds import FEATURES, random_model

GRID = Grid(50, 10, 1, 6, 8)
IDENTITY = {"seed": 3}
"""Of the training whose checkpoint is read."""

ZARRAY = {"shape": [4], "chunks": [2], "dtype": "<f4", "zarr_format": 2}
"""Metadata of an array of two chunks."""


class Parser(NamedTuple):
    """A reader of foreign bytes."""

    name: str
    """Its first word is in the message of every refusal."""
    valid: bytes
    """A document that it reads."""
    read: Callable[[Path, bytes], Any]
    """Write the bytes below a folder, and read them as luray does."""
    is_json: bool = False


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


def _parquet_index(folder: Path, data: bytes) -> None:
    write_parquet(folder)
    _parquet(folder, folder / "references.parquet/.zmetadata", data)


def _parquet_record(folder: Path, data: bytes) -> None:
    write_parquet(folder)
    _parquet(folder, folder / "references.parquet/v/refs.0.parq", data)


def _parquet(folder: Path, place: Path, data: bytes) -> None:
    place.write_bytes(data)
    found = load_references(str(folder / "references.parquet"))
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
    _read_netcdf(folder / "values.nc", data)


def _netcdf_3(folder: Path, data: bytes) -> None:
    _read_netcdf(folder / "classic.nc", data)


def _read_netcdf(place: Path, data: bytes) -> None:
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


def _training(folder: Path, data: bytes) -> None:
    place = folder / "training.safetensors"
    place.write_bytes(data)
    Checkpoint(str(place), IDENTITY).restore(trainer_of(recipe_of()))


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


def write_parquet(folder: Path) -> None:
    """Write references as kerchunk's folder of Parquet files, unless they are there."""
    whole = folder / "whole.parquet"
    if not whole.exists():
        refs = {
            ".zgroup": '{"zarr_format": 2}',
            "v/.zarray": json.dumps(ZARRAY),
            "v/0": ["values.nc", 0, 8],
            "v/1": "base64:AAAAAAAAAAA=",
        }
        write_references(refs, str(whole))
    for file in (".zmetadata", "v/refs.0.parq"):
        copy = folder / "references.parquet" / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((whole / file).read_bytes())


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


def write_netcdf_3(
    path: Path, variables: Mapping[str, tuple[tuple[str, ...], NDArray[Any], Mapping[str, str]]]
) -> Path:
    """Write a NetCDF-3 file as `write_nc` does; attributes are texts."""
    with netcdf_file(path, "w") as out:
        for name, (dims, values, attributes) in variables.items():
            for dim, size in zip(dims, values.shape, strict=True):
                if dim not in out.dimensions:
                    out.createDimension(dim, size)
            variable = out.createVariable(name, values.dtype.char, dims)
            variable[:] = values
            for attribute, text in attributes.items():
                setattr(variable, attribute, text)
    return path


def parsers(folder: Path) -> list[Parser]:
    """Every parser, with a valid document each, which are made in a folder."""
    folder.mkdir(exist_ok=True)
    field = np.arange(48, dtype=np.float32).reshape(6, 8)
    variables = {
        **axes(GRID),
        "time": (("time",), np.arange(2.0), {"units": "years since 2000-01-01"}),
        "v": (("time", "lat", "lon"), np.stack([field, field]), {"units": "1"}),
    }
    netcdf = write_nc(folder / "v.nc", variables)
    netcdf_3 = write_netcdf_3(folder / "v3.nc", variables)
    tif = write_tif(folder / "m.tif", field.astype(np.uint8), north=50, west=10, step=1)
    write_model(folder)
    write_parquet(folder)
    checkpoint = Checkpoint(str(folder / "training.safetensors"), IDENTITY)
    checkpoint.save(trainer_of(recipe_of()))
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
            "v/.zarray": ZARRAY,
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
        Parser(
            "references.parquet: its index",
            (folder / "references.parquet/.zmetadata").read_bytes(),
            _parquet_index,
            is_json=True,
        ),
        Parser(
            "references.parquet: a record",
            (folder / "references.parquet/v/refs.0.parq").read_bytes(),
            _parquet_record,
        ),
        Parser("receipt", json.dumps(receipt).encode(), _receipt, is_json=True),
        Parser("lease", json.dumps(lease).encode(), _lease, is_json=True),
        Parser("p.sha256", (folder / "v.sha256").read_bytes(), _checksums),
        Parser("map.tif", tif.read_bytes(), _geotiff),
        Parser("values.nc", netcdf.read_bytes(), _netcdf),
        Parser("classic.nc", netcdf_3.read_bytes(), _netcdf_3),
        Parser("weights.safetensors", (folder / "weights.safetensors").read_bytes(), _weights),
        Parser("training.safetensors", Path(checkpoint.path).read_bytes(), _training),
        Parser("card.json", (folder / "card.json").read_bytes(), _card, is_json=True),
    ]
