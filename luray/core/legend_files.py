"""Legends as TOML files: luray's own, which lie in `catalogs/legends`, and those of a user."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from luray.core.legend import LandClass, Legend
from luray.core.tables import tables
from luray.core.value_scale import ValueScale

KEYS = ("name", "variable", "long_name", "ocean", "nodata", "water", "aliases", "classes")
NEEDED = ("name", "variable", "long_name", "ocean", "nodata", "classes")
VALUE_KEYS = (
    *("name", "variable", "long_name", "units", "valid_range", "step", "colours"),
    *("transform", "standard_name"),
)
"""Keys of the legend of a continuous target."""
OPTIONAL_VALUE_KEYS = ("transform", "standard_name")
WHOLE_STEPS = 1e-6
"""Part of a step that is rounding, as 7 / 0.05 is not 140 to the last bit."""
TRANSFORMS = (None, "linear", "sqrt")
CLASS_KEYS = {"code", "name", "colour"}


@cache
def legend_names() -> tuple[str, ...]:
    """Return the names of luray's own legends, such as hilda."""
    return tuple(sorted(path.stem for path in tables("legends").glob("*.toml")))


@cache
def read_legend(name: str) -> Legend:
    """Read a legend.

    Parameters
    ----------
    name : str
        One of `legend_names`, or the path of a TOML file.

    Returns
    -------
    Legend

    Raises
    ------
    ValueError
        Naming the file, and what is wrong with it or that it is not there.

    Examples
    --------
    >>> len(read_legend("esa_cci_lc")), read_legend("igbp").variable
    (37, 'land_cover')
    """
    path = Path(name)
    if not name.endswith(".toml"):
        path = tables("legends") / f"{name}.toml"
        if name not in legend_names():
            raise ValueError(
                f"there is no legend {name!r}, expected one of {', '.join(legend_names())}, or "
                "the path of a file NAME.toml"
            )
    try:
        contents = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"legend {name}: {error.strerror or error}; correct its path, or name one of "
            f"{', '.join(legend_names())}"
        ) from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise ValueError(f"legend {name}: not valid TOML: {error}") from None
    return _legend_of(contents, where=name)


def _legend_of(contents: Mapping[str, Any], *, where: str) -> Legend:
    """Return the legend that a TOML file describes. Raises ValueError naming the key at fault."""
    if "valid_range" in contents:
        return _legend_of_values(contents, where=where)
    unknown = [key for key in contents if key not in KEYS]
    lacking = [key for key in NEEDED if key not in contents]
    if unknown or lacking:
        raise ValueError(
            f"legend {where}: unknown keys {unknown}, missing keys {lacking}; expected "
            f"{', '.join(KEYS)}, of which water and aliases may be left out"
        )

    classes = []
    for number, table in enumerate(contents["classes"]):
        if not isinstance(table, dict) or table.keys() != CLASS_KEYS:
            raise ValueError(
                f"legend {where}: classes.{number} is {table}, expected code, name and colour"
            )
        classes.append(LandClass(table["code"], table["name"], table["colour"]))
    if not classes:
        raise ValueError(f"legend {where}: has no classes, expected one or more")

    # TOML has types of its own: what should be a number may be a text, and the other way round.
    aliases = contents.get("aliases", {})
    numbers = [contents["ocean"], contents["nodata"], contents.get("water", 0)]
    numbers += [land_class.code for land_class in classes]
    numbers += list(aliases.values())
    words = [contents["name"], contents["variable"], contents["long_name"]]
    for land_class in classes:
        words += [land_class.name, land_class.colour]
    wrong = [value for value in numbers if type(value) is not int]
    wrong += [value for value in words if not isinstance(value, str) or not value]
    wrong += [key for key in aliases if not key.isdecimal()]
    if wrong:
        raise ValueError(
            f"legend {where}: {wrong} are of the wrong type, expected whole numbers for codes and "
            "text for names and colours"
        )
    return Legend(
        name=contents["name"],
        classes=tuple(classes),
        aliases={int(sub_code): code for sub_code, code in aliases.items()},
        ocean=contents["ocean"],
        nodata=contents["nodata"],
        water=contents.get("water"),
        variable=contents["variable"],
        long_name=contents["long_name"],
    )


def _legend_of_values(contents: Mapping[str, Any], *, where: str) -> Legend:
    """Return the legend of a continuous target, see `_legend_of`."""
    unknown = [key for key in contents if key not in VALUE_KEYS]
    lacking = [key for key in VALUE_KEYS if key not in {*contents, *OPTIONAL_VALUE_KEYS}]
    if unknown or lacking:
        raise ValueError(
            f"legend {where}: unknown keys {unknown}, missing keys {lacking}; expected "
            f"{', '.join(VALUE_KEYS)}, of which {' and '.join(OPTIONAL_VALUE_KEYS)} may be left out"
        )
    valid_range = contents["valid_range"]
    step = contents["step"]
    numbers = [*valid_range, step] if isinstance(valid_range, list) else [valid_range, step]
    wrong: list[Any] = [n for n in numbers if type(n) not in (int, float)]
    wrong += [
        contents[key]
        for key in ("name", "variable", "long_name", "units")
        if not isinstance(contents[key], str) or not contents[key]
    ]
    if wrong or len(numbers) != 3 or not step > 0 or contents.get("transform") not in TRANSFORMS:
        raise ValueError(
            f"legend {where}: valid_range {valid_range}, step {step}, transform "
            f"{contents.get('transform')!r}{f', {wrong} of the wrong type' if wrong else ''}; "
            "expected two numbers, a number above 0, one of linear and sqrt, and text for names"
        )
    first, last = valid_range
    n_steps = (last - first) / step
    if abs(n_steps - round(n_steps)) > WHOLE_STEPS:
        raise ValueError(
            f"legend {where}: valid_range {valid_range} is {n_steps:g} steps of {step:g}, expected "
            "a whole number of them, lest the range be another one; correct either"
        )
    scale = ValueScale(
        contents["units"],
        float(first),
        float(step),
        round(n_steps) + 1,
        contents.get("transform", "linear"),
        contents.get("standard_name", ""),
        tuple(contents["colours"]),
    )
    return Legend.of_values(
        contents["name"], scale, variable=contents["variable"], long_name=contents["long_name"]
    )


HILDA = read_legend("hilda")
"""Land use of HILDA+: what a run predicts that names no other target."""

NAMED: Mapping[str, Legend] = {HILDA.name: HILDA}
"""Legends that a store may refer to by their name alone."""


@cache
def own_scales() -> tuple[Legend, ...]:
    """Return luray's own legends of values."""
    legends = map(read_legend, legend_names())
    return tuple(legend for legend in legends if legend.scale is not None)


@cache
def own_legends() -> tuple[Legend, ...]:
    """Return luray's own legends of classes."""
    legends = map(read_legend, legend_names())
    return tuple(legend for legend in legends if legend.scale is None)


def stored_legend(stored: Mapping[str, Any] | str) -> Legend:
    """Return the legend that a store describes.

    Parameters
    ----------
    stored : mapping or str
        What `Legend.to_attributes` gave; cubes built before that have only the legend's name.

    Raises
    ------
    ValueError
        For a name that no legend has.
    """
    if not isinstance(stored, str):
        return Legend.from_attributes(stored)
    if stored not in NAMED:
        raise ValueError(
            f"the store has the legend {stored!r} without its classes, expected one of "
            f"{list(NAMED)}; build the cube again"
        )
    return NAMED[stored]
