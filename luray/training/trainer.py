"""Training of one U-Net: the recipe, the optimiser and one step. The same code runs serially and on
every Ray worker.

An effective batch is `batch` samples, made of micro-batches of `micro_batch`: the unit of batch
norm, of noise and of distribution. 1 worker accumulates them all, N workers share them; the
gradient is the same.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Generator, Tensor, nn

from luray.core.legend import OUTSIDE
from luray.model.calibration import Cells
from luray.model.features import Features
from luray.model.unet import UNet
from luray.training.loss import Loss, Weights, loss_of, weights_of
from luray.training.ramps import cosine
from luray.training.recipe import Recipe
from luray.training.rollout import Sample, rollout

StepMetrics = dict[str, float]


class Trainer:
    """A model, its optimiser and its schedule; `step` is one update.

    `total` sums a tensor over the workers, in place of which one worker has the identity;
    `class_weights_K` weighs the cells of each class in the loss.
    """

    def __init__(
        self,
        model: UNet,
        features: Features,
        recipe: Recipe,
        *,
        total: Callable[[Tensor], Tensor] = lambda t: t,
        class_weights_K: Tensor | None = None,
    ) -> None:
        self.model, self.features, self.recipe, self._total = model, features, recipe, total
        self._class_weights_K = class_weights_K
        device = next(model.parameters()).device.type
        self._mixed = (
            recipe.precision == "mixed" and device == "cuda" and torch.cuda.is_bf16_supported()
        )
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.done = 0

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine to zero."""
        recipe = self.recipe
        return recipe.learning_rate * cosine(step, steps=recipe.steps, warmup=recipe.warmup)

    def step(self, samples: dict[int, Sample]) -> StepMetrics:
        """One update from this worker's micro-batches, by their number in the effective batch;
        returns live metrics.

        Raises ValueError when the loss or its gradient is not finite; the weights are then those of
        the step before.
        """
        recipe, rate = self.recipe, self.learning_rate(self.done)
        years = round(recipe.rollout_years.at(recipe.progress(self.done)))
        samples = {piece: sample.first(years) for piece, sample in samples.items()}
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=False)
        areas = torch.stack(
            [
                torch.stack(
                    weights_of(s.judged_BTHW, s.area_BHW, class_weights_K=self._class_weights_K)
                )
                for s in samples.values()
            ]
        )
        totals = Weights(*self._total(areas.sum(dim=0)))
        piece_counts = [
            self._accumulate(sample, self._noise(piece), totals)
            for piece, sample in samples.items()
        ]
        counts = self._total(sum(piece_counts))  # type: ignore[arg-type]
        on_land, on_change, hits, persistent, predicted, change_hits, either, cells = (
            counts.tolist()
        )
        loss = float(Loss(*counts[:2]).mixed(recipe.change_weight))
        norm = self._share_gradient()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise ValueError(
                f"training step {self.done}: the loss is {loss}, the norm of its gradient {norm}; "
                "lower "
                "training.learning_rate or check the forcing for extreme values; the last "
                "checkpoint is "
                "kept"
            )
        self.optimiser.step()
        self.done += 1
        shares = {
            "accuracy": hits,
            "persistence": persistent,
            "predicted_change": predicted,
            "observed_change": cells - persistent,
            "change_hits": change_hits,
            "change_either": either,
        }
        return {
            "loss": loss,
            "loss_land": on_land,
            "loss_changed": on_change,
            "gradient_norm": norm,
            "learning_rate": rate,
        } | {name: n / max(cells, 1.0) for name, n in shares.items()}

    def _share_gradient(self) -> float:
        """Sum the gradient over the workers and clip it; returns its norm before that."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        together = self._total(torch.cat([g.reshape(-1) for g in gradients]))
        for gradient, part in zip(
            gradients, torch.split(together, [g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view(gradient.shape))
        return float(nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip))

    def calibrate(self, samples: Iterable[Sample]) -> None:
        """Batch-norm statistics as the plain average over fixed micro-batches, fed as in use, alike
        on all workers.
        """
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        self.model.train()
        with torch.no_grad():
            for sample in samples:
                for _ in rollout(self._logits, sample, self.features):
                    pass

    def held_out(self, sample: Sample) -> Cells:
        """What the model says of the counted land cells of a sample's first year, its prior the
        true map.
        """
        self.model.eval()
        with torch.no_grad():
            step = next(rollout(self._logits, sample, self.features))
        counted = (step.target_BHW != OUTSIDE) & (step.previous_BHW != OUTSIDE)
        logits_NK = step.logits_BKHW.permute(0, 2, 3, 1)[counted]
        return Cells(
            logits_NK.cpu().numpy(),
            step.previous_BHW[counted].long().cpu().numpy(),
            step.target_BHW[counted].long().cpu().numpy(),
            sample.area_BHW[counted].double().cpu().numpy(),
        )

    def _logits(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) in float32, whatever the precision of the forward pass."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self._mixed):
            logits: Tensor = self.model(inputs_BCHW)
        return logits.float()

    def _noise(self, piece: int) -> Generator:
        return Generator().manual_seed(
            ((self.recipe.seed * 1_000_003 + self.done) * 1_009 + piece) % 2**63
        )

    def _accumulate(self, sample: Sample, generator: Generator, totals: Weights) -> Tensor:
        """Gradient of a micro-batch; returns both parts of its loss, then counts of cells: hits,
        persistent, predicted to change, changed as predicted, changed or predicted to, all; float64
        (8,).
        """
        counts = torch.zeros(8, dtype=torch.float64, device=sample.maps_BTHW.device)
        loss = torch.zeros((), device=counts.device)
        for step in rollout(
            self._logits, sample, self.features, self.recipe.feeding(self.done), generator=generator
        ):
            part = loss_of(
                *step, sample.area_BHW, totals=totals, class_weights_K=self._class_weights_K
            )
            loss = loss + part.mixed(self.recipe.change_weight)
            predicted, land = step.logits_BKHW.detach().argmax(dim=1), step.target_BHW != OUTSIDE
            hits, moves = predicted == step.target_BHW, predicted != step.previous_BHW
            changes = step.target_BHW != step.previous_BHW
            cells = (
                torch.stack([hits, ~changes, moves, changes & hits, changes | moves, land]) & land
            )
            counts += torch.cat(
                [torch.stack(part).detach().double(), cells.sum(dim=(1, 2, 3)).double()]
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return counts


def summary(steps: Sequence[StepMetrics]) -> StepMetrics:
    """Means of the metrics of some steps, with the Figure of Merit and predicted over observed
    change of all their cells; each year of a rollout is compared with the true map of the year
    before.
    """
    mean = {name: sum(m[name] for m in steps) / len(steps) for name in steps[0]}
    hits, either = mean.pop("change_hits"), mean.pop("change_either")
    return mean | {
        "figure_of_merit": hits / max(either, 1e-12),
        "learning_rate": steps[-1]["learning_rate"],
        "predicted_over_observed": mean["predicted_change"] / max(mean["observed_change"], 1e-12),
    }
