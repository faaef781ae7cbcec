"""Tests whether a device has the capacity that it claims: a fake loses data beyond its flash.

Blocks are written all over the device, each with a pattern that depends on its offset. They lie
close together at the beginning and further apart towards the end; the last is the device's last,
and some are a power of two behind the first. A fake loses some of them, or, if it ignores the
upper bits of an address, returns another block.
"""

from __future__ import annotations

import hashlib
import os

from efi_image.errors import VerificationFailed
from efi_image.flash.chunker import aligned, same
from efi_image.flash.target import Target
from efi_image.progress import Progress

BLOCK = 4096
_FIRST = 1 << 20
_CLEARED = 1 << 16
_PER_DOUBLING = 16  # blocks between N and 2 N
_MAX_STEP = 64 << 20  # bytes between two blocks


def places(size: int) -> list[int]:
    """The offsets at which blocks are written, on a device of `size` bytes."""
    last = size // BLOCK * BLOCK - BLOCK
    found, place = {last}, _FIRST
    while place < last:
        found.add(place)
        place += max(min(place // _PER_DOUBLING, _MAX_STEP) // BLOCK * BLOCK, BLOCK)
    folded = {_FIRST + (1 << bits) for bits in range(_FIRST.bit_length(), last.bit_length())}
    return sorted(found | {place for place in folded if place < last})


def _pattern(seed: bytes, place: int) -> bytes:
    return hashlib.shake_256(seed + place.to_bytes(8, "little")).digest(BLOCK)


def check_capacity(target: Target, progress: Progress | None = None) -> None:
    """Write blocks all over the device and read them back.

    Raises VerificationFailed for a device that is smaller than it claims, OutputError. The old
    content is lost; the blocks are zeros afterwards.
    """
    seed, view = os.urandom(16), aligned(BLOCK)
    for place in range(0, _CLEARED, BLOCK):  # nothing boots from it any more
        target.write(place, view)
    tested = places(target.size)
    for place in reversed(tested):
        view[:] = _pattern(seed, place)
        target.write(place, view)
    target.flush()
    target.drop_caches()
    for number, place in enumerate(tested):
        target.read(place, view)
        if not same(view, _pattern(seed, place)):
            real = tested[number - 1] + BLOCK if number else 0
            raise VerificationFailed(
                f"claims {target.size} bytes, but loses data written at byte {place}; "
                f"its real capacity is about {real} bytes",
                where=target.name,
                hint="it is a fake, or worn out: use another one",
            )
        if progress:
            progress(number + 1, len(tested))
    view[:] = bytes(BLOCK)
    for place in tested:
        target.write(place, view)
