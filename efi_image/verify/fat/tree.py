"""The directories of a FAT volume: every entry, its name, and its chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from efi_image.errors import InputError
from efi_image.formats.fat.directory import FREE_ENTRY
from efi_image.formats.fat.geometry import EXTENDED_SIGNATURE, FatType
from efi_image.formats.fat.names import fault_of, fold
from efi_image.formats.fat.reader import ChainError, ChainFault, Directory, Entry, FatVolume, Record
from efi_image.formats.fat.writer import ATTRIBUTE_DIRECTORY
from efi_image.verify.context import Scope
from efi_image.verify.fat.chains import Chains

MAX_DEPTH = 128
MAX_ENTRIES = 1 << 22
SIZE_AT, CLUSTER_HIGH_AT, CLUSTER_LOW_AT = 28, 20, 26
NO_NAME = b"NO NAME    "
_FORBIDDEN = frozenset(b'"*+,./:;<=>?[\\]|\x7f' + bytes(range(0x20)) + bytes(range(0x61, 0x7B)))
_FREE = frozenset({0x00, 0xE5})
_DOT, _DOT_DOT = b".          ", b"..         "


@dataclass(frozen=True)
class _Visit:
    """A directory to be looked into; cluster 0 is the root."""

    cluster: int
    parent: int
    path: tuple[str, ...]
    sound: bool = True

    @property
    def is_root(self) -> bool:
        return not self.path

    def show(self, name: str = "") -> str:
        return "\\" + "\\".join((*self.path, name) if name else self.path)


@dataclass
class _Names:
    """The names of one directory."""

    shorts: set[bytes] = field(default_factory=set)
    longs: set[str] = field(default_factory=set)


class TreeCheck:
    """Walks all directories once; the chains of all files are claimed on the way."""

    def __init__(
        self,
        scope: Scope,
        volume: FatVolume,
        chains: Chains,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        self._scope = scope
        self._volume = volume
        self._chains = chains
        self._waiting: list[_Visit] = []
        self._labels: list[Entry] = []
        self._left = MAX_ENTRIES
        self._tell = tell or (lambda _bytes: None)

    def run(self) -> None:
        """Check them all."""
        root = _Visit(0, 0, ())
        if self._volume.kind is FatType.FAT32:
            chain = self._chains.claim(self._volume.boot.root_cluster, "\\")
            if not chain.length:
                return
            root = _Visit(0, 0, (), chain.sound)
        self._waiting.append(root)
        while self._waiting:
            self._directory(self._waiting.pop())
        self._check_labels()

    def _entries(self, visit: _Visit) -> Iterator[Entry]:
        """A directory's entries; where its chain goes wrong was said when it was claimed."""
        seen = -1
        positions: set[int] = set()
        scanned = self._volume.scanned
        try:
            for entry in self._volume.entries(Directory(visit.cluster)):
                if not visit.sound:
                    if entry.position in positions:
                        return
                    positions.add(entry.position)
                self._left -= 1
                if self._left < 0:
                    if self._left == -1:
                        self._scope.add("F416", f"more than {MAX_ENTRIES} entries")
                    return
                seen += 1
                yield entry
                if self._volume.scanned != scanned:
                    self._tell(self._volume.scanned - scanned)
                    scanned = self._volume.scanned
        except ChainError as error:
            if error.fault is ChainFault.LONG:
                self._scope.add("F414", f"after {seen} entries", path=visit.show())
        except InputError as error:
            self._scope.add("F206", error.what, path=visit.show())

    def _directory(self, visit: _Visit) -> None:
        names = _Names()
        count = 0
        for number, entry in enumerate(self._entries(visit)):
            count += 1
            if entry.stray_records:
                self._scope.add("F410", f"{entry.stray_records} records", entry.position - 32,
                                visit.show(entry.name))  # fmt: skip
            if entry.kind is Record.DELETED:
                continue
            if not visit.is_root and number < 2:
                self._check_dot(visit, number, entry)
            if entry.kind is Record.DOT:
                if visit.is_root or number > 1:
                    self._scope.add("F407", "`.` or `..` where it is no name", entry.position,
                                    visit.show(entry.short_name))  # fmt: skip
            elif entry.kind is Record.LABEL:
                self._label(visit, entry)
            else:
                self._check_names(visit, entry, names)
                self._check_entry(visit, entry)
        self._check_end(visit)
        for number in range(count, 2):
            if not visit.is_root and visit.sound:
                code, name = ("F405", ".") if number == 0 else ("F406", "..")
                self._scope.add(code, f"there is no {name}", path=visit.show())

    def _check_end(self, visit: _Visit) -> None:
        """Nothing stands behind a directory's end, where readers stop."""
        if not visit.sound:
            return
        ended = False
        try:
            for position, raw in self._volume.records(Directory(visit.cluster)):
                if ended and raw[0] not in _FREE and not raw[11] & 0xC0:
                    self._scope.add("F417", "the first of them", position, visit.show())
                    return
                ended = ended or raw[0] == FREE_ENTRY
        except InputError:
            return  # said before

    # ---- `.` and `..`

    def _check_dot(self, visit: _Visit, number: int, entry: Entry) -> None:
        code, short = ("F405", _DOT) if number == 0 else ("F406", _DOT_DOT)
        shown = short.decode("ascii").rstrip()
        wanted = visit.cluster if number == 0 else visit.parent
        if entry.short != short or entry.kind is not Record.DOT:
            reason = f"entry {number + 1} is '{entry.short_name}', not {shown}"
            self._scope.add(code, reason, entry.position, visit.show())
        elif entry.first_cluster != wanted:
            reason = f"{shown} leads to cluster {entry.first_cluster}, not {wanted}"
            place = entry.position
            patches = (
                self._scope.patch(place + CLUSTER_HIGH_AT, (wanted >> 16).to_bytes(2, "little")),
                self._scope.patch(place + CLUSTER_LOW_AT, (wanted & 0xFFFF).to_bytes(2, "little")),
            )
            fix = self._scope.fix(f"let {shown} of {visit.show()} lead to {wanted}", patches)
            self._scope.add(code, reason, place, visit.show(), fix)
        elif not entry.attributes & ATTRIBUTE_DIRECTORY:
            text = f"marked {shown} of {visit.show()} as a directory"
            fix = self._scope.put(text, entry.position + 11, "B", ATTRIBUTE_DIRECTORY)
            reason = f"{shown} is not marked as a directory"
            self._scope.add(code, reason, entry.position, visit.show(), fix)

    # ---- names

    def _check_names(self, visit: _Visit, entry: Entry, names: _Names) -> None:
        path = visit.show(entry.name)
        bad = _short_fault(entry.short)
        if bad:
            self._scope.add("F407", bad, entry.position, path)
        if entry.short in names.shorts:
            self._scope.add("F408", f"{entry.short_name} is there already", entry.position, path)
        names.shorts.add(entry.short)
        if not entry.long:
            return
        fault = fault_of(entry.long)
        if fault:
            self._scope.add("F411", f"it {fault}", entry.position, path)
        folded = fold(entry.long)
        if folded in names.longs:
            self._scope.add("F409", "it is there already", entry.position, path)
        names.longs.add(folded)

    def _label(self, visit: _Visit, entry: Entry) -> None:
        if not visit.is_root:
            self._scope.add("F412", "in a directory", entry.position, visit.show())
            return
        if entry.first_cluster or entry.size or entry.attributes & ATTRIBUTE_DIRECTORY:
            reason = f"cluster {entry.first_cluster}, {entry.size} bytes"
            self._scope.add("F412", reason, entry.position, "\\")
        bad = next((b for b in entry.short if b in _FORBIDDEN and not chr(b).islower()), None)
        if bad is not None:
            self._scope.add("F418", f"it has {chr(bad)!r}", entry.position, "\\")
        self._labels.append(entry)
        if len(self._labels) > 1:
            label = entry.short.decode("cp437").rstrip()
            self._scope.add("F412", f"'{label}' is the second", entry.position, "\\")

    def _check_labels(self) -> None:
        boot = self._volume.boot
        blank = not self._labels or not self._labels[0].short.strip()
        root = NO_NAME if blank else self._labels[0].short
        if boot.extended_signature == EXTENDED_SIGNATURE and boot.label != root:
            one, other = (name.decode("cp437").rstrip() for name in (boot.label, root))
            at = 0x47 if boot.is_fat32_form else 0x2B
            fix = self._scope.fix(
                f"wrote the label '{other}' to the boot sector", (self._scope.patch(at, root),)
            )
            self._scope.add("F413", f"'{one}' and '{other}'", at, fix=fix)

    # ---- places and sizes

    def _check_entry(self, visit: _Visit, entry: Entry) -> None:
        path = visit.show(entry.name)
        first = entry.first_cluster
        is_directory = entry.kind is Record.DIRECTORY
        if is_directory and entry.size:
            fix = self._scope.put(f"wrote size 0 for {path}", entry.position + SIZE_AT, "I", 0)
            self._scope.add("F415", f"{entry.size} bytes", entry.position, path, fix)
        if not first and not entry.size and not is_directory:
            return
        if not self._volume.exists(first):
            self._scope.add("F401", f"cluster {first} of {self._volume.clusters}",
                            entry.position, path)  # fmt: skip
            return
        chain = self._chains.claim(first, path)
        if is_directory:
            if chain.length:
                self._enter(visit, entry, chain.sound)
            return
        self._tell(chain.length * self._volume.boot.cluster_size)
        self._check_size(entry, path, chain.length, chain.sound)

    def _enter(self, visit: _Visit, entry: Entry, sound: bool) -> None:
        if len(visit.path) >= MAX_DEPTH:
            path = "\\" + "\\".join(visit.path[:3]) + "\\..."
            self._scope.add("F416", f"deeper than {MAX_DEPTH}", path=path)
            return
        names = (*visit.path, entry.name)
        self._waiting.append(_Visit(entry.first_cluster, visit.cluster, names, sound))

    def _check_size(self, entry: Entry, path: str, length: int, sound: bool) -> None:
        size = self._volume.boot.cluster_size
        needed = -(-entry.size // size)
        if not entry.size:
            self._scope.add("F404", f"{length} clusters", entry.position, path)
        elif length > needed and sound:
            reason = f"{entry.size} bytes need {needed} clusters, it has {length}"
            self._scope.add("F402", reason, entry.position, path)
        elif length < needed and sound:
            reason = f"{entry.size} bytes need {needed} clusters, it has {length}"
            self._scope.add("F403", reason, entry.position, path)


def _short_fault(short: bytes) -> str:
    """Why this cannot be an 8.3 name; '' if it can."""
    if short[0] == 0x20:
        return "it begins with a blank"
    name = b"\xe5" + short[1:] if short[0] == 0x05 else short
    bad = next((byte for byte in name if byte in _FORBIDDEN), None)
    return "" if bad is None else f"it has the character {chr(bad)!r}"
