"""An output file that is either complete or not there."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from efi_image.errors import OutputError, UsageError, reason_of
from efi_image.io.claims import claim, open_claimed, remove_abandoned
from efi_image.io.deferred_signals import deferred_signals

_SUFFIX = ".tmp"

_NOT_A_FILE = (
    (stat.S_ISDIR, "is a directory", "give the name of a file in it"),
    (stat.S_ISBLK, "is a device", "make an image file, then write it to the device"),
    (stat.S_ISCHR, "is a device", "give the name of a file"),
    (stat.S_ISFIFO, "is a FIFO", "give the name of a file"),
    (stat.S_ISSOCK, "is a socket", "give the name of a file"),
)


def _failed(output: str | Path, error: OSError) -> OutputError:
    return OutputError(f"cannot be written: {error.strerror}", where=str(output))


def check_output(output: str | Path) -> Path:
    """The file to write, links followed; raises OutputError if it cannot be written."""
    where = str(output)
    try:
        real = Path(os.path.realpath(output))
        mode = real.stat().st_mode
    except FileNotFoundError:
        if not real.parent.is_dir():
            raise OutputError("its directory does not exist", where=where) from None
        return real
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot be written: {reason_of(error)}", where=where) from None
    for is_kind, what, hint in _NOT_A_FILE:
        if is_kind(mode):
            raise OutputError(what, where=where, hint=hint)
    if not os.access(real, os.W_OK):
        raise OutputError("is write-protected", where=where)
    return real


def refuse_input(output: Path, *inputs: Path | None) -> None:
    """Raise UsageError if a file to write is also an input."""
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            raise UsageError(f"is also an input ({path})", where=str(output))


def _temporary_beside(real: Path) -> Path:
    return real.with_name(f"{_prefix(real)}{os.urandom(6).hex()}{_SUFFIX}")


def _prefix(real: Path) -> str:
    return f".{real.name[:200]}."


def _remove_leftovers(real: Path) -> None:
    """Remove what a killed process left of this output."""
    remove_abandoned(real.parent, f"{re.escape(_prefix(real))}[0-9a-f]{{12}}{re.escape(_SUFFIX)}")


@contextmanager
def atomic(output: str | Path) -> Iterator[int]:
    """A descriptor of a new file that replaces `output` when the block ends well.

    Otherwise `output` stays as it was, and nothing else is left. Raises OutputError.
    """
    real = check_output(output)
    _remove_leftovers(real)
    # the name is known before the file exists, so that no signal can leave it behind
    temporary = _temporary_beside(real)
    descriptor = -1
    try:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o666)
            claim(temporary, descriptor)
        except OSError as error:
            raise _failed(output, error) from None
        yield descriptor
        closing, descriptor = descriptor, -1
        try:
            os.close(closing)
            temporary.replace(real)
        except OSError as error:
            raise _failed(output, error) from None
    finally:
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)
        with suppress(OSError):  # replaced, never made, or on a read-only file system
            temporary.unlink()


@contextmanager
def workspace(output: str | Path) -> Iterator[Path]:
    """The path of a file to make, in a directory of its own beside `output`.

    The file replaces `output` when the block ends well; the directory and everything in it
    are removed in any case. Raises OutputError.
    """
    real = check_output(output)
    _remove_leftovers(real)
    folder = _temporary_beside(real)
    descriptor = -1
    try:
        try:
            folder.mkdir(0o700)
            descriptor = open_claimed(folder)
        except OSError as error:
            raise _failed(output, error) from None
        made = folder / real.name
        yield made
        try:
            made.replace(real)
        except OSError as error:
            raise _failed(output, error) from None
    finally:
        with deferred_signals():  # removing large files takes a while
            shutil.rmtree(folder, ignore_errors=True)
            if descriptor >= 0:
                os.close(descriptor)
