"""A folder sent to a Ray cluster as a job, and following the log of a job."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import aiohttp
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

TRIES = 5
"""Times in a row that a connection to the log may break."""


def submit_folder(
    folder: str,
    *,
    entrypoint: str,
    env_vars: Mapping[str, str],
    metadata: Mapping[str, str],
    address: str,
) -> str:
    """Send a folder as the working directory of a job; returns the job's id.

    Raises ConnectionError where no cluster answers and PermissionError where it wants another
    token.
    """
    with _reaching(address):
        return JobSubmissionClient(address).submit_job(
            entrypoint=entrypoint,
            runtime_env={"working_dir": folder, "env_vars": dict(env_vars)},
            metadata=dict(metadata),
        )


def follow(job: str, *, address: str, say: Callable[[str], None]) -> str:
    """Pass the log of a job to `say` until the job ends.

    Returns
    -------
    str
        How it ended: SUCCEEDED, FAILED or STOPPED.

    Raises
    ------
    RuntimeError or aiohttp.ClientError
        If the connection to the log breaks `TRIES` times in a row.
    """
    n_shown = 0
    failures = 0

    async def read_log() -> None:
        """Show what of the log is new. Ray sends it from the beginning, at every connection."""
        nonlocal n_shown, failures
        n_read = 0
        async for text in client.tail_job_logs(job):
            already_shown = max(0, n_shown - n_read)
            say(text[already_shown:])
            n_read += len(text)
            n_shown = max(n_shown, n_read)
            failures = 0

    with _reaching(address):
        client = JobSubmissionClient(address)
        while True:
            try:
                asyncio.run(read_log())
            except (RuntimeError, aiohttp.ClientError):
                failures += 1
                if failures == TRIES:
                    raise
            status = client.get_job_status(job)
            if status.is_terminal():
                return status.value


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    try:
        yield
    except AuthenticationError as error:
        raise PermissionError(
            f"{address} wants another token: set RAY_AUTH_TOKEN to the cluster's, or write it to "
            "~/.ray/auth_token (infra/README.md says how to get it)"
        ) from error
    except (ConnectionError, aiohttp.ClientError) as error:
        raise ConnectionError(
            f"{address}: no Ray dashboard answers; give the cluster's with --address, on "
            "Kubernetes after `kubectl port-forward service/<cluster>-head-svc 8265`"
        ) from error
