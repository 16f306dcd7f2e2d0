"""Holds signals back while files are exchanged."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HELD_BACK = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back for the block, and let them through after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        held.append(number)

    before = {number: signal.getsignal(number) for number in _HELD_BACK}
    try:
        for number, handler in before.items():
            if handler is not None:  # None: not set by Python, so that it could not be set again
                signal.signal(number, hold)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])
