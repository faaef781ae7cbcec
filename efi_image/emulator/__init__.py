"""Boots an image in an emulator: `boot(RunRequest(image, cpus=4, timeout=60)).require()`.

base           the request, the `Emulator` protocol, the result
select         which emulator: qemu (firmware, cpu_probe) or bochs (bochs_install)
runner         starts it, follows the serial port (serial), ends it
bochs_install  `zpp-image bochs`: unpacks Debian's packages (debian); bochs_check tests it
"""

from __future__ import annotations

from efi_image.emulator.base import (
    BootResult,
    Debug,
    Emulator,
    ExitReason,
    Machine,
    Medium,
    RunRequest,
)
from efi_image.emulator.runner import Terminal, run
from efi_image.emulator.select import EmulatorKind, choose

__all__ = [
    "BootResult",
    "Debug",
    "Emulator",
    "EmulatorKind",
    "ExitReason",
    "Machine",
    "Medium",
    "RunRequest",
    "boot",
    "choose",
]


def boot(
    request: RunRequest, emulator: Emulator | None = None, terminal: Terminal | None = None
) -> BootResult:
    """Boot an image, by default in the first emulator that can show the hypervisor.

    `terminal` gets the serial port's readable text as it comes. Raises ZppError.
    """
    return run(request, emulator or choose(), terminal)
