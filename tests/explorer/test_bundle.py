"""The page that ships is the build of its sources, and small."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess

import pytest

from luray.explorer.page import FOLDER, page_files
from tests.machine import patience

SOURCES = FOLDER.parent
MOST_BYTES = 1_500_000


def fingerprint() -> str:
    """Hash of what the page is built from, as `build.mjs` records it."""
    names = ["build.mjs", "index.html", "package-lock.json", "package.json", "tsconfig.json"]
    names += sorted(f"src/{path.name}" for path in (SOURCES / "src").iterdir())
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
        digest.update((SOURCES / name).read_bytes())
    return digest.hexdigest()


def test_the_page_is_the_build_of_the_sources() -> None:
    recorded = (FOLDER / "sources.sha256").read_text().strip()
    assert recorded == fingerprint(), "run `make explorer`, and commit luray/explorer/page"


def test_a_build_gives_the_same_bytes() -> None:
    if shutil.which("node") is None or not (SOURCES / "node_modules").is_dir():
        pytest.skip("no Node.js, or no node_modules: the page is not built again; `make explorer`")
    built = subprocess.run(
        ["node", "build.mjs", "--check"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    assert built.returncode == 0, built.stderr


def test_the_page_is_small() -> None:
    sent = {name: len(gzip.compress(data)) for name, data in page_files().items()}
    print("gzipped:", sent, "in all:", sum(sent.values()))
    assert sum(sent.values()) < MOST_BYTES


def test_no_file_names_another_host() -> None:
    """Everything that the page loads lies beside it, and the lock file names no registry."""
    page = page_files()
    assert not re.search(rb"(src|href)=\"(https?:)?//", page["index.html"])
    assert not re.search(rb"url\(['\"]?(https?:)?//", page["explorer.css"])
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
