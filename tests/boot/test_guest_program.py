"""The EFI test program: what each CPU sees under zpp, and the same checks on a bare machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from harness import AMDV, EPYC, HASWELL, RYZEN, VTX, Harness, Pc, qemu_pc

from efi_image.emulator import Debug, EmulatorKind

EXPECTED = {"Intel VT-x": "vtx", "AMD-V": "amdv"}
VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$"


def verdict(
    harness: Harness, pc: Pc, *, hypervisor: bool, words: str = "", extra: tuple[str, ...] = ()
) -> str:
    program: Path = harness.build_directory / "ZppGuestTest.efi"
    expected = EXPECTED[pc.vendor] if hypervisor else "bare"
    breakpoints = int(pc.emulator is EmulatorKind.QEMU)  # Bochs repeats one without end
    cmdline = f"expect={expected} cpus={pc.cpus} breakpoints={breakpoints} {words}".strip()
    visible = "visible=1" in words
    image = harness.program_image(program, hypervisor=hypervisor, visible=visible, cmdline=cmdline)
    request = replace(harness.request(pc, image), expect=(VERDICT,), debug=Debug(extra=extra))
    serial = harness.boot(request, pc.emulator).serial
    found = re.search(VERDICT, serial, re.MULTILINE)
    assert found is not None
    return "\n".join([found[1], *re.findall(r"^FAIL: .+$", serial, re.MULTILINE)])


@pytest.mark.parametrize("pc", [*VTX, *AMDV], ids=str)
def test_guest_on_the_hypervisor(harness: Harness, pc: Pc) -> None:
    assert verdict(harness, pc, hypervisor=True) == "PASS"


@pytest.mark.parametrize("pc", [Pc(HASWELL, 2), qemu_pc(EPYC, 2)], ids=str)
def test_guest_sees_a_visible_hypervisor(harness: Harness, pc: Pc) -> None:
    assert verdict(harness, pc, hypervisor=True, words="visible=1") == "PASS"


@pytest.mark.parametrize("pc", [Pc(HASWELL, 4), Pc(f"{RYZEN},+x2apic", 4, vendor="AMD-V")], ids=str)
def test_guest_in_x2apic_mode(harness: Harness, pc: Pc) -> None:
    assert verdict(harness, pc, hypervisor=True, words="x2apic=1") == "PASS"


def test_missing_msrs_fault_as_on_hardware(harness: Harness) -> None:
    strict = ("cpu: ignore_bad_msrs=0",)  # by default Bochs allows every access
    words = "strict-msrs=1"
    assert verdict(harness, Pc(HASWELL, 1), hypervisor=True, words=words, extra=strict) == "PASS"


@pytest.mark.parametrize("pc", [Pc(HASWELL, 2), qemu_pc(EPYC, 2)], ids=str)
def test_same_checks_on_the_bare_machine(harness: Harness, pc: Pc) -> None:
    assert verdict(harness, pc, hypervisor=False) == "PASS"
