"""Writing to the kernel's loop devices, where this machine has them and lets us."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loops import Attach, attach
from oracles import run
from writing import MIB, PAYLOAD, SIZE, assert_whole, image, make_image, old_content, old_stick

from efi_image.build.partitions import Table
from efi_image.cli.main import main
from efi_image.devices.linux import LinuxDisks
from efi_image.errors import OutputError, UnsafeTarget
from efi_image.flash import resume as state
from efi_image.flash.block_target import Abilities, BlockTarget
from efi_image.flash.checksums import sha256
from efi_image.flash.chunker import GRAIN
from efi_image.flash.device import open_device
from efi_image.flash.options import Phase, WriteOptions, WriteReport
from efi_image.flash.session import Session
from efi_image.flash.source import open_source
from efi_image.formats.gpt.reader import read_gpt
from efi_image.io.medium import open_raw
from efi_image.verify import verify

__all__ = ["attach", "image"]


def test_a_loop_device(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    loop = attach(stick)
    assert main(["write", str(image), loop, "--yes-erase", loop, "--probe", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["zeroed"] > 8 * MIB
    assert report["moved_table"]
    os.sync()
    assert_whole(image, stick)
    assert main(["write", str(image), loop, "--yes-erase", loop, "--delta", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] < MIB


def test_large_sectors(attach: Attach, tmp_path: Path) -> None:
    image = make_image(tmp_path, size=32 * MIB, sector_size=4096)
    stick = old_stick(tmp_path, 40 * MIB)
    loop = attach(stick, "--sector-size", "4096")
    assert main(["write", str(image), loop, "--yes-erase", loop]) == 0
    assert "No problems found" in run("sgdisk", "-v", loop)
    with open_raw(loop) as medium:
        table = read_gpt(medium, 4096)
        assert table is not None
        assert table.backup is not None
        assert table.backup.header.my_lba == medium.size // 4096 - 1


@pytest.mark.slow
@pytest.mark.parametrize("abilities", [Abilities(True), Abilities(False, 4096), Abilities()])
def test_old_content_is_gone_by_any_means(
    attach: Attach, tmp_path: Path, abilities: Abilities
) -> None:
    """Told to zero, or to discard and then looked at, or overwritten: it reads as zeros."""
    size = 24 * MIB
    loop = attach(old_stick(tmp_path, size))
    descriptor = os.open(loop, os.O_RDWR | os.O_DIRECT)
    target = BlockTarget(loop, size, 512, descriptor, abilities=abilities)
    changed = list(target.zero(MIB + 512, size - 2 * MIB))
    if abilities.zeroes:
        assert changed == [(MIB + 512, size - 2 * MIB)]
    elif abilities.discards:  # but for the ends, which are no whole blocks, nothing was left
        assert 0 < sum(count for _, count in changed) <= 8 * MIB
    else:
        assert sum(count for _, count in changed) == size - 2 * MIB
    target.flush()
    target.close()
    found = (tmp_path / "stick").read_bytes()
    assert not any(found[MIB + 512 : size - MIB + 512])
    assert found[MIB : MIB + 512] == old_content()[MIB : MIB + 512]
    assert found[size - MIB + 512 :] == old_content()[size - MIB + 512 : size]


def test_a_loop_device_of_the_image_itself(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link, before = tmp_path / "link", image.read_bytes()
    link.symlink_to(image)
    loop = attach(image)
    for given in (image, link):
        assert main(["write", str(given), loop, "--yes-erase", loop]) == 9
        assert f"{loop}: is {given}, an input of this write" in capsys.readouterr().err
    assert main(["write", loop, str(image), "--force"]) == 9
    assert image.read_bytes() == before


def test_it_has_to_be_confirmed(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stick = old_stick(tmp_path, SIZE + MIB)
    before = stick.read_bytes()
    loop = attach(stick)
    assert main(["write", str(image), loop, "--yes-erase", "other"]) == 9
    assert (
        f"is not the disk with serial other; this one needs --yes-erase {loop}"
        in capsys.readouterr().err
    )
    read_only = attach(old_stick(tmp_path, SIZE, "locked"), "--read-only")
    assert main(["write", str(image), read_only, "--yes-erase", read_only]) == 9
    assert "is write-protected" in capsys.readouterr().err
    assert main(["write", str(image), loop, "--yes-erase", loop, "--eject", "--no-verify"]) == 0
    assert "cannot be ejected" in capsys.readouterr().out
    assert stick.read_bytes() != before


def test_an_exchanged_medium_is_noticed(attach: Attach, tmp_path: Path) -> None:
    """The same path, another disk behind it: what was confirmed is not what is opened."""
    stick, other = old_stick(tmp_path, SIZE), old_stick(tmp_path, SIZE, "other")
    disks = LinuxDisks()
    loop = attach(stick)
    confirmed = disks.find(loop)
    assert confirmed.diskseq
    subprocess.run(["losetup", "-d", loop], check=True)
    subprocess.run(["losetup", loop, other], check=True)
    with pytest.raises(UnsafeTarget, match=r"another disk than the one .* \(its diskseq differs\)"):
        open_device(confirmed, disks)
    target = open_device(disks.find(loop), disks)
    with pytest.raises(UnsafeTarget, match="is in use according to the kernel"):
        open_device(disks.find(loop), disks)
    target.close()


def test_a_program_has_it_open(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a virtual machine would, without claiming it for itself alone."""
    loop = attach(old_stick(tmp_path, SIZE))
    with (
        Path(loop).open("r+b") as device,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=device) as cat,
    ):
        assert main(["write", str(image), loop, "--yes-erase", loop]) == 9
        assert f"is open in cat ({cat.pid})" in capsys.readouterr().err
        assert cat.stdin
        cat.stdin.close()


def test_what_is_written_may_not_be_on_it(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = attach(old_stick(tmp_path, SIZE))
    assert main(["write", loop, loop, "--yes-erase", loop]) == 9
    assert f"contains {loop}, an input of this write" in capsys.readouterr().err
    stick = old_stick(tmp_path, SIZE, "copy")
    assert main(["write", str(image), loop, "--yes-erase", loop]) == 0
    assert main(["write", "-f", loop, str(stick)]) == 0
    assert stick.read_bytes() == image.read_bytes()


def test_a_file_that_is_a_disk_just_now(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stick = old_stick(tmp_path, SIZE)
    loop = attach(stick)
    assert main(["write", str(image), str(stick)]) == 9
    assert f"is in use as {loop}; write to {loop}" in capsys.readouterr().err


def test_another_name_of_a_disk(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written to a loop device of a disk is on the disk, whoever uses that."""
    disk = attach(old_stick(tmp_path, SIZE))
    name = attach(Path(disk))
    assert main(["write", str(image), name, "--yes-erase", name]) == 9
    assert f"{name}: is another name of {disk}" in capsys.readouterr().err
    assert main(["write", str(image), disk, "--yes-erase", disk]) == 9
    assert f"{disk}: is used by {Path(name).name}" in capsys.readouterr().err


def test_another_node_than_the_one_that_was_confirmed(attach: Attach, tmp_path: Path) -> None:
    disks = LinuxDisks()
    loop = attach(old_stick(tmp_path, SIZE))
    node = tmp_path / "node"
    os.mknod(node, 0o600 | stat.S_IFBLK, Path(loop).stat().st_rdev)
    with pytest.raises(UnsafeTarget, match=r"\(its path differs\)"):
        open_device(replace(disks.find(str(node)), path=str(node)), disks)


class _Partition(ctypes.Structure):
    """struct blkpg_partition of linux/blkpg.h; start and length in bytes."""

    _fields_ = (("start", ctypes.c_longlong), ("length", ctypes.c_longlong),
                ("number", ctypes.c_int), ("names", ctypes.c_char * 128))  # fmt: skip


class _Request(ctypes.Structure):
    """struct blkpg_ioctl_arg."""

    _fields_ = (("operation", ctypes.c_int), ("flags", ctypes.c_int), ("size", ctypes.c_int),
                ("partition", ctypes.POINTER(_Partition)))  # fmt: skip


def add_partition(disk: str, start: int, length: int) -> None:
    """Tells the kernel of partition 1, as addpart does, which is not in every Debian."""
    partition = _Partition(start, length, 1)
    request = _Request(1, 0, ctypes.sizeof(_Partition), ctypes.pointer(partition))
    with Path(disk).open("rb") as device:
        fcntl.ioctl(device, 0x1269, bytes(request))  # BLKPG


@pytest.mark.parametrize("place", ["", "p1"])
def test_a_disk_that_was_mounted_meanwhile(
    place: str, attach: Attach, tmp_path: Path, unmounted: Callable[[str], Path]
) -> None:
    """After it was confirmed, and before it was opened: as a whole, or a partition of it."""
    loop = attach(old_stick(tmp_path, SIZE), "--partscan")
    if place:  # told by hand, as not every kernel reads partition tables
        add_partition(loop, 2048 * 512, 16384 * 512)
    run("mkfs.ext4", "-q", "-F", loop + place)
    confirmed = LinuxDisks().find(loop)
    assert confirmed.safe
    folder = unmounted(loop + place)
    with pytest.raises(UnsafeTarget, match="is in use according to the kernel"):
        open_device(confirmed, LinuxDisks())
    (refusal,) = LinuxDisks().find(loop).refusals
    assert refusal.text == f"is mounted at {folder}"


@pytest.fixture
def unmounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a device in a folder; it is unmounted after the test."""
    folder = tmp_path / "mounted"

    def mount(device: str) -> Path:
        folder.mkdir()
        run("mount", "-t", "ext4", device, folder)
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)


def test_swap_on_it(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = attach(old_stick(tmp_path, SIZE))
    run("mkswap", loop)
    run("swapon", loop)
    try:
        assert main(["write", str(image), loop, "--yes-erase", loop]) == 9
        assert f"{loop}: contains swap" in capsys.readouterr().err
        with pytest.raises(UnsafeTarget, match="is in use according to the kernel"):
            open_device(LinuxDisks().find(loop), LinuxDisks())
    finally:
        run("swapoff", loop)
    assert LinuxDisks().find(loop).safe


def test_a_disk_in_a_file_on_it(
    unmounted: Callable[[str], Path], attach: Attach, tmp_path: Path
) -> None:
    """A file on the outer one is the inner one, which is mounted, or not."""
    outer = attach(old_stick(tmp_path, SIZE))
    run("mkfs.ext4", "-q", "-F", outer)
    folder = unmounted(outer)
    with (folder / "inner.img").open("wb") as file:
        file.truncate(4 * MIB)
    inner = attach(folder / "inner.img")
    texts = [refusal.text for refusal in LinuxDisks().find(outer).refusals]
    assert f"is mounted at {folder}" in texts
    assert f"is used by {Path(inner).name}" in texts
    assert LinuxDisks().find(inner).safe


class Shrinking:
    """Takes half of a loop device away when a part of the image is written."""

    def __init__(self, stick: Path, loop: str) -> None:
        self._stick, self._loop = stick, loop
        self.shrunk = False

    def watch(self, _phase: Phase) -> Callable[[int, int], None]:
        return self._shrink

    def _shrink(self, done: int, _total: int) -> None:
        if done >= 2 * MIB and not self.shrunk:
            self.shrunk = True
            os.truncate(self._stick, 4 * MIB)
            subprocess.run(["losetup", "--set-capacity", self._loop], check=True)


def test_a_device_that_becomes_smaller(attach: Attach, tmp_path: Path) -> None:
    image = tmp_path / "full.img"
    image.write_bytes(os.urandom(SIZE))
    stick = old_stick(tmp_path, SIZE)
    loop = attach(stick)
    disks = LinuxDisks()
    target = open_device(disks.find(loop), disks)
    shrinking = Shrinking(stick, loop)
    with (
        open_source(image) as source,
        pytest.raises(OutputError, match="cannot be written at byte"),
    ):
        Session(source, target, WriteOptions(image, loop, raw_bytes=True), shrinking.watch).write()
    target.close()
    assert shrinking.shrunk
    os.sync()
    assert not any(stick.read_bytes()[:4096])


def test_who_is_not_root_can_write_where_it_is_allowed(
    attach: Attach, image: Path, tmp_path: Path
) -> None:
    """As members of the group `disk` are: the kernel's caches are not theirs to drop."""
    stick = old_stick(tmp_path, SIZE + MIB)
    loop = attach(stick)
    less = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    program = (sys.executable, "-P", "-m", "efi_image")
    done = run(*less, *program, "write", image, loop, "--yes-erase", loop)
    assert "read back and equal" in done
    os.sync()
    assert_whole(image, stick)


@pytest.mark.parametrize("table", [Table.GPT, Table.MBR])
def test_verify_takes_the_sectors_of_the_device(
    table: Table, attach: Attach, tmp_path: Path
) -> None:
    """The table of such an image is not where the device's firmware looks for it."""
    image = make_image(tmp_path, table=table)
    loop = attach(image, "--sector-size", "4096")
    found = [{finding.rule.code for finding in verify(x).findings} for x in (image, loop)]
    assert ["ZPP-D104" in codes for codes in found] == [False, True]


def sectors_read(loop: str) -> int:
    """Documentation/block/stat.rst."""
    return int(Path("/sys/block", Path(loop).name, "stat").read_text().split()[2])


@pytest.mark.parametrize("options", [[], ["--no-verify"], ["--skip-holes"], ["--resume"]])
def test_what_was_written_is_read_once(
    options: list[str], attach: Attach, image: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As the kernel counts what the device was asked for, while udev is kept away."""
    stick = old_stick(tmp_path, SIZE + MIB)
    loop = attach(stick)
    if "--resume" in options:
        note = state.Unfinished("image", sha256(image.read_bytes()[:GRAIN]).hex(), 4 * MIB)
        with stick.open("r+b") as file:
            file.write(bytes(4096) + note.block())
            file.seek(MIB)
            file.write(image.read_bytes()[MIB : 4 * MIB])
            file.seek(GRAIN)
            file.write(bytes(MIB - GRAIN))
        os.sync()
    write, counts = Session.write, []

    def counted(session: Session) -> WriteReport:
        before = sectors_read(loop)
        report = write(session)
        counts.append(sectors_read(loop) - before)
        return report

    monkeypatch.setattr(Session, "write", counted)
    assert main(["write", str(image), loop, "--yes-erase", loop, "--json", *options]) == 0
    (read,) = [512 * count for count in counts]
    report = json.loads(capsys.readouterr().out)
    written = report["written"] + report["zeroed"] + report["kept"]
    if "--no-verify" in options:
        assert (report["verified"], read) == (0, 0)
    else:
        assert report["verified"] == written > PAYLOAD
        # with the block that tells of an unfinished write, the first before it, and the table and
        # boot sectors, which the kernel reads ahead of
        assert report["verified"] <= read <= report["verified"] + 8192 + 512 * 1024


def test_one_that_is_too_small(
    attach: Attach, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A too small one is refused before anything is asked."""
    small = attach(old_stick(tmp_path, 4 * MIB, "small"))
    assert main(["write", str(image), small, "--yes-erase", small]) == 5
    assert "but the image has" in capsys.readouterr().err
