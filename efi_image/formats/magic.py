"""Magic numbers of contents that this tool does not read, as util-linux's libblkid knows them."""

from __future__ import annotations

from efi_image.formats.file_kind import Peek, kind_of
from efi_image.io.medium import Medium

ZEROS = "zeros"
MAGICS = (
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (3, b"ReFS\0", "ReFS"),
    (3, b"-FVE-FS-", "BitLocker"),
    (0, b"XFSB", "XFS"),
    (0, b"hsqs", "SquashFS"),
    (0, b"-rom1fs-", "romfs"),
    (0, b"\x45\x3d\xcd\x28", "cramfs"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (32, b"NXSB", "APFS"),
    (536, b"LVM2 001", "LVM"),
    (1024, b"\xe2\xe1\xf5\xe0", "EROFS"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    (1024, b"H+\0\4", "HFS+"),
    (1024, b"HX\0\5", "HFS+"),
    (1030, b"\x34\x34", "NILFS2"),
    (1080, b"\x53\xef", "ext2, ext3 or ext4"),
    (4096, b"\xfc\x4e\x2b\xa9", "Linux RAID"),
    (4120, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), "bcachefs"),
    (0x8000, b"JFS1", "JFS"),
    (0x8001, b"BEA01", "UDF"),
    (0x10034, b"ReIsEr", "ReiserFS"),
    (0x10040, b"_BHRfS_M", "Btrfs"),
    *((page - 10, b"SWAPSPACE2", "Linux swap") for page in (4096, 8192, 16384, 65536)),
)
# their boot sector ends as an MBR does, with code where an MBR has its table
BOOT_SECTORS = {"NTFS", "exFAT", "ReFS", "BitLocker"}


def known_content(peek: Peek) -> str:
    """The name of a content, or ''."""
    return next((name for at, magic, name in MAGICS if peek(at, len(magic)) == magic), "")


def content_of(medium: Medium) -> str:
    """The name of a medium's content, ZEROS if it begins with 4 KiB of them, or ''."""
    return known_content(medium.peek) or ("" if any(medium.peek(0, 4096)) else ZEROS)


def describe(medium: Medium) -> str:
    """A description of a medium that is not FAT, as in `it contains NTFS`."""
    content = content_of(medium)
    if medium.peek(0x8001, 5) == b"CD001":  # often after zeros
        return "contains ISO 9660"
    if content == ZEROS:
        return "is blank (it begins with zeros)"
    if content:
        return f"contains {content}"
    kind = kind_of(medium.peek)
    return f"is {kind.value}" if kind else "has no known format"
