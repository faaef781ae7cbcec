"""Checks a Bochs installation as a whole: a small EFI program divides under OVMF."""

from __future__ import annotations

import tempfile
from pathlib import Path

from efi_image.build.image import make_image
from efi_image.build.options import Hypervisor, ResolvedOptions
from efi_image.emulator.base import BootResult
from efi_image.emulator.bochs import Bochs
from efi_image.emulator.bochs_install import BochsInstall
from efi_image.emulator.request import RunRequest
from efi_image.emulator.runner import run

CORRECT = r"^zpp-bochs: IDIV is correct$"  # as ovmf/bochs/divide.S prints it
_TIME_LIMIT = 120  # seconds; it takes 5


def boot_divide(install: BochsInstall) -> BootResult:
    """The result of the boot; raises TimedOut, ExpectationFailed or EmulatorFailed."""
    with tempfile.TemporaryDirectory(prefix="zpp-bochs-") as folder:
        image = Path(folder) / "divide.img"
        make_image(ResolvedOptions(image, hypervisor=Hypervisor.NONE, boot=(install.divide,)))
        request = RunRequest(
            image, memory=256, timeout=_TIME_LIMIT, expect=(CORRECT,), until_power_off=True
        )
        return run(request, Bochs(install)).require()
