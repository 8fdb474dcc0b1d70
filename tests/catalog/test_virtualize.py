"""`luray virtualize`: files where they lie become a STAC catalog, and NetCDF is read through
references.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5netcdf
import numpy as np
import pystac
import pytest
from pystac.validation import validate_dict
from scipy.io import netcdf_file

from luray.catalog import virtualize as catalogue
from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.read import find_assets
from luray.catalog.reference_writer import write_references
from luray.catalog.virtualize import places, virtualize
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.netcdf import inspect_netcdf
from luray.storage.errors import InputError
from luray.storage.references import targets
from tests.sources.writers import axes, write_nc, write_tif

CATALOGS = Path(__file__).parents[2] / "catalogs"
LUH2, KOPPEN = (str(CATALOGS / name / "collection.json") for name in ("luh2", "koppen-geiger"))
GRID = Grid(50, 10, 1, 4, 6)
SERIES = np.arange(10 * 24, dtype=np.float32).reshape(10, 4, 6)
BOX = Box(1, 2, 2, 3)


def luh2_file(path, *, first=850):
    time = (("time",), np.arange(10.0), {"units": f"years since {first}-01-01"})
    write_nc(path, {**axes(GRID), "time": time})
    with h5netcdf.File(path, "a") as out:
        out.create_variable(
            "primf", ("time", "lat", "lon"), data=SERIES, chunks=(1, 4, 6), compression="gzip"
        )
    return path


def tree(folder):
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def inputs(tmp_path):
    """The past, the future and a file without time, and a note."""
    luh2_file(tmp_path / "in/states.nc")
    luh2_file(tmp_path / "in/v2f/future.nc", first=2015)
    write_nc(tmp_path / "in/static.nc", {**axes(GRID), "icwtr": (("lat", "lon"), SERIES[0], {})})
    (tmp_path / "in/README.txt").write_text("x")
    return tmp_path / "in"


@pytest.mark.parametrize("format", ["parquet", "json"])
def test_catalog_is_valid_and_found_again(tmp_path, inputs, allow, format):
    where = virtualize([str(inputs)], collection=LUH2, output=str(tmp_path / "stac"), format=format)
    assert where == str(tmp_path / "stac/catalog.json")
    documents = {
        path: json.loads(path.read_text())
        for path in (tmp_path / "stac").rglob("*.json")
        if not path.name.endswith(".nc.json")
    }
    assert len(documents) == 5
    for path, document in documents.items():
        validate_dict(document, extensions=[])
        for linked in document["links"]:
            assert linked["href"].startswith("http") or (path.parent / linked["href"]).is_file()
    items = {i.id: i for i in pystac.Catalog.from_file(where).get_items(recursive=True)}
    assert set(items) == {"states", "v2f-future", "static"}
    dates = {
        name: tuple(getattr(i.common_metadata, f"{end}_datetime").year for end in ("start", "end"))
        for name, i in items.items()
    }
    assert dates == {"states": (850, 859), "v2f-future": (2015, 2024), "static": (850, 2100)}
    assert items["states"].bbox == [10, 46, 16, 50]
    assert items["states"].assets["data"].href == "../../../in/states.nc"
    allow(*places([str(inputs)], output=str(tmp_path / "stac")))
    found = find_assets(CatalogConfig(url=where), "luh2", years=range(850, 900))
    assert [a.name for a in found] == ["states.nc", "static.nc"]
    assert [targets(a.href) for a in found] == [
        (str(inputs / name),) for name in ("states.nc", "static.nc")
    ]
    [got] = inspect_netcdf(found[0].href).read(("primf",), BOX, time=9)
    np.testing.assert_array_equal(got, SERIES[9, 1:3, 2:5])


def test_repeating_changes_nothing_and_more_is_added(tmp_path, inputs):
    virtualize([str(inputs)], collection=LUH2, output=str(tmp_path / "stac"))
    before = tree(tmp_path / "stac")
    virtualize([str(inputs)], collection=LUH2, output=str(tmp_path / "stac"))
    assert tree(tmp_path / "stac") == before
    luh2_file(tmp_path / "more/later.nc", first=2050)
    virtualize([str(tmp_path / "more/later.nc")], collection=LUH2, output=str(tmp_path / "stac"))
    write_tif(
        tmp_path / "k/1901_1930/koppen_geiger_0p01.tif",
        SERIES[0].astype(np.uint8),
        north=50,
        west=10,
        step=1,
    )
    virtualize([str(tmp_path / "k")], collection=KOPPEN, output=str(tmp_path / "stac"))
    after = tree(tmp_path / "stac")
    assert {name for name in before if after[name] != before[name]} == {
        "catalog.json",
        "luh2/collection.json",
    }
    catalog = pystac.Catalog.from_file(str(tmp_path / "stac/catalog.json"))
    assert {i.id for i in catalog.get_child("luh2").get_items()} == {
        "states",
        "v2f-future",
        "static",
        "later",
    }
    [zone] = catalog.get_child("koppen-geiger").get_items()
    assert set(zone.assets) == {"data"}
    assert zone.assets["data"].extra_fields["luray:file"] == "1901_1930/koppen_geiger_0p01.tif"
    assert (zone.common_metadata.start_datetime.year, zone.common_metadata.end_datetime.year) == (
        1901,
        1930,
    )


def test_changed_file_is_described_again(tmp_path, inputs):
    output = str(tmp_path / "stac")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "write_references", crash_at("v2f-future"))
        with pytest.raises(OSError, match="killed"):
            virtualize([str(inputs)], collection=LUH2, output=output)
    assert not (tmp_path / "stac/catalog.json").exists()
    kept = tree(tmp_path / "stac")
    virtualize([str(inputs)], collection=LUH2, output=output)
    assert {
        name: content for name, content in tree(tmp_path / "stac").items() if name in kept
    } == kept
    luh2_file(inputs / "states.nc", first=900)
    virtualize([str(inputs)], collection=LUH2, output=output)
    states = pystac.Item.from_file(f"{output}/luh2/states/states.json")
    assert states.common_metadata.start_datetime.year == 900


def crash_at(name):
    def write(refs, place):
        if name in place:
            raise OSError("killed")
        write_references(refs, place)

    return write


def test_object_stores_and_the_web(tmp_path, s3, gcs, site, allow):
    data = luh2_file(tmp_path / "states.nc").read_bytes()
    old = netcdf3(tmp_path / "old.nc").read_bytes()
    for inputs, output in ((s3, s3), (gcs, s3), (site, gcs), (s3, gcs)):
        urls = []
        for name, content in (("states.nc", data), ("old.nc", old)):
            inputs.put(f"in/{name}", content)
            urls.append(f"{inputs.url}/in/{name}")
        stac = f"{output.url}/stac-of-{inputs.url[:4].strip(':/')}"
        where = virtualize(
            urls if inputs is site else [f"{inputs.url}/in"], collection=LUH2, output=stac
        )
        allow(f"{inputs.url}/in/")
        found = {a.name: a.href for a in find_assets(CatalogConfig(url=where), "luh2")}
        assert {targets(href) for href in found.values()} == {(url,) for url in urls}
        for name, href in found.items():
            [got] = inspect_netcdf(href).read(("primf",), BOX, time=3)
            np.testing.assert_array_equal(got, SERIES[3, 1:3, 2:5], err_msg=name)


def netcdf3(path):
    with netcdf_file(path, "w") as out:
        for name, values in (
            ("time", np.arange(2000.0, 2010.0)),
            ("lat", GRID.lat),
            ("lon", GRID.lon),
        ):
            out.createDimension(name, None if name == "time" else len(values))
            out.createVariable(name, "d", (name,))[:] = values
        out.createVariable("primf", "f", ("time", "lat", "lon"))[:] = SERIES
    return path


def test_unreadable_inputs_are_refused(tmp_path, inputs):
    output = str(tmp_path / "stac")
    (tmp_path / "none").mkdir()
    (tmp_path / "none/a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"found no NetCDF or GeoTIFF files"):
        virtualize([str(tmp_path / "none")], collection=LUH2, output=output)
    with pytest.raises(
        ValueError, match=r"nothing\.json: there is no such file, expected a STAC collection"
    ):
        virtualize([str(inputs)], collection=str(tmp_path / "nothing.json"), output=output)
    with pytest.raises(ValueError, match=r"catalog\.json: no STAC collection"):
        virtualize([str(inputs)], collection=str(CATALOGS / "catalog.json"), output=output)
    shutil.copy(inputs / "states.nc", inputs / "states.nc4")
    with pytest.raises(ValueError, match=r"would both be item 'states'"):
        virtualize([str(inputs)], collection=LUH2, output=output)
    with pytest.raises(ValueError, match="holds credentials or a signature") as caught:
        virtualize(["https://host/states.nc?sig=hunter2"], collection=LUH2, output=output)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match=r"format 'csv', expected parquet or json"):
        virtualize([str(inputs)], collection=LUH2, output=output, format="csv")
    broken = tmp_path / "broken.nc"
    broken.write_bytes((inputs / "states.nc").read_bytes()[:-500])
    with pytest.raises(InputError, match=r"broken\.nc: cannot be read as NetCDF"):
        virtualize([str(broken)], collection=LUH2, output=output)
    packed = luh2_file(tmp_path / "packed.nc")
    with h5netcdf.File(packed, "a") as out:
        out.create_variable(
            "v", ("time", "lat", "lon"), data=SERIES, chunks=(1, 4, 6), compression="lzf"
        )
    with pytest.raises(
        InputError, match=r"packed\.nc: cannot be described by references .*; leave it out"
    ):
        virtualize([str(packed)], collection=LUH2, output=output)


def test_command_names_what_run_files_need(tmp_path, inputs):
    command = [sys.executable, "-m", "luray.cli", "virtualize", str(inputs), "--collection", LUH2]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "stac"), "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f'url = "{tmp_path}/stac/catalog.json"' in done.stdout
    assert f'allow = ["{inputs}/"]' in done.stdout
    assert (tmp_path / "stac/luh2/states/states.nc.json").is_file()
