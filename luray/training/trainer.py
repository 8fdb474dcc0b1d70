"""A model in training: its optimiser and one step, alike in a plain loop and on every Ray worker.

An effective batch is `batch` samples, made of micro-batches of `micro_batch`: the unit of batch
norm, of noise and of distribution. One worker accumulates them all, N workers share them; the
gradient is the same.

Shapes: B samples, T maps, C input channels, K classes, H W window, N cells.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Generator, Tensor, nn

from luray.core.legend import OUTSIDE
from luray.core.value_scale import ValueScale
from luray.model.calibration import Cells
from luray.model.features import Features
from luray.model.unet import UNet
from luray.model.value_calibration import ValueCells
from luray.model.values import moments
from luray.training.loss import Loss, TotalWeights, loss_of, total_weights
from luray.training.ramps import warmup_cosine
from luray.training.recipe import Recipe
from luray.training.rollout import Sample, Step, likeliest_class, rollout
from luray.training.step_metrics import StepCounts, StepMetrics, ValueCounts
from luray.training.training_pass import TrainingPass
from luray.training.value_loss import count_values, value_loss_of


def one_worker(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over the only worker."""
    return tensor


class Trainer:
    """A model, its optimiser and its schedule; `step` is one update.

    Parameters
    ----------
    model : UNet
        On the device that it is trained on.
    features : Features
        Layout of its input.
    recipe : Recipe
        How it is trained.
    sum_over_workers : callable
        Sums a tensor over all workers, and may do it in place; every worker calls it in the same
        order.
    class_weights_K : Tensor, optional
        Weight of the cells of each class in the loss; by default 1.
    """

    def __init__(
        self,
        model: UNet,
        features: Features,
        recipe: Recipe,
        *,
        sum_over_workers: Callable[[Tensor], Tensor] = one_worker,
        class_weights_K: Tensor | None = None,
    ) -> None:
        self.model = model
        self.features = features
        self.recipe = recipe
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.training_pass = TrainingPass(model)
        """What computes the logits of the model in training."""
        self.done = 0
        """Steps that are done."""

        self._sum_over_workers = sum_over_workers
        self._class_weights_K = class_weights_K
        on_gpu = next(model.parameters()).device.type == "cuda"
        self._in_bfloat16 = (
            recipe.precision == "mixed" and on_gpu and torch.cuda.is_bf16_supported()
        )

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then a cosine to zero."""
        recipe = self.recipe
        return recipe.learning_rate * warmup_cosine(step, steps=recipe.steps, warmup=recipe.warmup)

    def step(self, samples: dict[int, Sample]) -> StepMetrics:
        """Update the weights once.

        Parameters
        ----------
        samples : dict
            This worker's micro-batches by their number in the effective batch.

        Returns
        -------
        dict
            Live metrics of all workers, see `luray.training.step_metrics`.

        Raises
        ------
        ValueError
            If the loss or its gradient is not finite. The weights are then those of the step
            before.
        """
        rate = self.learning_rate(self.done)
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=False)

        rollout_years = round(self.recipe.rollout_years.at(self.recipe.progress(self.done)))
        samples = {number: s.first_years(rollout_years) for number, s in samples.items()}

        # Every part of the loss is divided by the weights of the whole batch, so that parts add up.
        # All workers sum up these weights before any of them computes a gradient.
        totals = self._total_weights(samples.values())
        counts_by_sample = [
            self._accumulate(sample, self._noise(number), totals)
            for number, sample in samples.items()
        ]
        summed = self._sum_over_workers(sum(counts_by_sample))  # type: ignore[arg-type]
        counts = self._counts(*summed.tolist())
        loss = float(Loss(*summed[:2]).mixed(self.recipe.change_weight))

        # A step that cannot be trusted stops before the optimiser touches the weights.
        norm = self._share_gradient()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise ValueError(
                f"training step {self.done}: the loss is {loss}, the norm of its gradient {norm}; "
                "lower training.learning_rate or check the forcing for extreme values; the last "
                "checkpoint is kept"
            )
        self.optimiser.step()
        self.done += 1

        return {
            "loss": loss,
            "loss_land": counts.loss_land,
            "loss_changed": counts.loss_changed,
            "gradient_norm": norm,
            "learning_rate": rate,
        } | counts.metrics()

    def _total_weights(self, samples: Iterable[Sample]) -> TotalWeights:
        """Weights of the effective batch, over all workers."""
        by_sample = []
        for sample in samples:
            weights = total_weights(
                sample.scored_maps_BTHW, sample.area_BHW, class_weights_K=self._class_weights_K
            )
            by_sample.append(torch.stack(weights))
        return TotalWeights(*self._sum_over_workers(torch.stack(by_sample).sum(dim=0)))

    def _share_gradient(self) -> float:
        """Sum the gradient over the workers and clip it; returns its norm before that."""
        parameters = list(self.model.parameters())
        gradients = [p.grad for p in parameters if p.grad is not None]
        sizes = [gradient.numel() for gradient in gradients]

        # One long vector is one message; a message for each parameter would take much longer.
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        summed = self._sum_over_workers(flat)
        for gradient, part in zip(gradients, torch.split(summed, sizes), strict=True):
            gradient.copy_(part.view(gradient.shape))
        norm = nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        return float(norm)

    def calibrate(self, samples: Iterable[Sample]) -> None:
        """Set the statistics of batch norm to the plain average over fixed micro-batches.

        The samples are fed as in use, without noise. They are the same on all workers, and so are
        the statistics.
        """
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's word for a plain average over the batches seen

        self.model.train()
        with torch.no_grad():
            for sample in samples:
                for _ in rollout(self._logits, sample, self.features):
                    pass

    @property
    def _counts(self) -> type[StepCounts] | type[ValueCounts]:
        """What a step counts."""
        return StepCounts if self.features.scale is None else ValueCounts

    def held_out(self, sample: Sample) -> Cells | ValueCells:
        """Predict the first year of a sample from its true map.

        Returns
        -------
        Cells or ValueCells
            The land cells that count.
        """
        self.model.eval()
        with torch.no_grad():
            step = next(rollout(self._logits, sample, self.features))
        if self.features.scale is not None:
            return _value_cells(step, sample.area_BHW, self.features.scale)

        counted_BHW = (step.target_BHW != OUTSIDE) & (step.previous_BHW != OUTSIDE)
        logits_NK = step.logits_BKHW.permute(0, 2, 3, 1)[counted_BHW]
        return Cells(
            logits_NK=logits_NK.cpu().numpy(),
            prior_N=step.previous_BHW[counted_BHW].long().cpu().numpy(),
            truth_N=step.target_BHW[counted_BHW].long().cpu().numpy(),
            weight_N=sample.area_BHW[counted_BHW].double().cpu().numpy(),
        )

    def _logits(self, inputs_BCHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) in float32, whatever the precision of the forward pass."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self._in_bfloat16):
            logits_BKHW: Tensor = self.training_pass(inputs_BCHW)
        return logits_BKHW.float()

    def _noise(self, micro_batch: int) -> Generator:
        """Random numbers of a micro-batch of this step, the same on whichever worker it is."""
        seed = (self.recipe.seed * 1_000_003 + self.done) * 1_009 + micro_batch
        return Generator().manual_seed(seed % 2**63)

    def _accumulate(self, sample: Sample, generator: Generator, totals: TotalWeights) -> Tensor:
        """Add the gradient of a micro-batch; returns its part of `StepCounts`, float64 (8,)."""
        device = sample.maps_BTHW.device
        counts = torch.zeros(len(self._counts._fields), dtype=torch.float64, device=device)
        loss = torch.zeros((), device=device)
        feeding = self.recipe.feeding(self.done)
        for step in rollout(self._logits, sample, self.features, feeding, generator=generator):
            loss_parts = self._loss_of(step, sample.area_BHW, totals)
            loss = loss + loss_parts.mixed(self.recipe.change_weight)
            summed_losses = torch.stack(loss_parts).detach().double()
            counts += torch.cat([summed_losses, self._count(step)])
        loss.backward()  # type: ignore[no-untyped-call]
        return counts

    def _loss_of(self, step: Step, area_BHW: Tensor, totals: TotalWeights) -> Loss:
        """What a step of a rollout contributes to the loss of the effective batch."""
        scale = self.features.scale
        if scale is not None:
            return value_loss_of(step.logits_BKHW, step.target_BHW, area_BHW, scale, totals=totals)
        return loss_of(*step, area_BHW, totals=totals, class_weights_K=self._class_weights_K)

    def _count(self, step: Step) -> Tensor:
        """What a step of a rollout adds to the counts, behind the losses."""
        scale = self.features.scale
        return _count_cells(step) if scale is None else count_values(*step, scale)


def _value_cells(step: Step, area_BHW: Tensor, scale: ValueScale) -> ValueCells:
    """Return the cells of a step whose value is known, as positions in the scale."""
    counted_BHW = step.target_BHW < scale.levels
    highest = scale.levels - 1
    outputs_B2HW = step.logits_BKHW
    mean_BHW, deviation_BHW = moments(outputs_B2HW[:, 0], outputs_B2HW[:, 1], scale, torch)
    prior_N = step.previous_BHW[counted_BHW].double() / highest
    prior_N[step.previous_BHW[counted_BHW] > highest] = torch.nan
    fields = (
        mean_BHW[counted_BHW].double(),
        deviation_BHW[counted_BHW].double(),
        prior_N,
        step.target_BHW[counted_BHW].double() / highest,
        area_BHW[counted_BHW].double(),
    )
    return ValueCells(*(field_N.cpu().numpy() for field_N in fields))


def _count_cells(step: Step) -> Tensor:
    """The counts of cells of `StepCounts`, in its order, of one year of a rollout; float64 (6,)."""
    land = step.target_BHW != OUTSIDE
    predicted_BHW = likeliest_class(step.logits_BKHW.detach())
    hits = predicted_BHW == step.target_BHW
    predicted_change = predicted_BHW != step.previous_BHW
    changes = step.target_BHW != step.previous_BHW

    cells = torch.stack(
        [hits, ~changes, predicted_change, changes & hits, changes | predicted_change, land]
    )
    return (cells & land).sum(dim=(1, 2, 3)).double()
