"""Reads what was written back from the medium, and compares it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from efi_image.progress import Progress
from efi_image.record import Record
from efi_image.write.lane import BUFFERS, Lane
from efi_image.write.ledger import Ledger, Written, digest
from efi_image.write.pieces import same
from efi_image.write.target import Target

_BLOCK = 4096


class Difference(Record):
    """A piece that is not what was written, and what was read in its place."""

    written: Written
    found: bytes


def read_back(target: Target, ledger: Ledger, progress: Progress | None) -> Difference | None:
    """Read all pieces of the ledger; the first that differs, if one does. Raises OutputError.

    The next pieces are read while one is compared.
    """
    done = 0
    waiting: deque[tuple[Written, memoryview]] = deque()
    with Lane() as lane:
        for written in (*ledger, None):
            if written is None:
                lane.drain()
            elif len(waiting) == BUFFERS:
                lane.first()
            while waiting and (written is None or len(waiting) == BUFFERS):
                piece, view = waiting.popleft()
                if digest(view) != piece.digest:
                    return Difference(piece, bytes(view))
                done += piece.size
                if progress:
                    progress(done, ledger.bytes)
            if written is not None:
                buffer = lane.buffer()
                view = buffer[: written.size]
                lane.submit(_reading(target, written.offset, view), buffer)
                waiting.append((written, view))
    return None


def _reading(target: Target, offset: int, view: memoryview) -> Callable[[], None]:
    return lambda: target.read(offset, view)


def first_difference(found: memoryview | bytes, wanted: memoryview | bytes) -> int:
    """The first byte that differs; 0 if none does."""
    one, other = memoryview(found), memoryview(wanted)
    for start in range(0, len(other), _BLOCK):
        blocks = one[start : start + _BLOCK], other[start : start + _BLOCK]
        if not same(*blocks):
            return start + next(n for n, (a, b) in enumerate(zip(*blocks, strict=True)) if a != b)
    return 0
