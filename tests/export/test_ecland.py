"""Cover and types of vegetation against a naive sum over the fine cells, and what is refused."""

import json

import h5py
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from luray.cli.app import app
from luray.core.legend import LandClass, Legend
from luray.core.legend_files import HILDA, own_legends, read_legend
from luray.export import ecland
from luray.export.climate_groups import GROUPS, class_areas
from luray.export.crosswalk import read_crosswalk_file
from luray.export.ecland import HIGH, LOW, N_TYPES, NO_LAND, vegetation_of
from luray.product.dimensions import ProductDims
from luray.product.fractions import WHOLE
from luray.stages.export import export
from tests.cube.cubes import COVER
from tests.export.exports import BLOCK, FINE, job_of, small_world

ESA = read_legend("esa_cci_lc")
FIELDS = ("cvl", "cvh", "tvl", "tvh")


@pytest.fixture(scope="module")
def world_of_cover(tmp_path_factory):
    """A finished product of land cover, whose cube has no climate groups."""
    return small_world(tmp_path_factory.mktemp("esa"), states=(), climate=False, legend=ESA)


def opened(path):
    return xr.open_dataset(path, decode_times=False, engine="h5netcdf").load()


def naive_vegetation(codes, zones, crosswalk, y, x):
    """Cover, types and base of a coarse cell, cell by cell; None where it has no land."""
    areas = {}
    whole = 0.0
    for row in range(y * BLOCK, (y + 1) * BLOCK):
        for col in range(x * BLOCK, (x + 1) * BLOCK):
            area = FINE.cell_area[row]
            whole += area
            entry = crosswalk["legend"].get(str(codes[row, col]))
            if entry is None:  # ocean, no data
                continue
            if "A" in entry:
                zone = zones[row, col]
                entry = entry["ABCDE"[zone - 1] if zone else crosswalk["unknown"]]
            for number, percent in entry.items():
                areas[int(number)] = areas.get(int(number), 0.0) + area * percent / 100
    if not areas:
        return None
    base = sum(area for number, area in areas.items() if number not in (12, 14, 15))
    found = []
    for kinds in ((1, 2, 7, 9, 10, 11, 13, 16, 17, 20), (3, 4, 5, 6, 18, 19)):
        of_kind = {number: areas[number] for number in areas if number in kinds}
        cover = sum(of_kind.values()) / base if base else 0.0
        # sums of equal areas differ by rounding here
        least = max(of_kind.values(), default=0.0) * (1 - 1e-9)
        largest = min((number for number in of_kind if of_kind[number] >= least), default=0)
        found.append((cover, largest))
    return found[0][0], found[1][0], found[0][1], found[1][1], base / whole


def require_equal_to_naive(file, codes, zones, legend):
    crosswalk = read_crosswalk_file("ecland")
    rule = {"legend": crosswalk["legends"][legend.name], "unknown": crosswalk["unknown"]}
    for y in range(4):
        for x in range(6):
            expected = naive_vegetation(codes, zones, rule, y, x)
            cell = file.isel(lat=y, lon=x)
            assert cell.cvl.item() == pytest.approx(expected[0], abs=1e-6)
            assert cell.cvh.item() == pytest.approx(expected[1], abs=1e-6)
            assert (cell.tvl.item(), cell.tvh.item()) == expected[2:4]
            assert cell.land_share.item() == pytest.approx(expected[4], abs=1e-6)


def test_land_cover_equals_a_naive_sum(world_of_cover, tmp_path):
    export(world_of_cover.run.product, "ecland", years="2001-2002", output=str(tmp_path))
    for step, year in ((1, 2001), (2, 2002)):
        file = opened(tmp_path / f"ecland_{year}.nc")
        require_equal_to_naive(file, world_of_cover.codes[step], None, ESA)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ecland_2001.nc",
        "ecland_2002.nc",
        "export.json",
    ]


def test_land_use_equals_a_naive_sum_by_climate(world, tmp_path):
    export(world.run, "ecland", years="2003", output=str(tmp_path))
    file = opened(tmp_path / "ecland_2003.nc")
    require_equal_to_naive(file, world.codes[3], world.zones, HILDA)
    unknown = np.average(world.zones == 0, weights=np.repeat(FINE.cell_area[:, None], 30, axis=1))
    told = float(file.attrs["luray_unknown_climate"].split()[0])
    # of the land only, which is scattered at random
    assert told == pytest.approx(100 * unknown, abs=3)
    assert "tree types by climate" in file.attrs["luray_crosswalk"]


def test_coarser_cells_add_up_to_the_finer_ones(world_of_cover, tmp_path):
    for name, grid in (("fine", 0.25), ("coarse", 0.5)):
        export(
            world_of_cover.run.product,
            "ecland",
            years="2001",
            grid=grid,
            output=str(tmp_path / name),
        )
    fine = opened(tmp_path / "fine/ecland_2001.nc")
    coarse = opened(tmp_path / "coarse/ecland_2001.nc")
    assert coarse.cvl.shape == (2, 3)
    fine_area = np.repeat(FINE.cell_area.reshape(4, BLOCK).sum(axis=1)[:, None], 6, axis=1)
    coarse_area = fine_area.reshape(2, 2, 3, 2).sum(axis=(1, 3))
    for name in ("cvl", "cvh"):
        high = fine[name].values * fine.land_share.values * fine_area
        expected = high.reshape(2, 2, 3, 2).sum(axis=(1, 3))
        got = coarse[name].values * coarse.land_share.values * coarse_area
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_file_says_its_conventions(world_of_cover, tmp_path):
    export(world_of_cover.run.product, "ecland", years="2001", output=str(tmp_path))
    file = opened(tmp_path / "ecland_2001.nc")
    assert [file[name].dims for name in FIELDS] == [("lat", "lon")] * 4
    assert [file[name].attrs["GRIB_paramId"] for name in FIELDS] == [27, 28, 29, 30]
    assert {file[name].attrs["units"] for name in FIELDS} == {"1"}
    assert file.lat.values.tolist() == [35.875, 35.625, 35.375, 35.125]
    assert file.lon.values[0] == 23.125
    assert xr.decode_cf(file).time.item().isoformat() == "2001-01-01T00:00:00"
    assert file.year.item() == 2001
    assert file.attrs["Conventions"] == "CF-1.11"
    assert "doi:10.5194/esd-14-1239-2023" in file.attrs["luray_crosswalk"]
    assert "Leaf area index is left out" in file.attrs["comment"]
    flags = file.tvh.attrs
    assert len(flags["flag_values"]) == len(flags["flag_meanings"].split()) == 7
    assert dict(zip(flags["flag_values"], flags["flag_meanings"].split(), strict=True))[19] == (
        "interrupted_forest"
    )
    assert not [name for name in file.data_vars if "lai" in name]
    about = json.loads((tmp_path / "export.json").read_text())["about"]
    assert about["luray_run_fingerprint"] == "f" * 64


def share_of(**classes):
    """Shares of the types of some classes, (K, 1, P): `share_of(a={2: 100})`."""
    share_KMP = np.zeros((len(classes), 1, N_TYPES + 1), np.int64)
    for k, percent in enumerate(classes.values()):
        for number, value in percent.items():
            share_KMP[k, 0, number] = value * 10
    return share_KMP


def vegetation_of_cell(areas, share_KMP):
    """Vegetation of one coarse cell, of which its classes have some shares."""
    area_KMYX = np.rint(np.array(areas) * WHOLE).astype(np.int64).reshape(-1, 1, 1, 1)
    return [field.item() for field in vegetation_of(area_KMYX, share_KMP)]


def test_of_equal_types_the_lower_number_wins():
    shares = share_of(deciduous={5: 50, 17: 50}, evergreen={6: 50, 16: 50})
    assert vegetation_of_cell([0.5, 0.5], shares) == [0.5, 0.5, 16, 5, 1.0]
    # the least that a fine cell can add decides
    assert vegetation_of_cell([0.5 + 2.0**-40, 0.5], shares)[2:4] == [17, 5]
    assert vegetation_of_cell([0.5, 0.5 + 2.0**-40], shares)[2:4] == [16, 6]


def test_cover_is_of_the_land_without_water_and_ice():
    shares = share_of(forest={3: 80, 2: 20}, lake={14: 100}, ice={12: 100}, bare={8: 100})
    assert vegetation_of_cell([0.2, 0.5, 0.1, 0.2], shares) == pytest.approx([0.1, 0.4, 2, 3, 0.4])
    # land that is ice and water throughout has no vegetation; a cell without land is missing
    assert vegetation_of_cell([0.0, 0.6, 0.4, 0.0], shares) == [0, 0, 0, 0, 0]
    assert vegetation_of_cell([0.0, 0.0, 0.0, 1.0], shares) == [0, 0, 0, 0, 1]
    assert vegetation_of_cell([0.0, 0.0, 0.0, 0.0], shares) == [-9999, -9999, -1, -1, 0]


def test_sea_is_missing_and_land_is_its_class(world_of_cover, tmp_path):
    export(world_of_cover.run.product, "ecland", years="2001", grid=0.05, output=str(tmp_path))
    file = opened(tmp_path / "ecland_2001.nc")
    codes = world_of_cover.codes[1]
    is_sea = np.isin(codes, [ESA.ocean, ESA.nodata])
    assert 0 < is_sea.sum() < codes.size
    for name in FIELDS:
        np.testing.assert_array_equal(np.isnan(file[name].values), is_sea)
    assert not file.land_share.values[is_sea].any()

    evergreen = codes == 50
    assert set(file.cvh.values[evergreen].tolist()) == {np.float32(0.9)}
    assert set(file.tvh.values[evergreen].tolist()) == {6}
    # 5 % of each shrub: the lower number
    assert set(file.tvl.values[evergreen].tolist()) == {16}
    for code in (210, 220):
        assert not file.cvl.values[codes == code].any()
        assert not file.tvl.values[codes == code].any()
    assert not file.land_share.values[codes == 220].any()


@pytest.mark.parametrize("legend", own_legends(), ids=lambda legend: legend.name)
def test_every_class_of_every_legend_is_covered(legend):
    entries = read_crosswalk_file("ecland")["legends"][legend.name]
    assert sorted(map(int, entries)) == sorted(int(code) for code in legend.codes)
    for code, entry in entries.items():
        by_group = entry.values() if set(entry) == set(GROUPS) else [entry]
        for percent in by_group:
            assert sum(percent.values()) == 100, code
            assert {int(number) for number in percent} <= {*LOW, *HIGH, 8, *NO_LAND}, code
    assert read_crosswalk_file("ecland")["sources"][legend.name]


def test_types_are_those_of_ecland():
    assert sorted([*LOW, *HIGH, 8, *NO_LAND]) == list(range(1, N_TYPES + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"190": {"2": 90}}, "ESA CCI-LC 190 sums to 90 %, expected 100"),
        ({"190": {"21": 100}}, "190 has the types 21, expected numbers from 1 to 20"),
        ({"190": {"2": 33.33, "8": 66.67}}, "190 2 is 33.33 %, expected whole tenths"),
        ({"190": {"2": -10, "8": 110}}, "190 2 is -10 %"),
        ({"190": {"2": "100"}}, "190 2 is '100' %, expected whole tenths"),
        ({"190": "omitted"}, "190 is 'omitted', expected a table such as"),
        ({"190": {"A": {"2": 100}, "B": {"2": 100}}}, "190 has the groups A, B, expected A to E"),
        ({"190": {g: {"2": 80} for g in GROUPS}}, "190 A sums to 80 %"),
        ({"210": None}, "lacks 210, its water; add it, as type 14"),
    ],
)
def test_wrong_crosswalk_is_refused(world_of_cover, tmp_path, monkeypatch, change, message):
    entries = {**read_crosswalk_file("ecland")["legends"]["ESA CCI-LC"], **change}
    entries = {code: entry for code, entry in entries.items() if entry is not None}
    monkeypatch.setattr(ecland, "read_crosswalk", lambda form, legend: entries)
    with pytest.raises(ValueError, match=message):
        ecland.ecland_crosswalk(job_of(world_of_cover, tmp_path, form="ecland"))


def test_crosswalk_without_source_is_refused(world_of_cover, tmp_path, monkeypatch):
    whole = read_crosswalk_file("ecland")
    del whole["sources"]["ESA CCI-LC"]
    monkeypatch.setattr(ecland, "read_crosswalk_file", lambda form: whole)
    with pytest.raises(ValueError, match="ESA CCI-LC has no source"):
        export(world_of_cover.run.product, "ecland", output=str(tmp_path))


def test_code_that_the_crosswalk_lacks_is_named(world_of_cover, tmp_path, monkeypatch):
    whole = read_crosswalk_file("ecland")
    del whole["legends"]["ESA CCI-LC"]["151"]
    monkeypatch.setattr("luray.export.crosswalk.read_crosswalk_file", lambda form: whole)
    with pytest.raises(ValueError, match="ESA CCI-LC to ecland lacks 151 sparse_tree"):
        export(world_of_cover.run.product, "ecland", output=str(tmp_path))


def test_climate_of_many_classes_is_refused(tmp_path):
    many = Legend(
        "many",
        tuple(LandClass(k + 1, f"c{k}", "#112233") for k in range(43)),
        variable="land_cover",
    )
    world = small_world(tmp_path, states=(), legend=many)
    job = job_of(world, tmp_path / "out", form="ecland")
    with pytest.raises(ValueError, match="43 classes that climate splits, expected at most 42"):
        next(class_areas(job, 2001, job.cube))
    assert next(class_areas(job, 2001, None))[1].shape == (43, 1, 4, 6)


def test_land_use_needs_climate_groups(world, world_without_forcing, tmp_path):
    with pytest.raises(ValueError, match=r"--format ecland needs the climate groups .* run file"):
        export(world.run.product, "ecland", output=str(tmp_path / "a"))
    with pytest.raises(ValueError, match="--format ecland needs the variable climate_group"):
        export(world_without_forcing.run, "ecland", output=str(tmp_path / "b"))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["export.json"]


def test_other_products_are_refused(tmp_path):
    unfinished = small_world(folder(tmp_path, "a"), states=(), legend=ESA, finish=False)
    with pytest.raises(ValueError, match="expected a finished product"):
        export(unfinished.run, "ecland")
    other = small_world(folder(tmp_path, "b"), states=(), climate=False, legend=COVER)
    with pytest.raises(ValueError, match="three covers has no crosswalk to ecland"):
        export(other.run, "ecland")


def folder(parent, name):
    path = parent / name
    path.mkdir()
    return path


def test_scenario_and_member_choose_the_maps(tmp_path):
    dims = ProductDims(("ssp126", "ssp585"), 2)
    world = small_world(tmp_path, states=(), climate=False, dims=dims, legend=ESA)
    with pytest.raises(ValueError, match="name one with --scenario"):
        export(world.run.product, "ecland", output=str(tmp_path / "e"))
    chosen = {"scenario": "ssp585", "member": 1}
    export(world.run.product, "ecland", years="2003", output=str(tmp_path / "e"), **chosen)
    file = opened(tmp_path / "e/ecland_2003.nc")
    require_equal_to_naive(file, world.codes[1, 1, 3], None, ESA)
    assert file.attrs["luray_scenario"] == "ssp585"


def test_wrong_file_gets_no_name(world_of_cover, tmp_path, monkeypatch):
    def spoil_and_check(path, *arguments):
        with h5py.File(path, "r+") as fields:
            fields["cvh"][1, 2] += 0.25
        check(path, *arguments)

    check = ecland._check
    arguments = {"years": "2001,2002", "output": str(tmp_path)}
    with monkeypatch.context() as patch:
        patch.setattr(ecland, "_check", spoil_and_check)
        with pytest.raises(RuntimeError, match=r"ecland_2001.nc: cvh does not read back"):
            export(world_of_cover.run.product, "ecland", **arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export.json"]
    assert len(export(world_of_cover.run.product, "ecland", **arguments).files) == 2
    assert export(world_of_cover.run.product, "ecland", **arguments).files == ()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cvl", 1.25, "cover is not between 0 and 1 in 1 cells"),
        ("tvl", 5, "tvl is no low vegetation in 1 cells"),
        ("tvh", 8, "tvh is no high vegetation in 1 cells"),
        ("tvh", 0, "cover without a type in 1 cells"),
    ],
)
def test_impossible_vegetation_gets_no_name(
    world_of_cover, tmp_path, monkeypatch, field, value, message
):
    def wrong(*arguments):
        right, unknown = vegetation(*arguments)
        values = getattr(right, field)
        values[1, 2] = value
        return right, unknown

    vegetation = ecland._vegetation
    monkeypatch.setattr(ecland, "_vegetation", wrong)
    with pytest.raises(RuntimeError, match=message):
        export(world_of_cover.run.product, "ecland", years="2001", output=str(tmp_path))
    assert not list(tmp_path.glob("*.nc"))


def test_command(world_of_cover, tmp_path):
    arguments = ["export", world_of_cover.run.product, "--format", "ecland", "--years", "2001"]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "ecland_2001.nc" in result.output
    shown = " ".join(CliRunner().invoke(app, ["export", "--help"]).output.split())
    assert "ecland:" in shown
    assert "--leaf-area" in shown


def test_crosswalk_is_part_of_the_request(world_of_cover, tmp_path, monkeypatch):
    export(world_of_cover.run.product, "ecland", years="2001", output=str(tmp_path))
    monkeypatch.setattr("luray.stages.export.crosswalk_text", lambda form: "another")
    with pytest.raises(ValueError, match="has another export \\(crosswalk"):
        export(world_of_cover.run.product, "ecland", years="2001", output=str(tmp_path))


def test_esa_percentages_are_the_published_ones():
    """The sum of each type over all classes, as in the table of van Oorschot et al. (2023)."""
    entries = read_crosswalk_file("ecland")["legends"]["ESA CCI-LC"]
    totals = {}
    for entry in entries.values():
        for number, percent in entry.items():
            totals[int(number)] = totals.get(int(number), 0) + percent
    low = {1: 370, 2: 710, 9: 100, 13: 75, 16: 207, 17: 363}
    high = {3: 312.5, 4: 205, 5: 277.5, 6: 235}
    # water is ocean there, and inland water here
    assert totals == low | high | {8: 645, 12: 100, 14: 100}
