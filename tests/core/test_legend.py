import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luray.core.legend import NO_DATA, OUTSIDE, LandClass, Legend
from luray.core.legend_files import HILDA, read_legend

MERGED = {
    11: 11,
    22: 22,
    23: 22,
    24: 22,
    33: 33,
    **dict.fromkeys(range(40, 46), 44),
    55: 55,
    66: 66,
    77: 77,
    0: 0,
    99: 0,
}
"""What each code of a HILDA+ file becomes in luray; no data is stored as ocean."""


def test_every_published_code_goes_to_its_class_and_back():
    codes = np.array([list(MERGED)], np.uint8)
    assert HILDA.decode(HILDA.encode(codes)).tolist() == [list(MERGED.values())]
    assert HILDA.known() == sorted(MERGED)
    assert [HILDA.index(c) for c in (11, 22, 33, 44, 55, 66, 77)] == list(range(7))
    assert HILDA.encode(codes)[codes == 0] == HILDA.encode(codes)[codes == 99] == OUTSIDE


@given(codes=arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_a_map_with_an_unknown_code_is_refused_by_code_and_count(codes):
    unknown = [c for c in codes.ravel().tolist() if c not in MERGED]
    if not unknown:
        assert HILDA.decode(HILDA.encode(codes)).tolist() == [
            [MERGED[c] for c in row] for row in codes.tolist()
        ]
        return
    with pytest.raises(ValueError, match=r"map of 2001: .*not in legend HILDA\+") as error:
        HILDA.encode(codes, where="map of 2001")
    for code in set(unknown):
        assert f"code {code} ({unknown.count(code)} cells)" in str(error.value)


@pytest.mark.parametrize(
    ("legend", "number", "message"),
    [
        (HILDA, 7, r"7 \(2 cells\) are no classes of legend HILDA\+, expected 0 to 6, 254 or 255"),
        (HILDA, 253, r"253 \(2 cells\) are no classes"),
        (read_legend("lai"), 141, r"map of May: 141 \(2 cells\) are no levels of legend LAI, exp"),
    ],
)
def test_numbers_that_are_no_class_are_not_taken_for_ocean(legend, number, message):
    indices = np.array([[0, number, number], [OUTSIDE, NO_DATA, 6]], np.uint8)
    with pytest.raises(ValueError, match=message):
        legend.decode(indices, where="map of May")
    indices[0, 1:] = 6
    decoded = legend.decode(indices)
    assert decoded[1, :2].tolist() == [legend.ocean, legend.nodata]


@pytest.mark.parametrize("value", [267, -245, 11.5, np.nan, np.inf])
def test_a_value_that_only_looks_like_a_code_after_a_cast_is_refused(value):
    with pytest.raises(ValueError, match="1 values are no class codes"):
        HILDA.encode(np.array([[11, value]]), where="a.tif")


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float32])
def test_codes_in_a_wider_type_are_the_same_codes(dtype):
    assert HILDA.encode(np.array([[11, 44, 0]], dtype)).tolist() == [[0, 3, OUTSIDE]]


@pytest.mark.parametrize("code", [12, 300, -1])
def test_index_of_an_unknown_code_says_which_are_known(code):
    with pytest.raises(
        ValueError, match=rf"code {code} is not in legend HILDA\+: use one of \[0, 11, 22"
    ):
        HILDA.index(code)


def test_cf_attributes_name_and_colour_every_value():
    flags = HILDA.cf_attributes()
    meanings, colours = flags["flag_meanings"].split(), flags["flag_colors"].split()
    assert flags["flag_values"] == [0, 11, 22, 33, 44, 55, 66, 77, 99]
    assert len(meanings) == len(set(meanings)) == len(colours) == len(flags["flag_values"])
    assert meanings[0] == "ocean"
    assert meanings[4] == "forest"


def test_a_legend_of_other_codes_needs_no_change_elsewhere():
    legend = Legend(
        "two",
        (LandClass(3, "a", "#000000"), LandClass(15, "b", "#ffffff")),
        {4: 3},
        ocean=27,
        nodata=30,
    )
    assert len(legend) == 2
    assert legend.encode(np.array([3, 4, 15, 27, 30], np.uint8)).tolist() == [
        0,
        0,
        1,
        OUTSIDE,
        OUTSIDE,
    ]
    assert legend.decode(np.array([0, 1, OUTSIDE], np.uint8)).tolist() == [3, 15, 27]


def test_a_legend_comes_back_from_its_attributes():
    attributes = json.loads(json.dumps(HILDA.to_attributes()))
    assert Legend.from_attributes(attributes) == HILDA
