"""Foreign bytes end in a value or in a named error: a few cases each, 10,000 in `make chaos`."""

from pathlib import Path

import pytest

from tests.reliability.fuzz import Parser, fuzz, parsers

NAMES = (
    "run.toml",
    "item.json of STAC",
    "references.json",
    "receipt",
    "lease",
    "p.sha256",
    "map.tif",
    "values.nc",
    "weights.safetensors",
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
