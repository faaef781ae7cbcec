"""Magic numbers of contents that this tool does not read, as util-linux's libblkid knows them."""

from __future__ import annotations

from efi_image.io.medium import Medium

MAGICS = (
    (3, b"NTFS    ", "NTFS"),
    (3, b"EXFAT   ", "exFAT"),
    (0, b"XFSB", "XFS"),
    (0, b"hsqs", "SquashFS"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0, b"-FVE-FS-", "BitLocker"),
    (536, b"LABELONE", "LVM"),
    (1024, b"\xe2\xe1\xf5\xe0", "EROFS"),
    (1080, b"\x53\xef", "ext2, ext3 or ext4"),
    (4086, b"SWAPSPACE2", "Linux swap"),
    (0x10040, b"_BHRfS_M", "Btrfs"),
)


def content_of(medium: Medium) -> str:
    """The name of a medium's content, `zeros` if it begins with 4 KiB of them, or ''."""
    for offset, magic, name in MAGICS:
        if medium.peek(offset, len(magic)) == magic:
            return name
    return "" if any(medium.peek(0, 4096)) else "zeros"
