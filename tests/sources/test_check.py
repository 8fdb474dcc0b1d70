"""Checking inputs: every value once, in any order, and a verdict for each variable, refused or not."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.core.variable import Variable
from luray.sources.base import STATE, About, Described, Encoding
from luray.sources.check import Findings, Opened, Values, examine, row_bands, summarise
from luray.sources.coverage import cut
from luray.sources.gebco import GebcoConfig
from luray.sources.hilda import HildaConfig
from luray.sources.layout import SOUTH_FIRST
from luray.sources.luh2 import Luh2Config
from luray.sources.verdict import CheckReport, judge
from luray.storage.errors import InputError

RUN = Grid(50, 10, 0.5, 20, 30)
NATIVE = Grid(50, 10, 1, 10, 15)
COARSE = Variable("a", "forcing", "1", "a"), Variable("b", "forcing", "km-2", "b", dtype="float32")
ZONE = Variable("zone", "forcing", "1", "zone", dtype="uint8", categories=(1, 2, 3))
WANTED = {"state": (2000, 2001), "forcing": (2000, 2001), "static": ()}
LUH2 = Luh2Config(kind="luh2", path="/data/luh2")


class Made(Described):
    """A source whose values are the year plus the number of the cell, and that refuses the cells it
    is told to.
    """

    bad: tuple[tuple[int | None, int, str], ...] = ()
    """Year, row and message of each refusal."""

    def read(self, year, box):
        for wrong, row, message in self.bad:
            if wrong == year and box.row <= row < box.row + box.height:
                raise InputError(message)
        cells = np.arange(self.grid.n_lat * self.grid.n_lon, dtype=np.float32).reshape(
            self.grid.shape
        )
        part = cells[box.slices(origin=Box(0, 0, 0, 0))] + (year or 0)
        return np.stack([part.astype(v.dtype) for v in self.variables])


def made(variables=COARSE, *, grid=NATIVE, years=(2000, 2001), bad=(), name="luh2", **options):
    source = Made(
        name=name,
        about=About("t", "", "", "", ()),
        grid=grid,
        variables=variables,
        years=years,
        rules=("r",),
        files=("f.nc",),
        **options,
    )
    object.__setattr__(source, "bad", bad)
    return source


def look(source, config=LUH2, wanted=WANTED):
    return judge(
        Opened(config, source),
        examine(source, list(enumerate(row_bands(source, RUN)))),
        wanted=wanted,
    )


@pytest.mark.parametrize("limit", [1, 40, 2**24])
def test_shares_cover_what_a_build_reads_and_nothing_twice(limit, monkeypatch):
    monkeypatch.setattr("luray.sources.check.BAND_VALUES", limit)
    native = made(grid=Grid(60, 0, 1, 40, 60), years=(2000, 2001, 2002), held={2001: 2000})
    maps = made((STATE,), grid=Grid(45, 0, 0.5, 30, 40), years=(2001, 2002), name="hilda")
    static = made((Variable("z", "static", "m", "z"),), grid=Grid(60, 0, 0.3, 100, 100), years=())
    for source, years, within in (
        (native, {2000, 2002}, cut(native.grid, RUN)[1]),
        (maps, {2001, 2002}, Box(0, 20, 10, 20)),
        (static, {None}, cut(static.grid, RUN)[1]),
    ):
        shares = row_bands(source, RUN)
        assert {year for share in shares for year in share.years} == years
        seen = {year: np.zeros(source.grid.shape, int) for year in years}
        for share in shares:
            for year in share.years:
                seen[year][share.box.slices(origin=Box(0, 0, 0, 0))] += 1
            assert (
                share.box.height == 1
                or share.box.height * share.box.width * len(source.variables) <= limit
            )
        expected = np.zeros(source.grid.shape, int)
        expected[within.slices(origin=Box(0, 0, 0, 0))] = 1
        for counts in seen.values():
            np.testing.assert_array_equal(counts, expected)


def test_maps_beside_the_run_or_between_its_cells_have_no_shares():
    with pytest.raises(ValueError, match="do not overlap the run grid"):
        row_bands(made((STATE,), grid=Grid(30, 10, 0.5, 20, 30)), RUN)
    with pytest.raises(ValueError, match=r"shifted by 0\.500 of a cell"):
        row_bands(made((STATE,), grid=Grid(50.25, 10, 0.5, 20, 30)), RUN)


def test_a_continuous_variable_has_its_range_and_gaps():
    field = np.array([[np.nan, 3], [-2, 8]], np.float32)
    assert summarise(field, COARSE[0]) == Values(4, 1, -2, 8)
    assert summarise(np.full((2, 2), np.nan, np.float32), COARSE[0]) == Values(4, 4)
    assert summarise(field, COARSE[0]) + summarise(field * 10, COARSE[0]) == Values(8, 2, -20, 80)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_categorical_variable_has_its_classes_and_what_is_none(dtype):
    codes = np.array([[0, 1, 3], [3, 255, 1]], dtype)
    assert summarise(codes, ZONE) == Values(6, 2, classes=frozenset({1, 3}))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_findings_are_the_same_in_any_order_and_grouping(faults, shuffle: random.Random):
    parts = [
        Findings(
            (Values(4, i % 3, -i, i, frozenset({i % 5})),),
            1,
            int(text > 0),
            ((i, f"fault {text}"),) if text else (),
        )
        for i, (text, _) in enumerate(faults)
    ]
    one = sum(parts, Findings((Values(),)))
    order = list(parts)
    shuffle.shuffle(order)
    half = shuffle.randint(0, len(order))
    assert (
        sum(order[:half], Findings((Values(),))) + sum(order[half:], Findings((Values(),))) == one
    )
    first = dict.fromkeys(text for text, _ in faults if text)
    assert [message for _, message in one.messages] == [f"fault {text}" for text in first][:4]
    assert (one.pieces, one.refused) == (len(faults), sum(text > 0 for text, _ in faults))


def test_a_sound_source_is_ok_with_what_was_found():
    stored = (
        Encoding("A", "int16", "%", (-1.0,), "south first, longitudes 0..360", (SOUTH_FIRST,)),
        Encoding("b", "float64", "1", (), "north first, longitudes -180..180", ()),
    )
    got = look(made(stored=stored))
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


def test_a_refused_share_refuses_the_source_and_the_others_are_still_read(monkeypatch):
    monkeypatch.setattr("luray.sources.check.BAND_VALUES", 30)
    got = look(made(bad=((2001, 3, "f.nc, year 2001: 2 cells are wrong; get it again"),)))
    assert [r.verdict for r in got.rows] == [
        "refused: f.nc, year 2001: 2 cells are wrong; get it again"
    ] * 2
    assert got.refusals == ("f.nc, year 2001: 2 cells are wrong; get it again",)
    assert got.rows[0].values == "2000..2150", "what is sound is summarised all the same"


def test_many_refusals_are_counted_and_the_first_of_them_said(monkeypatch):
    monkeypatch.setattr("luray.sources.check.BAND_VALUES", 30)
    got = look(made(bad=tuple((2001, row, f"row {row} is wrong") for row in range(7))))
    assert got.refusals[:-1] == tuple(f"row {row} is wrong" for row in range(4))
    assert got.refusals[-1] == "and more: 7 of 20 pieces of luh2 are refused"


def test_an_error_of_the_program_is_no_refusal():
    source = made()
    object.__setattr__(source, "read", None)
    with pytest.raises(TypeError):
        look(source)


@pytest.mark.parametrize(
    ("variables", "role", "key"),
    [(COARSE, "forcing", "inference.years"), ((STATE,), "state", "inference.observed")],
)
def test_years_that_the_run_names_and_the_source_lacks_are_refused(variables, role, key):
    source = made(variables, grid=RUN if role == "state" else NATIVE, years=(2001,), name="x")
    config = HildaConfig(kind="hilda", path="p") if role == "state" else LUH2
    got = judge(
        Opened(config, source),
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
def test_a_source_that_did_not_open_has_a_row_a_variable(config, names):
    got = judge(Opened(config, fault="states.nc: it is broken; get it again"), None, wanted=WANTED)
    assert [r.variable for r in got.rows] == names
    assert {r.verdict for r in got.rows} == {"refused: states.nc: it is broken; get it again"}
    assert all(r.expected for r in got.rows)


def test_a_report_lists_rows_in_order_and_the_refused_sources():
    sound = look(
        made((STATE,), grid=RUN, name="hilda", max_missing=1.0), HildaConfig(kind="hilda", path="p")
    )
    broken = judge(Opened(GebcoConfig(kind="gebco", path="p"), fault="gone"), None, wanted=WANTED)
    report = CheckReport("demo", (sound, broken))
    assert [(r.source, r.refused) for r in report.rows] == [("hilda", False), ("gebco", True)]
    assert report.refused == ("gebco",)
