"""The land-use product and its cube hold the bytes that they held when land use was all there was.

The hashes were taken from commit 48acba7, which had no `[target]`; those of products again with
commit 7bf41c6, which added the attribute `years` and changed nothing else. They are of metadata as
they are written and of decoded arrays, so they do not depend on the versions of compression libraries.
"""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import zarr

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.core.tiling import Box, Tiling
from luray.core.variable import Variable
from luray.cube.build import create, write_piece
from luray.cube.finish import finish
from luray.cube.plan import plan_build
from luray.product.dimensions import ProductDims
from luray.product.trajectories import Span
from luray.sources.base import About, Described, state_variable
from tests.product.products import OVERVIEWS, created

CUBE = "b9900481c191901a16ac21aeb8a075a2f6ec3bb87a0305ec83c18730f324c5c5"
FINGERPRINT = "1a124c562c758a7fac40211d05c7344d02eff809648b4ff2696103aa968ffaa5"
PRODUCT = "6cf8269fa65243191fe0e09af8693f588f6b72a3ad1e1d7d6032c04da594a33a"
"""Of one sequence of maps."""
MEMBERS = "a9980e1da4bfb07d715c86b49c70385475094b86304a3dcf22b26d1b59bc3eff"
"""Of two scenarios of two members."""

GRID = Grid(52, 4, 0.5, 16, 24)


class Maps(Described):
    """Maps of every class of HILDA+ in turn, and a forcing that follows from cell and year."""

    def read(self, year, box):
        rows, cols = np.mgrid[box.slices(origin=Box(0, 0, 0, 0))]
        if self.role == "forcing":
            return ((rows + 2 * cols + year) % 11 / 16).astype(np.float32)[None]
        codes = np.array([0, *HILDA.codes, 45, 99], np.uint8)
        return codes[(rows // 2 + cols // 3 + (year - 2000) * (rows % 5 == 0)) % len(codes)][None]


def source(name, variable, grid, years):
    about = About(title=name, doi="", licence="", url="", files=())
    return Maps(
        name=name,
        about=about,
        grid=grid,
        variables=(variable,),
        years=years,
        rules=(),
        max_missing=1,
        files=(),
    )


def digest_of(store):
    """The sha256 of all metadata and all decoded arrays of a store, by their paths."""
    total = hashlib.sha256()
    for metadata in sorted(Path(store).rglob("zarr.json")):
        total.update(str(metadata.relative_to(store)).encode() + metadata.read_bytes())
    root = zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)
    for path, array in sorted(root.members(max_depth=None)):
        if isinstance(array, zarr.Array) and array.dtype.kind != "T":
            total.update(path.encode() + np.ascontiguousarray(array[...]).tobytes())
    return total.hexdigest()


def built_cube(url):
    people = Variable("people", "forcing", "km-2", "people")
    sources = (
        source("hilda", state_variable(HILDA), GRID, (2001, 2002, 2003)),
        source("isimip", people, Grid(52, 4, 1, 8, 12), (2001, 2002, 2003)),
    )
    tiling = Tiling(*GRID.shape, window=8, stride=4, tile=8, periodic=False)
    plan = plan_build(url, grid=GRID, tiling=tiling, sources=sources)
    create(plan)
    for pieces in plan.pieces():
        for piece in pieces:
            write_piece(plan, piece)
    finish(plan)
    return plan


def written_product(cube, url, *, dims, span):
    """A product whose maps follow from cell, year and member."""
    product = created(cube, url, dims=dims, span=span, overviews=OVERVIEWS, tiles=6)
    for tile in product.tiling.tiles():
        box = product.tiling.tile_box(tile)
        rows, cols = np.mgrid[box.slices(origin=Box(0, 0, 0, 0))]

        def put(year, indices, prior, tile=tile, rows=rows, cols=cols):
            def of(shown):
                n = rows // 3 + cols // 2 + shown * (cols % 3 == 0) + indices[0].member
                classes = np.append(np.arange(7), [254, 255]).astype(np.uint8)
                return classes[n % 9]

            classes = of(year)
            confidence = np.where(classes < 7, 20 + classes, 0).astype(np.uint8)
            probabilities = None
            if year in product.dims.probability_years:
                probabilities = np.stack([confidence // (k + 1) for k in range(7)])
            product.write(
                year,
                tile,
                classes,
                confidence,
                indices,
                prior=None if prior is None else of(prior),
                probabilities=probabilities,
            )

        first_copied = product.span.copied[0]
        for year in product.span.copied:
            put(year, product.member_indices, year - 1 if year > first_copied else None)
        for trajectory in product.trajectories:
            for prior, year in pairwise(trajectory.years):
                put(year, trajectory.member_indices, prior)
        if product.members:
            for year in product.span.years:
                for scenarios in product.scenario_groups(year):
                    product.summarise(year, tile, scenarios)
    for year in product.span.years:
        for member_indices in product.map_groups(year):
            product.write_coarser_overviews(year, member_indices)
    product.finish()
    return product


def test_the_cube_of_land_use_keeps_its_bytes(tmp_path):
    plan = built_cube(str(tmp_path / "cube.zarr"))
    assert plan.fingerprint == FINGERPRINT
    assert digest_of(plan.url) == CUBE


def test_the_product_of_land_use_keeps_its_bytes(cube, tmp_path):
    span = Span(2000, 2003, (2001, 2002))
    one = written_product(cube, tmp_path / "one.zarr", dims=ProductDims(), span=span)
    assert digest_of(one.url) == PRODUCT
    dims = ProductDims(("ssp126", "ssp585"), 2, (2003,))
    many = written_product(cube, tmp_path / "many.zarr", dims=dims, span=span)
    assert digest_of(many.url) == MEMBERS
