"""Other CPU runtimes on the frozen model: what a user would export to for speed.

OpenVINO and ONNX Runtime run the whole model, with its input ready in memory, in one thread of one
process; so does torch. Beside them the trunk, which is what the engine leaves to torch, in float32
and in bfloat16 where the CPU has it. All take turns, and processor time counts, so that other work
hardly changes the ratios.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luray.engine.precision import require_bfloat16, trunk_of_precision
from luray.engine.trunk import Trunk
from luray.model.unet import UNet, frozen
from luray.model.unet_config import UNetConfig
from tests.benchmarks.ratio import Ratio

N_CHANNELS = 66
"""Of the global run, see luray/PERFORMANCE.md."""
N_CLASSES = 7
WINDOW = 456
BATCH = 2
ROUNDS = 4
WIDTHS = 16, 32


def measure() -> Iterator[Ratio]:
    """Time of each runtime over that of the trunk, by width."""
    for width in WIDTHS:
        seconds = seconds_by_runtime(width)
        trunk = seconds["trunk"]
        for name in ("torch", "ONNX Runtime", "OpenVINO", "OpenVINO bfloat16"):
            if name in seconds:
                yield Ratio(
                    f"{name} over the trunk, width {width}",
                    seconds[name] / trunk,
                    1.15,
                    f"{1000 * seconds[name]:.0f} and {1000 * trunk:.0f} ms a window, one thread",
                )
        if "trunk bfloat16" in seconds:
            rounded = seconds["trunk bfloat16"]
            yield Ratio(
                f"trunk in float32 over bfloat16, width {width}",
                trunk / rounded,
                1.3,
                f"{1000 * trunk:.0f} and {1000 * rounded:.0f} ms a window, one thread",
            )


def seconds_by_runtime(width: int) -> dict[str, float]:
    """Return the least processor time of a window in each runtime."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = frozen(UNet(N_CHANNELS, N_CLASSES, UNetConfig(width=width, depth=3)).eval())
    inputs = torch.rand(BATCH, WINDOW, WINDOW, N_CHANNELS).permute(0, 3, 1, 2)
    first = torch.rand(BATCH, WINDOW, WINDOW, width).permute(0, 3, 1, 2)
    trunk = Trunk(model)
    passes: dict[str, Callable[[], Any]] = {
        "torch": lambda: model.heads(inputs),
        "trunk": lambda: trunk(first),
    }
    try:
        require_bfloat16()
    except ValueError as error:
        print(f"bfloat16: not run ({error})")
    else:
        rounded = trunk_of_precision(trunk, "bfloat16")
        passes["trunk bfloat16"] = lambda: rounded(first)
    with tempfile.TemporaryDirectory() as folder:
        passes |= exported_passes(model, inputs, Path(folder) / "model.onnx")
        with torch.inference_mode():
            return least_seconds(passes)


def exported_passes(model: UNet, inputs: torch.Tensor, file: Path) -> dict[str, Callable[[], Any]]:
    """Return a pass of each other runtime that is installed."""
    heads = Heads(model).eval()
    torch.onnx.export(heads, (inputs.contiguous(),), str(file), dynamo=True, verbose=False)
    array = np.ascontiguousarray(inputs.numpy())

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    [name] = [one.name for one in session.get_inputs()]
    passes: dict[str, Callable[[], Any]] = {
        "ONNX Runtime": lambda: session.run(None, {name: array})
    }
    try:
        import openvino
    except ModuleNotFoundError:
        print("OpenVINO: not run; `pip install -e '.[bench]'`")
        return passes
    core = openvino.Core()
    for label, precision in (("OpenVINO", "f32"), ("OpenVINO bfloat16", "bf16")):
        if precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            continue
        compiled = core.compile_model(
            core.read_model(str(file)),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": 1,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": precision,
            },
        )
        passes[label] = lambda compiled=compiled: compiled([array])  # type: ignore[misc]
    return passes


class Heads(torch.nn.Module):
    """The heads of a model as a forward pass, which is what is exported."""

    def __init__(self, model: UNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the heads."""
        return self.model.heads(inputs_BCHW)


def least_seconds(passes: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the least processor time of a window in each pass; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(1 + ROUNDS):
        for name, run in passes.items():
            started = time.process_time()
            run()
            taken[name].append((time.process_time() - started) / BATCH)
    # The first round prepares kernels and memory.
    return {name: min(seconds[1:]) for name, seconds in taken.items()}
