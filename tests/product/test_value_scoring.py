"""Scores of a rollout of values: those of the slow twin, whatever the tiles; gaps carry no weight."""

import math
from dataclasses import replace

import numpy as np
import pytest

from luray.core.legend import OUTSIDE
from luray.core.time_steps import TimeSteps
from luray.evaluation.climatology import ClassClimatology
from luray.evaluation.null_models import null_maps
from luray.evaluation.value_skill import ValueOutcome, skill_of_values
from luray.evaluation.value_sums import area_units, merge_values
from luray.product.value_scoring import (
    ValueMaps,
    class_climatology,
    class_sums_of_tile,
    tally_values_of_tile,
)
from tests import reference
from tests.product.value_worlds import GRID, LAI, MONTHS, value_cube, value_product

STEP = LAI.scale.step
TRAINING = (2001, 2003)
FORWARD = (MONTHS.step(2003, 11), MONTHS.step(2004, 11))
BACKWARD = (MONTHS.step(2003, 0), MONTHS.step(2001, 0))


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return value_cube(tmp_path_factory.mktemp("cube") / "cube.zarr")


def maps_of(cube, product, start, stop, *, zones="zone", training=TRAINING, time=MONTHS):
    """The maps of a test from start to stop."""
    towards = 1 if stop > start else -1
    travelled = range(start + towards, stop + towards, towards)
    scored = tuple(step for step in travelled if step in cube.years)
    direction = "forward" if towards > 0 else "backward"
    nulls = null_maps(
        start,
        scored,
        direction=direction,
        observed=cube.years,
        training_years=training,
        time=time,
        has_classes=bool(zones),
    )
    return ValueMaps(cube, product, scored, nulls, zones)


def tallied(maps, *, reverse=False):
    """The sums of all tiles, in an order or the other one."""
    tiles = list(maps.product.tiling.tiles())
    if reverse:
        tiles.reverse()
    by_class = class_climatology(maps, (class_sums_of_tile(maps, tile) for tile in tiles))
    return merge_values(tally_values_of_tile(maps, tile, by_class) for tile in tiles)


def skill_of(maps, tally, *, direction="forward"):
    zones = ("zone 1", "zone 2", "zone 3") if maps.zones else ()
    return skill_of_values(ValueOutcome("t", direction, maps.nulls, tally, zones), LAI.scale)


def cells_of_twin(maps, steps):
    """Area, truth, values of all rows, climatology, zone and spread of each cell with a truth."""
    everything = maps.product.tiling.everything
    cube = maps.cube
    area = [int(a) for a in area_units(cube.grid.cell_area)]
    needed = {maps.nulls.start, *steps, *maps.nulls.seasonal.values()}
    for training in maps.nulls.training.values():
        needed |= set(training)
    observed = {step: cube.state(step, everything) for step in needed}
    numbers = {step: maps.classes_at(step, everything).astype(int) for step in needed}
    none = maps.n_zones
    classes = {step: np.where(of_step == none, -1, of_step) for step, of_step in numbers.items()}
    if not maps.zones:
        classes = {step: np.full(GRID.shape, -1) for step in needed}
    time = maps.nulls.time
    start = maps.nulls.start
    for step in steps:
        k = time.in_year(step)
        training = {
            step: maps.nulls.training[k],
            start: maps.nulls.training[time.in_year(start)],
        }
        predicted = maps.product.read(step, everything)
        spread = np.full(GRID.shape, OUTSIDE)
        for tile in maps.product.tiling.tiles():
            cells = maps.product.tiling.tile_box(tile).slices(origin=everything)
            spread[cells] = maps.product.confidence(step, tile)
        for row, col in np.argwhere(observed[step] < 250):
            nulls = reference.null_values(
                observed,
                classes,
                area,
                training,
                maps.nulls.seasonal.get(k),
                start,
                step,
                row,
                col,
            )
            model = int(predicted[row, col])
            values = (model, *nulls) if time.per_year > 1 else (model, nulls[0], *nulls[2:])
            zone = int(classes[step][row, col])
            yield area[row], int(observed[step][row, col]), values, nulls[2], zone, spread[row, col]


def require_twin(row_scores, rows, cells):
    """Require the scores of the twin for every row of these cells."""
    for n, row in enumerate(rows):
        of_row = [(a, t, values[n], c) for a, t, values, c, *_ in cells]
        expected = reference.value_scores(of_row, STEP)
        for name, value in expected.items():
            got = getattr(row_scores.scores[row], name)
            assert got == pytest.approx(value, rel=1e-12, nan_ok=True), (row, name)
    square = {row: row_scores.scores[row].rmse ** 2 for row in rows}
    for null, skill in row_scores.skill.items():
        assert skill == pytest.approx(1 - square["model"] / square[null])


@pytest.mark.parametrize("zones", ["zone", ""])
@pytest.mark.parametrize("ends", [FORWARD, BACKWARD], ids=["forward", "backward"])
def test_scores_are_those_of_the_twin(cube, tmp_path, ends, zones):
    product = value_product(cube, tmp_path / "product.zarr", *ends)
    direction = "forward" if ends == FORWARD else "backward"
    maps = maps_of(
        cube, product, *ends, zones=zones, training=(2003, 2003) if ends == BACKWARD else TRAINING
    )
    # A few steps: the twin takes its time.
    maps = replace(maps, scored=(*maps.scored[:2], maps.scored[-1]))
    tally = tallied(maps)
    skill = skill_of(maps, tally, direction=direction)
    rows = maps.nulls.rows
    assert rows[-1] == ("class_climatology" if zones else "land_climatology")

    cells = list(cells_of_twin(maps, maps.scored))
    require_twin(skill.overall, rows, cells)
    lead_years = [1] if ends == FORWARD else [1, 2]
    assert list(skill.by_lead_year) == lead_years
    for step in maps.scored:
        require_twin(skill.by_step[step], rows, list(cells_of_twin(maps, [step])))
    for number, zone in enumerate(("zone 1", "zone 2", "zone 3") if zones else ()):
        require_twin(skill.by_zone[zone], rows, [cell for cell in cells if cell[4] == number])

    of_model = [(a, t, values[0], spread) for a, t, values, _, _, spread in cells]
    expected = reference.spread_scores(of_model)
    calibration = skill.calibration
    assert (
        calibration.within_one,
        calibration.within_two,
        calibration.mean_square_z,
    ) == pytest.approx(expected)


def test_one_step_a_year_has_no_seasonal_persistence(tmp_path):
    cube = value_cube(tmp_path / "cube.zarr", years=(1996, 2004), time=TimeSteps())
    product = value_product(cube, tmp_path / "product.zarr", 2001, 2004)
    maps = maps_of(cube, product, 2001, 2004, training=(1996, 2001), time=TimeSteps())
    skill = skill_of(maps, tallied(maps))
    assert maps.nulls.rows == ("model", "persistence", "climatology", "class_climatology")
    require_twin(skill.overall, maps.nulls.rows, list(cells_of_twin(maps, maps.scored)))
    assert list(skill.by_lead_year) == [1, 2, 3]
    assert list(skill.by_step_of_year) == [0]


def test_tiles_and_their_order_change_no_bit(cube, tmp_path):
    sums = []
    for tile, reverse in ((8, False), (8, True), (4, False), (16, False)):
        product = value_product(cube, tmp_path / f"{tile}{reverse}.zarr", *FORWARD, tile=tile)
        sums.append(tallied(maps_of(cube, product, *FORWARD), reverse=reverse))
    first, *others = sums
    for other in others:
        assert sorted(other) == sorted(first)
        for step, expected in first.items():
            assert np.array_equal(other[step].by_zone_ZRC, expected.by_zone_ZRC)
            assert np.array_equal(other[step].by_spread_P4, expected.by_spread_P4)
            assert np.array_equal(other[step].blocks.places_N2, expected.blocks.places_N2)
            squares = expected.blocks.square_error_NR
            assert np.array_equal(other[step].blocks.square_error_NR, squares)


def test_what_lies_under_a_gap_changes_nothing(cube, tmp_path):
    """Predictions where the truth has gaps, and null models, are not scored."""
    sums = []
    for seed_of_gaps in (60, 7):
        product = value_product(cube, tmp_path / f"{seed_of_gaps}.zarr", *FORWARD)
        read = product.read

        def changed(step, box, read=read, value=seed_of_gaps):
            levels = read(step, box)
            levels[cube.state(step, box) == 254] = value
            return levels

        object.__setattr__(product, "read", changed)
        sums.append(tallied(maps_of(cube, product, *FORWARD)))
    for step in sums[0]:
        assert np.array_equal(sums[0][step].by_zone_ZRC, sums[1][step].by_zone_ZRC)


def test_land_without_a_prediction_is_an_error(cube, tmp_path):
    product = value_product(cube, tmp_path / "product.zarr", *FORWARD)
    maps = maps_of(cube, product, *FORWARD)
    tile = next(iter(product.tiling.tiles()))
    box = product.tiling.tile_box(tile)
    nothing = np.full(box.shape, OUTSIDE, np.uint8)
    product.write(maps.scored[3], tile, nothing, nothing, product.member_indices)
    with pytest.raises(ValueError, match="have an observed value but no predicted one, expected"):
        tallied(maps)


def test_a_climatology_without_values_is_an_error(cube, tmp_path):
    product = value_product(cube, tmp_path / "product.zarr", *FORWARD)
    maps = maps_of(cube, product, *FORWARD, zones="")
    empty = np.zeros_like(class_sums_of_tile(maps, next(iter(product.tiling.tiles()))))
    with pytest.raises(
        ValueError, match=r"from 2001-01 to 2003-01 have no value on land, .* widen"
    ):
        class_climatology(maps, [empty])


def test_a_climatology_without_years_is_an_error(tmp_path):
    absent = [MONTHS.step(year, 2) for year in range(2001, 2004)]
    cube = value_cube(tmp_path / "cube.zarr", absent=absent)
    with pytest.raises(
        ValueError, match=r"training.years 2001-2003 have no observed map like 2001-03"
    ):
        maps_of(cube, None, *FORWARD)


def test_seasonal_persistence_goes_back_to_a_year_with_a_map(tmp_path):
    """And a step of the year without any is left to the climatology."""
    time = MONTHS
    cube = value_cube(tmp_path / "cube.zarr", absent=[time.step(2003, 4)])
    nulls = maps_of(cube, None, *FORWARD).nulls
    assert nulls.seasonal[4] == time.step(2002, 4)
    assert nulls.seasonal[5] == time.step(2003, 5)
    backward = maps_of(cube, None, *BACKWARD, training=(2004, 2004)).nulls
    assert backward.seasonal[4] == time.step(2004, 4)
    assert backward.seasonal[0] == time.step(2003, 0)


def test_a_test_without_any_value_is_an_error(cube, tmp_path):
    product = value_product(cube, tmp_path / "product.zarr", *FORWARD)
    maps = maps_of(cube, product, *FORWARD, zones="")
    tally = tallied(maps)
    empty = {
        step: replace(sums, by_zone_ZRC=np.zeros_like(sums.by_zone_ZRC))
        for step, sums in tally.items()
    }
    with pytest.raises(ValueError, match="'t': none of the 12 maps from 2004-01 to 2004-12 has a"):
        ValueOutcome("t", "forward", maps.nulls, empty)


def test_a_perfect_model_has_no_error(cube, tmp_path):
    product = value_product(cube, tmp_path / "product.zarr", *FORWARD)
    object.__setattr__(product, "read", cube.state)
    maps = maps_of(cube, product, *FORWARD)
    skill = skill_of(maps, tallied(maps))
    model = skill.overall.scores["model"]
    assert (model.bias, model.rmse, model.mae, model.r2) == (0, 0, 0, 1)
    assert model.anomaly_correlation == pytest.approx(1)
    assert set(skill.overall.skill.values()) == {1.0}
    assert skill.calibration.within_one == 1
    assert math.isnan(skill.overall.scores["climatology"].anomaly_correlation)


def test_classes_without_a_value_have_that_of_all_land():
    sums = np.zeros((1, 3, 2), np.int64)
    sums[0, 0] = (10, 240)
    sums[0, 2] = (10, 80)
    assert ClassClimatology.of(sums).parts_KZ.tolist() == [[24, 16, 16]]
