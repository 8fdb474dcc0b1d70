"""A source that luray does not know, from the run file to the cube and back: one class registered.

The invented data set has the brightness of the night, one text file a year, and from 2002 on one a
year and scenario. Everything above the line of dashes would be the new source's file.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from luray.core.grid import Grid
from luray.core.regrid import grid_map
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.cube.build import create, write_piece
from luray.cube.cube import Cube
from luray.cube.finish import finish
from luray.planning.expected_cube import expected_cube
from luray.sources import kinds, register, registry
from luray.sources.base import About, Described, FilesConfig, Request, Source, held_years
from luray.sources.discover import matching
from luray.stages.build import plan_cube
from luray.stages.inputs import open_or_refuse
from luray.stages.run_file import ConfigError, load_run
from tests.sources.writers import write_tif

FIRST_FUTURE = 2002

BRIGHTNESS = Variable(name="brightness", role="forcing", units="1", long_name="light of the night")


class LightsConfig(FilesConfig):
    """Where the lights are."""

    about: ClassVar[About] = About(
        title="Lights of the night",
        doi="",
        licence="CC0-1.0",
        url="https://lights.example",
        files=("lights_{year}.txt", "lights_{year}_{scenario}.txt"),
    )
    by_scenario: ClassVar[bool] = True
    native_step: ClassVar[float | None] = 2.0
    kind: Literal["lights"]

    @property
    def declared(self) -> tuple[Variable, ...]:
        return (BRIGHTNESS,)

    def place_of(self, year: int, scenario: str) -> Hashable:
        return year, scenario if year >= FIRST_FUTURE else ""

    def open(self, request: Request) -> Source:
        files = {}
        for url, match in matching(self, r"lights_(\d{4})(?:_(\w+))?\.txt"):
            if match[2] in (None, request.scenario):
                files[int(match[1])] = url
        places = {year: files[year] for year in request.run_years}
        return Lights(
            name=self.label,
            about=self.about,
            grid=Grid(90, -180, 2.0, 90, 180),
            variables=self.declared,
            years=tuple(places),
            places=places,
            held=held_years(places),
            rules=("read as published",),
            files=tuple(places.values()),
        )


@dataclass(frozen=True, kw_only=True)
class Lights(Described):
    """Brightness of each year."""

    places: Mapping[int, str]

    def read(self, year: int | None, box: Box) -> NDArray[Any]:
        assert year is not None
        brightness_HW = np.loadtxt(self.places[year], dtype=np.float32)
        return brightness_HW[box.slices(origin=Box(0, 0, 0, 0))][None]


# ------------------------------------------------------------------------------------------------

SCENARIOS = ("ssp126", "ssp585")
YEARS = range(2000, 2004)
RUN_GRID = Grid(10, 20, 0.5, 16, 24)

RUN_FILE = """
name = "seventh"
output = "{folder}/out"
scenarios = ["ssp126", "ssp585"]
grid = {{ north = 10.0, west = 20.0, step = 0.5, shape = [16, 24] }}
sources = [
    {{ kind = "lights", path = "{folder}/lights" }},
    {{ kind = "hilda", path = "{folder}/hilda" }},
]
tiling = {{ window = 16, stride = 8, tile = 8 }}
model = {{ width = 4, depth = 2 }}
training = {{ years = [2000, 2001] }}
inference = {{ years = [2000, 2003], observed = [2000, 2001] }}
"""


@pytest.fixture
def registered(monkeypatch):
    """The new source is known for the length of a test."""
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    register(LightsConfig)


@pytest.fixture
def run_file(tmp_path):
    """A run file whose inputs, maps of HILDA+ and lights, are there."""
    random = np.random.default_rng(7)
    for year in (2000, 2001):
        codes = random.choice(np.array([11, 22, 44], np.uint8), RUN_GRID.shape)
        name = f"hilda/hilda_plus_states_{year}_GLOB-v2_wgs84.tif"
        write_tif(tmp_path / name, codes, north=10, west=20, step=0.5)

    (tmp_path / "lights").mkdir()
    for year in YEARS:
        for end in [f"_{name}" for name in SCENARIOS] if year >= FIRST_FUTURE else [""]:
            np.savetxt(tmp_path / f"lights/lights_{year}{end}.txt", random.random((90, 180)))

    file = tmp_path / "run.toml"
    file.write_text(RUN_FILE.format(folder=tmp_path))
    return file


def built(run):
    """The cube of a run, built without Ray."""
    plan = plan_cube(run)
    create(plan)
    for phase in plan.pieces():
        for piece in phase:
            write_piece(plan, piece)
    finish(plan)
    return Cube.open(run.cube)


def test_an_unknown_kind_is_refused(run_file):
    with pytest.raises(ConfigError, match="'lights' found using 'kind' does not match any"):
        load_run(run_file)


def test_a_registered_kind_is_listed(registered):
    assert list(kinds())[-1] == "lights"
    assert kinds()["lights"].title == "Lights of the night"


def test_two_classes_of_one_kind_are_refused(registered):
    class OtherLights(FilesConfig):
        kind: Literal["lights"]

    register(LightsConfig)
    with pytest.raises(ValueError, match="OtherLights has kind 'lights', which is that of Lights"):
        register(OtherLights)
    with pytest.raises(ValueError, match="FilesConfig does not say its kind"):
        register(FilesConfig)


def test_a_wrong_key_of_it_is_explained(registered, run_file):
    with pytest.raises(ConfigError, match=r"sources\.0\.lights\.pth: unknown key; did you mean 'p"):
        load_run(run_file, ["sources.0.pth=x"])


def test_what_it_wants_is_said(registered, run_file, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    wanted = r"lights: lights_\{year\}\.txt, .* in \$\{NO_SUCH_PLACE\} \(Lights of the night, https"
    with pytest.raises(ConfigError, match=wanted):
        load_run(run_file, ["sources.0.path=${NO_SUCH_PLACE}"])


def test_it_opens_with_its_scenarios(registered, run_file):
    opened = open_or_refuse(load_run(run_file))
    assert [one.name for one in opened] == ["lights", "lights@ssp585", "hilda"]
    assert not any(one.fault for one in opened)
    assert opened[1].source.years == (2002, 2003)


def test_its_values_come_back_from_the_cube(registered, run_file):
    cube = built(load_run(run_file))
    box = Box(0, 0, *RUN_GRID.shape)
    for scenario in SCENARIOS:
        view = cube.of_scenario(scenario)
        [layer] = view.forcing
        assert layer.path == "forcing/lights/values"
        assert layer.variables == (BRIGHTNESS,)
        rows, cols = grid_map(layer.grid, RUN_GRID, "nearest").take(box)
        pieces = rows.needed(), cols.needed()

        for year in YEARS:
            end = f"_{scenario}" if year >= FIRST_FUTURE else ""
            published = np.loadtxt(run_file.parent / f"lights/lights_{year}{end}.txt")
            stored = view.native(layer, layer.lead(year), pieces)[0]
            # the run grid begins 80 degrees below the pole and 200 east of the dateline, at 20 E
            np.testing.assert_array_equal(stored, published[40:44, 100:106].astype(np.float32))


def test_planning_expects_the_cube_that_is_built(registered, run_file):
    run = load_run(run_file)
    cube = built(run)
    expected = expected_cube(
        run.cube,
        grid=run.grid.grid,
        sources=run.sources,
        years=run.years,
        observed=cube.years,
        scenarios=SCENARIOS,
    )
    assert expected.features == cube.features
    for scenario in SCENARIOS:
        [planned] = expected.scenarios[scenario]
        [stored] = cube.scenarios[scenario]
        assert (planned.path, planned.grid) == (stored.path, stored.grid)
        assert planned.steps == stored.steps
