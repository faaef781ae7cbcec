"""The files of `--log`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from efi_image.errors import OutputError


class Logs:
    """The files of `--log`, if it is given, written while the guest runs."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._text: BinaryIO | None = None
        self._raw: BinaryIO | None = None

    def __enter__(self) -> Logs:
        if self._path is not None:
            with self._faults(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._text = self._path.open("wb")
                self._raw = _beside(self._path, "raw").open("wb")
                _beside(self._path, "emulator").unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, data: bytes, text: str) -> None:
        if self._path is None:
            return
        with self._faults(self._path):
            for file, piece in ((self._raw, data), (self._text, text.encode())):
                if file is not None and piece:
                    file.write(piece)
                    file.flush()

    def write_emulator(self, log: str, output: str) -> None:
        if self._path is not None:
            text = log if log == output else log + output
            with self._faults(self._path):
                _beside(self._path, "emulator").write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def _faults(self, path: Path) -> Iterator[None]:
        """Turn an OSError into an OutputError, and write nothing more."""
        try:
            yield
        except OSError as error:
            self._close()
            self._path = None
            raise OutputError(f"cannot be written ({error.strerror})", where=str(path)) from None

    def _close(self) -> None:
        for file in (self._text, self._raw):
            if file is not None:
                with contextlib.suppress(OSError):  # flushed before, or the disk is full
                    file.close()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")
