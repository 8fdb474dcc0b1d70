import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from luray.model.checkpoint import ModelCard, check_fits, load_model, read_card, save_model
from luray.model.features import Features
from luray.model.unet import UNetConfig
from luray.training.checkpoint import Checkpoint, require_same
from tests.training.toys import pieces_of, recipe_of, sample_of, trainer_of
from tests.worlds import FEATURES, K, random_model

CARD = ModelCard(
    "forward",
    "HILDA+",
    (11, 22, 33, 44),
    FEATURES.names,
    UNetConfig(width=4, depth=2),
    {"loss": 0.25},
    "f" * 64,
    {"legend": "HILDA+", "training": {"steps": 3}},
)


class Payload:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    save_model(random_model(), CARD, str(folder))
    return folder


def rewrite_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


def test_a_model_comes_back_to_the_bit_with_its_card(folder):
    model, card = load_model(str(folder))
    original = random_model()
    assert not model.training
    assert all(torch.equal(v, original.state_dict()[k]) for k, v in model.state_dict().items())
    sha256 = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert card == replace(CARD, weights_sha256=sha256) == read_card(str(folder))


@pytest.mark.parametrize("at", [0, 9, 500, -1])
def test_changed_weights_are_refused(folder, at):
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[at] ^= 1
    weights.write_bytes(data)
    with pytest.raises(
        ValueError, match=r"weights\.safetensors: sha256 .* but card\.json says .*run `luray train`"
    ):
        load_model(str(folder))


def test_cut_missing_or_newer_weights_are_refused(folder):
    weights = folder / "weights.safetensors"
    whole = weights.read_bytes()
    for data in (whole[:-1], b""):
        weights.write_bytes(data)
        with pytest.raises(ValueError, match="was changed or cut"):
            load_model(str(folder))
    weights.unlink()
    with pytest.raises(ValueError, match="was changed or cut"):
        load_model(str(folder))
    (folder / "card.json").unlink()
    weights.write_bytes(whole)
    assert read_card(str(folder)) is None
    with pytest.raises(
        FileNotFoundError, match=r"no trained model \(card.json missing\); run `luray train` first"
    ):
        load_model(str(folder))


@pytest.mark.parametrize("with_its_own_hash", [False, True])
def test_a_pickle_given_as_weights_is_refused_and_not_run(folder, tmp_path, with_its_own_hash):
    target = tmp_path / "executed"
    data = pickle.dumps(Payload(target))
    (folder / "weights.safetensors").write_bytes(data)
    if with_its_own_hash:
        rewrite_card(folder, weights_sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        load_model(str(folder))
    assert not target.exists()
    pickle.loads(data)
    assert target.exists(), "the pickle would have run"


def test_weights_of_another_architecture_are_refused(folder):
    rewrite_card(folder, unet={"width": 8, "depth": 2})
    with pytest.raises(ValueError, match=r"weights\.safetensors.*card\.json"):
        load_model(str(folder))


def test_a_card_of_another_format_is_refused(folder):
    rewrite_card(folder, format=99)
    with pytest.raises(ValueError, match=r"card\.json: not a model card of format 3"):
        read_card(str(folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"direction": "backward"}, "trained for direction backward, the run needs forward"),
        ({"legend": "MapBiomas"}, r"trained for legend MapBiomas, the run needs HILDA\+"),
        (
            {"channels": FEATURES.names[::-1]},
            r"trained for input channels \('height'.*the run needs \('prior=0'",
        ),
    ],
)
def test_a_model_for_another_run_is_refused_naming_both_sides(changes, words):
    check_fits(CARD, FEATURES, legend="HILDA+", direction="forward")
    with pytest.raises(ValueError, match=words):
        check_fits(replace(CARD, **changes), FEATURES, legend="HILDA+", direction="forward")
    with pytest.raises(ValueError, match="input channels"):
        check_fits(CARD, Features(K, FEATURES.forcing, ()), legend="HILDA+", direction="forward")


def bits(trainer):
    model = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    states = trainer.optimiser.state_dict()["state"]
    return model | {
        f"{i}.{k}": torch.as_tensor(v).clone() for i, s in states.items() for k, v in s.items()
    }


def checkpoint_in(folder, **changes):
    return Checkpoint(
        str(folder / "training.safetensors"),
        {"legend": "HILDA+", "grid": {"step": 0.01}, "training": {"steps": 4, "seed": 3} | changes},
    )


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, stop):
    recipe, checkpoint = recipe_of(steps=4), checkpoint_in(tmp_path)
    whole = trainer_of(recipe)
    metrics = [whole.step(pieces_of(step, recipe)) for step in range(4)]
    before = trainer_of(recipe)
    for step in range(stop):
        before.step(pieces_of(step, recipe))
    checkpoint.save(before)
    after = trainer_of(recipe)
    after.step(pieces_of(50, recipe))
    assert checkpoint.restore(after)
    assert after.done == stop
    assert bits(after).keys() == bits(before).keys()
    assert all(torch.equal(v, bits(before)[k]) for k, v in bits(after).items())
    assert [after.step(pieces_of(step, recipe)) for step in range(stop, 4)] == metrics[stop:]
    for trainer in (whole, after):
        trainer.calibrate(sample_of(900 + i) for i in range(2))
    assert all(torch.equal(v, bits(whole)[k]) for k, v in bits(after).items())


def test_a_checkpoint_before_the_first_step(tmp_path):
    recipe, checkpoint = recipe_of(), checkpoint_in(tmp_path)
    trainer = trainer_of(recipe)
    assert not checkpoint.restore(trainer)
    checkpoint.save(trainer)
    trainer.step(pieces_of(0, recipe))
    assert checkpoint.restore(trainer)
    assert trainer.done == 0


def test_a_checkpoint_of_another_training_is_refused_naming_both_sides_and_kept(tmp_path):
    recipe, checkpoint = recipe_of(), checkpoint_in(tmp_path)
    trainer = trainer_of(recipe)
    checkpoint.save(trainer)
    kept = Path(checkpoint.path).read_bytes()
    trainer.step(pieces_of(0, recipe))
    before = bits(trainer)
    other = Checkpoint(
        checkpoint.path, {"legend": "MapBiomas", "training": {"steps": 4, "seed": 5}}
    )
    words = (
        r"training\.safetensors is a checkpoint of another training \(grid\.step 0\.01 there, absent here; "
        r"legend HILDA\+ there, MapBiomas here; training\.seed 3 there, 5 here\): `luray train --restart`"
    )
    with pytest.raises(ValueError, match=words):
        other.restore(trainer)
    assert trainer.done == 1
    assert all(torch.equal(v, before[k]) for k, v in bits(trainer).items())
    assert Path(checkpoint.path).read_bytes() == kept


def test_the_same_identity_in_another_order_is_the_same():
    require_same({"a": 1, "b": {"c": 2, "d": []}}, {"b": {"d": [], "c": 2}, "a": 1}, what="x")
    with pytest.raises(ValueError, match=r"x another training \(b\.c 2 there, 3 here\)"):
        require_same({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, what="x")


def test_a_pickle_given_as_a_checkpoint_is_refused_and_not_run(tmp_path):
    target, checkpoint = tmp_path / "executed", checkpoint_in(tmp_path)
    Path(checkpoint.path).write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(ValueError, match=r"training\.safetensors"):
        checkpoint.restore(trainer_of(recipe_of()))
    assert not target.exists()
