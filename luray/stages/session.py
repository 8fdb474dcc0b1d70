"""The Ray cluster that the stages of a run use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from luray.stages.config import RunConfig

RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets this variable in the driver of a submitted job."""


@contextmanager
def session(run: RunConfig) -> Iterator[None]:
    """Keep a Ray cluster for the stages of a run that compute.

    A cluster that the environment variable RAY_ADDRESS names is joined. Without one, a cluster is
    started on this machine, with as many CPUs as inference or training wants workers, at least 2.
    A cluster that this process has joined or started already is used as it is.

    Parameters
    ----------
    run : RunConfig
        The run whose numbers of workers count.

    Raises
    ------
    ValueError
        If this process is a submitted job and the output of the run would vanish with it.
    """
    from luray.distributed.cluster import cluster  # Ray takes seconds to import

    if RAY_JOB in os.environ and not run.lasting:
        from luray.stages.submit import lost

        raise ValueError(lost(run))

    wanted_cpus = max(
        2,
        run.inference.workers.max * run.inference.threads,
        run.training.workers.max,
    )
    with cluster(cpus=wanted_cpus):
        yield
