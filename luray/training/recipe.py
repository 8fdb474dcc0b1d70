"""Settings of `[training]`: how a model is trained."""

from typing import Any, Literal

from luray.core.config import Config, DeviceChoice, Workers
from luray.training.noise_config import NoiseConfig
from luray.training.prior_feeding import PriorFeeding
from luray.training.ramps import Ramp, constant
from luray.training.sampling_config import SamplingConfig

WindowsReadBy = Literal["consumer", "readers"]
"""Who reads the arrays of a window.

consumer: the process that uses them, in threads of its own; readers: CPU workers ahead of it, on
other nodes if there are any.
"""


class Recipe(Config):
    """How a model is trained; the years are the maps it may see, both ends included."""

    years: tuple[int, int]
    sampling: SamplingConfig = SamplingConfig()
    steps: int = 2000
    """Updates of the weights."""
    epochs: int = 8
    """Parts of the training that each end with a checkpoint and scores on held-out blocks."""
    batch: int = 8
    """Samples of an update."""
    micro_batch: int = 4
    """Samples that pass through the model at a time: the unit of batch norm and of noise."""
    rollout_years: Ramp = constant(1)
    """Years that the model predicts in a row, from the second on from its own maps;
    `{ first = 1, last = 4 }` begins with one and ends with four.
    """
    teacher_forcing: Ramp = constant(0)
    """Share of samples that are shown the true map in the later years of a rollout, not the model's
    own.
    """
    learning_rate: float = 4e-3
    """The highest, after the warm-up; a cosine takes it to 0."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 1e-4
    clip: float = 1.0
    """Largest norm of the gradient; a longer one is scaled down to it."""
    change_weight: float = 0.03
    """Share of the loss that changed cells alone make up."""
    class_balance: float = 0.0
    """Power of a class's rarity that weighs its cells in the loss: 0 all alike, 1 all classes
    alike.
    """
    precision: Literal["float32", "mixed"] = "mixed"
    """mixed: the forward pass in bfloat16 on GPUs that have it; CPUs train in float32."""
    noise: NoiseConfig = NoiseConfig()
    calibration_batches: int = 16
    """Micro-batches that the statistics of batch norm are averaged over in the end."""
    validation_batches: int = 64
    """Micro-batches of held-out cells on which the operating points are fitted and the finished
    model is scored.
    """
    checkpoint_every: int = 100
    """Steps between checkpoints inside an epoch."""
    workers: Workers = Workers(min=1, max=1)
    """Workers, or `{ min = 1, max = 4 }`: as many as the cluster has room for at the moment."""
    device: DeviceChoice = "auto"
    """auto: GPUs if the cluster has one for each worker; gpu: ask for them, so that an autoscaler
    brings them.
    """
    windows_read_by: WindowsReadBy = "consumer"
    """consumer: a training worker reads its windows itself; readers: CPU workers read ahead."""
    readers: int = 2
    """CPU workers that read ahead, at most, for each training worker."""
    seed: int = 0

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a recipe that cannot be trained."""
        if self.batch % self.micro_batch:
            raise ValueError(
                f"training.batch {self.batch} must be a multiple of training.micro_batch "
                f"{self.micro_batch}"
            )
        if self.workers.max > self.n_micro_batches:
            raise ValueError(
                f"{self.workers.max} workers cannot share {self.n_micro_batches} micro-batches; "
                "set training.workers to at most batch / micro_batch = "
                f"{self.n_micro_batches}"
            )
        noise = self.noise.share
        if not 0 <= noise.minimum <= noise.maximum < 1 or not 0 <= self.change_weight <= 1:
            raise ValueError(
                "training.change_weight and training.noise.share must lie between 0 and 1"
            )
        if not 0 <= self.teacher_forcing.minimum <= self.teacher_forcing.maximum <= 1:
            raise ValueError("training.teacher_forcing must lie between 0 and 1")
        if not 0 <= self.class_balance <= 1:
            raise ValueError(f"training.class_balance is {self.class_balance}, expected 0 to 1")

        counts = {
            "steps": self.steps,
            "epochs": self.epochs,
            "readers": self.readers,
            "checkpoint_every": self.checkpoint_every,
            "rollout_years": self.rollout_years.minimum,
        }
        below_1 = [f"training.{key}" for key, count in counts.items() if count < 1]
        if below_1:
            raise ValueError(f"{', '.join(below_1)} must be at least 1")

    @property
    def n_micro_batches(self) -> int:
        """Micro-batches of an effective batch."""
        return self.batch // self.micro_batch

    @property
    def longest_rollout(self) -> int:
        """Years of the longest rollout."""
        return round(self.rollout_years.maximum)

    def progress(self, step: int) -> float:
        """Return how far a step is between the first (0) and the last (1)."""
        return min(1.0, step / max(1, self.steps - 1))

    def feeding(self, step: int) -> PriorFeeding:
        """Return what the model is shown as prior at a step."""
        progress = self.progress(step)
        return PriorFeeding(
            noise=self.noise.share.at(progress),
            noise_kind=self.noise.kind,
            teacher_forcing=self.teacher_forcing.at(progress),
        )

    def epoch_ended(self, done: int) -> int:
        """Return the number, from 1, of the epoch that ends with the `done`-th step; else 0."""
        epoch = done * self.epochs // self.steps
        epoch_before = (done - 1) * self.epochs // self.steps
        return epoch if epoch > epoch_before else 0
