"""The STAC item of a trained model: weights, card, and how they are used (the mlm extension)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pystac
import torch
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import (
    AssetGeneralMLMExtension,
    Hyperparameters,
    InputStructure,
    MLMExtension,
    ModelInput,
    ModelOutput,
    ResultStructure,
    TaskType,
)
from pystac.extensions.raster import DataType

from luray.catalog.finished import FinishedProduct
from luray.catalog.origin import add_version
from luray.catalog.stac import relative_href
from luray.model.card import ModelCard
from luray.model.checkpoint import untrained

SAFETENSORS = "application/vnd.safetensors"
"""Media type of the weights."""

SHA256 = "1220"
"""How a multihash begins that is a sha256 of 32 bytes."""


class TrainedModel(NamedTuple):
    """The folder of a finished model, and its card."""

    folder: str
    card: ModelCard
    years: tuple[int, int]
    """First and last year of its training."""


def model_item(
    model: TrainedModel, product: FinishedProduct, *, name: str, title: str, folder: str
) -> pystac.Item:
    """Return the item of a model.

    Parameters
    ----------
    model : TrainedModel
        The model; the product was made with it.
    product : FinishedProduct
        Gives the place that it was trained for, and the legend.
    name, title : str
        Of the product.
    folder : str
        Where the item will lie: hrefs are relative to it.
    """
    card = model.card
    first, last = model.years
    item = pystac.Item(
        f"{name}-model-{card.direction}",
        product.geometry,
        product.bbox,
        None,
        {
            "title": f"{title}: {card.direction} model",
            "description": _description(card, product),
            "luray:direction": card.direction,
            "luray:channels": list(card.channels),
            "luray:fingerprint": card.fingerprint,
        },
        start_datetime=datetime(first, 1, 1, tzinfo=UTC),
        end_datetime=datetime(last, 12, 31, 23, 59, 59, tzinfo=UTC),
    )
    add_version(item, card.fingerprint[:12])
    _add_network(item, card, product)
    _add_files(item, model, folder=folder)
    return item


def _description(card: ModelCard, product: FinishedProduct) -> str:
    """Say what a model does and how it is run, in CommonMark."""
    which = "next" if card.direction == "forward" else "previous"
    outputs = "the logits of each class"
    if product.legend.scale is not None:
        outputs = "a value and its spread"
    return (
        f"Predicts the {product.legend.long_name} of the {which} {product.time.each} from the last "
        f"{card.unet.history} maps, coarse forcing and static inputs. With luray installed, one "
        "line opens it, checked against its sha256: `model, card = "
        'luray.open_model("<address of this item>")`; `model(inputs)` gives '
        f"{outputs}. The channels of the inputs are `luray:channels`; "
        "`luray infer` makes them of a predictor cube."
    )


def _add_network(item: pystac.Item, card: ModelCard, product: FinishedProduct) -> None:
    """Describe inputs, outputs and size of the network."""
    n_channels = len(card.channels)
    inputs = ModelInput.create(
        "window",
        # A band is one of an image, and channels are none: `luray:channels` names them.
        bands=[],
        input=InputStructure.create(
            [-1, n_channels, -1, -1], ["batch", "channel", "height", "width"], DataType.FLOAT32
        ),
        description=f"Height and width are multiples of {2**card.unet.depth} cells.",
    )
    of_values = product.legend.scale is not None
    outputs = _values_output() if of_values else _logits_output(card, product.classes)
    ClassificationExtension.add_to(item)
    with torch.device("meta"):
        network = untrained(card)
    MLMExtension.ext(item, add_if_missing=True).apply(
        name=item.id,
        architecture="U-Net",
        tasks=[TaskType.REGRESSION if of_values else TaskType.SEMANTIC_SEGMENTATION],
        input=[inputs],
        output=[outputs],
        framework="PyTorch",
        total_parameters=sum(weights.numel() for weights in network.parameters()),
        pretrained=False,
        hyperparameters=Hyperparameters.create(**card.unet.model_dump()),
    )


def _logits_output(card: ModelCard, classes: Sequence[Classification]) -> ModelOutput:
    """Describe the output of a model of classes."""
    return ModelOutput.create(
        "logits",
        tasks=[TaskType.SEMANTIC_SEGMENTATION],
        result=ResultStructure.create(
            [-1, len(card.classes), -1, -1], ["batch", "class", "height", "width"], DataType.FLOAT32
        ),
        classes=[known for known in classes if known.value in card.classes],
        description="Logits of each class; the softmax of them is calibrated by the card's points.",
    )


def _values_output() -> ModelOutput:
    """Describe the output of a model of values."""
    return ModelOutput.create(
        "values",
        tasks=[TaskType.REGRESSION],
        result=ResultStructure.create(
            [-1, 2, -1, -1], ["batch", "value_and_spread", "height", "width"], DataType.FLOAT32
        ),
        description="The value of a cell, and how far it may be off.",
    )


def _add_files(item: pystac.Item, model: TrainedModel, *, folder: str) -> None:
    """Add the weights, with their sha256, and the card."""
    weights = pystac.Asset(
        relative_href(f"{model.folder}/weights.safetensors", folder=folder),
        title="Weights",
        media_type=SAFETENSORS,
        roles=["mlm:model", "mlm:weights", "data"],
    )
    item.add_asset("weights", weights)
    AssetGeneralMLMExtension.ext(weights, add_if_missing=True).apply(
        artifact_type="safetensors.torch.save_file"
    )
    FileExtension.ext(weights, add_if_missing=True).apply(
        checksum=f"{SHA256}{model.card.weights_sha256}"
    )
    card = pystac.Asset(
        relative_href(f"{model.folder}/card.json", folder=folder),
        title="Model card: channels, classes, calibration, training",
        media_type=pystac.MediaType.JSON,
        roles=["metadata"],
    )
    item.add_asset("card", card)
