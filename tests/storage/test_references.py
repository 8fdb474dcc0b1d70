"""Zarr stores and kerchunk references: read as the NetCDF file they stand for, by the chunk;
poisoned ones refused.
"""

import base64
import io
import json
import pickle
import shutil

import h5netcdf
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import xarray as xr
import zarr
from zarr.errors import ZarrUserWarning

from luray.catalog.reference_writer import virtual_references, write_references
from luray.core.grid import Grid
from luray.core.tiling import Box
from luray.sources.netcdf import inspect_netcdf
from luray.sources.netcdf_reader import open_netcdf
from luray.storage.errors import InputError
from luray.storage.references import load_references, targets
from luray.storage.trust import RefusedError
from tests.sources.writers import axes, write_nc

GRID = Grid(50, 10, 1, 4, 6)
DIMS = ("time", "lat", "lon")
SERIES = np.arange(30 * 24, dtype=np.float32).reshape(30, 4, 6) / 1000
BOX = Box(1, 2, 2, 3)
ATTRS = {"units": "1", "missing_value": np.float32(1e20), "_fillvalue": np.float32(1e20)}


@pytest.fixture
def source(tmp_path):
    """A NetCDF file of thirty years, a chunk a year, that has zeros, a misspelt fill value and a
    declared one.
    """
    path = tmp_path / "states.nc"
    write_nc(
        path,
        {**axes(GRID), "time": (("time",), np.arange(30.0), {"units": "years since 850-01-01"})},
    )
    with h5netcdf.File(path, "a") as out:
        packing = {"chunks": (1, 4, 6), "compression": "gzip", "shuffle": True}
        out.create_variable("v", DIMS, data=SERIES, **packing).attrs.update(ATTRS)
        counts = np.where(SERIES > 0.5, SERIES, np.float32(-9))
        out.create_variable("n", DIMS, data=counts, fillvalue=np.float32(-9), **packing)
    return str(path)


def referenced(source, place, *, change=None):
    refs = virtual_references(source)
    if change:
        change(refs)
    write_references(refs, str(place))
    return str(place)


@pytest.mark.parametrize("name", ["r.json", "r.parquet"])
def test_references_are_read_as_their_file(tmp_path, source, name):
    url = referenced(source, tmp_path / name)
    file, original = inspect_netcdf(url), inspect_netcdf(source)
    assert (file.layout, file.axes, file.years) == (original.layout, original.axes, original.years)
    for variable, field in original.variables.items():
        copy = file.variables[variable]
        assert (copy.dims, copy.dtype, copy.fills, copy.packing, copy.units) == (
            field.dims,
            field.dtype,
            field.fills,
            field.packing,
            field.units,
        ), variable
    for year in (0, 29):
        for got, expected in zip(
            file.read(("v", "n"), BOX, time=year),
            original.read(("v", "n"), BOX, time=year),
            strict=True,
        ):
            np.testing.assert_array_equal(got, expected, strict=True)
    assert targets(url) == (source,)
    assert targets(source) == ()


def test_xarray_reads_the_same_from_what_is_written(tmp_path, source):
    with xr.open_dataset(source, decode_times=False) as expected:
        for name in ("r.json", "r.parquet"):
            url = referenced(source, tmp_path / name)
            with (
                pytest.MonkeyPatch.context() as patch
            ):  # fsspec reads Parquet with an engine that pandas is dropping
                patch.setattr("warnings.warn", lambda *_, **__: None)
                with xr.open_dataset(url, engine="kerchunk", decode_times=False) as got:
                    assert int(got.v.isnull().sum()) == 0
                    xr.testing.assert_equal(got.load(), expected.load())


def test_only_the_chunks_of_the_year_are_read(tmp_path, source, site, allow):
    site.put("states.nc", b"")
    shutil.copy(source, site.folder / "states.nc")
    refs = virtual_references(source)
    for key, part in refs.items():
        if isinstance(part, list):
            refs[key] = [f"{site.url}/states.nc", *part[1:]]
    write_references(refs, str(tmp_path / "r.parquet"))
    allow(f"{site.url}/")
    file = inspect_netcdf(str(tmp_path / "r.parquet"))
    data = bytearray((site.folder / "states.nc").read_bytes())
    for key, part in refs.items():
        if isinstance(part, list) and key.startswith(("v/", "n/")) and key != "v/7.0.0":
            data[part[1] : part[1] + part[2]] = b"\xff" * part[2]
    (site.folder / "states.nc").write_bytes(data)
    site.asked.clear()
    [values] = file.read(("v",), BOX, time=7)
    np.testing.assert_array_equal(values, SERIES[7, 1:3, 2:5])
    assert site.asked == ["/states.nc"]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("name", ["states.nc.zarr", "states"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_a_zarr_store_is_read_as_the_file_it_was_made_of(
    tmp_path, source, version, consolidated, name
):
    with xr.open_dataset(source, decode_cf=False) as data:
        for (
            variable
        ) in data.variables.values():  # xarray otherwise declares NaN missing in every float
            variable.encoding = {"_FillValue": variable.attrs.pop("_FillValue", None)}
        data.to_zarr(tmp_path / name, zarr_format=version, consolidated=consolidated)
    file, original = inspect_netcdf(str(tmp_path / name)), inspect_netcdf(source)
    assert (file.layout, file.years) == (original.layout, original.years)
    assert {n: f.fills for n, f in file.variables.items()} == {
        n: f.fills for n, f in original.variables.items()
    }
    np.testing.assert_array_equal(
        file.read(("v",), BOX, time=3)[0], SERIES[3, 1:3, 2:5], strict=True
    )


def test_stores_and_references_on_object_stores_and_the_web(tmp_path, source, s3, gcs, site, allow):
    data = (tmp_path / "states.nc").read_bytes()
    for place in (s3, gcs, site):
        place.put("in/states.nc", data)
        allow(f"{place.url}/in/")
        refs = virtual_references(f"{place.url}/in/states.nc")
        place.put("stac/r.json", json.dumps({"version": 1, "refs": refs}).encode())
        assert targets(f"{place.url}/stac/r.json") == (f"{place.url}/in/states.nc",)
        [values] = inspect_netcdf(f"{place.url}/stac/r.json").read(("v",), BOX, time=29)
        np.testing.assert_array_equal(values, SERIES[29, 1:3, 2:5])
    with xr.open_dataset(source, decode_cf=False) as original:
        original.drop_encoding().to_zarr(tmp_path / "z.zarr", zarr_format=2, consolidated=True)
    for path in (tmp_path / "z.zarr").rglob("*"):
        if path.is_file():
            for place in (s3, gcs, site):
                place.put(str(path.relative_to(tmp_path)), path.read_bytes())
    for place in (s3, gcs, site):
        [values] = inspect_netcdf(f"{place.url}/z.zarr").read(("v",), BOX, time=29)
        np.testing.assert_array_equal(values, SERIES[29, 1:3, 2:5])


def test_references_are_read_again_when_they_change(tmp_path, source):
    url = referenced(source, tmp_path / "r.json")
    assert targets(url) == (source,)
    (tmp_path / "other.nc").write_bytes((tmp_path / "states.nc").read_bytes())
    referenced(str(tmp_path / "other.nc"), url)
    assert targets(url) == (str(tmp_path / "other.nc"),)


@pytest.mark.parametrize("name", ["r.json", "r.parquet"])
@pytest.mark.parametrize(
    "target",
    [
        "/etc/hostname",
        "file:///etc/hostname",
        "../../etc/hostname",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/x",
        "s3://elsewhere/x",
        "simplecache::/etc/hostname",
    ],
)
def test_references_that_lead_outside_are_refused_before_anything_is_opened(
    tmp_path, source, name, target
):
    folder = tmp_path / "stac"
    folder.mkdir()
    (folder / "states.nc").write_bytes((tmp_path / "states.nc").read_bytes())

    def point_outside(refs):
        refs["v/3.0.0"] = [target, 0, 10]

    url = referenced(str(folder / "states.nc"), folder / name, change=point_outside)
    for read in (targets, inspect_netcdf):
        with pytest.raises(
            RefusedError, match=r"kerchunk references, leads to .*(storage\.allow|different places)"
        ):
            read(url)


def test_a_root_that_the_run_allows_is_read(tmp_path, source, allow):
    (tmp_path / "stac").mkdir()
    url = referenced(source, tmp_path / "stac/r.json")
    with pytest.raises(RefusedError):
        inspect_netcdf(url)
    allow(str(tmp_path))
    assert inspect_netcdf(url).years[0] == 850


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def small(**arrays):
    """References of a group whose axes are there and whose arrays have the given metadata and
    chunk.
    """
    refs = {".zgroup": '{"zarr_format":2}'}
    for name, (chunk, changes) in {
        "lat": (np.array([2.5, 1.5]).tobytes(), {}),
        "lon": (np.array([0.5, 1.5]).tobytes(), {}),
        **arrays,
    }.items():
        plain = {
            "zarr_format": 2,
            "shape": [2],
            "chunks": [2],
            "dtype": "<f8",
            "order": "C",
            "fill_value": None,
            "filters": None,
            "compressor": None,
        }
        refs[f"{name}/.zarray"] = json.dumps({**plain, **changes})
        refs[f"{name}/.zattrs"] = json.dumps(
            {"_ARRAY_DIMENSIONS": [name if name in ("lat", "lon") else "lat"]}
        )
        refs[f"{name}/0"] = "base64:" + base64.b64encode(chunk).decode()
    return refs


SMUGGLED = {"filters": [{"id": "shuffle", "elementsize": 1}, {"id": "pickle"}]}
"""Behind another filter."""


def test_a_pickle_in_a_chunk_is_not_run(tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    for i, changes in enumerate(
        (
            SMUGGLED,
            {"filters": [{"id": "pickle"}]},
            {"compressor": {"id": "pickle"}},
            {"dtype": "|O", "filters": [{"id": "pickle"}]},
        )
    ):
        for name in ("v", "lat"):
            path = tmp_path / f"{name}{i}.json"
            path.write_text(json.dumps(small(**{name: (bomb, changes)})))
            with pytest.raises(
                InputError,
                match=r"is packed with pickle, which luray does not run|No Zarr data type",
            ):
                inspect_netcdf(str(path))
    zarr.create_group(tmp_path / "s.zarr", zarr_format=2)
    (tmp_path / "s.zarr/v").mkdir()
    (tmp_path / "s.zarr/v/.zarray").write_text(small(v=(b"", SMUGGLED))["v/.zarray"])
    (tmp_path / "s.zarr/v/0").write_bytes(bomb)
    with (
        pytest.raises(InputError, match="No Zarr data type"),
        open_netcdf(str(tmp_path / "s.zarr")),
    ):
        pass
    assert not (tmp_path / "ran").exists()


def test_a_codec_that_is_not_known_to_only_move_bytes_is_refused(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(small(v=(b"", {"filters": [{"id": "base64"}]}))))
    with pytest.raises(
        InputError,
        match="v is packed with base64, which luray does not run; expected one of adler32",
    ):
        inspect_netcdf(str(tmp_path / "r.json"))


def test_pickled_columns_and_metadata_of_parquet_are_not_run(tmp_path, source):
    url = referenced(source, tmp_path / "r.parquet")
    part = tmp_path / "r.parquet/v/refs.0.parq"
    bombs = [pickle.dumps(Bomb(tmp_path / "ran"))] * 30
    table = pyarrow.table({"path": pyarrow.array(bombs), "offset": [0] * 30, "size": [1] * 30})
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"pandas": bombs[0]}), part)
    with pytest.raises((InputError, RefusedError)):
        inspect_netcdf(url)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04", "cannot be read as kerchunk references"),
        (b"[1, 2]", "a JSON list, expected an object"),
        (b'{"type": "Collection", "id": "luh2"}', "no .zgroup among its keys"),
        (
            b'{"version": 1, "templates": {"u": "{{ cycler.__init__ }}"}, "refs": {".zgroup": "{}"}}',
            "'templates' of references is code",
        ),
        (
            b'{"version": 1, "gen": [{"key": "{{i}}", "url": "x", "dimensions": {"i": {"stop": 9}}}], "refs": {}}',
            "'gen' of references is code",
        ),
        (b'{".zgroup": "{}", "v/0": ["x", -1, 5]}', r"v/0 is \['x', -1, 5\], expected data or"),
        (b'{".zgroup": "{}", "v/0": ["x", "0", 5]}', "v/0 is .*, expected data or"),
        (b'{".zgroup": "{}", "v/0": [["x"], 0, 5]}', "v/0 is .*, expected data or"),
        (b'{".zgroup": "{}", "v/0": 7}', "v/0 is 7, expected data or"),
        (b'{".zgroup": "{}", "v/0": "base64:???"}', "v/0 is not base64"),
        (b"[" * 200_000, "cannot be read as kerchunk references"),
    ],
)
def test_json_that_holds_no_plain_references_is_refused(tmp_path, content, message):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"r\.json: .*{message}"):
        inspect_netcdf(str(tmp_path / "r.json"))


def damage_index(**changes):
    def damage(folder):
        index = json.loads((folder / ".zmetadata").read_text())
        (folder / ".zmetadata").write_text(json.dumps({**index, **changes}))

    return damage


def claim_chunks(folder):
    index = json.loads((folder / ".zmetadata").read_text())
    index["metadata"]["v/.zarray"]["shape"] = [10**15, 4, 6]
    (folder / ".zmetadata").write_text(json.dumps(index))


def damage_array(**changes):
    def damage(folder):
        index = json.loads((folder / ".zmetadata").read_text())
        index["metadata"]["v/.zarray"].update(changes)
        (folder / ".zmetadata").write_text(json.dumps(index))

    return damage


def climb(folder):
    index = json.loads((folder / ".zmetadata").read_text())
    index["metadata"]["../../v/.zarray"] = index["metadata"]["v/.zarray"]
    (folder / ".zmetadata").write_text(json.dumps(index))


def lose_part(folder):
    (folder / "v/refs.0.parq").unlink()


def many_rows(folder):
    file = io.BytesIO()
    rows = 200_000
    pyarrow.parquet.write_table(
        pyarrow.table({"path": ["x"] * rows, "offset": [0] * rows, "size": [1] * rows}), file
    )
    (folder / "v/refs.0.parq").write_bytes(file.getvalue())


@pytest.mark.parametrize(
    "damage",
    [
        damage_index(record_size=0),
        damage_index(record_size="9"),
        damage_index(metadata={}),
        damage_index(metadata=[]),
        damage_array(chunks=[0, 4, 6]),
        damage_array(chunks=[False, 4, 6]),
        damage_array(shape=[-30, 4, 6]),
        claim_chunks,
        climb,
        lose_part,
        many_rows,
    ],
)
def test_damaged_parquet_is_refused(tmp_path, source, damage):
    url = referenced(source, tmp_path / "r.parquet")
    damage(tmp_path / "r.parquet")
    with pytest.raises(InputError, match=r"r\.parquet: cannot be read as kerchunk references"):
        load_references(url)


def test_chunks_that_fill_the_memory_are_refused(tmp_path):
    huge = small(v=(b"", {"shape": [10**12], "chunks": [10**12]}))
    (tmp_path / "r.json").write_text(json.dumps(huge))
    with pytest.raises(InputError, match=r"v has chunks of .* expected at most"):
        inspect_netcdf(str(tmp_path / "r.json"))
    (tmp_path / "a.json").write_text(json.dumps(small(lat=(b"", {"shape": [10**12]}))))
    with pytest.raises(InputError, match=r"lat has 1000000000000 values on one axis"):
        inspect_netcdf(str(tmp_path / "a.json"))


@pytest.mark.parametrize("change", ["cut", "gone"])
def test_a_target_that_was_cut_or_is_gone_is_no_missing_value(tmp_path, source, change):
    file = inspect_netcdf(referenced(source, tmp_path / "r.json"))
    [values] = file.read(("v",), BOX, time=29)
    np.testing.assert_array_equal(values, SERIES[29, 1:3, 2:5])
    path = tmp_path / "states.nc"
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"v/29\.0\.0 is in .*states\.nc, which"):
        file.read(("v",), BOX, time=29)


def test_codecs_that_only_move_bytes_are_known(tmp_path):
    group = zarr.create_group(tmp_path / "s.zarr", zarr_format=3)
    group.create_array(
        "v", shape=(8, 8), shards=(8, 8), chunks=(4, 4), dtype="f4", dimension_names=("x", "y")
    )
    with pytest.warns(ZarrUserWarning):
        group.create_array(
            "w",
            shape=(8,),
            dtype="f4",
            compressors=zarr.codecs.numcodecs.LZ4(),
            dimension_names=("x",),
        )
    with open_netcdf(str(tmp_path / "s.zarr")) as data:
        assert set(data.variables) == {"v", "w"}
