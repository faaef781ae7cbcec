"""The boot path: what firmware starts from a FAT volume, and what zpp.conf names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from efi_image.errors import ConfError, InputError
from efi_image.formats import files
from efi_image.formats.fat.names import fold
from efi_image.formats.fat.reader import FatVolume, Place
from efi_image.formats.files import Kind, Node
from efi_image.formats.pe.uefi import MACHINE_TEXT, Machine, boot_machine
from efi_image.formats.zpp_conf import CONF_PATH, MAX_SIZE, ZppConf, parse
from efi_image.progress import counter
from efi_image.verify import pe as pe_rules
from efi_image.verify import secure_boot as signature
from efi_image.verify.context import Scope
from efi_image.verify.pe_header import HEAD, PeHeader
from efi_image.verify.secure_boot import Keys

MAX_PROGRAMS = 1000


@dataclass
class VolumeBoot:
    """The programs of one volume."""

    scope: Scope
    volume: FatVolume
    keys: Keys | None
    machines: set[Machine] = field(default_factory=set)

    def run(self) -> None:
        """Check every *.efi, the boot path's first, then zpp.conf."""
        for names, node in self._programs():
            boots = boot_machine(names)
            if boots:
                self._boot_program(names, node, boots)
            else:
                self._other_program(names, node)
        self._conf()

    def _programs(self) -> Iterator[tuple[files.FilePath, Node]]:
        count, scanned = 0, self.volume.scanned
        # they were read twice before: for what is in them, and for what is behind their ends
        tell = counter(self.scope.progress, scanned // 2)
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
            return  # the directories' rules said why

    def load(self, path: str, node: Node) -> tuple[PeHeader | None, list[pe_rules.PeFault]]:
        """A file's headers and what is wrong with them."""
        try:
            return pe_rules.faults(self._head(node), node.size)
        except InputError as error:
            return None, [pe_rules.PeFault("B107", error.what)]

    def _head(self, node: Node) -> bytes:
        """A file's first bytes; raises InputError."""
        assert isinstance(node.place, Place)
        size = min(node.size, HEAD)
        if not size:
            return b""
        per_cluster = self.volume.boot.cluster_size
        count = -(-size // per_cluster)
        pieces = [
            self.volume.medium.read(self.volume.offset(start), length * per_cluster)
            for start, length in self.volume.runs(node.place.first_cluster, count)
        ]
        return b"".join(pieces)[:size]

    def _boot_program(self, names: files.FilePath, node: Node, boots: Machine) -> None:
        path = files.show(names)
        add = self.scope.add
        self.machines.add(boots)
        if path != path.upper():
            add("B102", f"it is {path}", path=path)
        header, faults = self.load(path, node)
        for fault in faults:
            add(fault.code, fault.reason, path=path)
        if header is None:
            return
        machine = pe_rules.machine_of(header.machine)
        if machine not in (None, boots):
            reason = f"it is for {MACHINE_TEXT[machine]}, the name is of {MACHINE_TEXT[boots]}"
            add("B103", reason, path=path)
        if not pe_rules.is_application(header):
            add("B104", f"it is {pe_rules.subsystem_text(header)}", path=path)
        self._signature(path, node, header, faults)

    def _other_program(self, names: files.FilePath, node: Node) -> None:
        path = files.show(names)
        header, faults = self.load(path, node)
        fatal = [fault.reason for fault in faults if fault.fatal]
        if fatal:
            self.scope.add("B111", "; ".join(fatal), path=path)
        elif header and header.subsystem not in (10, 11, 12):
            self.scope.add("B111", f"it is {pe_rules.subsystem_text(header)}", path=path)
        if header:
            self._signature(path, node, header, faults)

    def _signature(
        self, path: str, node: Node, header: PeHeader, faults: Sequence[pe_rules.PeFault]
    ) -> None:
        if self.keys is None or any(fault.code == "B107" for fault in faults):
            return
        data = b"".join(self.volume.chunks(node))
        verdict = signature.judge(data, header, self.keys)
        if verdict:
            self.scope.add(verdict.code, verdict.reason, path=path)

    # ---- zpp.conf

    def _find(self, path: str) -> Node | None:
        try:
            _, node = files.find(self.volume, files.split(path))
        except InputError:
            return None
        return node if node.kind is Kind.FILE else None

    def _conf(self) -> None:
        node = self._find(CONF_PATH)
        if node is None:
            return
        add = self.scope.add
        if node.size > MAX_SIZE:
            add("C101", f"it has {node.size} bytes, the limit is {MAX_SIZE}", path=CONF_PATH)
            return
        try:
            conf = parse(b"".join(self.volume.chunks(node)))
        except ConfError as error:
            line = error.where.rpartition(":")[2]
            add("C101", f"line {line}: {error.what}", path=CONF_PATH)
            return
        except InputError:
            return  # the chains' rules said why
        self._named(conf)

    def _named(self, conf: ZppConf) -> None:
        if conf.hypervisor:
            self._needed(conf.driver, "driver", "C102", "C103", driver=True)
        for entry in conf.entries:
            self._needed(entry.path, f"[{entry.name}] path", "C104", "C105", driver=False)
            if entry.initrd and self._find(entry.initrd) is None:
                self.scope.add("C106", f"[{entry.name}] initrd = {entry.initrd}", path=CONF_PATH)

    def _needed(self, path: str, key: str, missing: str, bad: str, *, driver: bool) -> None:
        node = self._find(path)
        if node is None:
            self.scope.add(missing, f"{key} = {path}", path=CONF_PATH)
            return
        header, faults = self.load(path, node)
        fatal = [fault.reason for fault in faults if fault.fatal]
        if fatal:
            self.scope.add(bad, "; ".join(fatal), path=path)
        elif header and (header.subsystem not in (10, 11, 12) or
                         pe_rules.is_application(header) == driver):  # fmt: skip
            reason = f"it is {pe_rules.subsystem_text(header)}"
            self.scope.add(bad, reason, path=path)
        elif header and header.machine != Machine.X64:
            self.scope.add(bad, f"it is for machine {header.machine:#x}, not x86-64", path=path)


def check(
    volumes: Sequence[tuple[Scope, FatVolume]],
    machines: Sequence[Machine],
    keys: Keys | None,
    *,
    complete: bool,
) -> None:
    """Check what the volumes boot; `complete` says that all volumes could be read."""
    found: set[Machine] = set()
    for scope, volume in volumes:
        boot = VolumeBoot(scope, volume, keys)
        boot.run()
        found |= boot.machines
    scope = volumes[0][0]
    if not complete:
        return
    if not found:
        scope.add("B101", "there is no such file")
    for machine in machines:
        if found and machine not in found:
            scope.add("B110", f"there is no \\EFI\\BOOT\\BOOT{machine.name}.EFI")
