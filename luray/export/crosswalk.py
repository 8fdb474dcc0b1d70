"""Crosswalks: what the classes of a legend are in the layout of a model, from TOML files.

They lie in `catalogs/crosswalks`, see `luray.core.tables`.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from luray.core.legend import Legend
from luray.core.tables import tables
from luray.product.product_maps import UNNAMED


def read_crosswalk(form: str, legend: Legend) -> Mapping[str, Any]:
    """Return the crosswalk of a legend to a format: what stands for each code, as text.

    Parameters
    ----------
    form : str
        Name of the file: luh2, ctsm, lpj-guess or ecland.
    legend : Legend
        Of the maps.

    Raises
    ------
    ValueError
        Where the file has nothing on this legend, or lacks one of its classes. Water may be
        absent: every format has a place of its own for it.
    """
    legends: Mapping[str, Mapping[str, Any]] = read_crosswalk_file(form)["legends"]
    if legend.name not in legends:
        hint = (
            "give the run file, whose cube names the legend"
            if legend.name == UNNAMED
            else f"add it to catalogs/crosswalks/{form}.toml"
        )
        raise ValueError(
            f"the legend {legend.name} has no crosswalk to {form}, expected one of "
            f"{', '.join(legends)}; {hint}"
        )
    crosswalk = legends[legend.name]
    lacking = [
        f"{land_class.code} {land_class.name}"
        for land_class in legend.classes
        if land_class.code != legend.water and str(land_class.code) not in crosswalk
    ]
    if lacking:
        raise ValueError(
            f"the crosswalk of {legend.name} to {form} lacks {', '.join(lacking)}; add them to "
            f"catalogs/crosswalks/{form}.toml"
        )
    return crosswalk


def read_crosswalk_file(form: str) -> Mapping[str, Any]:
    """Return the whole file of a format."""
    return tomllib.loads(crosswalk_text(form))


def crosswalk_text(form: str) -> str:
    """Return the text of the file of a format."""
    return (tables("crosswalks") / f"{form}.toml").read_text(encoding="utf-8")
