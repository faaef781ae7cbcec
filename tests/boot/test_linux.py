"""Debian's kernel on the hypervisor, on Bochs and QEMU with OVMF."""

from __future__ import annotations

import pytest
from lab import AMDV, EPYC, HASWELL, VTX, Lab, Pc, qemu
from view import SIGNATURE, View, read, starts

from efi_image import __version__

VERSION = f"{SIGNATURE} version {__version__}"
# What the kernel complains about on the bare models of the emulators, too.
KNOWN_PROBLEMS = (
    "TSC_DEADLINE disabled",
    "perfctr msr",
    # Linux waits 50 ms for 5 ticks; an overloaded machine gives QEMU less time than that.
    "MP-BIOS bug: 8254 timer not connected to IO-APIC",
)


def assert_every_cpu_is_held(view: View, pc: Pc) -> None:
    every = range(pc.cpus)
    assert view.held == dict.fromkeys(every, pc.vendor)
    assert view.no_hypervisor == ""
    assert view.cpus == pc.cpus
    assert view.seen == dict.fromkeys(every, VERSION)


def assert_linux_is_well(view: View) -> None:
    assert view.failures == ()
    unknown = [p for p in view.problems if not any(known in p for known in KNOWN_PROBLEMS)]
    assert unknown == []
    assert view.done


def assert_last_cpu_came_back(view: View, hypervisor: str) -> None:
    last = view.cpus - 1
    assert view.offline == (last,)
    assert view.online == (last,)
    assert view.seen_again == {last: hypervisor}


@pytest.mark.parametrize("pc", [*VTX, *AMDV], ids=str)
def test_linux_runs_on_every_cpu(lab: Lab, pc: Pc) -> None:
    view = read(lab.power_off(lab.on(pc, lab.linux()), pc.engine))
    assert_every_cpu_is_held(view, pc)
    assert_linux_is_well(view)
    if pc.cpus > 1:
        assert_last_cpu_came_back(view, VERSION)


@pytest.mark.parametrize("pc", [Pc(HASWELL, 4), qemu(EPYC, 4)], ids=str)
def test_build_without_optimization(lab: Lab, pc: Pc) -> None:
    view = read(lab.power_off(lab.on(pc, lab.linux(driver="unoptimized")), pc.engine))
    assert_every_cpu_is_held(view, pc)
    assert_linux_is_well(view)
    assert_last_cpu_came_back(view, VERSION)


@pytest.mark.parametrize("pc", [Pc(HASWELL, 4), qemu(EPYC, 4)], ids=str)
def test_stress(lab: Lab, pc: Pc) -> None:
    serial = lab.power_off(lab.on(pc, lab.linux("zpp.stress=5")), pc.engine)
    assert_every_cpu_is_held(read(serial), pc)
    assert_linux_is_well(read(serial))
    assert serial.count("stress: ") == pc.cpus
    assert "wrong result" not in serial


@pytest.mark.parametrize("pc", [Pc(HASWELL, 2), qemu(EPYC, 2)], ids=str)
def test_reboot(lab: Lab, pc: Pc) -> None:
    image = lab.linux("zpp.action=reboot zpp.offline=0")
    first, second = starts(lab.power_off(lab.on(pc, image), pc.engine))
    for view in (first, second):
        assert_every_cpu_is_held(view, pc)
        assert view.failures == ()
    assert_linux_is_well(second)
