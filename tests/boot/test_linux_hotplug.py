"""A CPU that is plugged in while zpp.ko is loaded: it is launched, and devirtualized on unload."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from guest_log import SIGNATURE
from harness import CMDLINE, EPYC, Harness, qemu_pc

from efi_image.emulator import Debug, EmulatorKind, TextViewer, boot, choose
from efi_image.emulator.qmp import Qmp

PC = qemu_pc(EPYC, 2)


def plug_cpu(address: Path) -> None:
    """Plugs in the first missing CPU."""
    qmp = Qmp(address)
    slots = qmp.command("query-hotpluggable-cpus")
    free = next(slot for slot in slots if "qom-path" not in slot)
    qmp.command("device_add", driver=free["type"], id="new-cpu", **free["props"])
    qmp.close()


def test_cpu_that_is_plugged_in_later(harness: Harness) -> None:
    # later kernels assume that this slot of QEMU always stays empty
    guest = harness.build_directory / "linux-loader/oldest"
    image = harness.image(
        kernel=guest / "vmlinuz",
        initrd=guest / "initrd.img",
        cmdline=f"{CMDLINE} zpp.steps=keep,plug,cpus,unload,cpus",
        hypervisor=False,
    )
    address = harness.folder / "qmp"
    extra = ("-smp", "maxcpus=3", "-qmp", f"unix:{address},server=on,wait=off")
    request = replace(harness.with_defaults(harness.request(PC, image)), debug=Debug(extra=extra))
    text: list[str] = []

    def terminal(chunk: str) -> None:
        before = "".join(text)
        text.append(chunk)
        if "zpp-guest: plug" in before + chunk and "zpp-guest: plug" not in before:
            plug_cpu(address)

    serial = boot(request, choose(EmulatorKind.QEMU), TextViewer(terminal)).require().serial
    assert "load: error 0" in serial
    assert "online: 1" in serial
    assert "log: zpp: CPU 2 came online and is virtualized" in serial
    launched, bare = serial.split("step: unload")
    assert set(re.findall(rf"^CPU (\d): hypervisor {SIGNATURE}", launched, re.MULTILINE)) == {
        *"012"
    }
    assert "rmmod: 0" in bare
    assert len(re.findall(r"^CPU \d: ", bare, re.MULTILINE)) == 3
    assert SIGNATURE not in bare
