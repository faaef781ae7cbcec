"""A CPU that is plugged into the running machine while zpp.ko is kept: held, and given back."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from pathlib import Path

from lab import CMDLINE, EPYC, Lab, qemu
from view import SIGNATURE

from efi_image.emulator import Debug, EmulatorKind, boot, choose

PC = qemu(EPYC, 2)


def plug_cpu(address: Path) -> None:
    """Adds the first CPU that is missing, by QEMU's machine protocol."""
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


def test_cpu_that_comes_later(lab: Lab) -> None:
    # later kernels take this slot of QEMU for one that is never filled
    guest = lab.build_directory / "linux-loader/oldest"
    image = lab.image(
        kernel=guest / "vmlinuz",
        initrd=guest / "initrd.img",
        cmdline=f"{CMDLINE} no_timer_check zpp.steps=keep,plug,cpus,unload,cpus",
        hypervisor=False,
    )
    address = lab.folder / "qmp"
    extra = ("-smp", "maxcpus=3", "-qmp", f"unix:{address},server=on,wait=off")
    request = replace(lab.prepared(lab.on(PC, image)), debug=Debug(extra=extra))
    text: list[str] = []

    def terminal(piece: str) -> None:
        before = "".join(text)
        text.append(piece)
        if "zpp-guest: plug" in before + piece and "zpp-guest: plug" not in before:
            plug_cpu(address)

    serial = boot(request, choose(EmulatorKind.QEMU), terminal).require().serial
    assert "load: error 0" in serial
    assert "online: 1" in serial
    assert "log: zpp: CPU 2 came and is held" in serial
    held, bare = serial.split("step: unload")
    assert set(re.findall(rf"^CPU (\d): hypervisor {SIGNATURE}", held, re.MULTILINE)) == {*"012"}
    assert "rmmod: 0" in bare
    assert len(re.findall(r"^CPU \d: ", bare, re.MULTILINE)) == 3
    assert SIGNATURE not in bare
