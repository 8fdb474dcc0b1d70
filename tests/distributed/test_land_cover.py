"""Land cover that follows the land use of another run, through the stages of both.

Models are random: what is learned is shown by `luray demo --land-cover` and in SKILL.md.
"""

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import zarr

import luray
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.cube.cube import Cube
from luray.sandbox.land_cover import land_cover
from luray.sandbox.world import SandboxConfig, simulate
from luray.sandbox.write import land_cover_runs, write_sandbox
from luray.stages.build import build, cube_of_run, plan_cube
from luray.stages.evaluate import evaluate
from luray.stages.infer import infer
from luray.stages.publish import publish
from luray.stages.run_file import load_run
from luray.storage.errors import InputError
from tests.distributed.conftest import give_models

COVER = read_legend("esa_cci_lc")
CONFIG = SandboxConfig(height=50, width=100, first_map=2002, last_map=2006, land_cover=(2003, 2006))
SMALL = ("grid.shape=[50, 100]", "tiling.window=32", "tiling.stride=24", "tiling.tile=24")
NETWORK = ("model.width=4", "model.depth=2", "model.history=3", "inference.workers=1")


def settings_of(run_file, folder, output):
    """Settings that give a run file the places of a test."""
    run = load_run(run_file)
    places = [f"output={folder / output}"]
    for number, source in enumerate(run.sources):
        below = source.path.removeprefix("build/land-cover/")
        places.append(f"sources.{number}.path={folder / below}")
    return [*places, *SMALL, *NETWORK]


def land_use_run(folder):
    file, _ = land_cover_runs()
    years = ("training.years=[2002, 2005]", "inference.years=[2002, 2006]")
    observed = ("inference.observed=[2002, 2006]", "demand.strength=0.0")
    return load_run(file, [*settings_of(file, folder, "land-use"), *years, *observed])


def land_cover_run(folder, *settings):
    _, file = land_cover_runs()
    years = ("training.years=[2003, 2004]", "inference.years=[2002, 2006]")
    tests = 'evaluation.tests=[{name="forecast", start=2004, stop=2006}]'
    observed = "inference.observed=[2003, 2004]"
    return load_run(
        file, [*settings_of(file, folder, "land-cover"), *years, observed, tests, *settings]
    )


@pytest.fixture(scope="module")
def folder(ray_cluster, tmp_path_factory):
    """Both runs, land cover published."""
    folder = tmp_path_factory.mktemp("land_cover")
    write_sandbox(folder / "world", CONFIG)
    with pytest.raises(InputError, match="found no Zarr store, expected the finished product"):
        plan_cube(land_cover_run(folder))

    land_use = land_use_run(folder)
    build(plan_cube(land_use))
    infer(land_use)
    run = land_cover_run(folder)
    build(plan_cube(run))
    give_models(run)
    infer(run)
    evaluate(run)
    publish(run)
    return folder


def test_the_cube_has_land_cover_and_the_land_use_of_the_other_run(folder):
    run = land_cover_run(folder)
    cube = cube_of_run(run)
    assert (cube.legend, cube.years) == (COVER, (2003, 2004, 2005, 2006))
    everything = Box(0, 0, *cube.grid.shape)
    world = simulate(CONFIG)
    codes = COVER.decode(cube.state(2004, everything))
    truth = land_cover(world, 2004)
    is_sea = codes == COVER.ocean
    assert np.array_equal(codes[~is_sea], truth[~is_sea])
    assert (truth[is_sea] == COVER.water).all()
    assert 0 < is_sea.sum() < (truth == COVER.water).sum()

    use = zarr.open_group(land_use_run(folder).product, mode="r")["land_use"]
    for number, year in enumerate(range(2002, 2007)):
        variable, found = cube.categories("land_use", year, everything)
        assert variable.categories == tuple(HILDA.codes)
        assert np.array_equal(found, use[number])


def test_the_product_is_one_of_land_cover(folder):
    run = land_cover_run(folder)
    product = luray.open_product(run.product)
    assert product.attrs["luray"]["target"] == "land_cover"
    assert "land_use" not in product
    maps = product["land_cover"]
    assert maps.attrs["long_name"] == "land cover"
    assert maps.attrs["flag_meanings"].split()[1:-1] == [c.name for c in COVER.classes]
    there = set(np.unique(maps.values).tolist())
    assert there <= {COVER.ocean, COVER.nodata, *COVER.codes.tolist()}
    assert len(there) > 8
    observed = Cube.open(run.cube).state(2003, Box(0, 0, 50, 100))
    assert np.array_equal(COVER.encode(maps.sel(year=2003).values), observed)
    assert (maps.sel(year=2006).values != maps.sel(year=2004).values).any()
    assert "target" not in luray.open_product(land_use_run(folder).product).attrs["luray"]


def test_scores_and_catalog_are_of_land_cover(folder):
    run = land_cover_run(folder)
    metrics = json.loads(Path(run.path("report", "metrics.json")).read_text())
    assert "tree_mixed" in json.dumps(metrics)

    item = next(iter(pystac.read_file(run.path("stac", "catalog.json")).get_items(recursive=True)))
    assert item.assets["data"].title == "Land cover by year"
    assert "land_cover" in item.properties["cube:variables"]
    classes = item.assets["data"].extra_fields["classification:classes"]
    assert [c["value"] for c in classes] == [230, *COVER.codes.tolist(), 0]


def test_a_cube_or_source_of_another_target_is_refused(folder):
    with pytest.raises(ValueError, match=r"maps of ESA CCI-LC, and the run's target .* HILDA\+"):
        land_cover_run(folder, "target.legend=hilda")
    run = land_use_run(folder)
    other = run.model_copy(update={"output": str(folder / "land-cover")})
    with pytest.raises(ValueError, match=r"built for maps of ESA CCI-LC, .* legend HILDA\+"):
        cube_of_run(other)
