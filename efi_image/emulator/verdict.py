"""Signs on the serial port: how far the boot has come, and whether the guest failed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

_KEPT = 4096  # characters before new text in which a sign may begin
_LONGEST = 10.0  # seconds that a guest has to finish its report


@dataclass(frozen=True, slots=True)
class Sign:
    """Text that means the guest failed, if nothing follows for `silence` seconds.

    A prompt is a sign only if nobody can answer it.
    """

    pattern: str
    meaning: str  # may use the groups of the pattern
    silence: float = 2.0
    prompt: bool = False


SIGNS = (
    Sign(r"^zpp: crash report of build ", "the core of zpp crashed"),
    Sign(r"^zpp: CPU (\d+) stopped$", r"the core of zpp stopped CPU \1"),
    Sign(r"Kernel panic - not syncing: ([^\n]*)", r"the kernel panicked (\1)"),
    Sign(r"^(?:UEFI Interactive )?Shell> \Z", "the firmware started its shell", 5, prompt=True),
    Sign(r"BdsDxe: No bootable option or device was found", "the firmware found nothing to boot",
         5, prompt=True),
)  # fmt: skip

# stage → the first line of it; a boot without zpp goes from the firmware to the kernel
STAGES = {
    "firmware": r"\A",
    "zpp": r"^zpp: ",
    "kernel": r"^zpp: starting |^EFI stub: |^(?:\[ *0\.0+\] )?Linux version ",
}

SILENT_SYSTEM = (
    "the started system printed nothing; Linux needs console=ttyS0,115200 in its command line"
)
_OF_THE_START = re.compile(r"zpp: |EFI stub: |$")


def is_silent(serial: str) -> bool:
    """Whether a kernel or loader was started and has not printed a line of its own."""
    started = re.search(STAGES["kernel"], serial, re.MULTILINE)
    return started is not None and all(
        map(_OF_THE_START.match, serial[started.start() :].splitlines())
    )


class Watcher:
    """Looks for signs in the serial text. `attended`: somebody can answer a prompt."""

    def __init__(
        self, *, attended: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._start = self._last = clock()
        self._signs = [sign for sign in SIGNS if not (sign.prompt and attended)]
        self._recent = ""
        self._found: tuple[Sign, str, float] | None = None
        self.stages = {"firmware": 0.0}

    @property
    def stage(self) -> str:
        """The newest stage."""
        return next(reversed(self.stages))

    def feed(self, text: str) -> None:
        """Look at the next text."""
        now = self._last = self._clock()
        # begin with a whole line
        kept = self._recent[-_KEPT:]
        self._recent = (kept if len(kept) < _KEPT else kept.partition("\n")[2]) + text
        self._look_for_stages(now)
        if self._found and self._found[0].prompt:
            self._found = None  # it was not the end
        if self._found is None:
            self._look_for_signs(now)

    def _look_for_stages(self, now: float) -> None:
        names = list(STAGES)
        for name in names[names.index(self.stage) + 1 :]:
            if re.search(STAGES[name], self._recent, re.MULTILINE):
                self.stages[name] = now - self._start

    def _look_for_signs(self, now: float) -> None:
        for sign in self._signs:
            match = re.search(sign.pattern, self._recent, re.MULTILINE)
            if match:
                self._found = sign, match.expand(sign.meaning), now
                self._recent = self._recent[match.end() :]
                return

    def failure(self) -> str:
        """Why the guest failed and will not recover, or ''."""
        if self._found is None:
            return ""
        sign, meaning, since = self._found
        now = self._clock()
        is_over = now - self._last >= sign.silence or now - since >= _LONGEST
        return meaning if is_over else ""
