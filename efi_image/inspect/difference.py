"""Compares two images or PE files by meaning: their content, not where the bytes are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from enum import Enum

from efi_image.errors import InputError
from efi_image.formats.disk import Disk
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.fat.unmount_marks import read_marks
from efi_image.formats.files import FilePath, FileSystem, Kind, Node, show_path
from efi_image.formats.iso9660.structures import FIRST_DESCRIPTOR, SECTOR
from efi_image.formats.mbr import DISK_SIGNATURE_OFFSET
from efi_image.formats.merge import Pair, side_by_side
from efi_image.formats.pe.authenticode import SignatureFacts
from efi_image.inspect import causes
from efi_image.inspect.image import (
    Files,
    ImageFacts,
    PartitionFacts,
    VolumeFacts,
    date_text,
    image_facts,
)
from efi_image.inspect.pe import PeFacts, pe_facts
from efi_image.io.medium import Medium
from efi_image.progress import Progress, counter

SYSTEM_AREA = FIRST_DESCRIPTOR * SECTOR


class Change(Enum):
    """How the second differs from the first."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference: where (`partition 1`, a path), of which property, and the two values.

    `cause` says why a medium differs from its image so without a fault; '' where none is known.
    """

    change: Change
    where: str
    what: str
    old: str = ""
    new: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Properties to ignore; `progress` gets the bytes that were compared."""

    ignore_dates: bool = False
    ignore_ids: bool = False  # GUIDs and serial numbers
    progress: Progress | None = None


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, SignatureFacts):
        return value.fault or f"{value.signer} ({value.algorithm} {value.digest})"
    return str(value)


def _values(
    where: str, old: object, new: object, names: tuple[str, ...], cause: str = ""
) -> Iterator[Difference]:
    for name in names:
        one, other = getattr(old, name), getattr(new, name)
        if one != other:
            what = name.replace("_", " ")
            yield Difference(Change.CHANGED, where, what, _text(one), _text(other), cause)


def _presence(where: str, what: str, old: object, new: object) -> Difference:
    change = Change.ADDED if old is None else Change.REMOVED
    return Difference(change, where, what, _name(old), _name(new))


def _name(value: object) -> str:
    return "" if value is None else str(getattr(value, "format", getattr(value, "type", "")))


def compare_pe(where: str, old: PeFacts, new: PeFacts) -> Iterator[Difference]:
    """The facts that differ between two PE files; `where` names the file."""
    names = tuple(f.name for f in fields(PeFacts) if f.name not in ("sections", "texts"))
    yield from _values(where, old, new, names)
    before = {section.name: section for section in old.sections}
    after = {section.name: section for section in new.sections}
    for name in dict.fromkeys((*before, *after)):
        one, other = before.get(name), after.get(name)
        what = f"section {name}"
        if one is None or other is None:
            change = Change.ADDED if one is None else Change.REMOVED
            yield Difference(change, where, what)
        elif (one.size, one.access) != (other.size, other.access):
            values = [f"{s.size} bytes {s.access}" for s in (one, other)]
            yield Difference(Change.CHANGED, where, what, *values)
    for name in sorted({*old.texts, *new.texts}):
        texts = old.texts.get(name, ""), new.texts.get(name, "")
        if texts[0] != texts[1]:
            yield Difference(Change.CHANGED, where, f"text of {name}", *texts)


def compare_disks(old: Disk, new: Disk, options: CompareOptions) -> Iterator[Difference]:
    """All differences between two images; raises InputError if one cannot be read."""
    one, other = (
        image_facts(disk, programs=False, progress=options.progress) for disk in (old, new)
    )
    yield from _whole(old, new, one, other)
    if not options.ignore_ids:
        yield from _values("image", one, other, ("disk_id",))
    for pair in _pairs(one, other):
        yield from _partitions(old, new, pair, options)
    if not (one.partitions or other.partitions):
        yield from _bytes("image", old.medium, new.medium, options)


def _whole(old: Disk, new: Disk, one: ImageFacts, other: ImageFacts) -> Iterator[Difference]:
    """The differences of the disk as a whole, and of its partition table."""
    yield from _values("image", one, other, ("size",), causes.cause_of_size(old, new))
    yield from _values("image", one, other, ("scheme", "content", "sector_size"))
    copy, state = causes.restored_copy(old, new)
    if copy:
        yield Difference(Change.CHANGED, "image", f"{copy} GPT", state, "valid", causes.RESTORED)
    elif one.table != other.table:
        moved = causes.MOVED if causes.has_moved_backup(old, new) else ""
        before, after = (
            tuple(line for line in mine.table if line not in its.table)
            for mine, its in ((one, other), (other, one))
        )
        yield Difference(Change.CHANGED, "image", "table", _text(before), _text(after), moved)
    if _boot_code(old) != _boot_code(new):
        yield Difference(Change.CHANGED, "image", "boot code")


def _boot_code(disk: Disk) -> bytes:
    """What a BIOS starts from a disk with a partition table."""
    return disk.medium.peek(0, DISK_SIGNATURE_OFFSET) if disk.mbr else b""


_Pair = tuple[PartitionFacts | None, PartitionFacts | None]


def _pairs(old: ImageFacts, new: ImageFacts) -> Iterator[_Pair]:
    """Partitions of the same name; two images with one partition each form one pair."""
    if len(old.partitions) == len(new.partitions) == 1:
        yield old.partitions[0], new.partitions[0]
        return
    before = {partition.name: partition for partition in old.partitions}
    after = {partition.name: partition for partition in new.partitions}
    for name in dict.fromkeys((*before, *after)):
        yield before.get(name), after.get(name)


def _partitions(old: Disk, new: Disk, pair: _Pair, options: CompareOptions) -> Iterator[Difference]:
    one, other = pair
    where = f"partition {(one or other).name}"  # type: ignore[union-attr]
    if one is None or other is None:
        yield _presence(where, "partition", one, other)
        return
    is_all = old.pick(one.name).entry is None and new.pick(other.name).entry is None
    larger = causes.cause_of_size(old, new) if is_all else ""
    yield from _values(where, one, other, ("size",), larger)
    names = ("start", "type", "label", "content", "fault")
    yield from _values(where, one, other, names if options.ignore_ids else (*names, "guid"))
    if one.volume and other.volume:
        volumes = old.volume(old.pick(one.name)), new.volume(new.pick(other.name))
        is_same = True
        for each in _contents(where, (one.volume, other.volume), volumes, options):
            is_same = is_same and bool(each.cause)
            yield each
        if is_same and (one.volume.unread or other.volume.unread):
            one_rest, other_rest = map(_after_system_area, volumes)
            yield from _bytes(where, one_rest, other_rest, options)
    elif one.volume or other.volume:
        yield _presence(where, "volume", one.volume, other.volume)
    elif not (one.fault or other.fault):
        places = old.medium_of(old.pick(one.name)), new.medium_of(new.pick(other.name))
        if places[0].size == places[1].size:
            yield from _bytes(where, *places, options)


def _contents(
    where: str,
    facts: tuple[VolumeFacts, VolumeFacts],
    volumes: tuple[FileSystem, FileSystem],
    options: CompareOptions,
) -> Iterator[Difference]:
    """The differences between the parts of two volumes that zpp-image reads."""
    yield from _volumes(where, *facts, options)
    yield from _marks(where, *volumes)
    yield from _readable(where, *(each.files for each in facts))
    yield from _files(where, *volumes, options)


def _after_system_area(volume: FileSystem) -> Medium:
    """An ISO's bytes but for the first, where a hybrid has its partition table."""
    return volume.medium.view(SYSTEM_AREA, volume.medium.size - SYSTEM_AREA)


def _bytes(where: str, old: Medium, new: Medium, options: CompareOptions) -> Iterator[Difference]:
    """Whether the bytes differ, as far as both have some."""
    size = min(old.size, new.size)
    tell = counter(options.progress, size) or _ignore
    if not _same(old.chunks(0, size), new.chunks(0, size), tell):
        yield Difference(Change.CHANGED, where, "content")


def _marks(where: str, old: FileSystem, new: FileSystem) -> Iterator[Difference]:
    """A difference in the marks of a volume that is mounted."""
    if not (isinstance(old, FatVolume) and isinstance(new, FatVolume)):
        return
    try:
        one, other = read_marks(old).is_clean, read_marks(new).is_clean
    except InputError:
        return
    if one != other:
        values = _text(one), _text(other)
        yield Difference(Change.CHANGED, where, "cleanly unmounted", *values, causes.MOUNTED)


def _volumes(
    where: str, old: VolumeFacts, new: VolumeFacts, options: CompareOptions
) -> Iterator[Difference]:
    names = ("format", "label", "sector_size", "cluster_size", "clusters", "boot_entries")
    yield from _values(where, old, new, names if options.ignore_ids else (*names, "serial"))


def _readable(where: str, old: Files, new: Files) -> Iterator[Difference]:
    """A difference in why files may be missing."""
    for files in (old, new):
        deque(files.outlines(), maxlen=0)
    one, other = ("; ".join(files.faults) or "yes" for files in (old, new))
    if one != other:
        yield Difference(Change.CHANGED, where, "readable", one, other)


def _files(
    where: str, old: FileSystem, new: FileSystem, options: CompareOptions
) -> Iterator[Difference]:
    total = _to_compare(side_by_side(old, new)) if options.progress else 0
    tell = counter(options.progress, total) or _ignore
    for path, (one, other) in side_by_side(old, new):
        place = f"{where}: {show_path(path)}"
        cause = causes.cause_of_file(path)
        if one is None or other is None:
            node = one or other
            assert node is not None
            change = Change.ADDED if one is None else Change.REMOVED
            values = (_size(one), _size(other))
            yield Difference(change, place, node.kind.value, *values, cause)
        else:
            for each in _file(place, (old, one), (new, other), options, tell):
                yield replace(each, cause=cause)


def _ignore(_count: int) -> None:
    """Takes the progress that was not asked for."""


def _to_compare(rows: Iterable[tuple[FilePath, Pair]]) -> int:
    """Bytes of the files that have the same size in both."""
    return sum(
        one.size
        for _, (one, other) in rows
        if one and other and one.kind is other.kind is Kind.FILE and one.size == other.size
    )


def _size(node: Node | None) -> str:
    return f"{node.size} bytes" if node and node.kind is Kind.FILE else ""


_Side = tuple[FileSystem, Node]
_Tell = Callable[[int], object]


def _file(
    where: str, old: _Side, new: _Side, options: CompareOptions, tell: _Tell
) -> Iterator[Difference]:
    one, other = old[1], new[1]
    yield from _values(where, one, other, ("kind", "attributes", "target"))
    if not options.ignore_dates and date_text(one) != date_text(other):
        yield Difference(Change.CHANGED, where, "date", date_text(one), date_text(other))
    if one.kind is not Kind.FILE or other.kind is not Kind.FILE:
        return
    if one.size != other.size:
        yield Difference(Change.CHANGED, where, "size", _size(one), _size(other))
    elif _same_content(old, new, tell):
        return
    else:
        yield Difference(Change.CHANGED, where, "content")
    yield from _programs(where, old, new)


def _same_content(old: _Side, new: _Side, tell: _Tell) -> bool:
    try:
        return _same(old[0].chunks(old[1]), new[0].chunks(new[1]), tell)
    except InputError:
        return False


def _programs(where: str, old: _Side, new: _Side) -> Iterator[Difference]:
    """The differing facts of two files, if both are PE files."""
    try:
        if not all(next(volume.chunks(node), b"").startswith(b"MZ") for volume, node in (old, new)):
            return
        facts = [pe_facts(volume.chunks(node), where) for volume, node in (old, new)]
    except InputError:
        return
    yield from (d for d in compare_pe(where, *facts) if d.what != "size")


def _same(old: Iterator[bytes], new: Iterator[bytes], tell: _Tell) -> bool:
    """Whether two sequences of pieces are the same bytes, however they are cut."""
    left = right = b""
    while True:
        left, right = left or next(old, b""), right or next(new, b"")
        if not left or not right:
            return left == right
        length = min(len(left), len(right))
        if left[:length] != right[:length]:
            return False
        tell(length)
        left, right = left[length:], right[length:]
