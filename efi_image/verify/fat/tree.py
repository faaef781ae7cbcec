"""The directories of a FAT volume: every entry, its name, and its chain.

Source: Microsoft's "FAT: General Overview of On-Disk Format" 1.03 (fatgen103), directories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from efi_image.errors import InputError
from efi_image.formats.fat.directory import (
    ATTRIBUTE_DIRECTORY,
    FREE_ENTRY,
    DirectoryEntry,
    EntryKind,
)
from efi_image.formats.fat.geometry import EXTENDED_SIGNATURE, FatType
from efi_image.formats.fat.names import fault_of, fold
from efi_image.formats.fat.reader import ChainError, ChainFault, FatVolume
from efi_image.verify.context import CheckContext
from efi_image.verify.fat.chains import Chains
from efi_image.verify.finding import plural

MAX_DEPTH = 128
MAX_ENTRIES = 1 << 22
SIZE_AT, CLUSTER_HIGH_AT, CLUSTER_LOW_AT = 28, 20, 26
NO_NAME = b"NO NAME    "
_FORBIDDEN = frozenset(b'"*+,./:;<=>?[\\]|\x7f' + bytes(range(0x20)) + bytes(range(0x61, 0x7B)))
_FREE = frozenset({0x00, 0xE5})
_DOT, _DOT_DOT = b".          ", b"..         "


@dataclass(frozen=True, slots=True)
class _Visit:
    """A directory to check; cluster 0 is the root, `complete` if its chain is."""

    cluster: int
    parent: int
    path: tuple[str, ...]
    complete: bool = True

    @property
    def is_root(self) -> bool:
        return not self.path

    def show(self, name: str = "") -> str:
        return "\\" + "\\".join((*self.path, name) if name else self.path)


@dataclass(slots=True)
class _Names:
    """The names in one directory, 8.3 and long (folded to one case)."""

    shorts: set[bytes] = field(default_factory=set)
    longs: set[str] = field(default_factory=set)


class TreeCheck:
    """Walks all directories once and claims the chains of all files on the way."""

    def __init__(
        self,
        context: CheckContext,
        volume: FatVolume,
        chains: Chains,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        self._context = context
        self._volume = volume
        self._chains = chains
        self._waiting: list[_Visit] = []
        self._labels: list[DirectoryEntry] = []
        self._left = MAX_ENTRIES
        self._tell = tell or (lambda _bytes: None)

    def run(self) -> None:
        """Check every directory."""
        root = _Visit(0, 0, ())
        if self._volume.kind is FatType.FAT32:
            chain = self._chains.claim(self._volume.boot.root_cluster, "\\")
            if not chain.length:
                return
            root = _Visit(0, 0, (), chain.complete)
        self._waiting.append(root)
        while self._waiting:
            self._directory(self._waiting.pop())
        self._check_labels()

    def _entries(self, visit: _Visit) -> Iterator[DirectoryEntry]:
        """A directory's entries; the faults of its chain were reported when it was claimed."""
        seen = -1
        positions: set[int] = set()
        scanned = self._volume.scanned
        try:
            for entry in self._volume.entries(visit.cluster):
                if not visit.complete:
                    if entry.position in positions:
                        return
                    positions.add(entry.position)
                self._left -= 1
                if self._left < 0:
                    if self._left == -1:
                        self._context.add("F416", f"there are more than {MAX_ENTRIES} entries")
                    return
                seen += 1
                yield entry
                if self._volume.scanned != scanned:
                    self._tell(self._volume.scanned - scanned)
                    scanned = self._volume.scanned
        except ChainError as error:
            if error.fault is ChainFault.LONG:
                self._context.add(
                    "F414", f"it does not end after {seen} entries", path=visit.show()
                )
        except InputError as error:
            self._context.add("F206", error.what, path=visit.show())

    def _directory(self, visit: _Visit) -> None:
        names = _Names()
        count = 0
        for number, entry in enumerate(self._entries(visit)):
            count += 1
            if entry.stray_records:
                reason = plural(entry.stray_records, "record")
                self._context.add("F410", reason, entry.position - 32, visit.show(entry.name))
            if entry.kind is EntryKind.DELETED:
                continue
            if not visit.is_root and number < 2:
                self._check_dot(visit, number, entry)
            if entry.kind is EntryKind.DOT:
                if visit.is_root or number > 1:
                    self._context.add("F407", "`.` and `..` are not allowed here", entry.position,
                                    visit.show(entry.short_name))  # fmt: skip
            elif entry.kind is EntryKind.LABEL:
                self._label(visit, entry)
            else:
                self._check_names(visit, entry, names)
                self._check_entry(visit, entry)
        self._check_end(visit)
        for number in range(count, 2):
            if not visit.is_root and visit.complete:
                code, name = ("F405", ".") if number == 0 else ("F406", "..")
                self._context.add(code, f"there is no {name}", path=visit.show())

    def _check_end(self, visit: _Visit) -> None:
        """Check that nothing follows the end mark, where readers stop."""
        if not visit.complete:
            return
        ended = False
        try:
            for position, raw in self._volume.records(visit.cluster):
                if ended and raw[0] not in _FREE and not raw[11] & 0xC0:
                    self._context.add("F417", "this is the first", position, visit.show())
                    return
                ended = ended or raw[0] == FREE_ENTRY
        except InputError:
            return  # reported before

    # ---- `.` and `..`

    def _check_dot(self, visit: _Visit, number: int, entry: DirectoryEntry) -> None:
        code, short = ("F405", _DOT) if number == 0 else ("F406", _DOT_DOT)
        shown = short.decode("ascii").rstrip()
        wanted = visit.cluster if number == 0 else visit.parent
        if entry.short != short or entry.kind is not EntryKind.DOT:
            reason = f"entry {number + 1} is '{entry.short_name}' instead of {shown}"
            self._context.add(code, reason, entry.position, visit.show())
        elif entry.first_cluster != wanted:
            reason = f"{shown} leads to cluster {entry.first_cluster} instead of {wanted}"
            patch, at = self._context.patch, entry.position
            fix = self._context.fix(
                f"set {shown} of {visit.show()} to cluster {wanted}",
                patch(at + CLUSTER_HIGH_AT, (wanted >> 16).to_bytes(2, "little")),
                patch(at + CLUSTER_LOW_AT, (wanted & 0xFFFF).to_bytes(2, "little")),
            )
            self._context.add(code, reason, at, visit.show(), fix)
        elif not entry.attributes & ATTRIBUTE_DIRECTORY:
            text = f"marked {shown} of {visit.show()} as a directory"
            fix = self._context.write(text, entry.position + 11, "B", ATTRIBUTE_DIRECTORY)
            reason = f"{shown} is not marked as a directory"
            self._context.add(code, reason, entry.position, visit.show(), fix)

    # ---- names

    def _check_names(self, visit: _Visit, entry: DirectoryEntry, names: _Names) -> None:
        path = visit.show(entry.name)
        bad = _short_fault(entry.short)
        if bad:
            self._context.add("F407", bad, entry.position, path)
        if entry.short in names.shorts:
            self._context.add("F408", f"{entry.short_name} occurs twice", entry.position, path)
        names.shorts.add(entry.short)
        if not entry.long:
            return
        fault = fault_of(entry.long)
        if fault:
            self._context.add("F411", f"it {fault}", entry.position, path)
        folded = fold(entry.long)
        if folded in names.longs:
            self._context.add("F409", f"{entry.long} occurs twice", entry.position, path)
        names.longs.add(folded)

    def _label(self, visit: _Visit, entry: DirectoryEntry) -> None:
        if not visit.is_root:
            self._context.add(
                "F412", "it is not in the root directory", entry.position, visit.show()
            )
            return
        if entry.first_cluster or entry.size or entry.attributes & ATTRIBUTE_DIRECTORY:
            reason = f"it has cluster {entry.first_cluster} and {entry.size} bytes"
            self._context.add("F412", reason, entry.position, "\\")
        bad = next((b for b in entry.short if b in _FORBIDDEN and not chr(b).islower()), None)
        if bad is not None:
            self._context.add("F418", f"it contains {chr(bad)!r}", entry.position, "\\")
        self._labels.append(entry)
        if len(self._labels) > 1:
            label = entry.short.decode("cp437").rstrip()
            self._context.add("F412", f"'{label}' is a second one", entry.position, "\\")

    def _check_labels(self) -> None:
        boot = self._volume.boot
        blank = not self._labels or not self._labels[0].short.strip()
        root = NO_NAME if blank else self._labels[0].short
        if boot.extended_signature == EXTENDED_SIGNATURE and boot.label != root:
            one, other = (name.decode("cp437").rstrip() for name in (boot.label, root))
            at = 0x47 if boot.is_fat32_form else 0x2B
            fix = self._context.fix(
                f"wrote the label '{other}' to the boot sector", self._context.patch(at, root)
            )
            self._context.add("F413", f"they are '{one}' and '{other}'", at, fix=fix)

    # ---- places and sizes

    def _check_entry(self, visit: _Visit, entry: DirectoryEntry) -> None:
        path = visit.show(entry.name)
        first = entry.first_cluster
        is_directory = entry.kind is EntryKind.DIRECTORY
        if is_directory and entry.size:
            fix = self._context.write(f"wrote size 0 for {path}", entry.position + SIZE_AT, "I", 0)
            self._context.add("F415", f"it is {entry.size} bytes", entry.position, path, fix)
        if not first and not entry.size and not is_directory:
            return
        if not self._volume.exists(first):
            self._context.add("F401", f"it is cluster {first}; there are {self._volume.clusters}",
                            entry.position, path)  # fmt: skip
            return
        chain = self._chains.claim(first, path)
        if is_directory:
            if chain.length:
                self._enter(visit, entry, chain.complete)
            return
        self._tell(chain.length * self._volume.boot.cluster_size)
        self._check_size(entry, path, chain.length, chain.complete)

    def _enter(self, visit: _Visit, entry: DirectoryEntry, complete: bool) -> None:
        if len(visit.path) >= MAX_DEPTH:
            path = "\\" + "\\".join(visit.path[:3]) + "\\..."
            self._context.add("F416", f"this is deeper than {MAX_DEPTH} directories", path=path)
            return
        names = (*visit.path, entry.name)
        self._waiting.append(_Visit(entry.first_cluster, visit.cluster, names, complete))

    def _check_size(self, entry: DirectoryEntry, path: str, length: int, complete: bool) -> None:
        size = self._volume.boot.cluster_size
        needed = -(-entry.size // size)
        reason = f"{entry.size} bytes need {plural(needed, 'cluster')}, it has {length}"
        if not entry.size:
            self._context.add("F404", f"it has {plural(length, 'cluster')}", entry.position, path)
        elif length > needed and complete:
            self._context.add("F402", reason, entry.position, path)
        elif length < needed and complete:
            self._context.add("F403", reason, entry.position, path)


def _short_fault(short: bytes) -> str:
    """Why this is not a valid 8.3 name; '' if it is."""
    if short[0] == 0x20:
        return "it starts with a space"
    name = b"\xe5" + short[1:] if short[0] == 0x05 else short
    bad = next((byte for byte in name if byte in _FORBIDDEN), None)
    return "" if bad is None else f"it contains {chr(bad)!r}"
