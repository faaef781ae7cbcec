"""What an unfinished write leaves on its target: how far it came, in a block of its own.

The first block of a target stays empty until all the rest was read back, so nothing boots
from it; the second one tells of the write, and is overwritten before the first is written.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

BLOCK = 4096
OFFSET = BLOCK
_MAGIC = "zpp-image: unfinished write\n"


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished write: the image's name, the digest of its first bytes, and how many bytes
    of the image, holes included, are on the target for sure."""

    image: str
    head: str
    done: int

    def block(self) -> bytes:
        """The block that tells of it."""
        shown = asdict(self) | {"image": self.image[-300:]}
        return (_MAGIC + json.dumps(shown) + "\n").encode("ascii").ljust(BLOCK, b"\0")


def parse(block: bytes) -> Unfinished | None:
    """The unfinished write that a block tells of, if it does."""
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
