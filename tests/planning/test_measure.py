"""How processes that compute are set up, and what several of them cost together."""

import os
import subprocess
import sys

import pytest

from luray.core.processes import MALLOC, WAIT_POLICY, worker_environment
from luray.planning.measure import ForwardCost, together


def openmp_says(*, policy: str | None, code: str) -> str:
    """What OpenMP, which comes with torch, prints of its own settings in a new process."""
    env = {name: value for name, value in os.environ.items() if name not in WAIT_POLICY} | {
        "OMP_DISPLAY_ENV": "TRUE"
    }
    if policy:
        env |= {"OMP_WAIT_POLICY": policy}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stderr


@pytest.mark.parametrize(
    "code", ["import luray.model.unet", "from luray.cli.app import main; import luray.model.unet"]
)
def test_threads_of_lurays_process_wait_asleep(code):
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in openmp_says(policy=None, code=code)


def test_the_users_own_wait_policy_wins():
    assert "OMP_WAIT_POLICY = 'ACTIVE'" in openmp_says(
        policy="ACTIVE", code="import luray.model.unet"
    )


def test_workers_get_what_the_user_has_set(monkeypatch):
    for name in (*MALLOC, *WAIT_POLICY):
        monkeypatch.delenv(name, raising=False)
    assert worker_environment() == {**MALLOC, "OMP_WAIT_POLICY": "PASSIVE"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert worker_environment() == {**MALLOC, "MALLOC_ARENA_MAX": "4", "OMP_WAIT_POLICY": "ACTIVE"}


def test_rates_of_processes_add_up():
    assert together([ForwardCost(2, 1), ForwardCost(2, 3)]) == ForwardCost(1, 2)
    assert together([ForwardCost(3, 1), ForwardCost(6, 1), ForwardCost(6, 4)]) == ForwardCost(
        1.5, 2
    )
