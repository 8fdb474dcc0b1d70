"""Stopping a long command in good order when it is asked to."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def termination() -> Iterator[threading.Event]:
    """Give an event that SIGTERM sets instead of ending the process; a second SIGTERM ends it.

    Only the main thread can take a signal: in another one nothing changes.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested
        return

    handler_before = signal.getsignal(signal.SIGTERM)

    def request(number: int, frame: object) -> None:
        log.warning(
            "SIGTERM: the tile-years in hand are finished first; send it again to stop at once"
        )
        requested.set()
        signal.signal(signal.SIGTERM, handler_before)  # so that a second one ends the process

    signal.signal(signal.SIGTERM, request)
    try:
        yield requested
    finally:
        signal.signal(signal.SIGTERM, handler_before)
