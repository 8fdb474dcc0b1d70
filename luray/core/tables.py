"""Tables that belong to luray and that people read and add to: legends and crosswalks.

In the repository they lie in `catalogs`, where users look. A wheel has them inside the package, and
so has the copy of the package that travels with a job.
"""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]

IN_PACKAGE = {"legends": Path("core/legends"), "crosswalks": Path("export/crosswalks")}
"""Where each folder of `catalogs` lies in an installed package."""


def tables(name: str) -> Path:
    """Return one of luray's folders of tables, by its name in `catalogs`."""
    installed = PACKAGE / IN_PACKAGE[name]
    return installed if installed.is_dir() else PACKAGE.parent / "catalogs" / name
