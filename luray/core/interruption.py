"""Ctrl-C and SIGTERM as one exception that nothing takes for an error."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from luray.core.causes import chain_of

WORDS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
"""Signals that ask a command to end, as users know them."""


class InterruptedBySignal(BaseException):
    """A signal asked the process to end.

    It is no KeyboardInterrupt, which libraries catch and turn into answers of their own.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """The exit code by which shells know the signal: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number

    def __str__(self) -> str:
        return (
            f"stopped by {WORDS[self.number]}; what is finished is kept: run the same command "
            "again to go on"
        )


def interruption_behind(error: BaseException) -> InterruptedBySignal | None:
    """Return the signal behind an error; Ray, for one, turns what it does not know into its own."""
    return next((link for link in chain_of(error) if isinstance(link, InterruptedBySignal)), None)


def raise_on_signals() -> None:
    """Make SIGINT and SIGTERM raise `InterruptedBySignal` in the main thread.

    The second one ends the process at once. Other threads cannot set handlers: nothing changes
    there.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    for number in WORDS:
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    _end_at_the_next()
    raise InterruptedBySignal(number)


def _end_at_the_next() -> None:
    """Restore the system's handlers, so that the next signal ends the process at once."""
    for number in WORDS:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Turn signals into KeyboardInterrupt inside a block, and back again where they leave it.

    It is the only exception that ends Ray's waiting: any other one that a handler raises is dropped
    there, and the wait goes on to its end. Handlers that are not those of `raise_on_signals` stay.
    """
    received: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        _end_at_the_next()
        received.append(number)
        raise KeyboardInterrupt

    numbers = [number for number in WORDS if signal.getsignal(number) is _interrupt]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # only the main thread may set handlers
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if received:
            raise InterruptedBySignal(received[0]) from None
        raise
    finally:
        for number in numbers:
            # After a signal the handler is the system's, so that a second one ends the process.
            if signal.getsignal(number) is interrupt:
                signal.signal(number, _interrupt)
