"""The stage `train`: a model for each direction that the run travels in."""

from luray.core.types import Direction
from luray.stages.build import cube_of_run
from luray.stages.config import RunConfig
from luray.storage.lease import RequireLease, leased
from luray.training.progress_events import TrainingProgress, no_training_progress
from luray.training.training import Training
from luray.training.training_data import TrainingData


def train(
    run: RunConfig, *, restart: bool = False, progress: TrainingProgress = no_training_progress
) -> list[Direction]:
    """Train the model of every direction that is not trained yet.

    Parameters
    ----------
    run : RunConfig
        A run whose cube is built.
    restart : bool, optional
        Discard models and checkpoints of other trainings first; without it they raise an error.
    progress : callable, optional
        Called with a `ProgressEvent` every few steps and at the end of every epoch.

    Returns
    -------
    list of str
        The directions that were trained now.

    Raises
    ------
    HeldError
        While another job trains the models, or when one has taken them over.
    ValueError
        If data or recipe are at fault, or if a model or checkpoint belongs to another training,
        naming what differs; the last checkpoint is kept.
    """
    with leased(run.path("model")) as lease:
        return train_models(
            trainings(run), require_lease=lease.claim.require, restart=restart, progress=progress
        )


def train_models(
    trainings: list[Training],
    *,
    require_lease: RequireLease,
    restart: bool,
    progress: TrainingProgress,
) -> list[Direction]:
    """Train every model that is not finished yet, with the workers of the run."""
    from luray.distributed.train import train as train_with_ray  # Ray takes seconds to import

    return train_with_ray(
        trainings, require_lease=require_lease, restart=restart, progress=progress
    )


def trainings(run: RunConfig) -> list[Training]:
    """Describe the training of each direction that the run travels in."""
    cube = cube_of_run(run)
    described = []
    for direction in run.directions:
        data = TrainingData(cube, run.tiles, run.training, direction, run.unet.history)
        described.append(Training(data, run.unet, run.model_folder(direction)))
    return described
