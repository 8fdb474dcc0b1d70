"""Random numbers that depend on a cell and nothing else: not on tiles, workers or their order.

The generator is Philox4x64-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405). It is
counter-based: a number is a function of a key, such as that of a member, and a counter, here of the
cell.

Shapes: C columns of a box, B numbers for each cell.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from luray.core.arithmetic import ceil_div
from luray.core.tiling import Box
from luray.core.types import U32, U64

BLOCK = 8
"""Numbers of 32 bits that the generator gives for one value of its counter."""


def random_key(*parts: int | str) -> U64:
    """Return the key of the generator, shape (2,), for the words and numbers that name a stream."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    # little-endian whatever the machine, so that the numbers are the same everywhere
    return np.frombuffer(digest[:16], "<u8").astype(np.uint64)


def random_rows(key: U64, n_numbers: int, *, year: int, box: Box) -> Iterator[U32]:
    """Draw whole numbers below 2^32 for every cell of a box.

    Parameters
    ----------
    key : array, shape (2,)
        See `random_key`.
    n_numbers : int
        Numbers that a cell needs.
    year : int
        Another year has other numbers; 0 for what is the same in all years.
    box : Box
        Cells of a grid, all of them inside it.

    Yields
    ------
    uint32 array, shape (C, B)
        One for each row of the box. B is `n_numbers`, filled up to whole blocks.

    Examples
    --------
    >>> key = random_key(1, "ssp126", 0)
    >>> first, second = random_rows(key, 7, year=2050, box=Box(4, 6, 2, 3))
    >>> second.shape
    (3, 8)
    >>> [same] = random_rows(key, 7, year=2050, box=Box(5, 8, 1, 1))
    >>> bool((same[0] == second[2]).all())
    True
    """
    # The counter is (block of the cell in its row, row, year, 0), the first word being the least:
    # advancing by 2^64 is the next row at the same column.
    blocks = ceil_div(n_numbers, BLOCK)
    counter = np.array([box.col * blocks, box.row, year, 0], np.uint64)
    generator = np.random.Philox(key=key, counter=counter)
    for _ in range(box.height):
        words = generator.random_raw(box.width * blocks * BLOCK // 2)
        halves = words.astype("<u8", copy=False).view("<u4")
        yield halves.reshape(box.width, blocks * BLOCK)
        generator.advance(2**64 - box.width * blocks)


class RandomStream(NamedTuple):
    """The numbers that one member draws; other scenarios and members of a run change none of them.

    Parameters
    ----------
    seed : int
        Seed of the run.
    scenario : str
        Name of the scenario, empty in years that all scenarios share.
    member : int
        Number of the member.
    """

    seed: int
    scenario: str
    member: int

    @property
    def key(self) -> U64:
        """Key of the generator, shape (2,)."""
        return random_key(*self)

    def rows(self, n_classes: int, *, year: int, box: Box) -> Iterator[U32]:
        """Draw whole numbers below 2^32 for every cell and class of a box; see `random_rows`."""
        return random_rows(self.key, n_classes, year=year, box=box)
