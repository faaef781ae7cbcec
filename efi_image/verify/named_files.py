"""Files that zpp.conf and loader entries name."""

from __future__ import annotations

from efi_image.errors import InputError
from efi_image.formats import files
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import FilePath, Kind, Node
from efi_image.formats.initrd import initrd_fault


def find(volume: FatVolume, path: str) -> tuple[FilePath, Node] | None:
    """A file with its path as the volume spells it; None if there is no such file."""
    try:
        names, node = files.find(volume, files.split_path(path))
    except InputError:
        return None
    return (names, node) if node.kind is Kind.FILE else None


def why_no_initrd(volume: FatVolume, node: Node) -> str:
    """Why Linux cannot use a file as its initrd, with a remedy; '' if it may."""
    try:
        what, hint = initrd_fault(volume.reader(node), node.size)
    except InputError:
        return ""  # the rules about chains reported it
    return "; ".join(part for part in (what and f"it {what}", hint) if part)
