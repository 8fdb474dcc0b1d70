"""Models on disk: they come back to the bit, and what does not belong together is refused."""

import hashlib
import json
import pickle
from dataclasses import replace

import pytest
import torch

from luray.model.card import ModelCard, check_fits, read_card
from luray.model.checkpoint import load_model, save_model
from luray.model.features import Features
from luray.model.unet_config import UNetConfig
from tests.pickles import Payload
from tests.worlds import FEATURES, K, random_model

CARD = ModelCard(
    "forward",
    "HILDA+",
    (11, 22, 33, 44),
    FEATURES.names,
    UNetConfig(width=4, depth=2, history=1),
    {"loss": 0.25},
    "f" * 64,
    {"legend": "HILDA+", "training": {"steps": 3}},
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    save_model(random_model(), CARD, str(folder))
    return folder


def rewrite_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))


def test_a_model_comes_back_to_the_bit(folder):
    model, card = load_model(str(folder))
    original = random_model()
    assert not model.training
    assert all(torch.equal(v, original.state_dict()[k]) for k, v in model.state_dict().items())
    sha256 = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert card == replace(CARD, weights_sha256=sha256) == read_card(str(folder))


def test_the_keys_of_a_card_stay(folder):
    card = json.loads((folder / "card.json").read_text())
    assert list(card) == [
        "direction",
        "legend",
        "classes",
        "channels",
        "unet",
        "training",
        "fingerprint",
        "identity",
        "points",
        "weights_sha256",
        "format",
    ]


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


def test_cut_or_missing_files_are_refused(folder):
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
def test_a_pickle_as_weights_is_not_run(folder, tmp_path, with_its_own_hash):
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
    with pytest.raises(ValueError, match=r"card\.json: not a model card of format 4"):
        read_card(str(folder))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"direction": "backward"}, "trained for direction backward, the run needs forward"),
        ({"legend": "MapBiomas"}, r"trained for legend MapBiomas, the run needs HILDA\+"),
        ({"classes": (11, 22, 33, 45)}, r"for class codes \(11, 22, 33, 45\), the run needs \(11"),
        (
            {"channels": FEATURES.names[::-1]},
            r"trained for input channels \('height'.*the run needs \('prior=0'",
        ),
    ],
)
def test_a_model_for_another_run_is_refused(changes, words):
    check_fits(CARD, FEATURES, legend="HILDA+", direction="forward")
    with pytest.raises(ValueError, match=words):
        check_fits(replace(CARD, **changes), FEATURES, legend="HILDA+", direction="forward")
    with pytest.raises(ValueError, match="input channels"):
        check_fits(CARD, Features(K, FEATURES.forcing, ()), legend="HILDA+", direction="forward")
