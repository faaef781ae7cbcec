"""Virtual disks, made by qemu-img; their random identities are set to derived ones."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from efi_image.errors import MissingError, OutputError

TOOL = "qemu-img"
_FORMATS = {
    "qcow2": ("qcow2",),
    "vhd": ("vpc", "-o", "subformat=dynamic,force_size=on"),
    "vhdx": ("vhdx",),
    "vmdk": ("vmdk",),
    "vdi": ("vdi",),
}

VHD_FOOTER = 512
VHD_TIME, VHD_CHECKSUM, VHD_UUID = 24, 64, 68
VDI_UUIDS = (0x188, 0x198)  # of the image, and of its last change
VMDK_DESCRIPTOR = slice(512, 512 + 20 * 512)
VHDX_HEADERS = (64 << 10, 128 << 10)
VHDX_HEADER = 4096
VHDX_REGIONS = 192 << 10
VHDX_METADATA = UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")
VHDX_PAGE_83 = UUID("BECA12AB-B2E6-4523-93EF-C309E000C746")


def find_qemu_img() -> str:
    """Where qemu-img is; raises MissingError."""
    program = shutil.which(TOOL)
    if program is None:
        raise MissingError(
            f"{TOOL} is missing, which makes virtual disks", hint="`apt-get install qemu-utils`"
        )
    return program


def convert(raw: Path, made: Path, form: str, seed: bytes) -> None:
    """Make a virtual disk of a raw image; the same image and seed give the same bytes."""
    files = [f"./{raw.name}", f"./{made.name}"]  # so that no colon in a name means a protocol
    command = [find_qemu_img(), "convert", "-f", "raw", "-O", *_FORMATS[form], *files]
    try:
        result = subprocess.run(
            command, cwd=made.parent, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise OutputError(f"{TOOL} cannot be run: {error.strerror}", where=made.name) from None
    if result.returncode:
        lines = tuple(result.stderr.splitlines()[-5:])
        raise OutputError(f"{TOOL} failed ({result.returncode})", where=made.name, details=lines)
    settle = _SETTLERS.get(form)
    if settle is None:
        return
    try:
        with made.open("r+b", buffering=0) as file:
            settle(file, seed)
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise OutputError(reason, where=made.name) from None


def _uuid(seed: bytes, what: str) -> UUID:
    return UUID(bytes=hashlib.sha256(seed + what.encode()).digest()[:16], version=4)


def _put(file: BinaryIO, position: int, data: bytes) -> None:
    os.pwrite(file.fileno(), data, position)


def _get(file: BinaryIO, position: int, count: int) -> bytes:
    return os.pread(file.fileno(), count, position).ljust(count, b"\0")


def settle_vhd(file: BinaryIO, seed: bytes) -> None:
    """Time and UUID of the footer, and of its copy at the beginning."""
    end = file.seek(0, os.SEEK_END) - VHD_FOOTER
    for position in (0, end):
        footer = bytearray(_get(file, position, VHD_FOOTER))
        struct.pack_into(">I", footer, VHD_TIME, 0)
        struct.pack_into(">I", footer, VHD_CHECKSUM, 0)
        footer[VHD_UUID : VHD_UUID + 16] = _uuid(seed, "vhd").bytes
        struct.pack_into(">I", footer, VHD_CHECKSUM, ~sum(footer) & 0xFFFFFFFF)
        _put(file, position, bytes(footer))


def settle_vdi(file: BinaryIO, seed: bytes) -> None:
    """UUIDs of the image and of its last change."""
    for position in VDI_UUIDS:
        _put(file, position, _uuid(seed, f"vdi {position}").bytes_le)


def settle_vmdk(file: BinaryIO, seed: bytes) -> None:
    """The content ID in the descriptor's text, which has one to eight digits at first."""
    area = VMDK_DESCRIPTOR.stop - VMDK_DESCRIPTOR.start
    text = _get(file, VMDK_DESCRIPTOR.start, area)
    # all ones would say that there is no parent
    digits = hashlib.sha256(seed).hexdigest()[:7].encode("ascii") + b"0"
    text = re.sub(rb"^CID=[0-9a-f]{1,8}$", b"CID=" + digits, text, count=1, flags=re.M)
    _put(file, VMDK_DESCRIPTOR.start, text.rstrip(b"\0").ljust(area, b"\0"))


def settle_vhdx(file: BinaryIO, seed: bytes) -> None:
    """GUIDs of both headers and of the metadata; the log, which is used up, is cleared."""
    headers = [bytearray(_get(file, position, VHDX_HEADER)) for position in VHDX_HEADERS]
    # the newer of the two has the greater number; both count from a random one
    numbers = sorted(bytes(header[8:16])[::-1] for header in headers)
    for position, header in zip(VHDX_HEADERS, headers, strict=True):
        if header[:4] != b"head":
            continue
        struct.pack_into("<Q", header, 8, 1 + numbers.index(bytes(header[8:16])[::-1]))
        for offset in (16, 32):
            header[offset : offset + 16] = _uuid(seed, f"vhdx {offset}").bytes_le
        if not any(header[48:64]):  # no log GUID: nothing in the log is to be replayed
            length, log = struct.unpack_from("<IQ", header, 68)
            _put(file, log, bytes(min(length, 1 << 20)))
        struct.pack_into("<I", header, 4, 0)
        struct.pack_into("<I", header, 4, crc32c(bytes(header)))
        _put(file, position, bytes(header))
    metadata = _vhdx_entry(file, VHDX_REGIONS, 16, VHDX_METADATA)
    offset = _vhdx_entry(file, metadata, 32, VHDX_PAGE_83, "<I") if metadata else 0
    if offset:
        _put(file, metadata + offset, _uuid(seed, "vhdx page 83").bytes_le)


def _vhdx_entry(file: BinaryIO, table: int, start: int, guid: UUID, form: str = "<Q") -> int:
    """What a table of 32-byte entries says behind that GUID; 0 if it is not there."""
    data = _get(file, table + start, 64 << 10)
    for offset in range(0, len(data) - 32, 32):
        if data[offset : offset + 16] == guid.bytes_le:
            found: int = struct.unpack_from(form, data, offset + 16)[0]
            return found
    return 0


def crc32c(data: bytes) -> int:
    """The CRC-32C (Castagnoli) of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


_SETTLERS: dict[str, Callable[[BinaryIO, bytes], None]] = {
    "vhd": settle_vhd,
    "vhdx": settle_vhdx,
    "vmdk": settle_vmdk,
    "vdi": settle_vdi,
}
