"""Delays signals while something short must not end half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Run the handlers of Ctrl-C and similar signals after the block; others act at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    deferred = [number for number in numbers if callable(handlers[number])]
    for number in deferred:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in deferred:
            signal.signal(number, handlers[number])
        for number in dict.fromkeys(received):
            signal.raise_signal(number)
