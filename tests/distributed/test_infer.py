"""The engine against the serial rollout, to the bit, however it ran."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import zarr

from luray.core.legend import OUTSIDE
from luray.cube.cube import Cube
from luray.cube.region import Region
from luray.emulator import LandSurface
from luray.engine.blending import window_weights
from luray.engine.decision import decide_classes
from luray.engine.predictor import Predictor
from luray.engine.serial import most_probable, serial_rollout
from luray.model.checkpoint import load_model
from luray.model.unet import frozen
from luray.product.overviews import halve
from luray.product.status import status_of
from luray.product.trajectories import OverviewYear, TileYear
from luray.stages.emulator import emulator_config
from luray.stages.infer import create_empty_product, inference_of
from luray.stages.infer import infer as run_infer
from luray.stages.verify import damaged, withdraw
from luray.storage import lease
from luray.storage.receipts import key_of
from tests.distributed.conftest import give_models
from tests.distributed.processes import named
from tests.engine.test_precision import needs_bfloat16
from tests.machine import patience
from tests.worlds import SlowWindowInputs


def serial(run):
    """Codes and confidence of every year by `serial.serial_rollout`, {year: (lat, lon) pair}."""
    cube = Cube.open(run.cube)
    tiling = run.inference_tiles
    everything = tiling.everything
    region = Region(cube, tiling.padded(everything))
    maps = {}
    for year in run.inference.span.copied:
        classes = cube.state(year, everything)
        maps[year] = cube.legend.decode(classes), np.where(classes == OUTSIDE, 0, 100)
    for direction, years in run.inference.span.chains.items():
        model, card = load_model(run.model_folder(direction))
        predictor = Predictor(
            frozen(model),
            cube.features.remembering(run.model.history),
            tiling,
            window_weights(tiling, taper=run.blending.taper),
            5,
            card.points[run.inference.operating_point],
            run.inference.precision,
        )
        start = cube.state(years[0], everything)
        for year, classes, confidence in serial_rollout(
            start,
            cube.land(everything),
            years,
            SlowWindowInputs.of(region, predictor.stem),
            predictor,
            older=older_maps(run, cube, years[0], direction),
            decide_classes=classes_decider(run),
        ):
            maps[year] = cube.legend.decode(classes), confidence
    return maps


def older_maps(run, cube, year, direction):
    """The observed maps that a chain which starts from a year remembers, newest first."""
    step = -1 if direction == "forward" else 1
    years = [year + step * (n + 1) for n in range(run.model.history - 1)]
    return [cube.state(y, run.tiles.everything) for y in years if y in cube.years]


def classes_decider(run):
    """How the maps of the whole grid are decided at once, with the demand of the run."""
    if not run.demand.strength:
        return most_probable
    spec = inference_of(run, run.inference.span, run.product)

    def decide_everything(sums, prior, land, *, year, prior_year):
        return decide_classes(
            sums,
            prior,
            land,
            year=year,
            prior_year=prior_year,
            box=run.tiles.everything,
            demand=spec.demand,
            strength=spec.demand_strength,
        )[:2]

    return decide_everything


def in_memory(run, **options):
    """The product, or one of its groups, read once: all that follows looks at every year."""
    return xr.open_zarr(run.product, chunks=None, **options).load()


def assert_equals_serial(run, expected):
    product = in_memory(run)
    assert product.year.values.tolist() == sorted(expected)
    for year, (codes, confidence) in expected.items():
        assert np.array_equal(product.land_use.sel(year=year).values, codes), year
        assert np.array_equal(product.confidence.sel(year=year).values, confidence), year
    assert_follows_from_its_maps(product, run)


def assert_follows_from_its_maps(product, run):
    """Fractions, transitions and overviews are those of the maps of a product of one sequence."""
    legend = Cube.open(run.cube).legend
    classes = legend.encode(product.land_use.values)
    shares = np.stack([fractions_of(classes == k, run) for k in range(len(legend))], axis=1)
    np.testing.assert_allclose(product.fraction.values, shares, atol=1e-6)

    transition = product.transition.values
    assert np.isnan(transition[0]).all()
    for i, j in np.ndindex(len(legend), len(legend)):
        moved = (classes[:-1] == i) & (classes[1:] == j) & (i != j)
        np.testing.assert_allclose(transition[1:, i, j], fractions_of(moved, run), atol=1e-6)
    gain = transition[1:].sum(axis=1) - transition[1:].sum(axis=2)
    np.testing.assert_allclose(np.diff(product.fraction.values, axis=0), gain, atol=1e-6)
    assert (gain != 0).any()

    confidence = product.confidence.values
    for level in (1, 2):
        overview = in_memory(run, group=str(level))
        halves = [halve(*pair, len(legend)) for pair in zip(classes, confidence, strict=True)]
        classes, confidence = (np.stack(arrays) for arrays in zip(*halves, strict=True))
        assert np.array_equal(overview.land_use.values, legend.decode(classes)), level
        assert np.array_equal(overview.confidence.values, confidence), level


def fractions_of(cells, run):
    """Share of each 25 x 25 cells that is true, by area."""
    area = cells * run.grid.grid.cell_area[:, None]
    blocks = area.reshape(len(cells), 4, 25, 6, 25).sum(axis=(2, 4))
    of_block = run.grid.grid.cell_area.reshape(4, 25).sum(axis=1) * 25
    return blocks / of_block[:, None]


@pytest.fixture(scope="module")
def expected(place, tmp_path_factory):
    run = place.run(tmp_path_factory.mktemp("serial"))
    give_models(run)
    maps = serial(run)
    land = maps[2004][0] > 0
    assert (maps[2005][0] != maps[2004][0])[land].mean() > 0.02, (
        "a rollout that changes nothing proves nothing"
    )
    assert (maps[2008][0] != maps[2005][0])[land].any()
    return maps


DEMANDED = "demand.strength=1.0", "inference.operating_point=unbiased"


@pytest.fixture(scope="module")
def demanded(place, tmp_path_factory, expected):
    run = place.run(tmp_path_factory.mktemp("demanded"), *DEMANDED)
    give_models(run)
    maps = serial(run)
    assert (maps[2006][0] != expected[2006][0]).mean() > 0.01, (
        "a demand that changes nothing proves nothing"
    )
    return maps


@pytest.mark.parametrize(
    "settings", [("inference.workers=2",), ("inference.workers=1", "tiling.tile=100")]
)
def test_the_engine_meets_a_demand_as_serially(place, tmp_path, demanded, settings):
    run = place.run(tmp_path / "out", *DEMANDED, *settings)
    give_models(run)
    run_infer(run)
    assert_equals_serial(run, demanded)


@pytest.mark.parametrize(("year", "prior_year"), [(2005, 2004), (1999, 2000)])
def test_a_map_changes_as_demanded(place, tmp_path, year, prior_year):
    """Group by group in every coarse cell, within a cell, from probabilities that know nothing of
    the demand.
    """
    run = place.run(tmp_path / "out", *DEMANDED)
    give_models(run)
    spec, box = inference_of(run, run.inference.span, run.product), run.tiles.everything
    cube, random = spec.cube, np.random.default_rng(year)
    prior, land = cube.state(prior_year, box), cube.land(box)
    sums = random.integers(1, 60_000, (len(cube.legend), *box.shape), dtype=np.int32)
    water = cube.legend.index(77)
    sums[water] = np.where(prior == water, 10**7, 0)  # stays, and no other cell becomes water
    classes, _, shortfall = decide_classes(
        sums,
        prior,
        land,
        year=year,
        prior_year=prior_year,
        box=box,
        demand=spec.demand,
        strength=spec.demand_strength,
    )
    change, blocks = spec.demand.change(year, prior_year, box, land), 0
    for row, col in np.ndindex(4, 6):
        at = slice(row * 25, row * 25 + 25), slice(col * 25, col * 25 + 25)
        before, after = (
            [np.isin(codes[at], group).sum() for group in spec.demand.groups]
            for codes in (prior, classes)
        )
        wanted = np.array(before) + change[:, row, col] * land[at].sum()
        if land[at].any() and (wanted >= 0).all():
            blocks += 1
            np.testing.assert_allclose(after, wanted, atol=1)
    assert blocks > 15
    assert (classes == prior)[prior == water].all()
    assert shortfall.missed == 0


@pytest.mark.parametrize(
    "settings",
    [
        ("inference.workers=1",),
        ("inference.workers=2",),
        (
            "inference.workers=2",
            "tiling.tile=100",
            "inference.batch=3",
            "inference.years_in_flight=1",
        ),
        ("inference.workers=1", "tiling.tile=150"),
    ],
)
def test_the_engine_equals_the_serial_rollout(place, tmp_path, expected, settings):
    run = place.run(tmp_path / "out", *settings)
    give_models(run)
    run_infer(run)
    assert_equals_serial(run, expected)


def test_the_product_is_what_readers_expect(finished, tmp_path):
    run = finished(tmp_path / "out")
    product = xr.open_zarr(run.product)
    assert product.land_use.dtype == np.uint8
    assert product.land_use.dims == ("year", "lat", "lon")
    assert product.origin.values.tolist() == [1] * 4 + [0] * 5 + [2] * 4
    assert product.land_use.attrs["flag_meanings"].split()[:2] == ["ocean", "urban"]
    assert zarr.open_array(f"{run.product}/land_use").shards == (1, 50, 50)
    assert "consolidated_metadata" in (tmp_path / "out/product.zarr/zarr.json").read_text()


def test_the_emulator_of_a_tile_equals_the_product(finished, tmp_path):
    run = finished(tmp_path / "out")
    product = xr.open_zarr(run.product)
    emulator = LandSurface()
    emulator.initialize(emulator_config(run, tile=(0, 1), edge="product"))
    assert emulator.year == 2004
    changed = 0
    while emulator.get_current_time() < emulator.get_end_time():
        emulator.update()
        expected = product.sel(year=emulator.year).isel(lat=slice(0, 50), lon=slice(50, 100))
        for name in emulator.get_output_var_names():
            assert np.array_equal(emulator.get_value_ptr(name), expected[name].values.ravel())
        changed += int((expected.land_use != product.land_use.sel(year=2004)).sum())
    assert emulator.year == 2008
    assert changed


def test_a_second_inference_computes_nothing(finished, tmp_path):
    run = finished(tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/product.zarr").rglob("c/*/*/*")}
    reports = []
    run_infer(run, progress=lambda done, total: reports.append((done, total)))
    assert reports[0][0] == reports[0][1]
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_start_with_few_maps_works_and_says_so(place, tmp_path):
    run = place.run(
        tmp_path / "out", "inference.years=[1996, 1999]", "inference.observed=[1996, 1996]"
    )
    give_models(run)
    run_infer(run)
    assert_equals_serial(run, serial(run))
    caveats = zarr.open_group(run.product, mode="r").attrs["caveats"]
    assert (
        "memory: forward from 1996 begins with 1 of the 4 maps that the model remembers; no more "
        "are observed"
    ) in caveats


def test_a_model_of_another_history_is_refused(place, tmp_path):
    give_models(place.run(tmp_path / "out"))
    with pytest.raises(ValueError, match="was trained for history 4, the run needs 5; train"):
        run_infer(place.run(tmp_path / "out", "model.history=5"))


@needs_bfloat16
def test_bfloat16_is_the_serial_rollout_and_says_so(place, tmp_path):
    run = place.run(tmp_path / "out", "inference.precision=bfloat16")
    give_models(run)
    run_infer(run)
    assert_equals_serial(run, serial(run))

    attributes = zarr.open_group(run.product, mode="r").attrs
    assert attributes["luray"]["precision"] == "bfloat16"
    assert any(
        caveat.startswith("precision: the models computed in bfloat16")
        for caveat in attributes["caveats"]
    )

    float32 = place.run(tmp_path / "out")
    with pytest.raises(ValueError, match=r"inference.precision 'bfloat16', this run has 'float32'"):
        run_infer(float32)


def test_a_float32_product_is_not_continued_in_bfloat16(place, finished, tmp_path):
    run = finished(tmp_path / "out")
    assert "precision" not in zarr.open_group(run.product, mode="r").attrs["luray"]

    other = place.run(tmp_path / "out", "inference.precision=bfloat16")
    spec = inference_of(other, other.inference.span, other.product)
    with pytest.raises(ValueError, match=r"inference.precision 'float32', this run has 'bfloat16'"):
        create_empty_product(spec, "title")


def test_a_product_of_another_model_is_refused(place, finished, tmp_path):
    finished(tmp_path / "out")
    other = place.run(tmp_path / "out", "blending.taper=uniform")
    with pytest.raises(ValueError, match=r"belongs to run \w{12}, this is run \w{12}.*--restart"):
        run_infer(other)
    run_infer(other, restart=True)


def test_a_killed_worker_changes_no_bit(place, tmp_path, expected):
    run = place.run(tmp_path / "out", "inference.workers=2")
    give_models(run)
    killed = []

    def report(done: int, total: int) -> None:
        if done > total // 3 and not killed:
            os.kill(named("ray::Worker")[0], signal.SIGKILL)
            killed.append(done)

    run_infer(run, progress=report)
    assert killed
    assert_equals_serial(run, expected)


def test_a_changing_cluster_changes_no_bit(place, tmp_path, expected):
    settings = "inference.workers={min=1, max=4}"
    run = place.run(tmp_path / "out", settings)
    give_models(run)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.distributed.three_nodes",
            str(place.world),
            str(tmp_path / "out"),
            settings,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout.splitlines()[-1])
    jobs = there.pop("jobs")
    assert there == {"first": 1, "grown": 3, "killed": 2, "joined": 3}
    assert len(jobs) >= 4, "every node that joined was used"
    assert_equals_serial(run, expected)


def test_an_interrupted_run_continues(place, tmp_path, expected):
    run = place.run(tmp_path / "out")
    give_models(run)

    class Stop(Exception):
        pass

    def report(done: int, total: int) -> None:
        if done > total // 2:
            raise Stop

    with pytest.raises(Stop):
        run_infer(run, progress=report)
    with pytest.raises((ValueError, KeyError, FileNotFoundError)):
        xr.open_zarr(run.product, consolidated=True)
    first = []
    run_infer(run, progress=lambda done, total: first.append(done))
    assert first[0] > 0
    assert_equals_serial(run, expected)


def test_maps_from_a_year_on_are_redone(finished, tmp_path, expected):
    run = finished(tmp_path / "out")
    assert status_of(run.product).finished
    tiles = len(inference_of(run, run.inference.span, run.product).geometry.tiles)
    for year, again in ((2007, 2), (1997, 2)):  # 2007 and 2008, and backward 1997 and 1996
        reports = []
        run_infer(
            run,
            from_year=year,
            progress=lambda done, total, reports=reports: reports.append((done, total)),
        )
        assert reports[0][1] - reports[0][0] == again * (tiles + 1), "and coarser overviews"
        assert_equals_serial(run, expected)
    with pytest.raises(
        ValueError, match="2002 is not predicted: the product has 1996-2008, of which 2000-2004"
    ):
        run_infer(run, from_year=2002)


def test_a_redone_product_is_unfinished_meanwhile(finished, tmp_path, expected):
    run = finished(tmp_path / "out")

    class Stop(Exception):
        pass

    seen = []

    def report(done: int, total: int) -> None:
        seen.append(status_of(run.product))
        if done > total - 3:
            raise Stop

    with pytest.raises(Stop):
        run_infer(run, from_year=2007, progress=report)
    assert seen[0].complete == list(range(1996, 2007))
    assert not seen[0].finished
    assert f"process {os.getpid()} on" in seen[0].holder
    assert seen[0].total == sum(seen[0].done.values()) + 2 * (seen[0].tiles + 1)
    with pytest.raises((ValueError, KeyError, FileNotFoundError)):
        xr.open_zarr(run.product, consolidated=True)
    assert status_of(run.product).holder == ""
    run_infer(run)
    assert_equals_serial(run, expected)


def test_a_second_job_on_a_product_is_refused(place, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_EVERY", 0.2)
    monkeypatch.setattr(lease, "PATIENCE", patience(20))
    run = place.run(tmp_path / "out")
    give_models(run)
    refused = []

    def report(done: int, total: int) -> None:
        if not refused:
            with pytest.raises(
                lease.HeldError, match=r"product\.zarr is being written by process .* since"
            ):
                run_infer(run)
            refused.append(done)

    run_infer(run, progress=report)
    assert refused
    assert_equals_serial(run, expected)


@pytest.mark.parametrize(
    ("harm", "array"),
    [("flip", "transition"), ("cut", "1/confidence"), ("delete", "land_use"), ("receipt", "")],
)
def test_only_damaged_tile_years_are_redone(finished, tmp_path, expected, harm, array):
    run = finished(tmp_path / "out")
    assert damaged(run) == []
    spec = inference_of(run, run.inference.span, run.product)
    year, tile = 2006, spec.geometry.tiles[0]
    unit = TileYear(year, tile)
    shard = tmp_path / "out/product.zarr" / spec.product.layout.shard(unit, array or "land_use")
    data = bytearray(shard.read_bytes())
    if harm == "flip":
        data[len(data) // 3] ^= 0xFF
        shard.write_bytes(data)
    elif harm == "cut":
        shard.write_bytes(data[: len(data) // 2])
    elif harm == "delete":
        shard.unlink()
    else:
        (
            next((tmp_path / "out").glob("product.zarr.ledger/*")) / f"{key_of(year, tile)}.json"
        ).write_text("{")
    assert damaged(run) == [unit]
    withdraw(run, [unit])
    reports = []
    run_infer(run, progress=lambda done, total: reports.append((done, total)))
    assert reports[0][1] - reports[0][0] == 2, "the tile-year, and coarser overviews of its year"
    assert damaged(run) == []
    assert_equals_serial(run, expected)


def test_a_damaged_coarse_overview_is_redone_alone(finished, tmp_path, expected):
    run = finished(tmp_path / "out")
    unit = OverviewYear(1999)
    shard = tmp_path / "out/product.zarr/2/land_use/c/3/0/0"
    shard.write_bytes(shard.read_bytes()[:-9])
    assert damaged(run) == [unit]
    withdraw(run, [unit])
    reports = []
    run_infer(run, progress=lambda done, total: reports.append((done, total)))
    assert reports[0][1] - reports[0][0] == 1
    assert damaged(run) == []
    assert_equals_serial(run, expected)


def test_a_product_of_an_earlier_layout_is_refused(finished, tmp_path):
    """It has another fingerprint, as its layout is part of it, and says no layout."""
    run = finished(tmp_path / "out")
    root = zarr.open_group(run.product, mode="r+", use_consolidated=False)
    about = {key: value for key, value in root.attrs["luray"].items() if key != "layout"}
    root.attrs["luray"] = {**about, "fingerprint": "e" * 64}
    for command in (run_infer, damaged):
        with pytest.raises(ValueError, match=r"layout 1, written by another version .* --restart"):
            command(run)


def test_a_damaged_model_is_named(place, tmp_path, expected):
    run = place.run(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="luray train"):
        run_infer(run)
    give_models(run)
    weights = tmp_path / "out/model/forward/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"weights.safetensors: sha256"):
        run_infer(run)
