"""The target's ends, without which nothing boots from it, and the note that is there meanwhile."""

from __future__ import annotations

from efi_image.errors import InputError
from efi_image.flash import resume as state
from efi_image.flash.chunker import GRAIN, aligned
from efi_image.flash.resume import Unfinished
from efi_image.flash.target import Target

HEAD = GRAIN  # the first bytes of an image, which are written last
SMALLEST = 2 * HEAD  # bytes of a target
_TAIL = 1 << 20  # bytes; a GPT has its backup there, RAID and ZFS their labels


def tail(target: Target) -> int:
    """Where the last bytes begin that `clear` clears."""
    return max(target.size // target.sector_size * target.sector_size - _TAIL, HEAD)


def clear(target: Target) -> None:
    """No first block, no partition table, no backup of one; raises OutputError."""
    start = tail(target)
    zeros = aligned(max(HEAD, _TAIL))
    target.write(0, zeros[:HEAD])
    target.write(start, zeros[: target.size // target.sector_size * target.sector_size - start])


def put_note(target: Target, note: Unfinished) -> None:
    """Tell on the target how far a write came; raises OutputError."""
    view = aligned(state.BLOCK)
    view[:] = note.block()
    target.write(state.OFFSET, view)


def read_note(target: Target) -> Unfinished:
    """The unfinished write that is on the target; raises InputError if there is none."""
    view = aligned(state.BLOCK)
    target.read(0, view)
    started = not any(view)
    target.read(state.OFFSET, view)
    found = state.parse(bytes(view)) if started else None
    if found is None or not found.head:
        raise InputError(
            "holds no unfinished write", where=target.name, hint="write without --resume"
        )
    return found
