"""Legends from TOML files: luray's own, and what is refused of a user's."""

import json

import numpy as np
import pytest

from luray.core.legend import MOST_CLASSES, OUTSIDE, LandClass, Legend
from luray.core.legend_files import HILDA, legend_names, own_legends, read_legend

COVER = read_legend("esa_cci_lc")

MINE = """
name = "mine"
variable = "crop_type"
long_name = "crop type"
ocean = 0
nodata = 9
water = 3
aliases = { 4 = 1 }
classes = [
  { code = 1, name = "wheat", colour = "#aabbcc" },
  { code = 3, name = "pond", colour = "#0000FF" },
]
"""


VALUES = """
name = "height"
variable = "canopy_height"
long_name = "canopy height"
units = "m"
valid_range = [0, 50]
step = 0.5
colours = ["#ffffff", "#004400"]
"""


def test_luray_has_three_legends_of_classes_and_one_of_values():
    assert legend_names() == ("esa_cci_lc", "hilda", "igbp", "lai")
    assert [len(legend) for legend in own_legends()] == [37, 7, 17]


def test_land_cover_has_every_published_code():
    """Flag values of `lccs_class` in the files of version 2.1.1; 0 is no data."""
    published = (
        "10 11 12 20 30 40 50 60 61 62 70 71 72 80 81 82 90 100 110 120 121 122 130 140 150 151 "
        "152 153 160 170 180 190 200 201 202 210 220"
    )
    assert [int(code) for code in COVER.codes] == [int(code) for code in published.split()]
    assert COVER.nodata == 0
    assert COVER.classes[COVER.index(COVER.water)].name == "water"
    assert [int(code) for code in read_legend("igbp").codes] == list(range(1, 18))


@pytest.mark.parametrize("legend", own_legends(), ids=lambda legend: legend.name)
def test_codes_go_to_classes_and_back(legend):
    codes = np.array([legend.ocean, *legend.codes, legend.nodata], np.uint8)
    indices = legend.encode(codes)
    assert indices.tolist() == [OUTSIDE, *range(len(legend)), OUTSIDE]
    assert legend.decode(indices)[:-1].tolist() == codes[:-1].tolist()
    stored = json.loads(json.dumps(legend.to_attributes()))
    assert Legend.from_attributes(stored) == legend

    flags = legend.cf_attributes()
    lengths = {len(flags["flag_values"])}
    lengths |= {len(flags[name].split()) for name in ("flag_meanings", "flag_colors")}
    assert lengths == {len(legend) + 2}


def test_land_use_is_stored_without_its_name():
    """As before there was another target: what is stored enters no new byte."""
    assert "variable" not in HILDA.to_attributes()
    assert COVER.to_attributes()["variable"] == "land_cover"
    assert (HILDA.variable, HILDA.title, COVER.title) == ("land_use", "Land use", "Land cover")


def test_a_legend_of_ones_own_is_read(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    mine = read_legend(str(tmp_path / "mine.toml"))
    assert mine.encode(np.array([0, 1, 3, 4, 9])).tolist() == [OUTSIDE, 0, 1, 0, OUTSIDE]
    assert (mine.variable, mine.water) == ("crop_type", 3)


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("ocean = 0", "", r"missing keys \['ocean'\]"),
        ("water = 3", "sea = 3", r"unknown keys \['sea'\]"),
        ("water = 3", "water = 5", r"lead to \[5\], which are no class"),
        ("code = 3", "code = 1", r"codes \[1\] twice"),
        ("code = 3", "code = 300", r"codes \[300\], expected 0 to 255"),
        ("code = 3", "code = 3.5", r"\[3.5\] are of the wrong type"),
        ("nodata = 9", "nodata = 0", r"codes \[0\] twice"),
        ("4 = 1", "4 = 2", r"lead to \[2\]"),
        ('"pond"', '"Pond"', r"class names \['Pond'\]"),
        ('"pond"', '"ocean"', r"class names \['ocean'\]"),
        ('"pond"', '"wheat"', r"class names \['wheat'\]"),
        ('"crop_type"', '"confidence"', "cannot name the maps"),
        ('"crop_type"', '"Crop type"', "cannot name the maps"),
        ("#0000FF", "blue", "colour 'blue', expected"),
        ('colour = "#0000FF"', 'colour = "#0000FF", x = 1', r"classes.1 is .* expected code"),
        ('name = "mine"', "name = [", "not valid TOML"),
    ],
)
def test_what_is_no_legend_is_refused(tmp_path, right, wrong, message):
    assert right in MINE
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(right, wrong))
    with pytest.raises(ValueError, match=message):
        read_legend(str(path))


def test_a_scale_of_ones_own_is_read(tmp_path):
    (tmp_path / "mine.toml").write_text(VALUES)
    mine = read_legend(str(tmp_path / "mine.toml"))
    assert (len(mine), mine.variable, mine.scale.last) == (101, "canopy_height", 50.0)
    assert mine.scale.values(mine.scale.levels_of(np.array([12.3, 49.9]))).tolist() == [12.5, 50.0]
    assert mine.encode(np.array([0, 100, 255], np.uint8)).tolist() == [0, 100, OUTSIDE]
    assert (mine.classes[0].colour, mine.classes[100].colour) == ("#ffffff", "#004400")
    stored = json.loads(json.dumps(mine.to_attributes()))
    assert Legend.from_attributes(stored) == mine
    packing = mine.cf_attributes()
    assert (packing["scale_factor"], packing["add_offset"], packing["units"]) == (0.5, 0.0, "m")
    with pytest.raises(ValueError, match=r"code 101 .* not on the scale of legend height"):
        mine.encode(np.array([101], np.uint8))


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("step = 0.5", "step = 0.1", "holds 501 steps of 0.1, expected 2 to 250"),
        ("step = 0.5", "step = 0.4001", r"is 124.969 steps of 0.4001, expected a whole number"),
        ("step = 0.5", "step = -1", "step -1, .* a number above 0"),
        ("step = 0.5", 'step = "a"', r"\['a'\] of the wrong type"),
        ("[0, 50]", "50", "expected two numbers"),
        ("step = 0.5", "step = 0.5\ntransform = 'log'", "one of linear and sqrt"),
        ('units = "m"', "", r"missing keys \['units'\]"),
        ("step = 0.5", "step = 0.5\nocean = 3", r"unknown keys \['ocean'\]"),
        ('"#ffffff", "#004400"', '"white", "#004400"', "white"),
        ('"#ffffff", "#004400"', '"#ffffff"', "two colours or more"),
        ('"canopy_height"', '"confidence"', "cannot name the maps"),
    ],
)
def test_what_is_no_scale_is_refused(tmp_path, right, wrong, message):
    assert right in VALUES
    path = tmp_path / "mine.toml"
    path.write_text(VALUES.replace(right, wrong))
    with pytest.raises(ValueError, match=message):
        read_legend(str(path))


def test_values_outside_a_scale_are_refused():
    scale = read_legend("lai").scale
    with pytest.raises(ValueError, match=r"2 values lie outside 0 to 7 m2 m-2 \(first 7.2"):
        scale.levels_of(np.array([1.0, 7.2, np.nan]))
    assert scale.levels_of(np.array([7.02, -0.02])).tolist() == [140, 0]


def test_a_legend_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="no legend 'corine', expected one of esa_cci_lc, hilda"):
        read_legend("corine")
    with pytest.raises(ValueError, match="No such file"):
        read_legend(str(tmp_path / "no.toml"))


def test_more_classes_than_the_first_layer_looks_up_are_refused():
    classes = tuple(LandClass(code, f"c{code}", "#000000") for code in range(1, MOST_CLASSES + 2))
    assert len(Legend("full", classes[:-1], nodata=200)) == MOST_CLASSES
    with pytest.raises(ValueError, match="has 65 classes, expected at most 64"):
        Legend("too many", classes, nodata=200)
