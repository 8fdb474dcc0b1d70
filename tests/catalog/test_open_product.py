"""A product is opened from its store, or from the STAC catalog that leads to it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pystac
import pytest

import luray
from luray.storage.trust import RefusedError
from tests.catalog.test_publish import forget_s3, maps, write_product
from tests.catalog.test_publish import run as publish
from tests.s3 import Bucket


@pytest.fixture
def product(tmp_path: Path) -> str:
    return write_product(str(tmp_path / "out/product.zarr"))


@pytest.fixture
def bucket(s3: Bucket) -> Iterator[Bucket]:
    """A bucket whose file systems are closed quietly."""
    yield s3
    forget_s3()


def test_opens_a_store_and_everything_that_leads_to_it(product: str, tmp_path: Path) -> None:
    catalog = publish(product, stac_dir=str(tmp_path / "out/stac"))
    folder = Path(catalog).parent
    places = [product, f"file://{product}", f"{product}/", catalog]
    places += [str(folder / "world/collection.json"), str(folder / "world/world.json")]
    for place in places:
        found = luray.open_product(place)
        assert found.land_use.dims == ("year", "lat", "lon")
        assert np.array_equal(found.land_use.values, maps()), place

    item = pystac.Item.from_file(str(folder / "world/world.json"))
    assert np.array_equal(luray.open_product(item).land_use.values, maps())


def test_arrays_are_read_when_they_are_used(product: str) -> None:
    found = luray.open_product(product)
    assert not isinstance(found.land_use.variable._data, np.ndarray)
    year = found.land_use.sel(year=1999)
    assert np.array_equal(year.values, maps()[1])


def test_opens_a_product_on_s3_by_its_catalog(bucket: Bucket, tmp_path: Path) -> None:
    product = write_product(f"{bucket.url}/out/product.zarr")
    catalog = publish(product, stac_dir=f"{bucket.url}/out/stac")
    assert np.array_equal(luray.open_product(catalog).land_use.values, maps())
    local = publish(product, stac_dir=str(tmp_path / "stac"))
    assert np.array_equal(luray.open_product(local).land_use.values, maps())


def test_a_remote_catalog_does_not_lead_to_local_files(bucket: Bucket, product: str) -> None:
    catalog = publish(
        write_product(f"{bucket.url}/a/product.zarr"), stac_dir=f"{bucket.url}/a/stac"
    )
    item = json.loads(bucket.get("a/stac/world/world.json"))
    for href in (f"file://{product}", "s3://other/product.zarr", "http://127.0.0.1/p.zarr"):
        item["assets"]["data"]["href"] = href
        bucket.put("a/stac/world/world.json", json.dumps(item).encode())
        with pytest.raises(RefusedError, match=r"storage\.allow"):
            luray.open_product(catalog)


def test_says_what_is_wrong(product: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no Zarr store, expected a finished product"):
        luray.open_product(str(tmp_path / "nothing.zarr"))
    with pytest.raises(ValueError, match=r"luray\.finished = false"):
        luray.open_product(write_product(str(tmp_path / "half.zarr"), finished=False))
    with pytest.raises(ValueError, match="there is no such STAC document"):
        luray.open_product(str(tmp_path / "nothing.json"))

    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read as STAC"):
        luray.open_product(str(tmp_path / "broken.json"))

    empty = pystac.Catalog("empty", "nothing in it")
    empty.normalize_and_save(str(tmp_path / "empty"), pystac.CatalogType.SELF_CONTAINED)
    with pytest.raises(ValueError, match="expected items of one product, found none"):
        luray.open_product(str(tmp_path / "empty/catalog.json"))
