"""Loader entries (Boot Loader Specification), and the files that they name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from efi_image.errors import InputError
from efi_image.formats import files
from efi_image.formats.fat.names import fold
from efi_image.formats.fat.reader import FatVolume
from efi_image.formats.files import FilePath, Kind, Node
from efi_image.formats.loader_entry import FOLDERS, entry_id
from efi_image.verify.context import CheckContext
from efi_image.verify.named_files import find, why_no_initrd

ENTRIES = ("loader", "entries")
MAX_ENTRIES = 1000
MAX_SIZE = 64 << 10  # bytes
_PROGRAMS = {"linux", "efi", "uki"}
_ONE_FILE = {*_PROGRAMS, "devicetree"}
_SEVERAL_FILES = {"initrd", "devicetree-overlay"}  # GRUB takes several initrds in a line


def check(context: CheckContext, volume: FatVolume) -> Iterator[tuple[FilePath, Node]]:
    """Check that the files that entries name are on the entry's own volume, and the initrds.

    Yields the programs that they name, each once.
    """
    programs: dict[FilePath, Node] = {}
    bad: dict[FilePath, str] = {}
    for path, text in _entries(volume):
        initrds: dict[FilePath, Node] = {}
        for number, line in enumerate(text.splitlines(), 1):
            for key, name in _named(line):
                found = find(volume, name)
                if found is None:
                    context.add("B113", f"line {number}: {key} {name}", path=path)
                elif key in _PROGRAMS:
                    programs.update([found])
                elif key == "initrd":
                    initrds.update([found])
        bad.update(_bad_initrds(volume, initrds))
    for names, reason in bad.items():
        context.add("B114", reason, path=files.show_path(names))
    yield from programs.items()


def _bad_initrds(
    volume: FatVolume, initrds: dict[FilePath, Node]
) -> Iterator[tuple[FilePath, str]]:
    """The initrds of one entry that Linux, which gets them as one, cannot use."""
    for names, node in initrds.items():
        is_needless = not node.size and len(initrds) > 1
        reason = "" if is_needless else why_no_initrd(volume, node)
        if reason:
            yield names, reason


def _entries(volume: FatVolume) -> Iterator[tuple[str, str]]:
    """Path and text of each entry that can be read."""
    for path, node in _listed(volume, ENTRIES):
        if not fold(node.name).endswith(".conf"):
            continue
        try:
            data = b"".join(volume.chunks(node)) if node.size <= MAX_SIZE else b""
        except InputError:
            continue  # the rules about chains reported it
        yield files.show_path(path), data.decode("utf-8", "replace")


def identities(volume: FatVolume) -> Iterator[str]:
    """The IDs of all entries."""
    for folder in FOLDERS:
        for path, _ in _listed(volume, folder):
            if identity := entry_id(path):
                yield identity


def _listed(volume: FatVolume, folder: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """The files of a folder, with their paths."""
    try:
        names, node = files.find(volume, folder)
        if node.kind is not Kind.DIRECTORY:
            return
        nodes = list(islice(volume.children(node), MAX_ENTRIES))
    except InputError:
        return  # the rules about directories reported it
    yield from (((*names, each.name), each) for each in nodes if each.kind is Kind.FILE)


def _named(line: str) -> Iterator[tuple[str, str]]:
    """The files that a line names, with its key."""
    key, _, value = line.replace("\t", " ").strip().partition(" ")
    names = value.split() if key in _SEVERAL_FILES else [value.strip()] if key in _ONE_FILE else []
    yield from ((key, name) for name in names if "$" not in name)  # GRUB's variables
