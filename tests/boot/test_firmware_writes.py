"""OVMF writes a GPT's damaged copy again while it boots: `diff` says so in a line."""

from __future__ import annotations

import shutil

import firmware_boot
import pytest
from firmware_disks import Lab, gpt
from gptdamage import DAMAGES, LAST
from harness import Harness

from efi_image.formats.detect import open_medium
from efi_image.formats.disk import read_disk
from efi_image.inspect.difference import Change, CompareOptions, Difference, compare_disks
from efi_image.verify import verify

# by damage: the copy that OVMF rewrites, and the sectors that it changes
REWRITTEN = {
    "no primary header": ("primary", "missing", {1}),
    "no primary table at all": ("primary", "missing", {1, 2}),
    "primary CRC": ("primary", "damaged", {1}),
    "primary is elsewhere": ("primary", "damaged", {1}),
    "primary entries": ("primary", "damaged", {2}),
    "no backup header": ("backup", "missing", {LAST}),
    "backup CRC": ("backup", "damaged", {LAST}),
    "backup entries": ("backup", "damaged", {LAST - 32}),
}
KEPT = ("written to a larger medium", "tables differ", "cut off behind the partitions")


SECTOR = 512


def sector(data: bytes, number: int) -> bytes:
    return data[number * SECTOR : (number + 1) * SECTOR]


@pytest.mark.parametrize("build", ["installed", "newest"])
def test_a_copy_of_the_gpt_is_written_again(harness: Harness, build: str) -> None:
    ovmf = firmware_boot.installed() if build == "installed" else firmware_boot.newest(harness)
    lab = Lab(harness.folder)
    drives = []
    for number, name in enumerate((*REWRITTEN, *KEPT)):
        assert any(damage.name == name for damage in DAMAGES)
        before, after = (harness.folder / f"{number}.{when}" for when in ("before", "after"))
        before.write_bytes(firmware_boot.numbered(gpt(name)(lab), number))
        shutil.copy(before, after)
        drives.append(firmware_boot.Drive(number, after, writable=True))
    results = firmware_boot.started(harness, ovmf, drives)
    assert results == dict.fromkeys(range(len(drives)), "starts")

    for number, name in enumerate((*REWRITTEN, *KEPT)):
        before, after = (harness.folder / f"{number}.{when}" for when in ("before", "after"))
        old, new = before.read_bytes(), after.read_bytes()
        assert len(old) == len(new)
        changed = {at for at in range(len(old) // SECTOR) if sector(old, at) != sector(new, at)}
        with open_medium(before) as first, open_medium(after) as second:
            told = list(compare_disks(read_disk(first), read_disk(second), CompareOptions()))
        if name in KEPT:
            assert (changed, told) == (set(), [])
            continue
        copy, state, expected = REWRITTEN[name]
        assert changed == expected, name
        assert told == [
            Difference(
                Change.CHANGED, "image", f"{copy} GPT", state, "valid",
                "rewritten from the other copy, as firmware does during a boot",
            )
        ], name  # fmt: skip
        assert verify(after).findings == ()
