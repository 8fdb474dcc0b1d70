"""Which luray this is: its version, and the sha256 of its modules."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    VERSION = version("luray")
except PackageNotFoundError:  # the package is a copy in a job's working directory
    VERSION = "unknown"


def code_sha256() -> str:
    """Return the sha256 of all modules: a version alone says nothing of changes since."""
    package = Path(__file__).parents[1]
    state = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        state.update(f"{path.relative_to(package).as_posix()}\0".encode())
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()
