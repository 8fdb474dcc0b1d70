"""The simulated land cover: its law, cell by cell, and its files."""

import numpy as np
import pytest
from pydantic import ValidationError

from luray.core.tiling import Box
from luray.sandbox.land_cover import LEGEND, OLDEST, SUCCESSIONS, climate_groups, land_cover
from luray.sandbox.storyline import FIRST_YEAR
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import LAND_COVER, land_cover_runs, write_sandbox
from luray.sandbox.writers import write_land_cover
from luray.sources.base import Request
from luray.sources.cci_lc import CciLcConfig
from luray.stages.demo import load_land_cover_demo


def cover_of_cell(uses, group):
    """The law for one cell, from its land use of all years up to the present one."""
    now = uses[-1]
    if group == 0 or now == 0:
        return LEGEND.water
    years = 0
    for earlier in reversed(uses[:-1]):
        if earlier != now or years == OLDEST:
            break
        years += 1
    for length, stage in SUCCESSIONS[now].stages:
        if years < length:
            return stage
        years -= length
    return SUCCESSIONS[now].climax[group - 1]


def test_land_cover_follows_the_law(world):
    uses = world.truth["ssp245"]
    groups = climate_groups(world)
    random = np.random.default_rng(0)
    for year in (1992, 2010):
        codes = land_cover(world, year)
        LEGEND.encode(codes)
        n = year - FIRST_YEAR
        changed = np.argwhere(uses[n] != uses[n - 6])
        cells = [*random.permutation(changed)[:150], *random.integers(0, (100, 150), (150, 2))]
        for row, col in cells:
            history = uses[: n + 1, row, col].tolist()
            assert codes[row, col] == cover_of_cell(history, int(groups[row, col]))
    assert len(np.unique(codes)) > 12


def test_files_are_those_that_the_source_reads(world, tmp_path):
    for year in (2015, 2016):
        write_land_cover(world, tmp_path, year)
    names = sorted(path.name for path in (tmp_path / "cci_lc").iterdir())
    assert names == [
        "C3S-LC-L4-LCCS-Map-300m-P1Y-2016-v2.1.1.nc",
        "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2015-v2.0.7cds.nc",
    ]
    config = CciLcConfig(kind="cci_lc", path=str(tmp_path), sea_step=0)
    request = Request(range(2015, 2017), "ssp245", grid=world.config.grid, legend=LEGEND)
    source = config.open(request)
    everything = Box(0, 0, *world.config.grid.shape)
    for year in (2015, 2016):
        assert np.array_equal(source.read(year, everything)[0], land_cover(world, year))


def test_a_sandbox_has_land_cover_where_it_is_asked_for(sandbox, tmp_path):
    assert not (sandbox / "cci_lc").exists()
    config = SandboxConfig(
        height=50, width=50, first_map=2018, last_map=2019, land_cover=(2019, 2020)
    )
    folder = write_sandbox(tmp_path / "world", config)
    assert len(list((folder / "cci_lc").iterdir())) == 2
    with pytest.raises(ValidationError, match=r"expected a first and a last year of 1992-2022"):
        SandboxConfig(land_cover=(1990, 2020))


def test_the_run_files_of_land_cover_move_together():
    land_use, cover = load_land_cover_demo("elsewhere/demo", ["training.steps=7"])
    assert land_use.output == "elsewhere/demo/land-use"
    assert {source.path.split("/")[0] for source in (*land_use.sources, *cover.sources)} == {
        "elsewhere"
    }
    [product] = [source for source in cover.sources if source.kind == "product"]
    assert product.path == "elsewhere/demo/land-use/product.zarr"
    assert (cover.training.steps, cover.target.classes) == (7, LEGEND)
    assert set(range(1990, 2021)) <= set(land_use.inference.span.years)
    assert all(LAND_COVER in file.read_text() for file in land_cover_runs())
