"""The partition table, judged by sgdisk and sfdisk, and read field by field for 4Kn."""

from __future__ import annotations

import struct
import uuid
import zlib
from pathlib import Path
from uuid import UUID

import oracles
import pytest

from efi_image.formats.gpt.structures import Gpt, GptCopy, PartitionEntry
from efi_image.formats.gpt.types import BY_NAME, ESP
from efi_image.formats.gpt.writer import create, pack_backup, pack_primary
from efi_image.formats.mbr import protective_mbr

DISK = UUID("01234567-89ab-cdef-0123-456789abcdef")
PARTITION = UUID("fedcba98-7654-3210-fedc-ba9876543210")
MIB = 1 << 20


def table(size: int, sector_size: int) -> Gpt:
    step = MIB // sector_size
    first = PartitionEntry(ESP.guid, PARTITION, step, 2 * step - 1, "EFI system partition")
    second = PartitionEntry(BY_NAME["swap"].guid, DISK, 2 * step, 3 * step - 1, "ω")
    last = (size - 1) // MIB * step
    whole = PartitionEntry(ESP.guid, PARTITION, step, last - 1, "EFI system partition")
    rows = (first, second) if size > 3 * MIB else (whole,)
    return create(size // sector_size, sector_size, DISK, rows)


def copies(gpt: Gpt) -> tuple[GptCopy, GptCopy]:
    assert gpt.primary
    assert gpt.backup
    return gpt.primary, gpt.backup


def write(image: Path, gpt: Gpt, size: int) -> None:
    _, backup = copies(gpt)
    with image.open("wb") as file:
        file.truncate(size)
        file.write(pack_primary(gpt))
        file.seek(backup.header.entries_lba * gpt.sector_size)
        file.write(pack_backup(gpt))
    assert image.stat().st_size == size


@pytest.mark.parametrize("size", [3 * MIB, 64 * MIB, 64 * MIB + 512, 1 << 40])
def test_tools_find_no_fault(tmp_path: Path, size: int) -> None:
    image = tmp_path / "disk.img"
    gpt = table(size, 512)
    write(image, gpt, size)
    oracles.check_gpt(image)
    shown = oracles.run("sgdisk", "-i", "1", image)
    assert f"Partition GUID code: {str(ESP.guid).upper()} (EFI system partition)" in shown
    assert f"Partition unique GUID: {str(PARTITION).upper()}" in shown
    assert "Partition name: 'EFI system partition'" in shown
    assert f"Partition size: {gpt.best.entries[0].sectors} sectors" in shown
    assert f"Disk identifier (GUID): {str(DISK).upper()}" in oracles.run("sgdisk", "-p", image)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_headers_as_firmware_checks_them(tmp_path: Path, sector_size: int) -> None:
    image = tmp_path / "disk.img"
    gpt = table(64 * MIB, sector_size)
    write(image, gpt, 64 * MIB)
    data = image.read_bytes()
    last = 64 * MIB // sector_size - 1
    for own, other in ((1, last), (last, 1)):
        header = data[own * sector_size : own * sector_size + 92]
        fields = struct.unpack("<8sIIIIQQQQ16sQIII", header)
        signature, revision, size, crc, zero, my, alternate, first, final, guid = fields[:10]
        entries_lba, count, entry_size, entries_crc = fields[10:]
        assert (signature, revision, size, zero) == (b"EFI PART", 0x10000, 92, 0)
        assert (my, alternate) == (own, other)
        assert uuid.UUID(bytes_le=guid) == uuid.UUID(str(DISK))
        assert zlib.crc32(header[:16] + bytes(4) + header[20:]) == crc
        entries = data[entries_lba * sector_size :][: count * entry_size]
        assert len(entries) >= 16 * 1024
        assert zlib.crc32(entries) == entries_crc
        start, end = struct.unpack_from("<QQ", entries, 32)
        entry_sectors = 16 * 1024 // sector_size
        assert (first, final) == (2 + entry_sectors, last - entry_sectors - 1)
        assert entries_lba == (2 if own == 1 else last - entry_sectors)
        assert first <= start < end <= final
        assert start * sector_size % MIB == (end + 1) * sector_size % MIB == 0
        assert end - start + 1 == gpt.best.entries[0].sectors


def test_protective_mbr() -> None:
    record = protective_mbr(1000)[446:462]
    assert record == bytes.fromhex("00000200eeffffff01000000e7030000")
    assert protective_mbr(1 << 33)[458:462] == b"\xff\xff\xff\xff"
    assert protective_mbr(1000)[510:] == b"\x55\xaa"
