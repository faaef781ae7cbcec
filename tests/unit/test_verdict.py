"""Signs on the serial port that a guest failed, and the stages of a boot."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from efi_image.emulator.verdict import SIGNS, Watcher

REPORT = "zpp: crash report of build 0123456789ab\nzpp: CPU 0: exception 6 in the host\n"
PANIC = "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs\n"
SHELL = "Shell> "
NOTHING = "BdsDxe: No bootable option or device was found.\nBdsDxe: Press any key to enter the Boot"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def judge(steps: Sequence[str | float], *, attended: bool = False) -> str:
    """The verdict after text and seconds of silence."""
    clock = Clock()
    watcher = Watcher(attended=attended, clock=clock)
    for step in steps:
        if isinstance(step, str):
            watcher.feed(step)
        else:
            clock.now += step
    return watcher.failure()


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        ([REPORT, 3], "the core of zpp crashed"),
        ([REPORT, 1], ""),  # the report is not complete
        ([REPORT, 1.5, "zpp: CPU 0 stopped\n", 1.5], ""),
        ([REPORT, *["zpp:   rax 0\n", 1.0] * 11], "the core of zpp crashed"),  # it never ends
        ([REPORT[:9], REPORT[9:], 3], "the core of zpp crashed"),
        (["zpp: CPU 12 stopped\n", 3], "the core of zpp stopped CPU 12"),
        (["hello zpp: CPU 12 stopped\n", 3], ""),
        ([PANIC, 3], "the kernel panicked (VFS: Unable to mount root fs)"),
        (["x" * 9000 + "\n" + PANIC, 3], "the kernel panicked (VFS: Unable to mount root fs)"),
        ([SHELL, 6], "the firmware started its shell"),
        ([SHELL, 4], ""),
        ([SHELL, 1, "echo hello\n", 6], ""),  # startup.nsh continues
        ([SHELL, 1, "echo hello\nhello\n", 1, SHELL, 6], "the firmware started its shell"),
        ([NOTHING, 6], "the firmware found nothing to boot"),
        (["zpp: CPU 0 (APIC ID 0) virtualized with AMD-V\n", 60], ""),
        ([60], ""),
    ],
)
def test_verdicts(steps: Sequence[str | float], verdict: str) -> None:
    assert judge(steps) == verdict


@pytest.mark.parametrize(("text", "is_prompt"), [(SHELL, True), (NOTHING, True), (PANIC, False)])
def test_who_can_answer_a_prompt_is_asked(text: str, is_prompt: bool) -> None:
    assert (judge([text, 60], attended=True) == "") is is_prompt


def test_the_meaning_of_a_sign_stays() -> None:
    """The first sign counts: a panic after a crash of the core is the core's fault."""
    assert judge([REPORT, PANIC, 3]) == "the core of zpp crashed"
    assert len({sign.meaning for sign in SIGNS}) == len(SIGNS)


def test_stages() -> None:
    clock = Clock()
    watcher = Watcher(clock=clock)
    assert watcher.stages == {"firmware": 0}
    for seconds, text in (
        (2, "BdsDxe: starting Boot0001\n"),
        (3, "zpp: CPU 0 (APIC ID 0) virtualized with AMD-V\n"),
        (1, "zpp: starting \\EFI\\zpp\\kernel.efi\n"),
        (9, "zpp: CPU 0: microcode update ignored\n"),
    ):
        clock.now += seconds
        watcher.feed(text)
    assert watcher.stages == {"firmware": 0, "zpp": 5, "kernel": 6}
    assert watcher.stage == "kernel"


def test_a_boot_without_zpp_goes_to_the_kernel() -> None:
    watcher = Watcher()
    watcher.feed("EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\n")
    assert list(watcher.stages) == ["firmware", "kernel"]
