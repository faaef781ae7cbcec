"""Debian's kernel on the hypervisor, on Bochs and QEMU with OVMF."""

from __future__ import annotations

import pytest
from guest_log import SIGNATURE, GuestLog, parse_boots, parse_log
from harness import AMDV, EPYC, HASWELL, RYZEN, VTX, Harness, Pc, qemu_pc

from efi_image import __version__

VERSION = f"{SIGNATURE} version {__version__}"
# The kernel reports these on the bare emulators, too.
KNOWN_PROBLEMS = (
    "TSC_DEADLINE disabled",
    "perfctr msr",
    # Linux waits 50 ms for 5 ticks, which QEMU may not get on a busy machine.
    "MP-BIOS bug: 8254 timer not connected to IO-APIC",
)


def assert_zpp_runs_on_every_cpu(log: GuestLog, pc: Pc) -> None:
    every = range(pc.cpus)
    assert log.virtualized == dict.fromkeys(every, pc.vendor)
    assert log.no_hypervisor == ""
    assert log.cpu_count == pc.cpus
    assert log.hypervisors == dict.fromkeys(every, VERSION)


def assert_linux_ran_well(log: GuestLog) -> None:
    assert log.failures == ()
    unknown = [p for p in log.kernel_problems if not any(known in p for known in KNOWN_PROBLEMS)]
    assert unknown == []
    assert log.done


def assert_last_cpu_came_online_again(log: GuestLog, hypervisor: str) -> None:
    last = log.cpu_count - 1
    assert log.offline == (last,)
    assert log.online == (last,)
    assert log.hypervisors_again == {last: hypervisor}


@pytest.mark.parametrize("pc", [*VTX, *AMDV], ids=str)
def test_linux_runs_on_every_cpu(harness: Harness, pc: Pc) -> None:
    log = parse_log(
        harness.run_to_power_off(harness.request(pc, harness.linux_image()), pc.emulator)
    )
    assert_zpp_runs_on_every_cpu(log, pc)
    assert_linux_ran_well(log)
    if pc.cpus > 1:
        assert_last_cpu_came_online_again(log, VERSION)


@pytest.mark.parametrize("pc", [Pc(HASWELL, 4), qemu_pc(EPYC, 4)], ids=str)
def test_build_without_optimization(harness: Harness, pc: Pc) -> None:
    log = parse_log(
        harness.run_to_power_off(
            harness.request(pc, harness.linux_image(driver="unoptimized")), pc.emulator
        )
    )
    assert_zpp_runs_on_every_cpu(log, pc)
    assert_linux_ran_well(log)
    assert_last_cpu_came_online_again(log, VERSION)


@pytest.mark.parametrize("pc", [Pc(HASWELL, 4), qemu_pc(EPYC, 4)], ids=str)
def test_stress(harness: Harness, pc: Pc) -> None:
    serial = harness.run_to_power_off(
        harness.request(pc, harness.linux_image("zpp.stress=5")), pc.emulator
    )
    assert_zpp_runs_on_every_cpu(parse_log(serial), pc)
    assert_linux_ran_well(parse_log(serial))
    assert serial.count("stress: ") == pc.cpus
    assert "wrong result" not in serial


@pytest.mark.parametrize("pc", [Pc(HASWELL, 2), qemu_pc(EPYC, 2)], ids=str)
def test_reboot(harness: Harness, pc: Pc) -> None:
    image = harness.linux_image("zpp.action=reboot zpp.offline=0")
    first, second = parse_boots(harness.run_to_power_off(harness.request(pc, image), pc.emulator))
    for log in (first, second):
        assert_zpp_runs_on_every_cpu(log, pc)
        assert log.failures == ()
    assert_linux_ran_well(second)


@pytest.mark.parametrize("pc", [qemu_pc(EPYC, 2), Pc(RYZEN, 1, vendor="AMD-V")], ids=str)
def test_memory_encryption_that_is_not_there(harness: Harness, pc: Pc) -> None:
    image = harness.linux_image("mem_encrypt=on")
    log = parse_log(harness.run_to_power_off(harness.request(pc, image), pc.emulator))
    assert_zpp_runs_on_every_cpu(log, pc)
    assert_linux_ran_well(log)
