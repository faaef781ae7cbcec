"""Debian's kernel on the hypervisor, on Bochs with OVMF."""

from __future__ import annotations

import pytest
from lab import HASWELL, SKYLAKE, Lab
from view import SIGNATURE, View, read, starts

VERSION = f"{SIGNATURE} version 0.1.0"
# What the kernel complains about on the bare models of Bochs, too.
KNOWN_PROBLEMS = ("TSC_DEADLINE disabled", "perfctr msr", "RETBleed: WARNING")


def assert_every_cpu_is_held(view: View, cpus: int) -> None:
    every = range(cpus)
    assert view.held == dict.fromkeys(every, "Intel VT-x")
    assert view.no_hypervisor == ""
    assert view.cpus == cpus
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


@pytest.mark.parametrize(
    ("model", "cpus"), [(HASWELL, 4), (SKYLAKE, 4), (HASWELL, 3), (HASWELL, 2), (HASWELL, 1)]
)
def test_linux_runs_on_every_cpu(lab: Lab, model: str, cpus: int) -> None:
    view = read(lab.power_off(lab.machine(lab.linux(), cpus, model)))
    assert_every_cpu_is_held(view, cpus)
    assert_linux_is_well(view)
    if cpus > 1:
        assert_last_cpu_came_back(view, VERSION)


def test_stress(lab: Lab) -> None:
    serial = lab.power_off(lab.machine(lab.linux("zpp.stress=5"), 4))
    assert_every_cpu_is_held(read(serial), 4)
    assert_linux_is_well(read(serial))
    assert serial.count("stress: ") == 4
    assert "wrong result" not in serial


def test_reboot(lab: Lab) -> None:
    serial = lab.power_off(lab.machine(lab.linux("zpp.action=reboot zpp.offline=0"), 2))
    first, second = starts(serial)
    for view in (first, second):
        assert_every_cpu_is_held(view, 2)
        assert view.failures == ()
    assert_linux_is_well(second)
