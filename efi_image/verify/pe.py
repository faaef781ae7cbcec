"""Why firmware would not load a PE file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from efi_image.errors import PeError
from efi_image.formats.pe.uefi import DIRECTORY_BASERELOC, RELOCS_STRIPPED, Machine, Subsystem
from efi_image.verify.pe_header import PE32_PLUS, PeHeader, parse

PAGE = 4096
WIDE = frozenset({Machine.X64, Machine.AA64, Machine.RISCV64, Machine.LOONGARCH64})


@dataclass(frozen=True)
class PeFault:
    """A rule that a PE file breaks, and how; `fatal` if no firmware would load it."""

    code: str
    reason: str
    fatal: bool = True


def machine_of(number: int) -> Machine | None:
    """UEFI's machine of that number."""
    return Machine(number) if number in Machine.__members__.values() else None


def faults(head: bytes, size: int) -> tuple[PeHeader | None, list[PeFault]]:
    """What is wrong with a file of that many bytes that begins so, whatever its role."""
    try:
        header = parse(head)
    except PeError as error:
        return None, [PeFault("B108", error.what)]
    return header, list(_faults(header, size))


def _faults(header: PeHeader, size: int) -> Iterator[PeFault]:
    machine = machine_of(header.machine)
    if machine is None:
        yield PeFault("B108", f"UEFI knows no machine {header.machine:#x}")
    elif (machine in WIDE) != (header.magic == PE32_PLUS):
        yield PeFault("B108", f"its optional header ({header.magic:#x}) is not its machine's")
    if header.end > size:
        yield PeFault("B107", f"it has {size} bytes, its headers speak of {header.end}")
    if header.characteristics & RELOCS_STRIPPED:
        yield PeFault("B105", "its characteristics say so")
    yield from (PeFault("B106", reason) for reason in _section_faults(header))
    if header.section_alignment % PAGE:
        yield PeFault("B109", f"they are aligned to {header.section_alignment}", fatal=False)
    else:
        # not what the format demands, but EDK2 loads it, and systemd's stub has such a section
        odd = [section.name for section in header.sections if section.address % PAGE]
        if odd:
            yield PeFault("B109", ", ".join(odd), fatal=False)
    both = [section.name for section in header.sections if section.is_writable_code]
    if both:
        yield PeFault("B112", ", ".join(both), fatal=False)


def _section_faults(header: PeHeader) -> Iterator[str]:
    alignment = header.section_alignment
    if not alignment or alignment & (alignment - 1):
        yield f"the section alignment is {alignment}"
        return
    end = header.headers_size
    for section in sorted(header.sections, key=lambda section: section.address):
        if not section.memory_size and not section.file_size:
            continue
        last = section.address + (section.memory_size or section.file_size)
        if section.address < end:
            yield f"{section.name} overlaps what is before it"
        if last > header.image_size:
            yield f"{section.name} ends beyond the image's {header.image_size} bytes"
        end = max(end, last)
    if len(header.directories) > DIRECTORY_BASERELOC:
        address, length = header.directories[DIRECTORY_BASERELOC]
        if address + length > header.image_size:
            yield "the relocations lie outside of the image"


def is_application(header: PeHeader) -> bool:
    """Whether firmware starts it, rather than keeps it as a driver."""
    return header.subsystem == Subsystem.APPLICATION


def subsystem_text(header: PeHeader) -> str:
    """Its subsystem in words."""
    names = {10: "a UEFI application", 11: "a boot-service driver", 12: "a runtime driver"}
    return names.get(header.subsystem, f"no UEFI program (subsystem {header.subsystem})")
