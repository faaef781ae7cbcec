"""QEMU and a Bochs that only prepare command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from efi_image.emulator import bochs
from efi_image.emulator.bochs import Bochs
from efi_image.emulator.bochs_install import LAYOUT, BochsInstall, BochsVersion
from efi_image.emulator.cpu_probe import Extension
from efi_image.emulator.qemu import Accelerator, Qemu

VERSION = BochsVersion(LAYOUT, "forky", {"bochs": "3.1", "ovmf": "1"}, "")
TCG = Qemu("/usr/bin/qemu-system-x86_64", Accelerator.TCG, Extension.SVM)


def fake_bochs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bochs:
    """Bochs from a root that has only the firmware's file."""
    install = BochsInstall(folder / "root", VERSION)
    install.firmware.parent.mkdir(parents=True)
    install.firmware.write_bytes(bytes(0x20000))
    monkeypatch.setattr(bochs, "isolation", lambda: ("unshare", "--net"))
    monkeypatch.setattr(bochs, "guard", lambda: ("setpriv", "--pdeathsig", "KILL"))
    monkeypatch.setattr(Bochs, "models", lambda _self: ["corei7_haswell_4770", "ryzen"])
    return Bochs(install)


def options(bochsrc: str) -> dict[str, str]:
    """The lines of a bochsrc."""
    lines = [line for line in bochsrc.splitlines() if line and not line.startswith("#")]
    return dict(line.split(": ", 1) for line in lines)
