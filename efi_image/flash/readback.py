"""Reads what was written back from the medium, and compares it."""

from __future__ import annotations

from dataclasses import dataclass

from efi_image.flash.checksums import Ledger, Written, digest
from efi_image.flash.chunker import same
from efi_image.flash.target import Target
from efi_image.flash.worker_pool import Lane
from efi_image.progress import Progress, counter

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Difference:
    """A piece that is not what was written, and what was read in its place."""

    written: Written
    found: bytes


def read_back(target: Target, ledger: Ledger, progress: Progress | None) -> Difference | None:
    """Read all pieces of the ledger; the first that differs, if one does. Raises OutputError."""
    count = counter(progress, ledger.bytes)
    different: list[Difference] = []

    def submit(lane: Lane, written: Written) -> None:
        buffer = lane.buffer()
        view = buffer[: written.size]

        def read() -> bytes:
            target.read(written.offset, view)
            return digest(view)

        def compare(found: bytes) -> None:
            if found != written.digest:
                different.append(Difference(written, bytes(view)))
            elif count:
                count(written.size)

        lane.submit(read, compare, buffer)

    with Lane() as lane:
        for written in ledger:
            submit(lane, written)
            if different:
                break
        else:
            lane.drain()
    return different[0] if different else None


def first_difference(found: memoryview | bytes, wanted: memoryview | bytes) -> int:
    """The first byte that differs; 0 if none does."""
    one, other = memoryview(found), memoryview(wanted)
    for start in range(0, len(other), _BLOCK):
        blocks = one[start : start + _BLOCK], other[start : start + _BLOCK]
        if not same(*blocks):
            return start + next(n for n, (a, b) in enumerate(zip(*blocks, strict=True)) if a != b)
    return 0
