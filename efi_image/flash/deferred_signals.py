"""Holds signals back while something short must not end half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def undisturbed() -> Iterator[None]:
    """What Ctrl-C and the like raise is raised after the block; signals nobody handles pass."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread only
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    held = [number for number in numbers if callable(handlers[number])]
    for number in held:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, handlers[number])
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
