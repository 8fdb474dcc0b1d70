"""What lives do: stages of a run, in the small world of `plain`."""

import os
from collections.abc import Mapping
from pathlib import Path

import psutil

from luray.product.store import Product
from luray.product.trajectories import Unit
from luray.stages import infer as infer_stage
from luray.stages.publish import publish
from luray.stages.verify import damaged
from luray.training.progress_events import ProgressEvent
from tests.reliability import plain

BEGUN = "a tile-year is begun"
"""Line that a life prints before it writes anything of a tile-year."""
WRITTEN = "a piece is written"
"""Line that a life prints after each piece of a cube."""
EPOCH = "an epoch has ended"
"""Line that a life prints after an epoch, right before the checkpoint is written."""


def tell_what_is_begun() -> None:
    """Print `BEGUN` whenever a tile-year is begun to be written; one write to the log each."""
    write = Product._write_unit

    def write_and_tell(
        product: Product, unit: Unit, shards: Mapping[str, bytes | None], sha256: str
    ) -> None:
        os.write(1, f"{BEGUN}\n".encode())
        write(product, unit, shards, sha256)

    Product._write_unit = write_and_tell


def build(world: Path, output: Path, *settings: str) -> None:
    """Build the cube, and print a line after each piece."""

    def after(*_: int) -> None:
        os.write(1, f"{WRITTEN}\n".encode())

    plain.build(plain.run_of(world, output, *settings), progress=after)


def train(world: Path, output: Path, *settings: str) -> None:
    """Train the models anew, and print a line after each checkpoint."""

    def after(event: ProgressEvent) -> None:
        if event.epoch:
            os.write(1, f"{EPOCH}\n".encode())

    run = plain.run_of(world, output, *settings)
    plain.train(run, restart=True, progress=after)


def infer(world: Path, output: Path, *settings: str) -> None:
    """Compute what is missing of the product."""
    tell_what_is_begun()
    plain.infer(plain.run_of(world, output, *settings))


def infer_again(world: Path, output: Path, from_year: int, *settings: str) -> None:
    """Withdraw the maps from a year on and compute them again, then publish."""
    infer_stage.compute = plain.compute
    run = plain.run_of(world, output, *settings)
    infer_stage.infer(run, from_year=from_year)
    publish(run)


def infer_and_publish(world: Path, output: Path, *settings: str) -> None:
    """Compute what is missing of the product, and publish it."""
    run = plain.run_of(world, output, *settings)
    plain.infer(run)
    publish(run)


def infer_on_store(
    world: Path, output: Path, place: str, endpoint: str, expected: str, *settings: str
) -> None:
    """Compute a product on S3 and verify it; fail if it has other cells than the expected one."""
    run = plain.run_of(
        world, output, f"output={place}", f"storage.s3.endpoint_url={endpoint}", *settings
    )
    plain.infer(run)
    differing = plain.differing_cells(run.product, expected)
    assert differing == 0, f"{differing} cells differ"
    assert damaged(run) == []


def infer_and_measure(world: Path, output: Path, *settings: str) -> None:
    """Compute a product, and print the resident MiB after each tile-year."""
    process = psutil.Process()

    def measure(*_: int) -> None:
        os.write(1, f"{process.memory_info().rss / 2**20:.1f}\n".encode())

    plain.infer(plain.run_of(world, output, *settings), progress=measure)
