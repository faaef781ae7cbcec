"""The FATs as a whole: their first entries, their copies, lost clusters, and FSInfo.

Source: Microsoft's "FAT: General Overview of On-Disk Format" 1.03 (fatgen103).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.formats.fat.allocation import set_entry
from efi_image.formats.fat.bpb import UNKNOWN, FsInfo
from efi_image.formats.fat.geometry import FIRST_CLUSTER, FatType
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.fat.unmount_marks import flags_of, read_marks
from efi_image.verify.context import CheckContext
from efi_image.verify.fat.bpb import MEDIA_BYTES
from efi_image.verify.finding import Patch, plural

CHUNK = 1 << 20
CHAIN_RULES = (
    "F206", "F207", "F208", "F209", "F210", "F401", "F405", "F412", "F414", "F416", "F417",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """The numbers of free, lost (in use, but in no chain) and bad clusters; first ones or 0."""

    free: int
    first_free: int
    lost: int
    first_lost: int
    bad: int


def _entry_patches(
    context: CheckContext, volume: FatVolume, index: int, value: int
) -> Iterator[Patch]:
    """Patches that set one of the first two entries in all FATs."""
    for copy in range(volume.boot.fats):
        offset = volume.fat_offset(copy)
        raw = bytearray(context.medium.read(offset, 8))
        set_entry(raw, volume.kind, index, value)
        yield context.patch(offset, bytes(raw))


def check_first_entries(context: CheckContext, volume: FatVolume) -> None:
    """Check that FAT[0] is the media byte and FAT[1] an end-of-chain mark."""
    end, media = volume.kind.end_of_chain, volume.boot.media
    first, second = volume.entry(0), volume.entry(1)
    wanted = end & ~0xFF | media
    if first != wanted and media in MEDIA_BYTES:
        fix = context.fix("wrote FAT[0]", *_entry_patches(context, volume, 0, wanted))
        reason = f"it is {first:#x} instead of {wanted:#x}"
        context.add("F201", reason, volume.fat_offset(0), fix=fix)
    flags = flags_of(volume.kind)
    if not volume.is_end(second | flags):
        fix = context.fix("wrote FAT[1]", *_entry_patches(context, volume, 1, end))
        offset = volume.fat_offset(0) + volume.kind.value // 8
        context.add("F202", f"it is {second:#x} instead of {end:#x}", offset, fix=fix)


def check_copies(context: CheckContext, volume: FatVolume) -> None:
    """Check that all FATs are the same, after the chains of the first were followed."""
    size = volume.boot.fat_sectors * volume.boot.sector_size
    first = volume.fat_offset(0)
    for copy in range(1, volume.boot.fats):
        other = volume.fat_offset(copy)
        difference = _first_difference(context, first, other, size)
        if difference is None:
            continue
        fix = context.fix(
            f"copied the first FAT to FAT {copy + 1}", context.copy(other, first, size)
        )
        cluster = difference * 8 // volume.kind.value
        reason = f"FAT {copy + 1} differs from the first at the entry of cluster {cluster}"
        valid = not context.has(*CHAIN_RULES, "F403")
        context.add("F203", reason, other + difference, fix=fix if valid else None)


def _first_difference(context: CheckContext, one: int, other: int, size: int) -> int | None:
    for done in range(0, size, CHUNK):
        count = min(CHUNK, size - done)
        a, b = context.medium.read(one + done, count), context.medium.read(other + done, count)
        if a != b:
            return done + next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
    return None


def _numbered(volume: FatVolume) -> Iterator[tuple[int, list[int]]]:
    """(first cluster, entries) of the pieces of the first FAT; FAT32's upper bits are cleared."""
    base, mask = 0, volume.kind.end_of_chain
    for page in volume.table():
        yield base, [value & mask for value in page] if any(page) else [0] * len(page)
        base += len(page)


def usage(volume: FatVolume, claimed: bytearray) -> Usage:
    """Count the clusters of the first FAT by their use."""
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
    """(cluster, entry) of clusters in use that no chain claims."""
    if page.count(0) == len(page):
        return
    for index in range(skip, len(page)):
        if page[index] and not claimed[base + index]:
            yield base + index, page[index]


def check_usage(context: CheckContext, volume: FatVolume, claimed: bytearray) -> Usage:
    """Check for lost and bad clusters; returns the counts for FSInfo."""
    counts = usage(volume, claimed)
    if counts.bad:
        context.add("F205", plural(counts.bad, "cluster"))
    if counts.lost:
        text = f"freed {plural(counts.lost, 'lost cluster')}"
        safe = not context.has(*CHAIN_RULES, "F203", "F127")
        fix = context.fix(text, *_freeing(context, volume, claimed)) if safe else None
        offset = volume.fat_offset(0) + counts.first_lost * volume.kind.value // 8
        reason = f"{plural(counts.lost, 'cluster')}, the first is {counts.first_lost}"
        context.add("F204", reason, offset, fix=fix)
    return counts


def _freeing(context: CheckContext, volume: FatVolume, claimed: bytearray) -> Iterator[Patch]:
    """Patches that free all lost clusters in all FATs."""
    for base, page in _numbered(volume):
        skip = max(0, FIRST_CLUSTER - base)
        lost = [c for c, v in _unclaimed(page, claimed, base, skip) if not volume.is_bad(v)]
        if not lost:
            continue
        start = base * volume.kind.value // 8
        size = -(-len(page) * volume.kind.value // 8)
        for copy in range(volume.boot.fats):
            offset = volume.fat_offset(copy) + start
            raw = bytearray(context.medium.read(offset, size))
            for cluster in lost:
                set_entry(raw, volume.kind, cluster - base, 0)
            yield context.patch(offset, bytes(raw))


def check_fsinfo(context: CheckContext, volume: FatVolume, counts: Usage) -> None:
    """Check FAT32's FSInfo sector."""
    boot = volume.boot
    if volume.kind is not FatType.FAT32 or not 0 < boot.fsinfo_sector < boot.reserved:
        if volume.kind is FatType.FAT32:
            context.add("F301", f"its place is given as sector {boot.fsinfo_sector}", 0x30)
        return
    correct = FsInfo(counts.free, counts.first_free or UNKNOWN).pack(boot.sector_size)
    offset = boot.fsinfo_sector * boot.sector_size
    info = FsInfo.unpack(context.medium.read(offset, 512))
    fix = context.fix(
        f"wrote FSInfo: {plural(counts.free, 'free cluster')}", context.patch(offset, correct)
    )
    if not info.valid:
        context.add("F301", "its signatures are missing", offset, fix=fix)
        return
    if info.free not in (counts.free, UNKNOWN):
        reason = f"it is {info.free}, but {counts.free} are free"
        context.add("F302", reason, offset + 488, fix=fix)
    if info.next_free != UNKNOWN and not volume.exists(info.next_free):
        context.add("F303", f"it is cluster {info.next_free}", offset + 492, fix=fix)


def check_clean(context: CheckContext, volume: FatVolume) -> None:
    """Check the marks of a clean unmount; the last check, as it must know of all others."""
    marks = read_marks(volume)
    if marks.is_clean:
        return
    valid = not context.has("F2", "F4")
    patches = [context.patch(marks.offset, bytes([marks.state]))]
    if marks.first_fat:
        entry = volume.entry(1) | flags_of(volume.kind)
        patches += _entry_patches(context, volume, 1, entry)
    fix = context.fix("marked the volume as cleanly unmounted", *patches) if valid else None
    places = (("the boot sector", marks.boot_sector), ("FAT[1]", marks.first_fat))
    where = " and ".join(text for text, is_so in places if is_so)
    context.add("F117", f"in {where}", marks.offset, fix=fix)
