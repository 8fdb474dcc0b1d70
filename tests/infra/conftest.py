"""Helm, and the chart as it renders it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.helm import CHART, HERE, ROOT, Manifests, Render, find_helm


@pytest.fixture(scope="session")
def helm() -> str:
    """Path of helm."""
    path, missing = find_helm()
    if missing:
        pytest.skip(missing)
    return path


@pytest.fixture(scope="session")
def run_helm(
    helm: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call helm with arguments; it finds no cluster and no settings of the user's."""
    home = tmp_path_factory.mktemp("helm")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "none")}

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([helm, *map(str, args)], capture_output=True, text=True, env=env)

    return run


@pytest.fixture(scope="session")
def template(
    run_helm: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`helm template` with an overlay and values given as {"a.b": value}."""

    def run(
        values: dict[str, Any] | None = None, *, overlay: str = ""
    ) -> subprocess.CompletedProcess[str]:
        tree: dict[str, Any] = {}
        for key, value in {**({} if overlay == "kind" else HERE), **(values or {})}.items():
            *parents, last = key.split(".")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = value
        file = tmp_path_factory.mktemp("values") / "values.yaml"
        file.write_text(yaml.safe_dump(tree))
        chosen = ["--values", ROOT / f"infra/values-{overlay}.yaml"] if overlay else []
        return run_helm("template", "luray", CHART, *chosen, "--values", file)

    return run


@pytest.fixture(scope="session")
def render(template: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    """The manifests of `template`."""

    def run(values: dict[str, Any] | None = None, *, overlay: str = "") -> Manifests:
        done = template(values, overlay=overlay)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    return run
