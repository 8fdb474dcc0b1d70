"""The stage `export-model`: a trained model as files that a host of any language runs.

Both files hold the whole of `luray.model.host_model.HostModel`. Each is run beside it before it has
its name, and the card, which says what goes in and comes out, is written last.
"""

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import luray
from luray.core.grid import Grid
from luray.core.legend import Legend
from luray.core.legend_files import NAMED
from luray.core.value_scale import ValueScale
from luray.core.variable import Variable
from luray.cube.cube import Cube
from luray.export.files import publishing
from luray.model.card import ModelCard
from luray.model.checkpoint import load_model
from luray.model.features import UNKNOWN, Features
from luray.model.host_model import HostModel
from luray.model.operating_point import OperatingPoint
from luray.storage.objects import exists, read_json, write_atomically
from luray.storage.places import place_of, public
from luray.storage.receipts import fingerprint_of

FORMAT = 1
"""Version of the card."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages that write and check ONNX; luray runs without them."""
TOLERANCE = 1e-5
"""Largest difference of a probability."""
INPUTS = ("land_use", "forcing", "prior_forcing", "static")
"""The maps have this name whatever they show."""
OUTPUTS_OF_CLASSES = ("probability", "likeliest")
OUTPUTS_OF_VALUES = ("value_and_spread", "level")
LEAST_BLOCKS = 2
"""Blocks of 2^depth cells that a window has at least: torch takes other paths for one."""
MOST = 4096
"""Windows of a batch, and blocks along a side of a window, at most."""


class ModelToExport(NamedTuple):
    """A trained model and what has to be known of its inputs."""

    host: HostModel
    card: ModelCard
    legend: Legend
    point: OperatingPoint
    grid: Grid | None
    """The grid of the maps, None where neither card nor cube say it."""
    native: Mapping[str, Grid]
    """Grid of the source of each variable, as far as there is a cube."""

    @property
    def features(self) -> Features:
        """Layout of the network's input."""
        return self.host.features

    @property
    def outputs(self) -> tuple[str, str]:
        """Names of the outputs."""
        return OUTPUTS_OF_CLASSES if self.legend.scale is None else OUTPUTS_OF_VALUES

    @property
    def block(self) -> int:
        """Cells of which the sides of a window are multiples."""
        return int(2**self.card.unet.depth)


class ExportedModel(NamedTuple):
    """Result of an export of a model: what it has written."""

    place: str
    files: tuple[str, ...]
    """Their names, empty where all of them were there already."""
    difference: float
    """Largest difference of a probability that was found."""


def export_model(
    model: str,
    *,
    cube: str | None = None,
    point: OperatingPoint = "cautious",
    output: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ExportedModel:
    """Write a trained model as ONNX and as a torch program, with a card.

    Parameters
    ----------
    model : str
        Folder of a trained model, local or on a store.
    cube : str, optional
        The predictor cube, which names units and native grids; by default that of the run whose
        output the model lies in. Models that were trained name the variables themselves.
    point : str, optional
        The operating point.
    output : str, optional
        Folder of the files, by default `export` in that of the model.
    progress : callable, optional
        Called with what is done next, in words.

    Raises
    ------
    ValueError
        If a package is missing, if there is no model, or if nobody says what its inputs are.
    RuntimeError
        If a file gives other probabilities than the model; it has not got its name then.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"export-model needs {', '.join(missing)}, which is not installed; pip install "
            "'luray[onnx]'"
        )
    model = place_of(model).rstrip("/")
    output = f"{model}/export" if output is None else place_of(output).rstrip("/")
    exported = _prepare(model, cube, point)
    request = _request(exported)
    done = read_json(f"{output}/card.json")
    is_done = done is not None and done.get("request") == request
    if is_done and all(exists(f"{output}/{name}") for name in done["files"]):
        return ExportedModel(output, (), done["largest_difference"])

    progress("tracing")
    program = _traced(exported)
    files: dict[str, Any] = {}
    differences = []
    for name, write, runner in (
        ("model.onnx", _write_onnx, _onnx_runner),
        ("model.pt2", _write_torch, _torch_runner),
    ):
        progress(name)
        # The file gets its name at the end of the block, so only after the check has passed.
        with publishing(f"{output}/{name}") as file:
            write(program, file, exported.outputs)
            differences.append(_check(exported, runner(file, exported.outputs), name=name))
            data = file.read_bytes()
            files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    # The card last: with it the export is whole.
    contents = _card(exported) | {
        "request": request,
        "files": files,
        "largest_difference": max(differences),
    }
    write_atomically(f"{output}/card.json", json.dumps(contents, indent=1).encode())
    return ExportedModel(output, (*files, "card.json"), max(differences))


def _prepare(model: str, cube_url: str | None, point: OperatingPoint) -> ModelToExport:
    """Read a model, and find out what its inputs are."""
    network, card = load_model(model)

    # A model of a run lies at OUTPUT/model/forward, and the cube at OUTPUT/cube.zarr.
    output_of_run = model.rpartition("/")[0].rpartition("/")[0]
    cube_of_run = f"{output_of_run}/cube.zarr"
    if cube_url is None and exists(f"{cube_of_run}/zarr.json"):
        cube_url = cube_of_run
    cube = None if cube_url is None else Cube.open(place_of(cube_url))

    if cube is not None:
        features = cube.features.remembering(card.unet.history)
        legend = cube.legend
    else:
        features = Features(
            len(card.classes),
            tuple(map(_variable, card.training.get("forcing", ()))),
            tuple(map(_variable, card.training.get("static", ()))),
            card.unet.history,
            card.classes,
        )
        legend = NAMED.get(card.legend, Legend("", ()))
    if features.names != card.channels or legend.name != card.legend:
        source = public(cube_url) if cube_url is not None else f"{public(model)}/card.json"
        raise ValueError(
            f"{public(model)} has {len(card.channels)} input channels and the legend "
            f"{card.legend!r}, but {source} tells of {len(features.names)} and {legend.name!r}; "
            "give the cube that it was trained on with --cube"
        )

    grid = cube.grid if cube is not None else None
    if grid is None and "grid" in card.identity:
        grid = Grid(**card.identity["grid"])
    layers = (*cube.forcing, *cube.static) if cube is not None else ()
    native = {}
    for layer in layers:
        native.update(dict.fromkeys([variable.name for variable in layer.variables], layer.grid))
    host = HostModel(network, features, card.points[point], ocean=legend.ocean).eval()
    return ModelToExport(host, card, legend, point, grid, native)


def _variable(fields: Mapping[str, Any]) -> Variable:
    """Return a variable from what a model card says of it."""
    # JSON has lists where a variable has tuples; older cards lack one or the other.
    categories = tuple(fields.get("categories", ()))
    classes = tuple(fields.get("classes", ()))
    return Variable(**{**fields, "categories": categories, "classes": classes})


def _request(exported: ModelToExport) -> str:
    """Return a hash of everything that the files depend on."""
    features = exported.features
    return fingerprint_of(
        FORMAT,
        luray.__version__,
        exported.card.weights_sha256,
        exported.point,
        list(exported.card.points[exported.point]),
        [asdict(variable) for variable in (*features.forcing, *features.static)],
        {name: asdict(grid) for name, grid in exported.native.items()},
        exported.legend.to_attributes(),
    )


# Writing


def _traced(exported: ModelToExport) -> torch.export.ExportedProgram:
    """Trace the model for any batch, and for windows of any blocks."""
    rows = torch.export.Dim("row_blocks", min=LEAST_BLOCKS, max=MOST)
    cols = torch.export.Dim("col_blocks", min=LEAST_BLOCKS, max=MOST)
    batch = torch.export.Dim("batch", min=1, max=MOST)
    free = {0: batch, 2: exported.block * rows, 3: exported.block * cols}
    inputs = [torch.from_numpy(a) for a in _random_inputs(exported, 2, 3, 4).values()]
    with torch.no_grad():
        return torch.export.export(
            exported.host, tuple(inputs), dynamic_shapes=dict.fromkeys(INPUTS, free)
        )


@contextmanager
def _quiet() -> Any:
    """Leave out what exporters say of themselves."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _write_onnx(
    program: torch.export.ExportedProgram, file: Path, outputs: tuple[str, str]
) -> None:
    with _quiet():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            external_data=False,
            input_names=list(INPUTS),
            output_names=list(outputs),
            verbose=False,
        )
        assert exported is not None
        exported.save(str(file), external_data=False)


def _write_torch(
    program: torch.export.ExportedProgram, file: Path, outputs: tuple[str, str]
) -> None:
    with _quiet(), file.open("wb") as stream:
        torch.export.save(program, stream)


# Checking

Runner = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
"""Returns the outputs of some inputs."""


def _onnx_runner(file: Path, outputs: tuple[str, str]) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda inputs: list(session.run(list(outputs), dict(inputs)))


def _torch_runner(file: Path, outputs: tuple[str, str]) -> Runner:
    with _quiet(), file.open("rb") as stream:
        module = torch.export.load(stream).module()

    def run(inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            outputs = module(*map(torch.from_numpy, inputs.values()))
        return [output.numpy() for output in outputs]

    return run


def _check(exported: ModelToExport, run: Runner, *, name: str) -> float:
    """Return the largest difference of a probability to the model's own.

    Raises RuntimeError if it is too large, or if a class differs that is no tie.
    """
    largest = 0.0
    for shape in ((1, 2, 3), (3, 4, 2)):
        inputs = _random_inputs(exported, *shape)
        with torch.inference_mode():
            expected = exported.host(*map(torch.from_numpy, inputs.values()))
        probability_BKHW, likeliest_BHW = (output.numpy() for output in expected)
        file_probability_BKHW, file_likeliest_BHW = run(inputs)
        if exported.legend.scale is not None:
            found = file_probability_BKHW, file_likeliest_BHW
            of_model = probability_BKHW, likeliest_BHW
            difference = _check_values(exported.legend.scale, of_model, found, name=name)
            largest = max(largest, difference)
            continue
        difference = float(np.abs(file_probability_BKHW - probability_BKHW).max())

        # Where the two likeliest classes are as good as equal, either may be chosen.
        ascending_BKHW = np.sort(probability_BKHW, axis=1)
        is_clear_BHW = ascending_BKHW[:, -1] - ascending_BKHW[:, -2] > 2 * TOLERANCE
        is_other_BHW = (file_likeliest_BHW != likeliest_BHW) & is_clear_BHW
        n_other = int(is_other_BHW.sum())

        # `not <=` rather than `>`, so that NaN is a difference, too.
        if not difference <= TOLERANCE or n_other:
            raise RuntimeError(
                f"{name}: probabilities differ from the model's by {difference:.2g} and {n_other} "
                f"cells have another class, expected at most {TOLERANCE:g} and none; another "
                "version of onnx, onnxscript or torch may help"
            )
        largest = max(largest, difference)
    return largest


def _check_values(
    scale: ValueScale,
    of_model: tuple[NDArray[Any], NDArray[Any]],
    found: tuple[NDArray[Any], NDArray[Any]],
    *,
    name: str,
) -> float:
    """Return the largest difference of a value or spread, as a share of the scale.

    Raises RuntimeError if it is too large, or if a level differs by more than rounding can explain.
    """
    values_B2HW, level_BHW = of_model
    found_values_B2HW, found_level_BHW = found
    size = scale.step * (scale.levels - 1)
    difference = float(np.abs(found_values_B2HW - values_B2HW).max()) / size
    steps_BHW = (values_B2HW[:, 0] - scale.first) / scale.step + 0.5
    # Half way between two levels either may be chosen.
    is_clear_BHW = np.abs(steps_BHW - np.rint(steps_BHW)) > 2 * TOLERANCE * scale.levels
    n_other = int(((found_level_BHW != level_BHW) & is_clear_BHW).sum())
    if not difference <= TOLERANCE or n_other:
        raise RuntimeError(
            f"{name}: values differ from the model's by {difference:.2g} of the scale and "
            f"{n_other} cells have another level, expected at most {TOLERANCE:g} and none; another "
            "version of onnx, onnxscript or torch may help"
        )
    return difference


def _random_inputs(
    exported: ModelToExport, batch: int, row_blocks: int, col_blocks: int
) -> dict[str, NDArray[Any]]:
    """Make inputs that look like real ones, missing values included, the same every time."""
    random = np.random.default_rng(batch)
    height = row_blocks * exported.block
    width = col_blocks * exported.block
    legend = exported.legend
    codes = np.array([legend.ocean, *legend.codes], np.uint8)

    def values(variables: tuple[Variable, ...]) -> NDArray[np.float32]:
        fields = np.zeros((batch, len(variables), height, width), np.float32)
        for position, variable in enumerate(variables):
            if variable.categories:
                field = random.choice([0, *variable.categories], (batch, height, width))
            else:
                field = random.random((batch, height, width)) * variable.scale
                field[random.random(field.shape) < 0.02] = np.nan
            fields[:, position] = field
        return fields

    features = exported.features
    return {
        "land_use": random.choice(codes, (batch, features.history, height, width)),
        "forcing": values(features.forcing),
        "prior_forcing": values(features.forcing),
        "static": values(features.static),
    }


# The card


def _card(exported: ModelToExport) -> dict[str, Any]:
    """Describe the files for whoever writes a host."""
    card = exported.card
    features = exported.features
    legend = exported.legend
    tiling = card.identity.get("tiling")
    classes = [asdict(land_class) for land_class in legend.classes if legend.scale is None]
    forcing = [_described(variable, exported) for variable in features.forcing]
    static = [_described(variable, exported) for variable in features.static]

    def array(name: str, dtype: str, second: str, about: str, **more: Any) -> dict[str, Any]:
        shape = [axis for axis in ("batch", second, "rows", "cols") if axis]
        return {"name": name, "dtype": dtype, "shape": shape, "about": about, **more}

    outputs = [
        array(
            "probability", "float32", "classes",
            "Calibrated probability of each class, in the order of `classes`.",
        ),
        array(
            "likeliest", "uint8", "",
            "Code of the likeliest class; `ocean` where the newest map has no class.",
        ),
    ]  # fmt: skip
    maps = (
        f"Codes of the last {features.history} maps, the newest first: the year before, "
        "then two years before, ... Any code that is not in `classes` is no class; fill "
        "maps that there are none of with `ocean`."
    )
    if legend.scale is not None:
        maps = (
            f"Levels of the last {features.history} maps, the newest first; value = first + step * "
            f"level, see `scale`. {UNKNOWN} is land whose value is not known, {legend.ocean} is no "
            "land; fill maps that there are none of with it."
        )
        outputs = [
            array(
                "value_and_spread", "float32", "kinds",
                f"Mean and standard deviation in {legend.scale.units}.",
            ),
            array(
                "level", "uint8", "",
                f"Level nearest to the mean; {legend.ocean} where the newest map has no land.",
            ),
        ]  # fmt: skip
    time_step = card.identity.get("time_step", "year")
    return {
        "format": FORMAT,
        "luray": luray.__version__,
        "about": f"One {time_step} of {legend.long_name} in windows of the grid of the maps. Rows "
        "go from north to south, columns from west to east. Arrays are C-contiguous: the last axis "
        "varies fastest.",
        "model": {
            "fingerprint": card.fingerprint,
            "weights_sha256": card.weights_sha256,
            "direction": card.direction,
            "operating_point": exported.point,
            "calibration": card.points[exported.point]._asdict(),
            "caveats": list(card.training.get("caveats", ())),
            "sources": list(card.training.get("sources", ())),
        },
        "grid": None if exported.grid is None else asdict(exported.grid),
        "window": {
            "multiple_of": exported.block,
            "at_least": LEAST_BLOCKS * exported.block,
            "trained": tiling,
            "blending": "Near its edge a window sees too little. Let windows overlap, as those of "
            "the training did, and average the probabilities of a cell over the windows that see "
            "it; or take the cells in the middle alone. What is beyond the grid is no class in "
            "land_use; forcing and static repeat their outermost cells there.",
        },
        "legend": legend.name,
        "classes": classes,
        "scale": None if legend.scale is None else asdict(legend.scale),
        "time_step": time_step,
        "ocean": legend.ocean,
        "inputs": [
            array("land_use", "uint8", "maps", maps, maps=features.history),
            array(
                "forcing", "float32", "variables",
                "Of the year that is predicted, in this order and these units. NaN is missing.",
                variables=forcing,
            ),
            array(
                "prior_forcing", "float32", "variables",
                "The same variables in the year of the newest map.",
                variables=[variable.name for variable in features.forcing],
            ),
            array(
                "static", "float32", "variables",
                "What does not change with the year. NaN is missing.",
                variables=static,
            ),
        ],
        "outputs": outputs,
    }  # fmt: skip


def _described(variable: Variable, exported: ModelToExport) -> dict[str, Any]:
    """Describe an input variable and how it comes onto the grid of the maps."""
    native = exported.native.get(variable.name)
    method = {
        "nearest": "each cell of the maps has the value of the native cell that holds its centre",
        "bilinear": "interpolated between the centres of native cells",
    }[variable.resampling]
    if variable.resampling == "bilinear" and variable.transform == "log1p":
        method = (
            "log(1 + x) is interpolated between the centres of native cells, and turned back by "
            "exp(y) - 1"
        )
    return {
        "name": variable.name,
        "long_name": variable.long_name,
        "units": variable.units,
        "categories": list(variable.categories),
        "share_of_classes": list(variable.classes),
        "share_of": variable.share_of if variable.classes else None,
        "onto_the_grid": method,
        "native_grid": None if native is None else asdict(native),
    }
