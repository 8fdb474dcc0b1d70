"""Tables of the command line: readable in 100 columns, whole in a pipe."""

import io
import time
from collections import Counter

import pytest
from rich.console import Console

from luray.cli.tables import (
    Listed,
    check_lines,
    check_table,
    refusals_of,
    sources_lines,
    sources_table,
    spans,
    status_lines,
    training_head,
    training_line,
)
from luray.product.dimensions import ProductDims
from luray.product.status import Status
from luray.sources import kinds
from luray.sources.check import Opened
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
def test_tables_keep_within_the_width_and_lose_no_word(width):
    checked = ("elevation", "int16,", "-45..2139", "normalised:", "refused,", "depths", "1850-2100")
    for table, words in (
        (check_table(REPORT, width=width), checked),
        (sources_table(LISTED), ("luh2", "states.nc", "10.25584/PNNLDH/1986308")),
    ):
        lines = rendered(table, width)
        assert max(map(len, lines)) <= width
        assert set(words) <= set(" ".join(lines).split())


def test_a_row_of_the_check_is_one_line_where_there_is_room():
    lines = rendered(check_table(REPORT, width=160), 160)
    [urban] = [line for line in lines if "urban" in line]
    assert urban.split("  ")[1] == "urban"
    assert (
        " ".join(urban.split()) == "urban float32, fill 1e+20 0..0.07 2.1% 0..1 refused, see below"
    )
    assert lines[0].split()[:2] == ["variable", "in"]
    assert lines[0].index("missing") == urban.index("2.1%"), "columns stand below their heads"


def test_plain_lines_give_the_verdict_first_and_every_variable_in_one_line():
    lines = check_lines(REPORT).splitlines()
    assert (
        "  ok, normalised: rows stored south first, read north first: gebco.elevation: found "
        "int16, m; values "
        "-45..2139 m, missing 0.0%; expected -12000..9000 m" in lines
    )
    assert "gebco: rule: depths below sea level kept" in lines
    assert [line for line in lines if line.startswith("  refused: luh2.urban: ")]
    assert list(refusals_of(REPORT)) == [("luh2", LONG)]


def test_the_list_has_every_kind_with_its_place_licence_and_files():
    blocks = {block.split("\n", 1)[0]: block for block in sources_lines(LISTED).split("\n\n")}
    assert set(blocks) == {
        "luh2",
        "hilda",
        "isimip",
        "koppen",
        "gebco",
        "pnnl_topo",
        "pnnl_soil",
        "categorical",
        "aggregated",
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


def test_what_was_found_or_refused_is_listed_with_its_place():
    one = Opened(
        Luh2Config(kind="luh2", path="s3://me:secret@bucket/luh2?key=secret"), fault="no states.nc"
    )
    listed = Listed(one.name, one.config.described, one.where, "", one.fault)
    text = sources_lines([listed])
    assert "  looked in s3://bucket/luh2" in text
    assert "secret" not in text
    assert text.endswith("  refused   no states.nc")


def test_a_line_of_a_training_stands_under_its_headings():
    metrics = {
        "loss": 0.28,
        "loss_land": 0.25,
        "loss_changed": 1.6,
        "accuracy": 0.92,
        "persistence": 0.94,
        "figure_of_merit": 0.17,
        "predicted_over_observed": 1.1,
        "learning_rate": 0.0039,
        "samples_per_second": 20.1,
    }
    held_out = {
        "accuracy": 0.951,
        "persistence": 0.949,
        "figure_of_merit": 0.142,
        "predicted_over_observed": 0.31,
    }
    head, line = (
        training_head(),
        training_line(metrics, held_out, epoch=3, step=750, seconds_left=425),
    )
    assert len(head) == len(line) <= 140
    for name, text in (
        ("epoch", "3"),
        ("loss", "0.2800"),
        ("on change", "1.6000"),
        ("held out", "0.9510"),
        ("samples/s", "20.1"),
        ("left", "7:05"),
    ):
        end = head.index(name) + len(name)
        assert line[:end].split()[-1] == text, name
    assert training_line(metrics, {}, epoch=1, step=9, seconds_left=0).split().count("-") == 4


def test_a_status_says_what_is_done_at_what_rate_and_by_whom():
    now = time.time()
    status = Status(
        "Land use",
        (1999, 2000, 2001, 2002),
        4,
        Counter({1999: 4, 2000: 4, 2001: 1}),
        tuple(now - 40 + 5 * i for i in range(9)),
        finished=False,
        holder="process 7 on node",
    )
    assert status.rate() == pytest.approx(0.2)
    text = "\n".join(status_lines(status))
    assert "9 of 16 tile-years, 2 of 4 years whole: 1999-2000" in text
    assert "begun: 2001 (1/4)" in text
    assert "being written by process 7 on node; 0.20 tile-years/s, 0:00:35 left" in text
    idle = Status(
        "Land use",
        (1999,),
        4,
        Counter({1999: 1}),
        (now - 5000, now - 4000),
        finished=False,
        holder="",
    )
    assert "nobody is writing it; none done lately" in "\n".join(status_lines(idle))
    whole = Status("Land use", (1999,), 4, Counter({1999: 4}), (), finished=True, holder="")
    assert status_lines(whole)[-1] == "  finished"
    dims = Status(
        "Land use",
        (1999, 2000),
        4,
        Counter({1999: 32, 2000: 5}),
        (),
        finished=False,
        holder="",
        dims=ProductDims(("ssp126", "ssp585"), 3),
    )
    text = "\n".join(status_lines(dims))
    assert "37 of 64 tile-years, 1 of 2 years whole: 1999" in text, (
        "2 scenarios of 3 maps and what is across them"
    )
    assert "of scenarios ssp126, ssp585 and 3 members" in text
    assert "begun: 2000 (5/32)" in text
    assert spans([1850, 1851, 1853, 1855, 1856]) == "1850-1851, 1853, 1855-1856"
