"""The chain of errors behind an error."""

from collections.abc import Iterator


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then the one behind it, and so on.

    Libraries wrap the errors of the system. rasterio makes chains that are circles: each error is
    yielded once.
    """
    visited: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in visited:
        visited.add(id(link))
        yield link
        link = link.__cause__ or link.__context__
