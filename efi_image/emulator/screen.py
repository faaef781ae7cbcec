"""The screen of a guest of QEMU, saved at the end of a run."""

from __future__ import annotations

from pathlib import Path

from efi_image.emulator.qmp import Qmp, QmpError
from efi_image.errors import OutputError
from efi_image.io.atomic import atomic

SOCKET = "qmp"  # in the work directory


class Screen:
    """The screen, which goes to `file`; QEMU must not exit at a power-off (`-no-shutdown`)."""

    def __init__(self, work: Path, file: Path) -> None:
        self._work = work
        self._file = file
        self._qmp: Qmp | None = None

    def is_off(self) -> bool:
        """Whether the machine is powered off."""
        try:
            self._qmp = self._qmp or Qmp(self._work / SOCKET)
            status: str = self._qmp.command("query-status")["status"]
        except QmpError:
            return False  # the process's status says how it ended
        return status == "shutdown"

    def save(self) -> str:
        """Write the file; returns the reason if QEMU cannot, or ''. Raises OutputError."""
        shot = self._work / "screenshot"
        form = {"format": "png"} if self._file.suffix.lower() == ".png" else {}
        try:
            self._qmp = self._qmp or Qmp(self._work / SOCKET)
            self._qmp.command("screendump", filename=shot.name, **form)
        except QmpError as error:
            return f"no screenshot: {error}"
        try:
            with atomic(self._file) as descriptor, open(descriptor, "wb", closefd=False) as file:
                file.write(shot.read_bytes())
        except OSError as error:
            raise OutputError(
                f"cannot be written: {error.strerror}", where=str(self._file)
            ) from None
        return ""

    def close(self) -> None:
        """Close the connection."""
        if self._qmp:
            self._qmp.close()
