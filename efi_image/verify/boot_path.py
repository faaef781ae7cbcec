"""The boot path: the programs that firmware starts from a FAT volume, and what zpp.conf names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from efi_image.errors import ConfError, InputError, PeError
from efi_image.formats import files
from efi_image.formats.fat.names import fold
from efi_image.formats.fat.reader import ClusterChain, FatVolume
from efi_image.formats.files import Kind, Node
from efi_image.formats.loader_entry import matches
from efi_image.formats.pe import uefi
from efi_image.formats.pe.authenticode import SignedContent
from efi_image.formats.pe.headers import HEAD, PeHeader, read_headers
from efi_image.formats.pe.uefi import FaultKind, Machine, PeFault, Subsystem
from efi_image.formats.zpp_conf import CONF_PATH, MAX_SIZE, ZppConf, parse
from efi_image.progress import counter
from efi_image.verify import loader_entries
from efi_image.verify.context import CheckContext
from efi_image.verify.named_files import find, why_no_initrd
from efi_image.verify.secure_boot import Keys, refusal

MAX_PROGRAMS = 1000
CODES = {
    FaultKind.FORMAT: "B108",
    FaultKind.TRUNCATED: "B107",
    FaultKind.STRIPPED: "B105",
    FaultKind.RELOCATIONS: "B108",
    FaultKind.SECTIONS: "B106",
    FaultKind.UNALIGNED: "B109",
    FaultKind.WRITABLE_CODE: "B112",
}


class Program(NamedTuple):
    """A file that should be a UEFI program; `header` is None if it has none."""

    header: PeHeader | None
    faults: list[PeFault]

    @property
    def why_not_loaded(self) -> str:
        """Why UEFI would not load it; '' if it would."""
        reasons = [fault.reason for fault in self.faults if fault.kind not in uefi.HARMLESS]
        if self.header and not reasons and self.header.subsystem not in uefi.SUBSYSTEM_TEXT:
            return f"it has {uefi.subsystem_text(self.header.subsystem)}, which is not UEFI's"
        return "; ".join(reasons)


@dataclass(slots=True)
class VolumeBoot:
    """The programs of one volume; `machines` are those that it has a boot program for."""

    context: CheckContext
    volume: FatVolume
    keys: Keys | None
    machines: set[Machine] = field(default_factory=set)

    def run(self) -> None:
        """Check every *.efi file, then zpp.conf and the loader entries."""
        for names, node in self._programs():
            boots = uefi.boot_machine(names)
            if boots:
                self._boot_program(names, node, boots)
            else:
                self._other_program(names, node)
        self._conf()
        for names, node in loader_entries.check(self.context, self.volume):
            if not uefi.is_program(names):  # the others were checked before
                self._other_program(names, node)

    def _programs(self) -> Iterator[tuple[files.FilePath, Node]]:
        count, scanned = 0, self.volume.scanned
        # the checks before this one read each directory twice: its entries, then what follows
        tell = counter(self.context.progress, scanned // 2)
        try:
            for names, node in files.walk(self.volume, faults=[]):
                if tell and self.volume.scanned != scanned:
                    tell(self.volume.scanned - scanned)
                    scanned = self.volume.scanned
                if node.kind is Kind.FILE and fold(names[-1]).endswith(".efi"):
                    count += 1
                    if count > MAX_PROGRAMS:
                        return
                    yield names, node
        except InputError:
            return  # the rules about directories reported it

    def _load(self, node: Node) -> Program:
        try:
            head = self._head(node)
        except InputError as error:
            return Program(None, [PeFault(FaultKind.TRUNCATED, error.what)])
        try:
            header = read_headers(lambda offset, count: head[offset : offset + count])
        except PeError as error:
            return Program(None, [PeFault(FaultKind.FORMAT, f"it {error.what}")])
        try:
            faults = list(uefi.find_faults(header, node.size, self.volume.reader(node)))
        except InputError:  # the rules about chains reported it
            faults = list(uefi.find_faults(header, node.size, None))
        return Program(header, faults)

    def _head(self, node: Node) -> bytes:
        """A file's first HEAD bytes; raises InputError."""
        assert isinstance(node.place, ClusterChain)
        size = min(node.size, HEAD)
        if not size:
            return b""
        per_cluster = self.volume.boot.cluster_size
        pieces = [
            self.volume.medium.read(self.volume.offset(start), length * per_cluster)
            for start, length in self.volume.runs(node.place.first_cluster, -(-size // per_cluster))
        ]
        return b"".join(pieces)[:size]

    def _boot_program(self, names: files.FilePath, node: Node, boots: Machine) -> None:
        path = files.show_path(names)
        self.machines.add(boots)
        if path != path.upper():
            self.context.add("B102", f"it is {path}", path=path)
        program = self._load(node)
        for fault in program.faults:
            self.context.add(CODES[fault.kind], fault.reason, path=path)
        header = program.header
        if header is None:
            return
        if header.machine in uefi.MACHINE_TEXT and header.machine != boots:
            own, named = (uefi.machine_text(machine) for machine in (header.machine, boots))
            reason = f"it is for {own}, the name for {named}"
            self.context.add("B103", reason, path=path)
        if header.subsystem != Subsystem.APPLICATION:
            self.context.add(
                "B104", f"its type is {uefi.subsystem_text(header.subsystem)}", path=path
            )
        self._signature(path, node, program)

    def _other_program(self, names: files.FilePath, node: Node) -> None:
        path, program = files.show_path(names), self._load(node)
        if program.why_not_loaded:
            self.context.add("B111", program.why_not_loaded, path=path)
        self._damage(path, node, program)

    def _damage(self, path: str, node: Node, program: Program) -> None:
        """Check what does not keep firmware from loading a program that is not a boot program."""
        for fault in program.faults:
            if fault.kind is FaultKind.SECTIONS:
                self.context.add(CODES[fault.kind], fault.reason, path=path)
        self._signature(path, node, program)

    def _signature(self, path: str, node: Node, program: Program) -> None:
        header = program.header
        truncated = any(fault.kind is FaultKind.TRUNCATED for fault in program.faults)
        if self.keys is None or header is None or truncated:
            return
        try:
            content = SignedContent(
                header, self.volume.reader(node), node.size, self.keys.algorithms
            )
        except InputError:
            return  # the rules about chains reported it
        refused = refusal(content, self.keys)
        if refused:
            self.context.add(refused.code, refused.reason, path=path)

    # ---- zpp.conf

    def _conf(self) -> None:
        found = find(self.volume, CONF_PATH)
        if found is None:
            return
        _, node = found
        if node.size > MAX_SIZE:
            reason = f"it has {node.size} bytes, the limit is {MAX_SIZE}"
            self.context.add("C101", reason, path=CONF_PATH)
            return
        try:
            conf = parse(b"".join(self.volume.chunks(node)))
        except ConfError as error:
            line = error.where.rpartition(":")[2]
            self.context.add("C101", f"line {line}: {error.what}", path=CONF_PATH)
            return
        except InputError:
            return  # the rules about chains reported it
        if conf.hypervisor:
            self._needed(conf.driver, "driver", "C102", "C103", driver=True)
        self._entries(conf)
        if conf.default and conf.default not in [entry.name for entry in conf.entries]:
            identities = loader_entries.identities(self.volume)
            if not any(matches(identity, conf.default) for identity in identities):
                self.context.add("C107", f"default = {conf.default}", path=CONF_PATH)

    def _entries(self, conf: ZppConf) -> None:
        for entry in conf.entries:
            self._needed(entry.path, f"[{entry.name}] path", "C104", "C105", driver=False)
            if entry.initrd:
                self._initrd(entry.initrd, f"[{entry.name}] initrd = {entry.initrd}")

    def _initrd(self, path: str, line: str) -> None:
        found = find(self.volume, path)
        if found is None:
            self.context.add("C106", line, path=CONF_PATH)
        elif reason := why_no_initrd(self.volume, found[1]):
            self.context.add("C108", reason, path=path)

    def _needed(self, path: str, key: str, missing: str, bad: str, *, driver: bool) -> None:
        """Check a program that zpp.conf names under `key`; `missing` and `bad` are rules."""
        found = find(self.volume, path)
        if found is None:
            self.context.add(missing, f"{key} = {path}", path=CONF_PATH)
            return
        names, node = found
        program = self._load(node)
        reason, header = program.why_not_loaded, program.header
        if header and not reason:
            if (header.subsystem == Subsystem.APPLICATION) == driver:
                wanted = "a driver" if driver else "an application"
                reason = f"it is a {uefi.subsystem_text(header.subsystem)}, not {wanted}"
            elif header.machine != Machine.X64:
                reason = f"it is for {uefi.machine_text(header.machine)}, not x86-64"
        if reason:
            self.context.add(bad, reason, path=path)
        if not uefi.is_program(names):  # the others were checked before
            self._damage(path, node, program)


def check(
    volumes: Sequence[tuple[CheckContext, FatVolume]],
    machines: Sequence[Machine],
    keys: Keys | None,
    *,
    complete: bool,
) -> None:
    """Check what the volumes boot; `complete` if all volumes of the image could be read."""
    found: set[Machine] = set()
    for context, volume in volumes:
        boot = VolumeBoot(context, volume, keys)
        boot.run()
        found |= boot.machines
    if not complete:
        return
    context = volumes[0][0]
    if not found:
        context.add("B101", "the file does not exist")
    for machine in machines:
        if found and machine not in found:
            context.add("B110", f"\\EFI\\BOOT\\BOOT{machine.name}.EFI does not exist")
