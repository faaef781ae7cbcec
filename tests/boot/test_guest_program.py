"""The EFI test program: what each CPU must see under zpp, and the same on a bare machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from lab import AMDV, EPYC, HASWELL, RYZEN, VTX, Lab, Pc, qemu

from efi_image.emulator import Debug

EXPECTED = {"Intel VT-x": "vtx", "AMD-V": "amdv"}
VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$"


def verdict(
    lab: Lab, pc: Pc, *, hypervisor: bool, words: str = "", extra: tuple[str, ...] = ()
) -> str:
    program: Path = lab.build_directory / "ZppGuestTest.efi"
    expected = EXPECTED[pc.vendor] if hypervisor else "bare"
    cmdline = f"expect={expected} cpus={pc.cpus} {words}".strip()
    image = lab.program(program, hypervisor=hypervisor, cmdline=cmdline)
    request = replace(lab.on(pc, image), expect=(VERDICT,), debug=Debug(extra=extra))
    serial = lab.boot(request, pc.engine).serial
    found = re.search(VERDICT, serial, re.MULTILINE)
    assert found is not None
    return "\n".join([found[1], *re.findall(r"^FAIL: .+$", serial, re.MULTILINE)])


@pytest.mark.parametrize("pc", [*VTX, *AMDV], ids=str)
def test_guest_on_the_hypervisor(lab: Lab, pc: Pc) -> None:
    assert verdict(lab, pc, hypervisor=True) == "PASS"


@pytest.mark.parametrize("pc", [Pc(HASWELL, 4), Pc(f"{RYZEN},+x2apic", 4, vendor="AMD-V")], ids=str)
def test_guest_in_x2apic_mode(lab: Lab, pc: Pc) -> None:
    assert verdict(lab, pc, hypervisor=True, words="x2apic=1") == "PASS"


def test_missing_msrs_fault_as_on_hardware(lab: Lab) -> None:
    strict = ("cpu: ignore_bad_msrs=0",)  # Bochs's default is to let every access through
    words = "strict-msrs=1"
    assert verdict(lab, Pc(HASWELL, 1), hypervisor=True, words=words, extra=strict) == "PASS"


@pytest.mark.parametrize("pc", [Pc(HASWELL, 2), qemu(EPYC, 2)], ids=str)
def test_same_checks_on_the_bare_machine(lab: Lab, pc: Pc) -> None:
    assert verdict(lab, pc, hypervisor=False) == "PASS"
