"""A machine as ZppBoot or `zpp-image doctor --save` recorded it: the file machine.json.

docs/reference/machine.md describes the format. Of the CPUs after the first, the file has only
what differs; null stands for what such a CPU does not have. No serial number is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efi_image.doctor.requirements import UNRECORDED_LEAF
from efi_image.doctor.tables import Source
from efi_image.errors import InputError, reason_of

FORMAT = "zpp-machine"
VERSION = 1
MAX_SIZE = 64 << 20  # 500 CPUs, each different, take 20 MB

_LEAF = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{2,8})")
_REGISTERS = re.compile(r"(?:[0-9a-f]{8} ){3}[0-9a-f]{8}")
_MSR = re.compile(r"[0-9a-f]{8}")
_HEX = re.compile(r"[0-9a-f]{1,16}")
_RANGE_TYPES = frozenset(
    {"ram", "reserved", "acpi", "acpi-nvs", "runtime", "mmio", "unusable", "persistent"}
)

Leaf = tuple[int, int]  # and subleaf
Registers = tuple[int, int, int, int]  # EAX, EBX, ECX, EDX
_REGISTER = {
    Source.CPUID_EAX: 0, Source.CPUID_EBX: 1, Source.CPUID_ECX: 2, Source.CPUID_EDX: 3,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cpu:
    """What a CPU shows. A leaf that is missing is 0; an MSR that is missing was not recorded."""

    cpuid: Mapping[Leaf, Registers]
    msrs: Mapping[int, int]
    cr0: int | None = None  # an operating system does not show these two
    cr4: int | None = None
    microcode: int = 0  # revision; 0: not known

    def registers(self, leaf: int, subleaf: int = 0) -> Registers:
        """EAX, EBX, ECX and EDX of a leaf."""
        return self.cpuid.get((leaf, subleaf), (0, 0, 0, 0))

    def value(self, source: Source, index: int) -> int | None:
        """The value that a requirement checks; None: not known."""
        match source:
            case Source.MSR:
                return self.msrs.get(index)
            case Source.CR4:
                return self.cr4
        return self.registers(index)[_REGISTER[source]]

    @property
    def name(self) -> str:
        """The brand string."""
        parts = [self.registers(leaf) for leaf in range(0x80000002, 0x80000005)]
        data = b"".join(value.to_bytes(4, "little") for part in parts for value in part)
        return data.split(b"\0")[0].decode("ascii", "replace").strip()

    @property
    def vendor(self) -> str:
        """As in `GenuineIntel`."""
        _, ebx, ecx, edx = self.registers(0)
        data = b"".join(value.to_bytes(4, "little") for value in (ebx, edx, ecx))
        return data.decode("ascii", "replace").strip("\0")

    @property
    def in_guest(self) -> bool:
        """Whether CPUID shows a hypervisor."""
        return bool(self.registers(1)[2] >> 31)

    @property
    def apic(self) -> str:
        """The mode of the local APIC, if it is known."""
        base = self.msrs.get(0x1B)
        if base is None:
            return ""
        return "x2APIC" if base & 1 << 10 else "xAPIC" if base & 1 << 11 else "local APIC off"


@dataclass(frozen=True, slots=True)
class Firmware:
    """What the firmware reports about itself; None: not known."""

    type: str = "uefi"  # or "bios"
    vendor: str = ""
    revision: str = ""
    uefi: str = ""  # version of the specification
    secure_boot: bool | None = None
    bits: int = 64


@dataclass(frozen=True, slots=True)
class Range:
    """A range of physical addresses; `end` is the last byte."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A recorded machine; the BSP is the first CPU."""

    cpus: tuple[Cpu, ...]
    firmware: Firmware = Firmware()
    memory: tuple[Range, ...] = ()
    created_by: str = ""
    comment: str = ""
    verdict: Mapping[str, Any] | None = None  # as it was saved; not used


# ---- read


class _Fault(Exception):
    """What is wrong in the file, and where."""


def load(path: str | Path) -> Machine:
    """Read a machine.json; raises InputError."""
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {reason_of(error)}", where=str(path)) from None
    if len(data) > MAX_SIZE:
        raise InputError("is larger than 64 MiB, so it is not a machine.json", where=str(path))
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Machine:
    """Read the text of a machine.json; raises InputError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise InputError("is not JSON", where=name) from None
    try:
        return _machine(document)
    except _Fault as fault:
        raise InputError(str(fault), where=name) from None


def _machine(document: object) -> Machine:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _Fault(f'is not a recorded machine: "format" is not "{FORMAT}"')
    if document.get("version") != VERSION:
        raise _Fault(f"has version {document.get('version')!r}; this zpp-image reads {VERSION}")
    parts = _list(document, "cpus")
    if not parts:
        raise _Fault("has no CPUs")
    first = _cpu(_object(parts[0], "cpus[0]"), "cpus[0]", None)
    others = [
        _cpu(_object(part, f"cpus[{number}]"), f"cpus[{number}]", first)
        for number, part in enumerate(parts[1:], 1)
    ]
    verdict = document.get("verdict")
    return Machine(
        (first, *others),
        _firmware(_object(document.get("firmware", {}), "firmware")),
        tuple(_range(part) for part in _list(document, "memory")),
        _text(document, "created_by"),
        _text(document, "comment"),
        verdict if isinstance(verdict, dict) else None,
    )


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Fault(f"{where} is not an object")
    return value


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise _Fault(f"{key} is not a list")
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise _Fault(f"{key} is not a string")
    return value


def _hex(value: object, where: str) -> int:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise _Fault(f"{where} is not a hexadecimal number")
    return int(value, 16)


def _firmware(part: Mapping[str, Any]) -> Firmware:
    secure_boot = part.get("secure_boot")
    if not isinstance(secure_boot, bool | None):
        raise _Fault("secure_boot is not true, false or null")
    kind, bits = part.get("type", "uefi"), part.get("bits", 64)
    if kind not in ("uefi", "bios") or bits not in (32, 64):
        raise _Fault("firmware is neither UEFI nor BIOS, or not of 32 or 64 bits")
    vendor, revision, uefi = (_text(part, key) for key in ("vendor", "revision", "uefi"))
    return Firmware(kind, vendor, revision, uefi, secure_boot, bits)


def _range(part: object) -> Range:
    if not isinstance(part, list) or len(part) != 3 or part[2] not in _RANGE_TYPES:
        raise _Fault("a range of memory is not [start, end, type]")
    return Range(_hex(part[0], "memory"), _hex(part[1], "memory"), part[2])


def _cpu(part: Mapping[str, Any], where: str, first: Cpu | None) -> Cpu:
    cpuid = dict(first.cpuid) if first else {}
    msrs = dict(first.msrs) if first else {}
    for key, value in _object(part.get("cpuid", {}), f"{where}.cpuid").items():
        leaf = _leaf(key, where)
        if value is None:
            cpuid.pop(leaf, None)
        elif isinstance(value, str) and _REGISTERS.fullmatch(value):
            eax, ebx, ecx, edx = (int(word, 16) for word in value.split())
            cpuid[leaf] = (eax, ebx, ecx, edx)
        else:
            raise _Fault(f"{where}: leaf {key} does not have four registers")
    for key, value in _object(part.get("msrs", {}), f"{where}.msrs").items():
        if not _MSR.fullmatch(key):
            raise _Fault(f"{where}: {key} is not the number of an MSR")
        if value is None:
            msrs.pop(int(key, 16), None)
        else:
            msrs[int(key, 16)] = _hex(value, f"{where}: MSR {key}")
    cr0, cr4 = (
        None if part.get(key) is None else _hex(part[key], f"{where}.{key}")
        for key in ("cr0", "cr4")
    )
    return Cpu(cpuid, msrs, cr0, cr4, _hex(part.get("microcode", "0"), f"{where}.microcode"))


def _leaf(key: str, where: str) -> Leaf:
    found = _LEAF.fullmatch(key)
    if not found or int(found[1], 16) == UNRECORDED_LEAF:
        raise _Fault(f"{where}: {key} is not a leaf of CPUID that is recorded")
    return int(found[1], 16), int(found[2], 16)


# ---- write


def to_text(machine: Machine) -> str:
    """The text of a machine.json, as ZppBoot writes it: what is small is on one line."""
    firmware = machine.firmware
    head: dict[str, Any] = {"format": FORMAT, "version": VERSION, "created_by": machine.created_by}
    if machine.comment:
        head["comment"] = machine.comment
    head["firmware"] = {
        "type": firmware.type, "vendor": firmware.vendor, "revision": firmware.revision,
        "uefi": firmware.uefi, "secure_boot": firmware.secure_boot,
    }  # fmt: skip
    if firmware.bits != 64:
        head["firmware"]["bits"] = firmware.bits
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    ranges = [f"{r.start:016x} {r.end:016x} {r.type}".split() for r in machine.memory]
    lines.append(f'  "memory": {_block((json.dumps(r) for r in ranges), 2, "[]")}')
    cpus = (
        _cpu_text(cpu, None if number == 0 else machine.cpus[0])
        for number, cpu in enumerate(machine.cpus)
    )
    lines.append(f'  "cpus": {_block(cpus, 2, "[]")}')
    if machine.verdict is not None:
        lines.append(f'  "verdict": {json.dumps(machine.verdict)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _block(items: Iterator[str], indent: int, brackets: str) -> str:
    rows = [" " * (indent + 2) + item for item in items]
    if not rows:
        return brackets
    return brackets[0] + "\n" + ",\n".join(rows) + "\n" + " " * indent + brackets[1]


def _cpu_text(cpu: Cpu, first: Cpu | None) -> str:
    words = [
        f'"{key}": "{value:016x}"'
        for key, value in (("cr0", cpu.cr0), ("cr4", cpu.cr4))
        if value is not None
    ]
    words.append(f'"microcode": "{cpu.microcode:08x}"')
    indent = " " * 6
    leaves = _block(_leaves(cpu, first), 6, "{}")
    msrs = _block(_msrs(cpu, first), 6, "{}")
    lines = (", ".join(words), f'"cpuid": {leaves}', f'"msrs": {msrs}')
    return "{\n" + ",\n".join(indent + line for line in lines) + "\n    }"


def _leaves(cpu: Cpu, first: Cpu | None) -> Iterator[str]:
    for (leaf, subleaf), registers in sorted(cpu.cpuid.items()):
        if not first or first.cpuid.get((leaf, subleaf)) != registers:
            yield f'"{_leaf_key(leaf, subleaf)}": "{" ".join(f"{r:08x}" for r in registers)}"'
    for leaf, subleaf in sorted(first.cpuid) if first else ():
        if (leaf, subleaf) not in cpu.cpuid:
            yield f'"{_leaf_key(leaf, subleaf)}": null'


def _leaf_key(leaf: int, subleaf: int) -> str:
    return f"{leaf:08x}.{subleaf:08x}" if subleaf > 0xFF else f"{leaf:08x}.{subleaf:02x}"


def _msrs(cpu: Cpu, first: Cpu | None) -> Iterator[str]:
    for index, value in sorted(cpu.msrs.items()):
        if not first or first.msrs.get(index) != value:
            yield f'"{index:08x}": "{value:016x}"'
    for index in sorted(first.msrs) if first else ():
        if index not in cpu.msrs:
            yield f'"{index:08x}": null'
