"""The emulators themselves: the library that fixes Bochs, and errors that are reported."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from lab import Lab

from efi_image.emulator import EmulatorKind, ExitReason, boot, choose
from efi_image.emulator.bochs_check import boot_divide
from efi_image.errors import EmulatorFailed, EmulatorMissing, TimedOut


def test_library_fixes_the_division(lab: Lab) -> None:
    assert boot_divide(lab.bochs()).reason is ExitReason.POWER_OFF


def test_missing_bochs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmulatorMissing, match="Bochs root is missing.*bochs install"):
        choose(EmulatorKind.BOCHS, tmp_path / "nothing")


def test_time_limit_shows_the_tail(lab: Lab) -> None:
    request = replace(lab.machine(lab.image()), expect=("never said",), timeout=20.0)
    with pytest.raises(TimedOut, match=r"'never said' within 20 s") as caught:
        lab.attempt(request, choose(EmulatorKind.BOCHS)).require()
    assert "the serial port's last lines:" in caught.value.details
    assert lab.log.read_text() != ""


def test_killed_emulator_shows_the_tail(lab: Lab) -> None:
    seen: list[str] = []
    killed: list[int] = []

    def kill_when_held(text: str) -> None:
        seen.append(text)
        if not killed and "held with Intel VT-x\n" in "".join(seen):
            killed.append(_only_child())
            os.kill(killed[0], signal.SIGKILL)

    request = lab.prepared(lab.machine(lab.linux()))
    with pytest.raises(EmulatorFailed, match="was killed by SIGKILL") as caught:
        boot(request, choose(EmulatorKind.BOCHS), kill_when_held)
    assert any("held with Intel VT-x" in line for line in caught.value.details)


def _only_child() -> int:
    children = {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }
    (child,) = children
    return child
