"""Minimal PE files for tests, put together field by field."""

from __future__ import annotations

import struct

X64 = 0x8664
EXECUTABLE = 0x0022
APPLICATION, BOOT_DRIVER, RUNTIME_DRIVER = 10, 11, 12
RELOCATIONS = struct.pack("<IIHH", 0x1000, 12, 0, 0)  # a block that changes nothing
_64_BITS = {0x8664, 0xAA64, 0x5064, 0x6264}


def make_pe(
    machine: int = X64,
    subsystem: int = APPLICATION,
    *,
    characteristics: int = EXECUTABLE,
    magic: int | None = None,
    reloc_address: int = 0x2000,
    reloc_size: int = 12,
    security: tuple[int, int] = (0, 0),
    text: bytes = b"\xc3",
    extra: tuple[tuple[bytes, int, int, bytes], ...] = (),
    image_size: int = 0x3000,
) -> bytes:
    """An EFI program with a .text and a .reloc section."""
    wide = machine in _64_BITS
    directories = [(0, 0)] * 16
    directories[4] = security
    directories[5] = (reloc_address if reloc_size else 0, reloc_size)
    sections = [(b".text", 0x1000, 0x60000020, text), (b".reloc", 0x2000, 0x42000040, RELOCATIONS)]
    sections += extra  # name, address, flags, data
    optional_size = (112 if wide else 96) + 8 * len(directories)
    headers_size = 0x200
    raw, rows, position = b"", b"", headers_size
    for name, address, flags, data in sections:
        size = -(-len(data) // 512) * 512
        rows += struct.pack(
            "<8sIIIIIIHHI", name, len(data), address, size, position, 0, 0, 0, 0, flags
        )
        raw += data.ljust(size, b"\0")
        position += size
    magic = magic if magic is not None else (0x20B if wide else 0x10B)
    optional = struct.pack("<HBBIIIII", magic, 14, 0, 512, 512, 0, 0x1000, 0x1000)
    optional += struct.pack("<Q", 0x10000) if wide else struct.pack("<II", 0x2000, 0x10000)
    optional += struct.pack("<IIHHHHHHIIIIHH", 0x1000, 512, 0, 0, 0, 0, 0, 0, 0, image_size,
                            headers_size, 0, subsystem, 0)  # fmt: skip
    optional += struct.pack("<QQQQ" if wide else "<IIII", 0x1000, 0x1000, 0x1000, 0x1000)
    optional += struct.pack("<II", 0, len(directories))
    optional += b"".join(struct.pack("<II", *pair) for pair in directories)
    assert len(optional) == optional_size
    coff = struct.pack("<HHIIIHH", machine, len(sections), 0, 0, 0, optional_size, characteristics)
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    return (dos + b"PE\0\0" + coff + optional + rows).ljust(headers_size, b"\0") + raw
