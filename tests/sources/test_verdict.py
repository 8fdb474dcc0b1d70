"""The verdict on a source: a row for each variable, refused or not, and what to do."""

import pytest

from luray.core.grid import Grid
from luray.sources.base import STATE, Encoding
from luray.sources.check import Findings, OpenedSource, Values, examine, row_bands
from luray.sources.gebco import GebcoConfig
from luray.sources.hilda import HildaConfig
from luray.sources.layout import SOUTH_FIRST
from luray.sources.luh2 import Luh2Config
from luray.sources.verdict import CheckReport, judge
from tests.sources.made_source import COARSE, NATIVE, make_source

RUN = Grid(50, 10, 0.5, 20, 30)
WANTED = {"state": (2000, 2001), "forcing": (2000, 2001), "static": ()}
LUH2 = Luh2Config(kind="luh2", path="/data/luh2")


def check_source(source, config=LUH2, wanted=WANTED):
    findings = examine(source, enumerate(row_bands(source, RUN)))
    return judge(OpenedSource(config, source), findings, wanted=wanted)


def test_sound_source_is_ok():
    stored = (
        Encoding("A", "int16", "%", (-1.0,), "south first, longitudes 0..360", (SOUTH_FIRST,)),
        Encoding("b", "float64", "1", (), "north first, longitudes -180..180", ()),
    )
    got = check_source(make_source(encodings=stored))
    a, b = got.rows
    assert (a.source, a.variable, a.stored, a.missing) == (
        "luh2",
        "a",
        "A int16, %, fill -1",
        "0.0%",
    )
    assert a.values == "2000..2150"
    assert a.verdict == "ok, normalised: rows stored south first, read north first"
    assert (b.stored, b.values, b.verdict, b.refused) == ("float64", "2000..2150 km-2", "ok", False)
    assert got.found.startswith(
        "1 file; years 2000-2001; 10 x 15 cells of 1.000000 degrees from 50.00000, 10.00000; "
    )
    assert got.found.endswith(
        "south first, longitudes 0..360 and north first, longitudes -180..180"
    )
    assert got.expected.startswith("years 2000-2001; 0.25 degrees")
    assert a.expected == "0..1"
    assert got.rules == ("r",)
    assert not got.refusals


def test_refused_band_leaves_others_read(monkeypatch):
    monkeypatch.setattr("luray.sources.check.BAND_VALUES", 30)
    got = check_source(
        make_source(refusals=((2001, 3, "f.nc, year 2001: 2 cells are wrong; get it again"),))
    )
    assert [r.verdict for r in got.rows] == [
        "refused: f.nc, year 2001: 2 cells are wrong; get it again"
    ] * 2
    assert got.refusals == ("f.nc, year 2001: 2 cells are wrong; get it again",)
    assert got.rows[0].values == "2000..2150", "what is sound is summarised all the same"


def test_first_refusals_are_kept_others_counted(monkeypatch):
    monkeypatch.setattr("luray.sources.check.BAND_VALUES", 30)
    got = check_source(
        make_source(refusals=tuple((2001, row, f"row {row} is wrong") for row in range(7)))
    )
    assert got.refusals[:-1] == tuple(f"row {row} is wrong" for row in range(4))
    assert got.refusals[-1] == "and more: 7 of 20 pieces of luh2 are refused"


@pytest.mark.parametrize(
    ("variables", "role", "key"),
    [(COARSE, "forcing", "inference.years"), ((STATE,), "state", "inference.observed")],
)
def test_lacking_years_are_refused(variables, role, key):
    source = make_source(
        variables, grid=RUN if role == "state" else NATIVE, years=(2001,), name="x"
    )
    config = HildaConfig(kind="hilda", path="p") if role == "state" else LUH2
    got = judge(
        OpenedSource(config, source),
        Findings((Values(),) * len(variables)),
        wanted={**WANTED, role: (1999, 2000, 2001, 2002)},
    )
    assert got.refusals[0].startswith(
        f"x has nothing for years 1999-2000, 2002, expected 1999-2002 by {key}"
    )
    assert all(row.refused for row in got.rows)


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (
            LUH2,
            [
                "primf",
                "primn",
                "secdf",
                "secdn",
                "pastr",
                "range",
                "urban",
                "c3ann",
                "c3per",
                "c4ann",
                "c4per",
                "c3nfx",
            ],
        ),
        (HildaConfig(kind="hilda", path="p"), ["land_use"]),
        (GebcoConfig(kind="gebco", path="p"), ["elevation"]),
    ],
)
def test_unopened_source_has_all_rows(config, names):
    got = judge(
        OpenedSource(config, fault="states.nc: it is broken; get it again"), None, wanted=WANTED
    )
    assert [r.variable for r in got.rows] == names
    assert {r.verdict for r in got.rows} == {"refused: states.nc: it is broken; get it again"}
    assert all(r.expected for r in got.rows)


def test_report_lists_rows_and_refused_sources():
    sound = check_source(
        make_source((STATE,), grid=RUN, name="hilda", max_missing=1.0),
        HildaConfig(kind="hilda", path="p"),
    )
    broken = judge(
        OpenedSource(GebcoConfig(kind="gebco", path="p"), fault="gone"), None, wanted=WANTED
    )
    report = CheckReport("demo", (sound, broken))
    assert [(r.source, r.refused) for r in report.rows] == [("hilda", False), ("gebco", True)]
    assert report.refused == ("gebco",)
