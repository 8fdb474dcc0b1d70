"""The collections of `catalogs/` against the sources that read what they describe, and against the
real files.
"""

import json
import re
import string
import tomllib
from pathlib import Path

import pystac
import pytest
import rasterio
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.datacube import DatacubeExtension
from pystac.extensions.scientific import ScientificExtension
from pystac.validation import validate_dict

from luray.catalog.catalog_config import CatalogConfig
from luray.core.legend_files import HILDA
from luray.core.tiling import Tiling
from luray.sources import (
    c3s_lai,
    cci_lc,
    gebco,
    glass,
    hilda,
    isimip,
    koppen,
    luh2,
    mod15,
    pnnl,
)
from luray.sources.base import FilesConfig
from luray.sources.discover import matching
from luray.stages.config import RunConfig
from luray.stages.run_file import load_run

CATALOGS = Path(__file__).parents[2] / "catalogs"
INPUTS = ("luh2", "hilda", "isimip-population", "koppen-geiger", "gebco", "pnnl")
COVER = ("cci-lc", "c3s-lai", "modis-lai", "glass-lai")
"""What no run of land use reads."""
REGIONS = ("crete", "brazil", "arcachon")
SOURCES = {
    "luh2": luh2,
    "hilda": hilda,
    "isimip-population": isimip,
    "koppen-geiger": koppen,
    "gebco": gebco,
    "cci-lc": cci_lc,
    "c3s-lai": c3s_lai,
    "modis-lai": mod15,
    "glass-lai": glass,
}
EXAMPLE = {"year": "2001", "date": "20010110", "ssp": "ssp245", "period": "1961_1990"}
SCENARIOS = ("ssp126", "ssp245", "ssp370", "ssp585")
IAMS = {
    "ssp119": "IMAGE",
    "ssp126": "IMAGE",
    "ssp245": "MESSAGE",
    "ssp370": "AIM",
    "ssp434": "GCAM",
    "ssp460": "GCAM",
    "ssp534": "MAGPIE",
    "ssp585": "MAGPIE",
}
"""Scenarios of LUH2 v2f, with the integrated assessment model of each."""
RUN_FILES = sorted(
    path for path in CATALOGS.rglob("*.toml") if path.parent.name not in ("crosswalks", "legends")
)
MEDIA_TYPES = {
    ".nc": "application/netcdf",
    ".nc4": "application/netcdf",
    ".tif": "image/tiff; application=geotiff",
}


@pytest.fixture(scope="module")
def collections() -> dict[str, pystac.Collection]:
    catalog = pystac.Catalog.from_file(str(CATALOGS / "catalog.json"))
    return {collection.id: collection for collection in catalog.get_collections()}


def files_of(collection: pystac.Collection, *assets: str) -> list[str]:
    """File name templates of some assets, or of all."""
    return [
        name
        for key, asset in collection.item_assets.items()
        if not assets or key in assets
        for name in asset.properties["luray:files"]
    ]


def test_catalog_links_every_input_and_region(
    collections: dict[str, pystac.Collection],
) -> None:
    assert set(collections) == {*INPUTS, *COVER, *REGIONS}
    assert {path.parent.name for path in CATALOGS.glob("*/collection.json")} == set(collections)


@pytest.mark.parametrize(
    "path", sorted(CATALOGS.rglob("*.json")), ids=lambda path: str(path.relative_to(CATALOGS))
)
def test_core_schemas_and_links_hold(path: Path) -> None:
    stac = json.loads(path.read_text())
    validate_dict(stac, extensions=[])
    for link in stac["links"]:
        inside = link["rel"] in ("root", "parent", "child")
        assert (
            (path.parent / link["href"]).is_file()
            if inside
            else link["href"].startswith("https://")
        ), link


@pytest.mark.parametrize("name", [*INPUTS, *COVER, *REGIONS])
def test_collections_name_producer_and_licence(
    collections: dict[str, pystac.Collection], name: str
) -> None:
    collection = collections[name]
    assert any("producer" in provider.roles for provider in collection.providers)
    assert collection.get_single_link("license").href.startswith("https://")
    if collection.license != "other":
        assert (
            collection.get_single_link("license").href
            == f"https://spdx.org/licenses/{collection.license}.html"
        )
    assert collection.get_links("via")
    science = ScientificExtension.ext(collection)
    dois = [doi for doi in (science.doi, *(p.doi for p in science.publications or ())) if doi]
    assert dois
    assert all(re.fullmatch(r"10\.\d{4,9}/\S+", doi) for doi in dois)
    assert [link.href for link in collection.get_links("cite-as")] == [
        f"https://doi.org/{doi}" for doi in dois
    ]


@pytest.mark.parametrize("name", [*INPUTS, *COVER, *REGIONS])
def test_datacube_agrees_with_extent(collections: dict[str, pystac.Collection], name: str) -> None:
    collection = collections[name]
    cube = DatacubeExtension.ext(collection)
    spatial = {
        d.to_dict()["axis"]: d.to_dict()
        for d in cube.dimensions.values()
        if d.dim_type == "spatial"
    }
    [bbox] = collection.extent.spatial.bboxes
    assert [
        spatial["x"]["extent"][0],
        spatial["y"]["extent"][0],
        spatial["x"]["extent"][1],
        spatial["y"]["extent"][1],
    ] == bbox
    for axis in spatial.values():
        cells = (axis["extent"][1] - axis["extent"][0]) / abs(axis["step"])
        assert cells == pytest.approx(round(cells), abs=1e-2)
    for dimension in cube.dimensions.values():
        if dimension.dim_type == "temporal":
            [interval] = collection.to_dict()["extent"]["temporal"]["interval"]
            assert dimension.to_dict()["extent"] == interval
    assert cube.variables
    for variable in cube.variables.values():
        assert set(variable.dimensions) <= set(cube.dimensions)
        assert variable.unit
    for asset in collection.item_assets.values():
        assert asset.to_dict()["roles"] == [CatalogConfig(url="unused").role]
        assert asset.properties["luray:files"]
        assert {MEDIA_TYPES[Path(name).suffix] for name in asset.properties["luray:files"]} == {
            asset.media_type
        }
        placeholders = {
            field
            for template in asset.properties["luray:files"]
            for _, field, _, _ in string.Formatter().parse(template)
            if field
        }
        assert placeholders <= set(EXAMPLE)


@pytest.mark.parametrize("name", SOURCES)
def test_collection_cites_the_source_doi(
    collections: dict[str, pystac.Collection], name: str
) -> None:
    science = ScientificExtension.ext(collections[name])
    assert SOURCES[name].ABOUT.doi in (science.doi, *(p.doi for p in science.publications or ()))


def test_pnnl_declares_what_is_read(
    collections: dict[str, pystac.Collection],
) -> None:
    collection = collections["pnnl"]
    assert ScientificExtension.ext(collection).doi == pnnl.TOPO_ABOUT.doi
    variables = DatacubeExtension.ext(collection).variables
    assert set(variables) == {*pnnl.TOPOGRAPHY, *pnnl.SOIL}
    assert {name for name, variable in variables.items() if "layer" in variable.dimensions} == set(
        pnnl.SOIL
    )


def test_luh2_declares_what_is_read(
    collections: dict[str, pystac.Collection],
) -> None:
    variables = DatacubeExtension.ext(collections["luh2"]).variables
    assert set(variables) == (set(luh2.STATES) - set(luh2.OPTIONAL)) | {
        "secma",
        "secmb",
        "icwtr",
        "carea",
    }
    [bbox] = collections["luh2"].extent.spatial.bboxes
    assert bbox == [-180, -90, 180, 90]


RECOGNISED: list[tuple[str, str, str, dict[str, str]]] = [
    ("luh2", "history", luh2.HISTORY, {}),
    ("luh2", "future", luh2.FUTURE, {}),
    ("luh2", "static", luh2.STATIC, {}),
    ("hilda", "states_v1", hilda.SERIES["v1"], {}),
    ("hilda", "states_v2", hilda.SERIES["v2"], {}),
    ("hilda", "states_netcdf", hilda.NETCDF, {}),
    ("isimip-population", "history_2b", isimip.NAMES["2b"], {}),
    ("isimip-population", "future_2b", isimip.NAMES["2b"], {}),
    ("isimip-population", "history_3b", isimip.NAMES["3b"], {}),
    ("isimip-population", "future_3b", isimip.NAMES["3b"], {}),
    ("cci-lc", "maps_cci", cci_lc.NAME, {}),
    ("cci-lc", "maps_c3s", cci_lc.NAME, {}),
    ("c3s-lai", "maps", c3s_lai.NAME, {}),
    ("modis-lai", "appeears", mod15.NAME, {"date": "2001009"}),
    ("modis-lai", "tiles", mod15.NAME, {"date": "2001009"}),
    ("glass-lai", "maps", glass.NAME, {"date": "2001009"}),
    ("koppen-geiger", "past", koppen.PATTERN, {}),
    ("koppen-geiger", "future", koppen.PATTERN, {"period": "2041_2070"}),
]
"""Collection, asset, the pattern by which a source finds its files, and what to put into their
names.
"""


@pytest.mark.parametrize(("name", "asset", "pattern", "values"), RECOGNISED)
def test_source_recognises_named_files(
    collections: dict[str, pystac.Collection],
    tmp_path: Path,
    name: str,
    asset: str,
    pattern: str,
    values: dict[str, str],
) -> None:
    expected = [
        template.format_map({**EXAMPLE, **values})
        for template in files_of(collections[name], asset)
    ]
    for file in expected:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = {path for path, _ in matching(FilesConfig(path=str(tmp_path)), pattern)}
    assert found == {str(tmp_path / file) for file in expected}


def test_gebco_is_named_as_expected(collections: dict[str, pystac.Collection]) -> None:
    assert files_of(collections["gebco"]) == list(gebco.ABOUT.files)


def test_hilda_classes_are_the_legend(collections: dict[str, pystac.Collection]) -> None:
    colours = {c.code: c.colour for c in HILDA.classes}
    for asset in collections["hilda"].item_assets.values():
        classes = ClassificationExtension.ext(asset).classes
        assert [c.value for c in classes] == HILDA.known()
        assert [c.value for c in classes if c.nodata] == [HILDA.nodata]
        for c in classes:
            if c.value not in (HILDA.ocean, HILDA.nodata):
                assert f"#{c.color_hint.lower()}" == colours[int(HILDA.codes[HILDA.index(c.value)])]
    crete = ClassificationExtension.ext(collections["crete"].item_assets["states"]).classes
    assert [c.value for c in crete] == [0, 11, 22, 33, 44, 55, 66, 77]


def test_land_cover_classes_are_the_legend(collections: dict[str, pystac.Collection]) -> None:
    expected = {c.code: (c.name, c.colour) for c in cci_lc.LEGEND.classes}
    for asset in collections["cci-lc"].item_assets.values():
        classes = ClassificationExtension.ext(asset).classes
        assert [c.value for c in classes if c.nodata] == [cci_lc.LEGEND.nodata]
        found = {c.value: (c.name, f"#{c.color_hint.lower()}") for c in classes if not c.nodata}
        assert found == expected


def test_koppen_zones_are_numbered(collections: dict[str, pystac.Collection]) -> None:
    for asset in collections["koppen-geiger"].item_assets.values():
        names = {c.value: c.name for c in ClassificationExtension.ext(asset).classes}
        assert sorted(names) == list(range(31))
        assert sorted(names) == sorted(koppen.GROUPS)
        groups = {letter: index for index, letter in enumerate("ABCDE", start=1)}
        assert {zone: groups[name[0]] for zone, name in names.items() if zone} == {
            zone: group for zone, group in koppen.GROUPS.items() if zone
        }


@pytest.mark.parametrize("name", REGIONS)
def test_run_file_reads_named_files(collections: dict[str, pystac.Collection], name: str) -> None:
    run = tomllib.loads((CATALOGS / name / "run.toml").read_text())
    named = files_of(collections[name])
    for source in run["sources"]:
        if "path" in source:
            folder, pattern = (
                source["path"].removeprefix("${LURAY_DATA}/"),
                source.get("pattern", ""),
            )
            assert any(
                file.startswith(f"{folder}/") and file.endswith(pattern) for file in named
            ), source
    observed = collections[name].extent.temporal.intervals[0]
    first, last = run["inference"]["years"]
    predicted = 1 if name == "arcachon" else 0  # the year after the only one that was observed
    assert [first, last - predicted] == [moment.year for moment in observed]


def test_mapbiomas_classes_are_the_crosswalk(
    collections: dict[str, pystac.Collection],
) -> None:
    run = tomllib.loads((CATALOGS / "brazil/run.toml").read_text())
    [state] = [source for source in run["sources"] if "crosswalk" in source]
    classes = ClassificationExtension.ext(collections["brazil"].item_assets["states"]).classes
    assert {str(c.value) for c in classes if not c.nodata} == set(state["crosswalk"])


@pytest.mark.parametrize("name", REGIONS)
def test_real_files_lie_as_described(
    collections: dict[str, pystac.Collection], realdata: Path, name: str
) -> None:
    collection = collections[name]
    first, last = (moment.year for moment in collection.extent.temporal.intervals[0])
    [template] = files_of(collection, "states")
    series = [realdata / template.format(year=year) for year in range(first, last + 1)]
    assert all(path.is_file() for path in series)
    assert len(list(series[0].parent.glob(Path(template).name.format(year="[0-9]*")))) == len(
        series
    )
    for file in files_of(collection):
        assert "{" in file or (realdata / file).is_file(), file
    if series[0].suffix == ".nc":
        return  # in a projection: `tests/sources/test_leaf_area_sources.py` reads it
    with rasterio.open(series[0]) as raster:
        assert list(raster.bounds) == pytest.approx(collection.extent.spatial.bboxes[0], abs=1e-4)
        known = {
            c.value for c in ClassificationExtension.ext(collection.item_assets["states"]).classes
        }
        assert set(raster.read(1).ravel().tolist()) <= known


@pytest.fixture(params=SCENARIOS)
def mission(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> RunConfig:
    """The global run of a scenario."""
    for name in ("LURAY_INPUTS", "LURAY_CATALOG", "LURAY_OUTPUT"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return load_run(CATALOGS / "global" / f"{request.param}.toml")


def test_global_runs_differ_by_scenario_alone() -> None:
    files = {path.stem: path.read_text() for path in (CATALOGS / "global").glob("*.toml")}
    together = files.pop("all")
    assert set(files) == set(SCENARIOS)
    _, _, below = together.partition("[storage]\n")
    assert all(text.partition("[storage]\n")[2] == below for text in files.values())
    assert len({text.replace(scenario, "SCENARIO") for scenario, text in files.items()}) == 1


def test_one_global_run_has_every_scenario() -> None:
    run = load_run(CATALOGS / "global" / "all.toml", unset="kept")
    assert set(run.scenario_names) == set(SCENARIOS)
    assert run.output == "${LURAY_OUTPUT}/global"


def test_global_run_is_the_mission(mission: RunConfig) -> None:
    assert mission.scenario in SCENARIOS
    assert mission.name == f"global-{mission.scenario}"
    assert mission.output.endswith(f"/{mission.name}")
    assert mission.tiles == Tiling(18000, 36000, 256, 200, 2000, periodic=True)
    assert (mission.grid.grid.north, mission.grid.grid.west, mission.grid.grid.step) == (
        90,
        -180,
        0.01,
    )
    assert mission.inference.years == (1850, 2100)
    assert mission.years == range(1850, 2101)
    assert mission.directions == ("forward", "backward")
    assert [source.kind for source in mission.sources] == [
        "hilda",
        "luh2",
        "isimip",
        "koppen",
        "gebco",
        "pnnl_topo",
        "pnnl_soil",
    ]
    assert {source.collection for source in mission.sources if source.kind != "aggregated"} == set(
        INPUTS
    )
    [forecast, _] = mission.evaluation.tests
    assert (mission.training.years, forecast.start, forecast.stop) == ((1960, 2000), 2000, 2015)


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: str(path.relative_to(CATALOGS)))
def test_run_files_name_known_collections(
    collections: dict[str, pystac.Collection], path: Path
) -> None:
    run = tomllib.loads(path.read_text())
    assert {source["collection"] for source in run["sources"] if "collection" in source} <= set(
        collections
    )


def test_named_files_serve_every_year(
    collections: dict[str, pystac.Collection], mission: RunConfig
) -> None:
    scenario, years = mission.scenario, mission.years
    [luh2_future] = [
        name
        for name in files_of(collections["luh2"], "future")
        if (m := re.fullmatch(luh2.FUTURE, name)) and m[1] == scenario
    ]
    assert f"-{IAMS[scenario]}-{scenario}-" in luh2_future

    population = [
        re.fullmatch(isimip.NAMES["2b"], name)
        for name in files_of(collections["isimip-population"], "history_2b", "future_2b")
    ]
    served = {
        year
        for m in population
        if m and m[1] in (None, scenario[3])
        for year in range(int(m[2]), int(m[3]) + 1)
    }
    assert set(years) - served == set(range(1850, 1861))

    zones = collections["koppen-geiger"]
    summaries = zones.to_dict()["summaries"]
    assert scenario in summaries["luray:scenarios"]
    periods = [*summaries["luray:past"], *summaries["luray:future"]]
    assert zones.to_dict()["cube:dimensions"]["period"]["values"] == periods
    for year in years:
        first, last = koppen.period_of(year)
        asset = "future" if first >= koppen.FIRST_FUTURE else "past"
        assert f"{first}_{last}" in summaries[f"luray:{asset}"]
        for template in files_of(zones, asset):
            match = re.fullmatch(
                koppen.PATTERN, template.format(period=f"{first}_{last}", ssp=scenario)
            )
            assert match
            assert match[3] == (scenario if asset == "future" else None)

    for name in files_of(collections["hilda"], "states_netcdf"):
        assert re.fullmatch(hilda.NETCDF, name)
    observed = collections["hilda"].extent.temporal.intervals[0]
    assert all(observed[0].year <= year <= observed[1].year for year in mission.inference.observed)


def test_every_forcing_has_the_scenarios(
    collections: dict[str, pystac.Collection],
) -> None:
    found = {
        m[1]
        for name in files_of(collections["luh2"], "future")
        if (m := re.fullmatch(luh2.FUTURE, name))
    }
    assert found == set(IAMS)
    assert set(collections["koppen-geiger"].to_dict()["summaries"]["luray:scenarios"]) <= found


def test_guide_covers_every_input() -> None:
    guide = (CATALOGS / "README.md").read_text()
    for name in INPUTS:
        assert f"| `{name}` |" in guide
        assert re.search(rf"for name in [a-z0-9 -]*\b{name}\b", guide)
