"""Crash reports of a core that is broken on purpose, and their source lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import copy

import lief
import pytest
from lab import EPYC, HASWELL, Lab, Pc, qemu

from efi_image.config.environment import load
from efi_image.debug.symbolize import build_id, symbolize

PCS = (qemu(EPYC, 1), Pc(HASWELL, 1))
FRAME_IS_SET_UP = b"\x48\x89\xe5"  # mov %rsp, %rbp
UD2 = b"\x0f\x0b"
LONGEST_PROLOGUE = 32


def with_ud2(core: bytes, symbols: Path, function: str) -> bytes:
    """The core with an undefined instruction behind the function's prologue."""
    binary = lief.ELF.parse(symbols)
    assert binary
    address = next(s.value for s in binary.symbols if function in s.demangled_name)
    start = binary.virtual_address_to_offset(address)
    assert isinstance(start, int)
    place = core.index(FRAME_IS_SET_UP, start, start + LONGEST_PROLOGUE) + len(FRAME_IS_SET_UP)
    return core[:place] + UD2 + core[place + len(UD2) :]


def broken_lab(lab: Lab) -> Lab:
    """The build with a core that crashes when it changes the result of a CPUID."""
    folder = lab.folder / "broken"
    folder.mkdir()
    core = (lab.build_directory / "hypervisor.elf").read_bytes()
    symbols = lab.build_directory / "hypervisor.debug.elf"
    driver = (lab.build_directory / "ZppDxe.efi").read_bytes()
    assert driver.count(core) == 1
    broken = driver.replace(core, with_ud2(core, symbols, "zpp::emulate_cpuid("))
    (folder / "ZppDxe.efi").write_bytes(broken)
    copy(lab.build_directory / "ZppBoot.efi", folder)
    return replace(lab, build_directory=folder)


@pytest.mark.parametrize("pc", PCS, ids=str)
def test_report_leads_to_the_source(lab: Lab, pc: Pc) -> None:
    image = broken_lab(lab).program(lab.build_directory / "ZppBoot.efi")
    request = replace(lab.on(pc, image), expect=(r"^zpp: CPU 0 stopped$",))
    serial = lab.boot(request, pc.engine).serial
    config = load()
    symbols = lab.build_directory / "hypervisor.debug.elf"
    assert f"zpp: report of build {build_id(symbols)[:12]}\n" in serial
    lines = list(symbolize(serial, symbols, config.toolchain / "llvm-symbolizer"))
    start = next(i for i, line in enumerate(lines) if "exception 6 in the host" in line)
    places = [line.strip() for line in lines[start:] if line.startswith("      ")]
    vendor = "svm" if pc.vendor == "AMD-V" else "vmx"
    assert places[0].startswith("zpp::emulate_cpuid(zpp::GuestRegisters&, ")
    assert " at src/emulate/cpuid.cpp:" in places[0]
    assert any(p.startswith(f"zpp_{vendor}_on_exit at src/{vendor}/exit.cpp:") for p in places)
    assert any(f" at src/{vendor}/entry.S:" in place for place in places)
