"""Secure Boot: firmware refuses unsigned programs, and starts those that are signed with a key in
its db. docs/how-to/secure-boot.md says how to sign them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from firmware_boot import write_descriptor
from guest_log import parse_log
from harness import CMDLINE, EPYC, Harness, qemu_pc
from test_linux import assert_linux_ran_well, assert_zpp_runs_on_every_cpu

from efi_image.emulator import EmulatorKind
from efi_image.emulator.firmware import Feature

PC = qemu_pc(EPYC, 2)
KEYS = Path("/usr/share/ovmf/PkKek-1-snakeoil")  # of Debian's ovmf; the certificate is in its db
CODE, VARIABLES = (
    Path("/usr/share/OVMF") / f"OVMF_{name}.fd" for name in ("CODE_4M.secboot", "VARS_4M.snakeoil")
)


@pytest.fixture
def firmware(harness: Harness) -> Path:
    """A descriptor of firmware with Secure Boot, and that key enrolled."""
    features = [Feature.REQUIRES_SMM, Feature.SECURE_BOOT, Feature.ENROLLED_KEYS]
    return write_descriptor(harness.folder / "firmware.json", CODE, VARIABLES, features)


def sign(harness: Harness) -> Harness:
    """The build and the small guest's kernel, signed."""
    signed = harness.folder / "signed"
    signed.mkdir()
    key = signed / "key"
    subprocess.run(
        ("openssl", "rsa", "-in", f"{KEYS}.key", "-passin", "pass:snakeoil", "-out", key),
        check=True, capture_output=True,
    )  # fmt: skip
    for name in ("ZppBoot.efi", "ZppDxe.efi", "linux-guest/vmlinuz"):
        target = signed / Path(name).name
        subprocess.run(
            ("sbsign", "--key", key, "--cert", f"{KEYS}.pem", "--output", target,
             harness.build_directory / name),
            check=True, capture_output=True,
        )  # fmt: skip
    return replace(harness, build_directory=signed)


def test_signed_programs_start(harness: Harness, firmware: Path) -> None:
    signed = sign(harness)
    image = signed.image(
        kernel=signed.build_directory / "vmlinuz",
        initrd=harness.build_directory / "linux-guest/initrd.img",
        cmdline=CMDLINE,
    )
    request = replace(harness.request(PC, image), firmware=firmware)
    log = parse_log(harness.run_to_power_off(request, EmulatorKind.QEMU))
    assert_zpp_runs_on_every_cpu(log, PC)
    assert_linux_ran_well(log)


def test_unsigned_programs_are_refused(harness: Harness, firmware: Path) -> None:
    request = replace(
        harness.request(PC, harness.image()), firmware=firmware, expect=("Access Denied",)
    )
    assert "zpp:" not in harness.boot(request, EmulatorKind.QEMU).serial
