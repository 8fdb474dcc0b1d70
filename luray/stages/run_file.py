"""Reading a run file: TOML with overrides and environment variables, and errors that teach.

The keys themselves are declared in `luray.stages.config` and by each component.
"""

import codecs
import difflib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from luray.sources import SourceConfig
from luray.stages.config import RunConfig
from luray.stages.renamed_keys import RENAMED_KEYS
from luray.storage.places import VARIABLE, PlaceError, local_place

ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, which Notepad and PowerShell write, and the encoding that each stands for."""


class ConfigError(ValueError):
    """A run file that cannot be run; every line names a key, what was expected and what to do."""


def load_run(
    path: Path | str,
    overrides: Sequence[str] = (),
    *,
    unset: Literal["refused", "kept"] = "refused",
) -> RunConfig:
    """Read and check a run file.

    The storage options of the run are those of this process from here on.

    Parameters
    ----------
    path : path
        A TOML file on this machine.
    overrides : sequence of str, optional
        Values of the run file as `a.b=value`, the value in TOML; a bare word is a string.
    unset : {"refused", "kept"}, optional
        What to do about `${NAME}` in a string where the environment has no such variable: raise an
        error, or leave the text as it is, for a caller that looks at no place.

    Returns
    -------
    RunConfig
        The run, checked and frozen.

    Raises
    ------
    ConfigError
        If anything is wrong; every fault has a line that names its key and what to do.

    Examples
    --------
    >>> import luray
    >>> run = luray.load_run("catalogs/crete/run.toml", unset="kept")
    >>> run.grid.shape, run.inference.years
    ((100, 325), (1899, 2019))
    """
    path = run_file(path)
    tree = read_tree(path, overrides)
    try:
        run = RunConfig.model_validate_json(json.dumps(tree, default=str))
    except ValidationError as error:
        raise _faults(path, error) from None

    lacking = _lacking_variables(tree)
    if lacking and unset == "refused":
        fault = (
            f"{path}: the environment variable {', '.join(sorted(lacking))} is not set; set it to "
            "the place that the run file means. This run wants:"
        )
        raise ConfigError("\n".join([fault, *map(_wanted, run.sources)]))

    try:
        run = RunConfig.model_validate_json(json.dumps(expand(tree), default=str))
    except ValidationError as error:  # a place that is none once its variable is expanded
        raise _faults(path, error) from None
    from luray.storage.objects import configure

    configure(run.reach)
    return run


def run_file(place: Path | str) -> Path:
    """Return the path of a run file; raise ConfigError for a place that is not on this machine."""
    try:
        return Path(local_place(str(place), what="a run file"))
    except PlaceError as error:
        raise ConfigError(f"RUN.toml: {error}") from None


def read_tree(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read the tables of a run file as they are written, with the overrides."""
    tree = read_toml(path, missing="no such run file; `catalogs/*/run.toml` are examples")
    for override in overrides:
        _override(tree, override)
    return tree


def read_toml(path: Path, *, missing: str) -> dict[str, Any]:
    """Read the tables of a TOML file; the ConfigError for an absent file says `missing`."""
    try:
        return tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: {missing}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, expected a file; give the file in it") from None
    except PermissionError:
        raise ConfigError(f"{path}: access is denied; check its permissions") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def read_text(path: Path) -> str:
    """Read a text in UTF-8, or in the encoding of its byte order mark, in any locale.

    Raises ConfigError for any other encoding.
    """
    data = path.read_bytes()
    marked = [name for mark, name in ENCODINGS if data.startswith(mark)]
    encoding = marked[0] if marked else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}: byte {data[error.start]:#04x} in line {line} is not "
            f"{encoding.upper()}; save the file as UTF-8, it may be in the encoding "
            "of an older editor"
        ) from None
    if "\0" in text:
        raise ConfigError(
            f"{path}: has NUL bytes, as UTF-16 without a byte order mark has; save it as UTF-8"
        )
    return text


def _faults(path: Path, error: ValidationError) -> ConfigError:
    """Make one error of every fault of a run file, a line each."""
    faults = [f"  {_explain(fault)}" for fault in error.errors()]
    return ConfigError("\n".join([f"{path}: {len(faults)} fault(s) in the run file", *faults]))


def _lacking_variables(node: Any) -> set[str]:
    """Return the environment variables that a tree names and that give it nothing."""
    if isinstance(node, dict):
        return set().union(*map(_lacking_variables, node.values()))
    if isinstance(node, list):
        return set().union(*map(_lacking_variables, node))
    if not isinstance(node, str):
        return set()

    lacking = {name for name in re.findall(VARIABLE, node) if name not in os.environ}
    # An empty variable is fine in the middle of a path. At its beginning the path would be /...
    root = re.match(f"{VARIABLE}/", node)
    if root and not os.environ.get(root[1]):
        lacking.add(root[1])
    return lacking


def _override(tree: dict[str, Any], override: str) -> None:
    """Set a value of a tree, given as `a.b=value`; a number in the key is a place in a list."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected a.b=value, such as --set training.steps=100")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value

    node: Any = tree
    *parents, last = key.strip().split(".")
    for parent in parents:
        node = node[int(parent)] if isinstance(node, list) else node.setdefault(parent, {})
        if not isinstance(node, dict | list):
            raise ConfigError(
                f"--set {override}: {parent} is a value, not a table; give the key of a value"
            )
    node[int(last) if isinstance(node, list) else last] = parsed


def expand(node: Any) -> Any:
    """Return a tree with `${NAME}` in its strings replaced from the environment, where set."""
    if isinstance(node, dict):
        return {key: expand(value) for key, value in node.items()}
    if isinstance(node, list):
        return [expand(value) for value in node]
    if isinstance(node, str):
        return re.sub(VARIABLE, lambda match: os.environ.get(match[1], match[0]), node)
    return node


def _wanted(source: SourceConfig) -> str:
    """The files that a source needs and their origin, in a line."""
    return f"  {source.kind}: {source.wanted}"


def _explain(fault: Any) -> str:
    """Say in one line what is wrong with which key, and what to do; a fault is pydantic's."""
    where = ".".join(map(str, fault["loc"])) or "run file"
    if fault["type"] == "extra_forbidden" and where in RENAMED_KEYS:
        return f"{where}: was renamed; write {RENAMED_KEYS[where]}"
    if fault["type"] == "extra_forbidden":
        allowed_keys = _keys_at(fault["loc"][:-1])
        similar = difflib.get_close_matches(str(fault["loc"][-1]), allowed_keys, n=1)
        if similar:
            return f"{where}: unknown key; did you mean {similar[0]!r}?"
        if allowed_keys:
            return f"{where}: unknown key; expected one of {', '.join(allowed_keys)}"
        return f"{where}: unknown key; remove it"
    if fault["type"] == "missing":
        return f"{where}: missing; add it"
    if fault["type"] == "value_error":
        return f"{where}: {fault['ctx']['error']}" if fault["loc"] else str(fault["ctx"]["error"])
    return f"{where}: {fault['msg'].lower()}, got {fault['input']!r}; correct the value"


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand at a place, from the JSON schema of the configuration."""
    schema = RunConfig.model_json_schema()
    definitions: Mapping[str, Any] = schema["$defs"]
    node: Any = schema
    for part in loc:
        if isinstance(part, int):
            node = node.get("items", {})
        elif "discriminator" in node:
            node = definitions[node["discriminator"]["mapping"][part].rsplit("/", 1)[-1]]
        else:
            node = node.get("properties", {}).get(part, {})
        if "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[-1]]
    return list(node.get("properties", {}))
