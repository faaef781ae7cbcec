"""The order of what is done to a target: it boots only when it is whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from writing import (
    MIB,
    PAYLOAD,
    SIZE,
    Misbehaving,
    image,
    old_stick,
    write,
)

from efi_image.flash.chunker import PIECE

__all__ = ["image"]


class Recording(Misbehaving):
    """Notes all that is done to it."""

    def __init__(self, stick: Path) -> None:
        super().__init__(stick)
        self.seen: list[tuple[str, int, bytes]] = []

    def write(self, offset: int, view: memoryview) -> None:
        self.seen.append(("write", offset, bytes(view)))
        super().write(offset, view)

    def read(self, offset: int, view: memoryview) -> None:
        self.seen.append(("read", offset, b""))
        super().read(offset, view)

    def flush(self) -> None:
        self.seen.append(("flush", 0, b""))
        super().flush()

    def drop_caches(self) -> None:
        self.seen.append(("drop", 0, b""))
        super().drop_caches()


@pytest.mark.slow
def test_power_may_fail_at_any_time(image: Path, tmp_path: Path) -> None:
    """Whatever was not flushed may be lost, in any order: it boots only when it is whole."""
    stick = old_stick(tmp_path, SIZE + MIB)
    before = stick.read_bytes()
    medium = Recording(stick)
    write(image, stick, medium, checkpoint=0)
    whole = stick.read_bytes()
    dice = random.Random(7)
    for _ in range(60):
        end = dice.randrange(len(medium.seen) + 1)
        model, waiting = bytearray(before), []
        for what, offset, data in medium.seen[:end]:
            if what == "write":
                waiting.append((offset, data))
            elif what == "flush":
                for place, kept in waiting:
                    model[place : place + len(kept)] = kept
                waiting = []
        for place, kept in waiting:
            if dice.random() < 0.5:
                model[place : place + len(kept)] = kept
        begun = any(what == "flush" for what, *_ in medium.seen[:end])
        assert not begun or not any(model[:512]) or model == whole


def test_the_first_block_is_written_after_all_was_read_back(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    medium = Recording(stick)
    write(image, stick, medium=medium)
    kinds = [what for what, *_ in medium.seen]
    firsts = [n for n, (what, offset, data) in enumerate(medium.seen)
              if what == "write" and offset == 0]  # fmt: skip
    cleared, last = firsts
    assert not any(medium.seen[cleared][2])
    assert kinds[last - 1] == "flush"
    drop = kinds.index("drop")
    reads = [n for n, what in enumerate(kinds) if what == "read" and drop < n < last]
    assert len(reads) >= PAYLOAD // PIECE
    assert medium.seen[last][2] == image.read_bytes()[:512]
    assert kinds[last + 1 : last + 4] == ["flush", "drop", "read"]
