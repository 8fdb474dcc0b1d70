"""PNNL topography and soil: found by variable, aspect as sine and cosine, layers reduced by depth."""

import pickle

import numpy as np
import pytest

from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.pnnl import (
    SOIL,
    TOPOGRAPHY,
    PnnlSoilConfig,
    PnnlTopoConfig,
    open_pnnl_soil,
    open_pnnl_topo,
)
from luray.sources.soil_layers import LAYERINGS
from luray.storage.errors import InputError
from tests.sources.writers import axes, write_nc

GRID = Grid(40, 20, 1 / 120, 3, 4)
EVERYTHING = Box(0, 0, 3, 4)
UNITS = {
    "ELEVATION": "m",
    "STDEV_ELEV": "m",
    "SLOPE": "degrees",
    "ASPECT": "degrees",
    "SKY_VIEW_FACTOR": "1",
    "TERRAIN_CONFIG": "unitless",
}
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
    return write_nc(
        path,
        {
            **axes(grid, ascending=ascending),
            **{
                n: (
                    ("lat", "lon"),
                    v[::-1] if ascending else v,
                    {
                        "_FillValue": np.float32(-9999),
                        **({"units": units[n]} if units.get(n) else {}),
                    },
                )
                for n, v in fields.items()
            },
        },
    )


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


def test_radians_are_converted(tmp_path):
    fields = topography()
    degrees = fields["SLOPE"].copy()
    fields["SLOPE"] = np.where(degrees < 0, degrees, np.radians(degrees)).astype(np.float32)
    write_topo(
        tmp_path / "TOPO.nc",
        fields,
        {**UNITS, "SLOPE": "radians", "ASPECT": "", "SKY_VIEW_FACTOR": ""},
    )
    source = topo(tmp_path)
    np.testing.assert_allclose(source.read(None, EVERYTHING)[2, :2], degrees[:2], rtol=1e-5)
    assert "SLOPE: radians turned into degrees: times 57.29577951" in source.rules
    assert "units not declared, taken as: ASPECT in degrees" in source.rules


def test_encodings_name_the_published_variable(tmp_path):
    write_topo(tmp_path / "TOPO.nc", topography(), ascending=True)
    source = topo(tmp_path)
    published = {v.name: s.name for v, s in zip(source.variables, source.encodings, strict=True)}
    assert published == {
        "mean_elevation": "ELEVATION",
        "elevation_spread": "STDEV_ELEV",
        "slope": "SLOPE",
        "aspect_sin": "ASPECT",
        "aspect_cos": "ASPECT",
        "sky_view": "SKY_VIEW_FACTOR",
        "terrain_configuration": "TERRAIN_CONFIG",
    }
    assert {(s.fills, s.rules) for s in source.encodings} == {
        ((-9999,), ("rows stored south first, read north first",))
    }
    assert source.about.ranges["slope"] == "0..90 degrees"
    write_nc(tmp_path / "SOIL.nc", layers(6))
    static_inputs = soil(tmp_path)
    assert [s.name for s in static_inputs.encodings] == [
        "PCT_SAND",
        "PCT_SAND",
        "PCT_CLAY",
        "PCT_CLAY",
        "ORGANIC",
        "ORGANIC",
    ]
    assert static_inputs.about.ranges["organic_30_100cm"] == "0..1000 kg/m3"
    assert set(static_inputs.about.ranges) == {v.name for v in static_inputs.variables}


def test_nan_is_missing_and_undeclared_fills_refused(tmp_path):
    fields = topography()
    for values in fields.values():
        values[0, 1] = np.nan
    write_topo(tmp_path / "TOPO.nc", fields)
    source = topo(tmp_path)
    assert np.isnan(source.read(None, Box(0, 1, 1, 1))).all()
    assert "NaN read as missing, as declared values are" in source.rules
    bare = {n: (("lat", "lon"), v, {"units": UNITS[n]}) for n, v in fields.items()}
    write_nc(tmp_path / "TOPO.nc", {**axes(GRID), **bare})
    with pytest.raises(
        InputError, match=r"TOPO\.nc, ELEVATION: 1 cells are out of range, worst -9999 .* or a decl"
    ):
        topo(tmp_path).read(None, EVERYTHING)


def test_lacking_doubled_or_foreign_variables_are_refused(tmp_path):
    fields = topography()
    write_topo(tmp_path / "a.nc", {n: v for n, v in fields.items() if n not in ("SLOPE", "ASPECT")})
    with pytest.raises(
        InputError, match="no NetCDF file holds SLOPE, ASPECT, expected ELEVATION, STDEV_ELEV"
    ):
        topo(tmp_path)
    write_topo(tmp_path / "b.nc", {n: fields[n] for n in ("SLOPE", "ASPECT", "ELEVATION")})
    with pytest.raises(
        InputError, match=r"ELEVATION is in .*a\.nc and in .*b\.nc, expected one of them"
    ):
        topo(tmp_path)
    write_topo(
        tmp_path / "b.nc", {n: fields[n] for n in ("SLOPE", "ASPECT")}, {**UNITS, "SLOPE": "%"}
    )
    with pytest.raises(
        InputError, match="SLOPE is in '%', expected degrees or a unit that converts"
    ):
        topo(tmp_path)
    write_topo(
        tmp_path / "b.nc",
        {n: fields[n] for n in ("SLOPE", "ASPECT")},
        grid=Grid(40, 20.25, 1 / 120, 3, 4),
    )
    with pytest.raises(InputError, match=r"b\.nc: grid of .* differs from that of .*a\.nc"):
        topo(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ELEVATION", 12000),
        ("SLOPE", 91),
        ("STDEV_ELEV", -1),
        ("SKY_VIEW_FACTOR", np.inf),
        ("ELEVATION", -3000),
        ("SLOPE", 255),
        ("ASPECT", -999),
        ("STDEV_ELEV", 32767),
        ("TERRAIN_CONFIG", 255),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, name, value):
    fields = topography()
    fields[name][1, 2] = value
    write_topo(tmp_path / "TOPO.nc", fields)
    with pytest.raises(
        InputError,
        match=rf"TOPO\.nc, {name}: 1 cells are out of range, worst {value} at lat.* 39\.98",
    ):
        topo(tmp_path).read(None, EVERYTHING)


def layers(n, layer=None, **attrs):
    """Soil whose layer k holds 2 k + 10 (sand), and a missing cell."""
    column = (2 * np.arange(n) + 10).astype(np.float32)[:, None, None] * np.ones(
        GRID.shape, np.float32
    )
    column[:, 1, 1] = -9999
    axis = {} if layer is None else {"layer": (("layer",), np.array(layer), attrs)}
    shares = {"PCT_SAND": (1, "%"), "PCT_CLAY": (2, "%"), "ORGANIC": (4, "kg/m3")}
    return {
        **axes(GRID),
        **axis,
        **{
            name: (
                ("layer", "lat", "lon"),
                np.where(column < 0, column, column / share).astype(np.float32),
                {"_FillValue": np.float32(-9999), "units": units},
            )
            for name, (share, units) in shares.items()
        },
    }


def test_layers_become_depth_weighted_means(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(6))
    source = pickle.loads(pickle.dumps(soil(tmp_path)))
    got = source.read(None, EVERYTHING)
    assert [v.name for v in source.variables][:2] == ["sand_0_30cm", "sand_30_100cm"]
    top, deep = (5 * 10 + 10 * 12 + 15 * 14) / 30, (30 * 16 + 40 * 18) / 70
    np.testing.assert_allclose(
        got[:, 0, 0], [top, deep, top / 2, deep / 2, top / 4, deep / 4], rtol=1e-6
    )
    assert np.isnan(got[:, 1, 1]).all()
    assert (
        source.rules[0]
        == "6 layers (depths of SoilGrids) reduced to depth-weighted 0-30 cm and 30-100 cm"
    )


def test_nodes_of_elm_give_its_layers(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(10, ELM, units="m"))
    declared = soil(tmp_path)
    write_nc(tmp_path / "SOIL.nc", layers(10))
    counted = soil(tmp_path)
    assert "10 layers (depths from the file)" in declared.rules[0]
    assert "10 layers (depths of ELM)" in counted.rules[0]
    np.testing.assert_allclose(declared.edges_cm, counted.edges_cm, atol=0.05)
    np.testing.assert_allclose(
        declared.read(None, EVERYTHING), counted.read(None, EVERYTHING), rtol=1e-3
    )


def test_depths_from_the_run_file_win(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(3))
    with pytest.raises(
        InputError, match=r"PCT_SAND has 3 layers, known lower edges \[\] cm; .* set `layer_"
    ):
        soil(tmp_path)
    with pytest.raises(InputError, match="expected one a layer, downwards"):
        soil(tmp_path, layer_bottoms_cm=[10, 100])
    with pytest.raises(InputError, match="expected one a layer, downwards"):
        soil(tmp_path, layer_bottoms_cm=[10, 100, 30])
    source = soil(tmp_path, layer_bottoms_cm=[30, 60, 100])
    np.testing.assert_allclose(
        source.read(None, EVERYTHING)[:2, 0, 0], [10, (12 * 30 + 14 * 40) / 70]
    )
    write_nc(
        tmp_path / "SOIL.nc",
        layers(3, [20, 50, 120], units="cm", long_name="depth of the layer's bottom"),
    )
    assert soil(tmp_path).edges_cm == (0, 20, 50, 120)


def test_soil_out_of_range_is_refused(tmp_path):
    fields = layers(6)
    fields["PCT_CLAY"][1][4, 0, 3] = 120
    write_nc(tmp_path / "SOIL.nc", fields)
    with pytest.raises(
        InputError, match=r"PCT_CLAY: 1 cells are out of range, worst 120 .* expected 0 to 100 %"
    ):
        soil(tmp_path).read(None, EVERYTHING)
    fields["ORGANIC"] = (("lat", "lon"), np.zeros(GRID.shape, np.float32), {})
    write_nc(tmp_path / "SOIL.nc", fields)
    with pytest.raises(
        InputError, match=r"ORGANIC has dimensions \('lat', 'lon'\), expected \(layer, lat, lon\)"
    ):
        soil(tmp_path)


@pytest.mark.parametrize("sentinel", [-9999, -99999, -32768, 32767, 65535, 1e20, -3.4e38])
def test_no_range_has_room_for_a_fill_value(sentinel):
    for parameter in (*TOPOGRAPHY.values(), *SOIL.values()):
        assert not parameter.low <= sentinel <= parameter.high


def converted(path, **units):
    """Soil and topography with other units, their values turned by hand."""
    fields = topography()
    turned = {"km": 1e-3, "feet": 1 / 0.3048, "%": 100, "arcmin": 60}
    for name, unit in units.items():
        known = fields[name] != -9999
        fields[name][known] *= turned[unit]
    return write_topo(path, fields, {**UNITS, **units})


def test_other_units_of_topography_are_converted(tmp_path):
    write_topo(tmp_path / "metres.nc", topography())
    converted(
        tmp_path / "mixed.nc",
        ELEVATION="km",
        STDEV_ELEV="feet",
        SLOPE="arcmin",
        SKY_VIEW_FACTOR="%",
    )
    plain, mixed = topo(tmp_path / "metres.nc"), topo(tmp_path / "mixed.nc")
    np.testing.assert_allclose(
        mixed.read(None, EVERYTHING), plain.read(None, EVERYTHING), rtol=1e-6
    )
    assert set(mixed.rules) - set(plain.rules) == {
        "ELEVATION: km turned into m: times 1000",
        "STDEV_ELEV: feet turned into m: times 0.3048",
        "SLOPE: arcmin turned into degrees: times 0.01666666667",
        "SKY_VIEW_FACTOR: % turned into 1: times 0.01",
    }


def in_units(fields, **units):
    """Soil fields with other units and a factor: PCT_SAND=("1", 0.01)."""
    for name, (unit, factor) in units.items():
        dims, values, attrs = fields[name]
        fields[name] = (
            dims,
            np.where(values < 0, values, values * factor).astype(np.float32),
            {**attrs, "units": unit},
        )
    return fields


def test_other_units_of_soil_are_converted(tmp_path):
    write_nc(tmp_path / "plain.nc", layers(10))
    write_nc(
        tmp_path / "turned.nc",
        in_units(
            layers(10), PCT_SAND=("1", 0.01), PCT_CLAY=("fraction", 0.01), ORGANIC=("g cm-3", 1e-3)
        ),
    )
    np.testing.assert_allclose(
        soil(tmp_path / "turned.nc").read(None, EVERYTHING),
        soil(tmp_path / "plain.nc").read(None, EVERYTHING),
        rtol=1e-5,
    )


@pytest.mark.parametrize("declared", ["%", "percent", ""])
@pytest.mark.parametrize("names", [("PCT_SAND", "PCT_CLAY"), ("PCT_CLAY",)])
def test_fractions_called_percent_are_refused(tmp_path, declared, names):
    write_nc(
        tmp_path / "SOIL.nc", in_units(layers(10), **{name: (declared, 0.01) for name in names})
    )
    with pytest.raises(
        InputError,
        match=rf"SOIL\.nc, {names[0]}: all 110 positive values are at most 0\.\d+ %, "
        r"which no soil is.*set the units attribute to 1",
    ):
        soil(tmp_path).read(None, EVERYTHING)


def test_percent_called_fractions_are_refused(tmp_path):
    write_nc(tmp_path / "SOIL.nc", in_units(layers(10), PCT_SAND=("1", 1)))
    with pytest.raises(
        InputError, match=r"PCT_SAND: 11 cells are out of range, worst 1000 .* expected 0 to 100 %"
    ):
        soil(tmp_path).read(None, EVERYTHING)


def test_ground_without_any_sand_or_clay_is_no_fraction(tmp_path):
    fields = layers(10)
    for name in ("PCT_SAND", "PCT_CLAY"):
        fields[name][1][:] = 0
    fields["PCT_SAND"][1][:, 0, 0] = 0.5
    write_nc(tmp_path / "SOIL.nc", fields)
    assert soil(tmp_path).read(None, Box(0, 1, 3, 3))[:4].max() == 0


ELM_BOTTOMS = np.array(LAYERINGS[10].bottoms_cm)
"""The published Readme's, in cm."""


def write_published(path, numbers=(10, 6)):
    """The published folder of soil: one variable a file, and every variable in each layering."""
    for n in numbers:
        fields = layers(n)
        for name in ("PCT_SAND", "PCT_CLAY", "ORGANIC"):
            held = {k: v for k, v in fields.items() if k in ("lat", "lon", name)}
            write_nc(path / f"{name}_{n}layer_1k_c230606.nc", held)
    write_nc(
        path / "PCT_LAKE_1k_c230606.nc",
        {**axes(GRID), "PCT_LAKE": (("lat", "lon"), np.zeros(GRID.shape), {})},
    )


def test_the_published_folder_needs_a_layering(tmp_path):
    write_published(tmp_path)
    with pytest.raises(
        InputError,
        match=r"PCT_SAND is in \S+PCT_SAND_10layer_1k_c230606\.nc \(10 layers\) and in "
        r"\S+PCT_SAND_6layer_1k_c230606\.nc \(6 layers\), expected one number of "
        r"layers; set `layers = 10` or `layers = 6` in this source",
    ):
        soil(tmp_path)
    for n in (10, 6):
        source = soil(tmp_path, layers=n)
        write_nc(tmp_path / f"alone/{n}.nc", layers(n))
        expected = soil(tmp_path / f"alone/{n}.nc").read(None, EVERYTHING)
        np.testing.assert_array_equal(source.read(None, EVERYTHING), expected)
        (tmp_path / f"alone/{n}.nc").unlink()
        assert all(f"_{n}layer_" in file for file in source.files)
        assert source.edges_cm == (0, *LAYERINGS[n].bottoms_cm)


def test_lower_edges_choose_the_layering(tmp_path):
    write_published(tmp_path)
    assert all(
        "_6layer_" in file
        for file in soil(tmp_path, layer_bottoms_cm=[5, 15, 30, 60, 100, 200]).files
    )
    with pytest.raises(
        InputError, match=r"PCT_SAND is in .*, expected 3 layers as the run file says"
    ):
        soil(tmp_path, layer_bottoms_cm=[30, 60, 100])
    with pytest.raises(ValueError, match=r"layers = 10 and 6 layer_bottoms_cm are given"):
        soil(tmp_path, layers=10, layer_bottoms_cm=[5, 15, 30, 60, 100, 200])


def test_a_lacking_or_doubled_layering_is_refused(tmp_path):
    write_published(tmp_path, numbers=(6,))
    with pytest.raises(InputError, match=r"PCT_SAND has 6 layers, expected layers = 10"):
        soil(tmp_path, layers=10)
    write_published(tmp_path / "again", numbers=(6,))
    with pytest.raises(
        InputError, match=r"PCT_SAND is in .* and in .*, expected one of them; set `path`"
    ):
        soil(tmp_path, layers=6)


@pytest.mark.parametrize(
    ("axis", "attrs"),
    [
        (ELM_BOTTOMS / 100, {"units": "m"}),
        (ELM_BOTTOMS, {"units": "cm"}),
        (ELM_BOTTOMS * 10, {"units": "mm"}),
        (ELM_BOTTOMS / 100, {}),
        (ELM_BOTTOMS, {}),
        (-ELM_BOTTOMS / 100, {"units": "m", "positive": "up"}),
        (np.append(ELM_BOTTOMS[:-1], 343.31), {"units": "cm"}),
        (np.array(ELM), {"units": "m"}),
        (np.array(ELM), {}),
        (np.array(ELM) * 100, {"units": "cm", "long_name": "node depth"}),
        (np.arange(1, 11), {}),
        (np.arange(10), {"units": "1"}),
        (np.arange(1.0, 11.0), {"units": "level"}),
        ((ELM_BOTTOMS / 100).astype(np.float32), {"units": "meters"}),
    ],
)
def test_forms_of_elms_layers_agree(tmp_path, axis, attrs):
    write_nc(tmp_path / "counted.nc", layers(10))
    write_nc(tmp_path / "axis.nc", layers(10, axis, **attrs))
    expected = soil(tmp_path / "counted.nc").read(None, EVERYTHING)
    np.testing.assert_allclose(
        soil(tmp_path / "axis.nc").read(None, EVERYTHING), expected, rtol=2e-3
    )


@pytest.mark.parametrize(
    ("axis", "attrs"),
    [
        ([5, 15, 30, 60, 100, 200], {"units": "cm"}),
        ([0.05, 0.15, 0.3, 0.6, 1, 2], {"units": "m"}),
        ([2.5, 10, 22.5, 45, 80, 150], {"units": "cm"}),
        ([0.025, 0.1, 0.225, 0.45, 0.8, 1.5], {}),
    ],
)
def test_forms_of_soilgrids_layers_agree(tmp_path, axis, attrs):
    write_nc(tmp_path / "SOIL.nc", layers(6, np.array(axis), **attrs))
    np.testing.assert_allclose(soil(tmp_path).edges_cm, (0, 5, 15, 30, 60, 100, 200))


@pytest.mark.parametrize(
    ("axis", "attrs"),
    [
        ([20, 50, 120], {"units": "cm"}),
        ([1, 2, 4, 8, 16, 32], {"units": "cm"}),
        ([1, 2, 3, 4, 5, 6], {"units": "m"}),
        ([100, 60, 30, 15, 5, 2], {"units": "cm"}),
        ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], {}),
        (ELM, {"units": "m", "long_name": "depth of the layer's bottom"}),
    ],
)
def test_an_ambiguous_axis_is_refused(tmp_path, axis, attrs):
    write_nc(tmp_path / "SOIL.nc", layers(len(axis), np.array(axis), **attrs))
    with pytest.raises(
        InputError,
        match=r"PCT_SAND: the layers lie at layer = \[.*which may be edges or nodes; "
        r"expected.*set `layer_bottoms_cm`",
    ):
        soil(tmp_path)
    bottoms = [10 * (i + 1) for i in range(len(axis))]
    assert soil(tmp_path, layer_bottoms_cm=bottoms).edges_cm == (0, *bottoms)


def test_depths_beside_an_index_are_read(tmp_path):
    depth = {"depth": (("layer",), np.array([10.0, 20, 30, 60, 100, 200]), {"units": "cm"})}
    write_nc(tmp_path / "SOIL.nc", {**layers(6, np.arange(1, 7)), **depth})
    with pytest.raises(InputError, match=r"the layers lie at depth = \[10\.0, 20\.0"):
        soil(tmp_path)
    depth["depth"][2]["long_name"] = "lower edge of the layer"
    write_nc(tmp_path / "SOIL.nc", {**layers(6, np.arange(1, 7)), **depth})
    assert soil(tmp_path).edges_cm == (0, 10, 20, 30, 60, 100, 200)


def test_bounds_of_the_axis_give_its_edges(tmp_path):
    edges = np.array([0, 0.2, 0.5, 1.2])
    bounds = {"layer_bnds": (("layer", "n2"), np.stack([edges[:-1], edges[1:]], axis=1), {})}
    write_nc(
        tmp_path / "SOIL.nc",
        {**layers(3, edges[1:] - 0.1, units="m", bounds="layer_bnds"), **bounds},
    )
    np.testing.assert_allclose(soil(tmp_path).edges_cm, (0, 20, 50, 120))


def test_files_whose_layers_differ_are_refused(tmp_path):
    shallow = layers(6, np.array([5, 15, 30, 60, 100, 200]), units="cm")
    deep = layers(6, np.array([10, 20, 40, 80, 100, 200]), units="cm", long_name="bottom")
    write_nc(tmp_path / "a.nc", {k: v for k, v in shallow.items() if k != "ORGANIC"})
    write_nc(tmp_path / "b.nc", {k: v for k, v in deep.items() if not k.startswith("PCT")})
    with pytest.raises(InputError, match="have different layers, expected the same for all"):
        soil(tmp_path)
    write_nc(tmp_path / "b.nc", {k: v for k, v in layers(10).items() if not k.startswith("PCT")})
    with pytest.raises(InputError, match="have different layers, expected the same for all"):
        soil(tmp_path)


def test_rounding_is_no_other_layering(tmp_path):
    fields = layers(6)
    axis = {
        "layer": (("layer",), np.array([0.05, 0.15, 0.3, 0.6, 1, 2], np.float32), {"units": "m"})
    }
    write_nc(tmp_path / "a.nc", {**axis, **{k: v for k, v in fields.items() if k != "ORGANIC"}})
    write_nc(tmp_path / "b.nc", {k: v for k, v in fields.items() if not k.startswith("PCT")})
    np.testing.assert_allclose(soil(tmp_path).edges_cm, (0, 5, 15, 30, 60, 100, 200))


def test_one_layer_needs_depths_in_the_run_file(tmp_path):
    write_nc(tmp_path / "SOIL.nc", layers(1, np.array([1.0]), units="m"))
    with pytest.raises(InputError, match="set `layer_bottoms_cm`"):
        soil(tmp_path)
    assert soil(tmp_path, layer_bottoms_cm=[100]).edges_cm == (0, 100)
    write_nc(
        tmp_path / "SOIL.nc",
        layers(6, np.array([b"0-5", b"5-15", b"15-30", b"30-60", b"60-100", b"100-200"])),
    )
    with pytest.raises(
        InputError, match=r"layers lie at layer = \[b'0-5', .*set `layer_bottoms_cm`"
    ):
        soil(tmp_path)
