"""The stage `train`: a model for each direction that the run travels in."""

from luray.core.types import Direction
from luray.stages.build import open_cube
from luray.stages.config import RunConfig
from luray.training.training import Training
from luray.training.training_data import TrainingData
from luray.training.training_logger import TrainingProgress, no_training_progress


def trainings(run: RunConfig) -> list[Training]:
    """The training of each direction that the run travels in."""
    cube = open_cube(run)
    prepared = []
    for direction in run.directions:
        data = TrainingData(cube, run.tiles, run.training, direction)
        prepared.append(Training(data, run.model, run.model_folder(direction)))
    return prepared


def train(
    run: RunConfig, *, restart: bool = False, progress: TrainingProgress = no_training_progress
) -> list[Direction]:
    """Train the model of every direction that is not trained yet; returns those directions.

    `restart` discards models and checkpoints of other trainings first, without it they are refused.
    """
    from luray.distributed.train import train as train_with_ray  # Ray takes seconds to import

    return train_with_ray(trainings(run), restart=restart, progress=progress)
