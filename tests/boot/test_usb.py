"""zpp-image writes emulated USB sticks in a virtual machine, and other machines boot from them."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import Harness
from nbd import Fault, FaultyStick
from usb_guest import MIB, Step, Stick, boot_from, session, written_bytes

from efi_image.build.image import make_image
from efi_image.build.options import Addition, Hypervisor, ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.emulator.qmp import Qmp
from efi_image.formats.gpt.reader import read_gpt
from efi_image.io.medium import open_raw

UNSAFE, VERIFICATION_FAILED, OUTPUT, DOES_NOT_FIT = 9, 10, 4, 5
ON_ZPP = (r"CPU 0 .*virtualized with AMD-V", r"CPU 1 .*virtualized with AMD-V")
BULK = 24 * MIB


@pytest.fixture
def image(harness: Harness) -> Path:
    """An image with the hypervisor, and a large file so that writing takes a while."""
    bulk = harness.folder / "bulk"
    bulk.write_bytes(os.urandom(BULK))
    return harness.image(additions=(Addition(bulk, "/bulk"),))


def blank(harness: Harness, name: str, size: int, old: int = 0) -> Path:
    """Creates the file of a stick; the first `old` bytes contain old data."""
    file = harness.folder / name
    with file.open("wb") as stick:
        for _ in range(old // MIB):
            stick.write(os.urandom(MIB))
        stick.truncate(size)
    return file


def write(name: str, image: Path, serial: str, *more: str, **others: object) -> dict[str, Any]:
    """A step that writes an image to a stick."""
    return {
        "name": name,
        "run": ["write", str(image), f"serial:{serial}", "--yes-erase", serial, *more],
        **others,
    }


def check_step(step: Step, code: int, *words: str) -> None:
    """Checks the exit code of a step, and that its output contains the words."""
    assert step.code == code, step
    for word in words:
        assert word in step.out + step.err, step


def test_sticks_are_written_and_boot(harness: Harness, image: Path) -> None:
    old = harness.folder / "old.img"
    readme = harness.folder / "README.TXT"
    readme.write_bytes(b"old")
    make_image(
        ResolvedOptions(
            old,
            hypervisor=Hypervisor.NONE,
            files=(Addition(readme, "/"),),
            size=128 * MIB,
            table=Table.NONE,
        )
    )
    subprocess.run(["zstd", "-q", "-k", image], check=True)
    manifest = harness.folder / "disk.toml"
    manifest.write_text(f'build-dir = "{harness.build_directory}"\nlabel = "BIG"\n')
    sticks = [
        Stick("STORAGE1", old),
        Stick("UAS1", blank(harness, "uas.img", 96 * MIB, old=72 * MIB), kind="usb-uas"),
        Stick("BIG4K", blank(harness, "big.img", 256 * MIB), kind="usb-bot", sector_size=4096),
    ]
    by_hand = ["write", str(image), "serial:STORAGE1"]
    steps = session(
        harness,
        sticks,
        [
            {"name": "list", "run": ["devices", "--json"]},
            {"name": "mounted elsewhere", "mount": ["STORAGE1", "/run/other"]},
            write("refused", image, "STORAGE1"),
            {"name": "away", "unmount": "/run/other"},
            {"name": "mounted", "mount": ["STORAGE1", "/mnt/stick"]},
            {"name": "unconfirmed", "run": by_hand, "stdin": "no\n"},
            write("wrong serial", image, "STORAGE1") | {"run": [*by_hand, "--yes-erase", "UAS1"]},
            {"name": "confirmed", "run": by_hand, "stdin": "QEMU HARDDISK\n"},
            write("again", image, "STORAGE1", "--delta", "--json"),
            write("packed", image.with_suffix(".img.zst"), "UAS1", "--json"),
            write("manifest", manifest, "BIG4K", "--json", "--eject"),
            {"name": "partition", "run": [*by_hand[:2], "/dev/sda1", "--yes-erase", "x"]},
        ],
    )
    rows = steps["list"].json["devices"]
    listed = {row["serial"]: (row["bus"], row["sector_size"], row["safe"]) for row in rows}
    assert listed == {
        "STORAGE1": ("usb", 512, True), "UAS1": ("usb", 512, True), "BIG4K": ("usb", 4096, True),
    }  # fmt: skip
    check_step(steps["refused"], UNSAFE, "is mounted at /run/other")
    check_step(steps["unconfirmed"], UNSAFE, "QEMU HARDDISK, serial STORAGE1, 128.0 MiB",
          "will be unmounted: /mnt/stick", "was not confirmed; nothing was written")  # fmt: skip
    check_step(steps["wrong serial"], UNSAFE, "needs --yes-erase STORAGE1")
    check_step(steps["confirmed"], 0, "read back and equal", "moved the GPT's backup", "writing: ")
    check_step(steps["partition"], UNSAFE, "is a partition, not a whole disk")
    for name in ("again", "packed", "manifest"):
        check_step(steps[name], 0)
    assert steps["again"].json["written"] < MIB
    assert steps["again"].json["kept"] > BULK
    assert steps["packed"].json["zeroed"] > 32 * MIB
    assert steps["packed"].json["partitions_reread"]
    assert steps["manifest"].json["ejected"]
    for stick in sticks:
        check_table(stick)
        # OVMF has no driver for UAS, but such sticks support bulk-only transport, too
        by_bulk = replace(stick, kind="usb-storage") if stick.kind == "usb-uas" else stick
        boot_from(harness, by_bulk, ON_ZPP)


def check_table(stick: Stick) -> None:
    """Checks both copies of the GPT, and that the backup is at the end of the stick."""
    with open_raw(stick.file) as medium:
        table = read_gpt(medium, stick.sector_size)
        assert table is not None
        assert table.primary is not None
        assert table.backup is not None
        for half in (table.primary, table.backup):
            assert half.header.crc_valid
            assert half.entries_crc_valid
        assert table.backup.header.my_lba == medium.size // stick.sector_size - 1
        assert table.primary.header.alternate_lba == table.backup.header.my_lba


def assert_nothing_boots(file: Path) -> None:
    """Checks that the first block is empty and there is no partition table."""
    with open_raw(file) as medium:
        assert not any(medium.read(0, 4096))
        assert read_gpt(medium) is None


class Unplugging:
    """Unplugs a stick when `after` bytes are written, and plugs it in again after the step."""

    def __init__(self, stick: Stick, after: int, step: str) -> None:
        self.stick, self.after, self.step = stick, after, step
        self.unplugged = self.back = False

    def __call__(self, qmp: Qmp, text: str) -> None:
        serial = self.stick.serial
        if not self.unplugged and written_bytes(self.stick.file) > self.after:
            qmp.command("device_del", id=f"usb-{serial}")
            self.unplugged = True
        if self.unplugged and not self.back and f'"name": "{self.step}"' in text:
            file = {"driver": "file", "filename": str(self.stick.file)}
            qmp.command("blockdev-add", driver="raw", file=file, **{"node-name": "again"})
            qmp.command("device_add", driver="usb-storage", drive="again", serial=serial,
                        id="usb-again", bus="xhci.0")  # fmt: skip
            self.back = True


def failing(file: Path, kind: str, sector: int) -> str:
    """QEMU's options for a drive on which reads or writes of one sector fail."""
    rule = {"event": f"{kind}_aio", "iotype": kind, "sector": sector, "errno": 5, "once": "off"}
    options = [f"file.inject-error.0.{key}={value}" for key, value in rule.items()]
    return ",".join(
        ["driver=raw,file.driver=blkdebug", "file.image.driver=file",
         f"file.image.filename={file}", *options]
    )  # fmt: skip


def test_faulty_sticks_are_never_reported_as_written(harness: Harness, image: Path) -> None:
    size = 96 * MIB
    bad = 20 * MIB + 8192  # in the middle of the bulk
    worn, torn, pulled = (
        blank(harness, f"{name}.img", size) for name in ("worn", "torn", "pulled")
    )
    locked, small = blank(harness, "locked.img", size), blank(harness, "small.img", 32 * MIB)
    fake = FaultyStick(harness.folder / "fake", Fault(size=128 * MIB, real_size=64 * MIB))
    liar = FaultyStick(harness.folder / "liar", Fault(size=size, wrong_byte=bad + 77))
    unplugging = Unplugging(
        Stick("PULLED", pulled, drive=f",throttling.bps-write={MIB}"), 22 * MIB, "pulled"
    )
    sticks = [
        Stick("WORN", worn, node=failing(worn, "write", bad // 512)),
        Stick("TORN", torn, node=failing(torn, "read", bad // 512)),
        Stick("LOCKED", locked, drive=",readonly=on"),
        Stick("SMALL", small),
        Stick("FAKE", Path(), node=f"format=raw,file=nbd:unix:{harness.folder / 'fake'}"),
        Stick("LIAR", Path(), node=f"format=raw,file=nbd:unix:{harness.folder / 'liar'}"),
        unplugging.stick,
    ]
    steps = session(
        harness,
        sticks,
        [
            {"name": "watching", "spawn": ["devices", "--watch", "--json"]},
            write("pulled", image, "PULLED"),
            write("worn", image, "WORN"),
            write("torn", image, "TORN"),
            write("locked", image, "LOCKED"),
            write("small", image, "SMALL"),
            write("fake", image, "FAKE", "--probe"),
            write("liar", image, "LIAR"),
            {"name": "list", "run": ["devices", "--json", "--size", "64M"]},
            {"name": "again", "wait": "PULLED"},
            write("resumed", image, "PULLED", "--resume", "--json"),
            {"name": "watched", "collect": "watching"},
        ],
        unplugging,
    )
    fake.close()
    liar.close()
    unfinished = "the write is unfinished, and nothing boots from it"
    check_step(steps["pulled"], OUTPUT, "was unplugged", unfinished)
    failed = f"at byte {bad}: Input/output error"
    check_step(steps["worn"], OUTPUT, f"cannot be written {failed}", unfinished)
    check_step(steps["torn"], OUTPUT, f"cannot be read back {failed}", unfinished)
    check_step(steps["locked"], UNSAFE, "is write-protected")
    check_step(steps["small"], DOES_NOT_FIT, "has 33554432 bytes, but the image has 67108864")
    check_step(steps["fake"], VERIFICATION_FAILED, "claims 134217728 bytes, but loses data written")
    check_step(steps["liar"], VERIFICATION_FAILED, f"first at byte {bad + 77};", unfinished)
    for name in ("pulled", "worn", "torn", "locked", "small", "fake", "liar"):
        assert "equal" not in steps[name].out
    rows = steps["list"].json["devices"]
    listed = {row["serial"]: [r["reason"] for r in row["reasons"]] for row in rows}
    assert listed["LOCKED"] == ["read-only"]
    assert listed["SMALL"] == ["too-small"]
    lines = [line for line in steps["watched"].out.splitlines() if line.startswith("{")]
    events = [(row["event"], row["device"]["serial"]) for row in map(json.loads, lines)]
    assert {event for event in events if event[0] == "present"} == {
        ("present", stick.serial) for stick in sticks
    }
    pulled_events = [event for event, serial in events if serial == "PULLED" and event != "changed"]
    assert pulled_events == ["present", "removed", "added"]
    assert_nothing_boots(worn)
    assert_nothing_boots(torn)
    check_step(steps["resumed"], 0)
    assert steps["resumed"].json["kept"] > 2 * MIB
    assert steps["resumed"].json["verified"] > BULK
    again = Stick("PULLED", pulled)
    check_table(again)
    boot_from(harness, again, ON_ZPP)
