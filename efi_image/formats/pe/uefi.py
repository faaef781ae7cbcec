"""PE files as UEFI loads them: what kind one is, and whether it can stand where it shall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from efi_image.errors import PeError
from efi_image.formats.fat.names import fold, show_path
from efi_image.formats.pe.headers import PE32_PLUS, PeHeader, read_header
from efi_image.io.source import Source

RELOCS_STRIPPED = 0x0001
DIRECTORY_SECURITY = 4
DIRECTORY_BASERELOC = 5


class Machine(IntEnum):
    """Machines of UEFI, with PE's numbers."""

    IA32 = 0x014C
    ARM = 0x01C2
    RISCV64 = 0x5064
    LOONGARCH64 = 0x6264
    X64 = 0x8664
    AA64 = 0xAA64


class Subsystem(IntEnum):
    """Kinds of UEFI program, with PE's numbers."""

    APPLICATION = 10
    BOOT_DRIVER = 11
    RUNTIME_DRIVER = 12


MACHINE_TEXT = {
    Machine.IA32: "x86 (32 bits)",
    Machine.ARM: "Arm (32 bits)",
    Machine.RISCV64: "RISC-V (64 bits)",
    Machine.LOONGARCH64: "LoongArch (64 bits)",
    Machine.X64: "x86-64",
    Machine.AA64: "Arm (64 bits)",
}
SUBSYSTEM_TEXT = {
    Subsystem.APPLICATION: "UEFI application",
    Subsystem.BOOT_DRIVER: "UEFI boot-service driver",
    Subsystem.RUNTIME_DRIVER: "UEFI runtime driver",
}
_64_BITS = frozenset({Machine.RISCV64, Machine.LOONGARCH64, Machine.X64, Machine.AA64})


class Role(Enum):
    """What a PE file has to be."""

    APPLICATION = "UEFI application"
    DRIVER = "UEFI driver"


@dataclass(frozen=True, slots=True)
class PeInfo:
    """What matters of a PE file."""

    machine: Machine
    subsystem: Subsystem


def _hex(value: int) -> str:
    return f"0x{value:x}"


def _check_complete(header: PeHeader, source: Source) -> None:
    """Refuse a file that ends before what its headers announce."""
    if len(header.raw_ends) != header.sections:
        raise PeError("is truncated within its section table", where=source.name)
    ends = [header.size_of_headers, *header.raw_ends]
    if len(header.directories) > DIRECTORY_SECURITY:
        # the only directory whose address is a file offset
        address, size = header.directories[DIRECTORY_SECURITY]
        ends.append(address + size if size else 0)
    if max(ends) > source.size:
        raise PeError(
            f"is truncated: {source.size} bytes, its headers speak of {max(ends)}",
            where=source.name,
        )


def _machine(header: PeHeader, name: str) -> Machine:
    try:
        machine = Machine(header.machine)
    except ValueError:
        raise PeError(
            f"is for machine {_hex(header.machine)}, which UEFI does not know", where=name
        ) from None
    if (header.magic == PE32_PLUS) != (machine in _64_BITS):
        raise PeError(
            f"has an optional header ({_hex(header.magic)}) that does not go with its machine",
            where=name,
        )
    return machine


def _subsystem(header: PeHeader, name: str) -> Subsystem:
    try:
        return Subsystem(header.subsystem)
    except ValueError:
        raise PeError(f"is no UEFI program (subsystem {header.subsystem})", where=name) from None


def _check_relocations(header: PeHeader, name: str) -> None:
    """Refuse what can only run at its link address.

    An empty relocation directory is fine: position-independent code has nothing to relocate.
    """
    if header.characteristics & RELOCS_STRIPPED:
        raise PeError(
            "has its relocations stripped, so UEFI can load it at one address only",
            where=name,
            hint="link it without /FIXED",
        )
    if len(header.directories) > DIRECTORY_BASERELOC:
        address, size = header.directories[DIRECTORY_BASERELOC]
        if address + size > header.size_of_image:
            raise PeError("has its relocations outside of the image", where=name)


def inspect(source: Source) -> PeInfo:
    """What kind of UEFI program that is; raises PeError if UEFI would not load it."""
    header = read_header(source)
    _check_complete(header, source)
    machine = _machine(header, source.name)
    subsystem = _subsystem(header, source.name)
    _check_relocations(header, source.name)
    return PeInfo(machine, subsystem)


def check(source: Source, role: Role, machine: Machine = Machine.X64) -> PeInfo:
    """Check a PE file for its role on an image for that machine; raises PeError."""
    info = inspect(source)
    if info.machine is not machine:
        raise PeError(
            f"is for {MACHINE_TEXT[info.machine]}, not {MACHINE_TEXT[machine]}", where=source.name
        )
    is_driver = info.subsystem is not Subsystem.APPLICATION
    if is_driver != (role is Role.DRIVER):
        raise PeError(
            f"is a {SUBSYSTEM_TEXT[info.subsystem]}, not a {role.value}", where=source.name
        )
    return info


# ---- name and place

_BOOT_NAMES = {f"BOOT{machine.name}.EFI": machine for machine in Machine}


def is_program(path: Sequence[str]) -> bool:
    """Whether a file's name says that it is a UEFI program."""
    return path[-1][-4:].upper() == ".EFI"


def boot_machine(path: Sequence[str]) -> Machine | None:
    """The machine whose firmware starts that path of a removable medium by itself, if any."""
    machine = _BOOT_NAMES.get(path[-1].upper())
    if machine and len(path) == 3 and [fold(name) for name in path[:2]] == ["efi", "boot"]:
        return machine
    return None


def check_place(path: Sequence[str], source: Source, machines: Iterable[Machine]) -> None:
    """Check a file that shall stand at that path, if its name says that it is a UEFI program.

    `machines` are those that the image boots on.
    """
    if not is_program(path):
        return
    boots = boot_machine(path)
    if boots and any(name != name.upper() for name in path):
        raise PeError(
            "some firmware finds it in upper case only",
            where=show_path(path),
            hint=f"name it {show_path(path).upper()}",
        )
    info = inspect(source)
    allowed = {boots} if boots else set(machines)
    if info.machine not in allowed:
        wanted = " or ".join(sorted(MACHINE_TEXT[machine] for machine in allowed))
        raise PeError(
            f"is for {MACHINE_TEXT[info.machine]}, not {wanted} as {show_path(path)} has to be",
            where=source.name,
        )
    if boots and info.subsystem is not Subsystem.APPLICATION:
        raise PeError(
            f"is a {SUBSYSTEM_TEXT[info.subsystem]}; the firmware starts an application there",
            where=source.name,
        )


def is_linux(source: Source) -> bool:
    """Whether it is a Linux kernel for x86 (its setup header has a magic number)."""
    return source.read_at(0x202, 4) == b"HdrS"
