import zarr

from luray.cube.product import Product, Span
from tests.cube.cubes import make_cube

YEARS = Span(2001, 2003, (2001, 2003))


def created(cube, url):
    product = Product(str(url), YEARS, cube.tiling(window=8, stride=4, tile=8), "f" * 64)
    product.create(cube, title="t", models={}, scenario="ssp245", tiles=4)
    return product


def test_receipts_of_a_store_that_is_gone_finish_no_product(tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region").cube
    product = created(cube, tmp_path / "product.zarr")
    product.ledger.record("2001/0.0", "a" * 64)
    assert created(cube, tmp_path / "product.zarr").ledger.done() == {"2001/0.0"}, "the store is there: it goes on"
    (tmp_path / "product.zarr").rename(tmp_path / "elsewhere.zarr")
    assert created(cube, tmp_path / "product.zarr").ledger.done() == set()


def test_a_product_whose_creation_was_interrupted_is_created_again(tmp_path):
    cube = make_cube(str(tmp_path / "cube.zarr"), "region").cube
    zarr.open_group(str(tmp_path / "product.zarr"), mode="w", zarr_format=3).create_group("land_use")
    product = created(cube, tmp_path / "product.zarr")
    assert product.owner() == "f" * 64
    assert set(zarr.open_group(product.url, mode="r")) == {"land_use", "confidence", "origin", "year", "lat", "lon"}
