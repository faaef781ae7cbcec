"""The boot sector of a FAT volume: every field, and the backup of FAT32.

Source: Microsoft's "FAT: General Overview of On-Disk Format" 1.03 (fatgen103), boot sector and BPB.
"""

from __future__ import annotations

from efi_image.formats.fat import geometry
from efi_image.formats.fat.bpb import BootSector
from efi_image.formats.fat.geometry import FIRST_CLUSTER, MARGIN, FatType
from efi_image.io.medium import Medium
from efi_image.verify.context import CheckContext

SIZE = 512
SIGNATURE = b"\x55\xaa"
MEDIA_BYTES = frozenset({0xF0, *range(0xF8, 0x100)})
FIRST_FAT32 = 65525
LIMITS = (4085, FIRST_FAT32)
JUMPS = (0xEB, 0xE9)
SECTOR_COUNT, MEDIA_AT, GEOMETRY_AT, HIDDEN_AT, SIGNATURE_AT = 0x13, 0x15, 0x18, 0x1C, 510
BACKUP_AT = 0x32


def read(medium: Medium, offset: int = 0) -> BootSector:
    """The fields of the boot sector at `offset`, in bytes."""
    return BootSector.unpack(medium.peek(offset, SIZE).ljust(SIZE, b"\0"))


def kind_of(boot: BootSector) -> FatType:
    """The type that readers derive from the form of the boot sector."""
    if boot.is_fat32_form:
        return FatType.FAT32
    return FatType.FAT12 if boot.clusters < LIMITS[0] else FatType.FAT16


def check(context: CheckContext) -> BootSector | None:
    """Check the boot sector; returns its fields if the rest can be found with them."""
    boot = read(context.medium)
    if boot.fault or boot.sectors * boot.sector_size > context.medium.size:
        backup = valid_backup(context.medium)
        if backup:
            _check_unusable(context, boot)
            fix = context.fix("copied the backup boot sector", context.copy(0, backup, SIZE))
            context.add("F131", f"the backup is at byte {backup} of the volume", 0, fix=fix)
            return None
    if boot.fault:
        _check_unusable(context, boot)
        return None
    _check_marks(context, boot)
    _check_sizes(context, boot)
    _check_type(context, boot)
    _check_place(context, boot)
    beyond = boot.sectors * boot.sector_size > context.medium.size
    return None if beyond or context.has("F111", "F123", "F107") else boot


def _check_unusable(context: CheckContext, boot: BootSector) -> None:
    """Report the field that makes a boot sector unusable."""
    per_cluster = boot.sectors_per_cluster
    if boot.signature != SIGNATURE:
        context.add("F101", f"it ends with {boot.signature.hex(' ')}", SIGNATURE_AT)
    if boot.sector_size not in geometry.SECTOR_SIZES:
        context.add("F103", f"it is {boot.sector_size} bytes", 0x0B)
    elif not per_cluster or per_cluster & (per_cluster - 1):
        context.add("F104", f"it is {per_cluster} sectors", 0x0D)
    elif not boot.reserved:
        context.add("F105", "the FAT would start in the boot sector", 0x0E)
    elif not boot.fats or not boot.fat_sectors:
        context.add(
            "F106", f"the boot sector says {boot.fats} FATs of {boot.fat_sectors} sectors", 0x10
        )
    elif not boot.sectors:
        context.add("F108", "both fields are 0", SECTOR_COUNT)
    elif boot.fault:
        context.add("F124", boot.fault.removeprefix("has "), SECTOR_COUNT)
    else:
        _check_sizes(context, boot)


def valid_backup(medium: Medium) -> int:
    """The byte offset of a valid backup of an unusable boot sector; 0 if there is none."""
    for sector_size in geometry.SECTOR_SIZES:
        offset = geometry.BACKUP_BOOT_SECTOR * sector_size
        boot = read(medium, offset)
        if (
            not boot.fault
            and boot.signature == SIGNATURE
            and boot.sector_size == sector_size
            and boot.is_fat32_form
            and boot.backup_sector == geometry.BACKUP_BOOT_SECTOR
            and boot.sectors * sector_size <= medium.size
        ):
            return offset
    return 0


def _check_marks(context: CheckContext, boot: BootSector) -> None:
    if boot.signature != SIGNATURE:
        fix = context.fix(
            "wrote the boot sector's signature", context.patch(SIGNATURE_AT, SIGNATURE)
        )
        context.add("F101", f"it ends with {boot.signature.hex(' ')}", SIGNATURE_AT, fix=fix)
    if boot.jump[0] not in JUMPS:
        jump = b"\xeb\x58\x90" if boot.is_fat32_form else b"\xeb\x3c\x90"
        fix = context.fix("wrote a jump to the boot sector's start", context.patch(0, jump))
        context.add("F102", f"it starts with {boot.jump.hex(' ')}", 0, fix=fix)
    if boot.media not in MEDIA_BYTES:
        first = context.medium.peek(boot.reserved * boot.sector_size, 1)
        media = first[0] if first and first[0] in MEDIA_BYTES else geometry.MEDIA
        fix = context.write(f"wrote the media byte {media:X}", MEDIA_AT, "B", media)
        context.add("F110", f"it is {boot.media:02X}, not F0 or F8 to FF", MEDIA_AT, fix=fix)
    if not boot.heads or not boot.sectors_per_track:
        values = geometry.SECTORS_PER_TRACK, geometry.HEADS
        fix = context.write(
            "wrote a geometry of 255 heads and 63 sectors", GEOMETRY_AT, "HH", *values
        )
        reason = f"{boot.heads} heads, {boot.sectors_per_track} sectors per track"
        context.add("F112", reason, GEOMETRY_AT, fix=fix)
    if boot.is_fat32_form and boot.version:
        context.add("F115", f"it is {boot.version >> 8}.{boot.version & 255}", 0x2A)
    if boot.fats == 1:
        context.add("F118", "the boot sector says 1", 0x10)
    if not boot.mirrored:
        context.add("F127", f"only FAT {boot.flags & 15} is active", 0x28)


def _check_sizes(context: CheckContext, boot: BootSector) -> None:
    size = boot.sectors * boot.sector_size
    if size > context.medium.size:
        reason = f"it has {size} bytes, the partition {context.medium.size}"
        context.add("F109", reason, SECTOR_COUNT)
    if boot.sectors_16 and boot.sectors_32 and boot.sectors_16 != boot.sectors_32:
        reason = f"the 16-bit field says {boot.sectors_16}, the 32-bit field {boot.sectors_32}"
        context.add("F108", reason, SECTOR_COUNT)
    if boot.cluster_size > geometry.MAX_CLUSTER:
        context.add("F119", f"they have {boot.cluster_size} bytes", 0x0D)
    entries = boot.fat_sectors * boot.sector_size * 8 // kind_of(boot).value
    if entries < boot.clusters + FIRST_CLUSTER:
        reason = f"it has {entries} entries for {boot.clusters} clusters"
        context.add("F111", reason, 0x24 if boot.is_fat32_form else 0x16)
    if boot.is_fat32_form:
        if boot.root_entries:
            context.add("F107", f"FAT32 with {boot.root_entries} fixed entries", 0x11)
        if not FIRST_CLUSTER <= boot.root_cluster < boot.clusters + FIRST_CLUSTER:
            context.add("F116", f"it is cluster {boot.root_cluster}", 0x2C)
    elif not boot.root_entries:
        context.add("F107", f"{kind_of(boot).name} without fixed entries", 0x11)


def _check_type(context: CheckContext, boot: BootSector) -> None:
    count, kind = boot.clusters, kind_of(boot)
    if boot.is_fat32_form and count < FIRST_FAT32:
        context.add("F121", f"it has {count} clusters", SECTOR_COUNT)
    elif not boot.is_fat32_form and count >= FIRST_FAT32:
        context.add("F123", f"it has {count} clusters", SECTOR_COUNT)
    if any(abs(2 * (count - limit) + 1) < 2 * MARGIN for limit in LIMITS):
        context.add("F122", f"it has {count} clusters", SECTOR_COUNT)
    text = boot.type_name.rstrip(b" \0")
    correct = kind.name.encode("ascii")
    if boot.extended_signature == geometry.EXTENDED_SIGNATURE and text not in (correct, b"FAT"):
        at = 0x52 if boot.is_fat32_form else 0x36
        fix = context.fix(f"wrote the type {kind.name}", context.patch(at, correct.ljust(8)))
        shown = text.decode("ascii", "backslashreplace")
        context.add("F114", f"it is '{shown}', but {count} clusters make {kind.name}", at, fix=fix)


def _check_place(context: CheckContext, boot: BootSector) -> None:
    disk = context.disk_sector_size
    if disk and boot.sector_size != disk:
        context.add("F125", f"FAT has sectors of {boot.sector_size} bytes, the disk {disk}", 0x0B)
    if context.start is not None and boot.hidden != min(context.start, 0xFFFFFFFF):
        fix = context.write(f"wrote {context.start} hidden sectors", HIDDEN_AT, "I", context.start)
        reason = f"it is {boot.hidden}, the partition starts at sector {context.start}"
        context.add("F113", reason, HIDDEN_AT, fix=fix)


def check_backup(context: CheckContext, boot: BootSector) -> None:
    """Check that FAT32 has a backup boot sector, and that it is the same."""
    if not boot.is_fat32_form:
        return
    number = boot.backup_sector
    if not 0 < number < boot.reserved or number == boot.fsinfo_sector:
        standard = geometry.BACKUP_BOOT_SECTOR
        reason = f"its place is given as sector {number}"
        if boot.reserved <= standard or boot.fsinfo_sector == standard:
            context.add("F306", f"only {boot.reserved} sectors are reserved", BACKUP_AT)
        else:
            fix = context.write(
                f"set the backup boot sector's place to sector {standard}", BACKUP_AT, "H", standard
            )
            context.add("F305", reason, BACKUP_AT, fix=fix)
        return
    offset = number * boot.sector_size
    if context.medium.peek(0, SIZE) != context.medium.peek(offset, SIZE):
        fix = context.fix("copied the boot sector to its backup", context.copy(offset, 0, SIZE))
        valid = not context.has_error("F1")  # else the backup may be the better one
        reason = f"the backup is sector {number} of the volume"
        context.add("F304", reason, offset, fix=fix if valid else None)
