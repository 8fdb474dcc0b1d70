"""Metrics of a training as TensorBoard event files: `tensorboard --logdir FOLDER` shows them.

A store has no appending, so the steps since the last checkpoint are one file. Files are read in the
order of their names, and a resumed training writes those after its checkpoint again.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from tensorboardX import SummaryWriter

from luray.storage.objects import write_atomically
from luray.training.step_metrics import StepMetrics


class MetricsRow(NamedTuple):
    """Metrics after a step, and the time in seconds since 1970."""

    step: int
    time: float
    metrics: StepMetrics


def write_events(folder: str, rows: list[MetricsRow]) -> None:
    """Write rows, in the order of their steps, as one event file of a local or remote folder."""
    # TensorBoard's writer knows local files only, so the file is made beside and copied.
    with tempfile.TemporaryDirectory() as scratch:
        writer = SummaryWriter(scratch)
        for step, time, metrics in rows:
            for name, value in metrics.items():
                writer.add_scalar(name, value, step, time)
        writer.close()
        [file] = Path(scratch).iterdir()
        write_atomically(
            f"{folder}/events.out.tfevents.{rows[-1].step:010d}.luray", file.read_bytes()
        )
