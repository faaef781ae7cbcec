"""An open block device of Linux; it can zero and discard blocks itself, which is faster."""

from __future__ import annotations

import errno
import fcntl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from efi_image.devices.sysfs import number
from efi_image.flash.target import Target

# <linux/fs.h>
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127F

_MAX_COMMAND = 64 << 20  # bytes that the device is told to zero or discard at a time


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a device can do itself."""

    zeroes: bool = False
    discards: int = 0  # granularity in bytes; 0: none

    @classmethod
    def of(cls, folder: Path) -> Abilities:
        """From the device's folder in sysfs (Documentation/ABI/stable/sysfs-block)."""
        queue = folder / "queue"
        discards = number(queue / "discard_max_bytes") > 0
        return cls(
            zeroes=number(queue / "write_zeroes_max_bytes") > 0,
            discards=number(queue / "discard_granularity") if discards else 0,
        )


class BlockTarget(Target):
    """A block device that is open for direct I/O.

    It is unplugged when `folder`, its folder in sysfs, is gone or has another `diskseq`.
    """

    def __init__(
        self,
        name: str,
        size: int,
        sector_size: int,
        descriptor: int,
        *,
        abilities: Abilities | None = None,
        folder: Path | None = None,
        diskseq: int = 0,
    ) -> None:
        super().__init__(name, size, sector_size, descriptor)
        self._abilities = abilities or Abilities()
        self._folder = folder
        self._diskseq = diskseq

    @property
    def size_hint(self) -> str:
        return ""

    def zero(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """As Target.zero, by a command of the device, or by a discard and overwriting the rest."""
        if self._abilities.zeroes:
            for start, size in _commands(offset, offset + count):
                try:
                    self._ioctl(BLKZEROOUT, start, size)
                except OSError as error:
                    raise self.failed("zeroed", start, error) from None
                yield start, size
            return
        if self._abilities.discards:
            self._discard(offset, count)
        yield from self._overwrite(offset, offset + count)

    def _discard(self, offset: int, count: int) -> None:
        """Tell the device that the content is not needed; it may still keep it."""
        step = self._abilities.discards
        for start, size in _commands(-(-offset // step) * step, (offset + count) // step * step):
            try:
                self._ioctl(BLKDISCARD, start, size)
            except OSError:
                self._abilities = Abilities()
                return

    def _ioctl(self, request: int, offset: int, count: int) -> None:
        fcntl.ioctl(self._direct, request, struct.pack("=QQ", offset, count))

    def _drop_buffers(self) -> None:
        try:
            fcntl.ioctl(self._direct, BLKFLSBUF)
        except OSError as error:
            # needs root; without, direct reads go to the medium all the same
            if error.errno not in {errno.EACCES, errno.EPERM}:
                raise

    def check_place(self) -> None:
        pass  # `unplugged` looks at the device

    def reread_partitions(self) -> bool:
        """Let the kernel read the new partition table; False if it could not."""
        try:
            fcntl.ioctl(self._direct, BLKRRPART)
        except OSError as error:
            return error.errno == errno.EINVAL  # it has none, as many loop devices
        return True

    def unplugged(self) -> bool:
        """Whether the device, or this plugging-in of it, is gone."""
        if self._folder is None:
            return False
        return not self._folder.exists() or number(self._folder / "diskseq") != self._diskseq


def _commands(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and size of the commands for those bytes."""
    for at in range(start, end, _MAX_COMMAND):
        yield at, min(_MAX_COMMAND, end - at)
