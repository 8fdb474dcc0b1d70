"""A finished model on disk: safetensors with a sha256, and a model card in JSON.

No pickle is ever read. A model is a folder with `weights.safetensors` and `card.json`. The card is
written last and names the hash of the weights, so a folder without a fitting card holds no model.
What an interrupted training needs to go on is another file, see `luray.training.checkpoint`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from luray.model.card import FORMAT, ModelCard, read_card
from luray.model.unet import UNet
from luray.storage.objects import read_object, write_atomically


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
        model = untrained(card)
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{folder}/weights.safetensors is not a model as {folder}/card.json describes it "
            f"({error}); run `luray train` again"
        ) from error
    return model.eval(), card


def untrained(card: ModelCard) -> UNet:
    """Return a network of the size that a card describes.

    On the device "meta" it takes no memory, whatever the card claims.
    """
    return UNet(len(card.channels), len(card.classes), card.unet)


def _require_shapes(tensors: Mapping[str, torch.Tensor], card: ModelCard) -> None:
    """Raise RuntimeError where tensors are not those of a card, which may claim any size."""
    with torch.device("meta"):
        described = untrained(card).state_dict()
    for name in sorted({*described, *tensors}):
        expected = described[name].shape if name in described else "none"
        found = tensors[name].shape if name in tensors else "none"
        if expected != found:
            raise RuntimeError(f"{name}: expected {expected}, found {found}")
