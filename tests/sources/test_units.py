"""Units that files declare: converted exactly, assumed where there is none, or refused."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.sources.units import Conversion, conversion
from luray.storage.errors import InputError

SAME = {
    "m": ("m", "metre", "metres", "meter", "Meters", "METERS", "M", " m "),
    "%": ("%", "percent", "Percent", "per cent", "percentage", "pct"),
    "1": ("1", "1.0", "-", "unitless", "dimensionless", "fraction", "none", "m2 m-2", "km^2/km^2"),
    "degrees": (
        "degrees",
        "degree",
        "deg",
        "°",
        "degrees_north",
        "degreesE",
        "degrees clockwise from north",
    ),
    "kg/m3": (
        "kg/m3",
        "kg m-3",
        "kg m^-3",
        "kg/m^3",
        "kg.m-3",
        "kg m**-3",
        "kg·m-3",
        "kg m⁻³",
        "KG/M3",
        "g/dm3",
    ),
    "km-2": (
        "km-2",
        "km^-2",
        "people km-2",
        "persons/km2",
        "1/km^2",
        "inhabitants per km2",
        "capita/km2",
    ),
    "person": (
        "1",
        "people",
        "persons",
        "count",
        "counts",
        "number of people",
        "inhabitants",
        "people per grid cell",
    ),
}
"""Spellings of the unit itself: nothing is done to the values."""

TIMES = {
    ("feet", "m"): 0.3048,
    ("FEET", "m"): 0.3048,
    ("ft", "m"): 0.3048,
    ("US survey foot", "m"): 1200 / 3937,
    ("us-ft", "m"): 1200 / 3937,
    ("km", "m"): 1000,
    ("KM", "m"): 1000,
    ("cm", "m"): 0.01,
    ("dm", "m"): 0.1,
    ("mm", "m"): 0.001,
    ("0.1 m", "m"): 0.1,
    ("yard", "m"): 0.9144,
    ("1", "%"): 100,
    ("fraction", "%"): 100,
    ("m3 m-3", "%"): 100,
    ("g/kg", "%"): 0.1,
    ("permille", "%"): 0.1,
    ("%", "1"): 0.01,
    ("percent", "1"): 0.01,
    ("ppm", "1"): 1e-6,
    ("radian", "degrees"): 180 / np.pi,
    ("rad", "degrees"): 180 / np.pi,
    ("gon", "degrees"): 0.9,
    ("arcsec", "degrees"): 1 / 3600,
    ("g/cm3", "kg/m3"): 1000,
    ("g cm-3", "kg/m3"): 1000,
    ("Mg m-3", "kg/m3"): 1000,
    ("t/m3", "kg/m3"): 1000,
    ("mg m-3", "kg/m3"): 1e-6,
    ("ha", "km2"): 0.01,
    ("m2", "km2"): 1e-6,
    ("Mha", "km2"): 1e4,
    ("m-2", "km-2"): 1e6,
    ("people/ha", "km-2"): 100,
    ("thousand people", "person"): 1000,
    ("thousands", "person"): 1000,
    ("1000 persons", "person"): 1000,
    ("million people", "person"): 1e6,
}

OTHER = [
    ("degC", "m"),
    ("degrees", "m"),
    ("1", "m"),
    ("%", "m"),
    ("kg/m3", "m"),
    ("m/s", "m"),
    ("DN", "m"),
    ("banana", "m"),
    ("m above something", "m"),
    ("nan", "m"),
    ("-1 m", "m"),
    ("0 m", "m"),
    ("1", "degrees"),
    ("%", "degrees"),
    ("m/m", "degrees"),
    ("degrees", "1"),
    ("degrees", "%"),
    ("people", "1"),
    ("people", "%"),
    ("%", "person"),
    ("people/km2", "person"),
    ("km-2", "person"),
    ("1000", "person"),
    ("1e3", "person"),
    ("10^3", "person"),
    ("people", "km-2"),
    ("100", "1"),
    ("0", "1"),
    ("2015", "m"),
    ("0-100", "%"),
    ("weight %", "%"),
    ("%", "kg/m3"),
    ("g/kg", "kg/m3"),
    ("kg m-2", "kg/m3"),
    ("9^9^9^9 m", "m"),
    ("10**10**10 m", "m"),
    ("m**999999999", "m"),
    ("((9^9)^9)^9 m", "m"),
    ("m" * 5000, "m"),
    ("__import__('os').system('true')", "m"),
    ("1/0", "m"),
    ("()", "m"),
]


@pytest.mark.parametrize(
    ("declared", "expected"), [(f, e) for e, spellings in SAME.items() for f in spellings]
)
def test_spellings_of_the_unit_change_nothing(declared, expected):
    assert conversion(declared, expected, where="x") == Conversion()


@pytest.mark.parametrize(("declared", "expected"), TIMES)
def test_unit_of_same_kind_is_converted(declared, expected):
    converted = conversion(declared, expected, where="x")
    assert converted.factor == pytest.approx(TIMES[declared, expected], rel=1e-12)
    assert converted.offset == 0
    assert converted.rule == f"{declared} turned into {expected}: times {converted.factor:.10g}"
    assert converted.declared


@pytest.mark.parametrize(("declared", "expected"), OTHER)
def test_unit_of_other_kind_is_refused(declared, expected):
    with pytest.raises(
        InputError, match=r"^elevation of a\.nc is in .*, expected .* correct the units attribute"
    ):
        conversion(declared, expected, where="elevation of a.nc")


def test_no_unit_is_taken_as_expected():
    for declared in ("", "  "):
        assert conversion(declared, "m", where="x") == Conversion(
            rule="no unit declared, taken as m", declared=False
        )


def test_foot_is_exact_temperature_has_offset():
    assert conversion("ft", "m", where="x").factor == 0.3048
    converted = conversion("K", "degC", where="x")
    assert (converted.factor, converted.offset) == (1, -273.15)
    assert converted.rule == "K turned into degC: times 1, plus -273.15"
    np.testing.assert_allclose(converted(np.array([273.15, 300])), [0, 26.85])


def test_conversion_keeps_floats():
    feet = pickle.loads(pickle.dumps(conversion("ft", "m", where="x")))
    tall = np.array([100, np.nan], np.float32)
    assert feet(tall).dtype == np.float32
    np.testing.assert_array_equal(feet(tall), tall * np.float32(0.3048))
    np.testing.assert_array_equal(feet(np.array([-100, 30000], np.int16)), [-30.48, 9144])
    whole = np.array([1, 2], np.int16)
    assert conversion("metres", "m", where="x")(whole) is whole


KINDS = (
    ("m", "km", "feet", "cm", "yard"),
    ("1", "%", "permille"),
    ("degrees", "radian", "gon", "arcsec"),
    ("kg/m3", "g cm-3", "mg/l"),
    ("km2", "ha", "m2", "acre"),
    ("km-2", "people/ha", "m-2"),
)


@given(
    kinds=st.permutations(range(len(KINDS))),
    picks=st.lists(st.integers(0, 99), min_size=3, max_size=3),
)
def test_units_convert_within_their_kind_alone(kinds, picks):
    kind, other = KINDS[kinds[0]], KINDS[kinds[1]]
    a, b, c = (kind[pick % len(kind)] for pick in picks)
    there = conversion(a, b, where="x").factor
    back = conversion(b, a, where="x").factor
    assert there * back == pytest.approx(1)
    assert there * conversion(b, c, where="x").factor == pytest.approx(
        conversion(a, c, where="x").factor
    )
    with pytest.raises(InputError):
        conversion(a, other[picks[0] % len(other)], where="x")


@given(text=st.text(max_size=12))
def test_any_text_converts_or_is_refused(text):
    try:
        converted = conversion(text, "m", where="x")
    except InputError:
        return
    assert converted.factor > 0
    assert np.isfinite(converted.factor)


def test_pint_is_imported_on_first_use():
    script = (
        "import sys, luray.sources; from luray.sources.units import conversion; conversion('m', "
        "'m', where='x'); conversion('', 'm', where='x'); assert 'pint' not in sys.modules; "
        "conversion('ft', 'm', where='x'); assert 'pint' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
