"""Why a medium differs from the image that it was written from, though nobody changed it."""

from __future__ import annotations

from efi_image.formats.disk import Disk
from efi_image.formats.fat.names import fold
from efi_image.formats.files import FilePath
from efi_image.formats.gpt.structures import GptCopy

RESTORED = "rewritten from the other copy, as firmware does during a boot"
MOVED = "`write` puts the backup at the end of a larger medium"
LARGER = "the medium is larger than the image"
MOUNTED = "a system sets this mark while the volume is mounted"

# first name of a path → the system that adds it to a volume of its own accord
_ADDED = {
    "system volume information": "Windows",
    "$recycle.bin": "Windows",
    ".fseventsd": "macOS",
    ".spotlight-v100": "macOS",
    ".temporaryitems": "macOS",
    ".trashes": "macOS",
    "lost.dir": "Android",
    "nvvars": "OVMF without flash for its variables",
}


def cause_of_file(path: FilePath) -> str:
    """The reason why systems add a file or directory at that path, '' if they do not."""
    first, last = fold(path[0]), fold(path[-1])
    system = _ADDED.get(first, "")
    if first.startswith(".trash-"):
        system = "a Linux desktop"
    elif last == ".ds_store" or last.startswith("._"):
        system = "macOS"
    return f"{system} adds it" if system else ""


def cause_of_size(old: Disk, new: Disk) -> str:
    """The reason for another size of the whole medium, '' if it is divided in another way."""
    places = [[(p.start, p.size) for p in disk.partitions if p.entry] for disk in (old, new)]
    is_same = old.scheme is new.scheme and places[0] == places[1]
    return LARGER if is_same and new.medium.size > old.medium.size else ""


def restored_copy(old: Disk, new: Disk) -> tuple[str, str]:
    """The copy of a GPT that firmware rewrote, and its state before; ('', '') if it did not.

    EDK2's PartitionDxe makes it from the valid copy, which stays as it is.
    """
    before, after = old.gpt, new.gpt
    if not before or not after or old.medium.size != new.medium.size:
        return "", ""
    pairs = (
        ("primary", before.primary, after.primary, before.backup, after.backup),
        ("backup", before.backup, after.backup, before.primary, after.primary),
    )
    for name, lost, found, kept, source in pairs:
        if not found or not source or kept != source or _is_valid(lost):
            continue
        if _is_valid(found) and _is_valid(source) and found.array == source.array:
            return name, "damaged" if lost else "missing"
    return "", ""


def has_moved_backup(old: Disk, new: Disk) -> bool:
    """Whether the backup of a GPT is at the end of a larger medium, and all else is as before."""
    before, after = old.gpt, new.gpt
    if not before or not after or not before.primary or not after.primary or not after.backup:
        return False
    last = new.medium.size // after.sector_size - 1
    return (
        new.medium.size > old.medium.size
        and _is_valid(before.primary)
        and _is_valid(after.primary)
        and _is_valid(after.backup)
        and after.backup.lba == last
        and after.primary.array == after.backup.array == before.primary.array
    )


def _is_valid(copy: GptCopy | None) -> bool:
    return copy is not None and copy.usable and copy.header.my_lba == copy.lba
