"""How far long work is: the library calls back, and what is shown is the caller's affair."""

from __future__ import annotations

from collections.abc import Callable, Iterator

# told how many bytes are done, and how many there are in all
Progress = Callable[[int, int], None]


def counter(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    """What adds up the bytes just done for `progress`."""
    if progress is None:
        return None
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done = min(done + more, total)  # a total may be an estimate
        progress(done, total)

    return count


def told(pieces: Iterator[bytes], progress: Progress | None, total: int) -> Iterator[bytes]:
    """The same pieces; `progress` is told of their bytes."""
    tell = counter(progress, total)
    for piece in pieces:
        yield piece
        if tell:
            tell(len(piece))
