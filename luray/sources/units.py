"""Convert the units that files declare into those in which luray stores the variables.

pint knows the units and how they convert. What is here is how files write them: CF forms such as
`kg m-3` and `degrees_north`, words such as `per cent`, and spelling in capitals.

Three kinds of number that CF calls dimensionless are kept apart, because taking one for another is
a wrong map: ratios (1, %), plane angles (degrees, radians) and counts (people). Only a bare 1 may
stand for a count. So units are compared by the root units that they are made of, in which pint
keeps the radian and the count, not by dimension.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from luray.storage.errors import InputError

if TYPE_CHECKING:
    from pint import Quantity, UnitRegistry
    from pint.facets.plain import PlainUnit

NO_UNIT = (
    "1",
    "1.0",
    "-",
    "none",
    "unitless",
    "dimensionless",
    "nondimensional",
    "fraction",
    "ratio",
    "proportion",
)
"""How files say that a number has no unit, in lower case."""

DEFINITIONS = (
    "person = count = _ = persons = people = inhabitant = inhabitants = capita",
    "thousand = 1000",
    "million = 1000000",
)
"""Definitions that are added to pint's own."""

LONGEST = 100
"""Characters of a unit; what is longer is a text."""

RATIOS = ("percent", "permille", "ppm")
"""Units that make a number a ratio, so that it cannot be a count."""

SPELLINGS = (
    (r"^per ?cent(age)?$|^pct$", "percent"),
    (r"^per mille?$", "permille"),
    (
        r"^(numbers?|counts?) of (people|persons|inhabitants|individuals)$"
        r"|^numbers?$|^individuals$",
        "person",
    ),
    (
        r"^deg\.$|^deg(ree)?s?[ _]?(north|east|south|west|true|[nesw])$"
        r"|^deg(ree)?s? (clockwise )?from (true )?north$",
        "degree",
    ),
    (
        r"^(us|u\.s\.) survey (foot|feet)$|^(us|u\.s\.)[-_ ]?(ft|foot|feet)$"
        r"|^(ft|foot|feet)[-_ ]?\(?us\)?$",
        "survey_foot",
    ),
)
"""Whole units in words that pint does not know, and what they are; capitals do not count."""

PER_CELL = re.compile(r"\s*(per|/)\s*(grid[ _-]?)?(cell|pixel)$", re.IGNORECASE)
"""The end of a unit such as `people per grid cell`: every value is that of its cell anyway."""

EXPONENT = re.compile(r"(?<=[A-Za-z])(?<![0-9\-][eE])(?=-?[0-9])")
"""Where the exponent of a CF unit begins that has no sign of a power: `m-3`, `km2`."""

PRODUCT = re.compile(r"(?<=[A-Za-z0-9])[.·](?=[A-Za-z])")
"""The dot of `kg.m-3`."""

BARE_NUMBER = re.compile(r"[-+\d.eE^*/() ]+")
"""A number in place of a unit: nobody can tell what 100 or 2015 means."""

ENDLESS = re.compile(r"(?:\*\*|\^)(?!\s*[-+]?\d(?![\d.]|\s*(?:\*\*|\^)))|\)\s*(?:\*\*|\^)")
"""Powers of more than one digit, and powers of powers.

No unit has them, and `9^9^9` would be computed for ever.
"""


@dataclass(frozen=True)
class Conversion:
    """Conversion of the values of a file into the expected unit."""

    factor: float = 1.0
    offset: float = 0.0
    rule: str = ""
    """The conversion in words; empty where values are taken as they are."""
    declared: bool = True
    """False where the file declares no unit, so that the expected one is assumed."""

    @property
    def changes(self) -> bool:
        """Whether values are changed at all."""
        return (self.factor, self.offset) != (1, 0)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values in the expected unit, same shape and, for floating point, same dtype."""
        if not self.changes:
            return values
        if values.dtype.kind != "f":
            values = values.astype(np.float64)
        converted: NDArray[Any] = values * self.factor
        return converted + self.offset if self.offset else converted


def conversion(declared: str, expected: str, *, where: str) -> Conversion:
    """Find how values in a declared unit become values in the expected one.

    Parameters
    ----------
    declared : str
        The unit that the file declares; empty where it declares none, which is taken for
        `expected`.
    expected : str
        The unit in which luray stores the variable; `person` for a count of people.
    where : str
        The variable and its file, for messages.

    Returns
    -------
    Conversion
        Factor, offset, and a rule in words where something is done.

    Raises
    ------
    InputError
        For a unit of another dimension, or one that is not known.

    Examples
    --------
    >>> conversion("feet", "m", where="elevation").rule
    'feet turned into m: times 0.3048'
    >>> conversion("kg m-3", "g/cm3", where="organic").factor
    0.001
    """
    declared = declared.strip()
    if not declared:
        return Conversion(rule=f"no unit declared, taken as {expected}", declared=False)
    if declared == expected:
        return Conversion()

    target = _read(expected)
    quantity = None if target is None else _of_kind(declared, target)
    if target is None or quantity is None:
        raise InputError(
            f"{where} is in {declared!r}, expected {expected} or a unit that converts to it; "
            "correct the units attribute or convert the values"
        )

    # In fractions up to here, so that the factor is rounded once. An offset, such as that of degC,
    # is the value of zero.
    zero = _registry().Quantity(0, quantity.units).to(target.units)
    factor = float((quantity.to(target.units).magnitude - zero.magnitude) / target.magnitude)
    offset = float(zero.magnitude / target.magnitude)
    if (factor, offset) == (1, 0):
        return Conversion()
    added = f", plus {offset:.10g}" if offset else ""
    rule = f"{declared} turned into {expected}: times {factor:.10g}{added}"
    return Conversion(factor, offset, rule)


def _of_kind(declared: str, target: "Quantity[Any]") -> "Quantity[Any] | None":
    """Return the quantity of a declared unit, if it is of the kind of `target`; else None.

    Case is kept first, because `Mg` is no `mg`; `FEET` and `M` are read in lower case.
    """
    person = _registry().Quantity(1, "person")
    root = _root(target)
    counted = _root(person)
    for spelling in dict.fromkeys((declared, declared.lower())):
        quantity = _read(spelling)
        if quantity is None or quantity.magnitude <= 0:
            continue
        if _root(quantity) == root:
            return quantity

        # A count may be given as a bare number and a density as km-2, with or without the people.
        if any(name in RATIOS for name, _ in quantity.unit_items()):
            continue
        lacks_people = _root(quantity) * counted == root
        names_people = _root(quantity) == root * counted and not target.dimensionless
        if lacks_people:
            counts: Quantity[Any] = quantity * person
            return counts
        if names_people:
            bare: Quantity[Any] = quantity / person
            return bare
    return None


def _root(quantity: "Quantity[Any]") -> "PlainUnit":
    """Return the root units that a quantity is made of."""
    return quantity.to_root_units().units


def _read(unit: str) -> "Quantity[Any] | None":
    """Return a unit as pint reads it once its spelling is pint's.

    None for what is no unit, or a bare number other than 1.
    """
    unit = PER_CELL.sub("", unit)
    if unit.lower() in NO_UNIT:
        return _registry().Quantity(1, "dimensionless")
    for pattern, name in SPELLINGS:
        if re.match(pattern, unit, re.IGNORECASE):
            unit = name
            break
    unit = PRODUCT.sub("*", unit)
    unit = EXPONENT.sub("**", unit)
    if len(unit) > LONGEST or BARE_NUMBER.fullmatch(unit) or ENDLESS.search(unit):
        return None

    try:
        if _is_plain(unit):
            quantity = _registry().Quantity(1, unit)
        else:
            quantity = _registry().parse_expression(unit)
        quantity.to_root_units()
    except Exception:
        # pint's parser raises whatever Python's tokens lead it to: here all of it means "no unit".
        return None
    return quantity if hasattr(quantity, "dimensionality") else None


def _is_plain(unit: str) -> bool:
    """Return whether a unit is a single name.

    A name may be a unit with an offset such as degC, which pint makes a quantity of but does not
    multiply as an expression.
    """
    return unit.isidentifier()


@cache
def _registry() -> "UnitRegistry[Any]":
    """Return pint's registry, made on first use, which takes half a second."""
    from fractions import Fraction

    import pint

    # Fractions keep a foot at 0.3048 exactly.
    registry: UnitRegistry[Any] = pint.UnitRegistry(
        non_int_type=Fraction, on_redefinition="ignore", cache_folder=None
    )
    for definition in DEFINITIONS:
        registry.define(definition)
    return registry
