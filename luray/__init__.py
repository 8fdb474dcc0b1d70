"""luray: annual land use at 1 km over the globe, 1850-2100.

The public API; everything is imported when it is first used:

- `load_run` reads a run file,
- `run` runs its stages,
- `open_product` opens a finished product as an xarray Dataset,
- `open_model` opens a trained model,
- `open_cube` opens a predictor cube.

>>> import luray
>>> product = luray.open_product("build/demo/product.zarr")  # doctest: +SKIP
>>> product.land_use.sel(year=2050).plot()  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from luray.core.processes import set_defaults

if TYPE_CHECKING:
    from luray.catalog.open_model import open_model
    from luray.catalog.open_product import open_product
    from luray.cube.open_cube import open_cube
    from luray.stages.run import run
    from luray.stages.run_file import load_run

    __version__: str

# Before anything can import torch, which reads its variable once.
set_defaults()

__all__ = ["__version__", "load_run", "open_cube", "open_model", "open_product", "run"]

_HOMES = {
    "load_run": "luray.stages.run_file",
    "open_cube": "luray.cube.open_cube",
    "open_model": "luray.catalog.open_model",
    "open_product": "luray.catalog.open_product",
    "run": "luray.stages.run",
}
"""Module of each public function. Importing them all would take seconds, and torch with them."""


def __getattr__(name: str) -> Any:
    """Import a public function, or look up the version, when it is first used (PEP 562)."""
    if name == "__version__":
        return import_module("luray.core.code_version").version()
    if name not in _HOMES:
        raise AttributeError(f"module 'luray' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
