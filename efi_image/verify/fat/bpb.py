"""The boot sector of a FAT volume: every field, and the backup of FAT32."""

from __future__ import annotations

from efi_image.formats.fat import geometry as layout
from efi_image.formats.fat.geometry import FIRST_CLUSTER, MARGIN, FatType
from efi_image.formats.fat.reader import BootSector
from efi_image.io.medium import Medium
from efi_image.verify.context import Scope
from efi_image.verify.finding import Fix

SIZE = 512
SIGNATURE = b"\x55\xaa"
MEDIA_BYTES = frozenset({0xF0, *range(0xF8, 0x100)})
FIRST_FAT32 = 65525
LIMITS = (4085, FIRST_FAT32)
JUMPS = (0xEB, 0xE9)
SECTOR_COUNT, MEDIA_AT, GEOMETRY_AT, HIDDEN_AT, SIGNATURE_AT = 0x13, 0x15, 0x18, 0x1C, 510
BACKUP_AT = 0x32
MIRRORING_OFF = 0x80


def read(medium: Medium, offset: int = 0) -> BootSector:
    """The fields of the sector there."""
    return BootSector.parse(medium.peek(offset, SIZE).ljust(SIZE, b"\0"))


def kind_of(boot: BootSector) -> FatType:
    """The type that a reader of the boot sector's form takes it for."""
    if boot.is_fat32_form:
        return FatType.FAT32
    return FatType.FAT12 if boot.clusters < LIMITS[0] else FatType.FAT16


def check(scope: Scope) -> BootSector | None:
    """Check the boot sector; the fields, if the rest of the volume can be found with them."""
    boot = read(scope.medium)
    if boot.fault or boot.sectors * boot.sector_size > scope.medium.size:
        backup = sound_backup(scope.medium)
        if backup:
            _check_unusable(scope, boot)
            fix = Fix("copied the backup boot sector", (scope.copy(0, backup, SIZE),))
            scope.add("F131", f"the backup is at byte {backup} of the volume", 0, fix=fix)
            return None
    if boot.fault:
        _check_unusable(scope, boot)
        return None
    _check_marks(scope, boot)
    _check_sizes(scope, boot)
    _check_type(scope, boot)
    _check_place(scope, boot)
    beyond = boot.sectors * boot.sector_size > scope.medium.size
    return None if beyond or scope.has("F111", "F123", "F107") else boot


def _check_unusable(scope: Scope, boot: BootSector) -> None:
    """Say which field makes a boot sector useless."""
    per_cluster = boot.sectors_per_cluster
    if boot.signature != SIGNATURE:
        scope.add("F101", f"it ends with {boot.signature.hex(' ')}", SIGNATURE_AT)
    if boot.sector_size not in layout.SECTOR_SIZES:
        scope.add("F103", f"sectors of {boot.sector_size} bytes", 0x0B)
    elif not per_cluster or per_cluster & (per_cluster - 1):
        scope.add("F104", f"clusters of {per_cluster} sectors", 0x0D)
    elif not boot.reserved:
        scope.add("F105", "the FAT would begin in the boot sector", 0x0E)
    elif not boot.fats or not boot.fat_sectors:
        scope.add("F106", f"{boot.fats} FATs of {boot.fat_sectors} sectors", 0x10)
    elif not boot.sectors:
        scope.add("F108", "both fields are 0", SECTOR_COUNT)
    elif boot.fault:
        scope.add("F124", boot.fault.removeprefix("has "), SECTOR_COUNT)
    else:
        _check_sizes(scope, boot)


def sound_backup(medium: Medium) -> int:
    """Where a usable backup of an unusable boot sector is, in bytes; 0 if nowhere."""
    for sector_size in layout.SECTOR_SIZES:
        offset = layout.BACKUP_BOOT_SECTOR * sector_size
        boot = read(medium, offset)
        if (
            not boot.fault
            and boot.signature == SIGNATURE
            and boot.sector_size == sector_size
            and boot.is_fat32_form
            and boot.backup_sector == layout.BACKUP_BOOT_SECTOR
            and boot.sectors * sector_size <= medium.size
        ):
            return offset
    return 0


def _check_marks(scope: Scope, boot: BootSector) -> None:
    if boot.signature != SIGNATURE:
        fix = Fix("wrote the boot sector's signature", (scope.patch(SIGNATURE_AT, SIGNATURE),))
        scope.add("F101", f"it ends with {boot.signature.hex(' ')}", SIGNATURE_AT, fix=fix)
    if boot.jump[0] not in JUMPS:
        jump = b"\xeb\x58\x90" if boot.is_fat32_form else b"\xeb\x3c\x90"
        fix = Fix("wrote a jump at the boot sector's start", (scope.patch(0, jump),))
        scope.add("F102", f"it begins with {boot.jump.hex(' ')}", 0, fix=fix)
    if boot.media not in MEDIA_BYTES:
        first = scope.medium.peek(boot.reserved * boot.sector_size, 1)
        media = first[0] if first and first[0] in MEDIA_BYTES else layout.MEDIA
        fix = scope.put(f"wrote the media byte {media:X}", MEDIA_AT, "B", media)
        scope.add("F110", f"it is {boot.media:02X}, not F0 or F8 to FF", MEDIA_AT, fix=fix)
    if not boot.heads or not boot.sectors_per_track:
        values = layout.SECTORS_PER_TRACK, layout.HEADS
        fix = scope.put("wrote a geometry of 255 heads and 63 sectors", GEOMETRY_AT, "HH", *values)
        reason = f"{boot.heads} heads, {boot.sectors_per_track} sectors per track"
        scope.add("F112", reason, GEOMETRY_AT, fix=fix)
    if boot.is_fat32_form and boot.version:
        scope.add("F115", f"version {boot.version >> 8}.{boot.version & 255}", 0x2A)
    if boot.fats == 1:
        scope.add("F118", "one FAT", 0x10)
    if boot.is_fat32_form and boot.flags & MIRRORING_OFF:
        scope.add("F127", f"FAT {boot.flags & 15} alone is in use", 0x28)


def _check_sizes(scope: Scope, boot: BootSector) -> None:
    size = boot.sectors * boot.sector_size
    if size > scope.medium.size:
        reason = f"it has {size} bytes, its place {scope.medium.size}"
        scope.add("F109", reason, SECTOR_COUNT)
    if boot.sectors_16 and boot.sectors_32 and boot.sectors_16 != boot.sectors_32:
        reason = f"{boot.sectors_16} in 16 bits, {boot.sectors_32} in 32"
        scope.add("F108", reason, SECTOR_COUNT)
    if boot.cluster_size > layout.MAX_CLUSTER:
        scope.add("F119", f"clusters of {boot.cluster_size} bytes", 0x0D)
    entries = boot.fat_sectors * boot.sector_size * 8 // kind_of(boot).value
    if entries < boot.clusters + FIRST_CLUSTER:
        reason = f"{entries} entries for {boot.clusters} clusters"
        scope.add("F111", reason, 0x24 if boot.is_fat32_form else 0x16)
    if boot.is_fat32_form:
        if boot.root_entries:
            scope.add("F107", f"FAT32 with {boot.root_entries} fixed entries", 0x11)
        if not FIRST_CLUSTER <= boot.root_cluster < boot.clusters + FIRST_CLUSTER:
            scope.add("F116", f"cluster {boot.root_cluster}", 0x2C)
    elif not boot.root_entries:
        scope.add("F107", f"{kind_of(boot).name} without fixed entries", 0x11)


def _check_type(scope: Scope, boot: BootSector) -> None:
    count, kind = boot.clusters, kind_of(boot)
    if boot.is_fat32_form and count < FIRST_FAT32:
        scope.add("F121", f"it has {count} clusters", SECTOR_COUNT)
    elif not boot.is_fat32_form and count >= FIRST_FAT32:
        scope.add("F123", f"it has {count} clusters", SECTOR_COUNT)
    if any(abs(2 * (count - limit) + 1) < 2 * MARGIN for limit in LIMITS):
        scope.add("F122", f"it has {count} clusters", SECTOR_COUNT)
    text = boot.type_name.rstrip(b" \0")
    right = kind.name.encode("ascii")
    if boot.extended_signature == layout.EXTENDED_SIGNATURE and text not in (right, b"FAT"):
        at = 0x52 if boot.is_fat32_form else 0x36
        fix = Fix(f"wrote the type {kind.name}", (scope.patch(at, right.ljust(8)),))
        shown = text.decode("ascii", "backslashreplace")
        scope.add("F114", f"it is '{shown}', {count} clusters make {kind.name}", at, fix=fix)


def _check_place(scope: Scope, boot: BootSector) -> None:
    disk = scope.disk_sector_size
    if disk and boot.sector_size != disk:
        scope.add("F125", f"FAT has {boot.sector_size} bytes, the disk {disk}", 0x0B)
    if scope.start is not None and boot.hidden != min(scope.start, 0xFFFFFFFF):
        fix = scope.put(f"wrote {scope.start} hidden sectors", HIDDEN_AT, "I", scope.start)
        reason = f"it says {boot.hidden}, the partition begins at sector {scope.start}"
        scope.add("F113", reason, HIDDEN_AT, fix=fix)


def check_backup(scope: Scope, boot: BootSector) -> None:
    """Check that FAT32's backup boot sector is there, and the same."""
    if not boot.is_fat32_form:
        return
    number = boot.backup_sector
    if not 0 < number < boot.reserved or number == boot.fsinfo_sector:
        right = layout.BACKUP_BOOT_SECTOR
        reason = f"its sector is given as {number}"
        if boot.reserved <= right or boot.fsinfo_sector == right:
            scope.add("F306", f"{boot.reserved} reserved sectors", BACKUP_AT)
        else:
            fix = scope.put("gave the backup boot sector its place", BACKUP_AT, "H", right)
            scope.add("F305", reason, BACKUP_AT, fix=fix)
        return
    offset = number * boot.sector_size
    if scope.medium.peek(0, SIZE) != scope.medium.peek(offset, SIZE):
        fix = Fix("copied the boot sector to its backup", (scope.copy(offset, 0, SIZE),))
        sound = not scope.has("F1") or not read(scope.medium, offset).fault
        reason = f"sector {number} of the volume"
        scope.add("F304", reason, offset, fix=fix if sound else None)
