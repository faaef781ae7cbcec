"""Reads written data back from the medium and compares it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from efi_image.flash.checksums import Checksums, Written, sha256
from efi_image.flash.chunker import same
from efi_image.flash.target import Target
from efi_image.flash.worker_pool import WorkerPool
from efi_image.progress import Progress, counter

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Difference:
    """A piece that was written, and the other bytes that were read in its place."""

    written: Written
    found: bytes


def read_back(target: Target, checksums: Checksums, progress: Progress | None) -> Difference | None:
    """Read all pieces; the first that differs, or None. Raises OutputError."""
    count = counter(progress, checksums.bytes)
    with WorkerPool[tuple[int, Difference | None]]() as pool:
        for size, difference in pool.map(partial(_compare, target), checksums):
            if difference:
                return difference
            if count:
                count(size)
    return None


def _compare(target: Target, written: Written, buffer: memoryview) -> tuple[int, Difference | None]:
    """In a worker."""
    view = buffer[: written.size]
    target.read(written.offset, view)
    equal = sha256(view) == written.sha256
    return written.size, None if equal else Difference(written, bytes(view))


def first_difference(found: memoryview | bytes, expected: memoryview | bytes) -> int:
    """The first byte that differs; 0 if none does."""
    one, other = memoryview(found), memoryview(expected)
    for start in range(0, len(other), _BLOCK):
        blocks = one[start : start + _BLOCK], other[start : start + _BLOCK]
        if not same(*blocks):
            return start + next(n for n, (a, b) in enumerate(zip(*blocks, strict=True)) if a != b)
    return 0
