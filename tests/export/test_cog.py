"""A COG against its array, its legend and the validator of rio-cogeo."""

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rio_cogeo.cogeo import cog_validate

from luray.core.grid import Grid
from luray.core.legend_files import HILDA
from luray.export import cog
from luray.export.cog import write_cog

GRID = Grid(36, 23, 0.01, 700, 600)
TAGS = {"title": "a map", "year": "2001"}


@pytest.fixture(scope="module")
def codes():
    random = np.random.default_rng(1)
    coarse = random.choice(np.array([0, *HILDA.codes, HILDA.nodata], np.uint8), (70, 60))
    return np.kron(coarse, np.ones((10, 10), np.uint8))


@pytest.fixture(scope="module")
def written(codes, tmp_path_factory):
    path = tmp_path_factory.mktemp("cog") / "map.tif"
    write_cog(str(path), [codes[:333], codes[333:]], grid=GRID, legend=HILDA, tags=TAGS)
    return path


def test_validator_finds_a_cog(written):
    valid, errors, warnings = cog_validate(str(written), strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])


def test_cells_colours_names_and_place(written, codes):
    with rasterio.open(written) as file:
        np.testing.assert_array_equal(file.read(1), codes)
        assert file.crs.to_epsg() == 4326
        assert file.nodata == HILDA.nodata
        assert file.bounds.left == pytest.approx(23)
        assert file.bounds.bottom == pytest.approx(29)
        assert file.colormap(1)[44] == (0x2D, 0x6A, 0x4F, 255)
        assert file.colormap(1)[HILDA.nodata][3] == 0
        assert file.tags(1)["class_44"] == "forest"
        assert file.tags()["year"] == "2001"


def test_overviews_hold_the_most_frequent_class(written, codes):
    with rasterio.open(written) as file:
        assert file.overviews(1) == [2]
    with rasterio.open(written, overview_level=0) as file:
        # cells come in blocks of 10, so every 2 x 2 has one class
        np.testing.assert_array_equal(file.read(1), codes[::2, ::2])


def test_lone_cell_is_no_overview_class(tmp_path):
    codes = np.full(GRID.shape, 44, np.uint8)
    codes[::2, ::2] = 11
    write_cog(str(tmp_path / "a.tif"), [codes], grid=GRID, legend=HILDA, tags={})
    with rasterio.open(tmp_path / "a.tif", overview_level=0) as file:
        assert set(np.unique(file.read(1))) == {44}


@pytest.mark.parametrize("rows", [699, 701])
def test_wrong_number_of_rows_leaves_no_file(tmp_path, rows):
    with pytest.raises(ValueError, match="rows"):
        write_cog(
            str(tmp_path / "a.tif"),
            [np.zeros((rows, 600), np.uint8)],
            grid=GRID,
            legend=HILDA,
            tags={},
        )
    assert list(tmp_path.iterdir()) == []


def test_damage_leaves_the_former_file(tmp_path, codes, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(b"former")

    def damaging_copy(source, target, **options):
        rasterio.shutil.copy(source, target, **options)
        with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(np.full((1, 10, 10), 22, np.uint8), window=((0, 10), (0, 10)))

    monkeypatch.setattr(cog, "copy", damaging_copy)
    with pytest.raises(RuntimeError, match=r"a\.tif"):
        write_cog(str(path), [codes], grid=GRID, legend=HILDA, tags=TAGS)
    assert path.read_bytes() == b"former"
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_to_object_store(s3, codes):
    write_cog(f"{s3.url}/maps/2001.tif", [codes], grid=GRID, legend=HILDA, tags=TAGS)
    with MemoryFile(s3.get("maps/2001.tif")) as memory, memory.open() as file:
        np.testing.assert_array_equal(file.read(1), codes)
