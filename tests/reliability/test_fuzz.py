"""Foreign bytes end in a value or in a named error: a few cases each, 10,000 in `make chaos`."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.foreign import Parser, parsers
from tests.reliability.fuzz import begin, ended, fuzz, returning_memory

NAMES = (
    "run.toml",
    "item.json of STAC",
    "references.json",
    "references.parquet: its index",
    "references.parquet: a record",
    "receipt",
    "lease",
    "p.sha256",
    "map.tif",
    "values.nc",
    "classic.nc",
    "weights.safetensors",
    "training.safetensors",
    "card.json",
)
EXAMPLES = 25


@pytest.fixture(scope="module")
def every_parser(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Parser]:
    return {parser.name: parser for parser in parsers(tmp_path_factory.mktemp("valid") / "d")}


def test_every_parser_is_fuzzed(every_parser: dict[str, Parser]):
    assert tuple(every_parser) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_foreign_bytes_end_in_a_value_or_a_named_error(
    every_parser: dict[str, Parser], tmp_path: Path, name: str
):
    parser = every_parser[name]
    parser.read(tmp_path, parser.valid)
    found = fuzz(parser, tmp_path, examples=EXAMPLES)
    assert found.read >= EXAMPLES


GREEDY = """
import sys
from pathlib import Path
import numpy as np
from tests.reliability import fuzz
from tests.reliability.foreign import Parser

def read(folder, data):
    if data != b"valid":
        np.ones(2**26)

fuzz.parsers = lambda folder: [Parser("greedy", b"valid", read)]
fuzz.main("greedy", Path(sys.argv[1]), 5, 1)
"""
"""Fuzzes a parser that takes 512 MiB for whatever is not valid."""


def test_a_parser_that_wants_more_memory_than_the_bound_fails(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", GREEDY, tmp_path / "greedy"],
        capture_output=True,
        text=True,
        check=False,
        env=returning_memory(),
    )
    assert done.returncode == 1
    assert "Unable to allocate 512. MiB" in done.stderr


ENDLESS = """
import sys
from pathlib import Path
from tests.reliability import fuzz
from tests.reliability.foreign import Parser

def read(folder, data):
    while data != b"valid":
        pass

fuzz.SECONDS = 0.2
fuzz.parsers = lambda folder: [Parser("endless", b"valid", read)]
fuzz.main("endless", Path(sys.argv[1]), 5, 1)
"""
"""Fuzzes a parser that never comes to the end of whatever is not valid."""


def test_a_parser_that_never_ends_fails(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, tmp_path / "endless"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGPROF
    assert "in read_within_seconds" in done.stderr


def test_a_parser_is_fuzzed_in_a_process_with_a_bound(every_parser, tmp_path: Path):
    parser = every_parser["references.json"]
    found = ended(begin(parser, tmp_path / "f", examples=EXAMPLES, seed=1))
    assert found.read >= EXAMPLES
