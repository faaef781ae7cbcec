"""Sleep with zpp.ko kept: suspend to idle, suspend to RAM (S3), hibernation (S4).
And S3 after a boot with zpp.

The wake-up is on QEMU only: OVMF on Bochs does not come back from S3.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from harness import EPYC, HASWELL, Harness, Pc, qemu_pc
from test_linux_loader import (
    Step,
    assert_bare,
    assert_loaded,
    assert_on_zpp,
    guest_image,
    steps_of,
)

from efi_image.emulator import Debug, EmulatorKind, TextViewer, boot, choose
from efi_image.emulator.qmp import Qmp

PATHS = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
SUSPENDS = "zpp: the machine suspends to RAM; the system will wake up without zpp"
AGAIN = "launched again after the sleep: the hypervisor runs on {} CPUs"


def wake_from_ram(qmp: Qmp) -> None:
    if qmp.command("query-status")["status"] == "suspended":
        qmp.command("system_wakeup")


def press_power_button(qmp: Qmp) -> None:
    qmp.command("system_powerdown")


WAKERS: dict[str, Callable[[Qmp], None]] = {"mem": wake_from_ram, "freeze": press_power_button}


class Waker:
    """Follows the serial port; wakes the machine up, twice a second, while it sleeps."""

    def __init__(self, address: Path) -> None:
        self.text = ""
        self._address = address
        self._ended = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def __call__(self, chunk: str) -> None:
        self.text += chunk

    def end(self) -> None:
        self._ended = True
        self._thread.join()

    def _work(self) -> None:
        qmp = Qmp(self._address)
        while not self._ended:
            time.sleep(0.5)
            state = self.text.rpartition("sleep: ")[2].partition("\n")[0]
            if state in WAKERS:
                WAKERS[state](qmp)
        qmp.close()


def boot_until_off(
    harness: Harness, pc: Pc, kernel: str, words: str, *extra: str, hypervisor: bool = False
) -> str:
    """Boots the guest, wakes it up from each sleep, and returns the serial log."""
    image = guest_image(harness, kernel, words, hypervisor=hypervisor)
    address = harness.folder / "qmp"
    debug = Debug(extra=("-qmp", f"unix:{address},server=on,wait=off", *extra))
    request = replace(harness.with_defaults(harness.request(pc, image)), debug=debug)
    waker = Waker(address)
    try:
        return boot(request, choose(EmulatorKind.QEMU), TextViewer(waker)).require().serial
    finally:
        waker.end()


def run(harness: Harness, pc: Pc, kernel: str, steps: str, words: str = "") -> list[Step]:
    """As test_linux_loader's, on a machine that is woken up from each sleep."""
    serial = boot_until_off(harness, pc, kernel, f"zpp.steps={steps} {words}")
    return steps_of(serial, pc, steps)


@pytest.mark.parametrize(
    ("pc", "kernel"),
    [(qemu_pc(EPYC, 4), "newest"), (qemu_pc(EPYC, 4), "oldest"), (qemu_pc(EPYC, 1), "newest")],
    ids=str,
)
def test_suspend_to_ram(harness: Harness, pc: Pc, kernel: str) -> None:
    steps = "cpus,keep,mem,cpus,stress,mem,cpus,unload,cpus"
    bare, keep, asleep, awake, stress, again, last, unload, end = run(
        harness, pc, kernel, steps, "zpp.stress=2"
    )
    assert keep.error == 0
    for step in (asleep, again):
        assert step.all(r"mem_sleep: (.*)") == ["s2idle [deep]"]
        assert step.all(r"sleep: (.*)") == ["mem", "done"]
        assert_loaded(step, pc, AGAIN)
    for step in (awake, last):
        assert_on_zpp(step, pc)
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert_bare(end, pc, bare)


def test_sleeps_of_a_kept_module(harness: Harness) -> None:
    """Suspend to idle keeps the hypervisor. A CPU that is offline under it keeps the machine awake.
    KVM that was loaded meanwhile keeps the hypervisor away, until the next sleep."""
    pc = qemu_pc(EPYC, 2)
    steps = (
        "cpus,keep,button,freeze,cpus,offline,mem,online,cpus,"
        "halfkvm,mem,cpus,nohalfkvm,mem,cpus,unload,cpus"
    )
    (bare, _keep, _button, idle, idled, _offline, refused, _online, awake,
     _kvm, lost, without, _nokvm, again, back, unload, end) = run(
        harness, pc, "newest", steps
    )  # fmt: skip
    assert idle.all(r"sleep: (.*)") == ["freeze", "done"]
    assert [line for line in idle.log if "launched" in line] == []
    assert_on_zpp(idled, pc)
    assert refused.all(r"sleep: (.*)") == ["mem", "refused"]
    assert refused.log == [
        "cannot sleep: CPU 1 is offline under the hypervisor "
        "(echo 1 > /sys/devices/system/cpu/cpu1/online)"
    ]
    assert_on_zpp(awake, pc)
    assert lost.all(r"sleep: (.*)") == ["mem", "done"]
    assert lost.log[-2].startswith("not loaded: KVM (kvm_amd) is loaded, ")
    assert lost.log[-1] == "the machine woke up, and runs on without the hypervisor"
    assert_bare(without, pc, bare)
    assert_loaded(again, pc, AGAIN)
    assert_on_zpp(back, pc)
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert_bare(end, pc, bare)


def test_suspend_to_ram_after_a_boot_with_zpp(harness: Harness) -> None:
    """The system wakes up without zpp; the log has said so, and the power-off adds nothing."""
    pc, steps = qemu_pc(EPYC, 4), "cpus,mem,cpus"
    serial = boot_until_off(harness, pc, "newest", f"zpp.steps={steps}", hypervisor=True)
    launched, asleep, awake = steps_of(serial, pc, steps)
    assert_on_zpp(launched, pc)
    assert asleep.all(r"sleep: (.*)") == ["mem", "done"]
    assert asleep.all("(zpp: .*)") == [SUSPENDS]
    assert serial.count(SUSPENDS) == 1
    assert awake.hypervisors == dict.fromkeys(range(pc.cpus), "TCGTCGTCGTCG")  # QEMU's own


def test_the_core_says_that_the_machine_suspends_with_vtx(harness: Harness) -> None:
    pc = Pc(HASWELL, 2)
    image = guest_image(harness, "newest", "zpp.steps=cpus,mem", hypervisor=True)
    serial = harness.boot(
        replace(harness.request(pc, image), expect=(SUSPENDS,)), pc.emulator
    ).serial
    assert serial.count("sleep: mem") == 1


def test_hibernation(harness: Harness) -> None:
    """The second boot finds the image of the first one's memory on the second disk."""
    pc, kernel = qemu_pc(EPYC, 4), "newest"
    swap = harness.folder / "swap"
    swap.write_bytes(b"")
    os.truncate(swap, 512 << 20)
    subprocess.run(["mkswap", str(swap)], check=True, capture_output=True, env=PATHS)
    disk = ("-drive", f"if=none,id=swap,file={swap},format=raw,cache=unsafe",
            "-device", "virtio-blk-pci,drive=swap")  # fmt: skip
    steps = "swap,cpus,keep,cpus,disk,cpus,stress,unload,cpus"
    words = f"zpp.steps={steps} zpp.stress=2"
    first = boot_until_off(harness, pc, kernel, words, *disk)
    assert first.endswith("sleep: disk\n") or "Power down" in first.rpartition("sleep: disk")[2]
    second = boot_until_off(harness, pc, kernel, "zpp.steps=resume", *disk)
    begun, _, continued = second.partition("step: resume\n")
    assert "zpp-guest: Linux " in begun
    _swap, bare, keep, cpus, disk_step, awake, stress, unload, end = steps_of(
        first.rpartition("sleep: disk\n")[0] + "sleep: disk\n" + continued, pc, steps
    )
    assert keep.error == 0
    assert_on_zpp(cpus, pc)
    assert disk_step.all(r"sleep: (.*)") == ["disk", "done"]
    assert_loaded(disk_step, pc, AGAIN)
    assert_on_zpp(awake, pc)
    assert len(stress.all(r"(stress: \d+ rounds.*)")) == pc.cpus
    assert unload.all(r"rmmod: (\d+)") == ["0"]
    assert_bare(end, pc, bare)
