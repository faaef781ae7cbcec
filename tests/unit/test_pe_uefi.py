"""PE files: those that UEFI loads pass, others are refused in one line."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from makepe import APPLICATION, BOOT_DRIVER, EXECUTABLE, RUNTIME_DRIVER, make_pe

from efi_image.errors import InputError, PeError
from efi_image.formats.pe import uefi as pe
from efi_image.formats.pe.headers import RELOCS_STRIPPED
from efi_image.formats.pe.uefi import Machine, Role, Subsystem
from efi_image.io.source import BytesSource, FileSource

X64 = {Machine.X64}


def source(data: bytes) -> BytesSource:
    return BytesSource("x.efi", data)


def fault(data: bytes, role: Role = Role.APPLICATION) -> str:
    with pytest.raises(PeError) as caught:
        pe.check(source(data), role)
    message = str(caught.value)
    assert message.startswith("x.efi: ")
    assert message.isprintable()
    assert caught.value.exit_code == 3
    return message


@pytest.mark.parametrize("machine", list(Machine))
@pytest.mark.parametrize("subsystem", list(Subsystem))
def test_every_machine_and_subsystem(machine: Machine, subsystem: Subsystem) -> None:
    info = pe.identify(source(make_pe(machine, subsystem)))
    assert (info.machine, info.subsystem) == (machine, subsystem)


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.efi"
    path.write_bytes(make_pe())
    assert pe.check(FileSource.open(path), Role.APPLICATION).machine is Machine.X64


@pytest.mark.parametrize("subsystem", [BOOT_DRIVER, RUNTIME_DRIVER])
def test_drivers(subsystem: int) -> None:
    data = make_pe(subsystem=subsystem)
    pe.check(source(data), Role.DRIVER)
    assert "driver, not a UEFI application" in fault(data)


def test_application_is_no_driver() -> None:
    assert "is a UEFI application, not a UEFI driver" in fault(make_pe(), Role.DRIVER)


@pytest.mark.parametrize("machine", [m for m in Machine if m is not Machine.X64])
def test_other_machines(machine: Machine) -> None:
    assert pe.MACHINE_TEXT[machine] + ", not x86-64" in fault(make_pe(machine))


def test_machine_that_uefi_does_not_know() -> None:
    assert "machine 0x1f0" in fault(make_pe(0x1F0))


@pytest.mark.parametrize("subsystem", [0, 2, 3, 13])
def test_subsystem_that_is_not_uefi(subsystem: int) -> None:
    assert f"is not a UEFI program: subsystem {subsystem}" in fault(make_pe(subsystem=subsystem))


def test_relocations_stripped() -> None:
    message = fault(make_pe(characteristics=EXECUTABLE | RELOCS_STRIPPED))
    assert "relocations are stripped" in message
    assert "/FIXED" in message


def test_no_relocations_at_all_is_position_independent_code() -> None:
    pe.check(source(make_pe(reloc_size=0)), Role.APPLICATION)


def test_relocations_outside_of_the_image() -> None:
    assert "they end at 0x12000, the image at 0x3000" in fault(make_pe(reloc_size=0x10000))


def test_header_of_the_other_width() -> None:
    assert "optional header (0x10b)" in fault(make_pe(magic=0x10B))


DIRECTORIES, HEADERS, ALL_SECTIONS = 0x58 + 108, 0x58 + 60, 0x58 + 240


@pytest.mark.parametrize(
    ("offset", "number", "message"),
    [
        (DIRECTORIES, 6, "has 6 data directories, but its optional header has 128 bytes"),
        (DIRECTORIES, 17, "has 17 data directories, but its optional header has 128 bytes"),
        (HEADERS, ALL_SECTIONS + 79, "within the section table, which ends at byte 408"),
        (ALL_SECTIONS + 40 + 20, 0x80, ".reloc begins within the headers"),
        (ALL_SECTIONS + 12, 0x100, ".text begins within the headers"),
    ],
)
def test_headers_that_edk2_refuses(offset: int, number: int, message: str) -> None:
    """OVMF 2022.11 and 2026.08 refuse the first four; `verify` and `inspect` use these rules."""
    whole = bytearray(make_pe())
    struct.pack_into("<I", whole, offset, number)
    found = fault(bytes(whole))
    assert "UEFI cannot load it" in found
    assert message in found


def test_signature_table_beyond_the_end() -> None:
    assert "is truncated: it has 1536 bytes, its headers describe 8192" in fault(
        make_pe(security=(0x1000, 0x1000))
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        *((data, "is not a PE file, or is truncated") for data in (b"", b"M", b"MZ", bytes(4096))),
        (b"\x7fELF" * 100, "is an ELF file, not an EFI program"),
        (b"#!/bin/sh\n" * 20, "is a text file, not an EFI program"),
    ],
)
def test_what_is_no_pe_file(data: bytes, what: str) -> None:
    assert what in fault(data)


def test_every_truncation_is_seen() -> None:
    whole = make_pe()
    pe.check(source(whole), Role.APPLICATION)
    for size in [*range(0, 0x240, 7), *range(0x240, len(whole), 64), len(whole) - 1]:
        assert "truncated" in fault(whole[:size])


@given(st.data())
def test_damaged_files_never_crash(data: st.DataObject) -> None:
    whole = bytearray(make_pe())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, 0x1FF))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        pe.check(source(bytes(whole)), Role.APPLICATION)


# ---- name and place


@pytest.mark.parametrize("machine", list(Machine))
def test_boot_names(machine: Machine) -> None:
    path = ("EFI", "BOOT", f"BOOT{machine.name}.EFI")
    assert pe.boot_machine(path) is machine
    pe.check_place(path, source(make_pe(machine)), X64)


@pytest.mark.parametrize(
    "path",
    [("EFI", "BOOT", "GRUBX64.EFI"), ("BOOT", "BOOTX64.EFI"), ("EFI", "zpp", "BOOTX64.EFI"),
     ("EFI", "BOOT", "BOOTX64.EFI", "a"), ("EFI", "BOOT", "BOOTMIPS.EFI")],
)  # fmt: skip
def test_other_names(path: tuple[str, ...]) -> None:
    assert pe.boot_machine(path) is None


def place_fault(path: tuple[str, ...], data: bytes, machines: set[Machine]) -> str:
    with pytest.raises(PeError) as caught:
        pe.check_place(path, source(data), machines)
    return str(caught.value)


def test_machine_and_boot_name_must_agree() -> None:
    message = place_fault(("EFI", "BOOT", "BOOTAA64.EFI"), make_pe(), X64)
    assert "is for x86-64, but \\EFI\\BOOT\\BOOTAA64.EFI must be for Arm (64 bits)" in message


def test_boot_name_must_be_an_application() -> None:
    data = make_pe(subsystem=RUNTIME_DRIVER)
    assert "runtime driver" in place_fault(("EFI", "BOOT", "BOOTX64.EFI"), data, X64)


def test_boot_name_must_be_upper_case() -> None:
    message = place_fault(("efi", "boot", "bootx64.efi"), make_pe(), X64)
    assert message.endswith("name it \\EFI\\BOOT\\BOOTX64.EFI")


def test_programs_elsewhere_are_for_a_machine_of_the_image() -> None:
    path = ("EFI", "tools", "shell.efi")
    arm = make_pe(Machine.AA64)
    assert "is for Arm (64 bits), but \\EFI\\tools\\shell.efi must be for x86-64" in place_fault(
        path, arm, X64
    )
    pe.check_place(path, source(arm), {Machine.X64, Machine.AA64})
    pe.check_place(path, source(make_pe(subsystem=BOOT_DRIVER)), X64)
    assert "is a text file, not an EFI program" in place_fault(path, b"not a program", X64)


def test_other_files_may_hold_anything() -> None:
    pe.check_place(("EFI", "notes.txt"), source(b"hello"), X64)


def test_linux() -> None:
    assert pe.is_linux(source(bytes(0x202) + b"HdrS" + bytes(100)))
    assert not pe.is_linux(source(make_pe(subsystem=APPLICATION)))
    assert not pe.is_linux(source(b""))
