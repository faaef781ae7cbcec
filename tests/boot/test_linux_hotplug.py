"""A CPU that is plugged in while zpp.ko is loaded: it is launched, and devirtualized on unload."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from pathlib import Path

from guest_log import SIGNATURE
from harness import CMDLINE, EPYC, Harness, qemu_pc

from efi_image.emulator import Debug, EmulatorKind, boot, choose

PC = qemu_pc(EPYC, 2)


def plug_cpu(address: Path) -> None:
    """Plugs in the first missing CPU, by QEMU's machine protocol."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        lines = connection.makefile("rw", encoding="utf-8")

        def ask(execute: str, **arguments: object) -> object:
            lines.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
            lines.flush()
            while True:
                answer = json.loads(lines.readline())
                assert "error" not in answer, answer
                if "return" in answer:
                    return answer["return"]

        lines.readline()  # the greeting
        ask("qmp_capabilities")
        slots = ask("query-hotpluggable-cpus")
        assert isinstance(slots, list)
        free = next(slot for slot in slots if "qom-path" not in slot)
        ask("device_add", driver=free["type"], id="new-cpu", **free["props"])


def test_cpu_that_is_plugged_in_later(harness: Harness) -> None:
    # later kernels assume that this slot of QEMU always stays empty
    guest = harness.build_directory / "linux-loader/oldest"
    image = harness.image(
        kernel=guest / "vmlinuz",
        initrd=guest / "initrd.img",
        cmdline=f"{CMDLINE} no_timer_check zpp.steps=keep,plug,cpus,unload,cpus",
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

    serial = boot(request, choose(EmulatorKind.QEMU), terminal).require().serial
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
