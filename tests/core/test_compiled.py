import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
from luray.core.compiled import compiled

@compiled
def half(x):
    return 1 / x

print(half(2.0), half(0.0))
"""


@pytest.mark.parametrize("writable", [True, False])
def test_kernels_are_kept_on_disk_where_that_is_possible(tmp_path, writable):
    script = tmp_path / "code" / "kernel.py"
    script.parent.mkdir()
    script.write_text(KERNEL)
    if not writable:
        (script.parent / "__pycache__").write_text("no folder")
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), "HOME": "/dev/null"}
    for _ in range(2):
        kernel_run = subprocess.run(
            [sys.executable, str(script)], env=env, capture_output=True, text=True, check=False
        )
        assert kernel_run.stdout == "0.5 inf\n", kernel_run.stderr
    assert len(list(tmp_path.rglob("*.nbc"))) == writable
