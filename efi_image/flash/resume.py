"""Notes on the target how far a write came, so that `--resume` can continue it.

The target's first block stays empty until all the rest was read back, so nothing boots from it.
The second block has the note; it is overwritten before the first block is written.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace

from efi_image.errors import InputError
from efi_image.flash.chunker import aligned, aligned_copy
from efi_image.flash.target import Target

BLOCK = 4096
OFFSET = BLOCK
_MAGIC = "zpp-image: unfinished write\n"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished write: the image's name, the SHA-256 of its first bytes, and the number of
    bytes of the image, holes included, that are on the target for sure."""

    image: str
    head: str
    done: int

    def block(self) -> bytes:
        """The note as a block."""
        shown = asdict(self) | {"image": self.image[-300:]}
        return (_MAGIC + json.dumps(shown) + "\n").encode("ascii").ljust(BLOCK, b"\0")


def parse(block: bytes) -> Unfinished | None:
    """The note in a block; None if there is none."""
    if not block.startswith(_MAGIC.encode()):
        return None
    try:
        found = json.loads(block[len(_MAGIC) :].rstrip(b"\0"))
        image, head, done = found["image"], found["head"], found["done"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not (isinstance(image, str) and isinstance(head, str) and isinstance(done, int)):
        return None
    return Unfinished(image, head, done) if done >= 0 else None


def read_note(target: Target) -> Unfinished:
    """The unfinished write on the target; raises InputError if there is none, OutputError."""
    view = aligned(BLOCK)
    target.read(0, view)
    is_empty = not any(view)
    target.read(OFFSET, view)
    found = parse(bytes(view)) if is_empty else None
    if found is None or not found.head:
        raise InputError(
            "has no unfinished write", where=target.name, hint="write without --resume"
        )
    return found


class Journal:
    """Notes on the target how far a write came, at most once in `interval` seconds."""

    def __init__(self, target: Target, interval: float) -> None:
        self.done = 0  # all bytes before it are on the target
        self._target = target
        self._note = Unfinished("", "", 0)
        self._interval = interval
        self._next = 0.0

    def begin(self, note: Unfinished) -> None:
        """Start with this note."""
        self._note, self.done = note, note.done
        self._next = time.monotonic() + self._interval

    def write(self) -> None:
        """Write the note. Raises OutputError."""
        self._note = replace(self._note, done=self.done)
        self._target.write(OFFSET, aligned_copy(self._note.block()))

    def save(self) -> None:
        """Flush, then write the note: it counts only what is on the medium. Raises OutputError."""
        self._target.flush()
        self.write()

    def advance(self, end: int) -> None:
        """All bytes before `end` were written; save that from time to time. Raises OutputError."""
        self.done = max(self.done, end)
        if time.monotonic() >= self._next and self.done > self._note.done:
            self.save()
            self._next = time.monotonic() + self._interval
