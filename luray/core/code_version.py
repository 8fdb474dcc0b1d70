"""Identity of this copy of luray: its version, and the sha256 of its modules."""

import hashlib
from pathlib import Path


def version() -> str:
    """Return the version of luray that is installed; `unknown` of a copy in a job's folder."""
    # Imported here, as every `import luray` would wait for it.
    from importlib import metadata

    try:
        return metadata.version("luray")
    except metadata.PackageNotFoundError:
        return "unknown"


def code_sha256() -> str:
    """Return the sha256 of all modules: a version alone says nothing of changes since."""
    package = Path(__file__).parents[1]
    state = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        state.update(f"{path.relative_to(package).as_posix()}\0".encode())
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()
