"""The stage `train`: a model for each direction that the run travels in."""

from luray.core.types import Direction
from luray.stages.build import cube_of_run
from luray.stages.config import RunConfig
from luray.training.training import Training, TrainingProgress, unwatched


def trainings(run: RunConfig) -> list[Training]:
    """The training of each direction that the run travels in."""
    cube = cube_of_run(run)
    return [
        Training(cube, run.tiles, run.model, run.training, d, run.model_folder(d))
        for d in run.directions
    ]


def train(
    run: RunConfig, *, restart: bool = False, progress: TrainingProgress = unwatched
) -> list[Direction]:
    """Train the model of every direction that is not trained yet; returns those directions.

    `restart` discards models and checkpoints of other trainings first, without it they are refused.
    """
    from luray.distributed.train import train as train_with_ray  # Ray takes seconds to import

    return train_with_ray(trainings(run), restart=restart, report=progress)
