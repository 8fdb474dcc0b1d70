"""The status of a product, read from its metadata as JSON."""

import json

import pytest

from luray.product.status import status_of
from tests.product.products import created, fill


@pytest.fixture
def product(cube, tmp_path):
    product = created(cube, tmp_path / "product.zarr", tiles=6)
    fill(product)
    return product


def test_a_product_of_before_has_its_years_in_its_coordinate(product, tmp_path):
    status = status_of(product.url)
    place = tmp_path / "product.zarr/zarr.json"
    metadata = json.loads(place.read_text(encoding="utf-8"))
    assert metadata["attributes"]["luray"].pop("years") == [2001, 2003]
    place.write_text(json.dumps(metadata), encoding="utf-8")
    assert status_of(product.url) == status
    assert status.years == (2001, 2002, 2003)


@pytest.mark.parametrize("text", ["{", "[]", '{"attributes": 3}'])
def test_damaged_metadata_is_named(product, tmp_path, text):
    (tmp_path / "product.zarr/zarr.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"zarr\.json: damaged, .*luray verify --repair"):
        status_of(product.url)


@pytest.mark.parametrize(
    "text", [None, "{}", '{"attributes": {}}', '{"attributes": {"luray": {}}}']
)
def test_another_store_is_no_product(tmp_path, text):
    if text is not None:
        (tmp_path / "zarr.json").write_text(text, encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="no product of luray"):
        status_of(str(tmp_path))
