"""Models with random weights whose maps change from year to year, for tests and benchmarks."""

import torch

from luray.core.types import Direction
from luray.cube.cube import Cube
from luray.model.card import ModelCard
from luray.model.checkpoint import save_model
from luray.model.features import Features
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig


def random_model(
    features: Features, config: UNetConfig, *, seed: int = 0, bonus: float = 0.5
) -> UNet:
    """Make a U-Net with random weights and batch-norm statistics.

    Parameters
    ----------
    features : Features
        Channels that the model reads.
    config : UNetConfig
    seed : int
    bonus : float
        Logit that persistence gets in every cell: the larger, the fewer cells change.
    """
    generator = torch.Generator().manual_seed(seed)
    model = UNet(features.n_channels, features.n_classes, config)
    # The order of the draws is that of the modules: another order gives another model.
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                # He initialisation: activations keep their spread from layer to layer
                inputs_of_a_cell = module.weight[0].numel()
                module.weight.normal_(0, (2 / inputs_of_a_cell) ** 0.5, generator=generator)
            elif isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
        assert model.head.bias is not None
        model.head.bias[-1] = bonus  # the last channel is the bonus of the prior's class
    return model


def save_random_model(
    cube: Cube, direction: Direction, config: UNetConfig, folder: str, *, bonus: float = 0.5
) -> None:
    """Write a random model for the inputs of a cube, with its card."""
    features = cube.features.remembering(config.history)
    card = ModelCard(
        direction,
        cube.legend.name,
        features.codes,
        features.names,
        config,
        {},
        f"restless {bonus}",
        {},
    )
    save_model(random_model(features, config, bonus=bonus), card, folder)
