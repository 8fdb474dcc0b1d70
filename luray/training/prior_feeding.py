"""What a model is shown as the prior of a year in training."""

from typing import NamedTuple

from luray.training.noise_config import NoiseKind


class PriorFeeding(NamedTuple):
    """What a model is shown as the prior of a year."""

    noise: float = 0.0
    """Share of land cells whose class is corrupted in the prior of the first year."""
    noise_kind: NoiseKind = "mask"
    teacher_forcing: float = 0.0
    """Share of samples that are shown the true map in a later year, not the model's own."""


CLEAN = PriorFeeding()
"""The true map in the first year, the model's own in later ones."""
