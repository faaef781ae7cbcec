"""If the hypervisor cannot start, the boot continues without it: machines without VT-x, AMD-V, or a
required feature."""

from __future__ import annotations

from guest_log import SIGNATURE, GuestLog, parse_log
from harness import HASWELL, Harness

from efi_image.emulator import EmulatorKind
from efi_image.emulator.request import RunRequest

VTX_WITHOUT_EPT = "core2_penryn_t9600"
AMDV_WITHOUT_NPT = "qemu64,+svm"
NO_VIRTUALIZATION = "this CPU has neither VT-x nor AMD-V"


def assert_linux_runs_bare(log: GuestLog, cpus: int, reason: str) -> None:
    assert log.virtualized == {}
    assert log.no_hypervisor == reason
    assert log.cpu_count == cpus
    assert len(log.hypervisors) == cpus
    assert not any(SIGNATURE in name for name in log.hypervisors.values())
    assert log.online == ((cpus - 1,) if cpus > 1 else ())
    assert log.failures == ()
    assert log.done


def test_model_without_vtx(harness: Harness) -> None:
    log = parse_log(
        harness.run_to_power_off(harness.bochs_request(harness.linux_image(), 4, f"{HASWELL},-vmx"))
    )
    assert_linux_runs_bare(log, 4, NO_VIRTUALIZATION)


def test_qemu_without_vtx(harness: Harness) -> None:
    request = RunRequest(harness.linux_image(), cpus=4, cpu_model="Nehalem")
    log = parse_log(harness.run_to_power_off(request, EmulatorKind.QEMU))
    assert_linux_runs_bare(log, 4, NO_VIRTUALIZATION)


def test_missing_feature_is_named(harness: Harness) -> None:
    log = parse_log(
        harness.run_to_power_off(harness.bochs_request(harness.linux_image(), 2, VTX_WITHOUT_EPT))
    )
    assert log.no_hypervisor.startswith("this CPU lacks a virtualization feature that zpp needs")
    assert_linux_runs_bare(log, 2, log.no_hypervisor)


def test_amdv_without_nested_paging(harness: Harness) -> None:
    request = RunRequest(harness.linux_image(), cpus=2, cpu_model=AMDV_WITHOUT_NPT)
    log = parse_log(harness.run_to_power_off(request, EmulatorKind.QEMU))
    reason = "this CPU lacks a virtualization feature that zpp needs (nested paging)"
    assert_linux_runs_bare(log, 2, reason)


def test_hypervisor_turned_off(harness: Harness) -> None:
    log = parse_log(
        harness.run_to_power_off(harness.bochs_request(harness.linux_image(hypervisor=False), 2))
    )
    assert_linux_runs_bare(log, 2, "turned off in \\EFI\\zpp\\zpp.conf")
