"""The whole rig at work: a small EFI program that divides, booted on Bochs under OVMF."""

from __future__ import annotations

import tempfile
from pathlib import Path

from efi_image.build.image import make_image
from efi_image.build.options import Hypervisor, ResolvedOptions
from efi_image.emulator import bochs_install as rigs
from efi_image.emulator.base import BootResult, RunRequest
from efi_image.emulator.bochs import BochsEngine
from efi_image.emulator.runner import run

RIGHT = r"^zpp-rig: IDIV is right$"
_TIME_LIMIT = 120  # seconds; it takes 5


def boot_divide(rig: rigs.Rig) -> BootResult:
    """The boot's result; TimedOut, ExpectationFailed or EmulatorFailed if the rig does not work."""
    with tempfile.TemporaryDirectory(prefix="zpp-rig-") as folder:
        image = Path(folder) / "divide.img"
        make_image(ResolvedOptions(image, hypervisor=Hypervisor.NONE, boot=(rig.divide,)))
        request = RunRequest(
            image, memory=256, timeout=_TIME_LIMIT, expect=(RIGHT,), until_power_off=True
        )
        return run(request, BochsEngine(rig)).require()
