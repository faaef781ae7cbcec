"""`run --trace` and `run --explain`: the trace agrees with the core's own exit statistics.

The guest program ZppTraceTest causes known exits, then reads the statistics by hypercalls, each of
which is in the trace, too: there the counts must be equal.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
from harness import EPYC, HASWELL, RYZEN, Harness, Pc, qemu_pc
from test_crash import broken_harness

from efi_image.cli.main import main
from efi_image.debug.trace_image import traced_copy
from efi_image.emulator import EmulatorKind
from efi_image.emulator.request import TRACE_PORT
from efi_image.formats.vm_trace import Trace, Vendor, VmExit, read_trace

REASONS = 192  # as the program asks
ROUNDS = 5
NESTED_PAGE_FAULT, ITS_COUNTER = 0x400, 0xA8  # zpp/hypercall.h
EXIT_COUNT, COMMIT = 0x7A7070 << 32 | 2, 0x7A7070 << 32 | 7
NMI = 0x61  # AMD-V
HYPERCALL = {Vendor.VTX: 18, Vendor.AMDV: 0x81}
CPUID = {Vendor.VTX: 10, Vendor.AMDV: 0x72}
RDMSR = {Vendor.VTX: (31, 0x3A), Vendor.AMDV: (0x7C, 0xC0010114)}
LEAF = 0x16


def counter(vendor: Vendor, exit_: VmExit) -> tuple[int, int]:
    number = exit_.reason & 0xFFFF
    is_fault = vendor is Vendor.AMDV and number == NESTED_PAGE_FAULT
    return exit_.cpu, ITS_COUNTER if is_fault else number


def counts_at_the_hypercalls(trace: Trace) -> dict[tuple[int, int], int]:
    """The trace's count for each CPU and reason when the program asks for it."""
    vendor = trace.start.vendor
    so_far: Counter[tuple[int, int]] = Counter()
    asked: dict[tuple[int, int], int] = {}
    for exit_ in trace.exits():
        so_far[counter(vendor, exit_)] += 1
        if exit_.reason == HYPERCALL[vendor] and exit_.operand == EXIT_COUNT:
            key = divmod(len(asked), REASONS)
            assert exit_.ecx == key[1]
            asked[key] = so_far[key]
    return {key: count for key, count in asked.items() if count}


@pytest.mark.parametrize(
    "pc", [qemu_pc(EPYC, 2), Pc(HASWELL, 2), Pc(RYZEN, 2, vendor="AMD-V")], ids=str
)
def test_trace_agrees_with_the_core(
    harness: Harness, pc: Pc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = harness.program_image(harness.build_directory / "ZppTraceTest.efi")
    before = hashlib.sha256(image.read_bytes()).digest()
    file = tmp_path / "boot.trace"
    words = ["--emulator", pc.emulator.value, "--cpus", str(pc.cpus), "--cpu-model", pc.model]
    words += ["--trace", str(file), "--explain", "--timeout", "300", "--log", str(harness.log)]
    words += ["--expect", "^ZPP-TEST: PASS$", "--until-power-off"]
    assert main(["run", str(image), *words]) == 0
    told = capsys.readouterr().err
    assert hashlib.sha256(image.read_bytes()).digest() == before

    serial = harness.log.read_text()
    lines = re.findall(r"^count (\d+) (\d+) (\d+)$", serial, re.MULTILINE)
    counts = {(int(cpu), int(reason)): int(count) for cpu, reason, count in lines}
    trace = read_trace(file)
    assert trace.start.vendor.title == pc.vendor
    assert trace.start.cpu_count == pc.cpus
    assert counts == counts_at_the_hypercalls(trace)

    vendor = trace.start.vendor
    reason, msr = RDMSR[vendor]
    exits = list(trace.exits())
    for cpu in range(pc.cpus):
        of_cpu = [exit_ for exit_ in exits if exit_.cpu == cpu]
        assert sum(e.reason == CPUID[vendor] and e.eax == LEAF for e in of_cpu) == ROUNDS
        assert sum(e.reason == reason and e.ecx == msr for e in of_cpu) == ROUNDS
        assert {e.mode for e in of_cpu if e.eax == LEAF} == {4}

    assert f"zpp-image: zpp 0.1.0 runs the machine with {pc.vendor}\n" in told
    assert told.count("CPUID: leaf 0x16, CPU frequencies (at ") == 1
    assert f"zpp-image: {len(exits)} VM exits:\n" in told


def test_last_exit_before_a_crash_is_kept(harness: Harness, tmp_path: Path) -> None:
    """The core crashes in the commit, stops all CPUs, resets the machine; the trace continues."""
    broken = broken_harness(harness, "zpp::unmap(")
    image = broken.image(kernel=harness.build_directory / "ZppBoot.efi", reset_after=1)
    file = tmp_path / "boot.trace"
    words = ["--emulator", "qemu", "--cpus", "4", "--cpu-model", EPYC, "--timeout", "300"]
    words += ["--expect", r"zpp: reset in 1 s(?s:.*)reset in 1 s", "--log", str(harness.log)]
    words += ["--no-verdicts"]
    assert main(["run", str(image), *words, "--trace", str(file)]) == 0
    first = harness.log.read_text().split("zpp: reset in 1 s")[0]
    assert "does not stop" not in first
    trace = read_trace(file)
    exits = list(trace.exits())
    commits = [n for n, exit_ in enumerate(exits) if exit_.operand == COMMIT]
    assert len(commits) == 2
    # afterwards only the NMIs that stop the other CPUs
    assert {exit_.reason for exit_ in exits[commits[1] + 1 :]} <= {NMI}
    assert exits[commits[1]].ticks > exits[commits[0]].ticks  # across the reset


def test_core_does_not_write_to_a_port_without_a_debug_port(
    harness: Harness, tmp_path: Path
) -> None:
    image = harness.program_image(harness.build_directory / "ZppTraceTest.efi")
    copy = traced_copy(image, tmp_path, TRACE_PORT)
    serial = harness.run_to_power_off(harness.request(qemu_pc(EPYC, 1), copy), EmulatorKind.QEMU)
    assert "zpp: no trace: there is no debug port at 0xe9" in serial
    assert "ZPP-TEST: PASS" in serial
