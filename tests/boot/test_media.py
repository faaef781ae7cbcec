"""The same image from other media, and a UKI in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lab import CMDLINE, EPYC, Lab, qemu
from test_linux import assert_every_cpu_is_held, assert_linux_is_well
from uki import make_uki
from view import read

from efi_image.build.image import make_image
from efi_image.build.options import ResolvedOptions
from efi_image.build.partitions import Table
from efi_image.emulator import Medium

PC = qemu(EPYC, 2)


def guest(lab: Lab) -> tuple[Path, Path]:
    folder = lab.build_directory / "linux-guest"
    return folder / "vmlinuz", folder / "initrd.img"


@pytest.mark.parametrize("medium", [Medium.OPTICAL, Medium.USB], ids=lambda m: m.value)
def test_one_iso_starts_from_optical_media_and_from_usb(lab: Lab, medium: Medium) -> None:
    kernel, initrd = guest(lab)
    image = lab.folder / "zpp.iso"
    options = ResolvedOptions(
        image,
        build_directory=lab.build_directory,
        kernel=kernel,
        initrd=initrd,
        cmdline=f"{CMDLINE} zpp.offline=0",
        table=Table.ISO,
        minimal=True,
    )
    make_image(options)
    view = read(lab.power_off(replace(lab.on(PC, image), medium=medium), PC.engine))
    assert_every_cpu_is_held(view, PC)
    assert_linux_is_well(view)


def test_uki(lab: Lab) -> None:
    kernel, initrd = guest(lab)
    uki = make_uki(lab.folder / "guest.efi", kernel, initrd, f"{CMDLINE} zpp.offline=0")
    view = read(lab.power_off(lab.on(PC, lab.program(uki)), PC.engine))
    assert_every_cpu_is_held(view, PC)
    assert_linux_is_well(view)
