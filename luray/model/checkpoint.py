"""A finished model on disk: safetensors with a sha256, and a model card in JSON.

No pickle is ever read. A model is a folder with `weights.safetensors` and `card.json`. The card is
written last and names the hash of the weights, so a folder without a fitting card holds no model.
What an interrupted training needs to go on is another file, see `luray.training.checkpoint`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from luray.core.types import Direction
from luray.model.calibration import NO_CALIBRATION, Calibration, OperatingPoint
from luray.model.features import Features
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.storage.objects import read_object, write_atomically

FORMAT = 4
"""Version of the card; its keys are the fields of `ModelCard`, so renaming one makes a new one."""


def uncalibrated() -> dict[OperatingPoint, Calibration]:
    """Return operating points that all leave the logits as the weights give them."""
    return dict.fromkeys(get_args(OperatingPoint), NO_CALIBRATION)


@dataclass(frozen=True)
class ModelCard:
    """What a model is and what it was trained on."""

    direction: Direction
    legend: str
    classes: tuple[int, ...]
    """Published codes, in the order of the model's outputs."""
    channels: tuple[str, ...]
    """Names of the input channels, in order."""
    unet: UNetConfig
    training: dict[str, Any]
    """Sources, caveats, last metrics, and scores on held-out cells."""
    fingerprint: str
    """Hash of everything the training depends on; another one means another model."""
    identity: Mapping[str, Any]
    """What the fingerprint is the hash of."""
    points: Mapping[OperatingPoint, Calibration] = field(default_factory=uncalibrated)
    """Calibration of each operating point."""
    weights_sha256: str = ""
    """Filled in by `save_model`."""


def save_model(model: UNet, card: ModelCard, folder: str) -> None:
    """Write a model into a folder: the weights first, then the card that makes them valid.

    Parameters
    ----------
    model : UNet
        On any device.
    card : ModelCard
        Its `weights_sha256` is ignored; the written card has that of the weights.
    folder : str
        Local path or URL. An interruption leaves it without a valid card.
    """
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    weights = save(tensors)
    contents = asdict(card) | {
        "unet": card.unet.model_dump(),
        "format": FORMAT,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    write_atomically(f"{folder}/weights.safetensors", weights)
    write_atomically(f"{folder}/card.json", json.dumps(contents, indent=1).encode())


def load_model(folder: str) -> tuple[UNet, ModelCard]:
    """Load the model of a folder, in evaluation mode, with its card.

    Raises
    ------
    FileNotFoundError
        If the folder has no model card.
    ValueError
        If weights and card do not belong together.
    """
    card = read_card(folder)
    if card is None:
        raise FileNotFoundError(
            f"{folder}: no trained model (card.json missing); run `luray train` first"
        )

    weights = read_object(f"{folder}/weights.safetensors") or b""
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != card.weights_sha256:
        raise ValueError(
            f"{folder}/weights.safetensors: sha256 {sha256[:12]}.. but card.json says "
            f"{card.weights_sha256[:12]}..; the file was changed or cut, run `luray train` again"
        )

    try:
        tensors = load(weights)
        _require_shapes(tensors, card)
        model = UNet(len(card.channels), len(card.classes), card.unet)
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{folder}/weights.safetensors is not a model as {folder}/card.json describes it "
            f"({error}); run `luray train` again"
        ) from error
    return model.eval(), card


def _require_shapes(tensors: Mapping[str, torch.Tensor], card: ModelCard) -> None:
    """Raise RuntimeError where tensors are not those of a card, which may claim any size.

    The model is made without memory for this.
    """
    with torch.device("meta"):
        described = UNet(len(card.channels), len(card.classes), card.unet).state_dict()
    for name in sorted({*described, *tensors}):
        expected = described[name].shape if name in described else "none"
        found = tensors[name].shape if name in tensors else "none"
        if expected != found:
            raise RuntimeError(f"{name}: expected {expected}, found {found}")


def read_card(folder: str) -> ModelCard | None:
    """Read the card of a finished model, None when the folder has none.

    Raises
    ------
    ValueError
        If the card is damaged, or has another format than `FORMAT`.
    """
    data = read_object(f"{folder}/card.json")
    if data is None:
        return None

    try:
        contents = json.loads(data)
        if contents.pop("format", None) == FORMAT:
            return _card_of(contents)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}/card.json: damaged or no model card ({type(error).__name__}: {error}); run "
            "`luray train --restart`, or copy the model again"
        ) from error
    raise ValueError(
        f"{folder}/card.json: not a model card of format {FORMAT}; train the model with this "
        "version"
    )


def _card_of(contents: dict[str, Any]) -> ModelCard:
    """Return a card of its JSON; raise any of a few errors where it is none."""
    points = {
        point: Calibration(*map(float, values)) for point, values in contents["points"].items()
    }
    if points.keys() != set(get_args(OperatingPoint)):
        raise ValueError(f"operating points {sorted(points)}")
    if contents["direction"] not in get_args(Direction):
        raise ValueError(f"direction {contents['direction']!r}")
    for key in ("legend", "fingerprint", "weights_sha256"):
        if not isinstance(contents[key], str):
            raise TypeError(f"{key} is {contents[key]!r}, expected text")
    for key in ("training", "identity"):
        if not isinstance(contents[key], dict):
            raise TypeError(f"{key} is {contents[key]!r}, expected an object")
    return ModelCard(
        **contents
        | {
            "unet": UNetConfig(**contents["unet"]),
            "classes": tuple(map(int, contents["classes"])),
            "channels": tuple(map(str, contents["channels"])),
            "points": points,
        }
    )


def check_fits(card: ModelCard, features: Features, *, legend: str, direction: Direction) -> None:
    """Refuse a model that was trained for other inputs, another legend or direction.

    Raises
    ------
    ValueError
        If they differ; it names both sides.
    """
    properties = (
        ("direction", direction, card.direction),
        ("legend", legend, card.legend),
        ("history", features.history, card.unet.history),
        ("input channels", features.names, card.channels),
    )
    for name, of_run, of_model in properties:
        if of_run != of_model:
            raise ValueError(
                f"model {card.fingerprint[:12]} was trained for {name} {of_model}, the run needs "
                f"{of_run}; train a model for this run file"
            )
