"""Training samples that a model can learn, and trainers for them."""

import torch
from torch import Generator

from luray.core.legend import OUTSIDE
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.training.noise_config import NoiseConfig
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.trainer import Trainer
from tests.worlds import REMEMBERING, K

SIZE = 16


def sample_of(k, *, n=2, years=3):
    """Micro-batch k: a cell becomes class 1 in the years in which the forcing `crop` is above 0.8."""
    random = Generator().manual_seed(k)
    coarse = torch.rand(n, years, 3, SIZE // 4, SIZE // 4, generator=random)
    forcing = coarse.repeat_interleave(4, -1).repeat_interleave(4, -2)
    maps = [torch.randint(K, (n, SIZE, SIZE), generator=random, dtype=torch.uint8)]
    maps += [torch.where(forcing[:, year, 0] > 0.8, 1, maps[0]) for year in range(1, years)]
    ocean = (torch.rand(n, SIZE, SIZE, generator=random) < 0.1)[:, None]
    older = [torch.where(maps[0] == 2, 3, maps[0]), maps[0], maps[0]]
    return Sample(
        torch.where(ocean, OUTSIDE, torch.stack(maps, 1).byte()),
        torch.where(ocean, OUTSIDE, torch.stack(older, 1).byte()),
        forcing,
        torch.randn(n, 1, SIZE, SIZE, generator=random),
        torch.rand(n, SIZE, SIZE, generator=random) + 0.5,
        torch.rand(n, SIZE, SIZE, generator=random) < 0.9,
    )


def recipe_of(**options):
    defaults = {
        "years": (2000, 2010),
        "steps": 20,
        "batch": 8,
        "micro_batch": 2,
        "rollout_years": 2,
        "change_weight": 0.2,
        "noise": NoiseConfig(share=0.1),
        "calibration_batches": 4,
        "seed": 3,
    }
    return Recipe(**defaults | options)


def trainer_of(recipe, **options):
    torch.manual_seed(7)
    model = UNet(REMEMBERING.n_channels, K, UNetConfig(width=4, depth=1))
    return Trainer(model, REMEMBERING, recipe, **options)


def micro_batches_of(step, recipe, *, rank=0, world=1):
    """This worker's micro-batches of a step, by their number in the effective batch."""
    numbers = range(rank, recipe.n_micro_batches, world)
    return {number: sample_of(step * 100 + number) for number in numbers}
