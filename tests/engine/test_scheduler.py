import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.config import Workers
from luray.core.tiling import Tiling
from luray.engine.scheduler import IDLE, Scheduler, SideTask
from luray.engine.wavefront import Wavefront
from tests.benchmarks.schedule import is_new
from tests.simulation import Simulation


def fronts(rows, cols, *, steps, chains=1, in_flight=4):
    tiling = Tiling(rows * 2, cols * 2, 4, 2, 2)
    return [
        Wavefront(tiling.tiles(), tiling.neighbours, steps=steps, in_flight=in_flight)
        for _ in range(chains)
    ]


def steady(worker, job):
    return {"predict": 1.0, "reduce": 0.1}.get(job.kind, 0.2)


def scheduler(made, *, low=1, high=4, side_tasks=0):
    return Scheduler(
        made, [SideTask(("copy", i)) for i in range(side_tasks)], workers=Workers(min=low, max=high)
    )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    cols=st.integers(1, 4),
    steps=st.integers(0, 4),
    chains=st.integers(1, 3),
    low=st.integers(1, 2),
    more=st.integers(0, 4),
    side_tasks=st.integers(0, 9),
    seed=st.integers(0, 999),
    deaths=st.sampled_from([0, 0.05, 0.2]),
    hangs=st.sampled_from([0, 0.02]),
    echoes=st.booleans(),
)
def test_everything_is_done_whatever_happens_to_workers(
    rows, cols, steps, chains, low, more, side_tasks, seed, deaths, hangs, echoes
):
    chance, made = random.Random(seed), fronts(rows, cols, steps=steps, chains=chains)

    def duration(worker, job):
        return 10_000.0 if chance.random() < hangs else chance.uniform(0.1, 2)

    def harm(sim):
        if sim.alive and chance.random() < deaths:
            sim.kill(chance.choice(sorted(sim.alive)))

    sim = Simulation(
        scheduler(made, low=low, high=low + more, side_tasks=side_tasks),
        duration,
        delay=chance.uniform(0, 5),
        room=chance.randint(1, 6),
        harm=harm,
        tick=20 if hangs else 0,
        echoes=echoes,
    )
    sim.run(most=50_000)
    assert all(front.finished for front in made)
    for chain in range(chains):
        for task_done in ("predict", "reduce"):
            found = {
                (j.task.tile, j.task.step)
                for j in sim.done
                if getattr(j, "chain", None) == chain and j.kind == task_done
            }
            assert len(found) == rows * cols * steps
    assert all(
        n == 1 for job, n in sim.done.items() if job.kind == "reduce" or isinstance(job, SideTask)
    )
    assert sum(isinstance(job, SideTask) for job in sim.done) == side_tasks


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    cols=st.integers(1, 4),
    steps=st.integers(1, 4),
    chains=st.integers(1, 2),
    when=st.integers(1, 60),
    side_tasks=st.integers(0, 9),
    seed=st.integers(0, 999),
)
def test_after_closing_nothing_is_begun_and_what_can_be_reduced_is(
    rows, cols, steps, chains, when, side_tasks, seed
):
    chance, made = random.Random(seed), fronts(rows, cols, steps=steps, chains=chains)
    closed, begun = [], []

    def duration(worker, job):
        begun.append(job)
        return chance.uniform(0.1, 2)

    def harm(sim):
        if sum(sim.done.values()) == when:
            sim.scheduler.close()
            closed.append(when)
            begun.clear()

    sim = Simulation(
        scheduler(made, side_tasks=side_tasks), duration, delay=chance.uniform(0, 5), harm=harm
    )
    sim.run()
    assert bool(closed) == (sum(sim.done.values()) >= when)
    assert not closed or all(job.kind == "reduce" for job in begun)
    assert all(task.kind == "predict" for front in made for task in front.ready())
    assert not any(front.running for front in made)
    assert not any(worker_state.jobs for worker_state in sim.scheduler.worker_states.values())


def test_as_many_workers_are_asked_for_as_jobs_wait_but_no_more_than_the_most():
    for tiles, most, expected in ((2, 8, 2), (12, 8, 8)):
        made = scheduler(fronts(1, tiles, steps=1), high=most)
        assert made.assign(0) == []
        assert len(made.request_workers(0)) == expected
        assert made.request_workers(0) == []


def test_a_worker_that_joins_is_used_at_once_and_takes_its_share_of_the_tiles():
    made = scheduler(fronts(2, 4, steps=9), high=2)
    made.assign(0)
    first, second = made.request_workers(0)
    made.join(first, 0)
    assert [worker for worker, _ in made.assign(0)] == [first]
    made.join(second, 1)
    assert [worker for worker, _ in made.assign(1)] == [second]
    sim = Simulation(scheduler(fronts(4, 4, steps=20), high=4), steady, delay=0)
    sim.scheduler.assign(0)
    assert sim.run() < 1.1 * sim.busy / 4


def test_workers_without_work_are_given_back_beyond_the_fewest_but_none_whose_sums_are_needed():
    made = scheduler(fronts(1, 3, steps=1), low=1, high=3)
    made.assign(0)
    first, second, third = made.request_workers(0)
    made.join(first, 0)
    made.join(second, 0)
    for _ in range(2):
        for worker, job in made.assign(0):
            assert made.done(worker, job, 1)
    assert made.release_workers(1) == []
    assert third in made.release_workers(2 + IDLE), "a worker that has not come yet is waited for"
    made.leave(third)
    holder = next(iter(set(made._holder.values())))
    assert holder not in made.release_workers(2 + 2 * IDLE)
    now = 3 + 2 * IDLE
    while not made.finished:
        for worker, job in made.assign(now):
            made.done(worker, job, now)
    assert len(made.release_workers(now + 1 + IDLE)) == 1


def test_a_tile_stays_with_the_worker_that_has_its_inputs():
    homes, moves = {}, 0

    def duration(worker, job):
        nonlocal moves
        if job.kind == "predict":
            moves += homes.get(job.task.tile, worker) != worker
            homes[job.task.tile] = worker
        return steady(worker, job)

    Simulation(scheduler(fronts(2, 4, steps=20), low=2, high=2), duration).run()
    assert moves < 0.05 * 8 * 20


def test_the_chains_of_a_tile_share_the_worker_that_has_its_inputs():
    kept, reads = {}, 0

    def duration(worker, job):
        nonlocal reads
        if job.kind == "predict":
            reads += is_new(kept.setdefault(worker, {}), job.task.tile)
        return steady(worker, job)

    for workers, most in ((16, 2 * 36), (4, 36 * 10)):
        kept, reads = {}, 0
        Simulation(
            scheduler(fronts(6, 6, steps=10, chains=4), low=workers, high=workers), duration
        ).run()
        assert reads <= most, "of 1440 predictions"


@pytest.mark.parametrize("kind", ["predict", "reduce"])
def test_what_a_stuck_worker_has_is_done_by_another_and_its_late_answer_changes_nothing(kind):
    hung = []

    def duration(worker, job):
        if len(sim.done) > 40 and not hung and job.kind == kind:
            hung.append((worker, job))
            return 500.0
        return steady(worker, job)

    sim = Simulation(scheduler(fronts(2, 3, steps=40), high=2), duration, tick=1)
    took = sim.run()
    assert hung
    assert took < 400
    assert sim.done[hung[0][1]] == 1


def test_one_worker_alone_that_hangs_is_replaced():
    hung = []

    def duration(worker, job):
        if len(sim.done) > 20 and not hung:
            hung.append(worker)
            return 10_000.0
        return steady(worker, job)

    sim = Simulation(scheduler(fronts(1, 2, steps=40), high=1), duration, tick=1)
    assert sim.run() < 1_000


def test_a_slow_first_job_is_no_straggler():
    made = scheduler(fronts(1, 2, steps=2), high=2)
    made.assign(0)
    for worker in made.request_workers(0):
        made.join(worker, 0)
    made.assign(0)
    assert made.stuck(10_000) == []


def test_the_wavefront_beats_the_barrier_with_stragglers():
    took = {}
    for in_flight in (1, 4):
        chance = random.Random(1)

        def duration(worker, job, chance=chance):
            return steady(worker, job) * (4 if chance.random() < 0.1 else 1)

        sim = Simulation(
            scheduler(fronts(6, 8, steps=15, in_flight=in_flight), low=16, high=16), duration
        )
        took[in_flight] = sim.run()
    assert took[4] < 0.85 * took[1]
