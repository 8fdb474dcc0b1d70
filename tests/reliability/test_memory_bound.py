"""The memory of a run: below the bound that is computed before it starts, and flat."""

import pytest

from luray.core.limits import MemoryLimit
from luray.planning.memory import worker_bound
from luray.stages import infer as infer_stage
from luray.stages.infer import inference_of
from tests.reliability import plain
from tests.reliability.conftest import SmallWorld


def test_a_run_that_could_not_fit_is_refused_before_it_writes(
    small_world: SmallWorld, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    limit = MemoryLimit(2**30, "the cgroup (memory.max) allows")
    monkeypatch.setattr(infer_stage, "memory_limit", lambda: limit)
    run = small_world.run(small_world.copy(tmp_path / "out"), "inference.workers=64")
    with pytest.raises(ValueError, match=r"^inference\.workers: 64 workers may need .* GiB; "):
        plain.infer(run)
    assert not (tmp_path / "out/product.zarr").exists()


def test_the_small_world_fits_anywhere(small_world: SmallWorld):
    run = small_world.run(small_world.output)
    spec = inference_of(run, run.inference.span, run.product)
    assert worker_bound(spec, run.model, on_cpu=True) < 2**31
