from hypothesis import given, settings
from hypothesis import strategies as st

from luray.core.tiling import Tile
from luray.engine.jobs import Job
from luray.engine.waiting import WaitingPredictions
from luray.engine.wavefront import Task

JOBS = [
    Job(trajectory, Task("predict", Tile(0, col), step))
    for trajectory in range(2)
    for col in range(3)
    for step in range(2)
]
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["job", "worker"]), st.sampled_from(JOBS), st.integers(0, 2)),
    max_size=40,
)


def inputs_of(job):
    return None, job.task.tile


def place(job):
    return job.task.step, job.task.tile.col, job.trajectory


@settings(max_examples=80, deadline=None)
@given(actions=ACTIONS)
def test_queues_are_those_of_a_sort(actions):
    queue = WaitingPredictions()
    waiting, cached = set(), set()
    for kind, job, worker in actions:
        order = job.task.tile.col
        inputs = inputs_of(job)
        if kind == "job" and job in waiting:
            queue.remove(job, order=order)
            waiting.discard(job)
        elif kind == "job":
            queue.add(job, inputs, order=order)
            waiting.add(job)
        elif (inputs, worker) in cached:
            queue.drop(inputs, worker)
            cached.discard((inputs, worker))
        else:
            queue.cache(inputs, worker)
            cached.add((inputs, worker))

        held = {inputs for inputs, _ in cached}
        in_order = sorted(waiting, key=place)
        not_cached = [job for job in in_order if inputs_of(job) not in held]
        assert list(queue.cached_elsewhere()) == [j for j in in_order if inputs_of(j) in held]
        assert queue.first_not_cached() == (not_cached[0] if not_cached else None)
        assert len(queue) == len(waiting)
        for tile in range(3):
            inputs = None, Tile(0, tile)
            assert [w.job for w in queue.of(inputs)] == [
                j for j in in_order if inputs_of(j) == inputs
            ]
            assert queue.holders(inputs) == {
                w for held_inputs, w in cached if held_inputs == inputs
            }
