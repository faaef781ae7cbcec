"""The emulators: the library that fixes Bochs, and how failures are reported."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from harness import Harness

from efi_image.emulator import EmulatorKind, ExitReason, TextViewer, boot, choose
from efi_image.emulator.bochs_check import boot_divide
from efi_image.errors import EmulatorFailed, EmulatorMissing, TimedOut


def test_library_fixes_the_division(harness: Harness) -> None:
    assert boot_divide(harness.bochs()).reason is ExitReason.POWER_OFF


def test_missing_bochs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmulatorMissing, match="Bochs root is missing.*bochs install"):
        choose(EmulatorKind.BOCHS, tmp_path / "nothing")


def test_time_limit_shows_the_tail(harness: Harness) -> None:
    request = replace(harness.bochs_request(harness.image()), expect=("never said",), timeout=40.0)
    with pytest.raises(TimedOut, match=r"'never said' within 40 s") as caught:
        harness.boot_unchecked(request, choose(EmulatorKind.BOCHS)).require()
    assert "the serial port's last lines:" in caught.value.details
    assert harness.log.read_text() != ""


def test_killed_emulator_shows_the_tail(harness: Harness) -> None:
    seen: list[str] = []
    killed: list[int] = []

    def kill_after_launch(text: str) -> None:
        seen.append(text)
        if not killed and "virtualized with Intel VT-x\n" in "".join(seen):
            killed.append(_only_child())
            os.kill(killed[0], signal.SIGKILL)

    request = harness.with_defaults(harness.bochs_request(harness.linux_image()))
    with pytest.raises(EmulatorFailed, match="was killed by SIGKILL") as caught:
        boot(request, choose(EmulatorKind.BOCHS), TextViewer(kill_after_launch))
    assert any("virtualized with Intel VT-x" in line for line in caught.value.details)


def _only_child() -> int:
    children = {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }
    (child,) = children
    return child
