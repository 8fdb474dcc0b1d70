"""Errors of places: input data that luray refuses, web servers, and disks that are full."""

import errno

from luray.core.causes import chain_of
from luray.storage.places import without_secrets

NO_ROOM = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file would exceed the size that is allowed here",
}
"""Errors of the system that end once there is room again, in words."""


class InputError(ValueError):
    """Input data that luray refuses.

    The message names the file, what was expected, what was found, and what to do. The signature of
    a signed URL is left out of it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


class WebError(OSError):
    """A web server did not give a file; the message has the address, the reason and what to do."""


class DeniedError(WebError, PermissionError):
    """The server, or the proxy on the way to it, does not let this user in."""


class AbsentError(WebError, FileNotFoundError):
    """The server has nothing at this address."""


class NoRoomError(OSError):
    """A place that nothing more can be written to.

    The message names the place, what is kept, and how to go on.
    """


def no_room(error: BaseException, *, place: str) -> NoRoomError | None:
    """Explain an error that means that nothing more can be written.

    Parameters
    ----------
    error : BaseException
        As it was caught.
    place : str
        Named where the system does not name the file.

    Returns
    -------
    NoRoomError or None
        None for an error of another kind, and for one that is explained already.
    """
    if isinstance(error, NoRoomError):
        return None
    of_system = (link for link in chain_of(error) if isinstance(link, OSError))
    cause = next((link for link in of_system if link.errno in NO_ROOM), None)
    if cause is None:
        return None

    assert cause.errno is not None
    where = str(cause.filename) if cause.filename else place
    return NoRoomError(
        f"{where}: {NO_ROOM[cause.errno]}; make room, or set another place, and run the command "
        "again: it goes on where it was, as whatever was finished is kept"
    )
