"""The training of one model: what it is, where it is stored, and its steps from first to last."""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from luray.core.types import Direction
from luray.model.card import read_card
from luray.model.unet import UNet
from luray.model.unet_config import UNetConfig
from luray.storage.objects import remove
from luray.storage.receipts import fingerprint_of
from luray.training.checkpoint import Checkpoint, require_same
from luray.training.class_balance import class_weights
from luray.training.recipe import Recipe
from luray.training.rollout import Sample
from luray.training.step_metrics import StepMetrics
from luray.training.trainer import Trainer, one_worker
from luray.training.training_data import TrainingData

log = logging.getLogger(__name__)

OUTSIDE_IDENTITY = {
    "workers",
    "device",
    "checkpoint_every",
    "epochs",
    "windows_read_by",
    "readers",
}
"""Keys of the recipe that the weights do not depend on: who computes and reads, and when it saves.
"""

AfterStep = Callable[[Trainer, StepMetrics], None]
"""Called after each step with the trainer and the metrics of the step."""


def do_nothing(trainer: Trainer, metrics: StepMetrics) -> None:
    """Ignore a step, as workers do that do not lead."""


@dataclass(frozen=True)
class Training:
    """The training of one model.

    Parameters
    ----------
    data : TrainingData
        Its samples.
    unet : UNetConfig
        Size of the model.
    folder : str
        Where the model and, until it is finished, its checkpoint are; a path or a URL.
    """

    data: TrainingData
    unet: UNetConfig
    folder: str

    def __post_init__(self) -> None:
        assert self.data.history == self.unet.history, "samples and model remember as many maps"

    @property
    def recipe(self) -> Recipe:
        """How the model is trained."""
        return self.data.recipe

    @property
    def direction(self) -> Direction:
        """Direction of travel."""
        return self.data.direction

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything the weights depend on, as JSON; the number of workers is not among it.

        Models and checkpoints that exist are compared with it, so its keys stay as they are.
        """
        data = self.data
        identity: dict[str, Any] = {
            "direction": data.direction,
            "legend": data.cube.legend.name,
            "grid": asdict(data.cube.grid),
            "cube": data.cube.fingerprint,
            "tiling": {"window": data.tiling.window, "stride": data.tiling.stride},
            "model": self.unet.model_dump(),
            "training": data.recipe.model_dump(exclude=OUTSIDE_IDENTITY),
        }
        if data.left_out:
            identity["left_out"] = sorted(data.left_out)
        if data.cube.legend.scale is not None:
            identity["scale"] = asdict(data.cube.legend.scale)
            identity["time_step"] = data.cube.time.interval
            # What the model is shown may differ from version to version; of classes it has stayed.
            identity["channels"] = list(data.features.names)

        # As it comes back from a file: tuples are lists then.
        as_stored: dict[str, Any] = json.loads(json.dumps(identity))
        return as_stored

    @property
    def fingerprint(self) -> str:
        """Hash of the identity."""
        return fingerprint_of(self.identity)

    @property
    def finished(self) -> bool:
        """True when the folder holds this very model.

        Raises
        ------
        ValueError
            If it holds another model; it names what differs.
        """
        card = read_card(self.folder)
        if card:
            require_same(card.identity, self.identity, what=f"{self.folder} holds")
        return card is not None

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the unfinished training is kept."""
        return Checkpoint(f"{self.folder}/training.safetensors", self.identity)

    def discard_another(self) -> None:
        """Delete what the folder holds of another training."""
        try:
            if not self.finished:
                self.checkpoint.restore(self._trainer_at_start())
        except ValueError as error:
            log.warning("discarded: %s", error)
            remove(self.folder)

    def trainer(
        self,
        sum_over_workers: Callable[[Tensor], Tensor] = one_worker,
        *,
        device: torch.device | None = None,
    ) -> Trainer:
        """Return a trainer at step 0, or where the checkpoint ends.

        Parameters
        ----------
        sum_over_workers : callable
            See `Trainer`.
        device : torch.device, optional
            By default the CPU.

        Raises
        ------
        ValueError
            If the folder holds a checkpoint of another training.
        """
        trainer = self._trainer_at_start(sum_over_workers, device)
        self.checkpoint.restore(trainer)
        return trainer

    def _trainer_at_start(
        self,
        sum_over_workers: Callable[[Tensor], Tensor] = one_worker,
        device: torch.device | None = None,
    ) -> Trainer:
        torch.manual_seed(self.recipe.seed)  # of the initial weights, the same on all workers
        features = self.data.features
        model = UNet(features.n_channels, features.n_classes, self.unet).to(
            device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        return Trainer(
            model,
            features,
            self.recipe,
            sum_over_workers=sum_over_workers,
            class_weights_K=self._class_weights_K(device),
        )

    def _class_weights_K(self, device: torch.device | None) -> Tensor | None:
        """Weight of each class in the loss; None where all weigh alike."""
        balance = self.recipe.class_balance
        if not balance:
            return None
        first, last = self.data.years("training")
        cells_K = self.data.change_counts.cells_in(first, last, left_out=self.data.left_out)
        return torch.from_numpy(class_weights(cells_K, balance=balance)).to(device)


def run_steps(
    training: Training,
    trainer: Trainer,
    batches: Iterable[dict[int, Sample]],
    *,
    after: AfterStep = do_nothing,
) -> None:
    """Train to the end, then set the statistics of batch norm.

    Parameters
    ----------
    training : Training
        Where the samples for the statistics come from.
    trainer : Trainer
        At the step that `batches` begin with.
    batches : iterable of dict
        This worker's micro-batches of each step, by their number in the effective batch.
    after : callable
        Called after each step.
    """
    for samples in batches:
        metrics = trainer.step(samples)
        after(trainer, metrics)
    trainer.calibrate(training.data.calibration_batches(training.data.plan()))
