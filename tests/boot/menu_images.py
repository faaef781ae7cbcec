"""Images whose programs print their names, and boots with key presses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from efi_word import Ending, code, word_program
from harness import Harness
from makepe import make_pe

from efi_image.build.options import Addition
from efi_image.emulator import BootResult, Debug, EmulatorKind, RunRequest, TextViewer, boot, choose
from efi_image.emulator.qmp import Qmp

READABLE = 0x40000040  # flags of a PE section with data

# text on the serial port, and what is done when it comes
Step = tuple[str, Callable[[Qmp], object]]


def uki(word: str, os_release: str) -> bytes:
    """What a boot loader takes for a unified kernel image; it powers the machine off."""
    section = (b".osrel", 0x3000, READABLE, os_release.encode())
    return make_pe(text=code(word, Ending.POWER_OFF), extra=(section,), image_size=0x4000)


def files(harness: Harness, contents: Mapping[str, bytes | str]) -> tuple[Addition, ...]:
    """Files to add to an image, by their paths."""
    additions = []
    for number, (path, content) in enumerate(contents.items()):
        source = harness.folder / f"file-{number}"
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        additions.append(Addition(source, path))
    return tuple(additions)


def kernel(harness: Harness, ending: Ending = Ending.POWER_OFF) -> Path:
    """The program that zpp.conf names; it says `kernel`."""
    path = harness.folder / "kernel.efi"
    path.write_bytes(word_program("kernel", ending))
    return path


def said(serial: str) -> list[str]:
    """The words of the programs that ran."""
    return re.findall(r"zpp-word:([^;]*);", serial)


def press(*keys: str) -> Callable[[Qmp], object]:
    """Presses keys, named as QEMU does, one after the other."""

    def work(qmp: Qmp) -> None:
        for key in keys:
            qmp.command("send-key", keys=[{"type": "qcode", "data": key}])

    return work


class _Typist:
    """Follows the serial port, and does each step when its text appears."""

    def __init__(self, address: Path, steps: Sequence[Step]) -> None:
        self._address = address
        self._steps = list(steps)
        self._qmp: Qmp | None = None
        self._text = ""

    def __call__(self, chunk: str) -> None:
        self._text += chunk
        while self._steps and self._steps[0][0] in self._text:
            text, work = self._steps.pop(0)
            self._text = self._text.partition(text)[2]
            self._qmp = self._qmp or Qmp(self._address)
            work(self._qmp)

    def close(self) -> None:
        if self._qmp:
            self._qmp.close()


def boot_with(harness: Harness, request: RunRequest, *steps: Step) -> BootResult:
    """Boots on QEMU like `Harness.boot`, and does these steps meanwhile."""
    address = harness.folder / "qmp"
    extra = (*request.debug.extra, "-qmp", f"unix:{address},server=on,wait=off")
    request = replace(harness.with_defaults(request), debug=Debug(extra=extra))
    typist = _Typist(address, steps)
    try:
        return boot(request, choose(EmulatorKind.QEMU), TextViewer(typist)).require()
    finally:
        typist.close()
