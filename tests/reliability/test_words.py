"""What is lost and done again is said in words that users know."""

import pytest
from ray.exceptions import RayActorError

from luray.core.tiling import Tile
from luray.distributed.infer import ATTEMPTS, _loss_in_words
from luray.engine.side_work import CopyYears, MakeOverviews, SummariseMembers
from luray.engine.tile_year import SumsLostError
from luray.product.dimensions import FIRST


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (CopyYears(Tile(0, 1), tuple(range(1971, 1979))), "copying 1971-1978 of tile 0.1"),
        (SummariseMembers(2005, Tile(3, 4), (0,)), "summing up the members of 2005, tile 3.4"),
        (MakeOverviews(2005, (FIRST,)), "making the overviews of 2005"),
    ],
)
def test_work_has_words(work, words):
    assert str(work) == words


@pytest.mark.parametrize(
    ("error", "attempts", "words"),
    [
        (RayActorError(), 1, "worker 7 lost while copying 1971 of tile 0.1: done again"),
        (
            RayActorError(),
            2,
            "worker 7 lost while copying 1971 of tile 0.1: done again, attempt 3 of 4",
        ),
        (RayActorError(), ATTEMPTS, "worker 7 lost while copying 1971 of tile 0.1"),
        (
            SumsLostError(),
            1,
            "worker 7 lacked what another one had sent it for copying 1971 of tile 0.1: done again",
        ),
    ],
)
def test_a_loss_says_what_becomes_of_it(error, attempts, words):
    assert _loss_in_words(7, str(CopyYears(Tile(0, 1), (1971,))), error, attempts) == words
