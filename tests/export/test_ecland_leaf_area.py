"""Leaf area index of low and high vegetation: against naive sums, and what is refused."""

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

from luray.cli.app import app
from luray.core.grid import Grid
from luray.core.legend import NO_VALUE, Legend
from luray.core.legend_files import read_legend
from luray.core.time_steps import TimeSteps
from luray.core.value_scale import ValueScale
from luray.export import coarse_maps, ecland, leaf_area
from luray.export.crosswalk import read_crosswalk_file
from luray.export.leaf_area_maps import dekad_weights
from luray.product.dimensions import ProductDims
from luray.stages.export import export
from tests.export.exports import BLOCK, FINE, small_world
from tests.product.value_products import (
    fill_values,
    finished_value_product,
    value_cube,
    value_product,
)

ESA = read_legend("esa_cci_lc")
DEKADS = TimeSteps("dekad")
MONTHS = TimeSteps("month")
EIGHT_DAYS = TimeSteps("P8D")
LOW = (1, 2, 7, 9, 10, 11, 13, 16, 17, 20)
HIGH = (3, 4, 5, 6, 18, 19)
FIELDS = {"lai_lv": LOW, "lai_hv": HIGH}


@pytest.fixture(scope="module")
def cover(tmp_path_factory):
    """A finished product of land cover."""
    return small_world(tmp_path_factory.mktemp("esa"), states=(), climate=False, legend=ESA)


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    """Products of leaf area index on the same cells, by the interval of their maps."""
    places = {}
    for time in (DEKADS, MONTHS, EIGHT_DAYS):
        folder = tmp_path_factory.mktemp(time.interval)
        places[time.interval] = finished_value_product(folder, time=time, grid=FINE)[1].url
    return places


def opened(path):
    return xr.open_dataset(path, decode_times=False, engine="h5netcdf").load()


def levels_in(place):
    """All maps of a product, (step, lat, lon), and the first step."""
    return zarr.open_group(place, mode="r")["lai"][:]


def naive_leaf_area(codes, levels, weights, y, x, kinds):
    """Leaf area index of a kind of vegetation of a coarse cell, cell by cell.

    `levels` are the maps of the steps of `weights`. None where the cell has no known value.
    """
    entries = read_crosswalk_file("ecland")["legends"]["ESA CCI-LC"]
    area = 0.0
    leaf_area = 0.0
    has_kind = False
    for row in range(y * BLOCK, (y + 1) * BLOCK):
        for col in range(x * BLOCK, (x + 1) * BLOCK):
            shares = entries.get(str(codes[row, col]), {})
            of_kind = sum(shares[number] for number in shares if int(number) in kinds)
            vegetated = sum(shares[number] for number in shares if int(number) in (*LOW, *HIGH))
            has_kind |= of_kind > 0
            for level, weight in zip(levels[:, row, col], weights, strict=True):
                if of_kind and level != NO_VALUE:
                    area += weight * FINE.cell_area[row] * of_kind
                    leaf_area += (
                        weight * FINE.cell_area[row] * of_kind * 0.05 * level / (vegetated / 100)
                    )
    if not has_kind:
        return 0.0
    return leaf_area / area if area else np.nan


def require_equal_to_naive(file, world, place, time, year, dekads):
    """Compare some dekads of a file; years of the world and of the product begin in 2000."""
    maps = levels_in(place)
    available = time.of_years(2000, 2003)
    for dekad in dekads:
        weights = dekad_weights(time, year, available)[dekad]
        levels = np.stack([maps[step - available[0]] for step in weights])
        for name, kinds in FIELDS.items():
            for y in range(4):
                for x in range(6):
                    expected = naive_leaf_area(
                        world.codes[year - 2000], levels, weights.values(), y, x, kinds
                    )
                    got = file[name].values[dekad, y, x]
                    assert got == pytest.approx(expected, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("time", [DEKADS, MONTHS, EIGHT_DAYS], ids=lambda time: time.interval)
def test_leaf_area_equals_naive_sums(cover, leaves, tmp_path, time):
    place = leaves[time.interval]
    export(cover.run.product, "ecland", years="2000,2001", leaf_area=place, output=str(tmp_path))
    for year in (2000, 2001):
        file = opened(tmp_path / f"ecland_{year}.nc")
        require_equal_to_naive(file, cover, place, time, year, (0, 1, 2, 20, 35))


def test_leaves_of_the_classes_are_those_of_the_map(cover, leaves, tmp_path):
    """What ecLand makes of cover and leaf area index is the mean of the map over vegetation."""
    export(
        cover.run.product, "ecland", years="2003", leaf_area=leaves["dekad"], output=str(tmp_path)
    )
    file = opened(tmp_path / "ecland_2003.nc")
    entries = read_crosswalk_file("ecland")["legends"]["ESA CCI-LC"]
    vegetated = [int(c) for c, e in entries.items() if {int(n) for n in e} & {*LOW, *HIGH}]
    levels = levels_in(leaves["dekad"])[-36:]
    leafy = np.where(np.isin(cover.codes[3], vegetated) & (levels != NO_VALUE), 0.05 * levels, 0)
    area = np.repeat(FINE.cell_area[:, None], FINE.n_lon, axis=1)
    summed = (leafy * area).reshape(36, 4, BLOCK, 6, BLOCK).sum(axis=(2, 4))
    expected = summed / area.reshape(4, BLOCK, 6, BLOCK).sum(axis=(1, 3))
    got = (file.cvl * file.lai_lv + file.cvh * file.lai_hv) * file.land_share
    # cells at the coast have classes whose leaf area index is not known
    whole = (levels != NO_VALUE).all(axis=0).reshape(4, BLOCK, 6, BLOCK).all(axis=(1, 3))
    assert whole.sum() > 10
    np.testing.assert_allclose(
        got.transpose("dekad", "lat", "lon").values[:, whole], expected[:, whole], rtol=1e-5
    )


def test_file_has_the_dekads_of_its_year(cover, leaves, tmp_path):
    place = leaves["month"]
    export(cover.run.product, "ecland", years="2001", leaf_area=place, output=str(tmp_path))
    file = opened(tmp_path / "ecland_2001.nc")
    decoded = xr.decode_cf(file[["dekad", "dekad_bnds"]])
    assert [str(day)[:10] for day in decoded.dekad.values[[0, 1, 2, 5]]] == [
        "2001-01-01",
        "2001-01-11",
        "2001-01-21",
        "2001-02-21",
    ]
    assert str(decoded.dekad_bnds.values[5, 1])[:10] == "2001-03-01"
    assert [file[name].attrs["GRIB_paramId"] for name in FIELDS] == [66, 67]
    for name in FIELDS:
        assert file[name].dims == ("dekad", "lat", "lon")
        assert file[name].attrs["units"] == "m2 m-2"
        assert file[name].attrs["standard_name"] == "leaf_area_index"
        assert "linear between the 15th of each" in file[name].attrs["luray_source"]
    assert "cvl * lai_lv + cvh * lai_hv" in file.attrs["comment"]
    assert file.attrs["luray_leaf_area"] == file.lai_lv.attrs["luray_source"]


def test_what_is_unknown_is_missing_and_counted(cover, leaves, tmp_path):
    place = leaves["dekad"]
    arguments = {"years": "2001", "grid": 0.05, "leaf_area": place, "output": str(tmp_path)}
    export(cover.run.product, "ecland", **arguments)
    file = opened(tmp_path / "ecland_2001.nc")
    levels = levels_in(place)[36:72]
    codes = cover.codes[1]
    is_sea = np.isin(codes, [ESA.ocean, ESA.nodata])
    for name, of in (("lai_lv", file.cvl.values), ("lai_hv", file.cvh.values)):
        has_kind = of > 0
        unknown = has_kind & (levels == NO_VALUE)
        assert 0 < unknown.sum() < unknown.size
        values = file[name].values
        assert np.array_equal(np.isnan(values), unknown | is_sea)
        assert not values[:, ~has_kind & ~is_sea].any()
        said = file[name].attrs["luray_unknown_leaf_area"]
        assert f"; {unknown.sum()} of {36 * has_kind.sum()} grid cells and dekads with" in said
        # a grid cell is a cell of the maps here
        kind = np.where(has_kind, of * file.land_share.values, 0)
        percent = 100 * np.average(unknown, weights=np.broadcast_to(kind, unknown.shape))
        assert float(said.split()[0]) == pytest.approx(percent, abs=1e-3)


def test_bits_do_not_depend_on_the_bands(cover, leaves, tmp_path, monkeypatch):
    arguments = {"years": "2002", "leaf_area": leaves["P8D"]}
    export(cover.run.product, "ecland", output=str(tmp_path / "a"), **arguments)
    monkeypatch.setattr(coarse_maps, "BAND_CELLS", 1)
    export(cover.run.product, "ecland", output=str(tmp_path / "b"), **arguments)
    a, b = (opened(tmp_path / f"{name}/ecland_2002.nc") for name in "ab")
    for name in FIELDS:
        assert a[name].values.tobytes() == b[name].values.tobytes()
        key = "luray_unknown_leaf_area"
        assert a[name].attrs[key] == b[name].attrs[key]


def test_land_use_has_leaf_area_by_climate(world, leaves, tmp_path):
    export(
        world.run, "ecland", years="2003", grid=0.05, leaf_area=leaves["dekad"],
        output=str(tmp_path),
    )  # fmt: skip
    file = opened(tmp_path / "ecland_2003.nc")
    levels = levels_in(leaves["dekad"])[-36:]
    known = (levels != NO_VALUE).all(axis=0)
    # sparse vegetation: 10 % short grass in the climates A to C, 5 to 10 % tundra in D and E
    for zone, percent in ((1, 10), (4, 10), (5, 5)):
        cells = known & (world.codes[3] == 66) & (world.zones == zone)
        assert cells.any()
        expected = 0.05 * levels[:, cells] / (percent / 100)
        np.testing.assert_allclose(file.lai_lv.values[:, cells], expected, rtol=1e-5)
        assert not file.lai_hv.values[:, cells].any()


def test_coarser_leaf_area_counts_in_all_cells_under_it(cover, tmp_path):
    coarser = Grid(36.2, 22.8, 0.1, 14, 19)
    place = finished_value_product(tmp_path, time=DEKADS, grid=coarser)[1].url
    export(
        cover.run.product, "ecland", years="2003", grid=0.05, region="23.25,35.25,24.25,35.75",
        leaf_area=place, output=str(tmp_path / "out"),
    )  # fmt: skip
    file = opened(tmp_path / "out/ecland_2003.nc")
    levels = levels_in(place)[-36:].repeat(2, axis=1).repeat(2, axis=2)
    # the region begins 0.45 degrees south and 0.45 degrees east of the leaf area index
    under = levels[:, 9:19, 9:29]
    evergreen = (cover.codes[3][5:15, 5:25] == 50) & (under != NO_VALUE).all(axis=0)
    assert evergreen.sum() > 2
    np.testing.assert_allclose(
        file.lai_hv.values[:, evergreen], 0.05 * under[:, evergreen] / 1.0, rtol=1e-5
    )


def test_eight_days_are_weighted_by_overlap():
    weights = dekad_weights(EIGHT_DAYS, 2001, EIGHT_DAYS.of_years(2001, 2001))
    first = EIGHT_DAYS.step(2001)
    assert weights[:3] == [
        {first: 8, first + 1: 2},
        {first + 1: 6, first + 2: 4},
        {first + 2: 4, first + 3: 7},
    ]
    # the last step of a year has five days
    assert weights[35] == {first + 44: 6, first + 45: 5}
    days = [sum(of_dekad.values()) for of_dekad in weights]
    assert sum(days) == 365
    assert set(days) == {8, 10, 11}


def test_months_are_interpolated_as_ecland_does():
    february = MONTHS.step(2001, 1)
    weights = dekad_weights(MONTHS, 2001, MONTHS.of_years(2000, 2002))
    assert weights[3:6] == [
        {february - 1: 10, february: 21},
        {february: 1},
        {february: 18, february + 1: 10},
    ]
    assert weights[0] == {MONTHS.step(2000, 11): 10, MONTHS.step(2001): 21}
    assert weights[35] == {MONTHS.step(2001, 11): 21, MONTHS.step(2002): 10}
    # a month beside the product has no say
    alone = dekad_weights(MONTHS, 2001, MONTHS.of_years(2001, 2001))
    assert alone[0] == {MONTHS.step(2001): 21}
    assert alone[35] == {MONTHS.step(2001, 11): 21}


def test_annual_leaf_area_is_refused(cover, tmp_path):
    place = finished_value_product(tmp_path, time=TimeSteps(), grid=FINE)[1].url
    with pytest.raises(ValueError, match="has annual maps, expected maps by month, dekad or 8"):
        export(cover.run.product, "ecland", leaf_area=place, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_other_maps_are_refused(cover, tmp_path):
    output = str(tmp_path / "out")
    with pytest.raises(ValueError, match="has maps of land cover, expected a leaf area index"):
        export(cover.run.product, "ecland", leaf_area=cover.run.product, output=output)
    height = Legend.of_values(
        "mine", ValueScale("m", 0.0, 0.25, 150), variable="height", long_name="canopy height"
    )
    cube = value_cube(f"{tmp_path}/cube.zarr", grid=FINE, legend=height)
    product = value_product(cube, f"{tmp_path}/height.zarr")
    fill_values(cube, product)
    with pytest.raises(ValueError, match="expected a finished product"):
        export(cover.run.product, "ecland", leaf_area=product.url, output=output)
    product.finish()
    with pytest.raises(
        ValueError, match=r"height\.zarr has maps of canopy height, expected a leaf"
    ):
        export(cover.run.product, "ecland", leaf_area=product.url, output=output)
    with pytest.raises(ValueError, match="found no Zarr store"):
        export(cover.run.product, "ecland", leaf_area=f"{tmp_path}/none.zarr", output=output)
    assert not (tmp_path / "out").exists()


def test_years_of_one_product_alone_are_refused(cover, tmp_path):
    cube = value_cube(f"{tmp_path}/cube.zarr", grid=FINE)
    product = value_product(cube, f"{tmp_path}/product.zarr", years=(2001, 2003))
    fill_values(cube, product)
    product.finish()
    arguments = {"leaf_area": product.url, "output": str(tmp_path / "out")}
    with pytest.raises(ValueError, match="has the years 2001 to 2003, and the export needs 2000"):
        export(cover.run.product, "ecland", **arguments)
    assert len(export(cover.run.product, "ecland", years="2001", **arguments).files) == 1


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(36, 23, 0.04, 25, 38), "another grid than the classes: grids of .*0.05.* and 0.04"),
        (Grid(36.02, 23, 0.05, 24, 34), "another grid than the classes: grids of .* do not nest"),
        (Grid(36, 23, 0.025, 40, 60), "has cells of 0.025 degrees, and the classes have cells of"),
        (Grid(36, 23, 0.05, 16, 30), "covers 23, 35.2, 24.5, 36 .* covers 23, 35, 24.5, 36; choose"),
        (Grid(36, 23.25, 0.05, 20, 30), "covers 23.25, 35, 24.75, 36"),
    ],
)  # fmt: skip
def test_grids_that_do_not_nest_are_refused(cover, tmp_path, grid, message):
    place = finished_value_product(tmp_path, time=MONTHS, grid=grid)[1].url
    with pytest.raises(ValueError, match=message):
        export(cover.run.product, "ecland", leaf_area=place, output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_scenario_has_to_be_the_same(leaves, tmp_path):
    dims = ProductDims(("ssp126", "ssp585"))
    two = small_world(tmp_path, states=(), climate=False, dims=dims, legend=ESA)
    arguments = {"leaf_area": leaves["month"], "scenario": "ssp585", "output": str(tmp_path / "o")}
    with pytest.raises(ValueError, match="of the scenario 'ssp245', and the classes are of 'ssp58"):
        export(two.run.product, "ecland", **arguments)
    # observed years and hindcasts are of no scenario
    assert len(export(two.run.product, "ecland", years="2000-2002", **arguments).files) == 3


def test_other_formats_refuse_leaf_area(cover, leaves, tmp_path):
    with pytest.raises(ValueError, match="--format cog has no leaf area index beside it"):
        export(cover.run.product, "cog", leaf_area=leaves["month"], output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_leaf_area_is_part_of_the_request(cover, leaves, tmp_path):
    export(cover.run.product, "ecland", years="2001", output=str(tmp_path))
    with pytest.raises(ValueError, match=r"has another export \(leaf_area '' there, 'fff"):
        export(
            cover.run.product, "ecland", years="2001", leaf_area=leaves["month"],
            output=str(tmp_path),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lai_lv", 0.5, "lai_lv does not read back as it was written"),
        ("lai_hv", np.nan, "lai_hv does not read back as it was written"),
    ],
)
def test_wrong_leaf_area_gets_no_name(cover, leaves, tmp_path, monkeypatch, name, value, message):
    def spoil_and_check(path, *arguments):
        with h5py.File(path, "r+") as fields:
            fields[name][7, 1, 2] = value
        check(path, *arguments)

    check = ecland._check
    monkeypatch.setattr(ecland, "_check", spoil_and_check)
    with pytest.raises(RuntimeError, match=message):
        export(
            cover.run.product, "ecland", years="2001", leaf_area=leaves["month"],
            output=str(tmp_path),
        )  # fmt: skip
    assert not list(tmp_path.glob("*.nc"))


def test_leaf_area_without_cover_gets_no_name(cover, leaves, tmp_path, monkeypatch):
    def wrong(*arguments):
        values = leaf_area_of_band(*arguments)
        values[0][3, 1, 2] = -1.0
        return values

    leaf_area_of_band = leaf_area.leaf_area_of_band
    monkeypatch.setattr(leaf_area, "leaf_area_of_band", wrong)
    with pytest.raises(RuntimeError, match="lai_lv does not fit cvl in 1 values; nothing was pub"):
        export(
            cover.run.product, "ecland", years="2001", leaf_area=leaves["month"],
            output=str(tmp_path),
        )  # fmt: skip
    assert not list(tmp_path.glob("*.nc"))


def test_command_takes_a_product_of_leaf_area(cover, leaves, tmp_path):
    arguments = ["export", cover.run.product, "--format", "ecland", "--years", "2001"]
    result = CliRunner().invoke(
        app, [*arguments, "--leaf-area", leaves["month"], "--output", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert opened(tmp_path / "ecland_2001.nc").lai_hv.shape == (36, 4, 6)
