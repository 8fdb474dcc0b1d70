"""What may be asked of an export, how it goes on, and where it writes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from typer.testing import CliRunner

from luray.catalog.finished import read_finished
from luray.cli.app import app
from luray.core.grid import Grid
from luray.export import class_maps, fates
from luray.export.selection import parse_bounds, parse_years, region_of
from luray.product.dimensions import ProductDims
from luray.stages.export import export, product_maps
from luray.stages.run_file import load_run
from tests.cube.cubes import COVER
from tests.export.exports import FINE, small_world


def test_cog_and_netcdf_have_the_maps(world, tmp_path):
    export(world.run.product, "cog", years="2001,2003", output=str(tmp_path / "cog"))
    export(
        world.run,
        "netcdf",
        years="2003",
        region="23.5,35.1,24.0,35.65",
        output=str(tmp_path / "nc"),
    )
    with rasterio.open(tmp_path / "cog/land_use_2003.tif") as file:
        np.testing.assert_array_equal(file.read(1), world.codes[3])
        assert file.tags()["luray_run_fingerprint"] == "f" * 64
    part = xr.open_dataset(tmp_path / "nc/land_use_2003.nc", engine="h5netcdf", decode_times=False)
    np.testing.assert_array_equal(part.land_use.values[0], world.codes[3, 7:18, 10:20])
    assert part.land_use.dtype == np.uint8
    assert part.lat.values[0] == pytest.approx(35.625)
    times = xr.decode_cf(part).time.values
    assert (times[0].year, times[0].month, times[0].day) == (2003, 1, 1)
    assert sorted(path.name for path in (tmp_path / "nc").iterdir()) == [
        "export.json",
        "land_use_2003.nc",
    ]


def test_nothing_names_a_place_of_this_machine(world, tmp_path):
    export(world.run, "cog", years="2001", output=str(tmp_path / "cog"))
    export(world.run, "netcdf", years="2001", output=str(tmp_path / "nc"))
    for path in (tmp_path / "cog/land_use_2001.tif", tmp_path / "nc/land_use_2001.nc"):
        assert str(tmp_path.parent).encode() not in path.read_bytes()
    assert str(tmp_path.parent) not in (tmp_path / "cog/export.json").read_text()


def test_interrupted_export_goes_on(world, tmp_path, monkeypatch):
    written = []

    def interrupted_write(place, blocks, **options):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(place)
        write_cog(place, blocks, **options)

    write_cog = class_maps.write_cog
    monkeypatch.setattr(class_maps, "write_cog", interrupted_write)
    with pytest.raises(KeyboardInterrupt):
        export(world.run, "cog", output=str(tmp_path))
    finished = tmp_path / "land_use_2000.tif"
    modified = finished.stat().st_mtime_ns
    assert not list(tmp_path.glob("*partial*"))

    monkeypatch.setattr(class_maps, "write_cog", write_cog)
    assert len(export(world.run, "cog", output=str(tmp_path)).files) == 4
    assert finished.stat().st_mtime_ns == modified
    assert export(world.run, "cog", output=str(tmp_path)).files == ()
    assert not (tmp_path / ".luray-export").exists()


def test_coarse_cells_are_not_computed_again(world, tmp_path, monkeypatch):
    arguments = {"years": "2000-2001", "output": str(tmp_path)}
    with monkeypatch.context() as patch:
        patch.setattr(fates, "_check", fail_check)
        with pytest.raises(RuntimeError, match="as asked"):
            export(world.run, "fates", **arguments)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".luray-export", "export.json"]

    monkeypatch.setattr("luray.export.coarse_maps.class_sums", fail_check)
    assert len(export(world.run, "fates", **arguments).files) == 1


def fail_check(*arguments):
    raise RuntimeError("as asked")


def test_a_folder_has_one_export(world, tmp_path):
    export(world.run, "cog", years="2001", output=str(tmp_path))
    with pytest.raises(ValueError, match=r"another export \(years \[2001\] there, \[2002\] here"):
        export(world.run, "cog", years="2002", output=str(tmp_path))
    (tmp_path / "export.json").write_text("nothing")
    with pytest.raises(ValueError, match="is no record of an export"):
        export(world.run, "cog", years="2001", output=str(tmp_path))


def test_to_object_store(world, s3):
    arguments = ["export", world.run.product, "--format", "lpj-guess", "--years", "2001"]
    command = [sys.executable, "-m", "luray.cli", *arguments, "--output", f"{s3.url}/lpj"]
    # a process of its own: nobody closes what Zarr has opened on a store
    subprocess.run(command, check=True)
    assert s3.get("lpj/land_cover.txt").startswith(b"Lon Lat Year")
    assert json.loads(s3.get("lpj/export.json"))["files"]
    keys = s3.keys()
    left = [key for key in keys if key.startswith("lpj/")]
    assert sorted(left) == ["lpj/export.json", "lpj/land_cover.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "shapefile"}, "expected one of luh2, fates"),
        ({"region": "0,35,24,36"}, "reaches out of the product, which covers 23,35,24.5,36"),
        ({"region": "23,35,24.5,37"}, "reaches out of the product"),
        ({"region": "24,35,23,36"}, "has no area"),
        ({"region": "23.1,35,24,36"}, r"its west edge lies 0\.400 of a coarse cell"),
        ({"region": "23,35"}, "is no region"),
        ({"grid": 0.13}, "expected a whole number; choose another size"),
        ({"grid": 0.5, "form": "luh2"}, "LUH2's files have cells of 0.25"),
        ({"grid": 0.25, "form": "cog"}, "leave out --grid"),
        ({"years": "1999-2001"}, "the product has no 1999"),
        ({"years": "2003-2001"}, "are no years"),
        ({"years": "2000,2002", "form": "fates"}, "found a gap before 2002"),
        ({"years": "2001", "form": "luh2"}, "found the year 2001 alone"),
        ({"scenario": "ssp585"}, "the one scenario 'ssp245'"),
        ({"member": 1}, "has no members"),
    ],
)
def test_bad_input_is_explained(world, tmp_path, arguments, message):
    form = arguments.pop("form", "lpj-guess")
    with pytest.raises(ValueError, match=message):
        export(world.run, form, output=str(tmp_path / "out"), **arguments)
    folder = tmp_path / "out"
    left = {path.name for path in folder.iterdir()} if folder.exists() else set()
    assert left <= {"export.json"}


def test_product_alone_does_not_say_how_to_split(world, tmp_path):
    with pytest.raises(ValueError, match=r"give the run file, or .* --split default"):
        export(world.run.product, "luh2", output=str(tmp_path))
    with pytest.raises(ValueError, match="--output has to be named"):
        export(world.run.product, "luh2")


def test_forcing_that_is_not_there_is_refused(world_without_forcing, tmp_path):
    with pytest.raises(ValueError, match="the run's cube has none"):
        export(world_without_forcing.run, "luh2", split="forcing", output=str(tmp_path))


def test_unfinished_product_is_refused(tmp_path):
    world = small_world(tmp_path, states=(), climate=False, finish=False)
    with pytest.raises(ValueError, match="expected a finished product"):
        export(world.run, "cog")
    with pytest.raises(ValueError, match="found no Zarr store"):
        export(str(tmp_path / "nowhere.zarr"), "cog", output=str(tmp_path / "out"))


def test_a_lost_map_is_not_exported_as_ocean(world, tmp_path):
    copy = Path(shutil.copytree(world.run.product, tmp_path / "copy.zarr"))
    shard = next(path for path in (copy / "land_use/c/2").rglob("*") if path.is_file())
    shard.unlink()
    with pytest.raises(ValueError, match=r"land_use of 2002 has \d+ of \d+ tiles.*luray verify"):
        export(str(copy), "cog", output=str(tmp_path / "cog"))
    assert not (tmp_path / "cog").exists()
    export(str(copy), "cog", years="2001", output=str(tmp_path / "cog"))


@pytest.mark.parametrize("form", ["luh2", "fates", "ctsm-raw", "lpj-guess"])
def test_legend_without_crosswalk_is_refused(once, tmp_path, form):
    folder = once("cover", lambda place: (place.mkdir(), small_world(place, legend=COVER)))
    product = str(folder / "out/product.zarr")
    split = {"split": "default"} if form in ("luh2", "fates") else {}
    if form == "ctsm-raw":
        product = load_run(folder / "run.toml")
    with pytest.raises(ValueError, match="has no crosswalk to"):
        export(product, form, output=str(tmp_path), **split)
    # the maps as they are have no need of one
    export(folder.joinpath("out/product.zarr").as_posix(), "cog", output=str(tmp_path / "cog"))
    with rasterio.open(tmp_path / "cog/land_use_2001.tif") as file:
        assert file.tags(1)["class_110"] == "trees"


def test_scenario_and_member_choose_the_maps(tmp_path):
    dims = ProductDims(("ssp126", "ssp585"), 2)
    world = small_world(tmp_path, states=(), climate=False, dims=dims)
    maps = product_maps(read_finished(world.run.product), None)
    with pytest.raises(ValueError, match="name one with --scenario"):
        maps.series()
    with pytest.raises(ValueError, match="name one with --member"):
        maps.series(scenario="ssp585")
    with pytest.raises(ValueError, match="no scenario 'ssp370'"):
        maps.series(scenario="ssp370", member=0)
    with pytest.raises(ValueError, match="no member 2"):
        maps.series(scenario="ssp585", member=2)
    export(
        world.run.product,
        "cog",
        scenario="ssp585",
        member=1,
        years="2003",
        output=str(tmp_path / "o"),
    )
    with rasterio.open(tmp_path / "o/land_use_2003.tif") as file:
        np.testing.assert_array_equal(file.read(1), world.codes[1, 1, 3])
        assert file.tags()["luray_scenario"] == "ssp585"


def test_command(world, tmp_path):
    arguments = ["export", world.run.product, "--format", "cog", "--years", "2001"]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "land_use_2001.tif" in result.output
    again = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path)])
    assert "exported already" in again.output
    wrong = CliRunner().invoke(app, [*arguments, "--split", "half"])
    assert wrong.exit_code == 2


def test_years_and_bounds_are_read():
    assert parse_years("2001", range(2000, 2004)) == (2001,)
    assert parse_years(None, range(2000, 2004)) == (2000, 2001, 2002, 2003)
    assert parse_bounds("-10,35,30,60.5") == (-10, 35, 30, 60.5)


def test_last_coarse_cells_may_reach_past_the_product():
    region = region_of(Grid(36, 23, 0.05, 18, 28), step=0.25)
    assert region.coarse.shape == (4, 6)
    assert region.box.shape == (20, 30)
    assert region.fine.shape == (18, 28)


def test_product_of_any_corner_has_maps_as_they_are():
    assert region_of(Grid(36.013, 23.007, 0.05, 18, 28), step=0.05).coarse.shape == (18, 28)
    assert region_of(FINE, step=0.05, bounds=(23.05, 35.0, 23.2, 35.1)).box == (18, 1, 2, 3)
