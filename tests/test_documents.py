"""The documents name files, functions and links that exist."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "build", "node_modules"} & set(path.relative_to(ROOT).parts)
)
CODE = r"`((?:luray|tests|catalogs|infra|jobs)/[\w./-]+\.(?:py|toml|md|json|yaml))`"
HOP = r"`(\w+/\w+)\.py: ([\w.]+)`"


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path}: {target}"

    headings = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in headings, f"{path}: #{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=names(DOCUMENTS))
def test_files_that_are_named_exist(path: Path) -> None:
    for name in re.findall(CODE, path.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{path}: {name}"


def test_the_walk_is_short_and_its_functions_exist() -> None:
    text = (ROOT / "luray/ARCHITECTURE.md").read_text(encoding="utf-8")
    walk = text.split("## A walk")[1].split("\n## ")[0]
    hops = re.findall(r"^\d+\. (?:.*\n(?:   .*\n)*)", walk, re.MULTILINE)
    assert 10 <= len(hops) <= 15
    for hop in hops:
        for module, name in re.findall(HOP, hop):
            node = import_module(f"luray.{module.replace('/', '.')}")
            for part in name.split("."):
                node = getattr(node, part)
            assert callable(node)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900
