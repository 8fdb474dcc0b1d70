"""A training step against a plain PyTorch loop of the same U-Net, on a batch that stays in memory.

The plain loop is what a user would write: the model as it comes, AdamW, cross-entropy, gradients
clipped. It is given the model's input ready made. Ours begins with maps and forcing, as a rollout
needs them, and also weighs cells, counts changes and checks that all is finite. Both take turns in
the same threads; processor time counts, so that other work hardly changes the ratio.
"""

import tempfile
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from luray.core.legend import OUTSIDE
from luray.cube.cube import Cube
from luray.model.model_input import assemble
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.training.change_counts_store import read_or_count_changes
from luray.training.rollout import Sample
from luray.training.training import Training
from tests.benchmarks.feed import training_of, write_cube
from tests.benchmarks.ratio import Ratio

WIDTHS = 16, 32
ROUNDS = 6


def measure() -> Iterator[Ratio]:
    """Time of a plain step over that of ours, by width."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_cube(f"{folder}/cube.zarr")
        training = training_of(Cube.open(f"{folder}/cube.zarr"))
        data = training.data
        read_or_count_changes(data.cube, data.tiling, data.recipe.sampling)
        for width in WIDTHS:
            config = UNetConfig(width=width, depth=3)
            yield _ratio(Training(data, config, f"{folder}/model{width}"), width)


def _ratio(training: Training, width: int) -> Ratio:
    data = training.data
    plan = data.plan()
    micro_batch = data.recipe.micro_batch
    batch = {
        number: data.micro_batch(plan, number * micro_batch)
        for number in range(data.recipe.n_micro_batches)
    }
    trainer = training.trainer()
    plain_step = plain_loop(training, list(batch.values()))

    ours, plain = [], []
    for _ in range(1 + ROUNDS):  # the first prepares memory
        plain.append(_cpu_seconds(plain_step))
        ours.append(_cpu_seconds(lambda: trainer.step(batch)))
    ours_seconds = min(ours[1:])
    plain_seconds = min(plain[1:])
    return Ratio(
        f"a training step over a plain loop, width {width}",
        plain_seconds / ours_seconds,
        1.2,
        f"{1000 * plain_seconds:.0f} and {1000 * ours_seconds:.0f} ms of {data.recipe.batch} "
        f"windows of {data.tiling.window} cells, one thread",
    )


def plain_loop(training: Training, samples: list[Sample]) -> Callable[[], None]:
    """Return a step of a plain PyTorch loop on a batch, of which the model sees the first year."""
    features = training.data.features
    model = UNet(features.n_channels, features.n_classes, training.unet).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=training.recipe.learning_rate)
    micro_batches = []
    for sample in samples:
        maps_BNHW = torch.cat([sample.maps_BTHW[:, :1], sample.older_maps_BNHW], dim=1)
        inputs_BCHW = assemble(
            maps_BNHW,
            sample.forcing_BTLHW[:, 1],
            sample.forcing_BTLHW[:, 0],
            sample.static_BSHW,
            features,
        )
        classes_BHW = sample.scored_maps_BTHW[:, 1].long()
        micro_batches.append((inputs_BCHW.contiguous(), classes_BHW))

    def step() -> None:
        optimiser.zero_grad()
        for inputs_BCHW, classes_BHW in micro_batches:
            loss = cross_entropy(model(inputs_BCHW), classes_BHW, ignore_index=OUTSIDE)
            (loss / len(micro_batches)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), training.recipe.clip)
        optimiser.step()

    return step


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
