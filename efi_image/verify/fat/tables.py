"""The FATs as a whole: their first entries, their copies, lost clusters, and FSInfo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.formats.fat.geometry import FIRST_CLUSTER, FatType
from efi_image.formats.fat.reader import FatVolume, FsInfo
from efi_image.verify.context import Scope
from efi_image.verify.fat.bpb import MEDIA_BYTES
from efi_image.verify.finding import Fix, Patch

CHUNK = 1 << 20
CLEAN = {FatType.FAT12: 0, FatType.FAT16: 0x8000, FatType.FAT32: 0x08000000}
NO_FAULT = {FatType.FAT12: 0, FatType.FAT16: 0x4000, FatType.FAT32: 0x04000000}
DIRTY_AT = {FatType.FAT12: 0x25, FatType.FAT16: 0x25, FatType.FAT32: 0x41}
UNKNOWN = 0xFFFFFFFF
CHAIN_RULES = (
    "F206",
    "F207",
    "F208",
    "F209",
    "F210",
    "F401",
    "F405",
    "F412",
    "F414",
    "F416",
    "F417",
)


@dataclass(frozen=True)
class Usage:
    """What a FAT's entries are for: clusters that are free, lost (in use by nobody), bad."""

    free: int
    first_free: int
    lost: int
    first_lost: int
    bad: int


def _fat_offset(volume: FatVolume, copy: int) -> int:
    return (volume.boot.reserved + copy * volume.boot.fat_sectors) * volume.boot.sector_size


def _set_entry(raw: bytearray, kind: FatType, index: int, value: int) -> None:
    """Set an entry in a FAT's bytes; FAT32's upper four bits stay."""
    start = index * kind.value // 8
    if kind is FatType.FAT12:
        old = int.from_bytes(raw[start : start + 2], "little")
        shift = 4 * (index % 2)
        new = old & ~(0xFFF << shift) | value << shift
        raw[start : start + 2] = new.to_bytes(2, "little")
        return
    end = start + kind.value // 8
    kept = int.from_bytes(raw[start:end], "little") & ~kind.end_of_chain
    raw[start:end] = (kept | value).to_bytes(end - start, "little")


def _entry_patches(scope: Scope, volume: FatVolume, index: int, value: int) -> tuple[Patch, ...]:
    """Patches that set one of the first two entries in all FATs."""
    patches = []
    for copy in range(volume.boot.fats):
        offset = _fat_offset(volume, copy)
        raw = bytearray(scope.medium.read(offset, 8))
        _set_entry(raw, volume.kind, index, value)
        patches.append(scope.patch(offset, bytes(raw)))
    return tuple(patches)


def check_first_entries(scope: Scope, volume: FatVolume) -> None:
    """FAT[0] holds the media byte, FAT[1] an end-of-chain mark."""
    end, media = volume.kind.end_of_chain, volume.boot.media
    first, second = volume.entry(0), volume.entry(1)
    wanted = end & ~0xFF | media
    if first != wanted and media in MEDIA_BYTES:
        fix = Fix("wrote FAT[0]", _entry_patches(scope, volume, 0, wanted))
        reason = f"it is {first:#x}, not {wanted:#x}"
        scope.add("F201", reason, _fat_offset(volume, 0), fix=fix)
    flags = CLEAN[volume.kind] | NO_FAULT[volume.kind]
    if not volume.is_end(second | flags):
        fix = Fix("wrote FAT[1]", _entry_patches(scope, volume, 1, end))
        offset = _fat_offset(volume, 0) + volume.kind.value // 8
        scope.add("F202", f"it is {second:#x}, not {end:#x}", offset, fix=fix)


def check_copies(scope: Scope, volume: FatVolume) -> None:
    """All FATs are the same; after the chains were followed in the first."""
    size = volume.boot.fat_sectors * volume.boot.sector_size
    first = _fat_offset(volume, 0)
    for copy in range(1, volume.boot.fats):
        other = _fat_offset(volume, copy)
        difference = _first_difference(scope, first, other, size)
        if difference is None:
            continue
        fix = Fix(f"copied the first FAT to FAT {copy + 1}", (scope.copy(other, first, size),))
        cluster = difference * 8 // volume.kind.value
        reason = f"FAT {copy + 1} from the first, at the entry of cluster {cluster}"
        sound = not scope.has(*CHAIN_RULES, "F403")
        scope.add("F203", reason, other + difference, fix=fix if sound else None)


def _first_difference(scope: Scope, one: int, other: int, size: int) -> int | None:
    for done in range(0, size, CHUNK):
        count = min(CHUNK, size - done)
        a, b = scope.medium.read(one + done, count), scope.medium.read(other + done, count)
        if a != b:
            return done + next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
    return None


def _numbered(volume: FatVolume) -> Iterator[tuple[int, list[int]]]:
    """Pieces of the first FAT with their first cluster's number, FAT32's upper bits cleared."""
    base, mask = 0, volume.kind.end_of_chain
    for page in volume.table():
        yield base, [value & mask for value in page] if any(page) else [0] * len(page)
        base += len(page)


def usage(volume: FatVolume, claimed: bytearray) -> Usage:
    """Count what the first FAT's entries are for."""
    free = lost = bad = first_free = first_lost = 0
    for base, page in _numbered(volume):
        skip = max(0, FIRST_CLUSTER - base)
        zeros = page.count(0) - page[:skip].count(0)
        free += zeros
        if zeros and not first_free:
            first_free = base + page.index(0, skip)
        for cluster, value in _unclaimed(page, claimed, base, skip):
            if volume.is_bad(value):
                bad += 1
            else:
                lost += 1
                first_lost = first_lost or cluster
    return Usage(free, first_free, lost, first_lost, bad)


def _unclaimed(
    page: list[int], claimed: bytearray, base: int, skip: int
) -> Iterator[tuple[int, int]]:
    """(cluster, entry) in use that no chain claimed."""
    if page.count(0) == len(page):
        return
    for index in range(skip, len(page)):
        if page[index] and not claimed[base + index]:
            yield base + index, page[index]


def check_usage(scope: Scope, volume: FatVolume, claimed: bytearray) -> Usage:
    """Lost and bad clusters; the counts for FSInfo."""
    counts = usage(volume, claimed)
    if counts.bad:
        scope.add("F205", f"{counts.bad} clusters")
    if counts.lost:
        text = f"freed {counts.lost} lost clusters"
        safe = not scope.has(*CHAIN_RULES, "F203", "F127")
        fix = Fix(text, tuple(_freeing(scope, volume, claimed))) if safe else None
        offset = _fat_offset(volume, 0) + counts.first_lost * volume.kind.value // 8
        reason = f"{counts.lost} clusters, the first is {counts.first_lost}"
        scope.add("F204", reason, offset, fix=fix)
    return counts


def _freeing(scope: Scope, volume: FatVolume, claimed: bytearray) -> Iterator[Patch]:
    """Patches that free all lost clusters in all FATs."""
    for base, page in _numbered(volume):
        skip = max(0, FIRST_CLUSTER - base)
        lost = [c for c, v in _unclaimed(page, claimed, base, skip) if not volume.is_bad(v)]
        if not lost:
            continue
        start = base * volume.kind.value // 8
        size = -(-len(page) * volume.kind.value // 8)
        for copy in range(volume.boot.fats):
            offset = _fat_offset(volume, copy) + start
            raw = bytearray(scope.medium.read(offset, size))
            for cluster in lost:
                _set_entry(raw, volume.kind, cluster - base, 0)
            yield scope.patch(offset, bytes(raw))


def check_fsinfo(scope: Scope, volume: FatVolume, counts: Usage) -> None:
    """FAT32's FSInfo sector, and its backup."""
    boot = volume.boot
    if volume.kind is not FatType.FAT32 or not 0 < boot.fsinfo_sector < boot.reserved:
        if volume.kind is FatType.FAT32:
            scope.add("F301", f"its sector is given as {boot.fsinfo_sector}", 0x30)
        return
    right = _fsinfo(counts.free, counts.first_free or UNKNOWN, boot.sector_size)
    offset = boot.fsinfo_sector * boot.sector_size
    info = FsInfo.parse(scope.medium.read(offset, 512))
    fix = Fix(f"wrote FSInfo: {counts.free} free clusters", (scope.patch(offset, right),))
    if not info.valid:
        scope.add("F301", "its signatures are missing", offset, fix=fix)
        return
    if info.free not in (counts.free, UNKNOWN):
        reason = f"it says {info.free}, {counts.free} are free"
        scope.add("F302", reason, offset + 488, fix=fix)
    if info.next_free != UNKNOWN and not volume.exists(info.next_free):
        scope.add("F303", f"it says {info.next_free}", offset + 492, fix=fix)


def _fsinfo(free: int, following: int, sector_size: int) -> bytes:
    counts = free.to_bytes(4, "little") + following.to_bytes(4, "little")
    body = b"RRaA".ljust(484, b"\0") + b"rrAa" + counts
    return (body.ljust(508, b"\0") + b"\0\0\x55\xaa").ljust(sector_size, b"\0")


def check_clean(scope: Scope, volume: FatVolume) -> None:
    """The marks that the volume was cleanly unmounted; the last of all checks."""
    at = DIRTY_AT[volume.kind]
    state = scope.medium.read(at, 1)[0]
    second = volume.entry(1)
    flags = CLEAN[volume.kind] | NO_FAULT[volume.kind]
    marked = bool(state & 3)
    entry_marked = second & flags != flags and volume.is_end(second | flags)
    if not marked and not entry_marked:
        return
    sound = not scope.has("F2", "F4")
    patches: tuple[Patch, ...] = (scope.patch(at, bytes([state & ~3])),)
    if entry_marked:
        patches += _entry_patches(scope, volume, 1, second | flags)
    fix = Fix("marked the volume as cleanly unmounted", patches) if sound else None
    where = " and ".join(
        text for text, is_so in (("the boot sector", marked), ("FAT[1]", entry_marked)) if is_so
    )
    scope.add("F117", f"in {where}", at, fix=fix)
