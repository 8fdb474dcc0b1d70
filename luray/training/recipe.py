"""TO BE WRITTEN."""

from typing import Any, Literal

from luray.core.config import Config, DeviceChoice, LeaveOut, Workers
from luray.training.noise import NoiseConfig
from luray.training.ramps import Ramp, constant
from luray.training.rollout import Feeding
from luray.training.sampling_config import SamplingConfig


class Recipe(Config):
    """How a model is trained; the years are the maps it may see, both ends included."""

    years: tuple[int, int]
    leave_out: LeaveOut = "nothing"
    """base maps: no sample meets a map that its source declares of another kind (HILDA+ version 1
    has 2015).
    """
    sampling: SamplingConfig = SamplingConfig()
    steps: int = 2000
    epochs: int = 8
    """Parts of the training that each end with a checkpoint and scores on held-out blocks."""
    batch: int = 8
    micro_batch: int = 4
    rollout_years: Ramp = constant(2)
    """Years that the model predicts in a row; `{ first = 2, last = 4 }` begins with two and ends
    with four.
    """
    teacher_forcing: Ramp = constant(0)
    """Share of samples that are shown the true map in the later years of a rollout, not the model's
    own.
    """
    learning_rate: float = 4e-3
    warmup: float = 0.05
    weight_decay: float = 1e-4
    clip: float = 1.0
    change_weight: float = 0.03
    class_balance: float = 0.0
    """Power of a class's rarity that weighs its cells in the loss: 0 all alike, 1 all classes
    alike.
    """
    precision: Literal["float32", "mixed"] = "mixed"
    """mixed: the forward pass in bfloat16 on GPUs that have it; CPUs train in float32."""
    noise: NoiseConfig = NoiseConfig()
    calibration_batches: int = 16
    validation_batches: int = 64
    """Micro-batches of held-out cells on which the operating points are fitted and the finished
    model is judged.
    """
    checkpoint_every: int = 100
    """Steps between checkpoints inside an epoch."""
    workers: Workers = Workers(min=1, max=1)
    """Workers, or `{ min = 1, max = 4 }`: as many as the cluster has room for at the moment."""
    device: DeviceChoice = "auto"
    """auto: GPUs if the cluster has one for each worker; gpu: ask for them, so that an autoscaler
    brings them.
    """
    read: Literal["late", "ahead"] = "late"
    """late: a trainer's own threads read its windows; ahead: CPU workers do, on other nodes if
    there are any.
    """
    readers: int = 2
    """CPU workers that read ahead, at most, for each trainer."""
    seed: int = 0

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a recipe that cannot be trained."""
        if self.batch % self.micro_batch:
            raise ValueError(
                f"training.batch {self.batch} must be a multiple of training.micro_batch "
                f"{self.micro_batch}"
            )
        if self.workers.max > self.pieces:
            raise ValueError(
                f"{self.workers.max} workers cannot share {self.pieces} micro-batches; set "
                f"training.workers to at most batch / micro_batch = {self.pieces}"
            )
        if not (
            0 <= self.noise.share.least <= self.noise.share.most < 1
            and 0 <= self.change_weight <= 1
        ):
            raise ValueError(
                "training.change_weight and training.noise.share must lie between 0 and 1"
            )
        if not 0 <= self.teacher_forcing.least <= self.teacher_forcing.most <= 1:
            raise ValueError("training.teacher_forcing must lie between 0 and 1")
        if not 0 <= self.class_balance <= 1:
            raise ValueError(f"training.class_balance is {self.class_balance}, expected 0 to 1")
        counts = {
            key: getattr(self, key) for key in ("steps", "epochs", "readers", "checkpoint_every")
        }
        low = [
            f"training.{k}"
            for k, n in {**counts, "rollout_years": self.rollout_years.least}.items()
            if n < 1
        ]
        if low:
            raise ValueError(f"{', '.join(low)} must be at least 1")

    @property
    def pieces(self) -> int:
        """Micro-batches of an effective batch."""
        return self.batch // self.micro_batch

    @property
    def longest(self) -> int:
        """Years of the longest rollout."""
        return round(self.rollout_years.most)

    def progress(self, step: int) -> float:
        """How far a step is between the first (0) and the last (1)."""
        return min(1.0, step / max(1, self.steps - 1))

    def feeding(self, step: int) -> Feeding:
        """What the model is shown as prior at a step."""
        progress = self.progress(step)
        return Feeding(
            self.noise.share.at(progress), self.noise.kind, self.teacher_forcing.at(progress)
        )

    def epoch_ended(self, done: int) -> int:
        """Number of the epoch that ends when so many steps are done, from 1; 0 inside one."""
        epoch = done * self.epochs // self.steps
        return epoch if epoch > (done - 1) * self.epochs // self.steps else 0
