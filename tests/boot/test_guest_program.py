"""The EFI test program: what each CPU must see under zpp, and the same on a bare machine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from lab import HASWELL, SKYLAKE, Lab

VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$"


def verdict(lab: Lab, cpus: int, model: str, *, hypervisor: bool) -> str:
    program: Path = lab.build_directory / "ZppGuestTest.efi"
    words = f"expect={'vtx' if hypervisor else 'bare'} cpus={cpus}"
    image = lab.program(program, hypervisor=hypervisor, cmdline=words)
    serial = lab.boot(replace(lab.machine(image, cpus, model), expect=(VERDICT,))).serial
    found = re.search(VERDICT, serial, re.MULTILINE)
    assert found is not None
    return "\n".join([found[1], *re.findall(r"^FAIL: .+$", serial, re.MULTILINE)])


@pytest.mark.parametrize(
    ("model", "cpus"), [(HASWELL, 4), (HASWELL, 3), (HASWELL, 2), (HASWELL, 1), (SKYLAKE, 4)]
)
def test_guest_on_the_hypervisor(lab: Lab, model: str, cpus: int) -> None:
    assert verdict(lab, cpus, model, hypervisor=True) == "PASS"


def test_same_checks_on_the_bare_machine(lab: Lab) -> None:
    assert verdict(lab, 2, HASWELL, hypervisor=False) == "PASS"
