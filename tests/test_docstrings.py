"""Examples in docstrings run, and what a reader calls says what it takes and gives."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import luray

WITH_A_CLUSTER = ("luray.distributed", "luray.bench")
"""Rooms that import Ray; the example of `distributed.data` has a test of its own."""


def modules() -> list[str]:
    """Every module of luray that runs without a cluster."""
    names = []
    for room in pkgutil.iter_modules(luray.__path__, "luray."):
        if room.name not in WITH_A_CLUSTER:
            package = importlib.import_module(room.name)
            inner = pkgutil.iter_modules(package.__path__, f"{room.name}.")
            names += [module.name for module in inner if not module.name.endswith("__main__")]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples_run(name: str) -> None:
    module: ModuleType = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert failed == 0
