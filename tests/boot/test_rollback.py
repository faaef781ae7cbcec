"""Failed launches: on one CPU, which rolls back all CPUs, and on the first CPU, while an NMI is
pending. The machine keeps running."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gdb_session import VMCB, Session
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


def test_failed_launch_loses_no_nmi(harness: Harness) -> None:
    """The CPU refuses the first VMRUN while an NMI is pending, and the firmware gets the NMI."""
    request = replace(
        harness.request(qemu_pc(EPYC, 1), harness.linux_image()),
        expect=("X64 Exception Type - 02",),
    )
    session = Session(harness, request, stopped=True)
    spoil = f"set variable {VMCB}->asid = 0"
    output = session.gdb(
        "zwait", "thbreak zpp_svm_run", "continue", "set language c++", spoil, "monitor nmi",
        "thbreak zpp::leave", "continue", "delete", "detach",
    )  # fmt: skip
    session.finish()
    launch, leave = output["continue"]
    assert "zpp_svm_run" in launch
    assert output.first(spoil) == output.first("monitor nmi") == ""
    assert "zpp::leave" in leave  # only a CPU whose launch failed comes there, or one given back
