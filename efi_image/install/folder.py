r"""\EFI\zpp on an ESP: which files there are ours.

A file is ours if install.json has its hash. So a file that somebody else put there, or changed,
is never replaced or removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from efi_image import __version__
from efi_image.errors import InputError, UnsafeTarget, reason_of
from efi_image.install.changes import NEW

PROGRAM = "ZppBoot.efi"
DRIVER = "ZppDxe.efi"
CONF = "zpp.conf"
RECORD = "install.json"
PROGRAM_PATH = f"\\EFI\\zpp\\{PROGRAM}"
# what ZppBoot writes
_WRITTEN = re.compile(r"machine\.json|logs/[0-9]{8}\.txt", re.I)
LOGS = "logs"
_VERSION = 1

# name → SHA-256 of the contents that are ours: two while a file is being replaced
Hashes = Mapping[str, frozenset[str]]


def digest(data: bytes) -> str:
    """The hash by which a content is recorded."""
    return hashlib.sha256(data).hexdigest()


def record_text(hashes: Hashes) -> bytes:
    """The content of install.json."""
    document = {
        "version": _VERSION,
        "created_by": f"zpp-image {__version__}",
        "files": {name: sorted(hashes[name]) for name in sorted(hashes)},
    }
    return (json.dumps(document, indent=2) + "\n").encode()


class Folder:
    """The folder on a mounted ESP, whether it exists or not."""

    def __init__(self, esp: Path) -> None:
        self.path = esp / "EFI" / "zpp"

    def at(self, name: str) -> Path:
        """A file in it."""
        return self.path / name

    def record(self) -> dict[str, frozenset[str]]:
        """The hashes in install.json; none without the file. Raises UnsafeTarget."""
        path = self.at(RECORD)
        data = self._read(path)
        if data is None:
            return {}
        try:
            document = json.loads(data)
            if document["version"] != _VERSION:
                raise ValueError
            return {str(k): frozenset(map(str, v)) for k, v in document["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _foreign(path) from None

    def current(self, name: str) -> str:
        """The hash of a file; '' if it does not exist. Raises UnsafeTarget for a directory."""
        data = self._read(self.at(name))
        return "" if data is None else digest(data)

    def foreign(self, name: str) -> UnsafeTarget:
        """The error for a file that is not ours and in the way."""
        return _foreign(self.at(name))

    @staticmethod
    def _read(path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except (IsADirectoryError, NotADirectoryError):
            raise _foreign(path) from None
        except OSError as error:
            raise InputError(f"cannot be read: {reason_of(error)}", where=str(path)) from None

    def files(self) -> list[str]:
        """The paths of all files in it and below, and of empty folders but `logs`, sorted."""
        found = []
        for folder, below, names in os.walk(self.path):
            inner = Path(folder).relative_to(self.path)
            found += [(inner / name).as_posix() for name in names]
            if not below and not names and inner.as_posix() not in {".", LOGS}:
                found.append(inner.as_posix())
        return sorted(found)

    def split(self, record: Hashes) -> tuple[list[str], list[str]]:
        """Our files, and those that are not ours; the record is in neither list."""
        ours: list[str] = []
        foreign: list[str] = []
        for name in self.files():
            if name.casefold() == RECORD:
                continue
            (ours if self._is_ours(name, record) else foreign).append(name)
        return ours, foreign

    def _is_ours(self, name: str, record: Hashes) -> bool:
        known = {each.casefold(): each for each in (PROGRAM, DRIVER, CONF, RECORD, *record)}
        if not self.at(name).is_file():
            return False
        if name.endswith(NEW):  # a killed install left it
            return name.removesuffix(NEW).casefold() in known
        own = record.get(known.get(name.casefold(), ""), frozenset())
        return bool(_WRITTEN.fullmatch(name)) or (bool(own) and self.current(name) in own)


def _foreign(path: Path) -> UnsafeTarget:
    return UnsafeTarget(
        "is in the way: `zpp-image install` did not put it there", where=str(path),
        hint="move it to another directory",
    )  # fmt: skip


def united(*records: Hashes) -> dict[str, frozenset[str]]:
    """All hashes of several records."""
    names: Iterable[str] = {name for each in records for name in each}
    return {
        name: frozenset().union(*(each.get(name, frozenset()) for each in records))
        for name in names
    }
