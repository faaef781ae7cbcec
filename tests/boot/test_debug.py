"""Debugs the core in gdb, on QEMU's AMD-V: the wait loop and breakpoints in the exit handlers; then
Linux must still run until its power-off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gdb_session import VMCB, WAITING, Output, Session
from guest_log import parse_log
from harness import EPYC, Harness, Pc, qemu_pc
from test_linux import assert_linux_ran_well, assert_zpp_runs_on_every_cpu

ONE, TWO = qemu_pc(EPYC, 1), qemu_pc(EPYC, 2)
TRAMPOLINE = "x/1xb zpp::machine.info_->trampoline_start"


def another_build(harness: Harness) -> Path:
    """A copy of the symbols with another build ID."""
    data = bytearray((harness.build_directory / "hypervisor.debug.elf").read_bytes())
    data[data.index(b"GNU\0") + 4] ^= 1
    path = harness.folder / "another.debug.elf"
    path.write_bytes(data)
    return path


def assert_linux_finished(serial: str, pc: Pc) -> None:
    log = parse_log(serial)
    assert_zpp_runs_on_every_cpu(log, pc)
    assert_linux_ran_well(log)


def registers_of(backtrace: str) -> dict[str, int]:
    """The guest's registers, from the output of zbt."""
    return {name: int(value, 16) for name, value in re.findall(r"(r\w+) +(0x\w{16})", backtrace)}


# other words for `continue`, which tell the stops apart
STOPS = ("fg",) * 12

WAIT_LOOP = (
    "zvcpu", "print $rip", "zstartl", "backtrace 2", "zlog",
    # the general exit handler; `break` takes a hardware breakpoint in the core's code
    "break zpp::emulate_cpuid", "set debug remote 1", "stepi", "set debug remote 0", "continue",
    "info args", "print/x registers.rax", "zbt", "zcontrol", f"print/x {VMCB}->rip", "next",
    "next", "print/x leaf", "finish", f"print/x {VMCB}->exit_code", "step", "step", "step", "step",
    "znpt 0xfee00000", "znpt 0x1000000", "zept 0", "znpt", "zvcpu", "zvcpu 0", "zvcpu 2", "delete",
    "zexits 0", "zcpuid", *STOPS, "zexits 0", "delete",
    # the fast exit handler
    "hbreak zpp_svm_on_fast_exit", "info breakpoints", "continue", "print/x registers.rcx", "zbt",
    "zexits", "delete", "info breakpoints", "detach",
)  # fmt: skip


def assert_wait_loop(output: Output) -> None:
    assert "the core is not known yet: zstartl or zwait comes first" in output.first("zvcpu")
    assert "0xffffa000000" in output.first("print $rip")
    lines = output.first("zstartl").splitlines()
    assert lines[0].startswith("zpp: the core is at 0xffffa00000000000, symbols from ")
    assert re.search(r"prepare \(info=0xffffa000000\w+\) at .*src/core/main.cpp:\d+$", lines[-2])
    assert "find_vendor()" in lines[-1]  # the source line after the wait loop
    assert "zpp_core_entry" in output.first("backtrace 2").splitlines()[1]
    assert output.first("zlog") == WAITING


def assert_general_handler(output: Output) -> None:
    assert "$Z1,ffffa000000" in output.first("stepi")
    assert "$Z0," not in output.first("stepi")
    assert re.search(
        r"hit Breakpoint 1, zpp::emulate_cpuid .*emulate/cpuid.cpp", output["continue"][0]
    )
    assert re.search(r"rax = \d+", output.first("info args"))
    rax = int(output.first("print/x registers.rax").split(" = ")[1], 16)
    assert rax == 0x40000001  # the loader asks the core for its version
    assert output.first("print/x leaf").endswith(f"= {rax:#x}")
    assert "x86::cpuid(leaf, subleaf)" in output["next"][1]
    assert "zpp::handle_exit<zpp::svm::Guest> (guest=" in output.first("finish")
    assert output.first(f"print/x {VMCB}->exit_code").endswith(" = 0x72")
    assert "apply<zpp::svm::Guest> (guest=" in "".join(output["step"])


def assert_stops_at_each_cpuid(output: Output) -> None:
    counts = [int(re.findall(r"(\d+) cpuid", text)[0]) for text in output["zexits 0"]]
    assert counts[1] - counts[0] == len(STOPS)  # none is missed
    stops = [re.findall(r"hit Breakpoint \S+, (zpp::\w+)", text) for text in output["fg"]]
    assert {name for (name,) in stops} - {"zpp::emulate_cpuid"} == {"zpp::fast_cpuid"}


def assert_backtrace(text: str, first: str) -> None:
    """Frames from the handler through the exit stub to the core's entry, then the guest."""
    frames = [line for line in text.splitlines() if re.match(r"#\d", line)]
    assert first in frames[0]
    assert any("zpp_svm_run () at" in line and "entry.S" in line for line in frames)
    assert "zpp_core_entry (call=0xffffa000000" in frames[-1]
    assert "??" not in "".join(frames)
    assert "-- VM exit of CPU 0's guest --" in text


def assert_structures(output: Output) -> None:
    rip = output.first(f"print/x {VMCB}->rip").split(" = ")[1]
    control = output.first("zcontrol")
    assert "exit 0x72 cpuid" in control
    assert f"rip {rip} " in control
    assert "intercepts: NMI SMI INIT CR0 CPUID" in control
    assert output.first("znpt 0xfee00000").splitlines()[-1].endswith("r-x -> 0xfee00000 page")
    assert output.first("znpt 0x1000000").splitlines()[-1].endswith("rwx -> 0x1000000 page")
    assert "this machine has no EPT: znpt" in output.first("zept 0")
    assert "expected a guest-physical address" in output.first("znpt")
    cpus = output["zvcpu"][1].splitlines()
    assert re.fullmatch(r"CPU 0: APIC ID 0, [1-9]\d* VM exits, .* launched entered", cpus[0])
    assert re.fullmatch(r"CPU 1: APIC ID 1, 0 VM exits, .* not launched", cpus[1])
    assert f"exit 0x72 cpuid at rip {rip}" in output.first("zvcpu 0")
    assert "0 to 1" in output.first("zvcpu 2")
    assert re.search(r"CPU 0\n +[1-9]\d* cpuid \(0x72\)\n", output.first("zexits") + "\n")


def test_wait_loop_to_power_off(harness: Harness) -> None:
    session = Session(harness, harness.request(TWO, harness.linux_image(driver="waiting")))
    output = session.gdb(*WAIT_LOOP, when=WAITING)
    serial = session.finish()
    assert_wait_loop(output)
    assert_general_handler(output)
    general, fast = output["zbt"]
    assert_backtrace(general, "zpp::emulate_cpuid")
    assert registers_of(general)["rax"] == 0x40000001
    assert_structures(output)
    assert_stops_at_each_cpuid(output)
    assert "hw breakpoint" in output["info breakpoints"][0]
    assert re.search(r"hit Breakpoint \d+, zpp_svm_on_fast_exit", output["continue"][1])
    assert_backtrace(fast, "zpp_svm_on_fast_exit")
    rcx = int(output.first("print/x registers.rcx").split(" = ")[1], 16)
    assert registers_of(fast)["rcx"] == rcx
    assert output["info breakpoints"][1] == "No breakpoints or watchpoints."
    assert_linux_finished(serial, TWO)


@pytest.fixture
def reset_vector(harness: Harness) -> Session:
    """A machine stopped at its first instruction, as `run --debug` starts it."""
    return Session(harness, harness.request(ONE, harness.linux_image()), stopped=True)


def test_from_reset_without_wait_loop(reset_vector: Session, harness: Harness) -> None:
    install = (
        "python import pathlib, zpp_debug.commands as c; "
        f"c.install(*[pathlib.Path({str(another_build(harness))!r})] * 3)"
    )
    output = reset_vector.gdb(
        "zstartl", "zwait", install, "zstartl", f"source {reset_vector.scripts}/zpp_gdb.py",
        "zstartl", "zwait", "zbt", "zwait", "zbt",
        # stop in the guest after its CPUID: the core is not in the CPU's page tables
        f"thbreak zpp_svm_on_fast_exit if {VMCB}->exit_code == 0x72", "continue",
        f"thbreak *({VMCB}->rip + 2)", "continue", "zbt", "zvcpu", "zstartl",
        # the loader's trampoline before the commit, which unmaps it, and after
        "thbreak zpp_svm_on_fast_exit if !zpp::machine.committed_", "continue", TRAMPOLINE,
        "thbreak zpp_svm_on_exit if zpp::machine.committed_", "continue", TRAMPOLINE,
        "delete", "detach",
    )  # fmt: skip
    serial = reset_vector.finish()
    at_reset, wrong_build, started, in_guest = output["zstartl"]
    assert re.search(r"zstartl: the instruction pointer 0x\w+ is not in the core", at_reset)
    assert re.search(r"core at 0xffffa00000000000 is build \w{12}, the symbols in ", wrong_build)
    assert "the core is at 0xffffa00000000000" in started
    prepare, launch, vm_exit = output["zwait"]
    assert "zpp_core_entry (call=0xffffa000000" in prepare
    assert "zpp_core_entry (call=0xffffa000000" in launch
    assert "zpp_svm_on_fast_exit" in vm_exit
    launching, leaving, guest = output["zbt"]
    assert "no VM exit is being handled" in launching
    assert_backtrace(leaving, "zpp_svm_on_fast_exit")
    assert "is not in the core: `backtrace` shows the guest" in guest
    assert re.search(r"CPU 0: APIC ID 0, \d+ VM exits, .* launched", output.first("zvcpu"))
    assert re.search(r"0x\w+ is not in the core", in_guest)
    before, after = output[TRAMPOLINE]
    assert "0x55" in before  # push %rbp
    assert "Cannot access memory" in after
    assert_linux_finished(serial, ONE)
