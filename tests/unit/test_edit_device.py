"""Files changed on a device; the kernel's loop devices stand in for sticks."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from loops import Attach, attach
from oracles import check_fat, mtools_read

from efi_image.cli.main import main
from efi_image.edit.device import DeviceTarget
from efi_image.errors import OutputError
from efi_image.flash.block_target import BlockTarget
from efi_image.formats.disk import open_disk

__all__ = ["attach"]

KERNEL = random.Random(3).randbytes(300_000)


class Killed(BaseException):
    """The process ends at once."""


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stick's content, with an old kernel on it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    image, kernel = tmp_path / "stick.img", tmp_path / "vmlinuz"
    kernel.write_bytes(b"old" * 50_000)
    made = ["make", str(image), "--hypervisor", "none", "--size", "40M"]
    assert main([*made, "--add", f"{kernel}:/EFI/zpp/kernel.bin"]) == 0
    kernel.write_bytes(KERNEL)
    return image


def kernel_on(image: Path, folder: Path) -> bytes:
    """The kernel as mtools reads it, from a volume that fsck.fat approves."""
    os.sync()
    with open_disk(image) as disk:
        place = disk.pick()
    check_fat(image, place.start, place.size)
    return mtools_read(image, "EFI/zpp/kernel.bin", folder / "read", place.start)


def commands(stick: Path, loop: str) -> list[str]:
    return ["cp", "-f", str(stick.parent / "vmlinuz"), f"{loop}:/EFI/zpp/kernel.bin",
            "--yes-change", loop]  # fmt: skip


def test_a_new_kernel_on_a_stick(attach: Attach, stick: Path, tmp_path: Path) -> None:
    loop = attach(stick)
    assert main(commands(stick, loop)) == 0
    yes = ["--yes-change", loop]
    assert main(["mkdir", loop, "/loader", *yes]) == 0
    assert main(["cp", f"{loop}:/EFI/zpp/kernel.bin", f"{loop}:/loader/copy", *yes]) == 0
    assert main(["mv", loop, "/loader/copy", "/loader/A longer name", *yes]) == 0
    assert main(["rm", loop, "/loader/a LONGER name", *yes]) == 0
    assert kernel_on(stick, tmp_path) == KERNEL
    assert not list((tmp_path / "cache/zpp/changes").iterdir())


def test_without_consent_nothing_is_changed(
    attach: Attach, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop, before = attach(stick), stick.read_bytes()
    assert main(commands(stick, loop)[:-2]) == 9
    assert f"--yes-change {loop}" in capsys.readouterr().err
    assert main([*commands(stick, loop)[:-1], "other"]) == 9
    assert stick.read_bytes() == before


def test_a_file_behind_a_loop_device_is_refused(
    attach: Attach, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = attach(stick)
    assert main(["rm", str(stick), "/EFI/zpp/kernel.bin"]) == 9
    assert f"is in use as {loop}" in capsys.readouterr().err


def break_write(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Make that write to the device fail once."""
    real, count = BlockTarget.write, 0

    def write(self: BlockTarget, offset: int, view: memoryview) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise error
        real(self, offset, view)

    monkeypatch.setattr(BlockTarget, "write", write)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_a_failed_write_is_taken_back(
    number: int, attach: Attach, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = attach(stick)
    break_write(monkeypatch, number, OutputError("cannot be written", where=loop))
    assert main(commands(stick, loop)) == 4
    assert kernel_on(stick, tmp_path) == b"old" * 50_000


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6])
def test_a_killed_change_is_taken_back_by_the_next(
    number: int,
    attach: Attach,
    stick: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop = attach(stick)
    with monkeypatch.context() as patch:
        break_write(patch, number, Killed())
        with pytest.raises(Killed):
            main(commands(stick, loop))
    journals = list(tmp_path.glob("cache/zpp/changes/*"))
    assert main(["mkdir", loop, "/new", "--yes-change", loop]) == 0
    assert ("undid an interrupted change" in capsys.readouterr().err) is bool(journals)
    assert kernel_on(stick, tmp_path) == b"old" * 50_000
    assert not list(tmp_path.glob("cache/zpp/changes/*"))


def test_what_is_read_back_wrong_is_taken_back(
    attach: Attach, stick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = attach(stick)
    real = DeviceTarget._put

    def flip(self: DeviceTarget, offset: int, data: bytes) -> None:
        real(self, offset, data.replace(KERNEL[:8], bytes(8)))

    monkeypatch.setattr(DeviceTarget, "_put", flip)
    assert main(commands(stick, loop)) == 10
    assert kernel_on(stick, tmp_path) == b"old" * 50_000


def test_smaller_sectors_than_the_devices_are_refused(
    attach: Attach, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = attach(stick, "--sector-size", "4096")
    assert main(commands(stick, loop)) == 3
    assert "sectors of 512 bytes, the device's have 4096" in capsys.readouterr().err


def test_a_device_of_4096_byte_sectors(attach: Attach, stick: Path, tmp_path: Path) -> None:
    made = ["make", str(stick), "--hypervisor", "none", "--size", "40M", "--sector-size", "4096"]
    assert main(made) == 0
    loop = attach(stick, "--sector-size", "4096")
    yes = ["--yes-change", loop]
    assert main(["mkdir", "-p", loop, "/EFI/zpp", *yes]) == 0
    assert main([*commands(stick, loop)]) == 0
    assert kernel_on(stick, tmp_path) == KERNEL


def test_a_partition_is_refused(
    attach: Attach, stick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = attach(stick, "--partscan")
    assert main(["rm", f"{loop}p1", "/EFI/zpp/kernel.bin", "--yes-change", loop]) in {3, 9}
    assert loop in capsys.readouterr().err
