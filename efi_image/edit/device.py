"""A device that is changed: found, confirmed and opened as for `write`.

New data is written to free clusters and read back before anything points to it. A failure undoes
the change; a kill leaves a journal, with which the next change undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from efi_image.devices import Device
from efi_image.devices.linux import LinuxDisks
from efi_image.edit.journal import Journal
from efi_image.errors import VerificationFailed, ZppError
from efi_image.flash.block_target import BlockTarget
from efi_image.flash.chunker import aligned, aligned_copy, same
from efi_image.flash.device import open_device, refuse, unmount_confirmed
from efi_image.formats.fat.changes import Changes
from efi_image.io.deferred_signals import deferred_signals
from efi_image.io.medium import Medium, open_raw
from efi_image.progress import Progress, counter


@dataclass(frozen=True, slots=True)
class DeviceTarget:
    """A whole disk that only this process uses."""

    target: BlockTarget
    medium: Medium
    journal: Journal
    reuse: bool = False

    @property
    def block(self) -> int:
        """Bytes of a sector."""
        return self.target.sector_size

    def commit(self, changes: Changes, progress: Progress | None) -> None:
        """Write the new data, then the blocks that point to it; each is read back."""
        tell = counter(progress, 2 * changes.size) or (lambda _count: None)
        for offset, data in changes.contents():
            self._put(offset, data)
            tell(len(data))
        self._settle()
        for offset, data in changes.contents():
            self._check(offset, data)
            tell(len(data))
        self.journal.save(changes.stages)
        with deferred_signals():
            try:
                for stage in changes.stages:
                    for offset, data in stage:
                        self._put(offset, data)
                    self.target.flush()
                self._settle()
                last = {offset: data for stage in changes.stages for offset, data in stage}
                for offset, data in last.items():
                    self._check(offset, data)
            except ZppError:
                self._take_back()
                raise
            self.journal.remove()

    def recover(self) -> bool:
        """Undo a change that was killed; whether there was one."""
        if not self.journal.left_behind():
            return False
        with deferred_signals():
            self._take_back()
        return True

    def _take_back(self) -> None:
        self.journal.restore(self._put)
        self._settle()
        self.journal.remove()

    def _put(self, offset: int, data: bytes) -> None:
        self.target.write(offset, aligned_copy(data))

    def _settle(self) -> None:
        self.target.flush()
        self.target.drop_caches()

    def _check(self, offset: int, data: bytes) -> None:
        view = aligned(len(data))
        self.target.read(offset, view)
        if not same(view, data):
            raise VerificationFailed(
                f"verification failed: the data read back at byte {offset} differs",
                where=self.target.name,
                hint="the device is worn out or a fake: use another one",
            )


@contextmanager
def open_device_target(
    path: str, confirm: Callable[[Device], None], *, internal: bool, note: Callable[[str], None]
) -> Iterator[DeviceTarget]:
    """The disk at that path, after `confirm`; raises UnsafeTarget, InputError, OutputError.

    `note` is told if an interrupted change was undone.
    """
    disks = LinuxDisks()
    device = disks.find(path)
    refuse(device, internal=internal)
    confirm(device)
    if device.unmount:
        unmount_confirmed(device, disks.find(device.path))
    with (
        closing(open_device(device, disks, internal=internal)) as target,
        open_raw(path) as medium,
    ):
        opened = DeviceTarget(target, medium, Journal(device, medium))
        if opened.recover():
            note("undid an interrupted change")
        yield opened
