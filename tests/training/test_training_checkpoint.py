"""Checkpoints of a training: it goes on with the same bits, and another training is refused."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from luray.distributed.train import threads_of_worker
from luray.training.checkpoint import Checkpoint, require_same
from tests.pickles import Payload
from tests.training.toys import micro_batches_of, recipe_of, sample_of, trainer_of


def bits(trainer):
    """Copies of all tensors of a model and its optimiser, by name."""
    tensors = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    for i, state in trainer.optimiser.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"{i}.{name}"] = torch.as_tensor(value).clone()
    return tensors


def same_bits(trainer, tensors):
    found = bits(trainer)
    return found.keys() == tensors.keys() and all(
        torch.equal(value, tensors[name]) for name, value in found.items()
    )


def checkpoint_in(folder, **changes):
    training = {"steps": 4, "seed": 3} | changes
    identity = {"legend": "HILDA+", "grid": {"step": 0.01}, "training": training}
    return Checkpoint(str(folder / "training.safetensors"), identity)


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, stop):
    recipe = recipe_of(steps=4)
    checkpoint = checkpoint_in(tmp_path)
    uninterrupted = trainer_of(recipe)
    metrics = [uninterrupted.step(micro_batches_of(step, recipe)) for step in range(4)]

    before = trainer_of(recipe)
    for step in range(stop):
        before.step(micro_batches_of(step, recipe))
    checkpoint.save(before)

    after = trainer_of(recipe)
    after.step(micro_batches_of(50, recipe))  # its own past is overwritten
    assert checkpoint.restore(after)
    assert after.done == stop
    assert same_bits(after, bits(before))

    resumed_metrics = [after.step(micro_batches_of(step, recipe)) for step in range(stop, 4)]
    assert resumed_metrics == metrics[stop:]
    for trainer in (uninterrupted, after):
        trainer.calibrate(sample_of(900 + i) for i in range(2))
    assert same_bits(after, bits(uninterrupted))


def test_a_training_goes_on_with_the_threads_that_it_began_with(tmp_path, caplog):
    checkpoint = checkpoint_in(tmp_path)
    training = SimpleNamespace(checkpoint=checkpoint, direction="forward")
    assert threads_of_worker(training, workers=1, cpus=3) == 3

    threads = torch.get_num_threads()
    checkpoint.save(trainer_of(recipe_of()))
    assert threads_of_worker(training, workers=1, cpus=threads) == threads
    assert not caplog.messages
    assert threads_of_worker(training, workers=1, cpus=threads + 6) == threads
    assert f"goes on with {threads} threads a worker" in caplog.text

    # Other workers divide a step otherwise anyway, so they take all that is there.
    assert threads_of_worker(training, workers=2, cpus=threads + 6) == threads + 6


def test_a_checkpoint_of_before_has_no_threads(tmp_path):
    checkpoint = checkpoint_in(tmp_path)
    metadata = {"done": "2", "identity": json.dumps(checkpoint.identity)}
    save_file({"model.x": torch.zeros(1)}, checkpoint.path, metadata=metadata)
    assert checkpoint.done == 2
    assert checkpoint.threads(workers=1) is None


def test_a_checkpoint_before_the_first_step(tmp_path):
    recipe = recipe_of()
    checkpoint = checkpoint_in(tmp_path)
    trainer = trainer_of(recipe)
    assert not checkpoint.restore(trainer)
    checkpoint.save(trainer)
    trainer.step(micro_batches_of(0, recipe))
    assert checkpoint.restore(trainer)
    assert trainer.done == 0


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    recipe = recipe_of()
    checkpoint = checkpoint_in(tmp_path)
    trainer = trainer_of(recipe)
    checkpoint.save(trainer)
    data = Path(checkpoint.path).read_bytes()
    trainer.step(micro_batches_of(0, recipe))
    before = bits(trainer)

    other_identity = {"legend": "MapBiomas", "training": {"steps": 4, "seed": 5}}
    words = (
        r"training\.safetensors is a checkpoint of another training \(grid\.step 0\.01 there, "
        r"absent here; legend HILDA\+ there, MapBiomas here; training\.seed 3 there, 5 here\): "
        r"`luray train --restart`"
    )
    with pytest.raises(ValueError, match=words):
        Checkpoint(checkpoint.path, other_identity).restore(trainer)
    assert trainer.done == 1
    assert same_bits(trainer, before)
    assert Path(checkpoint.path).read_bytes() == data


def test_the_order_of_an_identity_does_not_count():
    require_same({"a": 1, "b": {"c": 2, "d": []}}, {"b": {"d": [], "c": 2}, "a": 1}, what="x")
    with pytest.raises(ValueError, match=r"x another training \(b\.c 2 there, 3 here\)"):
        require_same({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, what="x")


def test_a_pickle_as_checkpoint_is_not_run(tmp_path):
    target = tmp_path / "executed"
    checkpoint = checkpoint_in(tmp_path)
    Path(checkpoint.path).write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(ValueError, match=r"training\.safetensors"):
        checkpoint.restore(trainer_of(recipe_of()))
    assert not target.exists()
