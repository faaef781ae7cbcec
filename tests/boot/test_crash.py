"""A crash report of the core, brought about by a debugger, and its source lines."""

from __future__ import annotations

from dataclasses import replace

from gdb_session import Session
from lab import Lab, qemu

from efi_image.config import load
from efi_image.symbolize import symbolize


def test_report_leads_to_the_source(lab: Lab) -> None:
    pc = qemu("EPYC,+svm", 1)
    request = replace(lab.on(pc, lab.linux()), expect=(r"^zpp: CPU 0 stopped$",))
    session = Session(lab, request, stopped=True)
    # at the function's start RDI is its argument; no page can have this address
    session.gdb(
        "zwait", "zstartl", "break *zpp::emulate_cpuid", "continue", "delete",
        "set $rdi = 0x8000000000000000", "detach",
    )  # fmt: skip
    serial = session.finish()
    config = load()
    symbols = config.build_directory / "hypervisor.debug.elf"
    lines = list(symbolize(serial, symbols, config.toolchain / "llvm-symbolizer"))
    start = next(i for i, line in enumerate(lines) if "exception 13 in the host" in line)
    places = [line.strip() for line in lines[start:] if line.startswith("      ")]
    assert places[0].startswith("zpp::emulate_cpuid(zpp::GuestRegisters&, ")
    assert " at src/emulate_cpuid.cpp:" in places[0]
    assert any(place.startswith("zpp_svm_on_exit at src/svm/exit.cpp:") for place in places)
    assert " at src/svm/entry.S:" in places[-1]
