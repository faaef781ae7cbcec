"""A launch that fails on one CPU is rolled back on all of them, and the machine goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lab import HASWELL, Lab

VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$"


@pytest.mark.parametrize("cpus", [1, 3])
def test_launch_is_rolled_back(lab: Lab, cpus: int) -> None:
    program = lab.build_directory / "ZppRollbackTest.efi"
    image = lab.program(program, hypervisor=False, cmdline="")
    serial = lab.boot(replace(lab.machine(image, cpus, HASWELL), expect=(VERDICT,))).serial
    assert "ZPP-TEST: PASS" in serial, serial
