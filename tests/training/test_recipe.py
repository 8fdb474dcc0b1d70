"""The recipe: its epochs, what the model is fed, and what cannot be trained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luray.training.noise_config import NoiseConfig
from luray.training.recipe import Recipe
from tests.training.toys import recipe_of


@given(steps=st.integers(1, 200), epochs=st.integers(1, 20))
def test_every_step_belongs_to_an_epoch(steps, epochs):
    recipe = recipe_of(steps=steps, epochs=epochs)
    numbers = [recipe.epoch_ended(done) for done in range(1, steps + 1)]
    ends = [epoch for epoch in numbers if epoch]
    assert recipe.epoch_ended(steps) == epochs == ends[-1]
    assert ends == sorted(set(ends))
    assert len(ends) == min(steps, epochs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_balance": 2.0}, "training.class_balance is 2.0, expected 0 to 1"),
        (
            {"batch": 6, "micro_batch": 4},
            "training.batch 6 must be a multiple of training.micro_batch 4",
        ),
        (
            {"batch": 6, "micro_batch": 2, "workers": 4},
            r"4 workers cannot share 3 micro-batches; .* micro_batch = 3",
        ),
        ({"change_weight": 1.5}, "must lie between 0 and 1"),
        ({"noise": NoiseConfig(share=1.0)}, "between 0 and 1"),
        ({"noise": NoiseConfig(share={"first": 0.1, "last": -0.1})}, "between 0 and 1"),
        (
            {"teacher_forcing": {"first": 1.5, "last": 0}},
            "training.teacher_forcing must lie between 0 and 1",
        ),
        ({"workers": {"min": 2, "max": 1}}, "workers between 2 and 1, expected 1 <= min <= max"),
        ({"rollout_years": {"first": 2, "last": 0}}, "training.rollout_years must be at least 1"),
        ({"steps": 0, "epochs": 0}, "training.steps, training.epochs must be at least 1"),
    ],
)
def test_recipes_that_cannot_be_trained_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Recipe(years=(2000, 2010), **options)
