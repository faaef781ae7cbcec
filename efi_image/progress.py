"""How far long work is: the library calls back, and what is shown is the caller's affair."""

from __future__ import annotations

from collections.abc import Callable

# told how many bytes are done, and how many there are in all
Progress = Callable[[int, int], None]


def counter(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    """What adds up the bytes just done for `progress`."""
    if progress is None:
        return None
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return count
