"""Firmware that uses SMM (every build with Secure Boot): SMIs arrive while the guest runs. Without
enrolled keys it starts unsigned programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from firmware_boot import newest
from guest_log import parse_log
from harness import EPYC, Harness, qemu_pc
from test_linux import assert_linux_ran_well, assert_zpp_runs_on_every_cpu

from efi_image.emulator import Emulator, EmulatorKind, ExitReason, choose
from efi_image.emulator.firmware import FirmwareNeed, find_firmware


def assert_linux_runs(harness: Harness, emulator: Emulator, descriptor: Path) -> None:
    pc = qemu_pc(EPYC, 4)
    image = harness.linux_image()
    request = replace(harness.request(pc, image), firmware=descriptor)
    result = harness.boot_unchecked(request, emulator).require()
    assert result.reason is ExitReason.POWER_OFF
    log = parse_log(result.serial)
    assert_zpp_runs_on_every_cpu(log, pc)
    assert_linux_ran_well(log)


def test_linux_on_the_systems_firmware(harness: Harness) -> None:
    found = find_firmware(FirmwareNeed(secure_boot=True, smm=True))
    assert_linux_runs(harness, choose(EmulatorKind.QEMU), found.descriptor)


@pytest.mark.parametrize("build", ["", ".secboot", ".secboot.strictnx"], ids=lambda b: f"OVMF{b}")
def test_linux_on_the_newest_firmware_and_qemu(harness: Harness, build: str) -> None:
    ovmf = newest(harness, build)
    assert_linux_runs(harness, ovmf.emulator, ovmf.descriptor(harness.folder))
