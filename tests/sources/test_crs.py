"""Which coordinate reference systems are longitude and latitude on WGS 84."""

import pytest

from luray.sources.crs import geographic_rule
from luray.storage.errors import InputError

CELL = 0.01


def rule_of(system, step=CELL, place=(10.0, 45.0)):
    return geographic_rule(system, step=step, place=place, where="f.tif")


@pytest.mark.parametrize("system", ["EPSG:4326", "OGC:CRS84", "+proj=longlat +datum=WGS84"])
def test_wgs_84_needs_no_rule(system):
    assert rule_of(system) == ""


@pytest.mark.parametrize(("system", "words"), [
    ("EPSG:4326+3855", "vertical part is left out"),
    ("EPSG:4979", "vertical part is left out"),
    ("EPSG:4258", "ETRS89 taken as WGS 84, from which it differs by at most 1 m"),
    ("EPSG:4269", "NAD83 taken as WGS 84"),
    ("EPSG:4674", "SIRGAS 2000 taken as WGS 84"),
    ("EPSG:4267", "NAD27 taken as WGS 84, from which it differs by at most"),
    ("EPSG:9707", "vertical part is left out"),
    ("+proj=longlat +ellps=WGS84 +no_defs", "names no datum, taken as WGS 84"),
    ("+proj=longlat +ellps=intl +towgs84=-87,-98,-121", "taken as WGS 84, from which it differs by at most"),
])  # fmt: skip
def test_datum_within_half_a_cell_is_recorded(system, words):
    assert words in rule_of(system)


@pytest.mark.parametrize(("system", "words"), [
    ("EPSG:3035", "is EPSG:3035, expected EPSG:4326"),
    ("EPSG:4978", "expected EPSG:4326"),
    ("EPSG:4806", "whose longitudes begin at Rome"),
    ("EPSG:4807", "in grad"),
    ("+proj=longlat +ellps=clrk66", "names no datum, on the ellipsoid Clarke 1866"),
    ("+proj=longlat +R=6371229", "names no datum"),
    ("ESRI:104199", "place against WGS 84 is not known"),
    ("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=40 +lon_0=10 +datum=WGS84", "expected EPSG:4326"),
    ("no system", "expected EPSG:4326"),
])  # fmt: skip
def test_other_systems_are_refused_with_advice(system, words):
    with pytest.raises(InputError, match=words) as caught:
        rule_of(system)
    assert "gdalwarp" in str(caught.value) or "declare a known one" in str(caught.value)


def test_shift_over_half_a_cell_is_refused():
    """The datum of Tokyo lies 0.5 km off: little in cells of 25 km, too much in cells of 0.5 km."""
    assert "Tokyo taken as WGS 84" in rule_of("EPSG:4301", step=0.25, place=(139.7, 35.7))
    with pytest.raises(InputError, match="more than half a cell of 557 m"):
        rule_of("EPSG:4301", step=0.005, place=(139.7, 35.7))
