"""Virtual disks (qcow2, VHD, VHDX, VMDK, VDI), which qemu-img reads and writes.

The random identities of what it writes are replaced by derived ones. Places in the formats:
VHD 1.0, "Hard Disk Footer Format"; VHDX 1.0 (MS-VHDX), 2.2.2 and 2.6; VMDK 5.0, "Hosted Sparse
Extents"; VDI and qcow2 as in QEMU's block/vdi.c and docs/interop/qcow2.txt.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from efi_image.errors import InputError, OutputError
from efi_image.io.medium import Medium
from efi_image.io.programs import find_program

MAX_SIZE = 64 << 30  # bytes of a disk that is read
QEMU_TIMEOUT = 1800  # seconds
QCOW2_EXTERNAL_DATA = 1 << 2

VHD_FOOTER = 512
VHD_MAGIC = b"conectix"
VHD_FIXED = 2
VHD_TIME, VHD_TYPE, VHD_CHECKSUM, VHD_UUID = 24, 60, 64, 68
VDI_UUIDS = (0x188, 0x198)  # of the image, and of its last change
VMDK_DESCRIPTOR = slice(512, 512 + 20 * 512)
VHDX_HEADERS = (64 << 10, 128 << 10)
VHDX_HEADER = 4096
VHDX_REGIONS = 192 << 10
VHDX_METADATA = UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")
VHDX_PAGE_83 = UUID("BECA12AB-B2E6-4523-93EF-C309E000C746")


class DiskFormat(Enum):
    """The formats; the value is qemu-img's name."""

    QCOW2 = "qcow2"
    VHD = "vpc"
    VHDX = "vhdx"
    VMDK = "vmdk"
    VDI = "vdi"

    @classmethod
    def of(cls, head: bytes) -> DiskFormat | None:
        """The format of a file with these first 512 bytes; None for a raw image or a fixed VHD."""
        magics = (
            (0, b"QFI\xfb", cls.QCOW2),
            (0, b"vhdxfile", cls.VHDX),
            (0, b"KDMV", cls.VMDK),
            (0, VHD_MAGIC, cls.VHD),
            (0x40, b"\x7f\x10\xda\xbe", cls.VDI),
        )
        return next((form for at, magic, form in magics if head[at:].startswith(magic)), None)


def find_qemu_img(purpose: str, where: str = "") -> str:
    """The path of qemu-img; raises MissingError."""
    return find_program("qemu-img", "qemu-utils", purpose, where)


# ---- reading


def without_footer(medium: Medium) -> Medium:
    """The raw image in a fixed VHD, which has only a footer behind it; else the same medium."""
    footer = medium.peek(medium.size - VHD_FOOTER, VHD_FOOTER)
    kind = int.from_bytes(footer[VHD_TYPE : VHD_TYPE + 4], "big")
    if footer.startswith(VHD_MAGIC) and kind == VHD_FIXED:
        return medium.view(0, medium.size - VHD_FOOTER)
    return medium


@contextmanager
def open_virtual_disk(medium: Medium, form: DiskFormat) -> Iterator[Medium]:
    """The disk in a temporary file; raises InputError or MissingError.

    An image that takes data from other files of this machine is refused.
    """
    if form is DiskFormat.QCOW2:
        _refuse_other_files(medium)
    with tempfile.NamedTemporaryFile(prefix="zpp-image-") as file:
        _read(medium, form, file.name)
        yield Medium(file.fileno(), medium.name, 0, os.fstat(file.fileno()).st_size)


def _refuse_other_files(medium: Medium) -> None:
    head = medium.peek(0, 80).ljust(80, b"\0")
    backing = int.from_bytes(head[8:16], "big")
    features = int.from_bytes(head[72:80], "big") if head[4:8] >= b"\0\0\0\3" else 0
    if backing or features & QCOW2_EXTERNAL_DATA:
        raise _other_file(medium)


def _other_file(medium: Medium) -> InputError:
    return InputError(
        "takes its data from another file",
        where=medium.name,
        hint="make it one image with qemu-img convert",
    )


def _read(medium: Medium, form: DiskFormat, target: str) -> None:
    file = {"driver": "file", "filename": f"/proc/self/fd/{medium.descriptor}", "locking": "off"}
    options: dict[str, object] = {"driver": form.value, "file": file}
    if form in {DiskFormat.QCOW2, DiskFormat.VMDK}:
        options["backing"] = None
    source = "json:" + json.dumps(options)
    try:
        facts = json.loads(_qemu_img(medium, "info", "--output=json", source))
        size, other = facts["virtual-size"], "backing-filename" in facts
    except (ValueError, KeyError, TypeError):
        raise InputError("qemu-img does not tell its size", where=medium.name) from None
    if other:
        raise _other_file(medium)
    if not isinstance(size, int) or size > MAX_SIZE:
        raise InputError(f"is a disk of more than {MAX_SIZE} bytes", where=medium.name)
    _qemu_img(medium, "convert", "-O", "raw", source, target)


def _qemu_img(medium: Medium, *arguments: str) -> str:
    program = find_qemu_img("to read it", medium.name)
    try:
        result = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=QEMU_TIMEOUT,
            pass_fds=[medium.descriptor],
        )
    except subprocess.TimeoutExpired:
        raise InputError("qemu-img does not come to an end", where=medium.name) from None
    if result.returncode:
        reason = result.stderr.strip().splitlines() or [str(result.returncode)]
        raise InputError(f"qemu-img cannot read it: {reason[-1]}", where=medium.name)
    return result.stdout


# ---- writing


def write_virtual_disk(raw: Path, made: Path, form: DiskFormat, seed: bytes) -> None:
    """Make a virtual disk of a raw image; the same image and seed give the same bytes.

    Raises OutputError or MissingError.
    """
    files = [f"./{raw.name}", f"./{made.name}"]  # so that no colon in a name means a protocol
    options = ("-o", "subformat=dynamic,force_size=on") if form is DiskFormat.VHD else ()
    program = find_qemu_img("to make a virtual disk")
    command = [program, "convert", "-f", "raw", "-O", form.value, *options, *files]
    try:
        result = subprocess.run(
            command, cwd=made.parent, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise OutputError(f"qemu-img cannot be run: {error.strerror}", where=made.name) from None
    if result.returncode:
        lines = tuple(result.stderr.splitlines()[-5:])
        raise OutputError(f"qemu-img failed ({result.returncode})", where=made.name, details=lines)
    if form not in _SETTLERS:
        return
    try:
        with made.open("r+b", buffering=0) as file:
            _SETTLERS[form](file, seed)
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
    """GUIDs of both headers and of the metadata; the log, already applied, is cleared."""
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
    """The number behind that GUID in a table of 32-byte entries; 0 if it is not there."""
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


_SETTLERS: dict[DiskFormat, Callable[[BinaryIO, bytes], None]] = {
    DiskFormat.VHD: settle_vhd,
    DiskFormat.VHDX: settle_vhdx,
    DiskFormat.VMDK: settle_vmdk,
    DiskFormat.VDI: settle_vdi,
}
