import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.config import Workers
from luray.core.tiling import Tiling
from luray.engine.jobs import SideTask
from luray.engine.scheduler import Scheduler
from luray.engine.wavefront import Wavefront
from luray.engine.worker_pool import IDLE
from tests.benchmarks.schedule import must_be_read
from tests.simulation import Simulation


def wavefronts_of(rows, cols, *, steps, trajectories=1, in_flight=4):
    tiling = Tiling(rows * 2, cols * 2, 4, 2, 2)
    return [
        Wavefront(tiling.tiles(), tiling.neighbours, steps=steps, in_flight=in_flight)
        for _ in range(trajectories)
    ]


def steady(worker, job):
    return {"predict": 1.0, "reduce": 0.1}.get(job.operation, 0.2)


def scheduler_of(wavefronts, *, low=1, high=4, side_tasks=0):
    return Scheduler(
        wavefronts,
        [SideTask(("copy", i)) for i in range(side_tasks)],
        workers=Workers(min=low, max=high),
    )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    cols=st.integers(1, 4),
    steps=st.integers(0, 4),
    trajectories=st.integers(1, 3),
    low=st.integers(1, 2),
    more=st.integers(0, 4),
    side_tasks=st.integers(0, 9),
    seed=st.integers(0, 999),
    deaths=st.sampled_from([0, 0.05, 0.2]),
    hangs=st.sampled_from([0, 0.02]),
    echoes=st.booleans(),
)
def test_deaths_and_hangs_lose_no_job(
    rows, cols, steps, trajectories, low, more, side_tasks, seed, deaths, hangs, echoes
):
    chance = random.Random(seed)
    wavefronts = wavefronts_of(rows, cols, steps=steps, trajectories=trajectories)

    def duration(worker, job):
        return 10_000.0 if chance.random() < hangs else chance.uniform(0.1, 2)

    def kill_somebody(simulation):
        if simulation.alive and chance.random() < deaths:
            simulation.kill(chance.choice(sorted(simulation.alive)))

    simulation = Simulation(
        scheduler_of(wavefronts, low=low, high=low + more, side_tasks=side_tasks),
        duration,
        delay=chance.uniform(0, 5),
        room=chance.randint(1, 6),
        after_job=kill_somebody,
        tick=20 if hangs else 0,
        echoes=echoes,
    )
    # where the one worker that has room hangs for 10,000 s, others ask for room every second
    simulation.run(most=200_000)
    assert all(wavefront.finished for wavefront in wavefronts)
    for trajectory in range(trajectories):
        for operation in ("predict", "reduce"):
            tile_steps = {
                (job.task.tile, job.task.step)
                for job in simulation.done
                if getattr(job, "trajectory", None) == trajectory and job.operation == operation
            }
            assert len(tile_steps) == rows * cols * steps
    for job, n in simulation.done.items():
        if job.operation == "reduce" or isinstance(job, SideTask):
            assert n == 1
    assert sum(isinstance(job, SideTask) for job in simulation.done) == side_tasks


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 3),
    cols=st.integers(1, 4),
    steps=st.integers(1, 4),
    trajectories=st.integers(1, 2),
    when=st.integers(1, 60),
    side_tasks=st.integers(0, 9),
    seed=st.integers(0, 999),
)
def test_closing_begins_nothing_but_reductions(
    rows, cols, steps, trajectories, when, side_tasks, seed
):
    chance = random.Random(seed)
    wavefronts = wavefronts_of(rows, cols, steps=steps, trajectories=trajectories)
    closed, begun = [], []

    def duration(worker, job):
        begun.append(job)
        return chance.uniform(0.1, 2)

    def close(simulation):
        if sum(simulation.done.values()) == when:
            simulation.scheduler.close()
            closed.append(when)
            begun.clear()

    simulation = Simulation(
        scheduler_of(wavefronts, side_tasks=side_tasks),
        duration,
        delay=chance.uniform(0, 5),
        after_job=close,
    )
    simulation.run()
    assert bool(closed) == (sum(simulation.done.values()) >= when)
    assert not closed or all(job.operation == "reduce" for job in begun)
    for wavefront in wavefronts:
        assert all(task.operation == "predict" for task in wavefront.ready())
        assert not wavefront.running
    assert not any(state.running for state in simulation.scheduler.pool.states.values())


def test_one_worker_is_requested_for_each_waiting_job():
    for tiles, most, expected in ((2, 8, 2), (12, 8, 8)):
        scheduler = scheduler_of(wavefronts_of(1, tiles, steps=1), high=most)
        assert scheduler.assign(0) == []
        assert len(scheduler.request_workers(0)) == expected
        assert scheduler.request_workers(0) == []


def test_a_worker_that_joins_is_used_at_once():
    scheduler = scheduler_of(wavefronts_of(2, 4, steps=9), high=2)
    scheduler.assign(0)
    first, second = scheduler.request_workers(0)
    scheduler.join(first, 0)
    assert [worker for worker, _ in scheduler.assign(0)] == [first]
    scheduler.join(second, 1)
    assert [worker for worker, _ in scheduler.assign(1)] == [second]
    simulation = Simulation(scheduler_of(wavefronts_of(4, 4, steps=20), high=4), steady, delay=0)
    simulation.scheduler.assign(0)
    assert simulation.run() < 1.1 * simulation.busy / 4


def test_idle_workers_without_sums_are_released():
    scheduler = scheduler_of(wavefronts_of(1, 3, steps=1), low=1, high=3)
    scheduler.assign(0)
    first, second, third = scheduler.request_workers(0)
    scheduler.join(first, 0)
    scheduler.join(second, 0)
    for _ in range(2):
        for worker, job in scheduler.assign(0):
            assert scheduler.finish(worker, job, 1)
    assert scheduler.release_workers(1) == []
    assert third in scheduler.release_workers(2 + IDLE), (
        "a worker that has not come yet is waited for"
    )
    scheduler.leave(third)
    holder = next(iter(set(scheduler._sums_holder.values())))
    assert holder not in scheduler.release_workers(2 + 2 * IDLE)
    now = 3 + 2 * IDLE
    while not scheduler.finished:
        for worker, job in scheduler.assign(now):
            scheduler.finish(worker, job, now)
    assert len(scheduler.release_workers(now + 1 + IDLE)) == 1


def test_a_tile_stays_where_its_inputs_are():
    last_worker, moves = {}, 0

    def duration(worker, job):
        nonlocal moves
        if job.operation == "predict":
            moves += last_worker.get(job.task.tile, worker) != worker
            last_worker[job.task.tile] = worker
        return steady(worker, job)

    Simulation(scheduler_of(wavefronts_of(2, 4, steps=20), low=2, high=2), duration).run()
    assert moves < 0.05 * 8 * 20


def test_trajectories_of_a_tile_share_a_worker():
    cached, reads = {}, 0

    def duration(worker, job):
        nonlocal reads
        if job.operation == "predict":
            reads += must_be_read(cached.setdefault(worker, {}), job.task.tile)
        return steady(worker, job)

    for workers, most in ((16, 2 * 36), (4, 36 * 10)):
        cached, reads = {}, 0
        wavefronts = wavefronts_of(6, 6, steps=10, trajectories=4)
        Simulation(scheduler_of(wavefronts, low=workers, high=workers), duration).run()
        assert reads <= most, "of 1440 predictions"


@pytest.mark.parametrize("operation", ["predict", "reduce"])
def test_a_stuck_worker_is_overtaken(operation):
    hung = []

    def duration(worker, job):
        if len(simulation.done) > 40 and not hung and job.operation == operation:
            hung.append((worker, job))
            return 500.0
        return steady(worker, job)

    scheduler = scheduler_of(wavefronts_of(2, 3, steps=40), high=2)
    simulation = Simulation(scheduler, duration, tick=1)
    seconds = simulation.run()
    assert hung
    assert seconds < 400
    assert simulation.done[hung[0][1]] == 1, "its late answer changes nothing"


def test_one_worker_alone_that_hangs_is_replaced():
    hung = []

    def duration(worker, job):
        if len(simulation.done) > 20 and not hung:
            hung.append(worker)
            return 10_000.0
        return steady(worker, job)

    scheduler = scheduler_of(wavefronts_of(1, 2, steps=40), high=1)
    simulation = Simulation(scheduler, duration, tick=1)
    assert simulation.run() < 1_000


def test_a_slow_first_job_is_no_straggler():
    scheduler = scheduler_of(wavefronts_of(1, 2, steps=2), high=2)
    scheduler.assign(0)
    for worker in scheduler.request_workers(0):
        scheduler.join(worker, 0)
    scheduler.assign(0)
    assert scheduler.mark_stuck(10_000) == []


def test_the_wavefront_beats_the_barrier_with_stragglers():
    seconds = {}
    for in_flight in (1, 4):
        chance = random.Random(1)

        def duration(worker, job, chance=chance):
            return steady(worker, job) * (4 if chance.random() < 0.1 else 1)

        wavefronts = wavefronts_of(6, 8, steps=15, in_flight=in_flight)
        simulation = Simulation(scheduler_of(wavefronts, low=16, high=16), duration)
        seconds[in_flight] = simulation.run()
    assert seconds[4] < 0.85 * seconds[1]
