"""The journal of a device's change: the blocks before and after it, in the user's cache folder.

It exists during the change. The next change undoes what a killed one left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from efi_image.config.environment import user_cache
from efi_image.devices import Device
from efi_image.errors import OutputError
from efi_image.formats.fat.changes import Block
from efi_image.io.medium import Medium
from efi_image.verify.undo import Change, UndoLog

Put = Callable[[int, bytes], None]


class Journal:
    """The journal of one device; `save` raises OutputError."""

    def __init__(self, device: Device, medium: Medium) -> None:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", device.key)[-100:]
        self._path: Path = user_cache() / "changes" / f"{name}.json"
        self._medium = medium
        self.changes: list[Change] = []

    def save(self, stages: Iterable[tuple[Block, ...]]) -> None:
        """Save the current content of all blocks that the stages replace."""
        now: dict[int, bytes] = {}
        for offset, after in (block for stage in stages for block in stage):
            before = now.get(offset) or self._medium.read(offset, len(after))
            self.changes.append(Change(offset, before, after))
            now[offset] = after
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot be made: {error.strerror}"
            raise OutputError(reason, where=str(self._path.parent)) from None
        UndoLog(self._medium.size, self.changes).save(self._path)

    def restore(self, put: Put) -> None:
        """Write the old content of all blocks, the last change first."""
        for change in reversed(self.changes):
            put(change.offset, change.before)

    def remove(self) -> None:
        """The change is complete, or undone."""
        self._path.unlink(missing_ok=True)
        self.changes = []

    def left_behind(self) -> bool:
        """Load what a killed change left; whether the device is still in that state.

        Raises InputError.
        """
        if not self._path.exists():
            return False
        log = UndoLog.load(self._path)
        states: dict[int, set[bytes]] = {}
        for change in log.changes:
            states.setdefault(change.offset, set()).update((change.before, change.after))
        if log.size != self._medium.size or not all(
            self._medium.peek(offset, len(next(iter(known)))) in known
            for offset, known in states.items()
        ):
            return False  # something else changed the device since then
        self.changes = log.changes
        return True
