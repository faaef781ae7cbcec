"""Boots an image in an emulator: `boot(RunRequest(image, cpus=4, timeout=60)).require()`.

request        the request
base           the `Emulator` protocol, the result
select         which emulator: qemu (firmware, cpu_probe) or bochs (bochs_install)
runner         starts it (inputs, process), follows the serial port (serial, serial_line, verdict),
               saves the logs and the screen (screen, qmp), ends it
bochs_install  `zpp-image bochs`: unpacks Debian's packages (debian); bochs_check tests it
"""

from __future__ import annotations

from efi_image.emulator.base import (
    BootResult,
    Console,
    Emulator,
    ExitReason,
    TextViewer,
    Viewer,
)
from efi_image.emulator.request import Debug, Devices, Forward, Machine, Medium, RunRequest
from efi_image.emulator.runner import run
from efi_image.emulator.select import EmulatorKind, choose

__all__ = [
    "BootResult",
    "Console",
    "Debug",
    "Devices",
    "Emulator",
    "EmulatorKind",
    "ExitReason",
    "Forward",
    "Machine",
    "Medium",
    "RunRequest",
    "TextViewer",
    "Viewer",
    "boot",
    "choose",
]


def boot(
    request: RunRequest, emulator: Emulator | None = None, viewer: Viewer | None = None
) -> BootResult:
    """Boot an image, by default in the first emulator that can show the hypervisor.

    `viewer` sees the serial port's output as it comes. Raises ZppError.
    """
    return run(request, emulator or choose(), viewer)
