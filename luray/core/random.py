"""TO BE WRITTEN."""

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from luray.core.tiling import Box
from luray.core.types import U32, U64

BLOCK = 8
"""Numbers of 32 bits that the generator gives for one value of its counter."""


class RandomStream(NamedTuple):
    """Which numbers a member draws. Another scenario or member of a run changes none of them."""

    seed: int
    scenario: str
    """Name of the scenario, empty in years that all scenarios share."""
    member: int

    @property
    def key(self) -> U64:
        """Key of the generator, shape (2,)."""
        return np.frombuffer(hashlib.sha256(json.dumps(self).encode()).digest()[:16], "<u8").astype(
            np.uint64
        )

    def rows(self, n_classes: int, *, year: int, box: Box) -> Iterator[U32]:
        """For each row of a box on the run grid, a whole number below 2^32 a cell and class, (C,
        whole blocks >= K).
        """
        blocks = -(-n_classes // BLOCK)
        generator = np.random.Philox(
            key=self.key, counter=np.array([box.col * blocks, box.row, year, 0], np.uint64)
        )
        for _ in range(box.height):
            raw = generator.random_raw(box.width * blocks * BLOCK // 2)
            yield raw.astype("<u8", copy=False).view("<u4").reshape(box.width, blocks * BLOCK)
            generator.advance(2**64 - box.width * blocks)
