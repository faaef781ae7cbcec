"""An image on optical media and USB, with a UKI, and with a kernel that `cp` put on it."""

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
from efi_image.cli.main import main
from efi_image.emulator import Medium
from efi_image.formats.disk import open_disk
from efi_image.formats.fat.reader import ClusterChain, FatVolume
from efi_image.formats.files import find

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


def test_a_kernel_put_on_an_image_with_cp(harness: Harness, tmp_path: Path) -> None:
    """`cp` stores it in the gaps of removed files, so the firmware has to follow its chain."""
    kernel, initrd = guest(harness)
    image = harness.folder / "zpp.img"
    files = tmp_path / "files"
    files.mkdir()
    for number in range(400):
        (files / str(number)).write_bytes(b"x" * 100_000)
    made = ["make", str(image), "--kernel", str(kernel), "--initrd", str(initrd), "--size", "64M"]
    assert main([*made, "--cmdline", f"{CMDLINE} zpp.offline=0"]) == 0
    assert main(["cp", "-r", str(files), f"{image}:/"]) == 0
    gaps = [f"/files/{number}" for number in range(0, 400, 2)]
    assert main(["rm", str(image), "/EFI/zpp/initrd.img", *gaps]) == 0
    assert main(["cp", str(initrd), f"{image}:/EFI/zpp/initrd.img"]) == 0
    assert main(["mv", str(image), "/EFI/zpp/kernel.efi", "/EFI/zpp/kernel-old.efi"]) == 0
    assert main(["cp", str(kernel), f"{image}:/EFI/zpp/kernel.efi"]) == 0
    with open_disk(image) as disk:
        volume = disk.volume(disk.pick())
        assert isinstance(volume, FatVolume)
        _, node = find(volume, ("EFI", "zpp", "kernel.efi"))
        assert isinstance(node.place, ClusterChain)
        assert len(list(volume.chain_runs(node.place.first_cluster))) > 20
    log = parse_log(harness.run_to_power_off(harness.request(PC, image), PC.emulator))
    assert_zpp_runs_on_every_cpu(log, PC)
    assert_linux_ran_well(log)
