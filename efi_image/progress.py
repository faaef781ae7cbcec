"""Progress of long work: the library reports it to a callback; the caller shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

# called with the bytes that are done and the total
Progress = Callable[[int, int], None]


def counter(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    """A function that takes the bytes just done, and reports the sum to `progress`."""
    if progress is None:
        return None
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done = min(done + more, total)  # a total may be an estimate
        progress(done, total)

    return count


def told(pieces: Iterator[bytes], progress: Progress | None, total: int) -> Iterator[bytes]:
    """The same pieces, reported to `progress`."""
    tell = counter(progress, total)
    for piece in pieces:
        yield piece
        if tell:
            tell(len(piece))
