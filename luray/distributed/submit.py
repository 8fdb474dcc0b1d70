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
    """Pass a job's log to `say` until the job ends; returns how: SUCCEEDED, FAILED or STOPPED."""
    said = tries = 0

    async def read() -> None:
        nonlocal said, tries
        seen = 0
        async for text in client.tail_job_logs(job):  # from the beginning, every time
            say(text[max(0, said - seen) :])
            seen, tries = seen + len(text), 0
            said = max(said, seen)

    with _reaching(address):
        client = JobSubmissionClient(address)
        while True:
            try:
                asyncio.run(read())
            except (RuntimeError, aiohttp.ClientError):
                tries += 1
                if tries == TRIES:
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
            "Kubernetes "
            "after `kubectl port-forward service/<cluster>-head-svc 8265`"
        ) from error
