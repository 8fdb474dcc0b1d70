"""The run file: strict TOML that composes the configurations of the components.

Everything is checked before anything runs: an unknown key, a wrong type or an impossible
combination is an error that names the key, what was expected and what to do.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from luray.catalog.read import CatalogConfig
from luray.core.config import Config, DeviceChoice, LeaveOut, Workers
from luray.core.grid import Grid
from luray.core.tiling import Tiling, TilingConfig
from luray.core.types import Direction
from luray.engine.blending import BlendingConfig
from luray.engine.demand import DemandConfig
from luray.model.calibration import OperatingPoint
from luray.model.unet import UNetConfig
from luray.product.trajectories import Span
from luray.sources import SourceConfig
from luray.sources.years import span as spoken
from luray.storage.places import WEB, Place, is_local
from luray.storage.trust import StorageConfig
from luray.training.recipe import Recipe

SCENARIO = r"(?!across$|m\d+$)[A-Za-z0-9][A-Za-z0-9._-]*"
"""A scenario that names a dimension, groups of the cube and receipts."""


class GridConfig(Config):
    """The run grid: north and west edges and cell size in degrees, shape in cells (lat, lon)."""

    north: float
    west: float
    step: float
    shape: tuple[int, int]

    @property
    def grid(self) -> Grid:
        """The grid as a value."""
        return Grid(self.north, self.west, self.step, *self.shape)


class InferenceConfig(Config):
    """Which years are made, from which observed years, and by how many workers.

    `observed` are the first and last year whose maps luray may copy and start from; the other years
    of `years` are predicted, backward and forward from them, even where maps exist.
    """

    years: tuple[int, int]
    observed: tuple[int, int]
    operating_point: OperatingPoint = "cautious"
    """How much change the model is let predict, see `model.calibration`."""
    workers: Workers = Workers(min=2, max=2)
    """Up to `max` are asked for while tile-years wait; those without work are given back, down to
    `min`.
    """
    window: int | None = None
    """Model window and stride; by default twice the stride of training with its margin, where model
    and tile allow it, which costs less and changes next to nothing: see DESIGN.md.
    """
    stride: int | None = None
    device: DeviceChoice = "auto"
    """A worker on a GPU computes in half precision, and reduces on the CPU meanwhile."""
    threads: int = 1
    batch: int = 2
    years_in_flight: int = 4
    members: int | None = None
    """Maps drawn from the probabilities, along dimension `member`; without it the likeliest class,
    and no dimension.
    """
    seed: int = 0
    """Of the draws."""
    probabilities: tuple[int, ...] = ()
    """Predicted years of which the probability of every class is kept, too."""

    def model_post_init(self, _: Any) -> None:  # noqa: D102
        first, last = self.observed
        if first > last or not (self.years[0] <= last and first <= self.years[1]):
            raise ValueError(
                f"inference.observed {first}-{last} must be ascending years that meet "
                "inference.years "
                f"{self.years[0]}-{self.years[1]}"
            )
        for key in ("threads", "batch", "years_in_flight"):
            if getattr(self, key) < 1:
                raise ValueError(f"inference.{key} is {getattr(self, key)}, expected at least 1")
        if (self.window is None) != (self.stride is None):
            raise ValueError(
                "inference.window and inference.stride go together, expected both or neither; give "
                "both"
            )
        if self.members is not None and self.members < 1:
            raise ValueError(
                f"inference.members is {self.members}, expected at least 1; leave it out for one "
                "map of "
                "the likeliest classes"
            )
        if self.seed < 0:
            raise ValueError(f"inference.seed is {self.seed}, expected 0 or more")
        predicted = set(self.span.years) - set(self.span.copied)
        wrong = sorted(
            {y for y in self.probabilities if self.probabilities.count(y) > 1 or y not in predicted}
        )
        if wrong:
            raise ValueError(
                f"inference.probabilities has {wrong}, expected predicted years "
                f"({spoken(predicted)}), "
                "each once; correct the list"
            )

    @property
    def span(self) -> Span:
        """Years and observed years as a value."""
        return Span(*self.years, self.observed)


class RolloutTest(Config):
    """One test: a rollout from the map of `start` to `stop`, backward where `stop` is earlier."""

    name: str
    start: int
    stop: int
    operating_point: OperatingPoint | None = None
    """That of the inference unless another is named."""

    @property
    def direction(self) -> Direction:
        """Direction of travel."""
        return "forward" if self.stop > self.start else "backward"

    @property
    def span(self) -> Span:
        """The rollout as a product whose only observed year is the start."""
        return Span(
            min(self.start, self.stop), max(self.start, self.stop), (self.start, self.start)
        )


class EvaluationConfig(Config):
    """Rollouts over years that training has not seen."""

    tests: tuple[RolloutTest, ...] = ()
    leave_out: LeaveOut = "nothing"
    """base maps: years are not scored in which a rollout comes to, or from, a map that its source
    declares of another kind (HILDA+ version 1 has 2015).
    """


class RunConfig(Config):
    """A whole run. Outputs go to `output`, local, s3:// or gs://: cube, models, product, report,
    pictures and STAC.
    """

    name: str
    title: str = ""
    scenario: str = "ssp245"
    """The one scenario of a product without that dimension."""
    scenarios: tuple[str, ...] | None = None
    """Those of a product with dimension `scenario`. The first one's view of the inputs is what
    models are trained and tested on: those years are history, and where inputs differ already
    (ISIMIP from 2006) the first one's count.
    """
    output: Place
    storage: StorageConfig = StorageConfig()
    catalog: CatalogConfig | None = None
    grid: GridConfig
    sources: tuple[SourceConfig, ...]
    tiling: TilingConfig = TilingConfig()
    blending: BlendingConfig = BlendingConfig()
    demand: DemandConfig = DemandConfig()
    model: UNetConfig = UNetConfig()
    training: Recipe
    inference: InferenceConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    def model_post_init(self, _: Any) -> None:  # noqa: D102
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(
                f"name {self.name!r} must be letters, digits, dots, dashes; it names files"
            )
        if self.output.partition("://")[0] in WEB:
            raise ValueError(
                "output is on a web server, which cannot be written to; set it to a "
                "local path, s3:// or gs://"
            )
        self._check_scenarios()
        for i, source in enumerate(self.sources):
            if source.collection and self.catalog is None:
                raise ValueError(
                    f"sources.{i} names collection {source.collection!r} but the run has no "
                    "[catalog]; "
                    "add one with its url, or give the source a path"
                )
        if self.tiling.window % 2**self.model.depth:
            unit = 2**self.model.depth
            raise ValueError(
                f"tiling.window {self.tiling.window} must be a multiple of 2^depth = {unit}; set "
                f"tiling.window = {-(-self.tiling.window // unit) * unit} or a smaller model.depth"
            )
        if self.inference_tiles.window % 2**self.model.depth:
            raise ValueError(
                f"inference.window {self.inference_tiles.window} must be a multiple of 2^depth = "
                f"{2**self.model.depth}; set another, or a smaller model.depth"
            )
        for test in self.evaluation.tests:
            low, high = sorted((test.start, test.stop))
            seen = set(range(self.training.years[0], self.training.years[1] + 1)) & (
                set(range(low, high + 1)) - {test.start}
            )
            if test.start == test.stop or seen:
                raise ValueError(
                    f"evaluation test {test.name!r} scores {low}-{high} but training sees "
                    f"{self.training.years[0]}-{self.training.years[1]}; a test starts where "
                    "training "
                    "ends and shares no other year with it"
                )

    def _check_scenarios(self) -> None:
        if self.scenarios is None:
            return
        if "scenario" in self.model_fields_set:
            raise ValueError(
                f"scenario = {self.scenario!r} and scenarios = {list(self.scenarios)} are both "
                "given; "
                "remove `scenarios` for a product of one scenario, `scenario` for one with a "
                "dimension"
            )
        if not self.scenarios or len(set(self.scenarios)) < len(self.scenarios):
            raise ValueError(
                f"scenarios is {list(self.scenarios)}, expected one or more, each once; name at "
                "least "
                "one, or remove the key"
            )
        wrong = [name for name in self.scenarios if not re.fullmatch(SCENARIO, name)]
        if wrong:
            raise ValueError(
                f"scenarios has {wrong}, expected names of letters and digits such as ssp126 (but "
                "not "
                "`across` or `m1`, which name receipts); correct them"
            )

    @property
    def scenario_names(self) -> tuple[str, ...]:
        """Every scenario of the run, the first being the one that models are trained and tested on."""
        return self.scenarios or (self.scenario,)

    @property
    def tiles(self) -> Tiling:
        """Windows and tiles over the run grid."""
        grid = self.grid.grid
        return Tiling(
            *grid.shape, self.tiling.window, self.tiling.stride, self.tiling.tile, grid.periodic
        )

    @property
    def inference_tiles(self) -> Tiling:
        """The same tiles with the windows of inference."""
        tiles = self.tiles
        if self.inference.window is not None and self.inference.stride is not None:
            return replace(tiles, window=self.inference.window, stride=self.inference.stride)
        stride = 2 * tiles.stride
        window = stride + 2 * tiles.margin
        fits = not tiles.tile % stride and not window % 2**self.model.depth
        return (
            replace(tiles, window=window, stride=stride)
            if fits and window <= tiles.n_lon
            else tiles
        )

    @property
    def years(self) -> range:
        """Every year that the run touches: product, training and tests."""
        touched = [
            *self.inference.years,
            *self.inference.observed,
            *self.training.years,
            *(y for t in self.evaluation.tests for y in (t.start, t.stop)),
        ]
        return range(min(touched), max(touched) + 1)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Directions that the product or a test travels in: a model is trained for each."""
        used = {*self.inference.span.chains, *(t.direction for t in self.evaluation.tests)}
        return tuple(d for d in get_args(Direction) if d in used)

    def path(self, *parts: str) -> str:
        """A place in the output, on an object store or local; absolute, for workers run in folders
        of their own.
        """
        output = (
            str(Path(self.output).resolve()) if is_local(self.output) else self.output.rstrip("/")
        )
        return "/".join([output, *parts])

    @property
    def lasting(self) -> bool:
        """True when the output does not lie in a folder that is relative to where the command runs."""
        return not is_local(self.output) or Path(self.output).is_absolute()

    @property
    def reach(self) -> StorageConfig:
        """Options of the stores; what lies below the run's own catalog may be led to, by references
        too.
        """
        allow = (*self.storage.allow, *([self.catalog.root] if self.catalog else []))
        return self.storage.model_copy(update={"allow": allow})

    @property
    def cube(self) -> str:
        """Predictor cube."""
        return self.path("cube.zarr")

    @property
    def product(self) -> str:
        """The product."""
        return self.path("product.zarr")

    def model_folder(self, direction: Direction) -> str:
        """The model of a direction."""
        return self.path("model", direction)
