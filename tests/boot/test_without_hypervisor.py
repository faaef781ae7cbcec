"""zpp gives up on the hypervisor, never on the boot: the same image where VT-x or AMD-V, or a
feature of theirs, is missing."""

from __future__ import annotations

from lab import HASWELL, Lab
from view import SIGNATURE, View, read

from efi_image.emulator import EmulatorKind
from efi_image.emulator.base import RunRequest

VTX_WITHOUT_EPT = "core2_penryn_t9600"
AMDV_WITHOUT_NPT = "qemu64,+svm"
NO_VIRTUALIZATION = "this CPU has neither VT-x nor AMD-V"


def assert_linux_is_bare(view: View, cpus: int, reason: str) -> None:
    assert view.held == {}
    assert view.no_hypervisor == reason
    assert view.cpus == cpus
    assert len(view.seen) == cpus
    assert not any(SIGNATURE in name for name in view.seen.values())
    assert view.online == ((cpus - 1,) if cpus > 1 else ())
    assert view.failures == ()
    assert view.done


def test_model_without_vtx(lab: Lab) -> None:
    view = read(lab.power_off(lab.machine(lab.linux(), 4, f"{HASWELL},-vmx")))
    assert_linux_is_bare(view, 4, NO_VIRTUALIZATION)


def test_qemu_without_vtx(lab: Lab) -> None:
    request = RunRequest(lab.linux(), cpus=4, cpu_model="Nehalem")
    view = read(lab.power_off(request, EmulatorKind.QEMU))
    assert_linux_is_bare(view, 4, NO_VIRTUALIZATION)


def test_missing_feature_is_named(lab: Lab) -> None:
    view = read(lab.power_off(lab.machine(lab.linux(), 2, VTX_WITHOUT_EPT)))
    assert view.no_hypervisor.startswith("this CPU lacks a virtualization feature that zpp needs")
    assert_linux_is_bare(view, 2, view.no_hypervisor)


def test_amdv_without_nested_paging(lab: Lab) -> None:
    request = RunRequest(lab.linux(), cpus=2, cpu_model=AMDV_WITHOUT_NPT)
    view = read(lab.power_off(request, EmulatorKind.QEMU))
    reason = "this CPU lacks a virtualization feature that zpp needs (nested paging)"
    assert_linux_is_bare(view, 2, reason)


def test_switched_off(lab: Lab) -> None:
    view = read(lab.power_off(lab.machine(lab.linux(hypervisor=False), 2)))
    assert_linux_is_bare(view, 2, "\\EFI\\zpp\\zpp.conf says off")
