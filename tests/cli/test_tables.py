"""Tables of the inputs: readable in 80 columns, whole in a pipe."""

import io

import pytest
from rich.console import Console

from luray.cli.tables import (
    Listed,
    check_lines,
    check_table,
    refusals_of,
    sources_lines,
    sources_table,
)
from luray.sources import kinds
from luray.sources.check import OpenedSource
from luray.sources.luh2 import Luh2Config
from luray.sources.verdict import CheckReport, Row, SourceCheck

LONG = "/data/luh2/states.nc, year 1950: 3 cells have states that do not sum to 1 - icwtr; get the file again"
REPORT = CheckReport(
    "global",
    (
        SourceCheck(
            "gebco",
            "1 file; south first",
            "15 arcsec",
            ("depths below sea level kept",),
            (
                Row(
                    "gebco",
                    "elevation",
                    "int16, m",
                    "-45..2139 m",
                    "0.0%",
                    "-12000..9000 m",
                    "ok, normalised: rows stored south first, read north first",
                ),
            ),
        ),
        SourceCheck(
            "luh2",
            "3 files; years 1850-2100",
            "0.25 degrees",
            (),
            refusals=(LONG,),
            rows=(
                Row(
                    "luh2",
                    "urban",
                    "float32, fill 1e+20",
                    "0..0.07",
                    "2.1%",
                    "0..1",
                    f"refused: {LONG}",
                ),
            ),
        ),
    ),
)
LISTED = [Listed(kind, about) for kind, about in kinds().items()]


def rendered(table, width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(table)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 160, 250])
def test_tables_keep_to_the_width_and_lose_no_word(width):
    checked = ("elevation", "int16,", "-45..2139", "normalised:", "refused,", "depths", "1850-2100")
    for table, words in (
        (check_table(REPORT, width=width), checked),
        (sources_table(LISTED), ("luh2", "states.nc", "10.25584/PNNLDH/1986308")),
    ):
        lines = rendered(table, width)
        assert max(map(len, lines)) <= width
        assert set(words) <= set(" ".join(lines).split())


def test_a_row_of_a_check_is_one_line_where_there_is_room():
    lines = rendered(check_table(REPORT, width=160), 160)
    [urban] = [line for line in lines if "urban" in line]
    assert urban.split("  ")[1] == "urban"
    assert (
        " ".join(urban.split()) == "urban float32, fill 1e+20 0..0.07 2.1% 0..1 refused, see below"
    )
    assert lines[0].split()[:2] == ["variable", "in"]
    assert lines[0].index("missing") == urban.index("2.1%"), "columns stand below their heads"


def test_a_variable_is_a_plain_line_verdict_first():
    lines = check_lines(REPORT).splitlines()
    assert (
        "  ok, normalised: rows stored south first, read north first: gebco.elevation: found "
        "int16, m; values "
        "-45..2139 m, missing 0.0%; expected -12000..9000 m" in lines
    )
    assert "gebco: rule: depths below sea level kept" in lines
    assert [line for line in lines if line.startswith("  refused: luh2.urban: ")]
    assert list(refusals_of(REPORT)) == [("luh2", LONG)]


def test_every_kind_is_listed_with_its_place_and_licence():
    blocks = {block.split("\n", 1)[0]: block for block in sources_lines(LISTED).split("\n\n")}
    assert set(blocks) == {
        "luh2",
        "hilda",
        "isimip",
        "koppen",
        "gebco",
        "pnnl_topo",
        "pnnl_soil",
        "cci_lc",
        "categorical",
        "aggregated",
        "product",
        "climate",
        "season",
        "climatology",
        "values",
        "c3s_lai",
        "mod15",
        "glass",
    }
    for name, doi in (
        ("luh2", "10.22033/ESGF/input4MIPs.10454"),
        ("hilda", "10.1594/PANGAEA.974335"),
        ("pnnl_soil", "10.25584/PNNLDH/1986308"),
    ):
        assert f"  doi       {doi}\n" in blocks[name]
        assert "  licence   " in blocks[name]
        assert "  get it    https://" in blocks[name]
    assert "\n            staticData_quarterdeg.nc\n" in blocks["luh2"]
    assert "hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif" in blocks["hilda"]


def test_a_refused_source_is_listed_with_its_place():
    one = OpenedSource(
        Luh2Config(kind="luh2", path="s3://me:secret@bucket/luh2?key=secret"), fault="no states.nc"
    )
    listed = Listed(one.name, one.config.described, one.where, "", one.fault)
    text = sources_lines([listed])
    assert "  looked in s3://bucket/luh2" in text
    assert "secret" not in text
    assert text.endswith("  refused   no states.nc")
