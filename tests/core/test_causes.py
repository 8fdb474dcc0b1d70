"""What led to an error, whatever way libraries have linked it."""

from luray.core.causes import chain_of
from luray.core.interruption import interruption_behind
from luray.storage.errors import no_room


def test_a_chain_is_followed_to_its_end():
    first, second, third = OSError("a"), ValueError("b"), KeyError("c")
    third.__cause__ = second
    second.__context__ = first
    assert list(chain_of(third)) == [third, second, first]


def test_a_chain_that_is_a_circle_ends():
    """rasterio makes such chains of GDAL's messages; the command line looked at them for ever."""
    inner, outer = ValueError("inner"), ValueError("outer")
    outer.__cause__ = inner
    inner.__cause__ = outer
    assert list(chain_of(outer)) == [outer, inner]
    assert no_room(outer, place="x") is None
    assert interruption_behind(outer) is None
