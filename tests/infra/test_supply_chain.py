"""What the image is made of: locked by hash, licensed to be used, and without doors for foreign code."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import Distribution, distribution

import pytest
from packaging.requirements import Requirement

from tests.infra.helm import ROOT

PIN = re.compile(
    r"(?m)^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==([^\s\\]+)((?: \\\n    --hash=\S+)*)"
)
LICENCES = re.compile(
    r"Apache|BSD|\bMIT\b|MIT-0|ISC|PSF|Python Software Foundation|Mozilla Public|MPL-2\.0|Zlib|Unlicense"
)
"""Licences whose software may be used and passed on with luray."""
FOREIGN_CODE = re.compile(
    r"\bimport pickle|\bpickle\.|\bmarshal\.|(?<![\w.])(?:eval|exec)\(|shell=True|os\.system|weights_only=False"
)


def pins(name: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of every package of a lock."""
    text = (ROOT / "infra" / name).read_text()
    return {
        package: (version, re.findall(r"--hash=sha256:([0-9a-f]{64})\b", hashes))
        for package, version, hashes in PIN.findall(text)
    }


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name_of(name): version.strip() for name, version in pairs}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-cuda.lock"])
def test_every_package_of_a_lock_has_hashes(lock: str) -> None:
    found = pins(lock)
    assert len(found) > 10
    assert [name for name, (_, hashes) in found.items() if not hashes] == []


def test_locks_agree_with_the_constraints() -> None:
    pinned = constraints()
    differing = {
        name: (version, pinned.get(name_of(name)))
        for name, (version, _) in pins("requirements.lock").items()
        if pinned.get(name_of(name)) != version
    }
    assert differing == {}
    assert pins("requirements-cuda.lock")["torch"][0] == pinned["torch"]


def test_a_lock_holds_all_that_luray_needs() -> None:
    """The image is installed without looking for dependencies."""
    locked = {name_of(name) for name in (*pins("requirements.lock"), "torch")}
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pending = [Requirement(text) for text in described["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        wanted = pending.pop()
        key = name_of(wanted.name), frozenset(wanted.extras)
        if key in seen or key[0] == "torch":
            continue
        seen.add(key)
        for text in distribution(wanted.name).requires or ():
            further = Requirement(text)
            extras = [{"extra": extra} for extra in (*wanted.extras, "")]
            if further.marker is None or any(further.marker.evaluate(e) for e in extras):
                pending.append(further)
    assert {name for name, _ in seen} - locked == set()


def test_every_licence_lets_the_image_be_passed_on() -> None:
    unknown = {
        name: licence_of(distribution(name))
        for name in pins("requirements.lock")
        if not LICENCES.search(licence_of(distribution(name)))
    }
    assert unknown == {}


def licence_of(package: Distribution) -> str:
    """The licence as a package states it."""
    stated = package.metadata
    classifiers = [c for c in stated.get_all("Classifier") or [] if c.startswith("License")]
    return " ".join(
        [stated.get("License-Expression") or "", *classifiers, stated.get("License") or ""]
    )


def test_no_line_of_luray_runs_foreign_code() -> None:
    lines = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (*(ROOT / "luray").rglob("*.py"), *(ROOT / "jobs").glob("*.py"))
        for line in path.read_text().splitlines()
        if FOREIGN_CODE.search(line)
    ]
    assert lines == []


def test_ruffs_rules_of_security_are_on() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert [rule for rule in lint["ignore"] if rule.startswith("S")] == ["S101"]
    in_luray = {
        path: rules for path, rules in lint["per-file-ignores"].items() if path.startswith("luray")
    }
    assert in_luray == {"luray/distributed/sockets.py": ["S108"]}


def test_the_image_says_what_it_holds() -> None:
    dockerfile = (ROOT / "infra/Dockerfile").read_text()
    assert "cyclonedx-py environment" in dockerfile
    assert "--output-file /opt/venv/sbom.cdx.json" in dockerfile


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_demo_installs_what_is_locked_and_no_test_tools() -> None:
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--require-hashes --requirement infra/requirements.lock" in planned
    assert "[dev]" not in planned
    # uv finds no build of torch that pip's settings name: pip brings it before.
    assert planned.index("--no-deps --constraint constraints.txt torch") < planned.index("bin/uv ")
    installs = [line for line in planned.splitlines() if "bin/uv " in line]
    assert len(installs) == 2
    assert all("|| .venv/bin/python -m pip install" in line for line in installs)
