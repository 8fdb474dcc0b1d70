"""The Dockerfile: hadolint's rules, ours, and the steps of its builder replayed in a virtual
environment.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.infra.helm import ROOT

DOCKERFILE = ROOT / "infra/Dockerfile"
PUBLIC_TORCH = "https://download.pytorch.org/whl/cpu"

Step = tuple[str, str]


def steps(text: str) -> list[list[Step]]:
    """Instructions of each stage as (word, rest), continued lines joined; first those before any
    FROM.
    """
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    stages: list[list[Step]] = [[]]
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def test_hadolint_has_nothing_to_say() -> None:
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=places)
    assert hadolint, "hadolint is missing; pip install -c constraints.txt -e '.[dev]'"
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_stages_start_from_the_digest_given() -> None:
    arguments, builder, final = steps(DOCKERFILE.read_text())
    assert (
        "ARG",
        "PYTHON_DIGEST",
    ) in arguments  # no default: nobody builds on what a tag happens to be
    images = [stage[0][1].split()[0] for stage in (builder, final)]
    assert images == ["docker.io/library/python:${PYTHON}@${PYTHON_DIGEST}"] * 2


def test_the_final_image_is_not_root_and_has_no_compiler() -> None:
    _, _, final = steps(DOCKERFILE.read_text())
    assert [rest for word, rest in final if word == "USER"] == ["1000:1000"]
    installed = [rest for word, rest in final if word == "RUN" and "apt-get" in rest]
    (packages,) = re.findall(r"install ([^&]*)", installed[0])
    assert len(installed) == 1
    assert [p for p in packages.split() if not p.startswith("-")] == ["libexpat1", "libgomp1"]
    assert not any("pip " in rest for word, rest in final if word == "RUN")
    order = [word for word, _ in final]
    (check,) = (
        i for i, (word, rest) in enumerate(final) if word == "RUN" and "! command -v gcc" in rest
    )
    assert check > order.index("USER")  # the check, too, is not root's
    assert {rest for word, rest in final if word == "COPY"} == {
        "--from=builder /opt/venv /opt/venv",
        "jobs /opt/luray/jobs",
        "catalogs /opt/luray/catalogs",
    }


def test_what_is_copied_is_in_the_context() -> None:
    ignored = (ROOT / "infra/Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:].partition("/")[0] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {
        source
        for stage in steps(DOCKERFILE.read_text())
        for word, rest in stage
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    # What lies in an allowed folder is allowed, too.
    assert {name.partition("/")[0] for name in copied} == allowed
    assert all((ROOT / name).exists() for name in copied)


def replayed(tmp_path: Path, *, variant: str) -> list[str]:
    """The builder's steps as shell commands, its folders below `tmp_path`."""
    _, builder, _ = steps(DOCKERFILE.read_text())
    commands = []
    for word, rest in builder:
        if word == "RUN" and "cyclonedx" not in rest:
            commands.append(re.sub(r"--mount=\S+ ", "", rest))
        if word == "COPY":
            *sources, place = rest.split()
            if place == "./":
                commands += [f"cp -r {ROOT / source} ." for source in sources]
            else:
                [folder] = sources
                commands.append(f"mkdir -p {place} && cp -r {ROOT / folder}/. {place}")
    here = [
        re.sub(r"(?<![\w.])/(opt/venv|wheels)", rf"{tmp_path}/\1", command) for command in commands
    ]
    return [f"VARIANT={variant}; {command}" for command in here]


def environment(tmp_path: Path) -> dict[str, str]:
    """`python` and `pip` are this interpreter's; pip installs the wheel of luray and nothing of the
    locks, which would be gigabytes.
    """
    tools = tmp_path / "bin"
    tools.mkdir()
    alone = 'case " $* " in *" --require-hashes "*) exit 0 ;; esac'
    for name, lines in (
        ("python", f"exec {sys.executable}"),
        ("pip", f"{alone}\nexec {sys.executable} -m pip"),
    ):
        (tools / name).write_text(f'#!/bin/sh\n{lines} "$@"\n')
        (tools / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def shell(command: str, cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        ["/bin/sh", "-ec", command], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_builders_steps_give_a_luray_that_runs(tmp_path: Path) -> None:
    """The dependencies are those of this environment, lent to the new one; luray comes from the
    wheel.
    """
    source = tmp_path / "src"
    source.mkdir()
    env = environment(tmp_path)
    for command in replayed(tmp_path, variant="cuda"):
        shell(command, source, env)
    venv = tmp_path / "opt/venv"
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    away = tmp_path / "away"
    away.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = subprocess.run(
        [venv / "bin/python", "-c", "import luray; print(luray.__path__[0])"],
        cwd=away,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert where == str(packages / "luray")
    named = subprocess.run(
        [venv / "bin/luray", "--help"], cwd=away, env=clean, capture_output=True, text=True
    )
    assert named.returncode == 0, named.stderr
    assert "infer" in named.stdout
    job = subprocess.run(
        [venv / "bin/python", ROOT / "jobs/infer.py", "none.toml"],
        cwd=away,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert job.returncode == 1
    assert "none.toml: no such run file" in job.stderr


def test_variants_differ_in_where_torch_is_from(tmp_path: Path) -> None:
    """`pip` only says how it was called."""
    env = environment(tmp_path)
    (tmp_path / "bin/pip").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    source = tmp_path / "src"
    source.mkdir()
    shutil.copy(ROOT / "constraints.txt", source)
    (torch,) = (
        line
        for line in (source / "constraints.txt").read_text().splitlines()
        if line.startswith("torch==")
    )
    (cpu,) = (c for c in replayed(tmp_path, variant="cpu") if "case" in c)
    shell(cpu, source, env)
    assert (tmp_path / "calls").read_text().split()[-3:] == ["--index-url", PUBLIC_TORCH, torch]
    shell(cpu.replace("VARIANT=cpu", "VARIANT=cuda"), source, env)
    assert (tmp_path / "calls").read_text().split()[-3:] == [
        "--require-hashes",
        "--requirement",
        "requirements-cuda.lock",
    ]
    with pytest.raises(AssertionError, match="VARIANT is rocm, expected cpu or cuda"):
        shell(cpu.replace("VARIANT=cpu", "VARIANT=rocm"), source, env)
