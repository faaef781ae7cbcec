"""An image on optical media and USB, and an image with a UKI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from guest_log import parse_log
from harness import CMDLINE, EPYC, Harness, qemu_pc
from test_linux import assert_linux_ran_well, assert_zpp_runs_on_every_cpu
from uki import make_uki

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.emulator import Medium

PC = qemu_pc(EPYC, 2)


def guest(harness: Harness) -> tuple[Path, Path]:
    folder = harness.build_directory / "linux-guest"
    return folder / "vmlinuz", folder / "initrd.img"


@pytest.mark.parametrize("medium", [Medium.OPTICAL, Medium.USB], ids=lambda m: m.value)
def test_one_iso_starts_from_optical_media_and_from_usb(harness: Harness, medium: Medium) -> None:
    kernel, initrd = guest(harness)
    image = harness.folder / "zpp.iso"
    options = ResolvedOptions(
        image,
        build_directory=harness.build_directory,
        kernel=kernel,
        initrd=initrd,
        cmdline=f"{CMDLINE} zpp.offline=0",
        table=Table.ISO,
        minimal=True,
    )
    make_image(options)
    log = parse_log(
        harness.run_to_power_off(replace(harness.request(PC, image), medium=medium), PC.emulator)
    )
    assert_zpp_runs_on_every_cpu(log, PC)
    assert_linux_ran_well(log)


def test_uki(harness: Harness) -> None:
    kernel, initrd = guest(harness)
    uki = make_uki(harness.folder / "guest.efi", kernel, initrd, f"{CMDLINE} zpp.offline=0")
    log = parse_log(
        harness.run_to_power_off(harness.request(PC, harness.program_image(uki)), PC.emulator)
    )
    assert_zpp_runs_on_every_cpu(log, PC)
    assert_linux_ran_well(log)
