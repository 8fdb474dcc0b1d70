"""Foreign bytes, mutated: every parser gives a value or an error that names the place.

A case is a valid document with a few random edits: of its bytes, or of the tree that it is.

    python -m tests.reliability.fuzz PARSER FOLDER EXAMPLES SEED

fuzzes one parser in a process of its own, which cannot have more than `ROOM` bytes beside what it
has after it has read the valid document, and ends where it reads a document for `SECONDS`.
"""

import contextlib
import faulthandler
import functools
import io
import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from luray.core.causes import chain_of
from luray.storage import web
from tests.reliability.foreign import Parser, parsers

ROOM = 256 * 2**20
"""Bytes that reading a document of a few kilobytes may take: far less than a tile's inputs."""
SECONDS = 30.0
"""CPU time that it may take. Most take milliseconds; some libraries would go on for ever."""
NO_MEMORY = ("alloc", "memory")
"""Words by which libraries say that they wanted more."""
OWN_BOUNDS = (
    "frame requires too much memory for decoding",  # Zstandard: its bound on a frame's window
    "address of object past end of allocation",  # HDF5: a place beyond the end of the file
    "out of memory reading of",  # libtiff: a tag that is longer than the whole file
)
"""Of these, what libraries say when they refuse a document before they ask for any memory."""
AT_ONCE = 500
"""Examples of one round: Hypothesis remembers those of a round, which must not count as the parser's.
"""
NAMED_ERRORS = (ValueError, OSError)
"""What users are shown in one line; anything else is a crash."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "../../etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def edited(draw: st.DrawFn, valid: bytes) -> bytes:
    """The bytes of a document with one to four edits."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        edit = draw(st.sampled_from(["flip", "insert", "delete", "cut", "fill"]))
        if edit == "flip" and at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif edit == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif edit == "delete":
            del data[at : at + draw(st.integers(1, 16))]
        elif edit == "cut":
            del data[at:]
        else:
            length = draw(st.integers(1, 8))
            data[at : at + length] = draw(st.sampled_from([b"\x00", b"\xff", b"\x7f"])) * length
    return bytes(data)


@st.composite
def replanted(draw: st.DrawFn, valid: bytes) -> bytes:
    """A JSON document of which one or two nodes are replaced, removed or renamed."""
    tree = json.loads(valid)
    for _ in range(draw(st.integers(1, 2))):
        nodes = list(_nodes(tree))
        if not nodes:
            break
        parent, key = draw(st.sampled_from(nodes))
        edit = draw(st.sampled_from(["replace", "remove", "rename"]))
        if edit == "replace" or isinstance(parent, list):
            parent[key] = draw(TREES)
        else:
            value = parent.pop(key)
            if edit == "rename":
                parent[draw(st.text(max_size=8))] = value
    return json.dumps(tree).encode()


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree, as its parent and key."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield tree, key
        if isinstance(value, dict | list):
            yield from _nodes(value)


def cases(parser: Parser) -> st.SearchStrategy[bytes]:
    """The strategy of a parser's documents."""
    if parser.is_json:
        return edited(parser.valid) | replanted(parser.valid)
    return edited(parser.valid)


class Tally(NamedTuple):
    """Documents that were read, and how many of them were refused."""

    read: int
    refused: int


def fuzz(parser: Parser, folder: Path, *, examples: int, seed: int | None = None) -> Tally:
    """Read edited documents.

    Fails on an error that is not named, one that does not name the place, and one for want of
    memory.
    """
    tally = Tally(0, 0)

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(parser))
    def check(data: bytes) -> None:
        nonlocal tally
        fault: Exception | None = None
        try:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                parser.read(folder, data)
        except NAMED_ERRORS as error:
            fault = error
        message = "" if fault is None else str(fault) or repr(fault)
        assert fault is None or not wants_memory(fault), (
            f"it wanted more than {ROOM} bytes: {message}"
        )
        place = parser.name.split()[0].strip(":")
        names = not message or place in message or str(folder) in message
        assert names, f"an error that does not name the file: {message}"
        tally = Tally(tally.read + 1, tally.refused + bool(message))

    if seed is not None:
        check = seeded(seed)(check)
    check()
    return tally


def wants_memory(error: BaseException) -> bool:
    """Tell whether an error, or one behind it, is for want of memory."""
    for link in chain_of(error):
        if isinstance(link, MemoryError):
            return True
        text = str(link).lower()
        for own_bound in OWN_BOUNDS:
            text = text.replace(own_bound, "")
        if any(word in text for word in NO_MEMORY):
            return True
    return False


def returning_memory() -> dict[str, str]:
    """Return the environment of a process whose C library gives back what is freed.

    luray has its workers keep it. A bound on top of what was kept would let a parser take as much
    again.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}


def begin(parser: Parser, folder: Path, *, examples: int, seed: int) -> subprocess.Popen[str]:
    """Begin to fuzz a parser in a process of its own."""
    module = "tests.reliability.fuzz"
    arguments = [parser.name, str(folder), str(examples), str(seed)]
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=returning_memory(),
    )


def ended(process: subprocess.Popen[str]) -> Tally:
    """Wait for a process of `begin`, and return what it has read."""
    printed, _ = process.communicate()
    assert process.returncode == 0, printed[:1000] + printed[-3000:]
    return Tally(*json.loads(printed.splitlines()[-1]))


def within_seconds(
    read: Callable[[Path, bytes], Any], seconds: float
) -> Callable[[Path, bytes], Any]:
    """Return a reader that ends the process, and prints where it was, after some CPU time.

    No exception could end it: it may be inside of a library that never returns.
    """
    faulthandler.register(signal.SIGPROF, chain=True)  # then what the signal does: end the process

    def read_within_seconds(folder: Path, data: bytes) -> Any:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            return read(folder, data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    return read_within_seconds


def main(name: str, folder: Path, examples: int, seed: int) -> Tally:
    """Fuzz one parser with a bound on memory and on the time of each document."""
    # Each catalog reads the certificates of the machine, which takes longer than all of its
    # documents. This process reads them once.
    web.trusted_certificates = functools.cache(web.trusted_certificates)
    folder.mkdir(parents=True)
    [parser] = [parser for parser in parsers(folder / "valid") if parser.name == name]
    parser.read(folder, parser.valid)
    parser = parser._replace(read=within_seconds(parser.read, SECONDS))
    fuzz(parser, folder, examples=20, seed=seed)  # imports and caches of what refuses

    bound = psutil.Process().memory_info().vms + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    tallies = [
        fuzz(parser, folder, examples=min(AT_ONCE, examples - first), seed=seed * examples + first)
        for first in range(0, examples, AT_ONCE)
    ]
    return Tally(*map(sum, zip(*tallies, strict=True)))


if __name__ == "__main__":
    try:
        print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
    except BaseException as error:
        print(f"{type(error).__name__}: {str(error)[:1000]}")
        raise
