"""PE files as UEFI loads them: why it would not, and which file belongs in which place.

Source: UEFI Specification 2.10, 2.1.1 (UEFI images) and 3.5.1.1 (removable media boot).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from efi_image.errors import PeError
from efi_image.formats.compressed import Compression
from efi_image.formats.fat.names import fold
from efi_image.formats.file_kind import FileKind, kernel_hint, kind_of
from efi_image.formats.files import show_path
from efi_image.formats.pe.headers import (
    HEAD,
    PE32_PLUS,
    RELOCS_STRIPPED,
    PeHeader,
    ReadAt,
    read_headers,
)
from efi_image.formats.pe.relocations import relocation_fault
from efi_image.io.source import Source

PAGE = 4096


class Machine(IntEnum):
    """The machines of UEFI, with PE's numbers."""

    IA32 = 0x014C
    ARM = 0x01C2
    RISCV64 = 0x5064
    LOONGARCH64 = 0x6264
    X64 = 0x8664
    AA64 = 0xAA64


class Subsystem(IntEnum):
    """The kinds of UEFI program, with PE's numbers."""

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
_32_BITS = frozenset({Machine.IA32, Machine.ARM})


def machine_text(number: int) -> str:
    """The name of a PE machine, or its number."""
    return MACHINE_TEXT[Machine(number)] if number in MACHINE_TEXT else f"machine 0x{number:04x}"


def subsystem_text(number: int) -> str:
    """The name of a UEFI subsystem, or its number."""
    return SUBSYSTEM_TEXT[Subsystem(number)] if number in SUBSYSTEM_TEXT else f"subsystem {number}"


# ---- what prevents loading


class FaultKind(Enum):
    """What is wrong with a PE file; the values are for messages."""

    FORMAT = "UEFI cannot load it"
    TRUNCATED = "is truncated"
    STRIPPED = "its relocations are stripped, so UEFI can load it only at one address"
    RELOCATIONS = "its relocations are not valid"
    SECTIONS = "its sections do not fit together"
    UNALIGNED = "its sections are not aligned to pages"
    WRITABLE_CODE = "its sections are both writable and executable"


# to most firmware: OVMF starts even UKIs whose sections overlap
HARMLESS = frozenset({FaultKind.SECTIONS, FaultKind.UNALIGNED, FaultKind.WRITABLE_CODE})


@dataclass(frozen=True, slots=True)
class PeFault:
    """One fault of a PE file, with the details."""

    kind: FaultKind
    reason: str


def find_faults(header: PeHeader, size: int, read_at: ReadAt | None) -> Iterator[PeFault]:
    """All faults of a file of `size` bytes with these headers, whatever its role.

    The relocations are not looked at without `read_at`. Raises what that raises.
    """
    if header.machine not in MACHINE_TEXT:
        reason = f"it is for machine 0x{header.machine:x}, which UEFI does not support"
        yield PeFault(FaultKind.FORMAT, reason)
    elif (header.machine in _32_BITS) == (header.magic == PE32_PLUS):
        reason = f"the optional header (0x{header.magic:x}) does not match the machine"
        yield PeFault(FaultKind.FORMAT, reason)
    yield from (PeFault(FaultKind.FORMAT, reason) for reason in _header_faults(header))
    if len(header.sections) != header.section_count:
        yield PeFault(FaultKind.TRUNCATED, "it ends within the section table")
    elif header.end > size:
        reason = f"it has {size} bytes, its headers describe {header.end}"
        yield PeFault(FaultKind.TRUNCATED, reason)
    if header.characteristics & RELOCS_STRIPPED:
        reason = f"its characteristics are 0x{header.characteristics:04x}"
        yield PeFault(FaultKind.STRIPPED, reason)
    if reason := _relocation_fault(header, size, read_at):
        yield PeFault(FaultKind.RELOCATIONS, reason)
    yield from (PeFault(FaultKind.SECTIONS, reason) for reason in _section_faults(header))
    if header.section_alignment % PAGE:
        reason = f"they are aligned to {header.section_alignment} bytes"
        yield PeFault(FaultKind.UNALIGNED, reason)
    # the format does not allow these, but EDK2 loads them; systemd's stub has such a section
    elif odd := [section.name for section in header.sections if section.address % PAGE]:
        yield PeFault(FaultKind.UNALIGNED, ", ".join(odd))
    if both := [section.name for section in header.sections if section.is_writable_code]:
        yield PeFault(FaultKind.WRITABLE_CODE, ", ".join(both))


def _relocation_fault(header: PeHeader, size: int, read_at: ReadAt | None) -> str:
    # no relocations at all are fine: position-independent code needs none
    address, length = header.relocations
    if address + length > header.size_of_image:
        return f"they end at 0x{address + length:x}, the image at 0x{header.size_of_image:x}"
    return relocation_fault(header, read_at) if read_at and header.end <= size else ""


def _header_faults(header: PeHeader) -> Iterator[str]:
    """What PeCoffLoaderGetPeHeader of EDK2's BasePeCoffLib refuses."""
    if not header.fits_directories:
        yield (
            f"it says that it has {header.directory_count} data directories, but its optional"
            f" header has {header.directory_room} bytes for them"
        )
    if header.size_of_headers < header.sections_end:
        yield (
            f"its headers end at byte {header.size_of_headers}, within the section table, which"
            f" ends at byte {header.sections_end}"
        )
    for section in header.sections:
        if section.file_size and min(section.offset, section.address) < header.size_of_headers:
            yield f"{section.name} begins within the headers"


def _section_faults(header: PeHeader) -> Iterator[str]:
    alignment = header.section_alignment
    if not alignment or alignment & (alignment - 1):
        yield f"the section alignment, {alignment}, is not a power of two"
        return
    end = 0
    for section in sorted(header.sections, key=lambda section: section.address):
        if not section.memory_size and not section.file_size:
            continue
        last = section.address + (section.memory_size or section.file_size)
        if section.address < end:
            yield f"{section.name} overlaps what precedes it"
        if last > header.size_of_image:
            yield f"{section.name} ends beyond the image's {header.size_of_image} bytes"
        end = max(end, last)


# ---- what `make` checks


class Role(Enum):
    """What a PE file must be."""

    APPLICATION = "UEFI application"
    DRIVER = "UEFI driver"


@dataclass(frozen=True, slots=True)
class PeInfo:
    """The machine and subsystem of a UEFI program."""

    machine: Machine
    subsystem: Subsystem


def identify(source: Source) -> PeInfo:
    """The kind of UEFI program that a file is.

    Raises PeError if UEFI would not load it, InputError if the file cannot be read.
    """
    header = _read_headers(source)
    for fault in find_faults(header, source.size, source.read_at):
        if fault.kind not in HARMLESS:
            hint = "link it without /FIXED" if fault.kind is FaultKind.STRIPPED else ""
            raise PeError(f"{fault.kind.value}: {fault.reason}", where=source.name, hint=hint)
    if header.subsystem not in SUBSYSTEM_TEXT:
        raise PeError(f"is not a UEFI program: subsystem {header.subsystem}", where=source.name)
    return PeInfo(Machine(header.machine), Subsystem(header.subsystem))


def _read_headers(source: Source) -> PeHeader:
    """The headers; the PeError for another file says what that is."""
    try:
        return read_headers(source.read_at, source.name)
    except PeError:
        kind, packed = kind_of(source.read_at), Compression.of(source.read_at(0, HEAD))
        if packed:
            raise PeError(
                f"is compressed ({packed.value})",
                where=source.name,
                hint="decompress it, or give an initrd with --initrd",
            ) from None
        if kind in {None, FileKind.PROGRAM, FileKind.KERNEL}:
            raise
        raise PeError(
            f"is {kind.value}, not an EFI program", where=source.name,
            hint=kernel_hint(kind, source.name),
        ) from None  # fmt: skip


def check(source: Source, role: Role, machine: Machine = Machine.X64) -> PeInfo:
    """Check a PE file for its role on an image for that machine; raises as `identify`."""
    info = identify(source)
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
    """The machine whose firmware starts that path of a removable medium by default, if any."""
    machine = _BOOT_NAMES.get(path[-1].upper())
    if machine and len(path) == 3 and [fold(name) for name in path[:2]] == ["efi", "boot"]:
        return machine
    return None


def check_place(path: Sequence[str], source: Source, machines: Iterable[Machine]) -> None:
    """Check a file for its path on the image, if its name says that it is a UEFI program.

    `machines` are those that the image boots on. Raises as `identify`, and PeError for a
    program that does not belong at that path.
    """
    if not is_program(path):
        return
    boots = boot_machine(path)
    if boots and any(name != name.upper() for name in path):
        raise PeError(
            "some firmware finds it only in upper case",
            where=show_path(path),
            hint=f"name it {show_path(path).upper()}",
        )
    info = identify(source)
    allowed = {boots} if boots else set(machines)
    if info.machine not in allowed:
        wanted = " or ".join(sorted(MACHINE_TEXT[machine] for machine in allowed))
        raise PeError(
            f"is for {MACHINE_TEXT[info.machine]}, but {show_path(path)} must be for {wanted}",
            where=source.name,
        )
    if boots and info.subsystem is not Subsystem.APPLICATION:
        raise PeError(
            f"is a {SUBSYSTEM_TEXT[info.subsystem]}, but firmware starts only an application as "
            f"{show_path(path)}",
            where=source.name,
        )


def is_linux(source: Source) -> bool:
    """Whether a file is a Linux kernel for x86, by the magic number of its setup header."""
    return source.read_at(0x202, 4) == b"HdrS"
