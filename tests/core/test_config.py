import pytest
from pydantic import ValidationError

from luray.core.config import Config, Workers


def test_configurations_are_strict_and_frozen():
    class Settings(Config):
        steps: int = 1

    with pytest.raises(ValidationError, match="stepz"):
        Settings(stepz=2)
    with pytest.raises(ValidationError, match="valid integer"):
        Settings(steps="2")
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.steps = 2


@pytest.mark.parametrize("numbers", [0, {"min": 3, "max": 2}])
def test_impossible_numbers_of_workers_are_refused(numbers):
    with pytest.raises(ValidationError, match="expected 1 <= min <= max"):
        Workers.model_validate(numbers)
