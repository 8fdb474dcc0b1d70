"""The run file: strict TOML that composes the configurations of the components.

Everything is checked before anything runs: an unknown key, a wrong type or an impossible
combination is an error that names the key, what was expected and what to do.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field

from luray.catalog.catalog_config import CatalogConfig
from luray.catalog.publish_config import PublishConfig
from luray.core.arithmetic import ceil_div
from luray.core.config import Config, CpuPrecision, DeviceChoice, Workers
from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import read_legend
from luray.core.tiling import Tiling, TilingConfig
from luray.core.time_steps import Interval, TimeSteps
from luray.core.types import Direction
from luray.engine.blending import BlendingConfig
from luray.engine.demand import DemandConfig
from luray.model.operating_point import OperatingPoint
from luray.model.unet_config import UNetConfig
from luray.product.coarse_cells import DEFAULT_STEP, CoarseCells
from luray.product.overviews import COARSEST_CELLS, Overviews
from luray.product.trajectories import Span
from luray.sources import SourceConfig
from luray.sources.years import format_years
from luray.storage.places import VARIABLE, WEB, Place, is_local
from luray.storage.trust import StorageConfig
from luray.training.recipe import Recipe

if TYPE_CHECKING:
    from luray.storage.checksums import Checksums

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


class TargetConfig(Config):
    """The target of a run: classes that change from year to year, or a quantity that varies.

    `legend` is one of luray's own (`catalogs/legends`) or the path of a TOML file like those. It
    names the classes, or the scale of the values, and the variable that holds the maps.
    """

    kind: Literal["categorical", "continuous"] = "categorical"
    legend: str = "hilda"
    time_step: Interval = "year"
    """How long a map of values holds: a year, month, dekad (a third of a month) or P8D (8 days).
    Years in the run file stay years.
    """

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a legend that is not there, or of another kind."""
        if self.kind == "categorical" and self.time_step != "year":
            raise ValueError(
                f"target.time_step is {self.time_step!r}, which a target of values may have; "
                "classes have a map a year: remove it"
            )
        if re.search(VARIABLE, self.legend):  # a path that is complete only once expanded
            return
        kind = "categorical" if read_legend(self.legend).scale is None else "continuous"
        if kind != self.kind:
            raise ValueError(
                f"target.legend {self.legend!r} is {kind}, and target.kind is {self.kind!r}; set "
                f"target.kind = {kind!r}, or name another legend"
            )

    @property
    def classes(self) -> Legend:
        """The legend."""
        return read_legend(self.legend)


class InferenceConfig(Config):
    """Years to be made, the observed years that they start from, and workers.

    `observed` are the first and last year whose maps luray may copy and start from; the other years
    of `years` are predicted, backward and forward from them, even where maps exist.
    """

    years: tuple[int, int]
    observed: tuple[int, int]
    operating_point: OperatingPoint = "cautious"
    """How much change the model is let predict, see `model.calibration`."""
    workers: Workers = Workers(min=2, max=2)
    """Up to `max` are requested while tile-years wait; idle ones are released, down to `min`."""
    window: int | None = None
    """Model window in cells, together with `stride`.

    By default the stride is twice that of training and the margin the same, where model and tile
    allow it. That costs less and changes next to nothing: see PERFORMANCE.md.
    """
    stride: int | None = None
    device: DeviceChoice = "auto"
    """A worker on a GPU predicts in half precision, and reduces on the CPU meanwhile."""
    threads: int = 1
    """CPU threads of a worker."""
    batch: int = 2
    """Windows of a forward pass."""
    precision: CpuPrecision = "float32"
    """bfloat16: CPUs with AVX512-BF16 or AMX predict in about 0.6 of the time, some cells get
    another class, the product says so, and other CPUs refuse. See PERFORMANCE.md.
    """
    years_in_flight: int = 4
    """Years by which a tile may be ahead of another one."""
    members: int | None = None
    """Members of an ensemble, whose maps are drawn from the probabilities, along dimension
    `member`. Without it the product has the likeliest class, and no such dimension.
    """
    seed: int = 0
    """Seed of the members' draws."""
    probabilities: tuple[int, ...] = ()
    """Predicted years of which the probability of every class is stored as well."""

    def model_post_init(self, _: Any) -> None:  # noqa: D102
        first, last = self.observed
        if first > last or not (self.years[0] <= last and first <= self.years[1]):
            raise ValueError(
                f"inference.observed {first}-{last} must be ascending years that meet "
                f"inference.years {self.years[0]}-{self.years[1]}"
            )
        for key in ("threads", "batch", "years_in_flight"):
            if getattr(self, key) < 1:
                raise ValueError(f"inference.{key} is {getattr(self, key)}, expected at least 1")
        if (self.window is None) != (self.stride is None):
            raise ValueError(
                "inference.window and inference.stride go together, expected both or neither; "
                "give both"
            )
        if self.members is not None and self.members < 1:
            raise ValueError(
                f"inference.members is {self.members}, expected at least 1; leave it out for one "
                "map of the likeliest classes"
            )
        if self.seed < 0:
            raise ValueError(f"inference.seed is {self.seed}, expected 0 or more")
        predicted = set(self.span.years) - set(self.span.copied)
        repeated = {year for year in self.probabilities if self.probabilities.count(year) > 1}
        wrong = sorted(repeated | (set(self.probabilities) - predicted))
        if wrong:
            raise ValueError(
                f"inference.probabilities has {wrong}, expected predicted years "
                f"({format_years(predicted)}), each once; correct the list"
            )

    @property
    def span(self) -> Span:
        """Years and observed years as a value."""
        return Span(*self.years, self.observed)


class ProductConfig(Config):
    """Companions of the maps in a product: coarse cells and overviews."""

    coarse_step: float | None = None
    """Size in degrees of the coarse cells that have fractions and transitions.

    By default that of LUH2, where coarse cells nest in the grid and in its tiles; else the product
    has neither, and says so.
    """
    overview_cells: int = COARSEST_CELLS
    """About the cells along the longer side of the coarsest overview. A product whose maps have
    fewer has no overviews.
    """

    def model_post_init(self, _: Any) -> None:  # noqa: D102
        if self.coarse_step is not None and self.coarse_step <= 0:
            raise ValueError(
                f"product.coarse_step is {self.coarse_step}, expected degrees, more than 0"
            )
        if self.overview_cells < 1:
            raise ValueError(
                f"product.overview_cells is {self.overview_cells}, expected 1 or more; a large "
                "number for no overviews"
            )


class RolloutTest(Config):
    """One test: a rollout from the map of `start` to `stop`, backward where `stop` is earlier."""

    name: str
    start: int
    stop: int
    operating_point: OperatingPoint | None = None
    """The operating point, that of the inference unless given."""

    @property
    def direction(self) -> Direction:
        """Return the direction of travel."""
        return "forward" if self.stop > self.start else "backward"

    @property
    def span(self) -> Span:
        """Return the years of the rollout, a product whose only observed year is the start."""
        first, last = sorted((self.start, self.stop))
        return Span(first, last, (self.start, self.start))


class EvaluationConfig(Config):
    """Rollouts over years that training has not seen."""

    tests: tuple[RolloutTest, ...] = ()
    zones: str = ""
    """A categorical variable of a source, such as climate: scores are given by its categories, too.
    Of values its categories also have a climatology, with which the model is compared.
    """


class RunConfig(Config):
    """A whole run.

    Its outputs (cube, models, product, report, pictures, STAC catalog) go to `output`, a local
    path or a URL that begins with s3:// or gs://.
    """

    name: str
    title: str = ""
    scenario: str = "ssp245"
    """The scenario of a product without that dimension."""
    scenarios: tuple[str, ...] | None = None
    """The scenarios of a product with dimension `scenario`.

    Models are trained and tested on the inputs of the first one. The years of training are
    history, and where inputs differ already (ISIMIP from 2006) those of the first scenario count.
    """
    output: Place
    storage: StorageConfig = StorageConfig()
    catalog: CatalogConfig | None = None
    grid: GridConfig
    target: TargetConfig = TargetConfig()
    sources: tuple[SourceConfig, ...]
    tiling: TilingConfig = TilingConfig()
    blending: BlendingConfig = BlendingConfig()
    demand: DemandConfig = DemandConfig()
    model: UNetConfig = UNetConfig()
    training: Recipe
    inference: InferenceConfig
    product_config: ProductConfig = Field(ProductConfig(), alias="product")
    evaluation: EvaluationConfig = EvaluationConfig()
    publish: PublishConfig = PublishConfig()

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
                    "[catalog]; add one with its url, or give the source a path"
                )
        if not re.search(VARIABLE, self.target.legend):
            for source in self.sources:
                source.declared_for(self.target.classes)
        self._check_windows()
        self._check_coarse_step()
        if self.target.kind == "continuous":
            self._check_values()
        elif self.training.noise.kind == "jitter":
            raise ValueError(
                "training.noise.kind is 'jitter', which is for values, and the target is "
                "categorical; set 'mask' or 'replace'"
            )
        for test in self.evaluation.tests:
            self._check_test(test)

    def _check_windows(self) -> None:
        """Raise ValueError for a window that the U-Net cannot halve as often as it is deep."""
        unit = 2**self.model.depth
        if self.tiling.window % unit:
            larger = ceil_div(self.tiling.window, unit) * unit
            raise ValueError(
                f"tiling.window {self.tiling.window} must be a multiple of 2^depth = {unit}; set "
                f"tiling.window = {larger} or a smaller model.depth"
            )
        window = self.inference_tiles.window
        if window % unit:
            raise ValueError(
                f"inference.window {window} must be a multiple of 2^depth = {unit}; set another, "
                "or a smaller model.depth"
            )

    def _check_values(self) -> None:
        """Raise ValueError for a setting that only classes have."""
        inference = self.inference
        of_classes = {
            "inference.members": inference.members is not None,
            "inference.probabilities": bool(inference.probabilities),
            "product.coarse_step": self.product_config.coarse_step is not None,
            "training.class_balance": self.training.class_balance > 0,
            "demand.strength": self.demand.strength > 0,
        }
        given = [key for key, is_given in of_classes.items() if is_given]
        if given:
            raise ValueError(
                f"{', '.join(given)} is for classes, and the target is continuous; remove it"
            )

    def _check_coarse_step(self) -> None:
        """Raise ValueError for coarse cells that were asked for and do not nest."""
        step = self.product_config.coarse_step
        if step is None:
            return
        try:
            self._coarse_cells(step)
        except ValueError as error:
            raise ValueError(f"product.coarse_step: {error}") from None

    def _coarse_cells(self, step: float) -> CoarseCells:
        """Return coarse cells of a size; raise ValueError where they do not nest."""
        return CoarseCells.of(self.grid.grid, step, tile=self.tiling.tile)

    def _check_test(self, test: RolloutTest) -> None:
        """Raise ValueError for a test that scores years which training sees."""
        low, high = sorted((test.start, test.stop))
        first, last = self.training.years
        scored = set(range(low, high + 1)) - {test.start}
        if not scored or scored & set(range(first, last + 1)):
            raise ValueError(
                f"evaluation test {test.name!r} scores {low}-{high} but training sees "
                f"{first}-{last}; a test starts where training ends and shares no other year with "
                "it"
            )

    def _check_scenarios(self) -> None:
        """Raise ValueError for names that cannot be those of a dimension, groups and receipts."""
        if self.scenarios is None:
            return
        if "scenario" in self.model_fields_set:
            raise ValueError(
                f"scenario = {self.scenario!r} and scenarios = {list(self.scenarios)} are both "
                "given; remove `scenarios` for a product of one scenario, `scenario` for one with "
                "a dimension"
            )
        if not self.scenarios or len(set(self.scenarios)) < len(self.scenarios):
            raise ValueError(
                f"scenarios is {list(self.scenarios)}, expected one or more, each once; name at "
                "least one, or remove the key"
            )
        wrong = [name for name in self.scenarios if not re.fullmatch(SCENARIO, name)]
        if wrong:
            raise ValueError(
                f"scenarios has {wrong}, expected names of letters and digits such as ssp126 (but "
                "not `across` or `m1`, which name receipts); correct them"
            )

    @property
    def scenario_names(self) -> tuple[str, ...]:
        """Return every scenario; models are trained and tested on the first one."""
        return self.scenarios or (self.scenario,)

    @property
    def tiles(self) -> Tiling:
        """Return the windows and tiles of training, over the run grid."""
        grid = self.grid.grid
        return Tiling(
            *grid.shape, self.tiling.window, self.tiling.stride, self.tiling.tile, grid.periodic
        )

    @property
    def inference_tiles(self) -> Tiling:
        """Return the same tiles with the windows of inference."""
        tiles = self.tiles
        if self.inference.window is not None and self.inference.stride is not None:
            return replace(tiles, window=self.inference.window, stride=self.inference.stride)

        stride = 2 * tiles.stride
        window = stride + 2 * tiles.margin
        tile_fits = tiles.tile % stride == 0
        model_fits = window % 2**self.model.depth == 0
        if tile_fits and model_fits and window <= tiles.n_lon:
            return replace(tiles, window=window, stride=stride)
        return tiles

    @property
    def coarse_cells(self) -> CoarseCells | None:
        """Return the coarse cells of the product.

        None where those of the default do not nest, and for values, of which there are no shares.
        """
        if self.target.kind == "continuous":
            return None
        step = self.product_config.coarse_step
        if step is not None:
            return self._coarse_cells(step)
        try:
            return self._coarse_cells(DEFAULT_STEP)
        except ValueError:
            return None

    @property
    def overviews(self) -> Overviews:
        """Return the levels of the product's overviews."""
        return Overviews.over(self.tiles, coarsest=self.product_config.overview_cells)

    @property
    def product_caveats(self) -> tuple[str, ...]:
        """Return what readers of the product must know of what it lacks."""
        if self.product_config.coarse_step is not None or self.target.kind == "continuous":
            return ()
        try:
            self._coarse_cells(DEFAULT_STEP)
        except ValueError as error:
            return (f"no fractions and transitions: {error}; or set product.coarse_step",)
        return ()

    @property
    def time(self) -> TimeSteps:
        """Return the time steps of the target."""
        return TimeSteps(self.target.time_step)

    @property
    def steps(self) -> range:
        """Return every time step of `years`."""
        return self.time.of_years(self.years[0], self.years[-1])

    @property
    def span(self) -> Span:
        """Return the time steps of the product, and of its observed maps."""
        steps = self.time.of_years(*self.inference.years)
        observed = self.time.of_years(*self.inference.observed)
        return Span(steps[0], steps[-1], (observed[0], observed[-1]))

    @property
    def tests(self) -> tuple[RolloutTest, ...]:
        """Return the tests in time steps: forward from the last step of `start` to that of `stop`.

        Backward, from the first step of `start` to that of `stop`.
        """
        in_steps = []
        for test in self.evaluation.tests:
            k = self.time.per_year - 1 if test.direction == "forward" else 0
            ends = {"start": self.time.step(test.start, k), "stop": self.time.step(test.stop, k)}
            in_steps.append(test.model_copy(update=ends))
        return tuple(in_steps)

    @property
    def unet(self) -> UNetConfig:
        """Return the model; where there are several maps a year it is shown a year and one more."""
        if self.time.per_year > 1 and "history" not in self.model.model_fields_set:
            return self.model.model_copy(update={"history": self.time.per_year + 1})
        return self.model

    @property
    def years(self) -> range:
        """Return every year that the run touches: product, training and tests."""
        touched = [*self.inference.years, *self.inference.observed, *self.training.years]
        for test in self.evaluation.tests:
            touched += [test.start, test.stop]
        return range(min(touched), max(touched) + 1)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Return the directions that the product or a test travels in; each has a model."""
        travelled = set(self.span.chains)
        travelled.update(test.direction for test in self.evaluation.tests)
        return tuple(direction for direction in get_args(Direction) if direction in travelled)

    def path(self, *parts: str) -> str:
        """Return a place in the output.

        A local one is absolute, for workers run in folders of their own.
        """
        local = is_local(self.output)
        output = str(Path(self.output).resolve()) if local else self.output.rstrip("/")
        return "/".join([output, *parts])

    @property
    def lasting(self) -> bool:
        """Return whether the output does not depend on where the command runs."""
        return not is_local(self.output) or Path(self.output).is_absolute()

    @property
    def reach(self) -> StorageConfig:
        """Return the options of the stores.

        The run's own catalog may lead to what lies below it, through references as well.
        """
        allow = self.storage.allow
        if self.catalog:
            allow = (*allow, self.catalog.root)
        return self.storage.model_copy(update={"allow": allow})

    @property
    def cube(self) -> str:
        """Return the place of the predictor cube."""
        return self.path("cube.zarr")

    @property
    def product(self) -> str:
        """Return the place of the product."""
        return self.path("product.zarr")

    @property
    def publication(self) -> "Checksums":
        """Return the checksums of the STAC catalog, the RO-Crate and the GeoTIFFs."""
        from luray.storage.checksums import Checksums

        return Checksums(self.path("publication.sha256"), self.path())

    @property
    def cogs(self) -> str:
        """Return the folder of the cloud-optimised GeoTIFFs."""
        return self.path("cogs")

    def model_folder(self, direction: Direction) -> str:
        """Return the folder of the model of a direction."""
        return self.path("model", direction)
