import numpy as np
import pytest
from pydantic import ValidationError

from luray.core.legend_files import HILDA
from luray.sandbox.history import neighbours
from luray.sandbox.products import MISSING, STATES, ice_and_water, luh2_states, population
from luray.sandbox.storyline import FLOWS, N_CLASSES, YEARS
from luray.sandbox.terrain import slope_and_aspect
from luray.sandbox.world import COARSE, SandboxConfig, World, simulate

GROUPS = {
    (22,): ("c3ann", "c3per", "c4ann", "c4per", "c3nfx"),
    (33,): ("pastr", "range"),
    (44,): ("primf", "secdf"),
    (55, 66): ("primn", "secdn"),
}
"""DOMAIN's crosswalk: codes of HILDA+ and the states of LUH2 that mean them."""


def maps(world: World, scenario: str = "ssp245") -> np.ndarray:
    return world.truth[scenario]


def year(of: int) -> int:
    return YEARS.index(of)


def coarse_share(world: World, codes: tuple[int, ...], when: int) -> np.ndarray:
    """Share of each 0.25 degree cell under `codes`, shape (Z,)."""
    member = np.isin(maps(world)[year(when)], codes)
    return (
        np.bincount(
            world.setting.coarse_cell.ravel(),
            member.ravel(),
            minlength=len(world.setting.soil_cells),
        )
        / COARSE**2
    )


def test_the_same_seed_gives_the_same_world_and_another_seed_another():
    first, again, other = (
        simulate(SandboxConfig(height=50, width=100, seed=seed)) for seed in (3, 3, 8)
    )
    assert np.array_equal(maps(first), maps(again))
    assert np.array_equal(first.terrain.elevation, again.terrain.elevation)
    states = luh2_states(again, "ssp245")
    assert all(
        np.array_equal(values, states[name])
        for name, values in luh2_states(first, "ssp245").items()
    )
    assert np.array_equal(first.published(2000), again.published(2000))
    assert not np.array_equal(maps(first), maps(other))


@pytest.mark.parametrize(("height", "width"), [(50, 50), (150, 50)])
def test_small_worlds_have_land_sea_water_and_towns(height: int, width: int):
    small = simulate(SandboxConfig(height=height, width=width))
    assert maps(small).shape == (251, height, width)
    assert 0.5 < small.terrain.land.mean() < 0.95
    assert set(np.unique(maps(small))) == {0, 11, 22, 33, 44, 55, 66, 77}
    assert len(small.terrain.towns) >= 3


def test_land_and_water_do_not_move(world: World):
    assert np.array_equal(maps(world) != 0, np.broadcast_to(world.terrain.land, maps(world).shape))
    assert np.array_equal(maps(world) == 77, np.broadcast_to(world.terrain.lake, maps(world).shape))
    assert world.terrain.lake.any()


def test_one_cell_in_a_hundred_changes_in_a_year(world: World):
    land = maps(world)[:, world.terrain.soil]
    changed = (land[1:] != land[:-1]).mean(1)
    assert 0.005 < changed.mean() < 0.02
    assert changed.min() > 0.002
    assert changed.max() < 0.025


def test_only_known_conversions_happen(world: World):
    before, after = (
        HILDA.encode(half)[..., world.terrain.soil] for half in (maps(world)[:-1], maps(world)[1:])
    )
    pairs = np.unique(before[before != after].astype(int) * N_CLASSES + after[before != after])
    assert {(int(p) // N_CLASSES, int(p) % N_CLASSES) for p in pairs} <= set(FLOWS)


def test_towns_grow_and_never_shrink(world: World):
    urban = maps(world) == 11
    assert not (urban[:-1] & ~urban[1:]).any()
    assert urban[year(2019)].sum() > 2 * urban[year(1850)].sum() > 0


def test_fine_maps_follow_the_coarse_shares(world: World):
    counts = (
        np.stack([coarse_share(world, (int(code),), 2100) for code in HILDA.codes[:N_CLASSES]], 1)
        * COARSE**2
    )
    wanted = world.shares["ssp245"].fractions[-1] * world.setting.soil_cells[:, None]
    assert np.abs(counts - wanted).max() < 12, (
        "rounding is carried over, so that no cell drifts from its demand"
    )
    assert np.abs(counts - wanted).mean() < 2


@pytest.mark.parametrize("codes", GROUPS)
def test_coarse_change_tells_of_fine_change(world: World, codes: tuple[int, ...]):
    states, starts = luh2_states(world, "ssp245"), range(1900, 2095, 10)
    land = world.setting.soil_cells > 0
    fine = [
        (coarse_share(world, codes, y + 5) - coarse_share(world, codes, y))[land] for y in starts
    ]
    total = sum(states[name].astype(float) for name in GROUPS[codes]).reshape(len(YEARS), -1)[
        :, land
    ]
    coarse = [total[year(y + 5)] - total[year(y)] for y in starts]
    assert np.corrcoef(np.concatenate(fine), np.concatenate(coarse))[0, 1] > 0.9


def test_land_use_follows_the_terrain(world: World):
    now, terrain = maps(world)[year(2010)], world.terrain
    slope = {code: float(terrain.slope[now == code].mean()) for code in (22, 44)}
    assert slope[22] < 0.6 * slope[44], "crops on flat land, forest on slopes"
    assert terrain.elevation[now == 66].mean() > terrain.elevation[now == 22].mean(), (
        "bare land on the summits"
    )


def test_change_spreads_from_what_is_there(world: World):
    for when in (1930, 1970, 2010):
        before, after = (
            HILDA.encode(maps(world)[year(when)]),
            HILDA.encode(maps(world)[year(when + 1)]),
        )
        for k in (HILDA.index(22), HILDA.index(33), HILDA.index(44)):
            share = neighbours(before)[k] / 25
            could = world.terrain.soil & (before != k)
            assert share[could & (after == k)].mean() > 1.5 * share[could].mean()


def test_scenarios_share_the_past_and_part_after_2015(world: World):
    one, two = maps(world, "ssp245"), maps(world, "ssp585")
    assert np.array_equal(one[: year(2016)], two[: year(2016)])
    assert not np.array_equal(one[year(2040)], two[year(2040)])
    for name in STATES:
        a, b = luh2_states(world, "ssp245")[name], luh2_states(world, "ssp585")[name]
        assert np.array_equal(a[: year(2016)], b[: year(2016)])


def test_published_maps_flicker_for_one_year():
    noisy = simulate(SandboxConfig(height=100, width=100, flicker=0.01))
    wrong = noisy.published(1980) != maps(noisy)[year(1980)]
    assert 0.005 < wrong[noisy.terrain.soil].mean() < 0.015
    assert not wrong[~noisy.terrain.soil].any()
    before, after = (noisy.published(y)[wrong] for y in (1979, 1981))
    assert (before == after).mean() > 0.95, "A -> B -> A"


def test_without_flicker_the_published_map_is_the_truth():
    clean = simulate(SandboxConfig(height=50, width=50, flicker=0.0))
    assert np.array_equal(clean.published(1980), maps(clean)[year(1980)])


@pytest.mark.parametrize("scenario", ["ssp245", "ssp585"])
def test_states_close_with_ice_and_water(world: World, scenario: str):
    states, water = luh2_states(world, scenario), ice_and_water(world)
    land = water < 1
    total = sum(states[name].astype(np.float64) for name in STATES)
    assert np.allclose(total[:, land], (1 - water)[land], atol=1e-6)
    assert all((values[:, land] >= 0).all() for values in states.values())
    assert all((values[:, ~land] == MISSING).all() for values in states.values())
    assert np.allclose(water, 1 - world.terrain.soil.reshape(4, 25, 6, 25).mean((1, 3)))


def test_primary_land_only_shrinks(world: World):
    for name in ("primf", "primn"):
        assert (np.diff(luh2_states(world, "ssp245")[name], axis=0) <= 1e-7).all()


def test_people_are_counted_where_the_towns_are(world: World):
    people = population(world, "ssp245")
    assert people.shape == (251, 2, 3)
    inhabited = people[0] < 1e19
    assert (people[:, inhabited] > 0).all()
    assert people[year(2005)][inhabited].sum() > 1.3 * people[year(1861)][inhabited].sum()
    assert np.array_equal(people[: year(2006)], population(world, "ssp585")[: year(2006)])
    towns = np.zeros(people.shape[1:])
    for town in world.terrain.towns:
        towns[town.row // 50, town.col // 50] += town.radius**2
    assert (
        people[year(2005)][np.unravel_index(towns.argmax(), towns.shape)]
        == people[year(2005)][inhabited].max()
    )


def test_neighbours_are_counted_in_five_by_five_cells():
    classes = np.random.default_rng(0).integers(0, 8, (9, 11)).astype(np.uint8)
    counts = neighbours(classes)
    for k in range(N_CLASSES):
        for row, col in np.ndindex(classes.shape):
            window = classes[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3]
            assert counts[k, row, col] == (window == k).sum()


def test_aspect_is_clockwise_from_north_and_points_downhill():
    rows, cols = np.indices((20, 20), np.float32)
    for height, faces in ((rows, 0), (-cols, 90), (-rows, 180), (cols, 270)):
        slope, aspect = slope_and_aspect(height * 111.195, cell=0.001)
        assert np.allclose(aspect, faces, atol=0.1)
        assert np.allclose(slope, 45, atol=0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"height": 120}, "multiples of 50"),
        ({"first_map": 2000, "last_map": 1990}, "exchange them"),
        ({"scenario": ("ssp245", "ssp245")}, "name each once"),
        ({"scenario": ("ssp999",)}, "ssp999"),
        ({"first_map": 1850}, "1899"),
        ({"hight": 100}, "hight"),
    ],
)
def test_a_wrong_configuration_is_refused(fields: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        SandboxConfig(**fields)


def test_scenarios_may_come_as_a_list_as_from_toml():
    assert SandboxConfig.model_validate({"scenario": ["ssp370"]}).scenario == ("ssp370",)
