"""The emulator as a component of the Basic Model Interface (BMI) 2.0.

BMI is how models of CSDMS couple (Hutton et al. 2020, doi:10.21105/joss.02317): a host that knows
the interface knows every method here. Arrays are flat, row by row from the north-west.
"""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luray.core.legend import LONG_NAME, NO_DATA
from luray.core.types import F64, U8
from luray.emulator import state_file
from luray.emulator.config import EmulatorConfig, read_config
from luray.emulator.rollout import RegionRollout
from luray.sources.units import conversion

try:
    from bmipy import Bmi
except ImportError as error:
    raise ImportError(
        "luray.emulator needs bmipy, the abstract interface of BMI; pip install 'luray[emulator]'"
    ) from error

STEP_ROUNDING = 1e-6
"""Part of a time step that rounding may take from a time."""

MAP_GRID = 0
"""Identifier of the region's grid; those of the forcing follow, in the order of its layers."""


class GridInfo(NamedTuple):
    """Centres of the cells of a grid in degrees."""

    lat: F64
    lon: F64

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.lat.size, self.lon.size


def _not_of_this_grid(*_: Any) -> Any:
    """Raise NotImplementedError, as BMI asks of what a rectilinear grid has not."""
    raise NotImplementedError(
        "grids are rectilinear, in two dimensions: see get_grid_x and get_grid_y"
    )


class LandSurface(Bmi):
    """Land use of a region, one year a step, without Ray.

    The maps equal those of `luray infer` to the bit where the inputs are the same: where the region
    is the whole run grid, or an island that no window looks out of (`edge = "closed"`), and
    everywhere else with `edge = "product"`, which reads what lies around the region from that
    finished product. With `edge = "observed"` the surroundings stay as they were at the start, and
    the maps differ from a product's near the region's edge, further inside every year.

    A host sets the forcing of the coming year on its native grids: shares of classes, population,
    climate. What it does not set is the cube's. Time is in years since the start.

    Examples
    --------
    A file `emulator.toml` has three keys, and window and stride where the run has others than the
    default (`luray.stages.emulator` makes it from a run file)::

        cube = "build/demo/cube.zarr"
        model = "build/demo/model/forward"
        start = 2015

    One year with twice the people:

    >>> land = LandSurface()
    >>> land.initialize("emulator.toml")  # doctest: +SKIP
    >>> people = land.get_value_ptr("people")  # doctest: +SKIP
    >>> land.set_value("people", 2 * people)  # doctest: +SKIP
    >>> land.update()  # doctest: +SKIP
    >>> codes = land.get_value_ptr("land_use")  # doctest: +SKIP
    >>> land.get_current_time(), codes.dtype  # doctest: +SKIP
    (1.0, dtype('uint8'))
    >>> land.finalize()
    """

    def __init__(self) -> None:
        self._rollout: RegionRollout | None = None
        self._outputs: dict[str, U8] = {}
        self._grids: list[GridInfo] = []

    # Control

    def initialize(self, config_file: str | Path | EmulatorConfig) -> None:
        """Open cube and model, and go to the observed map of the start.

        Parameters
        ----------
        config_file : path or EmulatorConfig
            A TOML file with the keys of `EmulatorConfig`.

        Raises
        ------
        ValueError, FileNotFoundError
            For a configuration that cannot be computed; the message says what to do.
        """
        if isinstance(config_file, EmulatorConfig):
            config = config_file
        else:
            config = read_config(config_file)
        self._rollout = RegionRollout(config)
        region = self._running.domain.region
        grid = self._running.cube.grid
        rows, cols = region.slices(origin=region._replace(row=0, col=0))
        self._grids = [GridInfo(grid.lat[rows], grid.lon[cols])]
        forcing = self._running.forcing
        for layer in forcing.layers:
            cells = forcing.cube.cells[layer.path]
            self._grids.append(GridInfo(cells.lat, cells.lon))
        self._outputs = {
            name: np.empty(region.shape, np.uint8) for name in self.get_output_var_names()
        }
        self._write_outputs()

    def update(self) -> None:
        """Predict the coming year.

        Raises
        ------
        ValueError
            After the last year, and where forcing of the coming year lacks or is impossible. The
            emulator is as it was then.
        """
        self._running.step()
        self._write_outputs()

    def update_until(self, time: float) -> None:
        """Predict year after year until a time, a whole number of years since the start.

        Where maps have several time steps a year, a whole number of these.

        Raises
        ------
        ValueError
            For a part of a step, a time in the past, and one after the last year.
        """
        now = self.get_current_time()
        end = self.get_end_time()
        per_year = self._running.cube.time.per_year
        n_steps = round(time * per_year)
        is_whole = abs(time * per_year - n_steps) < STEP_ROUNDING
        if not is_whole or not round(now * per_year) <= n_steps <= round(end * per_year):
            steps = "years" if per_year == 1 else f"steps of 1/{per_year} year"
            raise ValueError(
                f"update_until({time}): expected a whole number of {steps} since the start, from "
                f"{now:g}, which is now, to {end:g}; choose one of them"
            )
        while round(self.get_current_time() * per_year) < n_steps:
            self.update()

    def finalize(self) -> None:
        """Release model and maps; `initialize` may be called again."""
        self._rollout = None
        self._outputs = {}
        self._grids = []

    @property
    def year(self) -> int:
        """Calendar year of the map."""
        return self._running.cube.time.year(self._running.year)

    def save_state(self, place: str | Path) -> None:
        """Write a file from which an emulator of the same configuration goes on, to the bit.

        Parameters
        ----------
        place : str or path
            A local path, s3:// or gs://. It holds what the host has set for the coming year, too.
        """
        state_file.save(self._running, str(place))

    def restore_state(self, place: str | Path) -> None:
        """Go on from a state of this emulator or another one of the same configuration.

        Raises
        ------
        ValueError
            For the state of another model, cube, region or configuration.
        """
        state_file.restore(self._running, str(place))
        self._write_outputs()

    @property
    def _running(self) -> RegionRollout:
        if self._rollout is None:
            raise RuntimeError("the emulator is not initialized; call initialize(config_file)")
        return self._rollout

    def _write_outputs(self) -> None:
        """Write the newest map into the arrays that the host may hold."""
        rollout = self._running
        classes_HW = rollout.maps[rollout.year]
        with_no_data = np.where(rollout.no_data_HW, np.uint8(NO_DATA), classes_HW)
        self._outputs[rollout.cube.legend.variable][...] = rollout.cube.legend.decode(with_no_data)
        self._outputs[self._certainty][...] = rollout.confidence_HW

    # What there is

    def get_component_name(self) -> str:
        """Return the name of the component."""
        target = LONG_NAME if self._rollout is None else self._rollout.cube.legend.long_name
        return f"luray {target}"

    def get_input_item_count(self) -> int:
        """Return the number of forcing variables."""
        return len(self.get_input_var_names())

    def get_output_item_count(self) -> int:
        """Return the number of outputs."""
        return len(self.get_output_var_names())

    def get_input_var_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the names of the forcing variables, in the order of the model's inputs."""
        layers = self._running.forcing.layers
        variables = chain.from_iterable(layer.variables for layer in layers)
        return tuple(variable.name for variable in variables)

    def get_output_var_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return the name of the maps and that of how certain they are.

        Maps of classes hold codes, and there is `confidence` in percent. Maps of values hold whole
        numbers of steps, see `get_var_units`, and there is their `spread`, 255 where there is none.
        """
        return self._running.cube.legend.variable, self._certainty

    @property
    def _certainty(self) -> str:
        """Name of the output that says how certain a map is."""
        return "confidence" if self._running.cube.legend.scale is None else "spread"

    def get_var_grid(self, name: str) -> int:
        """Return the grid that a variable is on."""
        self._check_name(name)
        if name in self.get_output_var_names():
            return MAP_GRID
        for number, layer in enumerate(self._running.forcing.layers, MAP_GRID + 1):
            if any(variable.name == name for variable in layer.variables):
                return number
        raise AssertionError(name)

    def get_var_type(self, name: str) -> str:
        """Return the type of a variable as NumPy names it."""
        return str(self._values(name).dtype)

    def get_var_units(self, name: str) -> str:
        """Return the unit of a variable; 1 for class codes and categories.

        That of values is UDUNITS' of one step, such as 0.05 m2 m-2: value = first + number * step.
        """
        self._check_name(name)
        if name in self.get_output_var_names():
            scale = self._running.cube.legend.scale
            if scale is not None:
                return f"{scale.step:g} {scale.units}"
            return "%" if name == "confidence" else "1"
        return self._running.forcing.variable(name).units

    def get_var_itemsize(self, name: str) -> int:
        """Return the bytes of one value."""
        return self._values(name).itemsize

    def get_var_nbytes(self, name: str) -> int:
        """Return the bytes of all values."""
        return self._values(name).nbytes

    def get_var_location(self, name: str) -> str:
        """Return `node`: values are those of cells, whose centres are the nodes of the grid."""
        self._check_name(name)
        return "node"

    # Time

    def get_current_time(self) -> float:
        """Return the years since the start."""
        return (self._running.year - self._running.start) * self.get_time_step()

    def get_start_time(self) -> float:
        """Return 0: the observed map of `start`."""
        return 0.0

    def get_end_time(self) -> float:
        """Return the years from the start to the last year that can be predicted."""
        return (self._running.end - self._running.start) * self.get_time_step()

    def get_time_units(self) -> str:
        """Return `year`: calendar years."""
        return "year"

    def get_time_step(self) -> float:
        """Return 1 year, or the part of it that a step is on average."""
        return 1 / self._running.cube.time.per_year

    # Values

    def get_value(self, name: str, dest: NDArray[Any]) -> NDArray[Any]:
        """Copy the values of a variable: a forcing's are those of the coming year.

        Parameters
        ----------
        name : str
            An input or output.
        dest : array
            Of the variable's type, with as many values as its grid has cells.

        Returns
        -------
        array
            `dest`.
        """
        values = self._values(name)
        self._check_array(name, dest, values)
        dest.reshape(-1)[:] = values.reshape(-1)
        return dest

    def get_value_ptr(self, name: str) -> NDArray[Any]:
        """Return the values of a variable without a copy; they change with every update.

        They cannot be written to: `set_value` checks what a host sets.
        """
        values = self._values(name).reshape(-1)
        values.flags.writeable = False
        return values

    def get_value_at_indices(
        self, name: str, dest: NDArray[Any], inds: NDArray[np.int_]
    ) -> NDArray[Any]:
        """Copy the values of some cells, given by their places in the flat array."""
        values = self._values(name).reshape(-1)
        inds = self._check_indices(name, inds, values)
        self._check_array(name, dest, values[inds])
        dest.reshape(-1)[:] = values[inds]
        return dest

    def set_value(self, name: str, src: NDArray[Any], *, units: str = "") -> None:
        """Set a forcing of the coming year; the year after has the cube's values again.

        Parameters
        ----------
        name : str
            A forcing variable.
        src : array
            As many values as its grid has cells, flat or with rows and columns. NaN is missing.
        units : str, optional
            Their unit, where it is another one than the variable's; they are converted.

        Raises
        ------
        ValueError
            For another shape, a type or unit that does not convert, and values out of range.
        """
        values = self._values_to_set(name)
        src = np.asarray(src)
        if src.shape not in ((values.size,), values.shape):
            raise self._wrong_shape(name, src.shape, values)
        converted = self._converted(name, src.reshape(values.shape), units)
        self._running.forcing.set_values(name, converted)

    def set_value_at_indices(
        self, name: str, inds: NDArray[np.int_], src: NDArray[Any], *, units: str = ""
    ) -> None:
        """Set a forcing of the coming year in some cells, given by their places; see `set_value`.

        Where the cube has no values of the year, the other cells are missing.
        """
        values = self._values_to_set(name)
        inds = self._check_indices(name, inds, values)
        src = np.asarray(src)
        if src.size != inds.size:
            raise ValueError(
                f"set_value_at_indices({name!r}): {src.size} values for {inds.size} cells, "
                "expected one a cell; correct either"
            )
        changed = values.copy()
        changed.reshape(-1)[inds] = self._converted(name, src.reshape(-1), units)
        self._running.forcing.set_values(name, changed)

    def _values(self, name: str) -> NDArray[Any]:
        """Return the values of a variable where they are held, with rows and columns."""
        self._check_name(name)
        if name in self.get_output_var_names():
            return self._outputs[name]
        return self._running.forcing.coming(name)

    def _values_to_set(self, name: str) -> NDArray[Any]:
        if name in self.get_output_var_names():
            raise ValueError(
                f"{name} is an output, which is predicted and cannot be set; expected one of "
                f"{', '.join(self.get_input_var_names())}"
            )
        return self._values(name)

    def _check_name(self, name: str) -> None:
        names = (*self.get_input_var_names(), *self.get_output_var_names())
        if name not in names:
            raise ValueError(
                f"no variable {name!r}, expected one of {', '.join(names)}; correct it"
            )

    def _check_array(self, name: str, dest: NDArray[Any], values: NDArray[Any]) -> None:
        """Raise ValueError unless an array can receive values as they are."""
        if dest.size != values.size:
            raise self._wrong_shape(name, dest.shape, values)
        if dest.dtype != values.dtype:
            raise ValueError(
                f"{name}: array of {dest.dtype}, expected {values.dtype}; make one with "
                "get_var_type"
            )

    def _check_indices(
        self, name: str, inds: NDArray[np.int_], values: NDArray[Any]
    ) -> NDArray[np.int_]:
        inds = np.asarray(inds).reshape(-1)
        is_whole = np.issubdtype(inds.dtype, np.integer)
        if not is_whole or (inds.size and not 0 <= inds.min() <= inds.max() < values.size):
            raise ValueError(
                f"{name}: indices {inds[:5]} .., expected whole numbers from 0 to "
                f"{values.size - 1}; correct them"
            )
        return inds

    def _wrong_shape(self, name: str, shape: tuple[int, ...], values: NDArray[Any]) -> ValueError:
        number = self.get_var_grid(name)
        rows, cols = self._grid(number).shape
        return ValueError(
            f"{name}: array of shape {shape}, expected {values.size} values, {rows} rows from the "
            f"north of {cols} columns (grid {number}); regrid it to get_grid_y and get_grid_x"
        )

    def _converted(self, name: str, values: NDArray[Any], units: str) -> NDArray[Any]:
        """Return values in the variable's own type and unit; raise ValueError for others."""
        variable = self._running.forcing.variable(name)
        expected = self._values(name).dtype
        if values.dtype.kind not in "iuf":
            raise ValueError(f"{name}: values of {values.dtype}, expected {expected}; convert them")
        if units:
            values = conversion(units, variable.units, where=f"set_value({name!r})")(values)
        with np.errstate(invalid="ignore"):  # NaN and infinity are no whole numbers, see below
            converted = values.astype(expected)
        if expected.kind in "iu" and not np.array_equal(converted, values):
            raise ValueError(
                f"{name}: values of {values.dtype} that {expected} cannot hold (such as "
                f"{values[converted != values].flat[0]}), expected whole numbers; convert them"
            )
        return converted

    # Grids

    def get_grid_rank(self, grid: int) -> int:
        """Return 2: latitude and longitude."""
        self._grid(grid)
        return 2

    def get_grid_size(self, grid: int) -> int:
        """Return the number of cells."""
        rows, cols = self._grid(grid).shape
        return rows * cols

    def get_grid_type(self, grid: int) -> str:
        """Return `rectilinear`: rows go from north to south, which `uniform` does not allow."""
        self._grid(grid)
        return "rectilinear"

    def get_grid_shape(self, grid: int, shape: NDArray[np.int_]) -> NDArray[np.int_]:
        """Write rows and columns."""
        shape[:] = self._grid(grid).shape
        return shape

    def get_grid_x(self, grid: int, x: F64) -> F64:
        """Write the longitude of the centre of each column in degrees."""
        x[:] = self._grid(grid).lon
        return x

    def get_grid_y(self, grid: int, y: F64) -> F64:
        """Write the latitude of the centre of each row in degrees, from north to south."""
        y[:] = self._grid(grid).lat
        return y

    def get_grid_node_count(self, grid: int) -> int:
        """Return the number of cells, whose centres are the nodes."""
        return self.get_grid_size(grid)

    def _grid(self, grid: int) -> GridInfo:
        if not 0 <= grid < len(self._grids):
            raise ValueError(
                f"no grid {grid}, expected one from 0 to {len(self._grids) - 1}; ask get_var_grid"
            )
        return self._grids[grid]

    get_grid_z: Any = _not_of_this_grid
    get_grid_spacing: Any = _not_of_this_grid
    get_grid_origin: Any = _not_of_this_grid
    get_grid_edge_count: Any = _not_of_this_grid
    get_grid_face_count: Any = _not_of_this_grid
    get_grid_edge_nodes: Any = _not_of_this_grid
    get_grid_face_edges: Any = _not_of_this_grid
    get_grid_face_nodes: Any = _not_of_this_grid
    get_grid_nodes_per_face: Any = _not_of_this_grid
