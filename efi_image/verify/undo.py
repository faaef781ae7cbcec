"""The undo file of --fix: the bytes that a repair changed, before and after.

It is a JSON document beside the image: `size` is the image's in bytes, `changes` are the changes
in their order, each with its `offset` in bytes and its bytes `before` and `after` in hexadecimal.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from efi_image.errors import InputError
from efi_image.io.atomic import atomic

SUFFIX = ".undo.json"


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes at an offset that a repair replaced."""

    offset: int
    before: bytes
    after: bytes


@dataclass(slots=True)
class UndoLog:
    """The changes to an image of `size` bytes."""

    size: int
    changes: list[Change] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the undo file; raises OutputError."""
        rows = [
            {"offset": c.offset, "before": c.before.hex(), "after": c.after.hex()}
            for c in self.changes
        ]
        text = json.dumps({"size": self.size, "changes": rows}, indent=1) + "\n"
        with atomic(path) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode("ascii"))
            file.flush()
            os.fsync(descriptor)

    @classmethod
    def load(cls, path: Path) -> UndoLog:
        """Read an undo file; raises InputError."""
        try:
            document = json.loads(path.read_bytes())
            changes = [
                Change(row["offset"], bytes.fromhex(row["before"]), bytes.fromhex(row["after"]))
                for row in document["changes"]
            ]
            return cls(int(document["size"]), changes)
        except FileNotFoundError:
            raise InputError(
                "does not exist: there is no repair to undo", where=str(path)
            ) from None
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from None
        except (ValueError, KeyError, TypeError):
            raise InputError("is not an undo file", where=str(path)) from None


def undo_path(image: Path) -> Path:
    """The undo file of an image."""
    return image.with_name(image.name + SUFFIX)
