"""Metrics of several steps: ratios are those of all their cells."""

import pytest

from luray.core.legend import OUTSIDE
from luray.training.noise_config import NoiseConfig
from luray.training.step_metrics import summary
from tests.training.toys import micro_batches_of, recipe_of, trainer_of


def test_a_summary_has_the_figure_of_merit_of_all_its_cells():
    recipe = recipe_of(learning_rate=1e-2, noise=NoiseConfig(share=0.0), steps=60)
    trainer = trainer_of(recipe)
    hits = either = predicted_change = observed_change = 0
    metrics = []
    for step in range(40):
        samples = micro_batches_of(step, recipe)
        predictions = []
        hook = trainer.training_pass.register_forward_hook(
            lambda module, args, logits, predictions=predictions: predictions.append(
                logits.argmax(dim=1)
            )
        )
        metrics.append(trainer.step(samples))
        hook.remove()

        for i, sample in enumerate(samples.values()):
            for year in (1, 2):
                target = sample.scored_maps_BTHW[:, year]
                previous = sample.maps_BTHW[:, year - 1]
                predicted = predictions[2 * i + year - 1]
                land = target != OUTSIDE
                changes = (target != previous) & land
                moves = (predicted != previous) & land
                hits += int((changes & (predicted == target)).sum())
                either += int((changes | moves).sum())
                predicted_change += int(moves.sum())
                observed_change += int(changes.sum())

    found = summary(metrics)
    assert hits > 0
    assert found["figure_of_merit"] == pytest.approx(hits / either, rel=0.02), (
        "batches of nearly the same land"
    )
    ratio = predicted_change / observed_change
    assert found["predicted_over_observed"] == pytest.approx(ratio, rel=0.02)
    assert found["loss"] == pytest.approx(sum(m["loss"] for m in metrics) / 40)
    assert found["learning_rate"] == metrics[-1]["learning_rate"]
