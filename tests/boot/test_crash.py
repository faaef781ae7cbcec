"""Crash reports of a core that is broken on purpose: they must lead to the source lines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from shutil import copy

import lief
import pytest
from harness import EPYC, HASWELL, Harness, Pc, qemu_pc

from efi_image.config.environment import load
from efi_image.debug.symbolize import build_id, symbolize

PCS = (qemu_pc(EPYC, 1), Pc(HASWELL, 1))
FRAME_SETUP = b"\x48\x89\xe5"  # mov %rsp, %rbp
UD2 = b"\x0f\x0b"
PROLOGUE_MAX = 32


def with_ud2(core: bytes, symbols: Path, function: str) -> bytes:
    """The core with an undefined instruction after the function's prologue."""
    binary = lief.ELF.parse(symbols)
    assert binary
    address = next(s.value for s in binary.symbols if function in s.demangled_name)
    start = binary.virtual_address_to_offset(address)
    assert isinstance(start, int)
    place = core.index(FRAME_SETUP, start, start + PROLOGUE_MAX) + len(FRAME_SETUP)
    return core[:place] + UD2 + core[place + len(UD2) :]


def broken_harness(harness: Harness) -> Harness:
    """A harness for a build whose core crashes when it changes the result of a CPUID."""
    folder = harness.folder / "broken"
    folder.mkdir()
    core = (harness.build_directory / "hypervisor.elf").read_bytes()
    symbols = harness.build_directory / "hypervisor.debug.elf"
    driver = (harness.build_directory / "ZppDxe.efi").read_bytes()
    assert driver.count(core) == 1
    broken = driver.replace(core, with_ud2(core, symbols, "zpp::emulate_cpuid("))
    (folder / "ZppDxe.efi").write_bytes(broken)
    copy(harness.build_directory / "ZppBoot.efi", folder)
    return replace(harness, build_directory=folder)


@pytest.mark.parametrize("pc", PCS, ids=str)
def test_report_leads_to_the_source(harness: Harness, pc: Pc) -> None:
    image = broken_harness(harness).program_image(harness.build_directory / "ZppBoot.efi")
    request = replace(harness.request(pc, image), expect=(r"^zpp: CPU 0 stopped$",))
    serial = harness.boot(request, pc.emulator).serial
    config = load()
    symbols = harness.build_directory / "hypervisor.debug.elf"
    assert f"zpp: report of build {build_id(symbols)[:12]}\n" in serial
    lines = list(symbolize(serial, symbols, config.toolchain / "llvm-symbolizer"))
    start = next(i for i, line in enumerate(lines) if "exception 6 in the host" in line)
    places = [line.strip() for line in lines[start:] if line.startswith("      ")]
    vendor = "svm" if pc.vendor == "AMD-V" else "vmx"
    assert places[0].startswith("zpp::emulate_cpuid(zpp::GuestRegisters&, ")
    assert " at src/emulate/cpuid.cpp:" in places[0]
    assert any(p.startswith(f"zpp_{vendor}_on_exit at src/{vendor}/exit.cpp:") for p in places)
    assert any(f" at src/{vendor}/entry.S:" in place for place in places)
    exits = [line for line in lines[start:] if line.startswith("zpp:   exit ")]
    assert exits
    assert all(re.fullmatch(r"zpp:   exit \d+ \([^?]+\) at rip \w+", e) for e in exits)
    assert re.search(r"exit (114|10) \(CPUID\) at rip", exits[-1])
