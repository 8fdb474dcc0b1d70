"""Land cover in the files of ESA CCI and C3S: onto another grid, the sea, and what is refused."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from luray.core.grid import Grid
from luray.core.legend_files import HILDA, read_legend
from luray.core.tiling import Box
from luray.sources.base import Request
from luray.sources.cci_lc import LEGEND, CciLcConfig
from luray.sources.class_resampling import ClassResampling, lattice_over
from luray.storage.errors import InputError
from tests import reference
from tests.sources.writers import axes, write_nc

FINE = Grid(48, 2, 1 / 360, 36, 54)
RUN = Grid(48, 2, 0.01, 10, 15)
CODES = np.array([0, *LEGEND.codes], np.uint8)
YEARS = range(2014, 2018)


def maps(year, grid=FINE):
    """Patches of some classes, of which the north-west is water."""
    random = np.random.default_rng(year)
    patches = random.choice(np.array([10, 60, 61, 190, 210, 220], np.uint8), (12, 18))
    codes = np.kron(patches, np.ones((3, 3), np.uint8))[: grid.n_lat, : grid.n_lon]
    codes[:20, :25] = 210
    return codes


def name_of(year):
    if year < 2016:
        return f"ESACCI-LC-L4-LCCS-Map-300m-P1Y-{year}-v2.0.7cds.nc"
    return f"C3S-LC-L4-LCCS-Map-300m-P1Y-{year}-v2.1.1.nc"


def write_map(folder, year, *, codes=None, grid=FINE, name="", stamp=None, **changes):
    days = np.datetime64(f"{stamp or year}-01-01") - np.datetime64("1970-01-01")
    time = np.array([days.astype(int)], np.float64)
    attributes = {
        "standard_name": "land_cover_lccs",
        "flag_values": CODES,
        "flag_meanings": " ".join(["no_data", *(c.name for c in LEGEND.classes)]),
        "_FillValue": np.uint8(0),
        **changes,
    }
    values = maps(year, grid) if codes is None else codes
    write_nc(
        folder / (name or name_of(year)),
        {
            **axes(grid),
            "time": (("time",), time, {"units": "days since 1970-01-01 00:00:00"}),
            "lccs_class": (("time", "lat", "lon"), values[None], attributes),
        },
    )


def opened(folder, *, years=YEARS, grid=RUN, **settings):
    config = CciLcConfig(kind="cci_lc", path=str(folder), **settings)
    return config.open(Request(years, "ssp245", grid=grid, legend=LEGEND))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cci_lc")
    for year in YEARS:
        write_map(folder, year)
    return folder


@pytest.mark.parametrize("resample", ["majority", "nearest"])
def test_maps_come_onto_the_run_grid(folder, resample):
    source = pickle.loads(pickle.dumps(opened(folder, sea_step=0, resample=resample)))
    assert source.years == tuple(YEARS)
    assert (source.grid.shape, source.legend) == ((10, 15), LEGEND)
    RUN.offset_of(source.grid)
    for year in (2014, 2017):
        fine = maps(year)
        if resample == "majority":
            step = Fraction(1, 360), Fraction(1, 100)
            expected = reference.majority_of_area(fine, *step, (0, 0), (10, 15))
        else:
            middles = [[(2 * i + 1) * 9 // 5 for i in range(n)] for n in (10, 15)]
            expected = fine[np.ix_(*middles)]
        assert np.array_equal(source.read(year, Box(0, 0, 10, 15))[0], expected)
        assert np.array_equal(source.read(year, Box(3, 4, 5, 9))[0], expected[3:8, 4:13])


def test_a_run_grid_of_the_same_cells_has_the_maps_as_they_are(folder):
    source = opened(folder, grid=Grid(48, 2, 1 / 360, 36, 54), sea_step=0)
    assert np.array_equal(source.read(2015, Box(2, 3, 20, 30))[0], maps(2015)[2:22, 3:33])
    assert not any("read at" in rule for rule in source.rules)


@pytest.mark.parametrize("box", [Box(0, 0, 36, 54), Box(7, 11, 13, 20), Box(19, 24, 1, 1)])
def test_blocks_of_water_are_sea_whatever_box_is_read(folder, box):
    source = opened(folder, grid=FINE, sea_step=0.02)  # blocks of 7.2 cells: 7 are taken
    fine = maps(2016)
    origin = 42 * 360, 182 * 360
    sea = reference.sea_of_blocks(fine, 210, 7, origin)
    assert 0 < sea.sum() < (fine == 210).sum()
    expected = np.where(sea, 230, fine)
    cells = box.slices(origin=Box(0, 0, 0, 0))
    assert np.array_equal(source.read(2016, box)[0], expected[cells])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(10, 47),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)
def test_the_majority_is_that_of_exact_areas(tenths, row, col, seed):
    """Coarse cells of 1 to 4.7 fine ones that begin at tenths of a fine cell."""
    codes = np.random.default_rng(seed).integers(0, 4, (11, 13)).astype(np.uint8)
    fine = Grid(10, 20, 0.1, 11, 13)
    step = tenths / 100
    run = Grid(10 - row / 100, 20 + col / 100, step, 2, 2)
    coarse = lattice_over(fine, run, where="a.nc")
    shape = int((110 - row) // tenths), int((130 - col) // tenths)
    first = (row % tenths) / 10, (col % tenths) / 10
    assert coarse.shape == shape
    resampling = ClassResampling(fine, coarse, "majority")
    box = Box(0, 0, *shape)
    under = resampling.fine_box(box)
    found = resampling.resample(codes[under.slices(origin=Box(0, 0, 0, 0))], box)
    offset = Fraction(row % tenths, 10), Fraction(col % tenths, 10)
    assert first == (float(offset[0]), float(offset[1]))
    expected = reference.majority_of_area(
        codes, Fraction(1, 10), Fraction(tenths, 100), offset, shape
    )
    assert np.array_equal(found, expected)


def test_maps_coarser_than_the_run_are_refused():
    fine = Grid(10, 20, 0.1, 11, 13)
    with pytest.raises(InputError, match="the run grid smaller ones"):
        lattice_over(fine, Grid(10, 20, 0.05, 4, 4), where="a.nc")
    with pytest.raises(InputError, match="smaller than a cell of the run grid"):
        lattice_over(fine, Grid(12, 18, 4, 4, 4), where="a.nc")


def test_signed_bytes_of_old_files_are_the_same_codes(tmp_path):
    write_map(tmp_path, 2015, codes=maps(2015).view(np.int8), flag_values=CODES.view(np.int8))
    source = opened(tmp_path, years=range(2015, 2016), grid=FINE, sea_step=0)
    assert np.array_equal(source.read(2015, Box(0, 0, 36, 54))[0], maps(2015))


def test_a_code_outside_the_legend_is_named(tmp_path):
    codes = maps(2015)
    codes[30, 40] = 45
    write_map(tmp_path, 2015, codes=codes)
    source = opened(tmp_path, years=range(2015, 2016), sea_step=0)
    source.read(2015, Box(0, 0, 4, 4))
    with pytest.raises(InputError, match=r"code 45 \(1 cells\) not in ESA CCI-LC"):
        source.read(2015, Box(0, 0, 10, 15))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flag_values": np.array([0, 10, 45], np.uint8)}, r"has the codes \[45\], which"),
        ({"codes": maps(2015).astype(np.int16)}, "is int16 .* expected plain bytes"),
        ({"stamp": 2014}, r"holds the years \[2014\], its name says 2015"),
        ({"name": "landcover_2015.nc"}, "found no map of land cover"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, change, message):
    write_map(tmp_path, 2015, **change)
    with pytest.raises(InputError, match=message):
        opened(tmp_path, years=range(2015, 2016))


def test_a_year_missing_or_there_twice_is_refused(tmp_path):
    for year in (2014, 2016):
        write_map(tmp_path, year)
    with pytest.raises(InputError, match="2015"):
        opened(tmp_path, years=range(2014, 2017))
    write_map(tmp_path, 2015)
    write_map(tmp_path, 2015, name="C3S-LC-L4-LCCS-Map-300m-P1Y-2015-v2.1.1.nc")
    with pytest.raises(InputError, match="are both of 2015"):
        opened(tmp_path)


def test_land_cover_is_no_source_of_a_run_of_land_use():
    config = CciLcConfig(kind="cci_lc", path="p")
    assert config.declared_for(LEGEND)[0].name == "land_cover"
    for legend in (HILDA, read_legend("igbp")):
        with pytest.raises(ValueError, match=r"maps of ESA CCI-LC, and the run's target .*"):
            config.declared_for(legend)
    with pytest.raises(ValidationError, match="sea_step"):
        CciLcConfig(kind="cci_lc", path="p", sea_step=-1)
