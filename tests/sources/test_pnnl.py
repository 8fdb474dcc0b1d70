"""PNNL topography and soil: found by variable, aspect as sine and cosine, layers reduced by depth."""

import pickle

import numpy as np
import pytest

from luray.grid import Grid
from luray.sources import InputError
from luray.sources.pnnl import PnnlSoilConfig, PnnlTopoConfig, depth_mean, open_pnnl_soil, open_pnnl_topo
from luray.windows import Box
from tests.sources.writers import axes, write_nc

GRID = Grid(40, 20, 1 / 120, 3, 4)
EVERYTHING = Box(0, 0, 3, 4)
UNITS = {"ELEVATION": "m", "STDEV_ELEV": "m", "SLOPE": "degrees", "ASPECT": "degrees", "SKY_VIEW_FACTOR": "1",
         "TERRAIN_CONFIG": "unitless"}
ELM = (0.0071, 0.0279, 0.0623, 0.1189, 0.2122, 0.3661, 0.6198, 1.0380, 1.7276, 2.8646)


def topography():
    rng = np.random.default_rng(0)
    fields = {name: rng.uniform(0, 1, GRID.shape).astype(np.float32) for name in UNITS}
    fields["ELEVATION"] *= 3000
    fields["ASPECT"] = np.array([[0, 90, 180, 270]] * 3, np.float32)
    for values in fields.values():
        values[2, 2] = -9999
    return fields


def write_topo(path, fields, units=UNITS, ascending=False, grid=GRID):
    return write_nc(path, {**axes(grid, ascending=ascending), **{
        n: (("lat", "lon"), v[::-1] if ascending else v, {"_FillValue": np.float32(-9999),
                                                         **({"units": units[n]} if units.get(n) else {})})
        for n, v in fields.items()}})


def topo(path):
    return open_pnnl_topo(PnnlTopoConfig(kind="pnnl_topo", path=str(path)))


def soil(path, **options):
    return open_pnnl_soil(PnnlSoilConfig(kind="pnnl_soil", path=str(path), **options))


def test_aspect_becomes_sine_and_cosine(tmp_path):
    fields = topography()
    write_topo(tmp_path / "TOPO.nc", fields, ascending=True)
    source = pickle.loads(pickle.dumps(topo(tmp_path)))
    assert source.grid == GRID
    got = source.read(None, EVERYTHING)
    assert got.shape == (7, 3, 4)
    assert got.dtype == np.float32
    names = [v.name for v in source.variables]
    by_name = dict(zip(names, got, strict=True))
    np.testing.assert_allclose(by_name["aspect_sin"][0], [0, 1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(by_name["aspect_cos"][0], [1, 0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(by_name["mean_elevation"][0], fields["ELEVATION"][0])
    np.testing.assert_allclose(by_name["terrain_configuration"][1], fields["TERRAIN_CONFIG"][1])
    assert np.isnan(got[:, 2, 2]).all()
    assert np.isnan(got).sum() == 7
    np.testing.assert_array_equal(source.read(None, Box(1, 1, 1, 3)), got[:, 1:2, 1:4])
    assert "aspect turned to its sine and cosine" in source.rules


def test_the_variables_may_be_spread_over_files(tmp_path):
    fields = topography()
    for name, values in fields.items():
        write_topo(tmp_path / f"sub/{name.lower()}_1km.nc", {name: values})
    write_nc(tmp_path / "unrelated.nc", {"x": (("n",), np.zeros(3), {})})
    source = topo(tmp_path)
    assert len(source.files) == 6
    np.testing.assert_allclose(source.read(None, EVERYTHING)[0, 0], fields["ELEVATION"][0])


def test_radians_are_turned_and_bare_units_are_said(tmp_path):
    fields = topography()
    degrees = fields["SLOPE"].copy()
    fields["SLOPE"] = np.where(degrees < 0, degrees, np.radians(degrees)).astype(np.float32)
    write_topo(tmp_path / "TOPO.nc", fields, {**UNITS, "SLOPE": "radians", "ASPECT": "", "SKY_VIEW_FACTOR": ""})
    source = topo(tmp_path)
    np.testing.assert_allclose(source.read(None, EVERYTHING)[2, :2], degrees[:2], rtol=1e-5)
    assert "SLOPE turned from radians to degrees" in source.rules
    assert "units not declared, taken as: ASPECT in degrees" in source.rules


def test_every_variable_is_told_by_the_field_it_is_made_of(tmp_path):
    write_topo(tmp_path / "TOPO.nc", topography(), ascending=True)
    source = topo(tmp_path)
    told = {v.name: s.name for v, s in zip(source.variables, source.stored, strict=True)}
    assert told == {"mean_elevation": "ELEVATION", "elevation_spread": "STDEV_ELEV", "slope": "SLOPE",
                    "aspect_sin": "ASPECT", "aspect_cos": "ASPECT", "sky_view": "SKY_VIEW_FACTOR",
                    "terrain_configuration": "TERRAIN_CONFIG"}
    assert {(s.fills, s.turned) for s in source.stored} == {((-9999,), ("rows stored south first, read north first",))}
    assert source.about.ranges["slope"] == "0..90 degrees"
    write_nc(tmp_path / "SOIL.nc", layers(6))
    ground = soil(tmp_path)
    assert [s.name for s in ground.stored] == ["PCT_SAND", "PCT_SAND", "PCT_CLAY", "PCT_CLAY", "ORGANIC", "ORGANIC"]
    assert ground.about.ranges["organic_30_100cm"] == "0..1000 kg/m3"
    assert set(ground.about.ranges) == {v.name for v in ground.variables}


def test_nan_is_missing_and_said_and_an_undeclared_fill_value_is_refused(tmp_path):
    fields = topography()
    for values in fields.values():
        values[0, 1] = np.nan
    write_topo(tmp_path / "TOPO.nc", fields)
    source = topo(tmp_path)
    assert np.isnan(source.read(None, Box(0, 1, 1, 1))).all()
    assert "NaN read as missing, as declared values are" in source.rules
    bare = {n: (("lat", "lon"), v, {"units": UNITS[n]}) for n, v in fields.items()}
    write_nc(tmp_path / "TOPO.nc", {**axes(GRID), **bare})
    with pytest.raises(InputError, match=r"TOPO\.nc, STDEV_ELEV: 1 cells are out of range, worst -9999 .* or a decl"):
        topo(tmp_path).read(None, EVERYTHING)


def test_lacking_doubled_or_foreign_variables_are_refused(tmp_path):
    fields = topography()
    write_topo(tmp_path / "a.nc", {n: v for n, v in fields.items() if n not in ("SLOPE", "ASPECT")})
    with pytest.raises(InputError, match="no NetCDF file holds SLOPE, ASPECT, expected ELEVATION, STDEV_ELEV"):
        topo(tmp_path)
    write_topo(tmp_path / "b.nc", {n: fields[n] for n in ("SLOPE", "ASPECT", "ELEVATION")})
    with pytest.raises(InputError, match=r"ELEVATION is in .*a\.nc and in .*b\.nc, expected one of them"):
        topo(tmp_path)
    write_topo(tmp_path / "b.nc", {n: fields[n] for n in ("SLOPE", "ASPECT")}, {**UNITS, "SLOPE": "%"})
    with pytest.raises(InputError, match="SLOPE is in '%', expected degrees or degree"):
        topo(tmp_path)
    write_topo(tmp_path / "b.nc", {n: fields[n] for n in ("SLOPE", "ASPECT")}, grid=Grid(40, 20.25, 1 / 120, 3, 4))
    with pytest.raises(InputError, match=r"b\.nc: grid of .* differs from that of .*a\.nc"):
        topo(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("ELEVATION", 12000), ("SLOPE", 91), ("STDEV_ELEV", -1),
                                             ("SKY_VIEW_FACTOR", np.inf)])
def test_values_out_of_range_are_refused(tmp_path, name, value):
    fields = topography()
    fields[name][1, 2] = value
    write_topo(tmp_path / "TOPO.nc", fields)
    with pytest.raises(InputError, match=rf"TOPO\.nc, {name}: 1 cells are out of range, worst {value} at lat.* 39\.98"):
        topo(tmp_path).read(None, EVERYTHING)


def layers(n, layer=None, **attrs):
    """Soil whose layer k holds 2 k + 10 (sand), and a missing cell."""
    column = (2 * np.arange(n) + 10).astype(np.float32)[:, None, None] * np.ones(GRID.shape, np.float32)
    column[:, 1, 1] = -9999
    axis = {} if layer is None else {"layer": (("layer",), np.array(layer), attrs)}
    shares = {"PCT_SAND": (1, "%"), "PCT_CLAY": (2, "%"), "ORGANIC": (4, "kg/m3")}
    return {**axes(GRID), **axis, **{
        name: (("layer", "lat", "lon"), np.where(column < 0, column, column / share).astype(np.float32),
               {"_FillValue": np.float32(-9999), "units": units}) for name, (share, units) in shares.items()}}


def test_layers_become_depth_weighted_means(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(6))
    source = pickle.loads(pickle.dumps(soil(tmp_path)))
    got = source.read(None, EVERYTHING)
    assert [v.name for v in source.variables][:2] == ["sand_0_30cm", "sand_30_100cm"]
    top, deep = (5 * 10 + 10 * 12 + 15 * 14) / 30, (30 * 16 + 40 * 18) / 70
    np.testing.assert_allclose(got[:, 0, 0], [top, deep, top / 2, deep / 2, top / 4, deep / 4], rtol=1e-6)
    assert np.isnan(got[:, 1, 1]).all()
    assert source.rules[0] == "6 layers (depths of SoilGrids) reduced to depth-weighted 0-30 cm and 30-100 cm"


def test_the_nodes_of_elm_give_its_layers_declared_or_not(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(10, ELM, units="m"))
    declared = soil(tmp_path)
    write_nc(tmp_path / "SOIL.nc", layers(10))
    counted = soil(tmp_path)
    assert "10 layers (depths from the file)" in declared.rules[0]
    assert "10 layers (depths of ELM)" in counted.rules[0]
    np.testing.assert_allclose(declared.edges_cm, counted.edges_cm, atol=0.05)
    np.testing.assert_allclose(declared.read(None, EVERYTHING), counted.read(None, EVERYTHING), rtol=1e-3)


def test_depths_from_the_run_file_win(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(3))
    with pytest.raises(InputError, match=r"PCT_SAND has 3 layers, known lower edges \[\] cm; .* set `layer_"):
        soil(tmp_path)
    with pytest.raises(InputError, match="expected one a layer, downwards"):
        soil(tmp_path, layer_bottoms_cm=[10, 100])
    with pytest.raises(InputError, match="expected one a layer, downwards"):
        soil(tmp_path, layer_bottoms_cm=[10, 100, 30])
    source = soil(tmp_path, layer_bottoms_cm=[30, 60, 100])
    np.testing.assert_allclose(source.read(None, EVERYTHING)[:2, 0, 0], [10, (12 * 30 + 14 * 40) / 70])
    write_nc(tmp_path / "SOIL.nc", layers(3, [20, 50, 120], units="cm", long_name="depth of the layer's bottom"))
    assert soil(tmp_path).edges_cm == (0, 20, 50, 120)


def test_soil_out_of_range_or_without_layers_is_refused(tmp_path):
    fields = layers(6)
    fields["PCT_CLAY"][1][4, 0, 3] = 120
    write_nc(tmp_path / "SOIL.nc", fields)
    with pytest.raises(InputError, match=r"PCT_CLAY: 1 cells are out of range, worst 120 .* expected 0 to 100 %"):
        soil(tmp_path).read(None, EVERYTHING)
    fields["ORGANIC"] = (("lat", "lon"), np.zeros(GRID.shape, np.float32), {})
    write_nc(tmp_path / "SOIL.nc", fields)
    with pytest.raises(InputError, match=r"ORGANIC has dimensions \('lat', 'lon'\), expected \(layer, lat, lon\)"):
        soil(tmp_path)


def test_missing_layers_do_not_count():
    values = np.array([4, np.nan, 8], np.float32)[:, None, None]
    assert depth_mean(values, (0, 10, 20, 40), top=0, bottom=30) == pytest.approx((4 * 10 + 8 * 10) / 20)
    assert np.isnan(depth_mean(values[1:2], (0, 10), top=0, bottom=30)).all()
