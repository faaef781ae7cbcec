"""Emulators that boot an image: `boot(RunRequest(image, cpus=4, timeout=60)).require()`."""

from __future__ import annotations

from efi_image.emulator.base import (
    BootResult,
    Debug,
    Engine,
    ExitReason,
    Machine,
    Medium,
    RunRequest,
)
from efi_image.emulator.runner import Terminal, run
from efi_image.emulator.select import EngineKind, choose

__all__ = [
    "BootResult",
    "Debug",
    "Engine",
    "EngineKind",
    "ExitReason",
    "Machine",
    "Medium",
    "RunRequest",
    "boot",
    "choose",
]


def boot(
    request: RunRequest,
    engine: Engine | None = None,
    terminal: Terminal | None = None,
) -> BootResult:
    """Boot an image, by default on the first engine that can show the hypervisor."""
    return run(request, engine or choose(), terminal)
