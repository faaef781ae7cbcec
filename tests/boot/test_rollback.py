"""A launch that fails on one CPU is rolled back on all of them, and the machine goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lab import EPYC, HASWELL, RYZEN, Lab, Pc, qemu

VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$"


@pytest.mark.parametrize(
    "pc", [Pc(HASWELL, 1), Pc(HASWELL, 3), Pc(RYZEN, 3), qemu(EPYC, 4)], ids=str
)
def test_launch_is_rolled_back(lab: Lab, pc: Pc) -> None:
    program = lab.build_directory / "ZppRollbackTest.efi"
    image = lab.program(program, hypervisor=False, cmdline="")
    serial = lab.boot(replace(lab.on(pc, image), expect=(VERDICT,)), pc.engine).serial
    assert "ZPP-TEST: PASS" in serial, serial
