"""What is written to: a block device or a plain file, past the page cache where that goes."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from efi_image.errors import OutputError
from efi_image.flash.chunker import PIECE, aligned, is_zero
from efi_image.io.holes import data_extents

# <linux/fs.h>
BLKFLSBUF = 0x1261
BLKRRPART = 0x125F
BLKDISCARD = 0x1277
BLKZEROOUT = 0x127F

_DIRECT = 4096  # what direct input and output of any medium is aligned to
_AT_ONCE = 64 << 20  # bytes that the device is told to zero at a time
_UNPLUGGED = {errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a device does by itself, quicker than by being written."""

    zeroes: bool = False
    discards: int = 0  # granularity in bytes; 0: none


class Target:
    """An open device or file of `size` bytes; offsets and counts are whole sectors.

    `direct` bypasses the page cache, `plain` does not and takes what direct access refuses
    (-1: there is none). `gone` tells whether the device was unplugged.
    """

    def __init__(
        self,
        name: str,
        size: int,
        sector_size: int,
        direct: int,
        *,
        plain: int = -1,
        is_block: bool = False,
        abilities: Abilities | None = None,
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = name
        self.size = size
        self.sector_size = sector_size
        self.is_block = is_block
        self._direct = direct
        self._plain = plain
        self._abilities = abilities or Abilities()
        self._gone = gone

    # ---- reading and writing

    def _descriptor(self, offset: int, count: int) -> int:
        if self._plain < 0 or not (offset % _DIRECT or count % _DIRECT):
            return self._direct
        return self._plain

    def write(self, offset: int, view: memoryview) -> None:
        """Write all of it there; raises OutputError."""
        done = 0
        while done < len(view):
            rest = view[done:]
            try:
                count = self._pwrite(rest, offset + done)
            except OSError as error:
                place = self._locate(self._pwrite, rest, offset + done, error)
                raise self.failed("written", place, error) from None
            if not count:
                raise self._fault(f"takes no more at byte {offset + done}")
            done += count

    def read(self, offset: int, view: memoryview) -> None:
        """Fill the view from there; raises OutputError."""
        done = 0
        while done < len(view):
            rest = view[done:]
            try:
                count = self._pread(rest, offset + done)
            except OSError as error:
                place = self._locate(self._pread, rest, offset + done, error)
                raise self.failed("read back", place, error) from None
            if not count:
                raise self._fault(f"gives nothing at byte {offset + done}")
            done += count

    def _pwrite(self, view: memoryview, offset: int) -> int:
        return os.pwrite(self._descriptor(offset, len(view)), view, offset)

    def _pread(self, view: memoryview, offset: int) -> int:
        return os.preadv(self._descriptor(offset, len(view)), [view], offset)

    @staticmethod
    def _locate(
        operation: Callable[[memoryview, int], int], view: memoryview, offset: int, error: OSError
    ) -> int:
        """Where a medium's error is: the same again, block by block."""
        if error.errno == errno.EIO:
            for start in range(0, len(view), _DIRECT):
                try:
                    operation(view[start : start + _DIRECT], offset + start)
                except OSError:
                    return offset + start
        return offset

    def zero(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """Make it zeros where the old content would show; what was changed, piece by piece."""
        if self._abilities.zeroes:
            for start in range(offset, offset + count, _AT_ONCE):
                size = min(_AT_ONCE, offset + count - start)
                self._command(BLKZEROOUT, start, size)
                yield start, size
            return
        if self._abilities.discards:
            self._discard(offset, count)
        for first, end in self._data(offset, offset + count):
            yield from self._overwrite(first, end)

    def _overwrite(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Read, and write zeros over what is none."""
        scratch = aligned(min(PIECE, end - first))
        for start in range(first, end, PIECE):
            view = scratch[: min(PIECE, end - start)]
            self.read(start, view)
            if not is_zero(view):
                view[:] = bytes(len(view))
                self.write(start, view)
                yield start, len(view)

    def _data(self, offset: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of a file that are no holes; of a device all."""
        if self.is_block:
            yield offset, end
            return
        for first, last in data_extents(self._direct, offset, end):
            start = max(first // _DIRECT * _DIRECT, offset)
            offset = -(-last // _DIRECT) * _DIRECT
            if min(offset, end) > start:
                yield start, min(offset, end)

    def _discard(self, offset: int, count: int) -> None:
        """Tell the device that the content is of no use; it may forget it, or not."""
        step = self._abilities.discards
        first, end = -(-offset // step) * step, (offset + count) // step * step
        for start in range(first, end, _AT_ONCE):
            try:
                self._ioctl(BLKDISCARD, start, min(_AT_ONCE, end - start))
            except OSError:
                self._abilities = Abilities()
                return

    def _command(self, request: int, offset: int, count: int) -> None:
        try:
            self._ioctl(request, offset, count)
        except OSError as error:
            raise self.failed("zeroed", offset, error) from None

    def _ioctl(self, request: int, offset: int, count: int) -> None:
        import fcntl  # noqa: PLC0415 - only where there are block devices

        fcntl.ioctl(self._direct, request, struct.pack("=QQ", offset, count))

    # ---- caches

    def flush(self) -> None:
        """Wait until the medium has all that was written; raises OutputError."""
        try:
            for descriptor in self._descriptors():
                os.fsync(descriptor)
        except OSError as error:
            raise self.failed("flushed", None, error) from None

    def drop_caches(self) -> None:
        """Forget what the kernel holds of it, so that reading reads the medium."""
        try:
            if self.is_block:
                self._forget()
            for descriptor in self._descriptors():
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self.failed("flushed", None, error) from None

    def _forget(self) -> None:
        import fcntl  # noqa: PLC0415

        try:
            fcntl.ioctl(self._direct, BLKFLSBUF)
        except OSError as error:
            # who is not root may not; but reads are direct, and go to the medium all the same
            if error.errno not in {errno.EACCES, errno.EPERM}:
                raise

    def reread_partitions(self) -> bool:
        """Let the kernel read the new partition table; whether it could."""
        if not self.is_block:
            return True
        import fcntl  # noqa: PLC0415

        try:
            fcntl.ioctl(self._direct, BLKRRPART)
        except OSError as error:
            return error.errno == errno.EINVAL  # it has none, as many loop devices
        return True

    def descriptor(self) -> int:
        """For what else is asked of a device."""
        return self._direct

    def _descriptors(self) -> tuple[int, ...]:
        return (self._direct,) if self._plain < 0 else (self._direct, self._plain)

    def close(self) -> None:
        """Close it; it is not used any more."""
        for descriptor in self._descriptors():
            os.close(descriptor)

    # ---- faults

    def failed(self, what: str, offset: int | None, error: OSError) -> OutputError:
        """The fault of an operation."""
        place = "" if offset is None else f" at byte {offset}"
        if error.errno in _UNPLUGGED:
            return self._fault(f"cannot be {what}{place}: {error.strerror}", unplugged=True)
        return self._fault(f"cannot be {what}{place}: {error.strerror}")

    def _fault(self, what: str, *, unplugged: bool = False) -> OutputError:
        if unplugged or self._gone():
            return OutputError(f"was unplugged ({what})", where=self.name)
        return OutputError(what, where=self.name)


def open_file(path: Path, size: int | None) -> Target:
    """A plain file: an existing one is a medium of its size, else one of `size` is made.

    Raises OutputError; of a new file no size (None) is a fault, too.
    """
    name = str(path)
    is_new = not path.exists()
    if is_new and size is None:
        raise OutputError(
            "does not exist, and the image's size is not known before it is unpacked",
            where=name,
            hint="make a file of the stick's size first: `truncate -s SIZE FILE`",
        )
    plain = _open(path, os.O_CREAT if is_new else 0)
    try:
        if is_new and size is not None:
            os.ftruncate(plain, size)
        direct = _direct(path, plain)
    except OSError as error:
        os.close(plain)
        raise OutputError(f"cannot be made: {error.strerror}", where=name) from None
    return Target(name, os.fstat(plain).st_size, 512, direct, plain=plain)


def _open(path: Path, flags: int) -> int:
    """A plain file and nothing else, whatever has taken its place meanwhile."""
    try:
        # a FIFO would wait for a reader
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | flags, 0o666)
    except OSError as error:
        raise OutputError(f"cannot be opened: {error.strerror}", where=str(path)) from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OutputError("is no plain file", where=str(path))
    return opened


def _direct(path: Path, plain: int) -> int:
    """The same file once more, past the page cache where its file system can do that."""
    try:
        direct = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_DIRECT", 0))
    except OSError:
        return os.dup(plain)
    if os.path.samestat(os.fstat(direct), os.fstat(plain)):
        return direct
    os.close(direct)
    return os.dup(plain)
