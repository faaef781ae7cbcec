"""An image without a kernel: ZppBoot starts the firmware's next boot option."""

from __future__ import annotations

from dataclasses import replace

from harness import Harness

from efi_image.emulator import Debug
from efi_image.emulator.bochs_check import CORRECT
from efi_image.verify import verify


def test_next_boot_option_starts_on_the_hypervisor(harness: Harness) -> None:
    other_disk = harness.plain_image(harness.bochs().divide)
    second = f"ata0-slave: type=disk, path={other_disk}, mode=volatile, journal=slave.journal"
    request = replace(
        harness.bochs_request(harness.image()), expect=(CORRECT,), debug=Debug(extra=(second,))
    )
    serial = harness.boot(request).serial
    assert "zpp: CPU 0 (APIC ID 0) virtualized with Intel VT-x" in serial
    assert "zpp: starting the firmware's next boot option " in serial


def test_nothing_to_start_is_reported(harness: Harness) -> None:
    request = replace(
        harness.bochs_request(harness.image()), expect=(r"^zpp: nothing to start: .+$",)
    )
    assert "zpp: CPU 0 (APIC ID 0) virtualized with Intel VT-x" in harness.boot(request).serial


def test_our_own_image_has_no_findings(harness: Harness) -> None:
    assert verify(harness.image()).findings == ()
    assert verify(harness.linux_image()).findings == ()
