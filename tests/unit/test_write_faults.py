"""Targets and images that are faulty: found, said, and nothing boots."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from writing import (
    FORMS,
    MIB,
    SIZE,
    Misbehaving,
    assert_whole,
    boots,
    image,
    old_stick,
    pack,
    write,
)

from efi_image.cli.main import main
from efi_image.errors import InputError, OutputError, VerificationFailed
from efi_image.flash.chunker import GRAIN

__all__ = ["image"]


def test_a_wrong_byte_is_found(image: Path, tmp_path: Path) -> None:
    for place in (3 * MIB + 4321, 700, GRAIN - 1, SIZE - MIB):
        stick = old_stick(tmp_path, SIZE)
        medium = Misbehaving(stick)
        medium.flipped = place
        with pytest.raises(VerificationFailed, match=f"first at byte {place};"):
            write(image, stick, medium=medium)
        assert not boots(stick)


class Piecemeal(Misbehaving):
    """Takes and gives three sectors at a time, as a kernel may when memory is short."""

    def _pwrite(self, view: memoryview, offset: int) -> int:
        return super()._pwrite(view[:1536], offset)

    def _pread(self, view: memoryview, offset: int) -> int:
        return super()._pread(view[:1536], offset)


def test_short_writes_and_reads_go_on(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    report = write(image, stick, medium=Piecemeal(stick))
    assert report.verified == report.written + report.zeroed
    assert_whole(image, stick)


class Impatient(Misbehaving):
    """Whose user presses Ctrl-C when it is cleared after a fault."""

    cleared = 0

    def write(self, offset: int, view: memoryview) -> None:
        if offset == 0 and not any(view):
            self.cleared += 1
            if self.cleared == 2:
                signal.raise_signal(signal.SIGINT)
        super().write(offset, view)


def test_a_signal_does_not_keep_a_wrong_stick_bootable(image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    medium = Impatient(stick)
    medium.flipped = 700  # found when the first sector is there
    with pytest.raises(KeyboardInterrupt) as caught:
        write(image, stick, medium=medium)
    assert medium.cleared == 2
    assert isinstance(caught.value.__context__, VerificationFailed)
    assert not boots(stick)


class Dying(Misbehaving):
    """Takes its first sector, and nothing after that."""

    dead = False

    def write(self, offset: int, view: memoryview) -> None:
        if self.dead:
            raise OutputError("fails", where=self.name)
        super().write(offset, view)
        self.dead = offset == 0 and any(view)

    def flush(self) -> None:
        if self.dead:
            raise OutputError("fails", where=self.name)
        super().flush()


def test_what_could_not_be_cleared_is_said(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is told that a stick does not boot which does."""
    stick = old_stick(tmp_path, SIZE)
    monkeypatch.setattr("efi_image.flash.destination.open_file", lambda path, _: Dying(path))
    assert main(["write", "--force", str(image), str(stick)]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert "unfinished, and clearing the target failed: do not boot from it" in told.err
    assert boots(stick)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["gz", "qcow2"])
def test_a_wrong_byte_of_a_packed_image_is_found(form: str, image: Path, tmp_path: Path) -> None:
    stick = old_stick(tmp_path, SIZE)
    medium = Misbehaving(stick)
    medium.flipped = 4 * MIB + 99
    with pytest.raises(VerificationFailed, match=f"first at byte {4 * MIB + 99};"):
        write(FORMS[form](image), stick, medium=medium)
    report = write(image, stick, resume=True)
    assert report.kept
    assert stick.read_bytes() == image.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_an_image_that_is_cut_short(suffix: str, image: Path, tmp_path: Path) -> None:
    packed = pack(image, suffix)
    os.truncate(packed, packed.stat().st_size - 1000)
    stick = old_stick(tmp_path, SIZE)
    with pytest.raises(InputError):
        write(packed, stick)
    assert not boots(stick)


@pytest.mark.slow
def test_an_image_that_is_cut_short_cannot_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "random.img"
    image.write_bytes(random.Random(0).randbytes(48 * MIB))
    packed = pack(image, "gz")
    os.truncate(packed, packed.stat().st_size - 1000)
    stick = old_stick(tmp_path, 48 * MIB)
    assert main(["write", "--raw-bytes", "--force", str(packed), str(stick)]) == 3
    note, line = capsys.readouterr().err.splitlines()
    assert note == f"{stick}: the write is unfinished, and nothing boots from it"  # no --resume
    assert line == f"zpp-image: {packed}: cannot be decompressed: it is cut short"
