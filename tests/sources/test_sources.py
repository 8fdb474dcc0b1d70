"""All sources together: one union of configurations, and the sandbox's files read as the real ones
are.
"""

import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from luray.core.tiling import Box
from luray.sandbox.world import SandboxConfig
from luray.sandbox.write import write_sandbox
from luray.sources import SourceConfig, kinds, open_source

CONFIGS: TypeAdapter[SourceConfig] = TypeAdapter(SourceConfig)
KINDS = {
    "luh2": "luh2",
    "hilda": "hilda",
    "isimip": "isimip",
    "koppen": "koppen",
    "gebco": "gebco",
    "pnnl_topo": "pnnl",
    "pnnl_soil": "pnnl",
}
OTHER_KINDS = (
    *("cci_lc", "categorical", "aggregated", "product", "climate", "season"),
    *("climatology", "values", "c3s_lai", "mod15", "glass"),
)
"""Kinds that no run of land use on the sandbox reads."""
RUN = range(1850, 2101)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory) -> Path:
    config = SandboxConfig(
        height=100, width=150, first_map=1998, last_map=2002, scenario=("ssp245",), seed=4
    )
    return write_sandbox(tmp_path_factory.mktemp("sandbox") / "world", config)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_reads_the_sandbox(sandbox, kind):
    config = CONFIGS.validate_python({"kind": kind, "path": str(sandbox / KINDS[kind])})
    source = pickle.loads(pickle.dumps(open_source(config, run_years=RUN, scenario="ssp245")))
    assert source.name == kind
    [role] = {v.role for v in source.variables}
    assert role == {
        "hilda": "state",
        "luh2": "forcing",
        "isimip": "forcing",
        "koppen": "forcing",
    }.get(kind, "static")
    if role == "forcing":
        assert source.years == tuple(RUN)
    n_lat, n_lon = source.grid.shape
    for year in source.years[:: max(1, len(source.years) // 4)] or (None,):
        values = source.read(year, Box(0, 0, n_lat, n_lon))
        assert values.shape == (len(source.variables), n_lat, n_lon)
        assert {values.dtype.name} == {v.dtype for v in source.variables}
        part = source.read(year, Box(1, 1, n_lat - 1, n_lon - 2))
        np.testing.assert_array_equal(part, values[:, 1:, 1 : n_lon - 1])
    assert all(Path(file).is_file() for file in source.files)
    assert len({v.name for v in source.variables}) == len(source.variables)


def test_every_kind_says_where_it_comes_from():
    described = kinds()
    assert sorted(described) == sorted([*KINDS, *OTHER_KINDS])
    for kind, about in described.items():
        assert about.title
        assert about.files
        if kind in KINDS:
            assert about.doi
            assert about.licence
            assert about.url.startswith("https://")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "luh3", "path": "x"}, "does not match any of the expected tags"),
        ({"kind": "luh2"}, "either `path`"),
        ({"kind": "luh2", "path": "x", "collection": "luh2"}, "either `path`"),
        ({"kind": "luh2", "path": "x", "tolerance": 1}, "Extra inputs are not permitted"),
        ({"kind": "luh2", "path": 3}, "valid string"),
        ({"kind": "isimip", "path": "x", "ssp": "2"}, "valid integer"),
    ],
)
def test_wrong_configs_are_refused(config, message):
    with pytest.raises(ValidationError, match=message):
        CONFIGS.validate_python(config)


def test_aggregated_forcing_of_the_sandbox(sandbox):
    hilda = CONFIGS.validate_python({"kind": "hilda", "path": str(sandbox / "hilda")})
    blocks = CONFIGS.validate_python({"kind": "aggregated", "block": 25})
    state = open_source(hilda, run_years=RUN, scenario="")
    forcing = open_source(blocks, run_years=RUN, scenario="", state=state, grid=state.grid)
    got = forcing.read(2000, Box(0, 0, 4, 6))
    np.testing.assert_allclose(got.sum(axis=0), (got.sum(axis=0) > 0).astype(float), atol=1e-6)
    assert "upper bound" in forcing.caveat
