"""A launch that fails on one CPU is rolled back on all CPUs, and the machine keeps running."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness import EPYC, HASWELL, RYZEN, Harness, Pc, qemu_pc

VERDICT = r"^ZPP-TEST: (PASS|FAIL.*)$"


@pytest.mark.parametrize(
    "pc", [Pc(HASWELL, 1), Pc(HASWELL, 3), Pc(RYZEN, 3), qemu_pc(EPYC, 4)], ids=str
)
def test_launch_is_rolled_back(harness: Harness, pc: Pc) -> None:
    program = harness.build_directory / "ZppRollbackTest.efi"
    image = harness.program_image(program, hypervisor=False, cmdline="")
    serial = harness.boot(
        replace(harness.request(pc, image), expect=(VERDICT,)), pc.emulator
    ).serial
    assert "ZPP-TEST: PASS" in serial, serial
