"""Writing again what differs, and going on with an unfinished write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from writing import (
    MIB,
    PAYLOAD,
    SIZE,
    Misbehaving,
    assert_whole,
    boots,
    image,
    make_image,
    old_stick,
    write,
)

from efi_image.build.partitions import Table
from efi_image.errors import (
    InputError,
    OutputError,
    UsageError,
)
from efi_image.flash import resume as state
from efi_image.flash.chunker import GRAIN, PIECE

__all__ = ["image"]


def test_delta_writes_what_differs(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    write(image, stick)
    with stick.open("r+b") as file:
        file.seek(3 * MIB + 17)
        file.write(b"changed")
    report = write(image, stick, delta=True)
    assert 2 * GRAIN < report.written < 4 * GRAIN  # with both ends of the stick
    assert report.kept > PAYLOAD - GRAIN
    assert report.zeroed == 0
    assert_whole(image, stick)


def test_nothing_to_resume(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    before = stick.read_bytes()
    with pytest.raises(InputError, match="has no unfinished write"):
        write(image, stick, resume=True)
    write(image, stick)
    with pytest.raises(InputError, match="has no unfinished write"):
        write(image, stick, resume=True)
    assert before != stick.read_bytes() == image.read_bytes()


def test_resuming_another_image(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    note = state.Unfinished("other.img", "ab" * 32, 5 * MIB)
    with stick.open("r+b") as file:
        file.write(bytes(4096) + note.block())
    with pytest.raises(InputError, match=r"has an unfinished write of another image: other.img"):
        write(image, stick, resume=True)


def test_resuming_needs_reading_back(image: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be used with --no-verify"):
        write(image, old_stick(tmp_path, SIZE), resume=True, verify=False)


def test_notes_survive_strange_names() -> None:
    for note in (state.Unfinished("ä\n\0" * 900, "00", 3), state.Unfinished("", "", 0)):
        found = state.parse(note.block())
        assert found is not None
        assert (found.head, found.done) == (note.head, note.done)
        assert len(note.block()) == state.BLOCK
    for text in (b"", b"{}", b"[1]", b"[" * 4000, b"9" * 4000, b"\xff"):
        block = b"zpp-image: unfinished write\n" + text
        assert state.parse(block.ljust(4096, b"\0")) is None
    assert state.parse(bytes(4096)) is None


class Hesitant(Misbehaving):
    """Fails once, when it is flushed with a first sector."""

    done = False

    def flush(self) -> None:
        if not self.done and os.pread(self.descriptor(), 512, 0)[510:] == b"\x55\xaa":
            self.done = True
            raise OutputError("fails", where=self.name)
        super().flush()


def test_what_was_cleared_at_the_end_is_written_again(tmp_path: Path) -> None:
    """The image reaches to the last byte, which is cleared with all that may boot."""
    image = make_image(tmp_path, table=Table.MBR)
    with image.open("r+b") as file:
        file.seek(SIZE - 12345)
        file.write(b"end" * 4115)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(OutputError, match="fails"):
        write(image, stick, medium=Hesitant(stick))
    assert not boots(stick)
    report = write(image, stick, resume=True)
    assert report.kept > PAYLOAD - PIECE
    assert stick.read_bytes() == image.read_bytes()
