"""Firmware that uses SMM (every build with Secure Boot): SMIs arrive while the guest runs."""

from __future__ import annotations

from dataclasses import replace

from guest_log import parse_log
from harness import EPYC, Harness, qemu_pc
from test_linux import assert_linux_ran_well, assert_zpp_runs_on_every_cpu

from efi_image.emulator.firmware import FirmwareNeed, find_firmware


def test_linux_runs_on_firmware_with_smm(harness: Harness) -> None:
    pc = qemu_pc(EPYC, 4)
    found = find_firmware(FirmwareNeed(secure_boot=True, smm=True))
    request = replace(harness.request(pc, harness.linux_image()), firmware=found.descriptor)
    log = parse_log(harness.run_to_power_off(request, pc.emulator))
    assert_zpp_runs_on_every_cpu(log, pc)
    assert_linux_ran_well(log)
