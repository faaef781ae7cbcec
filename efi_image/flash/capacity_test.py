"""Whether a device holds as much as it says: fakes lose or fold back what is beyond their flash.

Each block that is written tells its own place. They lie close together at the beginning and
further apart towards the end, and the last is the device's last; some are a power of two
behind the first. A device that holds less loses some of them, or, where it ignores the upper
bits of an address, reads another block in their place.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from efi_image.errors import VerificationFailed
from efi_image.flash.chunker import aligned, same
from efi_image.flash.target import Target

BLOCK = 4096
_FIRST = 1 << 20
_CLEARED = 1 << 16
_PER_DOUBLING = 16  # blocks between N and 2 N
_MOST_STEPS = 64 << 20  # bytes between two blocks


def places(size: int) -> list[int]:
    """Where blocks are written, of a device of that many bytes."""
    last = size // BLOCK * BLOCK - BLOCK
    found, place = {last}, _FIRST
    while place < last:
        found.add(place)
        place += max(min(place // _PER_DOUBLING, _MOST_STEPS) // BLOCK * BLOCK, BLOCK)
    folded = {_FIRST + (1 << bits) for bits in range(_FIRST.bit_length(), last.bit_length())}
    return sorted(found | {place for place in folded if place < last})


def _pattern(seed: bytes, place: int) -> bytes:
    return hashlib.shake_256(seed + place.to_bytes(8, "little")).digest(BLOCK)


def probe(target: Target, progress: Callable[[int, int], None] | None = None) -> None:
    """Write blocks all over the device and read them back; raises VerificationFailed.

    What was there is lost. The blocks are zeros afterwards.
    """
    seed, view = os.urandom(16), aligned(BLOCK)
    for place in range(0, _CLEARED, BLOCK):  # nothing shall boot from what is left
        target.write(place, view)
    wanted = places(target.size)
    for place in reversed(wanted):
        view[:] = _pattern(seed, place)
        target.write(place, view)
    target.flush()
    target.drop_caches()
    for done, place in enumerate(wanted):
        target.read(place, view)
        if not same(view, _pattern(seed, place)):
            real = wanted[done - 1] + BLOCK if done else 0
            raise VerificationFailed(
                f"says it has {target.size} bytes, but loses what is written at byte {place}; "
                f"it holds about {real} bytes",
                where=target.name,
                hint="it is a fake, or worn out",
            )
        if progress:
            progress(done + 1, len(wanted))
    view[:] = bytes(BLOCK)
    for place in wanted:
        target.write(place, view)
