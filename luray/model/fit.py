"""Training of one U-Net: the recipe, the optimiser and one step. The same code runs serially and on every Ray worker.

An effective batch is `batch` samples, made of micro-batches of `micro_batch`: the unit of batch norm, of noise and of
distribution. 1 worker accumulates them all, N workers share them; the gradient is the same.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from luray.model.calibration import Cells
from luray.model.features import Features
from luray.model.loss import Weights, mixed_loss, weights_of
from luray.model.noise import NoiseConfig
from luray.model.rollout import Sample, Step, rollout
from luray.model.samples import SamplingConfig
from luray.model.unet import UNet
from luray.schema import OUTSIDE, Config

UNTOUCHED = NoiseConfig(share=0.0)
"""A prior as it is."""


class Recipe(Config):
    """How a model is trained; the years are the maps it may see, both ends included."""

    years: tuple[int, int]
    sampling: SamplingConfig = SamplingConfig()
    steps: int = 600
    batch: int = 8
    micro_batch: int = 4
    rollout_years: int = 2
    learning_rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 1e-4
    clip: float = 1.0
    change_weight: float = 0.03
    class_balance: float = 0.0
    """Power of a class's rarity that weighs its cells in the loss: 0 all alike, 1 all classes alike."""
    precision: Literal["float32", "mixed"] = "mixed"
    """mixed: the forward pass in bfloat16 on GPUs that have it; CPUs train in float32."""
    noise: NoiseConfig = NoiseConfig()
    calibration_batches: int = 16
    validation_batches: int = 64
    """Micro-batches of held-out cells on which the operating points are fitted and the finished model is judged."""
    checkpoint_every: int = 100
    workers: int = 1
    read: Literal["late", "ahead"] = "late"
    """late: a trainer's own threads read its windows; ahead: CPU workers do, on other nodes if there are any."""
    readers: int = 2
    """CPU workers that read ahead, at most, for each trainer."""
    seed: int = 0

    def model_post_init(self, _: Any) -> None:
        """Raise ValueError for a recipe that cannot be trained."""
        if self.batch % self.micro_batch:
            raise ValueError(f"training.batch {self.batch} must be a multiple of training.micro_batch "
                             f"{self.micro_batch}")
        if (self.batch // self.micro_batch) % self.workers:
            raise ValueError(f"{self.workers} workers cannot share {self.batch // self.micro_batch} micro-batches "
                             "evenly; set training.workers to a divisor of batch / micro_batch")
        if not 0 <= self.change_weight <= 1 or not 0 <= self.noise.share < 1:
            raise ValueError("training.change_weight and training.noise.share must lie between 0 and 1")
        if not 0 <= self.class_balance <= 1:
            raise ValueError(f"training.class_balance is {self.class_balance}, expected 0 to 1")
        if min(self.rollout_years, self.steps, self.readers) < 1:
            raise ValueError("training.rollout_years, training.steps and training.readers must be at least 1")

    @property
    def pieces(self) -> int:
        """Micro-batches of an effective batch."""
        return self.batch // self.micro_batch


class Trainer:
    """A model, its optimiser and its schedule; `step` is one update.

    `total` sums a tensor over the workers, in place of which one worker has the identity; `class_weights_K` weighs the
    cells of each class in the loss.
    """

    def __init__(self, model: UNet, features: Features, recipe: Recipe, *,
                 total: Callable[[Tensor], Tensor] = lambda t: t, class_weights_K: Tensor | None = None) -> None:
        self.model, self.features, self.recipe, self._total = model, features, recipe, total
        self._class_weights_K = class_weights_K
        device = next(model.parameters()).device.type
        self._mixed = recipe.precision == "mixed" and device == "cuda" and torch.cuda.is_bf16_supported()
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate,
                                           weight_decay=recipe.weight_decay)
        self.done = 0

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to zero."""
        warmup = max(1, round(self.recipe.warmup * self.recipe.steps))
        if step < warmup:
            return self.recipe.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.recipe.steps - warmup)
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def step(self, samples: dict[int, Sample]) -> dict[str, float]:
        """One update from this worker's micro-batches, by their number in the effective batch; returns live metrics.

        Raises ValueError when the loss or its gradient is not finite; the weights are then those of the step before.
        """
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(self.done)
        self.optimiser.zero_grad(set_to_none=False)
        areas = torch.stack([torch.stack(weights_of(s.judged_BTHW, s.area_BH, class_weights_K=self._class_weights_K))
                             for s in samples.values()])
        totals = Weights(*self._total(areas.sum(dim=0)))
        counts = self._total(sum(self._accumulate(sample, self._noise(piece), totals)
                                 for piece, sample in samples.items()))  # type: ignore[arg-type]
        loss, hits, persistent, changed, cells = counts.tolist()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        together = self._total(torch.cat([g.reshape(-1) for g in gradients]))
        for gradient, part in zip(gradients, torch.split(together, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise ValueError(f"training step {self.done}: the loss is {loss}, the norm of its gradient {norm}; lower "
                             "training.learning_rate or check the forcing for extreme values; the last checkpoint is "
                             "kept")
        self.optimiser.step()
        self.done += 1
        cells = max(cells, 1.0)
        return {"loss": loss, "accuracy": hits / cells, "persistence": persistent / cells,
                "predicted_change": changed / cells, "observed_change": 1 - persistent / cells,
                "gradient_norm": norm}

    def calibrate(self, samples: Iterable[Sample]) -> None:
        """Batch-norm statistics as the plain average over fixed micro-batches, the same on every worker."""
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.model.train()
        with torch.no_grad():
            for i, sample in enumerate(samples):
                for _ in self._rollout(sample, self._noise(-1 - i)):
                    pass

    def held_out(self, sample: Sample) -> Cells:
        """What the model says of the counted land cells of a sample's first year, its prior the true map."""
        self.model.eval()
        with torch.no_grad():
            step = next(rollout(self._logits, sample, self.features, UNTOUCHED, generator=Generator()))
        counted = (step.target_BHW != OUTSIDE) & (step.previous_BHW != OUTSIDE)
        logits_NK = step.logits_BKHW.permute(0, 2, 3, 1)[counted]
        area_BHW = sample.area_BH[:, :, None].expand(counted.shape)
        return Cells(logits_NK.cpu().numpy(), step.previous_BHW[counted].long().cpu().numpy(),
                     step.target_BHW[counted].long().cpu().numpy(), area_BHW[counted].double().cpu().numpy())

    def _rollout(self, sample: Sample, generator: Generator) -> Iterator[Step]:
        return rollout(self._logits, sample, self.features, self.recipe.noise, generator=generator)

    def _logits(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) in float32, whatever the precision of the forward pass."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self._mixed):
            logits: Tensor = self.model(inputs_BCHW)
        return logits.float()

    def _noise(self, piece: int) -> Generator:
        return Generator().manual_seed(((self.recipe.seed * 1_000_003 + self.done) * 1_009 + piece) % 2**63)

    def _accumulate(self, sample: Sample, generator: Generator, totals: Weights) -> Tensor:
        """Gradient of a micro-batch; returns loss, hits, persistent, predicted changes and cells, float64 (5,)."""
        counts = torch.zeros(5, dtype=torch.float64, device=sample.maps_BTHW.device)
        loss = torch.zeros((), device=counts.device)
        for step in self._rollout(sample, generator):
            loss = loss + mixed_loss(*step, sample.area_BH, change_weight=self.recipe.change_weight, totals=totals,
                                     class_weights_K=self._class_weights_K)
            predicted = step.logits_BKHW.detach().argmax(dim=1)
            land = step.target_BHW != OUTSIDE
            counts[1] += ((predicted == step.target_BHW) & land).sum()
            counts[2] += ((step.previous_BHW == step.target_BHW) & land).sum()
            counts[3] += ((predicted != step.previous_BHW) & land).sum()
            counts[4] += land.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        counts[0] = loss.detach()
        return counts
