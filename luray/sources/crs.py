"""Coordinate reference systems: which are longitude and latitude on WGS 84, or near enough to it.

A datum lies metres to hundreds of metres off WGS 84. What is less than half a cell does no harm and
is recorded; what is more raises InputError, as the map would be shifted.
"""

import warnings
from typing import Any

from pyproj import CRS, Geod
from pyproj.exceptions import CRSError
from pyproj.transformer import TransformerGroup

from luray.storage.errors import InputError

WGS84 = CRS.from_epsg(4326)

METRES_PER_DEGREE = 111_320.0
"""Length of a degree of latitude: a cell is as long as this times its size in degrees."""

MAX_SHIFT = 0.5
"""Largest shift of a datum against WGS 84 that is left uncorrected, in cells.

Beyond it a value belongs to the neighbour of its cell.
"""

UNNAMED = ("unknown", "unnamed", "not specified")
"""How the names of datums begin that no file has given a name."""

MODERN_SEMI_MAJOR_AXIS = 6378137.0
MODERN_INVERSE_FLATTENING = 298.2572
"""Ellipsoids of WGS 84 and GRS 80, which differ by a tenth of a millimetre."""

ADVICE = "warp the file: gdalwarp -t_srs EPSG:4326"


def geographic_rule(declared: str, *, step: float, place: tuple[float, float], where: str) -> str:
    """Say how a declared system is taken as longitude and latitude on WGS 84.

    Parameters
    ----------
    declared : str
        The system as WKT, PROJ string or authority code.
    step : float
        Cell size in degrees: a datum may lie off WGS 84 by at most `MAX_SHIFT` cells.
    place : tuple of float
        Longitude and latitude in degrees, at which the shift of the datum is measured.
    where : str
        The file, for messages.

    Returns
    -------
    str
        What was taken for what, in words; empty for EPSG:4326 itself.

    Raises
    ------
    InputError
        For a projected, rotated or geocentric system, another meridian than Greenwich, other units
        than degrees, and a datum that is too far off WGS 84 or cannot be placed against it.

    Examples
    --------
    >>> geographic_rule("EPSG:4326", step=0.25, place=(10, 50), where="a.tif")
    ''
    >>> geographic_rule("EPSG:4979", step=0.25, place=(10, 50), where="a.tif")
    'WGS 84: the vertical part is left out'
    """
    try:
        system = CRS.from_user_input(declared)
    except CRSError as error:
        raise _refusal(where, declared[:80], f"declare a known one ({error})") from error
    horizontal = system.sub_crs_list[0] if system.is_compound else system
    # A bound system is one with its own way to WGS 84 (+towgs84): the shift is measured along it,
    # everything else is that of the system beneath.
    with_shift = horizontal
    if horizontal.is_bound and horizontal.source_crs is not None:
        horizontal = horizontal.source_crs
    authority = system.to_authority()
    name = ":".join(authority) if authority else system.name

    if not horizontal.is_geographic or horizontal.is_derived:
        raise _refusal(where, name, ADVICE)
    units = {axis.unit_name for axis in horizontal.axis_info[:2]}
    if units != {"degree"}:
        raise _refusal(where, f"{name}, in {' and '.join(sorted(units))}", ADVICE)
    meridian = horizontal.prime_meridian
    if meridian is not None and meridian.longitude != 0:
        raise _refusal(where, f"{name}, whose longitudes begin at {meridian.name}", ADVICE)

    has_vertical_part = system.is_compound or len(system.axis_info) > 2
    vertical_rule = "the vertical part is left out" if has_vertical_part else ""
    has_no_datum = _has_unnamed_datum(horizontal)
    if horizontal.to_2d().equals(WGS84, ignore_axis_order=True) and not has_no_datum:
        return f"{system.name}: {vertical_rule}" if vertical_rule else ""
    if has_no_datum and not with_shift.is_bound:
        _require_modern_ellipsoid(horizontal, name=name, where=where)
        datum_rule = "names no datum, taken as WGS 84, whose ellipsoid it has"
    else:
        datum_rule = _shift_rule(with_shift, step=step, place=place, name=name, where=where)
    rules = "; ".join(rule for rule in (datum_rule, vertical_rule) if rule)
    return f"coordinate reference system {system.name} {rules}"


def _has_unnamed_datum(system: CRS) -> bool:
    datum = system.datum
    return datum is None or datum.name.lower().startswith(UNNAMED)


def _require_modern_ellipsoid(system: CRS, *, name: str, where: str) -> None:
    """Raise InputError for a system without a datum on an ellipsoid from before WGS 84."""
    ellipsoid = system.ellipsoid
    is_modern = (
        ellipsoid is not None
        and abs(ellipsoid.semi_major_metre - MODERN_SEMI_MAJOR_AXIS) < 0.5
        and abs(ellipsoid.inverse_flattening - MODERN_INVERSE_FLATTENING) < 0.001
    )
    if not is_modern:
        ellipsoid_name = "none" if ellipsoid is None else ellipsoid.name
        raise _refusal(
            where,
            f"{name}, which names no datum, on the ellipsoid {ellipsoid_name}",
            "declare the true one with gdal_edit.py -a_srs, then " + ADVICE,
        )


def _shift_rule(
    system: CRS, *, step: float, place: tuple[float, float], name: str, where: str
) -> str:
    """Say how far a datum is off WGS 84. Raises InputError where that is too far or not known."""
    group: Any
    with warnings.catch_warnings():
        # PROJ says that a finer correction exists in grids that are not installed: metres.
        warnings.simplefilter("ignore", UserWarning)
        group = TransformerGroup(system, WGS84, always_xy=True)
    # An accuracy below 0 says that PROJ knows none: it then leaves the coordinates as they are.
    if not group.transformers or (group.transformers[0].accuracy < 0 and not system.is_bound):
        raise _refusal(where, f"{name}, whose place against WGS 84 is not known", ADVICE)
    best = group.transformers[0]

    lon, lat = place
    moved_lon, moved_lat = best.transform(lon, lat)
    _, _, shift = Geod(ellps="WGS84").inv(lon, lat, moved_lon, moved_lat)
    cell = step * METRES_PER_DEGREE
    most = shift + max(best.accuracy, 0)
    if not most <= MAX_SHIFT * cell:  # written so that NaN is refused too
        raise _refusal(
            where, f"{name}, {most:.0f} m off WGS 84, more than half a cell of {cell:.0f} m", ADVICE
        )
    return (
        f"taken as WGS 84, from which it differs by at most {max(most, 1):.0f} m in cells of "
        f"{cell:.0f} m"
    )


def _refusal(where: str, declared: str, advice: str) -> InputError:
    return InputError(
        f"{where}: coordinate reference system is {declared}, expected EPSG:4326 or another "
        f"longitude and latitude within half a cell of it; {advice}"
    )
