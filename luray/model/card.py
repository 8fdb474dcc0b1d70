"""The card of a finished model: what it is and what it was trained on, in JSON.

Reading one needs no torch, so that whoever only looks at a product or at scores does not wait for
its import.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from luray.core.types import Direction
from luray.model.features import Features
from luray.model.operating_point import NO_CALIBRATION, Calibration, OperatingPoint
from luray.model.unet_config import UNetConfig
from luray.storage.objects import read_object

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
    """Filled in by `checkpoint.save_model`."""


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
        ("class codes", features.codes or card.classes, card.classes),
        ("history", features.history, card.unet.history),
        ("input channels", features.names, card.channels),
    )
    for name, of_run, of_model in properties:
        if of_run != of_model:
            raise ValueError(
                f"model {card.fingerprint[:12]} was trained for {name} {of_model}, the run needs "
                f"{of_run}; train a model for this run file"
            )
