"""Weights on disk: safetensors with a sha256 and a model card in JSON. No pickle is ever read.

A model is a folder `weights.safetensors`, `card.json`; the card is written last and names the hash of the weights, so a
folder without a fitting card is no model. `training.safetensors` holds what a resumed training needs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from luray.model.calibration import PLAIN, Calibration, OperatingPoint
from luray.model.features import Features
from luray.model.fit import Trainer
from luray.model.unet import UNet, UNetConfig
from luray.schema import Direction
from luray.storage import read_object, write_atomically

FORMAT = 3


def uncalibrated() -> dict[OperatingPoint, Calibration]:
    """Every operating point as the weights give it."""
    return dict.fromkeys(get_args(OperatingPoint), PLAIN)


@dataclass(frozen=True)
class ModelCard:
    """What a model is and what it was trained on."""

    direction: Direction
    legend: str
    classes: tuple[int, ...]
    """Published codes, in model order."""
    channels: tuple[str, ...]
    """Names of the input channels, in order."""
    unet: UNetConfig
    training: dict[str, Any]
    """Sources, caveats, last metrics and scores on held-out cells."""
    fingerprint: str
    """Of everything the training depends on; another one means another model."""
    identity: Mapping[str, Any]
    """The same in words."""
    points: Mapping[OperatingPoint, Calibration] = field(default_factory=uncalibrated)
    """Calibration of each operating point."""
    weights_sha256: str = ""


def save_model(model: UNet, card: ModelCard, folder: str) -> None:
    """Write weights, then the card; an interruption leaves the folder without a valid card."""
    weights = save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()})
    text = asdict(card) | {"unet": card.unet.model_dump(), "format": FORMAT,
                           "weights_sha256": hashlib.sha256(weights).hexdigest()}
    write_atomically(f"{folder}/weights.safetensors", weights)
    write_atomically(f"{folder}/card.json", json.dumps(text, indent=1).encode())


def load_model(folder: str) -> tuple[UNet, ModelCard]:
    """The model of a folder, in evaluation mode.

    Raises FileNotFoundError when there is none, ValueError when weights and card do not belong together.
    """
    card = read_card(folder)
    if card is None:
        raise FileNotFoundError(f"{folder}: no trained model (card.json missing); run `luray train` first")
    weights = read_object(f"{folder}/weights.safetensors") or b""
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise ValueError(f"{folder}/weights.safetensors: sha256 {found[:12]}.. but card.json says "
                         f"{card.weights_sha256[:12]}..; the file was changed or cut, run `luray train` again")
    model = UNet(len(card.channels), len(card.classes), card.unet)
    try:
        model.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder}/weights.safetensors is not a model as {folder}/card.json describes it ({error}); "
                         "run `luray train` again") from error
    return model.eval(), card


def read_card(folder: str) -> ModelCard | None:
    """The card of a finished model, None when there is none."""
    data = read_object(f"{folder}/card.json")
    if data is None:
        return None
    text = json.loads(data)
    if text.pop("format", None) != FORMAT:
        raise ValueError(f"{folder}/card.json: not a model card of format {FORMAT}; train the model with this version")
    text["unet"] = UNetConfig(**text["unet"])
    text["classes"], text["channels"] = tuple(text["classes"]), tuple(text["channels"])
    text["points"] = {point: Calibration(*values) for point, values in text["points"].items()}
    return ModelCard(**text)


def check_fits(card: ModelCard, features: Features, *, legend: str, direction: Direction) -> None:
    """Raise ValueError naming both sides when a model was trained for other inputs, legend or direction."""
    for what, expected, found in (("direction", direction, card.direction), ("legend", legend, card.legend),
                                  ("input channels", features.names, card.channels)):
        if expected != found:
            raise ValueError(f"model {card.fingerprint[:12]} was trained for {what} {found}, the run needs {expected}; "
                             "train a model for this run file")


@dataclass(frozen=True)
class Checkpoint:
    """Where an unfinished training is kept, and of which training it is."""

    path: str
    identity: Mapping[str, Any]
    """Everything the weights depend on, as JSON."""

    def save(self, trainer: Trainer) -> None:
        """Write model, optimiser and position of a training in one atomic file."""
        tensors = {f"model.{k}": v for k, v in trainer.model.state_dict().items()}
        for i, state in trainer.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        cpu = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        about = {"done": str(trainer.done), "identity": json.dumps(self.identity)}
        write_atomically(self.path, save(cpu, metadata=about))

    def restore(self, trainer: Trainer) -> bool:
        """Continue from the checkpoint; False when there is none.

        Raises ValueError for a damaged file and, naming what differs, for a checkpoint of another training.
        """
        found = self._read()
        if found is None:
            return False
        tensors, about = found
        require_same(json.loads(about["identity"]), self.identity, what=f"{self.path} is a checkpoint of")
        trainer.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items()
                                       if k.startswith("model.")})
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, i, name = key.split(".", 2)
                state.setdefault(int(i), {})[name] = value
        groups = trainer.optimiser.state_dict()["param_groups"]
        trainer.optimiser.load_state_dict({"state": state, "param_groups": groups})
        trainer.done = int(about["done"])
        return True

    @property
    def done(self) -> int:
        """Steps that are done."""
        found = self._read()
        return int(found[1]["done"]) if found else 0

    def _read(self) -> tuple[dict[str, torch.Tensor], dict[str, str]] | None:
        data = read_object(self.path)
        if data is None:
            return None
        try:
            tensors = load(data)
            about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            return tensors, {key: about[key] for key in ("done", "identity")}
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{self.path} is damaged or no checkpoint ({error}); delete it to train from the "
                             "start") from error


def require_same(found: Mapping[str, Any], wanted: Mapping[str, Any], *, what: str) -> None:
    """Raise ValueError naming every value in which two identities differ."""
    there, here = _flat(found), _flat(wanted)
    other = [f"{key} {there.get(key, 'absent')} there, {here.get(key, 'absent')} here"
             for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
    if other:
        raise ValueError(f"{what} another training ({'; '.join(other)}): `luray train --restart` discards it and "
                         "trains anew; to keep it, give the run another output")


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of a tree of mappings by their dotted names."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for key, node in tree.items() for k, v in _flat(node, f"{prefix}.{key}" if prefix else key).items()}
