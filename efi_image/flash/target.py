"""An open device or regular file that an image is written to, past the page cache if possible."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from efi_image.errors import OutputError, UnsafeTarget
from efi_image.flash.chunker import PIECE, aligned, is_zero
from efi_image.io.atomic import check_output
from efi_image.io.claims import lock
from efi_image.io.holes import data_extents

BLOCK = 4096  # bytes; direct I/O of any medium is aligned to this
_UNPLUGGED = {errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM}


class Target:
    """A regular file of `size` bytes, or the base of a device; offsets and counts are sectors.

    `direct` bypasses the page cache; `plain` does not, and is used where direct I/O is refused
    (-1: none). All methods raise OutputError with the byte where they failed.
    """

    def __init__(
        self, name: str, size: int, sector_size: int, direct: int, *, plain: int = -1
    ) -> None:
        self.name = name
        self.size = size
        self.sector_size = sector_size
        self._direct = direct
        self._plain = plain

    @property
    def usable(self) -> int:
        """Bytes in whole sectors."""
        return self.size // self.sector_size * self.sector_size

    @property
    def size_hint(self) -> str:
        """What to do if it is too small."""
        return f"remove it, or give it the size of the medium: `truncate -s SIZE {self.name}`"

    # ---- reading and writing

    def write(self, offset: int, view: memoryview) -> None:
        """Write all of the view at that byte."""
        self._transfer(self._pwrite, offset, view, "written", "takes no more")

    def read(self, offset: int, view: memoryview) -> None:
        """Fill the view from that byte."""
        self._transfer(self._pread, offset, view, "read back", "ends")

    def _transfer(
        self,
        operation: Callable[[memoryview, int], int],
        offset: int,
        view: memoryview,
        done: str,
        ended: str,
    ) -> None:
        """Repeat the operation until all is done: it may do a part only."""
        while len(view):
            try:
                count = operation(view, offset)
            except OSError as error:
                raise self.failed(done, _locate(operation, view, offset, error), error) from None
            if not count:
                raise self._fault(f"{ended} at byte {offset}")
            view, offset = view[count:], offset + count

    def _pwrite(self, view: memoryview, offset: int) -> int:
        return os.pwrite(self._descriptor_for(offset, len(view)), view, offset)

    def _pread(self, view: memoryview, offset: int) -> int:
        return os.preadv(self._descriptor_for(offset, len(view)), [view], offset)

    def _descriptor_for(self, offset: int, count: int) -> int:
        if self._plain < 0 or not (offset % BLOCK or count % BLOCK):
            return self._direct
        return self._plain

    # ---- zeroing

    def zero(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """Overwrite old content with zeros; yields what was changed (offset and size)."""
        for first, end in self._data(offset, offset + count):
            yield from self._overwrite(first, end)

    def _overwrite(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        scratch = aligned(min(PIECE, end - first))
        for start in range(first, end, PIECE):
            view = scratch[: min(PIECE, end - start)]
            self.read(start, view)
            if not is_zero(view):
                view[:] = bytes(len(view))
                self.write(start, view)
                yield start, len(view)

    def _data(self, offset: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of a file that may have content (start and end)."""
        for first, last in data_extents(self._direct, offset, end):
            start = max(first // BLOCK * BLOCK, offset)
            offset = -(-last // BLOCK) * BLOCK
            if min(offset, end) > start:
                yield start, min(offset, end)

    # ---- caches

    def flush(self) -> None:
        """Wait until the medium has all that was written."""
        try:
            for descriptor in self._descriptors():
                os.fsync(descriptor)
        except OSError as error:
            raise self.failed("flushed", None, error) from None

    def drop_caches(self) -> None:
        """Make the kernel forget the content, so that reading reads the medium."""
        try:
            self._drop_buffers()
            for descriptor in self._descriptors():
                if hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self.failed("flushed", None, error) from None

    def descriptor(self) -> int:
        """The open file."""
        return self._direct

    def _descriptors(self) -> tuple[int, ...]:
        return (self._direct,) if self._plain < 0 else (self._direct, self._plain)

    def close(self) -> None:
        """Close it."""
        for descriptor in self._descriptors():
            os.close(descriptor)

    # ---- a device overrides these

    def check_place(self) -> None:
        """Raise OutputError if the file's name leads to another file by now."""
        try:
            here = Path(self.name).stat()
        except OSError:
            raise OutputError("was removed during the write", where=self.name) from None
        if not os.path.samestat(here, os.fstat(self._direct)):
            raise OutputError("was replaced by another file during the write", where=self.name)

    def has_data(self) -> bool:
        """Whether anything would be lost; a file of holes has nothing."""
        return any(True for _ in data_extents(self._direct, 0, self.size))

    def _drop_buffers(self) -> None:
        pass

    def reread_partitions(self) -> bool:
        """Let the kernel read the new partition table; False if it could not."""
        return True

    def unplugged(self) -> bool:
        """Whether the device is gone."""
        return False

    # ---- faults

    def failed(self, done: str, offset: int | None, error: OSError) -> OutputError:
        """The error of an operation that could not be `done`."""
        place = "" if offset is None else f" at byte {offset}"
        what = f"cannot be {done}{place}: {error.strerror}"
        return self._fault(what, unplugged=error.errno in _UNPLUGGED)

    def _fault(self, what: str, *, unplugged: bool = False) -> OutputError:
        if unplugged or self.unplugged():
            what = f"was unplugged ({what})"
        return OutputError(what, where=self.name)


def _locate(
    operation: Callable[[memoryview, int], int], view: memoryview, offset: int, error: OSError
) -> int:
    """Where a medium's error is: the same again, block by block."""
    if error.errno == errno.EIO:
        for start in range(0, len(view), BLOCK):
            try:
                operation(view[start : start + BLOCK], offset + start)
            except OSError:
                return offset + start
    return offset


def open_file(path: Path, size: int | None) -> Target:
    """An existing regular file, whose size counts, or a new one of `size` bytes.

    It is locked until it is closed. Raises OutputError, also for a new file if no size is known
    (None); UnsafeTarget if another write has locked it.
    """
    name = str(path)
    is_new = not path.exists()
    if is_new and size is None:
        raise OutputError(
            "does not exist, and the image's size is unknown before it is unpacked",
            where=name,
            hint=f"make a file of the stick's size first: `truncate -s SIZE {name}`",
        )
    if is_new:
        check_output(path)
    plain = _open(path, os.O_CREAT if is_new else 0)
    if not lock(plain):
        os.close(plain)
        raise UnsafeTarget(
            "is being written by another program", where=name, hint="wait until that has ended"
        )
    try:
        if is_new and size is not None:
            os.ftruncate(plain, size)
        direct = _open_direct(path, plain)
    except OSError as error:
        os.close(plain)
        raise OutputError(f"cannot be made: {error.strerror}", where=name) from None
    return Target(name, os.fstat(plain).st_size, 512, direct, plain=plain)


def _open(path: Path, flags: int) -> int:
    """A regular file, and nothing else that may have taken its place."""
    try:
        # a FIFO would wait for a reader
        opened = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | flags, 0o666)
    except OSError as error:
        raise OutputError(f"cannot be opened: {error.strerror}", where=str(path)) from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OutputError("is not a regular file", where=str(path))
    return opened


def _open_direct(path: Path, plain: int) -> int:
    """The same file once more, past the page cache if its file system can do that."""
    try:
        direct = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_DIRECT", 0))
    except OSError:
        return os.dup(plain)
    if os.path.samestat(os.fstat(direct), os.fstat(plain)):
        return direct
    os.close(direct)
    return os.dup(plain)
