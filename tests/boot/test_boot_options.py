"""An image without a kernel: ZppBoot starts the firmware's next boot option."""

from __future__ import annotations

from dataclasses import replace

from lab import Lab

from efi_image.emulator import Debug
from efi_image.emulator.bochs_check import RIGHT
from efi_image.verify import verify


def test_next_boot_option_starts_on_the_hypervisor(lab: Lab) -> None:
    other = lab.bare_disk(lab.bochs().divide)
    slave = f"ata0-slave: type=disk, path={other}, mode=volatile, journal=slave.journal"
    request = replace(lab.machine(lab.image()), expect=(RIGHT,), debug=Debug(extra=(slave,)))
    serial = lab.boot(request).serial
    assert "zpp: CPU 0 (APIC ID 0) held with Intel VT-x" in serial
    assert "zpp: starting the firmware's next boot option " in serial


def test_nothing_to_start_is_said(lab: Lab) -> None:
    request = replace(lab.machine(lab.image()), expect=(r"^zpp: nothing to start: .+$",))
    assert "zpp: CPU 0 (APIC ID 0) held with Intel VT-x" in lab.boot(request).serial


def test_our_own_image_is_without_findings(lab: Lab) -> None:
    assert verify(lab.image()).findings == ()
    assert verify(lab.linux()).findings == ()
