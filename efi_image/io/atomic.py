"""An output file that is either whole or not there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from efi_image.errors import OutputError

_KINDS = (
    (stat.S_ISDIR, "is a directory", "give the name of a file in it"),
    (stat.S_ISBLK, "is a device", "make an image file, then write it to the device"),
    (stat.S_ISCHR, "is a device", "give the name of a file"),
    (stat.S_ISFIFO, "is a FIFO", "give the name of a file"),
    (stat.S_ISSOCK, "is a socket", "give the name of a file"),
)


def _failed(output: str | Path, error: OSError) -> OutputError:
    return OutputError(f"cannot be written: {error.strerror}", where=os.fspath(output))


def check_output(output: str | Path) -> str:
    """The file that is meant, links followed; raises OutputError if it cannot be written."""
    where = os.fspath(output)
    try:
        real = os.path.realpath(output)
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(real)):
            raise OutputError("its directory does not exist", where=where) from None
        return real
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutputError(f"cannot be written: {reason}", where=where) from None
    for is_kind, what, hint in _KINDS:
        if is_kind(mode):
            raise OutputError(what, where=where, hint=hint)
    if not os.access(real, os.W_OK):
        raise OutputError("is write-protected", where=where)
    return real


def _beside(real: str) -> str:
    """A new name in the same folder."""
    folder, name = os.path.split(real)
    return os.path.join(folder, f".{name[:200]}.{os.urandom(6).hex()}.tmp")


@contextmanager
def atomic(output: str | Path) -> Iterator[int]:
    """A descriptor of a new file that takes the place of `output` when the block ends well.

    When it does not, `output` is as it was, and nothing else is left.
    """
    real = check_output(output)
    # the name is known before the file is, so that no signal can leave it behind
    temporary = _beside(real)
    descriptor = -1
    try:
        try:
            descriptor = os.open(
                temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise _failed(output, error) from None
        yield descriptor
        try:
            os.close(descriptor)
            descriptor = -1
            os.replace(temporary, real)
            temporary = ""
        except OSError as error:
            raise _failed(output, error) from None
    finally:
        try:
            if descriptor >= 0:
                os.close(descriptor)
        except OSError:
            pass
        try:
            if temporary:
                os.unlink(temporary)
        except OSError:  # not there; nor can it be on a read-only file system
            pass


@contextmanager
def workspace(output: str | Path) -> Iterator[Path]:
    """The path of a file to be made, in a folder of its own beside `output`.

    When the block ends well, that file takes the place of `output`; the folder, with all
    that is in it, is gone in any case.
    """

    real = Path(check_output(output))
    folder = Path(_beside(str(real)))
    try:
        try:
            folder.mkdir(0o700)
        except OSError as error:
            raise _failed(output, error) from None
        made = folder / real.name
        yield made
        try:
            made.replace(real)
        except OSError as error:
            raise _failed(output, error) from None
    finally:
        with suppress(OSError):
            for left in folder.iterdir():
                left.unlink()
        with suppress(OSError):
            folder.rmdir()
