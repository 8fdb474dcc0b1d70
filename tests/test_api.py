"""What `import luray` offers."""

import subprocess
import sys
from pathlib import Path

import pytest

import luray
from luray.sandbox.write import demo_run
from luray.stages.run import STAGES

HEAVY = ("torch", "ray", "xarray", "zarr", "rasterio", "matplotlib")


def test_the_public_names_are_there_with_examples() -> None:
    assert dir(luray) == [
        "__version__",
        "load_run",
        "open_cube",
        "open_model",
        "open_product",
        "run",
    ]
    for name in ("load_run", "open_cube", "open_model", "open_product", "run"):
        function = getattr(luray, name)
        for section in ("Parameters", "Returns", "Raises", "Examples"):
            assert f"{section}\n    ---" in function.__doc__, f"{name} has no {section}"
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        _ = luray.walk
    assert (Path(luray.__file__).parent / "py.typed").exists()


def test_import_is_light() -> None:
    code = f"import luray, sys; print([m for m in {HEAVY} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_an_unknown_stage_is_refused_before_anything_runs() -> None:
    config = luray.load_run(demo_run())
    with pytest.raises(ValueError, match=r"stages has \['walk'\], expected any of build, train"):
        luray.run(config, ["build", "walk"])  # type: ignore[list-item]
    assert STAGES == ("build", "train", "infer", "evaluate", "plot", "report", "publish")
