"""zpp on a machine's own ESP: the firmware starts it first, and it starts the system."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import firmware_boot
from efi_word import Ending, word_program
from harness import EPYC, Harness, qemu_pc
from menu_images import said
from own_machine import GLOBAL, GUID, OwnMachine, make_machine

from efi_image.build.image import make_image
from efi_image.build.options import Addition, Hypervisor, ResolvedOptions

PC = qemu_pc(EPYC, 2)
MIB = 1 << 20


def disk(own: OwnMachine, path: Path) -> Path:
    """The machine's disk with the files of its ESP."""
    options = ResolvedOptions(
        path,
        hypervisor=Hypervisor.NONE,
        partition_guid=GUID,
        size=64 * MIB,
        files=(Addition(own.esp / "EFI", "/"),),
    )
    make_image(options)
    return path


def firmware(harness: Harness, own: OwnMachine) -> Path:
    """A firmware descriptor with the machine's boot options, by virt-fw-vars."""
    variables: list[dict[str, object]] = [
        {
            "name": path.name.removesuffix(f"-{GLOBAL}"),
            "guid": GLOBAL,
            "attr": int.from_bytes(path.read_bytes()[:4], "little"),
            "data": path.read_bytes()[4:].hex(),
        }
        for path in own.efivars.iterdir()
    ]
    return firmware_boot.installed().with_variables(harness.folder, variables)


def started(harness: Harness, own: OwnMachine) -> str:
    """The serial log of a start of the machine."""
    image = disk(own, harness.folder / "disk.img")
    request = replace(harness.request(PC, image), firmware=firmware(harness, own))
    return harness.run_to_power_off(request, PC.emulator)


def test_the_firmware_starts_zpp_and_zpp_the_system(harness: Harness) -> None:
    words = ("--partition-guid", str(GUID), "--size", "64M")
    own = make_machine(harness.folder / "machine", harness.build_directory, *words)
    system = own.esp / "EFI/debian/shimx64.efi"
    system.write_bytes(word_program("system", Ending.POWER_OFF))
    (own.esp / "EFI/BOOT/BOOTX64.EFI").write_bytes(word_program("removable", Ending.POWER_OFF))
    own.install()
    serial = started(harness, own)
    first = serial[serial.index("BdsDxe: starting") :].split("\n")[0]
    assert re.search(r'Boot0001 "zpp" from .*HD\(1,GPT,.*\\EFI\\zpp\\ZppBoot.efi', first)
    assert "zpp: loaded and launched in" in serial
    assert "zpp: starting the firmware's next boot option debian" in serial
    assert said(serial) == ["system"]
    own.uninstall()
    serial = started(harness, own)
    assert "zpp: " not in serial
    assert said(serial) == ["system"]
