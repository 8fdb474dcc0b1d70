"""The product that most tests look at."""

import numpy as np
import pytest

from tests.viz.pictures import GRID, ORIGINS, YEARS, random_codes, write_product


@pytest.fixture(scope="session")
def codes():
    return random_codes()


@pytest.fixture(scope="session")
def product(codes, tmp_path_factory):
    confidence = np.repeat(
        np.array([40, 100, 100, 100, 70], np.uint8), GRID.n_lat * GRID.n_lon
    ).reshape(codes.shape)
    return write_product(
        tmp_path_factory.mktemp("product") / "p.zarr",
        codes,
        grid=GRID,
        years=YEARS,
        origins=ORIGINS,
        confidence=np.where(codes == 0, 0, confidence),
    )
