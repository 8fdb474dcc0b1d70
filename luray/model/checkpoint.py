"""Weights on disk: safetensors with a sha256 and a model card in JSON. No pickle is ever read.

A model is a folder `weights.safetensors`, `card.json`; the card is written last and names the hash
of the weights, so a folder without a fitting card is no model. `training.safetensors` holds what a
resumed training needs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from safetensors import SafetensorError
from safetensors.torch import load, save

from luray.core.types import Direction
from luray.model.calibration import PLAIN, Calibration, OperatingPoint
from luray.model.features import Features
from luray.model.unet import UNet, UNetConfig
from luray.storage.objects import read_object, write_atomically

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
    text = asdict(card) | {
        "unet": card.unet.model_dump(),
        "format": FORMAT,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    write_atomically(f"{folder}/weights.safetensors", weights)
    write_atomically(f"{folder}/card.json", json.dumps(text, indent=1).encode())


def load_model(folder: str) -> tuple[UNet, ModelCard]:
    """The model of a folder, in evaluation mode.

    Raises FileNotFoundError when there is none, ValueError when weights and card do not belong
    together.
    """
    card = read_card(folder)
    if card is None:
        raise FileNotFoundError(
            f"{folder}: no trained model (card.json missing); run `luray train` first"
        )
    weights = read_object(f"{folder}/weights.safetensors") or b""
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise ValueError(
            f"{folder}/weights.safetensors: sha256 {found[:12]}.. but card.json says "
            f"{card.weights_sha256[:12]}..; the file was changed or cut, run `luray train` again"
        )
    model = UNet(len(card.channels), len(card.classes), card.unet)
    try:
        model.load_state_dict(load(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{folder}/weights.safetensors is not a model as {folder}/card.json describes it "
            f"({error}); "
            "run `luray train` again"
        ) from error
    return model.eval(), card


def read_card(folder: str) -> ModelCard | None:
    """The card of a finished model, None when there is none."""
    data = read_object(f"{folder}/card.json")
    if data is None:
        return None
    text = json.loads(data)
    if text.pop("format", None) != FORMAT:
        raise ValueError(
            f"{folder}/card.json: not a model card of format {FORMAT}; train the model with this "
            "version"
        )
    text["unet"] = UNetConfig(**text["unet"])
    text["classes"], text["channels"] = tuple(text["classes"]), tuple(text["channels"])
    text["points"] = {point: Calibration(*values) for point, values in text["points"].items()}
    return ModelCard(**text)


def check_fits(card: ModelCard, features: Features, *, legend: str, direction: Direction) -> None:
    """Raise ValueError naming both sides when a model was trained for other inputs, legend or
    direction.
    """
    for what, expected, found in (
        ("direction", direction, card.direction),
        ("legend", legend, card.legend),
        ("input channels", features.names, card.channels),
    ):
        if expected != found:
            raise ValueError(
                f"model {card.fingerprint[:12]} was trained for {what} {found}, the run needs "
                f"{expected}; "
                "train a model for this run file"
            )
