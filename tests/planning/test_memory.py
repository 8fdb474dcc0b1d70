"""A run that could need more memory than there is, is refused with the setting to change."""

import pytest

from luray.core.limits import MemoryLimit
from luray.planning.memory import DRIVER_BYTES, require_memory

GIB = 2**30
LIMIT = MemoryLimit(DRIVER_BYTES + 5 * GIB, "the cgroup (memory.max) allows")


def test_workers_that_fit_are_let_be():
    require_memory(GIB, fewest=1, most=5, limit=LIMIT)


@pytest.mark.parametrize(
    ("worker", "fewest", "most", "advice"),
    [
        (2 * GIB, 3, 3, r"set inference\.workers = 2$"),
        (2 * GIB, 1, 64, r"set inference\.workers = \{min = 1, max = 2\}$"),
        (6 * GIB, 1, 1, r"lower tiling\.tile, inference\.batch or model\.width, or take a larger"),
    ],
)
def test_too_many_are_refused_with_what_to_set(worker, fewest, most, advice):
    expected = rf"^inference\.workers: {most} workers may need .*memory\.max.* 5\.7 GiB; {advice}"
    with pytest.raises(ValueError, match=expected):
        require_memory(worker, fewest=fewest, most=most, limit=LIMIT)
