import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.core.tiling import Tile, Tiling
from luray.engine.wavefront import Task, Wavefront


class Twin:
    """The rules of the wavefront as sentences, over whole sets; it watches a run and knows what is
    allowed.
    """

    def __init__(self, tiles, tiling, done):
        self.around = {t: {t, *tiling.neighbours(t)} & set(tiles) for t in tiles}
        self.reduced = set(done)
        self.sums = set()

    def may(self, task):
        tile = task.tile
        step = task.step
        if task.operation == "predict":
            return step == 0 or all((t, step - 1) in self.reduced for t in self.around[tile])
        return all((t, step) in self.sums for t in self.around[tile])

    def finish(self, task):
        (self.sums if task.operation == "predict" else self.reduced).add((task.tile, task.step))

    def lose(self, tiles):
        self.sums = {(t, s) for t, s in self.sums if t not in tiles}


@st.composite
def fronts(draw):
    """(wavefront, twin, tiles, steps, in_flight) after an earlier run that may have finished
    anything it pleased.
    """
    rows = draw(st.integers(1, 3))
    cols = draw(st.integers(1, 4))
    tiling = Tiling(rows * 2, cols * 2, 4, 2, 2, periodic=cols > 1 and draw(st.booleans()))
    everything = list(tiling.tiles())
    chance = draw(st.randoms(use_true_random=False))
    ocean = draw(st.sampled_from([0, 0, 0.3]))
    before = draw(st.sampled_from([0, 0.1, 0.5, 0.9]))
    tiles = [t for t in everything if chance.random() >= ocean] or everything
    steps = draw(st.integers(0, 5))
    in_flight = draw(st.integers(1, 4))
    done = [(t, s) for t in everything for s in range(steps + 1) if chance.random() < before]
    front = Wavefront(tiles, tiling.neighbours, steps=steps, done=done, in_flight=in_flight)
    return front, Twin(tiles, tiling, done), tiles, steps, in_flight


def first_unfinished(twin, tiles, steps):
    return next((s for s in range(steps) if any((t, s) not in twin.reduced for t in tiles)), steps)


def drive(front, twin, tiles, steps, in_flight, chance, *, failures, losses, workers):
    """Run to the end in random order; returns how often each tile-year was reduced."""
    running = []
    count = {(tile, step): 0 for step in range(steps) for tile in tiles}
    for _ in range(10_000):
        assert front.remaining == sum(
            (t, s) not in twin.reduced for t in tiles for s in range(steps)
        )
        if front.finished:
            assert front.remaining == 0
            return count
        ready = front.ready()
        assert ready == front.ready()
        assert not set(ready) & set(running), "handed out twice"
        assert ready or running, "deadlock"
        first = first_unfinished(twin, tiles, steps)
        for task in ready:
            assert twin.may(task), f"{task} before its needs are met"
            assert task.tile in tiles
            assert first <= task.step < first + in_flight
            assert task.operation == "predict" or (task.tile, task.step) not in twin.reduced
        assert [t.step for t in ready] == sorted(t.step for t in ready)
        if ready and len(running) < workers and (not running or chance.random() < 0.6):
            task = chance.choice(ready)
            front.start(task)
            running.append(task)
            continue
        task = running.pop(chance.randrange(len(running)))
        if chance.random() < failures:
            front.release(task)
            continue
        front.finish(task)
        twin.finish(task)
        if task.operation == "reduce":
            count[task.tile, task.step] += 1
        if chance.random() < losses:
            lost = chance.sample(tiles, chance.randint(1, len(tiles)))
            front.forget([(t, s) for t in lost for s in range(steps)])
            twin.lose(lost)
    pytest.fail("does not end")


@given(made=fronts(), chance=st.randoms(use_true_random=False), workers=st.integers(1, 6))
def test_every_tile_year_is_reduced_once(made, chance, workers):
    front, twin, tiles, steps, in_flight = made
    before = set(twin.reduced)
    count = drive(
        front, twin, tiles, steps, in_flight, chance, failures=0, losses=0, workers=workers
    )
    assert all(n == ((t, s) not in before) for (t, s), n in count.items())


@given(
    made=fronts(),
    chance=st.randoms(use_true_random=False),
    workers=st.integers(1, 6),
    failures=st.sampled_from([0, 0.3]),
    losses=st.sampled_from([0.1, 0.3]),
)
def test_failures_and_losses_only_cost_time(made, chance, workers, failures, losses):
    front, twin, tiles, steps, in_flight = made
    before = set(twin.reduced)
    count = drive(
        front,
        twin,
        tiles,
        steps,
        in_flight,
        chance,
        failures=failures,
        losses=losses,
        workers=workers,
    )
    assert all(n == ((t, s) not in before) for (t, s), n in count.items())
    assert all(front.is_reduced(t, s) for t in tiles for s in range(steps))


def row_of(n, **options):
    """A wavefront over one row of n tiles, neighbours left and right."""
    tiles = [Tile(0, c) for c in range(n)]
    return Wavefront(tiles, lambda t: [Tile(0, t.col - 1), Tile(0, t.col + 1)], **options)


def finish(front, operation, col, step):
    task = Task(operation, Tile(0, col), step)
    assert task in front.ready()
    front.start(task)
    front.finish(task)


def test_a_tile_runs_ahead_of_far_ones():
    front = row_of(5, steps=3, in_flight=3)
    for col in range(4):
        finish(front, "predict", col, 0)
    for col in range(3):
        finish(front, "reduce", col, 0)
    assert Task("predict", Tile(0, 1), 1) in front.ready()
    assert Task("predict", Tile(0, 2), 1) not in front.ready()
    finish(front, "predict", 0, 1)
    finish(front, "predict", 1, 1)
    finish(front, "reduce", 0, 1)
    assert not front.is_reduced(Tile(0, 4), 0)


def test_unneeded_predictions_are_not_made():
    done = [(Tile(0, c), 0) for c in range(3)]
    front = row_of(4, steps=1, done=done)
    assert set(front.ready()) == {Task("predict", Tile(0, c), 0) for c in (2, 3)}


def test_years_in_flight_are_bounded():
    front = row_of(
        5, steps=9, in_flight=2, done=[(Tile(0, c), s) for c in range(4) for s in range(2)]
    )
    assert Task("predict", Tile(0, 0), 2) not in front.ready()
    wider = row_of(
        5, steps=9, in_flight=3, done=[(Tile(0, c), s) for c in range(4) for s in range(2)]
    )
    assert Task("predict", Tile(0, 0), 2) in wider.ready()
    front = row_of(1, steps=9, in_flight=1)
    for step in range(9):
        assert {t.step for t in front.ready()} == {step}
        finish(front, "predict", 0, step)
        finish(front, "reduce", 0, step)
    assert front.finished
    assert front.ready() == []


def test_done_beyond_this_run_is_ignored():
    front = row_of(2, steps=1, done=[(Tile(0, 0), 1), (Tile(3, 3), 0)])
    assert front.remaining == 2


def test_a_second_completion_changes_nothing():
    front = row_of(1, steps=2)
    finish(front, "predict", 0, 0)
    finish(front, "reduce", 0, 0)
    front.finish(Task("reduce", Tile(0, 0), 0))
    front.finish(Task("predict", Tile(0, 0), 0))
    assert front.remaining == 1
    assert front.ready() == [Task("predict", Tile(0, 0), 1)]


def test_lost_sums_are_predicted_again():
    front = row_of(2, steps=1)
    finish(front, "predict", 0, 0)
    finish(front, "predict", 1, 0)
    finish(front, "reduce", 0, 0)
    front.forget([(Tile(0, 0), 0)])
    assert front.ready() == [Task("predict", Tile(0, 0), 0)]


@given(seed=st.integers(0, 999))
def test_nothing_to_do_is_finished_at_once(seed):
    chance = random.Random(seed)
    steps = chance.randint(0, 4)
    assert row_of(0, steps=steps).finished
    everything = [(Tile(0, c), s) for c in range(3) for s in range(steps)]
    assert row_of(3, steps=steps, done=everything).finished
